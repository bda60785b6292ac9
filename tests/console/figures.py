"""The console's figures on the reference device, and its pictures:

python -m tests.console.figures              the frame path with and without a crowd, the console's memory, death and return
python -m tests.console.figures pictures     docs/pictures/console-*.jpg, by a real Chromium
"""

import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np

from inframe.core.clock import NS_PER_S
from inframe.core.config import Device, Trail
from inframe.core.health import CandidateConfig
from inframe.core.web import DEMO, WebScreen
from inframe.core.yamlfile import read_device
from inframe.device import Running
from inframe.pipeline.board import Count
from inframe.procedure import Follower, quantile
from inframe.reference_device import device_file
from inframe.resolve import resolve
from tests.console.chromium import Visit, chromium
from tests.console.stand import Browser

PHASE_S, ROUNDS, WARM_S = 10.0, 4, 8.0
PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
SMALL = (1024, 640)
VIEWS = ("live", "timing", "processes", "trail")


def say(text: str) -> None:
    """A line, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def reference(folder: Path) -> Device:
    """The reference device again and again, with a page and a trail and nothing else."""
    path = device_file()
    device = resolve(read_device(path), path)
    streams = {name: stream.model_copy(update={"loop": True}) for name, stream in device.streams.items()}
    screens = (WebScreen(kind="web", port=0),)
    changes: dict[str, Any] = {"streams": streams, "screens": screens, "trail": Trail(folder=str(folder / "trail"))}
    return device.model_copy(update={**changes, "candidate": CandidateConfig(control=str(folder / "control"))})


class Stage:
    """A running reference device; `go_on` keeps it going."""

    def __init__(self, running: Running) -> None:
        self.running, self.follower = running, Follower(running)

    @property
    def port(self) -> int:
        return self.running.board.row("console.0").get(Count.PORT)

    def go_on(self, seconds: float, enough: Callable[[], bool] = lambda: False) -> None:
        """Step for so long, or until it is enough."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not enough():
            self.running.step()
            self.follower.take()
            time.sleep(0.005)

    def phase(self, seconds: float) -> tuple[list[float], int]:
        """The latencies of so many seconds, ms, and how many frames missed."""
        missed, self.follower.latencies_ms = self.running.board.row("display").get(Count.MISSED), []
        self.go_on(seconds)
        return self.follower.latencies_ms, self.running.board.row("display").get(Count.MISSED) - missed

    def memory_mb(self) -> float:
        """The console's own memory, without what it shares."""
        pid = self.running.supervisor.pid("console.0")
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1000


@contextmanager
def started() -> Iterator[Stage]:
    """The device, warm."""
    os.environ[DEMO] = "1"
    with TemporaryDirectory() as folder:
        device = reference(Path(folder))
        with Running(device, device_file()) as running:
            one = Stage(running)
            one.go_on(60, lambda: bool(one.port and running.board.row("display").get(Count.FIRST_OVERLAY_NS)))
            one.go_on(WARM_S)
            yield one


def measure() -> None:
    """Interleaved: without anybody, with the crowd."""
    with started() as device:
        found: dict[str, list[float]] = {"nobody": [], "crowd": []}
        missed = dict.fromkeys(found, 0)
        say(f"console memory at first: {device.memory_mb():.0f} MB")
        for _ in range(ROUNDS):
            for name, latencies in found.items():
                crowd = None
                if name == "crowd":
                    command = [sys.executable, "-m", "tests.console.flood", str(device.port), str(PHASE_S + 2)]
                    crowd = subprocess.Popen(command)
                    device.go_on(2)
                times, late = device.phase(PHASE_S)
                latencies.extend(times)
                missed[name] += late
                if crowd is not None:
                    say(f"console memory in the crowd: {device.memory_mb():.0f} MB")
                    device.go_on(30, lambda crowd=crowd: crowd.poll() is not None)  # type: ignore[misc]
        for name, latencies in found.items():
            say(
                f"{name}: {len(latencies)} frames, p50 {statistics.median(latencies):.2f} ms, "
                f"p99 {quantile(latencies, 0.99):.2f} ms, missed {missed[name]}"
            )
        say(f"p50 up by {statistics.median(found['crowd']) - statistics.median(found['nobody']):+.3f} ms")
        _death(device)


def _death(device: Stage) -> None:
    row, before = device.running.board.row("console.0"), device.running.clock.now()
    os.kill(device.running.supervisor.pid("console.0") or 0, signal.SIGKILL)
    device.go_on(60, lambda: row.get(Count.READY_NS) > before)
    Browser(device.port).get("/api/state")
    say(f"killed console answers again after {(device.running.clock.now() - before) / NS_PER_S:.2f} s")


def pictures() -> None:
    """Each view, once the device is warm."""
    with started() as device, chromium() as browser:
        visit = Visit(browser, f"http://127.0.0.1:{device.port}")
        page = visit.open()
        first = page.evaluate("Number(document.body.dataset.first)")
        device.go_on(6)
        say(f"first picture {first:.0f} ms after opening; {page.get_attribute('body', 'data-rate')} pictures a second")
        for view in VIEWS:
            page.click(f"nav button[data-view={view}]")
            device.go_on(3)
            keep(page.screenshot(), view)
        page.click("nav button[data-view=live]")
        page.click("#explain")
        device.go_on(4)
        keep(page.screenshot(), "frame")
        page.click("#frame-close")
        page.click("[data-break=kill_model]")
        os.kill(device.running.supervisor.pid("worker.worker") or 0, signal.SIGSTOP)
        page.evaluate("scrollTo(0, 0)")
        device.go_on(1.3)
        keep(page.screenshot(), "ai-off")
        device.go_on(6)
        page.click("#beside")
        page.select_option("#language", "de")
        device.go_on(3)
        keep(page.screenshot(), "beside-de")
        if visit.errors or visit.strangers():
            say(f"errors: {visit.errors}; requests elsewhere: {visit.strangers()}")


def keep(png: bytes, name: str) -> None:
    """As a small JPEG."""
    picture = cv2.resize(
        cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR), SMALL, interpolation=cv2.INTER_AREA
    )
    cv2.imwrite(str(PICTURES / f"console-{name}.jpg"), picture, (cv2.IMWRITE_JPEG_QUALITY, 78))


if __name__ == "__main__":
    pictures() if sys.argv[1:] == ["pictures"] else measure()
