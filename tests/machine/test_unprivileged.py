"""The same tests once more by a user without any privilege, where this one has some: everything works, and says what
it gave up."""

import ctypes
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

NOBODY = 65534
PR_CAPBSET_DROP, LAST_CAPABILITY = 24, 63
REAL = ("test_partition.py", "test_seccomp.py", "test_broker.py", "test_child.py", "test_probe.py", "test_supervise.py")


def _give_up_privileges() -> None:
    """Between fork and exec: the exec then grants root nothing, as every capability has left the bounding set."""
    libc = ctypes.CDLL(None)
    for capability in range(LAST_CAPABILITY + 1):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


def _nobody_can_run_this() -> bool:
    """Whether another user may read the interpreter and these files; often they lie in root's own home."""
    for path in (Path(sys.executable).resolve(), Path(__file__).resolve()):
        for folder in path.parents:
            if folder.stat().st_mode & 0o005 != 0o005:
                return False
    return True


@pytest.mark.skipif(
    os.geteuid() != 0, reason="this user has no privileges to give up: the other tests ran without them"
)
def test_all_of_it_without_privileges() -> None:
    # not pytest's own folder: its path leaves too little of the 107 bytes that a socket's may have
    with tempfile.TemporaryDirectory(prefix="inframe-") as folder:
        _run_as_nobody(Path(folder))


def _run_as_nobody(folder: Path) -> None:
    here = Path(__file__).parent
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--basetemp"]
    command += [str(folder / "nobody"), *(str(here / name) for name in REAL)]
    user = NOBODY if _nobody_can_run_this() else None
    if user is not None:
        os.chown(folder, NOBODY, NOBODY)
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        command,
        preexec_fn=_give_up_privileges,  # one thread only, and nothing but prctl
        user=user,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
