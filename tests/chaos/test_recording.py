"""What the campaign says of a recording whose process was broken."""

from pathlib import Path

import pytest

from inframe.chaos.recording import broken_bars, missing
from inframe.recording.about import about
from inframe.recording.events import Packet
from inframe.recording.schema import Gap
from inframe.recording.write import CHUNK_NS, Event, RecordingWriter, Settings, texts
from tests.recording.procedures import device


def packets(first: int, last: int) -> list[Event]:
    return [Packet(seq, seq, b"h264") for seq in range(first, last + 1)]


def gap(first: int, last: int) -> Gap:
    return Gap(at_ns=0, frames=last - first + 1, first=first, last=last)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([], (0, 0)),
        (packets(5, 9), (0, 0)),  # what was before the recording began is not its own
        ([*packets(1, 4), gap(5, 7), *packets(8, 9)], (1, 0)),
        ([*packets(1, 4), *packets(8, 9)], (0, 3)),
        ([*packets(1, 4), gap(6, 6), *packets(8, 9)], (1, 2)),
        ([*packets(1, 4), gap(5, 7), *packets(6, 6), *packets(8, 9)], (1, 0)),  # one between two that were missed
        ([*packets(1, 4), gap(3, 6), *packets(7, 9)], (1, 0)),  # in the file, but its end was not yet told
        ([*packets(1, 4), Gap(at_ns=0, results=2), *packets(5, 9)], (0, 0)),
    ],
)
def test_a_frame_is_there_or_in_a_gap(events: list[Event], expected: tuple[int, int]) -> None:
    assert missing(events) == expected


def recording(folder: Path, *parts: list[Event]) -> Path:
    """Its folder, of a process that was killed after each part but the last."""
    made = device(folder)
    settings = Settings(folder / "recordings", "p", made, about(made, "p", 0), 0)
    for events in parts:
        writer = RecordingWriter(settings, texts(made))
        for event in events:
            writer.take(event, 0)
        writer.take(None, CHUNK_NS)
        writer.abandon() if events is not parts[-1] else writer.close()
    return settings.folder


def test_a_recording_that_was_broken(tmp_path: Path) -> None:
    folder = recording(tmp_path, packets(1, 30), [gap(31, 40), *packets(41, 50)])
    assert broken_bars(folder, ["recording_killed"]) == []
    assert broken_bars(folder, ["recording_killed", "recording_stopped", "config_torn"]) == [
        "1 gaps for 2 faults of the recording"
    ]


def test_a_recording_that_says_nothing_of_what_is_missing(tmp_path: Path) -> None:
    folder = recording(tmp_path, packets(1, 30), packets(41, 50))
    assert broken_bars(folder, []) == ["10 frames are missing, and nothing says so"]


def test_a_recording_that_is_damaged_or_not_there(tmp_path: Path) -> None:
    assert broken_bars(tmp_path, []) == ["0 recordings"]
    folder = recording(tmp_path, packets(1, 30), packets(31, 50))
    part = folder / "p.000.mcap"
    whole = bytearray(part.read_bytes())
    whole[whole.index(b"\x28\xb5\x2f\xfd") + 12] ^= 1  # in the first compressed chunk
    part.write_bytes(whole)
    assert "1 damaged chunks" in broken_bars(folder, [])
    part.write_bytes(b"nothing")
    assert broken_bars(folder, [])[0].startswith(str(part))
