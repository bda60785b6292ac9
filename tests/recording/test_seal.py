"""A sealed recording: read with its keys, by nobody without; what was changed does not open."""

from pathlib import Path

import pytest

from inframe.core.errors import ConfigError
from inframe.recording import seal
from inframe.recording.read import open_recording
from inframe.recording.recover import recover
from inframe.recording.replay import replay
from inframe.recording.report import Report
from inframe.recording.storage import open_part
from tests.recording.procedures import Procedure, device


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "device.key"
    seal.make_device_key(path)
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, keys: Path) -> Path:
    folder = tmp_path_factory.mktemp("sealed")
    file = device(folder)
    assert file.recording is not None
    recordings = Path(file.recording.folder)
    recordings.mkdir()
    key = seal.procedure_key(recordings / "procedure.key", seal.read_device_key(keys))
    return Procedure(file, seed=2, frames=90, key=key).run().write()


def copied(made: Path, into: Path) -> Path:
    for one in (made, made.with_name("procedure.key")):
        (into / one.name).write_bytes(one.read_bytes())
    return into / made.name


def whole(path: Path, keys: Path) -> tuple[int, list[str]]:
    recording = open_recording(path, keys)
    return sum(1 for _ in recording.read()), recording.health.cut


def test_it_is_read_with_its_keys_and_replays(made: Path, keys: Path) -> None:
    recording = open_recording(made, keys)
    report = replay(recording, recording.device, Report())
    assert report.held
    assert not report.cut


def test_nothing_of_it_can_be_read_in_the_file(made: Path) -> None:
    data = made.read_bytes()
    assert data.startswith(seal.MAGIC)
    for word in (b"MCAP", b"foxglove", b"endoscope", b"inframe.Decision"):
        assert word not in data


def test_each_part_has_a_key_of_its_own(tmp_path: Path) -> None:
    one, other = seal.Seal(bytes(32), b"a" * 32), seal.Seal(bytes(32), b"b" * 32)
    assert one.segment(0, b"x" * 32, last=False) != other.segment(0, b"x" * 32, last=False)


def test_without_the_device_key_there_is_one_clear_line(made: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="found a sealed file, expected --key FILE"):
        open_recording(made)
    other = tmp_path / "other.key"
    seal.make_device_key(other)
    with pytest.raises(ConfigError, match="found a key wrapped by another device's key"):
        open_recording(made, other)
    other.write_bytes(b"short")
    with pytest.raises(ConfigError, match="expected a file of 32 bytes"):
        open_recording(made, other)


def test_an_erased_procedure_is_gone(made: Path, keys: Path, tmp_path: Path) -> None:
    path = copied(made, tmp_path)
    seal.erase(tmp_path / "procedure.key")
    assert not (tmp_path / "procedure.key").exists()
    with pytest.raises(ConfigError, match="found no key: erased"):
        open_recording(path, keys)


def segments(data: bytes) -> list[bytes]:
    out, at = [], seal.HEAD_BYTES
    while at < len(data):
        length = 4 + int.from_bytes(data[at : at + 4], "little")
        out.append(data[at : at + length])
        at += length
    return out


@pytest.mark.parametrize("change", ["swap", "repeat", "leave out", "flip", "salt", "end"])
def test_no_segment_can_be_changed_swapped_repeated_or_left_out(
    made: Path, keys: Path, tmp_path: Path, change: str
) -> None:
    path = copied(made, tmp_path)
    data = path.read_bytes()
    head, parts = data[: seal.HEAD_BYTES], segments(data)
    assert len(parts) >= 4
    count, cut = whole(path, keys)
    assert not cut
    match change:
        case "swap":
            parts[1], parts[2] = parts[2], parts[1]
        case "repeat":
            parts.insert(1, parts[1])
        case "leave out":
            del parts[1]
        case "flip":
            parts[1] = parts[1][:50] + bytes([parts[1][50] ^ 1]) + parts[1][51:]
        case "salt":
            head = head[:-1] + bytes([head[-1] ^ 1])
        case "end":
            del parts[-1]
    path.write_bytes(head + b"".join(parts))
    if change == "end":  # the seal notices by itself, whatever the file inside says
        stream, is_whole = open_part(path, keys)
        stream.close()
        assert not is_whole
    try:
        fewer, cut = whole(path, keys)
    except ConfigError:
        return
    assert fewer < count
    assert cut == [path.name]


def test_cut_off_it_is_recovered_and_stays_sealed(made: Path, keys: Path, tmp_path: Path) -> None:
    path, out = copied(made, tmp_path), tmp_path / "procedure.recovered.mcap.sealed"
    parts = segments(path.read_bytes())
    path.write_bytes(path.read_bytes()[: seal.HEAD_BYTES + sum(map(len, parts[:-2])) + 100])
    report = recover(path, out, keys)
    assert report.was_cut
    assert report.messages > 100
    assert out.read_bytes().startswith(seal.MAGIC)
    stream, is_whole = open_part(out, keys)
    with stream:
        assert is_whole
        assert stream.read(5) == b"\x89MCAP"


def test_a_device_key_is_never_written_over_and_is_private(keys: Path) -> None:
    before = keys.read_bytes()
    assert keys.stat().st_mode & 0o077 == 0
    with pytest.raises(ConfigError, match="expected a name that is free"):
        seal.make_device_key(keys)
    assert keys.read_bytes() == before
