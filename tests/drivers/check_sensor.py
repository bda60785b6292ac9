"""What every sensor must do, whatever is behind it (the port: `inframe.core.ports.Sensor`)."""

from collections.abc import Callable

import pytest

from inframe.core.clock import Clock
from inframe.core.ports import Block, EndOfStream, Sensor


def check_sensor(
    make: Callable[[], Sensor], clock: Clock, channels: int, *, ready: Callable[[], None] = lambda: None, reads: int = 4
) -> None:
    """`ready` is called before each read, to let the source send something."""
    sensor = make()
    last = 0
    for _ in range(reads):
        ready()
        block = sensor.read(10.0)
        assert isinstance(block, Block), "samples were ready"
        assert len(block.values) > 0
        assert all(len(row) == channels for row in block.values)
        assert last <= block.arrived_ns <= clock.now(), "arrivals are not in the future"
        for times in (block.source_ns, block.captured_ns):
            assert times is None or len(times) == len(block.values)
            assert times is None or all(isinstance(ns, int) for ns in times)
        assert block.captured_ns is None or max(block.captured_ns) <= clock.now(), "nothing is measured in the future"
        last = block.arrived_ns
    before = clock.now()
    assert sensor.read(0.0) is None, "nothing is there yet"
    assert clock.now() - before < 1_000_000_000, "a read with no time to wait does not wait"
    sensor.close()
    sensor.close()
    with pytest.raises(RuntimeError, match="close"):
        sensor.read(0.0)


def read_all(sensor: Sensor, limit: int = 1 << 20) -> list[Block]:
    """Every block of a recording."""
    found: list[Block] = []
    while len(found) < limit:
        try:
            block = sensor.read(0.5)
        except EndOfStream:
            return found
        if block is not None:
            found.append(block)
    raise AssertionError(f"more than {limit} blocks")
