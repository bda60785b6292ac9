"""PhysioNet records (WFDB): the header, and signal files of the formats that monitors write. Our own reader, as the library of
that name brings pandas, scipy, matplotlib and a web client with it.

Source: https://physionet.org/physiotools/wag/header-5.htm and signal-5.htm. One record may hold signals of several rates; the
channels of one stream must have the same. What the record marks as invalid is not a number.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inframe.core.errors import ConfigError
from inframe.core.sensor import WfdbSensor

Ints = NDArray[np.int64]
_RECORD = re.compile(
    r"(?P<name>[\w-]+)(?:/(?P<segments>\d+))?\s+(?P<signals>\d+)(?:\s+(?P<rate>[\d.eE+-]+)\S*)?(?:\s+(?P<samples>\d+))?.*"
)
_FORMAT = re.compile(r"(?P<format>\d+)(?:x(?P<each>\d+))?(?::(?P<skew>\d+))?(?:\+(?P<offset>\d+))?")
_GAIN = re.compile(r"(?P<gain>[\d.eE+-]+?)(?:\((?P<baseline>-?\d+)\))?(?:/(?P<unit>\S+))?")
_INVALID = {80: -128, 212: -2048, 16: -32768, 61: -32768}
DEFAULT_GAIN, DEFAULT_RATE = 200.0, 250.0
MAX_HEADER = 1 << 20
MAX_SAMPLES = 1 << 31


@dataclass(frozen=True, slots=True)
class Signal:
    """One line of a header."""

    file: str
    format: int
    each: int
    """Samples in each frame of the record."""
    skew: int
    offset: int
    gain: float
    """Steps of the converter for one unit."""
    baseline: int
    unit: str
    checksum: int | None
    name: str


@dataclass(frozen=True, slots=True)
class Header:
    """A record's header: signals, or segments (name, frames), of which "~" is a gap."""

    rate: float
    """Frames a second."""
    frames: int
    signals: tuple[Signal, ...]
    segments: tuple[tuple[str, int], ...]


def read_wfdb(sensor: WfdbSensor) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The stream's channels: times, (n,) int64, ns since the beginning; values, (n, channels) float64. Raises ConfigError."""
    path = Path(sensor.path)
    header = read_header(path)
    if header.segments:
        parts = [_segment(path, name, frames, sensor, header.rate) for name, frames in header.segments]
        values = np.concatenate([part for part in parts if part is not None] or [np.empty((0, 1))])
    else:
        values = _values(path, header, sensor)
    if not len(values):
        raise ConfigError(path, "record", "no samples", "a record with samples")
    return np.rint(np.arange(len(values)) * (1e9 / sensor.rate_hz)).astype(np.int64), values


def _segment(path: Path, name: str, frames: int, sensor: WfdbSensor, rate: float) -> NDArray[np.float64] | None:
    """One segment's channels, those that it lacks as gaps; None for the layout, which has no samples."""
    if not frames:
        return None
    each = max(1, round(sensor.rate_hz / rate))
    gap = np.full((frames * each, len(sensor.channels)), np.nan)
    if name == "~":
        return gap
    file = path.with_name(f"{name}.hea")
    if not file.is_file():
        raise ConfigError(path, "segments", f"{name}, without a file {file.name}", "a header for each segment")
    header = read_header(file)
    if header.segments or header.frames != frames:
        raise ConfigError(file, "record", f"{header.frames} frames", f"{frames}, as {path.name} says")
    return _values(file, header, sensor, partial=True)


def _values(path: Path, header: Header, sensor: WfdbSensor, *, partial: bool = False) -> NDArray[np.float64]:
    """(n, channels); with `partial`, a channel that is not there is a gap."""
    names = {signal.name: signal for signal in header.signals}
    length = 0
    columns: list[NDArray[np.float64] | None] = []
    for name, channel in sensor.channels.items():
        signal = names.get(channel.source or name)
        if signal is None and not partial:
            raise ConfigError(path, f"channels.{name}", channel.source or name, f"one of: {', '.join(names)}")
        if signal is None:
            columns.append(None)
            continue
        if signal.unit != channel.unit:
            raise ConfigError(path, f"channels.{name}.unit", channel.unit, f"{signal.unit}, as the record says")
        rate = header.rate * signal.each
        if abs(rate - sensor.rate_hz) > 1e-6 * rate:
            raise ConfigError(path, f"rate_hz of {signal.name}", f"{sensor.rate_hz:g}", f"{rate:g}, as the record says")
        column = _physical(path, header, signal)
        length = max(length, len(column))
        columns.append(column)
    length = length or header.frames * max(1, round(sensor.rate_hz / header.rate))
    return np.stack([c if c is not None else np.full(length, np.nan) for c in columns], axis=1)


def _physical(path: Path, header: Header, signal: Signal) -> NDArray[np.float64]:
    group = [one for one in header.signals if one.file == signal.file]
    width = sum(one.each for one in group)
    start = sum(one.each for one in group[: group.index(signal)])
    digital = _digital(path, signal, width * header.frames if header.frames else None)
    frames = len(digital) // width
    if not frames or (header.frames and frames != header.frames):
        raise ConfigError(
            path.with_name(signal.file),
            "samples",
            f"{frames} frames",
            f"{header.frames or 'some'}, as {path.name} says",
        )
    own = digital[: frames * width].reshape(frames, width)[:, start : start + signal.each].reshape(-1)
    total = int(own.sum()) & 0xFFFF
    if signal.checksum is not None and total != signal.checksum & 0xFFFF:
        raise ConfigError(
            path.with_name(signal.file),
            f"checksum of {signal.name}",
            total,
            f"{signal.checksum & 0xFFFF}, as {path.name} says",
        )
    values = (own - signal.baseline) / signal.gain
    values[own == _INVALID[signal.format]] = np.nan
    if signal.skew:  # its sample of this frame lies so many frames later in the file
        late = signal.skew * signal.each
        values = np.concatenate([values[late:], np.full(min(late, len(values)), np.nan)])
    return values


