"""The real process under a system call trace: one inference by each engine reaches no network and writes no file."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.drivers import onnx_models as om

CHILD = """
import sys
import inframe
import numpy as np
from pathlib import Path
from inframe.core.config import EngineConfig
from inframe.drivers.engines import load_engine
path = Path(sys.argv[1])
engine = load_engine(path.read_bytes(), str(path), EngineConfig(name=sys.argv[2]))
out = engine.run({"x": np.ones((1, 3, 32, 32), np.float32)})
engine.close()
print(out["y"].shape)
"""
CALLS = "trace=network,openat,open,creat,unlink,unlinkat,rename,renameat,renameat2,mkdir,mkdirat,truncate,link,symlink"
WRITES = ("O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_APPEND")
HARMLESS = re.compile(r'"/dev/null"')


def trace(folder: Path, *command: str) -> list[str]:
    """Every traced call of the command and its children, as strace writes it."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    log = folder / "calls.txt"
    env = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(Path("src").resolve()),
        "HOME": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    strace = ["strace", "-f", "-qq", "-e", CALLS, "-o", str(log)]
    done = subprocess.run([*strace, *command], env=env, cwd=folder, capture_output=True, text=True, check=False)
    if "Operation not permitted" in done.stderr:
        pytest.skip("strace may not trace here")
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "engines write nothing to the terminal"
    return log.read_text().splitlines()


def network_calls(calls: list[str]) -> list[str]:
    return [c for c in calls if re.search(r"\b(socket|connect|bind|sendto|sendmsg|getaddrinfo|accept4?|listen)\(", c)]


def written_files(calls: list[str]) -> list[str]:
    opened = [c for c in calls if re.search(r"\b(openat|open)\(", c) and any(flag in c for flag in WRITES)]
    changed = [
        c for c in calls if re.search(r"\b(creat|unlink|unlinkat|rename\w*|mkdir\w*|truncate|link|symlink)\(", c)
    ]
    return [c for c in opened + changed if not HARMLESS.search(c)]


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_no_network_and_no_file_written(engine: str, tmp_path: Path) -> None:
    pytest.importorskip(engine)
    path = om.save(tmp_path, om.convolution())
    calls = trace(tmp_path, sys.executable, "-c", CHILD, str(path), engine)
    assert any(path.name in call for call in calls), "the trace sees what the process does"
    assert network_calls(calls) == []
    assert written_files(calls) == []
    assert sorted(p.name for p in tmp_path.iterdir()) == ["calls.txt", "model.onnx"]


def test_the_trace_can_see_both(tmp_path: Path) -> None:
    code = "import socket; socket.socket(); open('x', 'w').close()"
    calls = trace(tmp_path, sys.executable, "-c", code)
    assert len(network_calls(calls)) == 1
    assert any('"x"' in call for call in written_files(calls))
