"""A worker's step, with a model that says what it is told to: the newest frame, the due models, honest counts."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pytest

from inframe.core.clock import NS_PER_MS, NS_PER_S, ManualClock
from inframe.core.errors import DeviceFault
from inframe.core.types import Masks, Missed, MissedReason, Output, Pixels, Result, Steps
from inframe.pipeline import results, ring
from inframe.pipeline.board import Board, Count, create_board
from inframe.pipeline.gate import looks_at
from inframe.pipeline.given import NOTHING, Given
from inframe.pipeline.model import Model
from inframe.pipeline.ring import Header, RingReader, RingWriter
from inframe.pipeline.worker import FAILURES, IDLE_NS, Job, Source, Worker

SIDE, SLOTS = 4, 4


class FakeModel:
    """Sees the first pixel's value; `before` happens while it runs, and each run takes `ms`."""

    def __init__(self, name: str, calls: list[tuple[str, int]]) -> None:
        self.name, self.calls = name, calls
        self.ms = 5.0
        self.last_fault = ""
        self.says: MissedReason | None = None
        self.before: Callable[[], object] = lambda: None

    takes: tuple[str, ...] = ()

    def run(self, pixels: Pixels, clock: ManualClock, given: Given = NOTHING) -> tuple[Output | MissedReason, Steps]:
        self.calls.append((self.name, int(pixels[0, 0, 0])))
        seen = Masks(pixels[:, :, 0].copy())
        self.before()
        began = clock.now()
        clock.advance(int(self.ms * NS_PER_MS))
        return self.says or seen, Steps(began, began, clock.now(), clock.now())


