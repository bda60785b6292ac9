"""The floor: the same camera, model, rules and overlay in one plain loop of one process, with nothing shared and nothing
isolated. What the real thing costs above it is the price of the isolation."""

import os
from types import TracebackType
from typing import Self

import numpy as np

from inframe.core.clock import MonotonicClock
from inframe.core.config import Device
from inframe.core.types import Controls, Frame, Missed, MissedReason, Output, Result, Steps
from inframe.drivers.cameras import open_camera
from inframe.machine.child import ChildContext
from inframe.machine.launch import launch
from inframe.machine.supervise import ProcessSpec, Supervisor
from inframe.pipeline import record, ring
from inframe.pipeline.board import Board, Count, create_board
from inframe.pipeline.decide import decide, initial, make_plan
from inframe.pipeline.display import overlay_of
from inframe.pipeline.model import load_of
from inframe.pipeline.record import RecordWriter, fields_of
from inframe.pipeline.ring import RingWriter
from inframe.pipeline.start import ready
from inframe.table import PROCESSES, layout_of, partition_of

ROWS = ("floor",)


class PlainLoop:
    """The parent's side: a context manager that starts the loop, with the scheduling that the device's worker has (the ordinary
    one where `device.real_time` is off)."""

    def __init__(self, device: Device) -> None:
        board, records = (
            create_board(len(ROWS)),
            ring.create("floor", record.SLOTS, record.fields_of(device).layout.size),
        )
        self._notes = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self.records_fd, self.fields = ring.read_only(records), record.fields_of(device)
        self._row = Board(board, ROWS).row("floor")
        spec = ProcessSpec(
            "floor",
            "inframe.bench.floor:main",
            partition_of(device, "worker", "", layout_of(device)),
            PROCESSES["worker"].restarts,
            args={"device": device.model_dump(mode="json"), "rows": list(ROWS)},
            fds={"board": board, "records": records, "notes": self._notes[1]},
        )
        self.supervisor = Supervisor([spec], MonotonicClock(), launch, lambda _notice: None)

    def __enter__(self) -> Self:
        self.supervisor.reconcile()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.supervisor.stop(3.0)

    def step(self) -> None:
        """Keep it running."""
        self.supervisor.reconcile()

    def pids(self) -> list[int]:
        """Its process."""
        pid = self.supervisor.pid("floor")
        return [] if pid is None else [pid]

    @property
    def is_ready(self) -> bool:
        """Whether it has shown frames."""
        return self._row.get(Count.READY_NS) > 0


def said_of(name: str, frame: Frame, output: Output | MissedReason, steps: Steps) -> Result | Missed:
    """A model's output as the display gets it."""
    if isinstance(output, MissedReason):
        return Missed(name, frame.seq, output)
    return Result(name, frame.seq, frame.captured_ns, output, steps)


def main(ctx: ChildContext) -> None:
    """The process's life: same scheduling class and core as the frame path's processes, so that only the structure differs."""
    import cv2

    cv2.setNumThreads(1)
    device = Device.model_validate(ctx.args["device"])
    clock, stream = MonotonicClock(), device.streams[device.display]
    name = next(iter(device.models))
    model = load_of(device, name)
    model.warm_up(clock)
    plan = make_plan(device, {name: model.labels})
    overlay = overlay_of(device, {name: model.labels})
    records = RecordWriter(RingWriter(ctx.fds["records"], ()), fields_of(device))
    camera = open_camera(stream, clock)
    row = Board(ctx.fds["board"], tuple(ctx.args["rows"])).row(ctx.name)
    pixels, screen = (np.zeros((stream.height, stream.width, 3), np.uint8) for _ in range(2))
    state, controls, seq = initial(plan, clock.now()), Controls(), 0
    ready(ctx, row, clock, gc_off=True)
    while not ctx.stop.is_set():
        row.beat(clock.now())
        shot = camera.read(pixels, 0.1)
        if shot is None:
            continue
        seq += 1
        frame = Frame(device.display, seq, shot.captured_ns, shot.captured_ns + device.deadline_ns, pixels)
        output, steps = model.run(pixels, clock)
        said = said_of(name, frame, output, steps)
        decision, state = decide(plan, frame, {name: said}, {}, controls, state)
        overlay.draw(screen, pixels, decision, controls, clock.now())
        records.write(frame, {name: said}, decision, clock.now())
