"""The change from one place to the other as the display sees it: on real rings and a clock moved by hand."""

import os
from typing import Any

import numpy as np

from inframe.core.budgets import DRAW_NS, STAND_IN_NS
from inframe.core.clock import NS_PER_MS, NS_PER_S
from inframe.core.types import Frame, Masks, Missed, MissedReason, Result, Steps, Verdict
from inframe.pipeline import loop, places, results, ring
from inframe.pipeline.board import Board, Count, create_board
from inframe.pipeline.decide import make_plan
from inframe.pipeline.places import (
    STAND_IN,
    UNSIGNED,
    PlacedResults,
    bits,
    is_up,
    place,
    ring_name,
    row_name,
    worker_and_place,
)
from inframe.pipeline.ring import RingReader, RingWriter
from tests.pipeline import script
from tests.pipeline.test_loop import PERIOD, World, device

READ_MS = 8
"""The models speak so long after a capture."""
WARM = 15
"""So many frames pass before the mode is NOMINAL; those of a story are numbered from there."""


def moment(seq: int) -> int:
    """When frame `seq` is captured, counted from the end of the warm-up."""
    return 2 * NS_PER_S + (WARM + seq) * PERIOD


class Placed(World):
    """A world whose model has two places. Both speak of every frame unless told otherwise."""

    def __post_init__(self) -> None:
        super().__post_init__()
        memory = ring.create("results.b", 4, results.capacity(64))
        self.other, self.seen = RingWriter(memory, ()), RingReader(memory)
        os.close(memory)
        rows = ("display", "worker.worker", "worker.worker.b")
        self.board = Board(create_board(len(rows)), rows)
        self.words: list[int] = []
        self.stood: list[int] = []
        self.unsigned: list[tuple[int, bool]] = []
        """After so many frames it was said whether nobody signed what may be shown."""
        self.spoke: dict[int, str] = {}

    def speak(self, seq: int, of: str, after_ns: int = READ_MS * NS_PER_MS) -> None:
        """The place a or b speaks of frame `seq`; b's mask is of another size, to tell them apart."""
        at = moment(seq)
        masks = Masks(np.ones((8, 8) if of == "a" else (4, 4), np.uint8))
        steps = Steps(at, at, at, at)
        writer = self.outputs if of == "a" else self.other
        self.at(at + after_ns, lambda: results.write(writer, WARM + seq, at, masks, steps, at))

    def show(self, frame: Any, decision: Any, controls: Any) -> int:
        if isinstance(frame, Frame):
            shown = [one.output.classes.shape[0] for one in decision.shown]
            self.spoke[frame.seq] = {8: "a", 4: "b"}[shown[0]] if shown else "-"
        return super().show(frame, decision, controls)

    def go(self, until_ns: int) -> None:
        plan, models = self.plan, self.device.models
        told = PlacedResults(
            plan,
            {"m": self.results},
            self.clock,
            self.wait,
            loop.awaited(models, self.device.deadline_ns),
            board=self.board,
            places=({"m": self.results}, {"m": self.seen}),
            model_bits={"m": 0},
            changed=self.words.append,
            stood_in=lambda: self.stood.append(1),
            unsigned=lambda unsigned: self.unsigned.append((len(self.spoke), unsigned)),
        )
        incoming = loop.Incoming(
            "endoscope",
            self.reader,
            self.views(),
            PERIOD,
            self.device.deadline_ns,
            300 * NS_PER_MS,
            self.frozen_ns,
            self.clock,
            self.wait,
            lambda: self.clock.now() >= until_ns,
            self.skipped,
            self.idle,
        )
        loop.run(incoming, told, plan, self, self, self, self)

    def views(self) -> list[Any]:
        return [payload[: 16 * 16 * 3].reshape(16, 16, 3) for payload in self.reader.payloads]


def run(turns: dict[int, int], silent: dict[str, set[int]] | None = None, late: dict[int, int] | None = None) -> Placed:
    """`turns`: the word that is set at so many ns. `silent`: the frames of which a place says nothing. `late`: those of which b
    speaks so long after the capture."""
    world = Placed(device(max_age_ms=0))
    quiet = silent or {}
    for at, word in turns.items():
        world.at(at, lambda word=word: world.board.set_shown(word), wakes=True)  # type: ignore[misc]
    for seq in range(1 - WARM, 13):
        world.frame(moment(seq))
        for of in ("a", "b"):
            if seq not in quiet.get(of, set()):
                world.speak(seq, of)
    for seq, after in (late or {}).items():
        world.speak(seq, "b", after)
    world.go(moment(13))
    return world


def before(seq: int) -> int:
    """Just before frame `seq` is captured."""
    return moment(seq) - 1


def story(world: Placed) -> str:
    return "".join(world.spoke.get(WARM + seq, "?") for seq in range(1, 13))


def test_the_change_is_between_two_frames_and_costs_none() -> None:
    world = run({before(5): 1, before(9): 0})
    assert story(world) == "aaaabbbbaaaa"
    assert world.words == [0, 1, 0]
    assert world.lost == 0


def test_that_nobody_signed_is_said_with_the_change_and_is_no_trial() -> None:
    world = run({before(5): 1 | UNSIGNED, before(9): 0}, {"b": {7}})
    assert story(world) == "aaaabb-baaaa"
    assert world.words == [0, 1, 0]
    assert world.unsigned == [(0, False), (WARM + 4, True), (WARM + 8, False)]


def test_a_change_while_a_frame_is_waited_for_holds_from_the_next_one_on() -> None:
    world = run({moment(5) + 2 * NS_PER_MS: 1})
    assert story(world) == "aaaaabbbbbbb"
    assert world.lost == 0