@dataclass
class Desk:
    """A worker on two streams; its models by name."""

    clock: ManualClock = field(default_factory=ManualClock)
    calls: list[tuple[str, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.frames: dict[str, RingWriter] = {}
        self.sources: dict[str, Source] = {}
        for name in ("endoscope", "ultrasound"):
            fd = ring.create(name, SLOTS, SIDE * SIDE * 3)
            self.frames[name] = RingWriter(fd, ())
            reader = RingReader(fd)
            self.sources[name] = Source(name, reader, [p.reshape(SIDE, SIDE, 3) for p in reader.payloads], 0)
        self.models: dict[str, FakeModel] = {}
        self.outputs: dict[str, RingReader] = {}
        self.jobs: list[Job] = []
        self.board = Board(create_board(1), ("worker.w",))
        self.row = self.board.row("worker.w")

    def model(self, name: str, stream: str = "endoscope", every: int = 1, required: bool = True) -> FakeModel:
        fd = ring.create(name, 4, results.capacity(SIDE * SIDE))
        model = self.models[name] = FakeModel(name, self.calls)
        self.outputs[name] = RingReader(fd)
        source = self.sources[stream]
        self.jobs.append(Job(name, cast("Model", model), source, RingWriter(fd, ()), every, 10 * NS_PER_MS, required))
        return model

    def worker(self) -> Worker:
        return Worker(self.jobs, list(self.sources.values()), self.row, self.clock)

    def frame(self, value: int, stream: str = "endoscope") -> int:
        self.frames[stream].begin().fill(value)
        return self.frames[stream].commit(Header(0, captured_ns=1000 + value))

    def said(self, name: str) -> Any:
        return results.read_newest(self.outputs[name], name, 256)


def test_a_frame_is_looked_at_once() -> None:
    desk = Desk()
    desk.model("m")
    worker = desk.worker()
    worker.step()
    assert desk.calls == []
    desk.frame(7)
    worker.step()
    worker.step()
    assert desk.calls == [("m", 7)]
    said = desk.said("m")
    assert isinstance(said, Result)
    assert (said.seq, said.captured_ns) == (1, 1007)
    assert isinstance(said.output, Masks)
    assert (said.output.classes == 7).all()
    assert said.steps.decoded - said.steps.started == 5 * NS_PER_MS


def test_the_newest_frame_wins() -> None:
    desk = Desk()
    desk.model("m")
    worker = desk.worker()
    for value in (1, 2, 3):
        desk.frame(value)
    worker.step()
    assert desk.calls == [("m", 3)]
    assert desk.said("m").seq == 3


def test_each_model_looks_at_the_frames_it_is_due_for() -> None:
    desk = Desk()
    desk.model("each")
    desk.model("third", every=3)
    worker = desk.worker()
    for value in range(1, 11):
        desk.frame(value)
        worker.step()
    assert [value for name, value in desk.calls if name == "each"] == list(range(1, 11))
    assert [value for name, value in desk.calls if name == "third"] == [v for v in range(1, 11) if looks_at(3, v)]
    assert 3 <= sum(name == "third" for name, _ in desk.calls) <= 4


def test_a_model_that_was_due_for_a_frame_passed_over_looks_at_the_newest() -> None:
    """Under load a worker sees every other frame; a model with `every` must not be starved by whichever those are."""
    desk = Desk()
    desk.model("third", every=3)
    worker = desk.worker()
    seen = 0
    for value in range(1, 31):
        seq = desk.frame(value)
        if value % 2:
            worker.step()
        seen += any(name == "third" for name, at in desk.calls if at == seq)
    assert seen == 10
    assert desk.said("third").seq % 2 == 1


def test_why_a_run_missed_is_told_once() -> None:
    desk = Desk()
    model = desk.model("m")
    told: list[tuple[str, str]] = []
    worker = Worker(desk.jobs, list(desk.sources.values()), desk.row, desk.clock, lambda *what: told.append(what))
    for value, (says, why) in enumerate(
        [
            (None, ""),
            (MissedReason.INVALID, "NaN"),
            (MissedReason.INVALID, "NaN"),
            (None, "NaN"),
            (MissedReason.FAILED, "raised"),
        ]
    ):
        model.says, model.last_fault = says, why
        desk.frame(value)
        worker.step()
    assert told == [("model m: INVALID", "NaN"), ("model m: FAILED", "raised")]


def test_each_model_looks_at_its_own_stream() -> None:
    desk = Desk()
    desk.model("a", "endoscope")
    desk.model("b", "ultrasound")
    worker = desk.worker()
    desk.frame(9, "ultrasound")
    worker.step()
    desk.frame(4, "endoscope")
    worker.step()
    assert desk.calls == [("b", 9), ("a", 4)]


def test_what_the_picture_depends_on_comes_first() -> None:
    desk = Desk()
    desk.model("beside", required=False)
    desk.model("needed")
    desk.frame(1)
    desk.worker().step()
    assert [name for name, _ in desk.calls] == ["needed", "beside"]


def test_a_frame_that_was_overwritten_while_it_was_read_gives_no_result() -> None:
    desk = Desk()
    model = desk.model("m")
    model.before = lambda: [desk.frame(50 + i) for i in range(SLOTS)]
    seq = desk.frame(1)
    desk.worker().step()
    assert desk.said("m") == Missed("m", seq, MissedReason.LATE)


def test_a_frame_that_is_only_followed_by_others_is_still_whole() -> None:
    desk = Desk()
    model = desk.model("m")
    model.before = lambda: [desk.frame(50 + i) for i in range(SLOTS - 2)]
    seq = desk.frame(1)
    desk.worker().step()
    assert desk.said("m").seq == seq
    assert isinstance(desk.said("m"), Result)


def test_counts() -> None:
    desk = Desk()
    model = desk.model("m")
    worker = desk.worker()
    first = 0
    for i, (ms, says) in enumerate(
        [(10.0, MissedReason.INVALID), (10.1, None), (30.0, MissedReason.FAILED), (1.0, None)], 1
    ):
        model.ms, model.says = ms, says
        desk.frame(i)
        worker.step()
        if i == 1:
            first = desk.clock.now()
    counts = {count: desk.row.get(count) for count in (Count.FRAMES, Count.OVER_BUDGET, Count.INVALID, Count.FAILED)}
    assert counts == {Count.FRAMES: 4, Count.OVER_BUDGET: 2, Count.INVALID: 1, Count.FAILED: 1}
    assert desk.row.get(Count.SEQ) == 4
    assert desk.row.get(Count.FIRST_NS) == first
    assert desk.row.heartbeat_ns == desk.clock.now()


def test_a_reason_is_passed_on() -> None:
    desk = Desk()
    desk.model("m").says = MissedReason.INVALID
    desk.frame(1)
    desk.worker().step()
    assert desk.said("m") == Missed("m", 1, MissedReason.INVALID)


def test_failure_after_failure_ends_the_process() -> None:
    desk = Desk()
    model = desk.model("m")
    worker = desk.worker()
    for i in range(1, FAILURES):
        model.says = MissedReason.FAILED
        desk.frame(i)
        worker.step()
    desk.frame(FAILURES)
    with pytest.raises(DeviceFault, match=f"{FAILURES} runs failed"):
        worker.step()
    assert desk.said("m") == Missed("m", FAILURES, MissedReason.FAILED)
    assert desk.row.get(Count.FIRST_NS) == 0


def test_one_good_run_forgives_the_failures_before() -> None:
    desk = Desk()
    model = desk.model("m")
    worker = desk.worker()
    for i in range(1, 3 * FAILURES):
        model.says = None if i % FAILURES == 0 else MissedReason.FAILED
        desk.frame(i)
        worker.step()
    assert desk.row.get(Count.FAILED) == 3 * FAILURES - 1 - 2


def test_a_stream_is_read_as_pictures_of_its_size() -> None:
    from tests.pipeline.script import device

    fd = ring.create("endoscope", 2, 1280 * 720 * 3)
    writer = RingWriter(fd, ())
    source = Source.of(device(), "endoscope", fd)
    writer.begin().fill(3)
    seq = writer.commit(Header(0))
    assert source.views[seq % 2].shape == (720, 1280, 3)
    assert np.all(source.views[seq % 2] == 3)
    assert source.last == 0


@pytest.mark.parametrize("fps", [0.5, 2, 10, 30])
def test_a_worker_beats_often_enough_however_slow_the_camera(fps: float) -> None:
    desk = Desk()
    desk.model("m")
    worker = desk.worker()
    desk.sources["endoscope"].period_ns = int(NS_PER_S / fps)
    desk.frame(1)
    worker.step()
    for _ in range(100):
        now = desk.clock.now()
        moment = worker.next_look(now)
        assert 0 < moment - now <= IDLE_NS
        worker.rehearse()
        desk.clock.set(moment)
    assert desk.calls == [("m", 1)]
