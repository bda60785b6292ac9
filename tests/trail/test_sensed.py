"""Leaves that tell of sensors: back as they were, one encoding each, and those without are as they always were."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inframe.core.samples import Quality
from inframe.trail.errors import TrailDamaged
from inframe.trail.leaf import decode, encode
from inframe.trail.records import FrameLeaf, Header, SampleUse, SensorUse
from tests.trail.made import Clock, leaf

NAMES = st.text(min_size=1, max_size=8)
SENSORS = st.lists(st.builds(SensorUse, NAMES, st.lists(NAMES, max_size=3).map(tuple)), min_size=1, max_size=4).map(
    lambda found: tuple({sensor.stream: sensor for sensor in found}.values())
)
USES = st.builds(SampleUse, st.sampled_from(Quality), st.integers(0, 1 << 60), st.integers(-(1 << 60), 1 << 60))


def made(sensors: tuple[SensorUse, ...], uses: list[SampleUse]) -> FrameLeaf:
    """Three frames, whose samples are taken from `uses` in turn."""
    bare = leaf(Header(Clock()(), 1), random.Random(1), 3)
    n = len(sensors)
    frames = [
        replace(f, samples=tuple(uses[(i * n + j) % len(uses)] for j in range(n))) for i, f in enumerate(bare.frames)
    ]
    return replace(bare, frames=tuple(frames), sensors=sensors)


@settings(max_examples=60, deadline=None)
@given(SENSORS, st.lists(USES, min_size=1, max_size=9))
def test_back_as_it_was(sensors: tuple[SensorUse, ...], uses: list[SampleUse]) -> None:
    whole = made(sensors, uses)
    entry = encode(whole)
    assert entry[0] == 2
    assert decode(entry) == whole


def test_a_leaf_without_sensors_is_of_the_first_version() -> None:
    assert encode(leaf(Header(Clock()(), 1), random.Random(1), 3))[0] == 1


def test_each_changed_byte_is_refused_or_means_something_else() -> None:
    one = made((SensorUse("pressure", ("low",)), SensorUse("force", ())), [SampleUse(Quality.OK, 7, 8_000_000)])
    entry, bare = (
        encode(one),
        encode(replace(one, sensors=(), frames=tuple(replace(f, samples=()) for f in one.frames))),
    )
    for at in range(len(bare), len(entry)):
        for bit in range(8):
            changed = bytearray(entry)
            changed[at] ^= 1 << bit
            try:
                found = decode(bytes(changed))
            except TrailDamaged:
                continue
            assert found != one
            assert encode(found) == bytes(changed)
    for version in (1, 3):
        with pytest.raises(TrailDamaged):
            decode(bytes([version]) + entry[1:])
    with pytest.raises(TrailDamaged, match="no sensors"):
        decode(b"\x02" + bare[1:] + b"\x00")


def test_what_does_not_fit_is_never_written() -> None:
    one = made((SensorUse("a", ()),), [SampleUse(Quality.OK, 1, 1)])
    with pytest.raises(RuntimeError, match="do not fit 2 sensors"):
        encode(replace(one, sensors=(*one.sensors, SensorUse("b", ()))))
    with pytest.raises(RuntimeError, match="2 sensors with 1 names"):
        encode(replace(one, sensors=one.sensors * 2))
