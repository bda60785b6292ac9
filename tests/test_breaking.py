"""The demo's buttons: only the console is heard, only what is in the table is done, and it is mended."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from inframe.breaking import BREAKS, HOGS, HOGS_NS, STILL_NS, Breaking
from inframe.console.routes import Break
from inframe.core.clock import ManualClock
from inframe.core.errors import UpdateError
from inframe.core.health import Health, Phase
from inframe.device import Running


@pytest.fixture
def victim() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that waits to be signalled."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        yield process
        process.kill()


class FakeRunning:
    """What Breaking needs of a device."""

    def __init__(self, pid: int) -> None:
        self.clock = ManualClock(1)
        self.notes: list[tuple[str, str, str]] = []
        self.board = SimpleNamespace(names=("device", "display", "capture.endoscope", "worker.w", "console.0"))
        self.supervisor = SimpleNamespace(pid=lambda _name: pid)
        self.device = SimpleNamespace(models={"m": 1})
        self.candidate = SimpleNamespace(device=self.device)
        self.moves: list[str] = []
        self.phase, self.ready = Phase.NONE, False

    def propose(self, models: dict[str, Any]) -> None:
        self.moves.append(f"propose {sorted(models)}")
        self.phase = Phase.SHADOW

    def health(self) -> Health:
        return Health(self.phase, since_ns=1)

    def switch(self) -> None:
        if not self.ready:
            raise UpdateError("not yet")
        self.moves.append("switch")
        self.phase = Phase.TRIAL

    def keep(self) -> None:
        self.moves.append("keep")
        self.phase = Phase.NONE


def begin(victim: "subprocess.Popen[bytes]") -> tuple[FakeRunning, Breaking]:
    fake = FakeRunning(victim.pid)
    return fake, Breaking(cast(Running, fake))


def status(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_the_page_offers_what_is_in_the_table() -> None:
    assert set(BREAKS) == set(Break.model_fields["what"].annotation.__args__)  # type: ignore[union-attr]


def test_only_the_console_is_heard_and_only_what_is_known(victim: "subprocess.Popen[bytes]") -> None:
    fake, breaking = begin(victim)
    fake.notes = [("worker.w", "demo", "kill_model"), ("console.0", "else", "kill_model"), ("console.0", "demo", "rm")]
    breaking.step()
    assert victim.poll() is None
    assert fake.notes == [("console.0", "else", "kill_model")]
    fake.notes.append(("console.0", "demo", "kill_model"))
    breaking.step()
    assert victim.wait(10) == -signal.SIGKILL


def test_what_stands_still_goes_on_again(victim: "subprocess.Popen[bytes]") -> None:
    fake, breaking = begin(victim)
    fake.notes.append(("console.0", "demo", "freeze_camera"))
    breaking.step()
    while status(victim.pid) != "T":
        pass
    fake.clock.advance(STILL_NS)
    breaking.step()
    while status(victim.pid) == "T":
        pass


def test_hogs_end_when_their_time_is_over_or_the_demo_is(victim: "subprocess.Popen[bytes]") -> None:
    fake, breaking = begin(victim)
    fake.notes += [("console.0", "demo", "hog_cpu")] * 2
    breaking.step()
    hogs = list(breaking._hogs)
    assert len(hogs) == len(HOGS)
    fake.clock.advance(HOGS_NS)
    breaking.step()
    assert [hog.poll() for hog in hogs] == [-signal.SIGKILL] * len(HOGS)
    fake.notes.append(("console.0", "demo", "hog_cpu"))
    breaking.step()
    hogs = list(breaking._hogs)
    breaking.close()
    assert [hog.poll() for hog in hogs] == [-signal.SIGKILL] * len(HOGS)


def test_a_swap_goes_from_shadow_to_trial_to_kept(victim: "subprocess.Popen[bytes]") -> None:
    fake, breaking = begin(victim)
    fake.notes.append(("console.0", "demo", "swap_model"))
    breaking.step()
    breaking.step()
    assert fake.moves == ["propose ['m']"]
    fake.ready = True
    breaking.step()
    breaking.step()
    assert fake.moves[1:] == ["switch"]
    fake.clock.advance(10 * HOGS_NS)
    breaking.step()
    breaking.step()
    assert fake.moves[2:] == ["keep"]
