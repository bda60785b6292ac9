"""A file that ends before its end, or is damaged within: what is whole is there, and nothing else."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard
from mcap.data_stream import RecordBuilder
from mcap.reader import make_reader
from mcap.records import Chunk, Message
from mcap.stream_reader import StreamReader, breakup_chunk

from inframe.core.errors import ConfigError
from inframe.recording.read import open_recording
from inframe.recording.recover import recover
from inframe.recording.replay import replay
from inframe.recording.report import Report
from tests.recording.procedures import Procedure, device

PLACES = 100


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Procedure(device(tmp_path_factory.mktemp("cut")), seed=2, frames=150).run().write()


def chunks(path: Path) -> Iterator[tuple[int, Chunk]]:
    """Each chunk, and the offset at which it ends."""
    with path.open("rb") as file:
        for record in StreamReader(file, emit_chunks=True).records:
            if isinstance(record, Chunk):
                yield file.tell(), record


def written(path: Path) -> list[tuple[int, int, bytes]]:
    with path.open("rb") as file:
        found = make_reader(file, validate_crcs=True).iter_messages(log_time_order=False)
        return [(c.id, m.log_time, m.data) for _, c, m in found]


def places(whole: Path) -> list[int]:
    size = whole.stat().st_size
    return [*random.Random(7).sample(range(1, size), PLACES - 2), size - 1, size // 2]


def test_cut_at_a_hundred_places_all_but_the_last_chunk_is_recovered(whole: Path, tmp_path: Path) -> None:
    ends = list(chunks(whole))
    expected = [(m.channel_id, m.log_time, m.data) for _, c in ends for m in breakup_chunk(c) if isinstance(m, Message)]
    assert written(whole) == expected
    assert len(ends) >= 5
    data, cut, out = whole.read_bytes(), tmp_path / "cut.mcap", tmp_path / "out.mcap"
    for place in places(whole):
        cut.write_bytes(data[:place])
        kept = sum(len([m for m in breakup_chunk(c) if isinstance(m, Message)]) for end, c in ends if end <= place)
        if not kept:
            with pytest.raises(ConfigError):
                recover(cut, out, None)
            assert not out.exists()
            continue
        report = recover(cut, out, None)
        assert report.was_cut
        assert report.messages == kept
        assert written(out) == expected[:kept], place
        out.unlink()


def test_cut_at_a_hundred_places_what_is_there_is_replayed_bit_for_bit(whole: Path, tmp_path: Path) -> None:
    ends = [end for end, _ in chunks(whole)]
    data, cut = whole.read_bytes(), tmp_path / "cut.mcap"
    seen: dict[int, int] = {}
    for place in places(whole):
        cut.write_bytes(data[:place])
        kept = sum(end <= place for end in ends)
        if kept in seen:  # to the replay the same file, up to bytes that it can't read
            assert count(cut) == seen[kept]
            continue
        seen[kept] = count(cut)
        if not kept:
            continue
        recording = open_recording(cut)
        report = replay(recording, recording.device, Report())
        assert not report.differences, (place, report.first)
        assert report.cut == ["cut.mcap"]
    assert len(seen) >= 5


def count(path: Path) -> int:
    """How many events can be read; -1: nothing at all."""
    try:
        return sum(1 for _ in open_recording(path).read())
    except ConfigError:
        return -1


def test_a_damaged_chunk_is_left_out_and_the_rest_is_there(whole: Path, tmp_path: Path) -> None:
    ends = [end for end, _ in chunks(whole)]
    lost = sum(isinstance(m, Message) for m in breakup_chunk(list(chunks(whole))[2][1]))
    dice, data, path, out = random.Random(5), whole.read_bytes(), tmp_path / "damaged.mcap", tmp_path / "out.mcap"
    for _ in range(30):  # zstd alone would not notice each of them
        wild = bytearray(data)
        wild[dice.randrange(ends[2] - 4000, ends[2])] ^= 1 << dice.randrange(8)
        path.write_bytes(wild)
        report = recover(path, out, None)
        assert (report.damaged_chunks, report.was_cut) == (1, False)
        assert len(written(out)) == len(written(whole)) - lost
        out.unlink()


def test_bytes_that_a_power_cut_left_empty_are_no_messages(whole: Path, tmp_path: Path) -> None:
    ends = [end for end, _ in chunks(whole)]
    path, out = tmp_path / "zeros.mcap", tmp_path / "out.mcap"
    path.write_bytes(whole.read_bytes()[: ends[3] + 40] + bytes(4096))
    assert recover(path, out, None).messages == len(written(out)) > 0


@pytest.mark.parametrize("content", [b"", b"no mcap at all, but some text that is long enough", b"\x89MCAP0\r\n"])
def test_what_is_no_recording_is_one_clear_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "none.mcap"
    path.write_bytes(content)
    for call in (lambda: open_recording(path), lambda: recover(path, tmp_path / "out.mcap", None)):
        with pytest.raises(ConfigError, match=r"none\.mcap: recording: found .*, expected .*MCAP file"):
            call()
    assert not (tmp_path / "out.mcap").exists()


@pytest.mark.parametrize(("compression", "claimed"), [("zstd", 100), ("zstd", 1 << 40), ("lz4", 100), ("other", 100)])
def test_a_chunk_that_would_fill_the_memory_is_not_opened(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compression: str, claimed: int
) -> None:
    bomb = zstandard.compress(bytes(1 << 16))
    chunk = Chunk(compression, bomb, 2, 1, 0, claimed)
    monkeypatch.setattr("inframe.recording.read.MAX_CHUNK", 1 << 15)
    record = RecordBuilder()
    chunk.write(record)
    first = next(chunks(whole))[0]
    path = tmp_path / "bomb.mcap"
    path.write_bytes(whole.read_bytes()[:first] + record.end())
    recording = open_recording(path)
    list(recording.read())
    assert recording.health.damaged >= 1


def test_random_damage_is_an_error_or_a_report_and_never_a_crash(whole: Path, tmp_path: Path) -> None:
    dice, data, path = random.Random(11), whole.read_bytes(), tmp_path / "wild.mcap"
    for _ in range(150):
        wild = bytearray(data)
        for _ in range(dice.choice((1, 5, 50))):
            wild[dice.randrange(len(wild))] = dice.randrange(256)
        path.write_bytes(wild)
        try:
            for _ in open_recording(path).read():
                pass
        except ConfigError:
            pass  # one clear line