def test_a_place_that_says_nothing_costs_its_own_frames_only() -> None:
    """The candidate dies at frame 7 and the parent turns back before frame 8: one frame without an overlay, none lost."""
    world = run({before(5): 1, before(8): 0}, {"b": set(range(7, 13))})
    assert story(world) == "aaaabb-aaaaa"
    assert world.lost == 0
    verdicts = {seq: decision.verdict for seq, decision, _ in world.shown}
    assert [verdicts[WARM + seq] for seq in (6, 7, 8)] == [Verdict.SHOW, Verdict.WITHHOLD, Verdict.SHOW]


def test_on_trial_the_place_before_stands_in_and_the_record_says_so() -> None:
    """The candidate dies at frame 7; the parent is slow and turns back before frame 10 only."""
    world = run({before(5): 1 | 1 << STAND_IN, before(10): 0}, {"b": set(range(7, 13))})
    assert story(world) == "aaaabbaaaaaa"
    assert world.words == [0, 1, 0]
    assert len(world.stood) == 3
    assert world.lost == 0
    taken = {seq: after for seq, _, after in world.shown}
    limit = world.device.deadline_ns - DRAW_NS - STAND_IN_NS + world.draw_ns
    assert [taken[WARM + seq] <= limit for seq in (7, 8, 9)] == [True] * 3


def test_without_a_stand_in_the_candidate_has_all_the_time_there_is() -> None:
    late = device().deadline_ns - DRAW_NS - NS_PER_MS
    for quiet, expected in (({7}, "b"), (set[int](), "a")):
        world = run({before(5): 1 | 1 << STAND_IN}, {"b": {7}, "a": quiet}, {7: late})
        assert story(world)[6] == expected


def test_who_stands_in_speaks_of_this_very_frame_or_not_at_all() -> None:
    world = run({before(5): 1 | 1 << STAND_IN}, {"b": {7, 8}, "a": {7}})
    assert story(world) == "aaaabb-abbbb"
    assert len(world.stood) == 1


def test_a_candidate_in_shadow_never_stands_in() -> None:
    world = run({}, {"a": {7, 8}})
    assert story(world) == "aaaaaa--aaaa"
    assert world.stood == []


def test_only_the_worker_on_trial_is_stood_in_for() -> None:
    """Two workers; the first is on trial and speaks, the second is not and is silent: its other place may hold a candidate in
    shadow, or what was left there long ago."""
    world = Placed(device(max_age_ms=0))
    one = script.device({"m": script.model(worker="v"), "n": script.model(worker="w")})
    memories = [ring.create("results", 4, results.capacity(1 << 10)) for _ in range(4)]
    writers, (am, an, bm, bn) = (
        [RingWriter(memory, ()) for memory in memories],
        [RingReader(memory) for memory in memories],
    )
    told = PlacedResults(
        make_plan(one, dict.fromkeys(one.models, script.LABELS)),
        {"m": am, "n": an},
        world.clock,
        lambda _until: False,
        frozenset({"m", "n"}),
        board=world.board,
        places=({"m": am, "n": an}, {"m": bm, "n": bn}),
        model_bits={"m": 0, "n": 1},
        changed=world.words.append,
    )
    frame = Frame("endoscope", 7, 70, 90, script.PIXELS)
    for writer in (writers[2], writers[3]):  # place b of both speaks
        results.write(writer, 7, 70, Masks(np.ones((4, 4), np.uint8)), Steps(70, 70, 70, 70), 71)
    world.board.set_shown(0b01 | 0b01 << STAND_IN)  # m: the candidate at b, on trial; n: at a, no trial
    said = told.await_for(frame, 80)
    assert isinstance(said["m"], Result)
    assert said["n"] == Missed("n", 7, MissedReason.LATE)
    world.board.set_shown(0b01 | 0b11 << STAND_IN)  # now n's other place may
    assert isinstance(told.await_for(frame, 80)["n"], Result)
    assert world.words == [0b01, 0b11]


def test_what_was_told_of_a_frame_is_not_told_again_by_the_other_place() -> None:
    """b is behind: its newest is of a frame that a has spoken of."""
    world = run({before(7): 1}, {"b": {7, 8}})
    assert story(world) == "aaaaaa--bbbb"
    assert [world.given.get(WARM + seq) for seq in (6, 7, 8, 9)] == [WARM + 6, None, None, WARM + 9]


def test_names_and_bits() -> None:
    one = script.device({"x": script.model(worker="w"), "y": script.model(worker="v"), "z": script.model(worker="w")})
    assert bits(one) == {"v": 0, "w": 1}
    assert places.model_bits(one) == {"x": 1, "y": 0, "z": 1}
    assert [place(0b10, bit) for bit in (0, 1)] == [0, 1]
    assert [row_name("w", at) for at in places.PLACES] == ["worker.w", "worker.w.b"]
    assert [ring_name("x", at) for at in places.PLACES] == ["results.x", "results.x.b"]
    assert [worker_and_place(what) for what in ("w", "w.b")] == [("w", 0), ("w", 1)]


def test_who_is_waited_for_at_the_start_is_the_worker_that_is_shown() -> None:
    one = script.device({"x": script.model(worker="w")}).model_copy(update={"candidate": object()})
    rows = ("worker.w", "worker.w.b")
    board = Board(create_board(2), rows)
    up = is_up(board, one)
    board.row("worker.w.b").set(Count.READY_NS, 1)
    assert not up("x")
    board.set_shown(1)
    assert up("x")