def _digital(path: Path, signal: Signal, count: int | None) -> Ints:
    """The converter's numbers of a whole file."""
    file = path.with_name(signal.file)
    try:
        raw = np.fromfile(file, np.uint8, offset=signal.offset)
    except OSError as error:
        raise ConfigError(
            path, f"file of {signal.name}", f"{signal.file} ({error.strerror})", "a file that exists"
        ) from None
    if not len(raw):
        raise ConfigError(file, "file", "an empty file", "samples")
    return _UNPACK[signal.format](raw)[:count]


def _unpack_212(raw: NDArray[np.uint8]) -> Ints:
    """Two samples of twelve bits in three bytes."""
    triples = raw[: len(raw) // 3 * 3].reshape(-1, 3).astype(np.int64)
    low = triples[:, 0] | (triples[:, 1] & 0x0F) << 8
    high = triples[:, 2] | (triples[:, 1] & 0xF0) << 4
    both = np.stack([low, high], axis=1).reshape(-1)
    return np.where(both > 2047, both - 4096, both)


_UNPACK: dict[int, Callable[[NDArray[np.uint8]], Ints]] = {
    80: lambda raw: raw.astype(np.int64) - 128,
    212: _unpack_212,
    16: lambda raw: raw[: len(raw) // 2 * 2].view("<i2").astype(np.int64),
    61: lambda raw: raw[: len(raw) // 2 * 2].view(">i2").astype(np.int64),
}


def read_header(path: Path) -> Header:
    """A header file. Raises ConfigError."""
    try:
        raw = path.read_bytes()[:MAX_HEADER]
    except OSError as error:
        raise ConfigError(path, "file", error.strerror or error, "a readable header") from None
    lines = [line.strip() for line in raw.decode("utf-8", "replace").splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    record = _RECORD.fullmatch(lines[0]) if lines else None
    if record is None:
        raise ConfigError(
            path,
            "file",
            repr(lines[0][:40]) if lines else "an empty file",
            "a WFDB header: name, signals, rate, samples",
        )
    rate = _float(path, "rate", record["rate"], DEFAULT_RATE)
    frames, count = int(record["samples"] or 0), int(record["signals"])
    if not 0 < rate < 1e6 or frames > MAX_SAMPLES:
        raise ConfigError(path, "record", lines[0], "a rate above 0, and at most 2^31 samples")
    if record["segments"] is not None:
        return Header(
            rate, frames, (), _segments(path, lines[1 : 1 + int(record["segments"])], int(record["segments"]))
        )
    if len(lines) - 1 < count:
        raise ConfigError(path, "signals", f"{len(lines) - 1} lines", f"{count}")
    return Header(rate, frames, tuple(_signal(path, n, line) for n, line in enumerate(lines[1 : 1 + count], 1)), ())


def _segments(path: Path, lines: list[str], count: int) -> tuple[tuple[str, int], ...]:
    found = []
    for line in lines:
        match = re.fullmatch(r"([\w-]+|~)\s+(\d+)", line)
        if match is None:
            raise ConfigError(path, "segments", repr(line[:40]), "a name and a number of samples")
        found.append((match[1], int(match[2])))
    if len(found) != count or sum(n for _, n in found) > MAX_SAMPLES:
        raise ConfigError(path, "segments", f"{len(found)} lines", f"{count}")
    return tuple(found)


def _signal(path: Path, number: int, line: str) -> Signal:
    fields = line.split(maxsplit=8)
    where = f"signal {number}"
    kind = _FORMAT.fullmatch(fields[1]) if len(fields) > 1 else None
    if kind is None or "/" in fields[0]:
        raise ConfigError(path, where, repr(line[:40]), "a file's name, a format …")
    if int(kind["format"]) not in _UNPACK:
        raise ConfigError(path, where, f"format {kind['format']}", f"one of {', '.join(map(str, _UNPACK))}")
    gain = _GAIN.fullmatch(fields[2]) if len(fields) > 2 else _GAIN.fullmatch("0")
    if gain is None:
        raise ConfigError(path, where, repr(fields[2]), "gain(baseline)/unit")
    zero = _integer(path, where, fields, 4, 0)
    return Signal(
        file=fields[0],
        format=int(kind["format"]),
        each=int(kind["each"] or 1),
        skew=int(kind["skew"] or 0),
        offset=int(kind["offset"] or 0),
        gain=_float(path, where, gain["gain"], 0.0) or DEFAULT_GAIN,
        baseline=int(gain["baseline"]) if gain["baseline"] else zero,
        unit=gain["unit"] or "mV",
        checksum=_integer(path, where, fields, 6, 0) if len(fields) > 6 else None,
        name=fields[8].strip() if len(fields) > 8 else where,
    )


def _integer(path: Path, where: str, fields: list[str], at: int, default: int) -> int:
    if len(fields) <= at:
        return default
    if not re.fullmatch(r"-?\d{1,18}", fields[at]):
        raise ConfigError(path, where, repr(fields[at]), "a whole number")
    return int(fields[at])


def _float(path: Path, where: str, text: str | None, default: float) -> float:
    try:
        return float(text) if text else default
    except ValueError:
        raise ConfigError(path, where, repr(text), "a number") from None
