"""The console's figures on the reference device, and its pictures:

python -m tests.console.figures              the frame path with and without a crowd, the console's memory; 5 min
python -m tests.console.figures death        how soon a killed console answers, and the page in a real Chromium is back; 2 min
python -m tests.console.figures page         how soon a real Chromium shows a picture, and how many a second; 2 min
python -m tests.console.figures pictures     docs/pictures/console-*.jpg, by the same; 2 min
python -m tests.console.figures past         those of recordings and drift; 1 min
"""

import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np

from inframe.core.clock import NS_PER_S
from inframe.core.config import Device, RecordingConfig, Trail
from inframe.core.drift import MonitorConfig
from inframe.core.health import CandidateConfig
from inframe.core.web import DEMO, WebScreen
from inframe.core.yamlfile import read_device
from inframe.device import Running
from inframe.pipeline.board import Count
from inframe.procedure import Follower, quantile
from inframe.recording.kept import Kept
from inframe.recording.read import open_recording
from inframe.recording.replay import replay
from inframe.recording.report import Report
from inframe.reference_device import device_file
from inframe.resolve import resolve
from inframe.table import PROCESSES
from inframe.trail.files import Disk
from tests.console.chromium import Visit, chromium
from tests.console.stand import Browser, Stand
from tests.monitor import monitor_made

TURN_S, PAIRS, WARM_S = 3.0, 24, 8.0
PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
SMALL = (1024, 640)
KILLS, PAUSE_S = 10, 6.0
OPENINGS, WINDOWS = 8, 4
WATCH_RETURN = """() => {
  const killed = performance.now(), shown = Number(document.body.dataset.pictures);
  let lost = false;
  globalThis.backAfter = 0;
  const watch = new MutationObserver(() => {
    lost ||= document.body.dataset.link === "lost";
    if (!lost || document.body.dataset.link !== "open" || Number(document.body.dataset.pictures) <= shown) return;
    watch.disconnect();
    globalThis.backAfter = performance.now() - killed;
  });
  watch.observe(document.body, { attributes: true });
}"""
RECORDED_S, FPS = 12.0, 30
VIEWS = ("live", "timing", "processes", "models", "trail", "service")


def say(text: str) -> None:
    """A line, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def reference(folder: Path, *, with_past: bool = False) -> Device:
    """The reference device again and again, with a page and a trail and nothing else; or with recordings and statistics too."""
    path = device_file()
    device = resolve(read_device(path), path)
    streams = {name: stream.model_copy(update={"loop": True}) for name, stream in device.streams.items()}
    screens = (WebScreen(kind="web", port=0),)
    changes: dict[str, Any] = {"streams": streams, "screens": screens, "trail": Trail(folder=str(folder / "trail"))}
    changes |= {"recording": RecordingConfig(folder=str(folder / "recordings"))} if with_past else {}
    changes |= {"monitor": MonitorConfig(folder=str(folder / "monitor"))} if with_past else {}
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


def past(device: Device) -> None:
    """One procedure that was recorded, and replayed; statistics of ninety that the tests made up."""
    assert device.recording is not None
    assert device.monitor is not None
    with Running(device, device_file()) as running:
        one = Stage(running)
        one.go_on(RECORDED_S)
    first = open_recording(next(iter(sorted(Path(device.recording.folder).glob("*.mcap")))))
    kept = Kept(first, first.device)
    replay(first, first.device, Report(), kept)
    kept.close()
    for file in Path(device.monitor.folder).iterdir():
        file.unlink()
    state, rng = monitor_made.state(), np.random.default_rng(3)
    monitor_made.operate(state, monitor_made.procedures(rng, 60))
    blurred = monitor_made.procedures(rng, 30)
    blurred[:, monitor_made.SHARP] -= 2
    monitor_made.operate(state, blurred)
    state.save(Disk(Path(device.monitor.folder)))


def measure() -> None:
    """Turns without anybody and with the crowd, one behind the other: a virtual machine's speed drifts by more than the bar."""
    differences: list[float] = []
    missed = 0
    with started() as device:
        say(f"console memory at first: {device.memory_mb():.0f} MB")
        for pair in range(PAIRS):
            alone, _ = device.phase(TURN_S)
            command = [sys.executable, "-m", "tests.console.flood", str(device.port), str(TURN_S + 2)]
            with subprocess.Popen(command, stdout=None if pair == 0 else subprocess.DEVNULL) as crowd:
                device.go_on(1.7)
                crowded, late = device.phase(TURN_S)
                memory = device.memory_mb()
                device.go_on(30, lambda crowd=crowd: crowd.poll() is not None)  # type: ignore[misc]
            missed += late
            differences.append(statistics.median(crowded) - statistics.median(alone))
            device.go_on(0.5)
    differences.sort()
    rank = int((PAIRS - 1.96 * PAIRS**0.5) / 2)
    say(
        f"console memory in the last crowd: {memory:.0f} MB; missed in the crowds: {missed} of {PAIRS * TURN_S * FPS:.0f}"
    )
    say(
        f"p50 up by {statistics.median(differences):+.3f} ms, {differences[rank]:+.3f} to {differences[-1 - rank]:+.3f} with 95 % "
        f"confidence, {PAIRS} pairs (bar: at most 0.1 ms)"
    )


