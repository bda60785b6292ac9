"""The CSV sensor: its true rate, gaps as gaps, and one clear line for each thing that is wrong."""

from pathlib import Path
from typing import Any

import pytest

from inframe.core.clock import NS_PER_MS, NS_PER_S, ManualClock
from inframe.core.errors import ConfigError
from inframe.drivers.sensors.csvfile import read_csv
from tests.drivers.check_sensor import check_sensor, read_all
from tests.drivers.sensors.stage import csv, play


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "samples.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def lines(count: int) -> str:
    return "time,x\n" + "".join(f"{5 + n / 100},{n}\n" for n in range(count))


def test_conforms(tmp_path: Path) -> None:
    clock = ManualClock()
    check_sensor(lambda: play(csv(write(tmp_path, lines(100))), clock), clock, 1)


def test_it_plays_at_its_true_rate(tmp_path: Path) -> None:
    clock = ManualClock()
    began = clock.now()
    blocks = read_all(play(csv(write(tmp_path, lines(1000))), clock))
    assert [v for b in blocks for (v,) in b.values] == list(range(1000))
    assert [ns for b in blocks for ns in b.captured_ns or ()] == [began + n * 10 * NS_PER_MS for n in range(1000)]
    assert clock.now() - began == pytest.approx(9.99 * NS_PER_S, abs=20 * NS_PER_MS)
    for block in blocks:
        assert block.captured_ns is not None
        assert 0 <= block.arrived_ns - block.captured_ns[-1] < 20 * NS_PER_MS


def test_other_units_of_time_other_columns_and_a_byte_order_mark(tmp_path: Path) -> None:
    path = write(tmp_path, "\ufeffforce, t ,other\n1.5,1000,a\n2.5,1010,b\n\n")
    times, values = read_csv(csv(path, time="t", time_unit="ms", channels={"f": {"unit": "N", "source": "force"}}))
    assert times.tolist() == [0, 10 * NS_PER_MS]
    assert values.tolist() == [[1.5], [2.5]]


def test_nothing_and_not_a_number_are_gaps(tmp_path: Path) -> None:
    _, values = read_csv(csv(write(tmp_path, "time,x\n0,1\n1,\n2,nan\n3,4\n")))
    assert [row[0] == row[0] for row in values.tolist()] == [True, False, False, True]


BAD: list[tuple[str | bytes, dict[str, Any], str]] = [
    ("", {}, "file: found an empty file, expected a line of names, then a line for each sample"),
    ("time,x\n", {}, "file: found no samples, expected a line of names, then"),
    ("t,x\n0,1\n", {}, "columns: found t, x, expected a column 'time'"),
    ("time,y\n0,1\n", {}, "columns: found time, y, expected a column 'x'"),
    ("time,x,x\n0,1,2\n", {}, "columns: found 'x' twice, expected each column once"),
    ("time,x\n0,1\n1,high\n", {}, "line 3: found 'high', expected a number, or nothing"),
    ("time,x\n0,1\nnan,2\n", {}, "line 3: found the time 'nan', expected a number"),
    ("time,x\n0,1\n1\n", {}, "line 3: found 1 fields, expected 2 or more"),
    (b"time,x\n0,\xff\xfe\n", {}, "expected a UTF-8 text file of comma-separated values"),
    ("time,x\n0,1\n1e30,2\n", {}, "time: found times more than ten years apart, expected times in s"),
]


@pytest.mark.parametrize(("text", "changes", "said"), BAD)
def test_what_is_wrong_is_one_clear_line(tmp_path: Path, text: str | bytes, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_csv(csv(write(tmp_path, text), **changes))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file or directory, expected a readable file"):
        read_csv(csv(tmp_path / "no.csv"))
