"""The control group around a box, on either version of the kernel's groups."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from inframe.machine import memorygroup
from inframe.machine.memorygroup import MIB, MemoryGroup


def test_version_2_beside_our_own(tmp_path: Path) -> None:
    (tmp_path / "cgroup.subtree_control").write_text("cpu memory\n")
    group = MemoryGroup("box", 64, tmp_path)
    assert (tmp_path / "box" / "memory.max").read_text() == f"{64 * MIB}\n"
    group.take(7)
    assert (tmp_path / "box" / "cgroup.procs").read_text() == "7\n"


def test_none_without_the_memory_controller(tmp_path: Path) -> None:
    (tmp_path / "cgroup.subtree_control").write_text("cpu\n")
    with pytest.raises(OSError, match="no control group for memory"):
        MemoryGroup("box", 64, tmp_path)


def test_a_process_that_takes_too_much_is_ended() -> None:
    code = "import sys\nsys.stdin.read()\nx = bytearray(512 << 20)\nprint('got it')"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    group, why = memorygroup.put(process.pid, "test", 128)
    out, _ = process.communicate("")
    if group is None:
        pytest.skip(f"no control group here: {why}")
    group.close()
    assert out == ""
    assert process.returncode == -9


def test_what_killed_makers_left_is_taken_away(tmp_path: Path) -> None:
    (tmp_path / "cgroup.subtree_control").write_text("memory\n")
    gone, here = tmp_path / "inframe-box-4194305-7", tmp_path / f"inframe-box-{os.getpid()}-7"
    gone.mkdir()
    here.mkdir()
    MemoryGroup("inframe-box-1-1", 64, tmp_path)
    assert (gone.exists(), here.exists()) == (False, True)
