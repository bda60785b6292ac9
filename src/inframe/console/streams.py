"""The streams of a device as the page shows them: how fast they come, how old the newest is, and whether it is to be believed."""

from typing import Any

from inframe.console.follow import Follower
from inframe.core.clock import NS_PER_MS, NS_PER_S, Clock
from inframe.core.config import Device
from inframe.core.samples import Aligned, Quality
from inframe.core.types import FrameFlag
from inframe.pipeline.board import Board, Count, Row

OK, STALE, NO_SIGNAL = "ok", "stale", "no_signal"
STALE_NS = NS_PER_S
"""A stream that is not displayed is stale when its process has published nothing for so long."""


class Streams:
    """Rates need two looks: it remembers the last."""

    def __init__(self, device: Device, board: Board, follower: Follower, clock: Clock) -> None:
        self._device, self._board, self._follower, self._clock = device, board, follower, clock
        self._last: dict[str, tuple[int, int, float]] = {}

    def told(self) -> dict[str, list[dict[str, Any]]]:
        """One row for each stream of frames, one for each of samples."""
        return {
            "frames": [self._frames(name) for name in self._device.streams],
            "samples": [self._samples(name) for name in self._device.sensors],
        }

    def _rate(self, process: str, count: int, now: int) -> float:
        before, then, rate = self._last.get(process, (count, now, 0.0))
        if process not in self._last:
            self._last[process] = count, now, 0.0
        elif now - then >= NS_PER_S // 2:
            rate = (count - before) * NS_PER_S / (now - then)
            self._last[process] = count, now, rate
        return round(rate, 1)

    def _frames(self, name: str) -> dict[str, Any]:
        process = f"capture.{name}"
        row, stream, now = self._board.row(process), self._device.streams[name], self._clock.now()
        beat = row.heartbeat_ns
        return {
            "name": name,
            "camera": stream.camera,
            "size": f"{stream.width}x{stream.height}",
            "declared_fps": stream.fps,
            "fps": self._rate(process, row.get(Count.FRAMES), now),
            "age_ms": round((now - beat) / NS_PER_MS) if beat else None,
            "quality": self._quality(name, now - beat),
            "frames": row.get(Count.FRAMES),
            "dropped": row.get(Count.DROPPED),
            "damaged": row.get(Count.CORRUPT),
            "reconnects": row.get(Count.RECONNECTS),
            "is_shown": name == self._device.display,
        }

    def _quality(self, name: str, age_ns: int) -> str:
        """Of the displayed stream what its newest frame was judged to be; of another whether it comes at all."""
        last = self._follower.last
        if name != self._device.display or last is None:
            return OK if age_ns < STALE_NS else STALE
        if not last.seq:
            return NO_SIGNAL
        return next((flag.name.lower() for flag in FrameFlag if flag and flag in last.flags and flag.name), OK)

    def _samples(self, name: str) -> dict[str, Any]:
        """As the display knew it at the newest frame: what a rule sees is what the page shows."""
        process, sensor, last = f"sensor.{name}", self._device.sensors[name], self._follower.last
        row, known = self._board.row(process), last.samples.get(name) if last is not None else None
        is_value = isinstance(known, Aligned) and len(known.values) == len(sensor.channels)
        values = known.values if isinstance(known, Aligned) and is_value else [None] * len(sensor.channels)
        quality = OK if isinstance(known, Aligned) else (known.why if known is not None else Quality.STALE).name.lower()
        return {
            "name": name,
            "sensor": sensor.sensor,
            "declared_hz": sensor.rate_hz,
            "hz": self._rate(process, row.get(Count.FRAMES), self._clock.now()),
            "age_ms": round(known.age_ns / NS_PER_MS, 1) if known is not None and known.seq else None,
            "quality": quality,
            "values": [
                {"name": channel, "unit": about.unit, "value": value}
                for (channel, about), value in zip(sensor.channels.items(), values, strict=True)
            ],
            "samples": row.get(Count.FRAMES),
            "left_out": row.get(Count.DROPPED),
            "reconnects": row.get(Count.RECONNECTS),
            "clock": _clock(row),
        }


def _clock(row: Row) -> dict[str, float] | None:
    """What is known of the source's own clock, where it has one."""
    offset = row.get(Count.CLOCK_OFFSET_NS)
    if not offset:
        return None
    return {
        "offset_ms": round(offset / NS_PER_MS, 3),
        "drift_ppm": row.get(Count.CLOCK_DRIFT_PPB) / 1000,
        "uncertain_ms": round(row.get(Count.CLOCK_UNCERTAIN_NS) / NS_PER_MS, 3),
    }
