"""The trail with the device's monotonic counter: what the recorder writes, and what its auditor then sees."""

import shutil
from pathlib import Path

import pytest

from inframe import audit
from inframe.core.clock import NS_PER_S
from inframe.recorder.store import ANCHOR_NS
from inframe.trail.counter import FileCounter
from inframe.trail.files import Disk
from inframe.trail.report import Report
from tests.drivers.tpm import Tpm, tpm
from tests.recorder.desk import Desk

__all__ = ["tpm"]


def with_tpm(folder: Path, tpm: Tpm) -> Desk:
    return Desk(folder, trail={"folder": str(folder), "counter": tpm.config.model_dump()})


def verified(desk: Desk) -> Report:
    """What `inframe trail verify` says on the device itself."""
    desk.home.counter = desk.store._home.counter
    place = audit.place_of(desk.home, desk.home.logs()[-1], None)
    return audit.check(place, None, None, (), (), lambda _done, _of: None)


def test_a_trail_that_was_put_back_is_found_by_its_counter(tmp_path: Path, tpm: Tpm) -> None:
    tpm.commission()
    desk = with_tpm(tmp_path / "trail", tpm)
    desk.second()
    desk.close()
    assert verified(desk).damages == []
    assert "COUNTER_LOST" not in desk.board.faults()
    log, old = desk.home.folder / "log", tmp_path / "old"
    desk.kill()
    shutil.copytree(log, old)
    desk.begin()
    desk.second()
    desk.close()
    desk.kill()
    assert verified(desk).damages == []
    shutil.rmtree(log)
    old.rename(log)
    [damage] = verified(desk).damages
    assert "as the device's counter says: the end is missing" in damage.expected
    desk.begin()
    assert [event.name for event in desk.events("ROLLED_BACK", "NO_COUNTER")] == ["ROLLED_BACK"]


def test_without_its_tpm_the_device_records_and_says_so(tmp_path: Path, tpm: Tpm) -> None:
    tpm.commission()
    tpm.power_cut()
    desk = with_tpm(tmp_path, tpm)
    desk.second()
    (gap,) = desk.events("NO_COUNTER")
    assert gap.data["why"].startswith("tpm2_nvread 0x01800001: ")
    assert "COUNTER_LOST" in desk.board.faults()
    assert len(desk.frames()) == 30
    tpm.power_on()


@pytest.mark.parametrize(("waited_ns", "steps"), [(ANCHOR_NS - 3 * NS_PER_S, 1), (ANCHOR_NS, 2)])
def test_it_takes_a_step_when_the_log_is_opened_and_every_few_minutes(
    tmp_path: Path, waited_ns: int, steps: int
) -> None:
    desk = Desk(tmp_path / "trail")
    desk.kill()
    (tmp_path / "count").mkdir()
    counter = FileCounter(Disk(tmp_path / "count"))
    desk.start()
    desk.store._home.counter = counter
    desk.write()
    desk.clock.advance(waited_ns)
    desk.second()
    desk.second()
    assert counter.read() == steps
