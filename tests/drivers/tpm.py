"""A TPM in software (swtpm), for the tests of the trail's counter. No test in here."""

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from inframe.core.part import TrailCounter
from scripts.docs import ROOT
from tests.docs.pages import blocks

INDEX = "0x01800001"
MISSING = [name for name in ("swtpm", "tpm2_nvdefine") if shutil.which(name) is None]


class Tpm:
    """Runs as long as it is told to, with its state in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.config = TrailCounter(nv_index=INDEX, tcti=f"swtpm:path={folder}/tpm")
        self.power_on()

    def power_on(self) -> None:
        server, control = f"type=unixio,path={self._folder}/tpm", f"type=unixio,path={self._folder}/tpm.ctrl"
        options = ["--server", server, "--ctrl", control, "--pid", f"file={self._folder}/pid"]
        flags = ["--tpm2", "--tpmstate", f"dir={self._folder}", "--flags", "not-need-init,startup-clear", "--daemon"]
        subprocess.run(["swtpm", "socket", *flags, *options], check=True)  # noqa: S607  # returns when it listens

    def power_cut(self) -> None:
        os.kill(int((self._folder / "pid").read_text()), signal.SIGKILL)
        (self._folder / "pid").unlink()

    def tool(self, *command: str) -> None:
        subprocess.run([command[0], f"--tcti={self.config.tcti}", *command[1:]], check=True, capture_output=True)

    def commission(self) -> None:
        """The commands of docs/trail.md."""
        lines = "".join(blocks(ROOT / "docs" / "trail.md", "sh")).splitlines()
        for line in lines:
            if line.startswith("tpm2_"):
                self.tool(*shlex.split(line))


@pytest.fixture
def tpm() -> Iterator[Tpm]:
    """One without a counter."""
    if MISSING:
        pytest.skip(f"not installed: {', '.join(MISSING)}")
    with tempfile.TemporaryDirectory(prefix="tpm-") as folder:  # a socket's path has 107 characters at most
        one = Tpm(Path(folder))
        try:
            yield one
        finally:
            one.power_cut()
