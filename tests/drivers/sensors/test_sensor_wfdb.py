"""WFDB records: a real one at its true rate, and what is wrong with others."""

import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from inframe.core.clock import NS_PER_S, ManualClock
from inframe.core.errors import ConfigError
from inframe.drivers.sensors.wfdb import read_wfdb
from tests.drivers.check_sensor import check_sensor, read_all
from tests.drivers.sensors.stage import play, record, wfdb

FIRST_ABP = [51.557632, 51.323988, 50.934579]
"""mmHg; and of MCL1, mV: as the library `wfdb` 4 reads the same file."""
FIRST_MCL1 = [0.022606, 0.022606, 0.022606]


def pack(values: list[int]) -> bytes:
    """Format 212."""
    pairs = [*values, 0][: len(values) + len(values) % 2]
    out = bytearray()
    for a, b in zip(pairs[::2], pairs[1::2], strict=True):
        out += bytes([a & 0xFF, (a >> 8 & 0xF) | (b >> 8 & 0xF) << 4, b & 0xFF])
    return bytes(out)


def write(folder: Path, values: list[int], header: str | None = None, name: str = "r") -> Path:
    (folder / f"{name}.dat").write_bytes(pack(values))
    total = sum(values) & 0xFFFF
    text = header or f"{name} 1 125 {len(values)}\n{name}.dat 212 10(-5)/mmHg 12 0 {values[0]} {total} 0 ABP\n"
    (folder / f"{name}.hea").write_text(text)
    return folder / f"{name}.hea"


def test_the_real_record_plays_at_its_true_rate() -> None:
    clock = ManualClock()
    began = clock.now()
    blocks = read_all(play(wfdb(record(), ABP="mmHg", RESP="mV"), clock))
    count = sum(len(block.values) for block in blocks)
    assert count == 75000
    assert clock.now() - began == pytest.approx(600 * NS_PER_S, abs=NS_PER_S / 50)
    times = [ns for block in blocks for ns in block.captured_ns or ()]
    assert times == [began + n * 8_000_000 for n in range(75000)]
    assert [row[0] for row in blocks[0].values[:1]] == pytest.approx(FIRST_ABP[:1], abs=1e-3)


def test_the_real_record_has_the_right_units_rates_and_gaps() -> None:
    _, abp = read_wfdb(wfdb(record(), ABP="mmHg", RESP="mV"))
    times, ecg = read_wfdb(wfdb(record(), rate_hz=500, MCL1="mV"))
    assert len(ecg) == 4 * len(abp) == 300_000
    assert times[-1] == 299_999 * 2_000_000
    assert abp[:3, 0].tolist() == pytest.approx(FIRST_ABP, abs=1e-3)
    assert ecg[:3, 0].tolist() == pytest.approx(FIRST_MCL1, abs=1e-3)
    assert np.isnan(abp[-4:, 1]).all(), "the respiration is skewed by four frames: its last ones are not in the file"
    assert not np.isnan(abp[:-4, 1]).any()


