"""The frame's way, in one process and on a manual clock: real rings, real decisions, a scripted world instead of processes."""

import heapq
import itertools
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from inframe.core.budgets import DRAW_NS
from inframe.core.clock import NS_PER_MS, NS_PER_S, ManualClock
from inframe.core.config import Device
from inframe.core.types import (
    Controls,
    Decision,
    Frame,
    Masks,
    Missed,
    MissedReason,
    Mode,
    NoSignal,
    Output,
    Result,
    Results,
    Steps,
    Verdict,
)
from inframe.pipeline import loop, results, ring
from inframe.pipeline.decide import make_plan
from inframe.pipeline.ring import Header, RingReader, RingWriter

PERIOD = 33 * NS_PER_MS
LABELS = ("background", "tissue")


def device(**model: object) -> Device:
    preprocess = {"size": [8, 8], "fit": "stretch", "colour": "rgb", "layout": "nchw", "dtype": "float32", "scale": 1}
    base = {
        "stream": "endoscope",
        "file": "m.onnx",
        "budget_ms": 10,
        "preprocess": preprocess,
        "decode": {"kind": "segmentation"},
    }
    return Device.model_validate(
        {
            "device": "test",
            "streams": {"endoscope": {"camera": "synthetic", "width": 16, "height": 16, "fps": 1000 / 33}},
            "display": "endoscope",
            "deadline_ms": 33,
            "models": {"m": {**base, "labels": LABELS, **model}},
        }
    )


