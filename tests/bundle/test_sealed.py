"""Sealed memory: read once, changed never, handed on without a copy."""

import errno
import fcntl
import mmap
import os
from pathlib import Path

import pytest

from inframe.bundle import BundleError, open_bundle
from inframe.bundle.sealed import SEALS, fill, seal
from tests.bundle import made
from tests.bundle.attack import memory


def test_the_file_may_change_after_it_was_read(tmp_path: Path) -> None:
    path = made.signed(tmp_path)
    with open_bundle(path, made.policy()) as bundle:
        before = bytes(bundle.member("model.onnx"))
        with path.open("r+b") as file:
            file.write(b"\xff" * path.stat().st_size)
            file.flush()
        assert bytes(bundle.member("model.onnx")) == before == made.MODEL
        path.unlink()
        assert bytes(bundle.member("model.onnx")) == before
        with open_bundle(bundle.fd, made.policy()) as again:
            assert again.digest == bundle.digest
            assert os.fstat(again.fd).st_ino == os.fstat(bundle.fd).st_ino  # the very same memory


def test_nobody_can_change_it(tmp_path: Path) -> None:
    with open_bundle(made.signed(tmp_path), made.policy()) as bundle:
        assert fcntl.fcntl(bundle.fd, fcntl.F_GET_SEALS) & SEALS == SEALS
        for change in (
            lambda: os.pwrite(bundle.fd, b"x", 0),
            lambda: os.ftruncate(bundle.fd, 1),
            lambda: os.ftruncate(bundle.fd, 1 << 20),
            lambda: fcntl.fcntl(bundle.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE),
            lambda: mmap.mmap(bundle.fd, 0, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE),
        ):
            with pytest.raises(OSError) as caught:  # noqa: PT011  # which one is the next line
                change()
            assert caught.value.errno in (errno.EPERM, errno.EBUSY)
        with pytest.raises(TypeError):
            bundle.member("model.onnx")[0] = 1


def test_memory_that_is_not_sealed_is_copied(tmp_path: Path) -> None:
    data = made.signed(tmp_path).read_bytes()
    fd = os.memfd_create("open", os.MFD_ALLOW_SEALING)
    os.write(fd, data)
    with open_bundle(fd, made.policy()) as bundle:
        os.pwrite(fd, b"\0" * len(data), 0)
        assert bytes(bundle.member("model.onnx")) == made.MODEL
    os.close(fd)


def test_a_descriptor_stays_its_owners(tmp_path: Path) -> None:
    with memory(made.signed(tmp_path).read_bytes()) as fd:
        open_bundle(fd, made.policy()).close()
        assert os.fstat(fd).st_size > 0


def test_what_is_no_bundles_file_is_refused_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path, found in (
        (tmp_path, "no regular file"),
        (tmp_path / "pipe", "no regular file"),
        (Path("/dev/zero"), "no regular file"),
        (tmp_path / "empty", "0 bytes"),
        (tmp_path / "nothing", "No such file"),
        (tmp_path / "loop", "Too many levels"),
        (Path("a\0b"), "embedded null byte"),
    ):
        with pytest.raises(BundleError, match=found):
            open_bundle(path, made.policy())


def test_a_file_above_the_limit_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(
        BundleError, match=r"found 1,099,511,627,776 bytes, expected a bundle of 1 to 8,589,934,592 bytes"
    ):
        open_bundle(path, made.policy())


def test_a_file_that_grows_while_it_is_read_is_refused_at_the_limit() -> None:
    with pytest.raises(BundleError, match="expected a bundle of 1 to 1,000 bytes"):
        fill(lambda _at: b"x" * 100, 1000, "growing")


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    path = made.write(tmp_path)
    before = set(Path("/proc/self/fd").iterdir())
    for _ in range(3):
        with pytest.raises(BundleError):
            open_bundle(path, made.policy())
        with pytest.raises(BundleError):
            seal(tmp_path, 10)
        with open_bundle(made.signed(tmp_path / "signed"), made.policy()):
            pass
    assert set(Path("/proc/self/fd").iterdir()) == before
