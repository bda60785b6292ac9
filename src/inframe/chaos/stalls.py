"""Frames that nobody could have shown: while they were due, the highest-priority task of a core was itself not run."""

from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self

from inframe.bench.wakeups import Probe
from inframe.core.budgets import DRAW_NS
from inframe.core.config import Device
from inframe.table import layout_of, partition_of

FRAME_PATH = ("capture", "worker", "display")
Stall = tuple[int, int]
"""Begin and end, ns of the device's clock."""


class Probes:
    """A probe on each core that the frame path has to itself; none on a device without real-time cores."""

    def __init__(self, device: Device) -> None:
        layout = layout_of(device)
        stream = device.display
        cores = {c for kind in FRAME_PATH for c in partition_of(device, kind, stream, layout).cores}
        self._probes = [Probe(core) for core in sorted(cores)] if device.real_time else []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for probe in self._probes:
            probe.close()

    def seen(self, begin_ns: int, end_ns: int) -> list[list[Stall]]:
        """The stalls of each core within that time."""
        return [probe.stalls(begin_ns, end_ns) for probe in self._probes]


def unexplained(due_ns: Iterable[int], deadline_ns: int, cores: Sequence[Sequence[Stall]]) -> int:
    """How many frames due then were not lost to a stall. Pure. One is lost to a stall where a core stood still, between when the
    frame was due and its deadline, for at least the time that the display keeps for drawing: nothing is left then."""
    return sum(all(_stood(due, due + deadline_ns, core) < DRAW_NS for core in cores) for due in due_ns)


def _stood(begin_ns: int, end_ns: int, stalls: Sequence[Stall]) -> int:
    return sum(max(0, min(end, end_ns) - max(begin, begin_ns)) for begin, end in stalls)
