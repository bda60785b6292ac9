"""The box, from inside and outside, in real processes; once more as a user without privileges."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from inframe.assistant import wire
from inframe.assistant.box import Box
from inframe.assistant.drafting import WriterGone
from inframe.bundle.sealed import Sealed, seal
from inframe.core.errors import DeviceFault
from inframe.machine import landlock
from inframe.machine.walls import Limits
from tests.assistant.inmate import CALLS

INMATE = "tests.assistant.inmate"
CORE = frozenset({max(os.sched_getaffinity(0))})
LIMITS = Limits(256, CORE, is_idle=False)
ALONE = os.environ.get("INFRAME_TEST_WITHOUT_PRIVILEGES") == "1"


@pytest.fixture
def sealed(tmp_path: Path) -> Iterator[Sealed]:
    (tmp_path / "model").write_bytes(b"not a model")
    made = seal(tmp_path / "model", 1 << 20)
    yield made
    made.close()


@pytest.fixture
def tried(sealed: Sealed) -> dict[str, str]:
    with Box(sealed.fd, LIMITS, f"{INMATE}:try_all", engine="") as box:
        return dict(box.hear(20)["tried"])


def test_everything_is_refused_from_inside(tried: dict[str, str]) -> None:
    assert {name: tried[name] for name in CALLS if tried[name] != "EPERM"} == {}
    assert tried["too much memory"] == "ENOMEM"
    assert tried["a little memory"] == ""
    assert tried["write the model"] == "EPERM"
    assert tried["stat"] == "ENOENT"
    assert tried["stat proc"] == "ENOENT"


def test_every_wall_stands() -> None:
    with Box(-1, Limits(256, CORE), f"{INMATE}:spin", engine="") as box:
        fallen = {wall.name: wall.why for wall in box.walls if not wall.stands}
        status = Path(f"/proc/{box.pid}/status").read_text()
        assert os.sched_getscheduler(box.pid) == os.SCHED_IDLE
        assert os.sched_getaffinity(box.pid) == CORE
        assert {line.split()[0] for line in status.splitlines() if line.startswith("Seccomp:\t2")} == {"Seccomp:"}
        for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            assert f"{name}:\t0000000000000000" in status
        assert "Threads:\t1\n" in status
    outer = {"memory control group"}  # not open to everybody, and not there on every machine
    assert set(fallen) <= ({"own user"} if ALONE else set()) | outer, fallen


def test_landlock_alone_keeps_files_and_others_away() -> None:
    """Each wall holds without those before it: here the second one, in a process that has nothing else."""
    if landlock.version() < 6:
        pytest.skip("this kernel's Landlock scopes no signals")
    code = (
        "import os, signal\nfrom inframe.machine import kernel, landlock\nkernel.prctl(38, 1)\nlandlock.restrict()\n"
        "for act in (lambda: open('/etc/hostname'), lambda: os.listdir('/'), lambda: os.kill(os.getppid(), 0)):\n"
        "    try:\n        act()\n        print('done')\n    except PermissionError:\n        print('refused')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=_path(), check=True)
    assert done.stdout.split() == ["refused"] * 3


def test_frozen_it_uses_no_time_and_killed_it_is_gone() -> None:
    with Box(-1, LIMITS, f"{INMATE}:spin", engine="") as box:
        assert box.hear(20) == {"spinning": True}
        box.freeze()
        os.waitid(os.P_PID, box.pid, os.WSTOPPED | os.WNOWAIT)
        before = _cpu_ticks(box.pid)
        assert Path(f"/proc/{box.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
        assert _cpu_ticks(box.pid) == before
        box.thaw()
        while _cpu_ticks(box.pid) == before:
            os.sched_yield()
        box.freeze()
        box.kill()
        box.close()
        assert not box.is_alive()


@pytest.mark.parametrize("rubbish", range(5))
def test_rubbish_from_a_box_ends_it_and_nothing_else(rubbish: int) -> None:
    with Box(-1, LIMITS, f"{INMATE}:babble", engine="", context=rubbish) as box:
        pieces = box.write("x", None, 100)
        if rubbish == 4:
            assert next(pieces) == "1"
            pieces.close()
        elif rubbish == 3:  # cut off in the middle
            box.say({"go": "on"})
            with pytest.raises(WriterGone):
                next(pieces)
        else:
            with pytest.raises(WriterGone):
                next(pieces)


def test_a_prompt_too_large_is_refused_before_it_is_sent() -> None:
    with Box(-1, LIMITS, f"{INMATE}:spin", engine="") as box:
        box.hear(20)
        with pytest.raises(WriterGone, match=f"expected at most {wire.LARGEST}"):
            next(box.write("x" * wire.LARGEST, None, 10))


def test_a_box_dies_with_its_parent() -> None:
    code = (
        "import os\nfrom inframe.assistant.box import Box\nfrom inframe.machine.walls import Limits\n"
        f"box = Box(-1, Limits(256, is_idle=False), '{INMATE}:spin', engine='')\n"
        "print(box.pid, flush=True)\nos.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=_path(), check=False)
    assert done.returncode == -signal.SIGKILL
    stat = Path(f"/proc/{int(done.stdout)}/stat")
    while stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z":
        os.sched_yield()


def test_a_box_that_does_not_come_up() -> None:
    with pytest.raises(DeviceFault):
        Box(-1, LIMITS, "tests.assistant.inmate:nothing_there", engine="")


def _path() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def _cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def _give_up_privileges() -> None:
    libc = ctypes.CDLL(None)
    for capability in range(64):
        libc.prctl(24, capability, 0, 0, 0)


@pytest.mark.skipif(ALONE or os.geteuid() != 0, reason="this user has no privileges to give up")
def test_all_of_it_without_privileges(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--basetemp",
        str(tmp_path / "b"),
        __file__,
    ]
    done = subprocess.run(
        command,
        preexec_fn=_give_up_privileges,  # one thread only, and nothing but prctl
        env={**_path(), "INFRAME_TEST_WITHOUT_PRIVILEGES": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