@dataclass
class World:
    """Things that happen at moments; waiting moves the clock to the next one."""

    device: Device
    clock: ManualClock = field(default_factory=ManualClock)
    shown: list[tuple[int, Decision, int]] = field(default_factory=list)
    signals: list[tuple[int, Decision]] = field(default_factory=list)
    laid: list[tuple[int, int]] = field(default_factory=list)
    lost: int = 0
    draw_ns: int = 2 * NS_PER_MS
    look_ns: int | None = None
    up_ns: int = 0
    """When the model's worker is set up."""
    given: dict[int, int] = field(default_factory=dict)
    idled: int = 0
    frozen_ns: float = math.inf
    rehearsal_ns: Callable[[int], int] | None = None
    """How long a rehearsal beside the frame of this number takes; None: the core is not the display's own."""
    rehearsed: dict[int, int] = field(default_factory=dict)
    """When each frame's rehearsal ended, ns after its capture."""
    _events: list[tuple[int, int, Callable[[], None], bool]] = field(default_factory=list)
    _order: Iterator[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        frames, outputs = ring.create("frames", 8, 16 * 16 * 3), ring.create("results", 4, results.capacity(64))
        self.frames, self.outputs = RingWriter(frames, ()), RingWriter(outputs, ())
        self.reader, self.results = RingReader(frames), RingReader(outputs)
        self.plan = make_plan(self.device, {"m": LABELS})
        os.close(frames)  # each of the four has it mapped
        os.close(outputs)

    def at(self, ns: int, event: Callable[[], None], *, wakes: bool = True) -> None:
        heapq.heappush(self._events, (ns, next(self._order), event, wakes))

    def frame(self, ns: int) -> None:
        """A frame is captured at `ns`."""

        def happen() -> None:
            self.frames.begin()
            self.frames.commit(Header(0, captured_ns=ns))

        self.at(ns, happen, wakes=self.look_ns is None)

    def result(self, ns: int, seq: int, captured: int, output: Output | MissedReason | None = None) -> None:
        """The model speaks about frame `seq` at `ns`."""
        said = output if output is not None else Masks(np.ones((8, 8), np.uint8))
        self.at(ns, lambda: results.write(self.outputs, seq, captured, said, Steps(ns, ns, ns, ns), ns))

    def wait(self, until_ns: int) -> bool:
        while self._events and self._events[0][0] <= until_ns:
            ns, _, event, wakes = heapq.heappop(self._events)
            self.clock.set(max(ns, self.clock.now()))
            event()
            if wakes:
                return True
        self.clock.set(max(until_ns, self.clock.now()))
        return False

    # --- what the loop calls

    def lay(self, frame: Frame) -> None:
        self.laid.append((frame.seq, self.clock.now() - frame.captured_ns))

    def redraw(self, frame: Frame) -> None:
        assert frame.seq not in self.rehearsed
        assert self.rehearsal_ns is not None
        self.clock.advance(self.rehearsal_ns(frame.seq))
        self.rehearsed[frame.seq] = self.clock.now() - frame.captured_ns

    def show(self, frame: Frame | NoSignal, decision: Decision, controls: Controls) -> int:
        self.clock.advance(self.draw_ns)
        if isinstance(frame, NoSignal):
            self.signals.append((self.clock.now(), decision))
        else:
            self.shown.append((frame.seq, decision, self.clock.now() - frame.captured_ns))
        return self.clock.now()

    def note(self, frame: Frame | NoSignal, results: Results, decision: Decision, shown_ns: int) -> None:
        assert all(isinstance(one, Result | Missed) for one in results.values())
        if isinstance(frame, Frame) and isinstance(said := results["m"], Result):
            self.given[frame.seq] = said.seq

    def skipped(self, frames: int) -> None:
        self.lost += frames

    def idle(self) -> None:
        self.idled += 1

    def beat(self, frame: Frame | NoSignal | None, decision: Decision | None) -> None:
        pass

    def faults(self) -> Mapping[str, int]:
        return {}

    def controls(self) -> Controls:
        return Controls()

    def run(self, until_ns: int) -> None:
        incoming = loop.Incoming(
            "endoscope",
            self.reader,
            [p.reshape(16, 16, 3) for p in self.reader.payloads],
            PERIOD,
            self.device.deadline_ns,
            300 * NS_PER_MS,
            self.frozen_ns,
            self.clock,
            self.wait,
            lambda: self.clock.now() >= until_ns,
            self.skipped,
            self.idle,
            self.look_ns,
        )
        models = loop.ModelResults(
            self.plan,
            {"m": self.results},
            self.clock,
            self.wait,
            loop.awaited(self.device.models, self.device.deadline_ns),
            lambda _model: self.clock.now() >= self.up_ns,
            self.redraw if self.rehearsal_ns is not None else None,
        )
        loop.run(incoming, models, self.plan, self, self, self, self)


def steady(world: World, frames: int, latency_ns: int | None = 9 * NS_PER_MS, first: int = 1) -> int:
    """So many frames at the camera's pace from number `first` on, each with its result after `latency_ns` (None: none).
    Returns when the last one is over, ns."""
    start = world.clock.now() + 10 * NS_PER_MS + (first - 1) * PERIOD
    for i in range(frames):
        captured = start + i * PERIOD
        world.frame(captured)
        if latency_ns is not None:
            world.result(captured + latency_ns, first + i, captured)
    return start + frames * PERIOD


LOOK = loop.look_after(33 * NS_PER_MS, own_core=False)
SOON = loop.look_after(33 * NS_PER_MS, own_core=True)


@pytest.mark.parametrize("look_ns", [None, LOOK, SOON])
def test_the_overlay_is_on_its_own_frame_as_soon_as_the_result_is_there(look_ns: int | None) -> None:
    world = World(device(), look_ns=look_ns)
    world.run(steady(world, 20))
    assert [seq for seq, _, _ in world.shown] == list(range(1, 21))
    for seq, decision, latency in world.shown[15:]:
        assert decision.verdict is Verdict.SHOW
        assert [result.seq for result in decision.shown] == [seq]
        assert latency == 9 * NS_PER_MS + world.draw_ns
    assert world.lost == 0


@pytest.mark.parametrize("look_ns", [None, LOOK, SOON])
@pytest.mark.parametrize("latency_ms", [None, 32, 50, 500])
def test_the_picture_never_waits_for_the_model(latency_ms: int | None, look_ns: int | None) -> None:
    world = World(device(), look_ns=look_ns)
    world.run(steady(world, 30, None if latency_ms is None else latency_ms * NS_PER_MS))
    assert [seq for seq, _, _ in world.shown] == list(range(1, 31))
    for _, decision, latency in world.shown:
        assert latency == 33 * NS_PER_MS - DRAW_NS + world.draw_ns
        assert decision.verdict is Verdict.WITHHOLD
        assert decision.shown == ()
    assert world.lost == 0


def test_on_its_own_core_the_display_lays_each_frame_while_the_model_runs() -> None:
    world = World(device(), look_ns=SOON)
    world.run(steady(world, 20))
    assert world.laid[1:] == [(seq, SOON) for seq in range(2, 21)]
    assert {latency for _, _, latency in world.shown[1:]} == {9 * NS_PER_MS + world.draw_ns}


def test_on_its_own_core_the_display_rehearses_before_each_result_and_delays_none() -> None:
    world = World(device(), look_ns=SOON, rehearsal_ns=lambda _seq: NS_PER_MS)
    world.run(steady(world, 20))
    early = 9 * NS_PER_MS - loop.REHEARSED_NS
    late = {
        2: NS_PER_MS,
        3: NS_PER_MS // 2 // loop.FORGET,
    }  # how long it takes is found out, and what that delayed forgotten
    assert world.rehearsed == {seq: early + late.get(seq, 0) for seq in range(2, 21)}
    assert {latency for _, _, latency in world.shown[2:]} == {9 * NS_PER_MS + world.draw_ns}


def test_a_rehearsal_changes_no_decision() -> None:
    shown = []
    for rehearsal_ns in (None, lambda _seq: NS_PER_MS // 4):
        world = World(device(), look_ns=SOON, rehearsal_ns=rehearsal_ns)
        world.result(steady(world, 20) - 5 * NS_PER_MS, 20, 0, MissedReason.FAILED)
        world.run(steady(world, 10, 32 * NS_PER_MS, first=21))
        shown.append(
            [(seq, replace(decision, shown=()), [r.seq for r in decision.shown]) for seq, decision, _ in world.shown]
        )
    assert len(shown[0]) >= 25
    assert shown[0] == shown[1]


def test_results_that_come_early_are_shown_at_once_and_rehearsed_for_from_then_on() -> None:
    world = World(device(), look_ns=SOON, rehearsal_ns=lambda _seq: NS_PER_MS // 4)
    steady(world, 10)
    world.run(steady(world, 10, 6 * NS_PER_MS, first=11))
    assert {latency for _, _, latency in world.shown[10:]} == {6 * NS_PER_MS + world.draw_ns}
    assert 11 not in world.rehearsed
    assert {world.rehearsed[seq] for seq in range(12, 21)} == {6 * NS_PER_MS - loop.REHEARSED_NS}


def test_nothing_is_rehearsed_so_late_that_the_picture_could_have_to_wait() -> None:
    until = 33 * NS_PER_MS - DRAW_NS
    for lag, is_rehearsed in ((until - DRAW_NS, True), (until - DRAW_NS // 4, False)):
        world = World(device(), look_ns=SOON, rehearsal_ns=lambda _seq: NS_PER_MS // 4)
        world.run(steady(world, 20, lag))
        assert bool(world.rehearsed) is is_rehearsed
        assert {latency for _, _, latency in world.shown[2:]} == {lag + world.draw_ns}


def test_a_rehearsal_that_once_took_longer_than_there_is_time_is_left_out_and_tried_again() -> None:
    world = World(device(), look_ns=SOON, rehearsal_ns=lambda seq: 20 * NS_PER_MS if seq == 2 else NS_PER_MS)
    world.run(steady(world, 60))
    assert 3 not in world.rehearsed
    assert set(range(30, 61)) <= world.rehearsed.keys()
    assert {latency for _, _, latency in world.shown[2:]} == {9 * NS_PER_MS + world.draw_ns}


@pytest.mark.parametrize("look_ns", [None, LOOK, SOON])
def test_the_picture_does_not_wait_for_a_model_that_is_still_starting(look_ns: int | None) -> None:
    world = World(device(), look_ns=look_ns, up_ns=NS_PER_S + 10 * NS_PER_MS + 10 * PERIOD)
    steady(world, 10, None)
    world.run(steady(world, 10, first=11))
    assert {latency for _, _, latency in world.shown[1:10]} == {(look_ns or 0) + world.draw_ns}
    assert {latency for _, _, latency in world.shown[10:]} == {9 * NS_PER_MS + world.draw_ns}


def test_a_result_of_a_newer_frame_waits_for_its_own() -> None:
    """The model is two frames ahead when a picture that was held up is drawn: each frame still gets the result that is its."""
    world = World(device().model_copy(update={"deadline_ms": 90.0}))
    end = steady(world, 6)
    for _ in range(6):
        world.wait(end)  # three frames and their results came while the loop was not run
    world.run(end)
    assert [seq for seq, _, _ in world.shown] == [1, 2, 3, 4, 5, 6]
    assert all([r.seq for r in decision.shown] in ([seq], []) for seq, decision, _ in world.shown)
    assert not any(a.key == "AI_LATE" for _, decision, _ in world.shown for a in decision.alerts)
    assert world.given == {seq: seq for seq in range(1, 7)}


def test_wake_ups_that_bring_nothing_do_not_keep_the_loop_from_beating() -> None:
    world = World(device())
    start = world.clock.now()
    for i in range(200):
        world.at(start + i * 10 * NS_PER_MS, lambda: None)
    world.run(start + 2 * NS_PER_S)
    assert world.idled >= 30


def test_a_hung_worker_is_withheld_on_its_first_frame_and_shown_again_after_recovery() -> None:
    world = World(device())
    steady(world, 20)
    steady(world, 10, None, first=21)
    world.run(steady(world, 30, first=31))
    before, after = world.shown[19][1], world.shown[20][1]
    assert (before.verdict, after.verdict) == (Verdict.SHOW, Verdict.WITHHOLD)
    assert world.shown[-1][1].verdict is Verdict.SHOW
    assert world.shown[-1][1].mode is Mode.NOMINAL
    assert [seq for seq, _, _ in world.shown] == list(range(1, 61))


def test_hold_is_shown_up_to_its_age_and_not_a_frame_longer() -> None:
    world = World(device(max_age_ms=70))
    steady(world, 20)
    world.run(steady(world, 5, None, first=21))
    verdicts = [decision.verdict for _, decision, _ in world.shown[19:]]
    assert verdicts == [Verdict.SHOW, Verdict.HOLD, Verdict.HOLD, Verdict.WITHHOLD, Verdict.WITHHOLD, Verdict.WITHHOLD]
    assert [decision.age_ns // NS_PER_MS for _, decision, _ in world.shown[20:22]] == [33, 66]


def test_a_result_of_another_frame_is_never_taken_for_this_ones() -> None:
    world = World(device())
    start = world.clock.now() + PERIOD
    for i in range(1, 30):  # always one frame behind: the result of frame i comes just after frame i + 1 was captured
        world.frame(start + i * PERIOD)
        world.result(start + (i + 1) * PERIOD + NS_PER_MS, i, start + i * PERIOD)
    world.run(start + 31 * PERIOD)
    assert {decision.verdict for _, decision, _ in world.shown} == {Verdict.WITHHOLD}


@pytest.mark.parametrize("look_ns", [None, LOOK, SOON])
def test_no_frame_for_the_stall_time_is_no_signal_and_a_frame_ends_it(look_ns: int | None) -> None:
    world = World(device(), look_ns=look_ns)
    steady(world, 5)
    end = steady(world, 20, first=41)
    for i in range(20):  # the ring counts what it carries: the frames after the pause are 6, 7 …
        world.result(
            NS_PER_S + 10 * NS_PER_MS + (40 + i) * PERIOD + 9 * NS_PER_MS,
            6 + i,
            NS_PER_S + 10 * NS_PER_MS + (40 + i) * PERIOD,
        )
    world.run(end)
    last_captured = NS_PER_S + 10 * NS_PER_MS + 4 * PERIOD
    at, decision = world.signals[0]
    assert 300 <= (at - last_captured) / NS_PER_MS < 400
    assert decision.mode is Mode.FAULT
    assert any(alert.key == "NO_SIGNAL" for alert in decision.alerts)
    assert all(at < last_captured + 36 * PERIOD + 2 * world.draw_ns for at, _ in world.signals)
    assert world.shown[-1][1].mode is not Mode.FAULT


def test_a_picture_that_stays_the_same_is_frozen_until_it_moves() -> None:
    world = World(device(), frozen_ns=300 * NS_PER_MS)
    end = steady(world, 25)
    world.run(end)
    withheld = [seq for seq, decision, _ in world.shown if any(a.key == "CAMERA_FROZEN" for a in decision.alerts)]
    assert withheld == list(range(11, 26))  # the tenth frame after the first is the first one 330 ms later
    assert all(decision.verdict is Verdict.WITHHOLD for seq, decision, _ in world.shown if seq in withheld)


def test_a_loop_that_was_held_up_goes_on_with_a_frame_that_can_still_be_in_time() -> None:
    world = World(device())
    end = steady(world, 6)
    for _ in range(12):
        world.wait(end)  # six frames and six results came while the loop was not run
    world.run(world.clock.now() + PERIOD)
    assert [seq for seq, _, _ in world.shown] == [6]
    assert world.lost == 5


def test_a_model_that_can_not_be_in_time_is_not_waited_for_and_its_result_comes_in_later() -> None:
    """budget_ms beyond the deadline, every third frame: the picture goes out at once, the result is shown on the frames after."""
    world = World(device(every=3, budget_ms=60, max_age_ms=200, required=False))
    start = world.clock.now() + PERIOD
    for i in range(1, 40):
        captured = start + i * PERIOD
        world.frame(captured)
        if (i - 1) % 3 == 0:
            world.result(captured + 50 * NS_PER_MS, i, captured)
    world.run(start + 40 * PERIOD)
    assert [seq for seq, _, _ in world.shown] == list(range(1, 40))
    assert {latency for _, _, latency in world.shown} == {world.draw_ns}
    ages = [decision.age_ns // PERIOD for _, decision, _ in world.shown[20:] if decision.shown]
    assert ages
    assert max(ages) <= 6
