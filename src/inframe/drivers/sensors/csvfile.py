"""Samples in a text file: a line of names, then a line of numbers for each sample, separated by commas. A field that is empty or
`nan` is a gap."""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inframe.core.errors import ConfigError
from inframe.core.sensor import CsvSensor

UNITS_NS = {"s": 1e9, "ms": 1e6, "us": 1e3, "ns": 1.0}
LATEST_NS = 10 * 366 * 86400 * 1e9
"""No recording is longer than ten years."""


def read_csv(sensor: CsvSensor) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The whole file: times, (n,) int64, ns since its first; values, (n, channels) float64. Raises ConfigError."""
    path = Path(sensor.path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file, strict=True)
            columns = _columns(path, next(lines, None), sensor)
            rows = np.array(list(_rows(path, lines, columns)), np.float64)
    except OSError as error:
        raise ConfigError(path, "file", error.strerror or error, "a readable file") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(path, "file", error, "a UTF-8 text file of comma-separated values") from None
    if not len(rows):
        raise ConfigError(path, "file", "no samples", "a line of names, then a line for each sample")
    times = (rows[:, 0] - rows[0, 0]) * UNITS_NS[sensor.time_unit]
    if not np.all(np.abs(times) < LATEST_NS):
        raise ConfigError(path, sensor.time, "times more than ten years apart", f"times in {sensor.time_unit}")
    return np.rint(times).astype(np.int64), rows[:, 1:]


def _columns(path: Path, names: list[str] | None, sensor: CsvSensor) -> list[int]:
    """Where the time and the channels stand."""
    if not names:
        raise ConfigError(path, "file", "an empty file", "a line of names, then a line for each sample")
    found = [name.strip() for name in names]
    for name in wanted(sensor):
        if name not in found:
            raise ConfigError(path, "columns", ", ".join(found), f"a column {name!r}")
        if found.count(name) > 1:
            raise ConfigError(path, "columns", f"{name!r} twice", "each column once")
    return [found.index(name) for name in wanted(sensor)]


def wanted(sensor: CsvSensor) -> list[str]:
    """The columns: the time's, then the channels'."""
    return [sensor.time, *(channel.source or name for name, channel in sensor.channels.items())]


def _rows(path: Path, lines: Iterator[list[str]], columns: list[int]) -> Iterator[list[float]]:
    for number, line in enumerate(lines, 2):
        if not line:
            continue
        if len(line) <= max(columns):
            raise ConfigError(path, f"line {number}", f"{len(line)} fields", f"{max(columns) + 1} or more")
        row = [_number(path, number, line[column]) for column in columns]
        if not np.isfinite(row[0]):
            raise ConfigError(path, f"line {number}", f"the time {line[columns[0]]!r}", "a number")
        yield row


def _number(path: Path, line: int, text: str) -> float:
    try:
        return float(text) if text.strip() else float("nan")
    except ValueError:
        raise ConfigError(path, f"line {line}", repr(text), "a number, or nothing") from None
