"""The guard: what it takes from the records, and the real process with a real box."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from inframe.assistant import llamacpp
from inframe.assistant.keeper import SILENT_NS, State
from inframe.core.assist import AssistantConfig
from inframe.core.config import Device
from inframe.core.types import Mode
from inframe.core.yamlfile import read_device
from inframe.device import _share
from inframe.machine.launch import launch
from inframe.pipeline.board import Board, Count
from inframe.pipeline.ring import RingReader
from inframe.reference_device import device_file
from inframe.resolve import resolve
from inframe.table import names, spec_of
from reference.assistant.critical import Display
from tests.console.stand import until

Scene = tuple[Device, dict[str, int], Board]


class Clock:
    ns = 10**9

    def now(self) -> int:
        return self.ns


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    path = device_file()
    raw = read_device(path)
    config = AssistantConfig(critical=(next(iter(raw.rules)),), socket=str(tmp_path / "asked"))
    if llamacpp.library() is None:
        config = config.model_copy(update={"model": None})
    device = resolve(raw.model_copy(update={"assistant": config}), path)
    shared = _share(device)
    yield device, shared, Board(shared["board"], ("device", *names(device)))
    for fd in shared.values():
        os.close(fd)


def test_what_it_takes_from_the_records(scene: Scene) -> None:
    device, shared, board = scene
    shared.setdefault("wake.guard", shared["wake.display"])
    display, clock = Display(device, shared), Clock()
    state = State(device, RingReader(shared["records.read"]), board, frozenset(device.rules), clock)
    assert state.look() == (Mode.VIDEO_ONLY, False)  # nothing was shown
    display.publish(is_critical=False)
    assert state.look() == (Mode.NOMINAL, False)
    display.publish(is_critical=True)
    assert state.look() == state.look() == (Mode.NOMINAL, True)
    display.publish(is_critical=False)
    board.row("device").set_faults({"WORKER_LOST": True}, clock.now())
    assert state.look() == (Mode.DEGRADED, False)
    board.row("device").set_faults({"WORKER_LOST": False, "CONFIG_CHANGED": True}, clock.now())
    assert state.look() == (Mode.NOMINAL, False)
    clock.ns += SILENT_NS + 1
    assert state.look() == (Mode.VIDEO_ONLY, False)


@pytest.mark.skipif(llamacpp.library() is None, reason="xllamacpp is not installed")
def test_a_critical_finding_stops_the_box_and_its_end_lets_it_go_on(scene: Scene) -> None:
    device, shared, board = scene
    display, row = Display(device, shared), board.row("guard")
    guard = launch(spec_of(device, "guard", shared))

    def goes_on(what: str, *, is_critical: bool) -> None:
        def seen() -> bool:
            display.publish(is_critical=is_critical)
            box = row.get(Count.SEQ)
            return bool(box) and (state_of(box) == "T") == (what == "stopped")

        until(seen)

    try:
        goes_on("running", is_critical=False)
        goes_on("stopped", is_critical=True)
        goes_on("running", is_critical=False)
        box = row.get(Count.SEQ)
        guard.send(9)
        until(lambda: not Path(f"/proc/{box}").exists())  # no box without its guard
    finally:
        guard.send(9)
        guard.wait(5.0)
        guard.close()


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