@pytest.mark.parametrize(
    ("rate", "channels", "said"),
    [
        (125, {"ABP": "kPa"}, "channels.abp.unit: found kPa, expected mmHg, as the record says"),
        (250, {"ABP": "mmHg"}, "rate_hz of ABP: found 250, expected 125, as the record says"),
        (125, {"CVP": "mmHg"}, "channels.cvp: found CVP, expected one of: MCL1, ABP, RESP"),
        (125, {"MCL1": "mV"}, "rate_hz of MCL1: found 125, expected 500, as the record says"),
    ],
)
def test_what_does_not_fit_the_real_record(rate: float, channels: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_wfdb(wfdb(record(), rate, **channels))
    assert said in str(caught.value)


def test_a_bit_flipped_in_the_real_record_is_seen(tmp_path: Path) -> None:
    shutil.copy(record(), tmp_path)
    data = bytearray(record().with_suffix(".dat").read_bytes())
    data[5000] ^= 4
    (tmp_path / "03700181.dat").write_bytes(data)
    seen: list[tuple[str, str]] = []
    for rate, name, unit in ((500, "MCL1", "mV"), (125, "ABP", "mmHg"), (125, "RESP", "mV")):
        try:
            read_wfdb(wfdb(tmp_path / "03700181.hea", rate, **{name: unit}))
        except ConfigError as error:
            seen.append((name, error.field))
    assert [f"checksum of {name}" for name, _ in seen] == [field for _, field in seen]
    assert len(seen) == 1


def test_conforms(tmp_path: Path) -> None:
    clock = ManualClock()
    path = write(tmp_path, list(range(-100, 100)))
    check_sensor(lambda: play(wfdb(path, ABP="mmHg"), clock), clock, 1)


def test_values_baseline_and_what_the_record_marks_as_invalid(tmp_path: Path) -> None:
    _, values = read_wfdb(wfdb(write(tmp_path, [-5, 5, -2048, 2047, -2047]), ABP="mmHg"))
    assert values[:2, 0].tolist() == [0.0, 1.0]
    assert math.isnan(values[2, 0])
    assert values[3:, 0].tolist() == [205.2, -204.2]


def test_a_segment_that_is_missing_or_a_gap(tmp_path: Path) -> None:
    write(tmp_path, [1, 2, 3, 4], name="s1")
    write(tmp_path, [5, 6], name="s3")
    whole = tmp_path / "whole.hea"
    whole.write_text("whole/3 1 125 9\ns1 4\n~ 3\ns3 2\n")
    times, values = read_wfdb(wfdb(whole, ABP="mmHg"))
    assert times.tolist() == [n * 8_000_000 for n in range(9)]
    assert [None if math.isnan(v) else round(v * 10 - 5) for v in values[:, 0]] == [1, 2, 3, 4, None, None, None, 5, 6]
    (tmp_path / "s3.hea").unlink()
    with pytest.raises(
        ConfigError, match=r"segments: found s3, without a file s3.hea, expected a header for each segment"
    ):
        read_wfdb(wfdb(whole, ABP="mmHg"))


GOOD = "r.dat 212 10/mmHg 12 0 1 10 0 ABP\n"
BAD = [
    ("", "found an empty file, expected a WFDB header"),
    ("\x00\x01\x02", "expected a WFDB header"),
    ("r 1 0 4\n" + GOOD, "expected a rate above 0"),
    ("r 2 125 4\n" + GOOD, "signals: found 1 lines, expected 2"),
    ("r 1 125 4\nr.dat 311 10/mmHg 12 0 1 10 0 ABP\n", "signal 1: found format 311, expected one of 80, 212, 16, 61"),
    ("r 1 125 4\nr.dat 212 ten/mmHg 12 0 1 10 0 ABP\n", "signal 1: found 'ten/mmHg', expected gain(baseline)/unit"),
    ("r 1 125 4\n../r.dat 212 10/mmHg 12 0 1 10 0 ABP\n", "signal 1: found"),
    ("r 1 125 4\nno.dat 212 10/mmHg 12 0 1 10 0 ABP\n", "file of ABP: found no.dat (No such file or directory)"),
    ("r 1 125 9\n" + GOOD, "samples: found 4 frames, expected 9, as r.hea says"),
    ("r 1 125 4\nr.dat 212 10/mmHg 12 0 1 11 0 ABP\n", "checksum of ABP: found 10, expected 11, as r.hea says"),
    ("r/2 1 125 4\nx y z\n~ 3\n", "segments: found 'x y z', expected a name and a number of samples"),
    ("r/2 1 125 4\n~ 3\n", "segments: found 1 lines, expected 2"),
]


@pytest.mark.parametrize(("header", "said"), BAD)
def test_what_is_wrong_is_one_clear_line(tmp_path: Path, header: str, said: str) -> None:
    path = write(tmp_path, [1, 2, 3, 4], header or "\n")
    with pytest.raises(ConfigError) as caught:
        read_wfdb(wfdb(path, ABP="mmHg"))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_empty_file_of_samples(tmp_path: Path) -> None:
    path = write(tmp_path, [1, 2])
    (tmp_path / "r.dat").write_bytes(b"")
    with pytest.raises(ConfigError, match="found an empty file, expected samples"):
        read_wfdb(wfdb(path, ABP="mmHg"))