def spread(name: str, values: list[float], unit: str, bar: str) -> None:
    """One line: the middle and the tails."""
    p90 = quantile(values, 0.9)
    say(
        f"{name}: median {statistics.median(values):.2f} {unit}, p90 {p90:.2f}, least {min(values):.2f}, most "
        f"{max(values):.2f} of {len(values)} ({bar})"
    )


def death() -> None:
    """Each kill is the first within its minute for the parent; somebody watches in a real browser meanwhile."""
    patient = PROCESSES["console"]
    PROCESSES["console"] = replace(patient, restarts=replace(patient.restarts, within_s=PAUSE_S / 2))
    answers: list[float] = []
    back: list[float] = []
    with started() as device, chromium() as browser:
        page = Visit(browser, f"http://127.0.0.1:{device.port}").open()
        for _ in range(KILLS):
            device.go_on(PAUSE_S)
            answered, drawn = _kill(device, page)
            answers.append(answered)
            back.append(drawn)
    spread("killed console answers again after", answers, "s", "bar: 2 s")
    spread("the open page shows a new picture after", back, "s", "bar: 2 s")


def _kill(device: Stage, page: Any) -> tuple[float, float]:
    row, clock = device.running.board.row("console.0"), device.running.clock
    page.evaluate(WATCH_RETURN)
    before = clock.now()
    os.kill(device.running.supervisor.pid("console.0") or 0, signal.SIGKILL)
    device.go_on(60, lambda: row.get(Count.READY_NS) > before)
    Browser(device.port).get("/api/state")
    answered = (clock.now() - before) / NS_PER_S
    device.go_on(60, lambda: bool(page.evaluate("backAfter > 0")))
    return answered, page.evaluate("backAfter") / 1000


def open_page() -> None:
    """Each opening is a browser that has never been here; the pictures are counted over windows of two seconds."""
    first: list[float] = []
    rates: list[float] = []
    with started() as device, chromium() as browser:
        for _ in range(OPENINGS):
            visit = Visit(browser, f"http://127.0.0.1:{device.port}")
            page = visit.open()
            first.append(page.evaluate("Number(document.body.dataset.first)") / 1000)
            device.go_on(3)
            for _ in range(WINDOWS):
                before = page.evaluate("[performance.now(), Number(document.body.dataset.pictures)]")
                device.go_on(2)
                now = page.evaluate("[performance.now(), Number(document.body.dataset.pictures)]")
                rates.append(1000 * (now[1] - before[1]) / (now[0] - before[0]))
            visit.context.close()
    spread("first picture after", first, "s", "bar: at most 2 s")
    spread("pictures a second", rates, "/s", "bar: at least 15")


def pictures() -> None:
    """Each view, once the device is warm."""
    with started() as device, chromium() as browser:
        visit = Visit(browser, f"http://127.0.0.1:{device.port}")
        page = visit.open()
        device.go_on(6)
        for view in VIEWS:
            page.click(f"nav button[data-view={view}]")
            device.go_on(3)
            keep(page.screenshot(), view)
        page.click("nav button[data-view=live]")
        page.evaluate("scrollTo(0, 0)")
        page.click("#explain")
        device.go_on(4)
        keep(page.screenshot(), "frame")
        page.click("#frame-close")
        page.click("[data-break=kill_model]")
        os.kill(device.running.supervisor.pid("worker.worker") or 0, signal.SIGSTOP)
        page.evaluate("scrollTo(0, 0)")
        device.go_on(20, lambda: page.is_visible("#ai:has-text('AI OFF')"))
        device.go_on(0.5)
        keep(page.screenshot(), "ai-off")
        device.go_on(6)
        page.click("#beside")
        page.select_option("#language", "de")
        device.go_on(3)
        keep(page.screenshot(), "beside-de")
        if visit.errors or visit.strangers():
            say(f"errors: {visit.errors}; requests elsewhere: {visit.strangers()}")


def pictures_of_the_past() -> None:
    """Recordings and drift, beside a device that is played: recording costs this machine what a browser needs."""
    with TemporaryDirectory() as folder:
        device = reference(Path(folder), with_past=True)
        past(device)
        with Stand(device) as stand, chromium() as browser:
            page = Visit(browser, stand.origin).open()
            page.click("nav button[data-view=recordings]")
            page.click("[data-reel]")
            page.wait_for_selector("#reel[data-frame='1']")
            page.fill("#reel-at", str(int(FPS * RECORDED_S / 2)))
            page.wait_for_selector("#reel:not([data-frame='1'])")
            page.evaluate("document.getElementById('reel').scrollIntoView()")
            keep(page.screenshot(), "recordings")
            page.click("nav button[data-view=drift]")
            page.wait_for_selector("#drift-chart canvas")
            page.evaluate("scrollTo(0, 0)")
            keep(page.screenshot(), "drift")


def keep(png: bytes, name: str) -> None:
    """As a small JPEG."""
    picture = cv2.resize(
        cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR), SMALL, interpolation=cv2.INTER_AREA
    )
    cv2.imwrite(str(PICTURES / f"console-{name}.jpg"), picture, (cv2.IMWRITE_JPEG_QUALITY, 78))


if __name__ == "__main__":
    {"death": death, "page": open_page, "pictures": pictures, "past": pictures_of_the_past}.get(
        " ".join(sys.argv[1:]), measure
    )()
