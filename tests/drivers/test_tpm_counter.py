"""A TPM's NV counter, on a TPM in software."""

from pathlib import Path

import pytest

from inframe.core.errors import DeviceFault
from inframe.core.part import TrailCounter
from inframe.drivers.tpm_counter import TpmCounter, counter_of
from tests.drivers.tpm import INDEX, MISSING, Tpm, tpm

__all__ = ["tpm"]


def test_it_counts_up_and_keeps_its_value_without_power(tpm: Tpm) -> None:
    tpm.commission()
    counter = TpmCounter(tpm.config)
    first = counter.read()
    assert [counter.increment(), counter.increment(), counter.read()] == [first + 1, first + 2, first + 2]
    tpm.power_cut()
    with pytest.raises(DeviceFault, match="tpm2_nvread 0x01800001: "):
        counter.read()
    tpm.power_on()
    assert counter.read() == first + 2


def test_one_that_is_deleted_and_made_anew_does_not_go_back(tpm: Tpm) -> None:
    tpm.commission()
    counter = TpmCounter(tpm.config)
    last = [counter.increment() for _ in range(5)][-1]
    tpm.tool("tpm2_nvundefine", INDEX, "-C", "o")
    tpm.commission()
    assert counter.read() > last


def test_no_counter_is_one_clear_line(tpm: Tpm) -> None:
    counter = TpmCounter(tpm.config)
    for call in (counter.read, counter.increment):
        with pytest.raises(DeviceFault, match="the handle is not correct") as caught:
            call()
        assert "\n" not in str(caught.value)
    tpm.tool("tpm2_nvdefine", INDEX, "-C", "o", "-s", "8", "-a", "authread|authwrite|no_da")
    with pytest.raises(DeviceFault, match="tpm2_nvincrement 0x01800001: Failed to increment NV counter"):
        counter.increment()


@pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
def test_no_tpm_is_one_clear_line() -> None:
    with pytest.raises(DeviceFault, match="tpm2_nvread 0x01800001: Could not load tcti") as caught:
        TpmCounter(TrailCounter(nv_index=INDEX, tcti="device:/dev/none")).read()
    assert "\n" not in str(caught.value)


def test_no_tool_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    counter = counter_of(TrailCounter(nv_index=INDEX))
    assert counter is not None
    with pytest.raises(DeviceFault, match="tpm2_nvread: no such program; expected the package tpm2-tools"):
        counter.read()
