"""What `inframe run` and `inframe demo` show on the terminal: a line while they run, a table at the end."""

import os
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from inframe.breaking import Breaking
from inframe.core.config import Device, FileScreen, Trail
from inframe.core.errors import DeviceFault
from inframe.core.health import CandidateConfig, HealthRules
from inframe.core.types import Mode
from inframe.core.web import DEMO, WebScreen
from inframe.core.yamlfile import read_device
from inframe.device import Running
from inframe.pipeline.board import Count
from inframe.procedure import Follower, Summary, run
from inframe.reference_device import device_file, truth_file
from inframe.resolve import resolve
from inframe.table import names
from inframe.truth import Event, as_json, compare, defect_spans, true_spans
from inframe.truth import seconds as in_seconds

DEMO_FILE = Path("out") / "demo.mkv"
DEMO_TRAIL = Path("out") / "trail"
PROCEDURE_S = 30.0
"""How long the shipped procedure is; whoever asks for more sees it again and again."""
SHADOW_FRAMES = 60
"""The demo's candidate is the same model once more: two seconds of comparing are enough to see how it goes."""


def demo(out: Console, seconds: float | None) -> dict[str, Any]:
    """The reference device on its procedure, shown on a page of this machine and kept as a video."""
    path = device_file()
    DEMO_FILE.parent.mkdir(parents=True, exist_ok=True)
    DEMO_FILE.unlink(
        missing_ok=True
    )  # a file screen never writes over a file, and the last demo's is not worth a second one
    screens = (FileScreen(kind="file", path=str(DEMO_FILE.absolute())), WebScreen(kind="web", port=0))
    device = resolve(read_device(path), path)
    loops = seconds is not None and seconds > PROCEDURE_S
    streams = {name: stream.model_copy(update={"loop": loops}) for name, stream in device.streams.items()}
    health = HealthRules(shadow_frames=SHADOW_FRAMES, window=SHADOW_FRAMES)
    candidate = CandidateConfig(control=str(DEMO_FILE.with_name("control").absolute()), health=health)
    changes = {"screens": screens, "trail": Trail(folder=str(DEMO_TRAIL.absolute()))}
    device = device.model_copy(update={**changes, "streams": streams, "candidate": candidate})
    os.environ[DEMO] = "1"
    out.print("inframe demo: a rendered procedure; models for demonstration, never for clinical use")
    broken: list[Breaking] = []

    def breaks(running: Running) -> None:
        if not broken:
            broken.append(Breaking(running))
        broken[0].step()

    try:
        summary = _show(out, device, path, seconds, breaks)
    finally:
        for one in broken:
            one.close()
    if loops:
        out.print(f"what was on the screen: {DEMO_FILE}")
        return summary.as_json()
    return _judge(out, device, summary)


def _judge(out: Console, device: Device, summary: Summary) -> dict[str, Any]:
    """Beside the truth, which is known of the first pass only."""
    fps = device.streams[device.display].fps
    true = true_spans(device, truth_file(), summary.frames)
    if "anomaly" not in device.models:  # then no rule asks for them, and they are missed all the same
        true |= defect_spans(truth_file(), fps, summary.frames)
    events = compare(true, in_seconds(summary.spans, fps))
    out.print(truth_table(events, {name: rule.text for name, rule in device.rules.items()}))
    out.print(f"what was on the screen: {DEMO_FILE}\nand why, frame by frame: inframe trail show {DEMO_TRAIL}")
    return {**summary.as_json(), "truth": as_json(events)}


def run_and_show(out: Console, path: Path, seconds: float | None) -> dict[str, Any]:
    """Run a device file until it ends; after a procedure the next one, where a person asks for it at the page."""
    ports: dict[int, int] | None = {}
    while ports is not None:
        device = _at_ports(_at_start(path), ports)
        summary = _show(out, device, path, seconds)
        if device.trail is not None:
            out.print(f"why, frame by frame: inframe trail show {path}", markup=False, soft_wrap=True)
        ports = summary.next_ports
    return summary.as_json()


def _at_ports(device: Device, ports: Mapping[int, int]) -> Device:
    """With its pages where they were in the procedure before, whose visitors come back by themselves."""
    screens = [
        one.model_copy(update={"port": ports.get(i, one.port)}) if isinstance(one, WebScreen) else one
        for i, one in enumerate(device.screens)
    ]
    return device.model_copy(update={"screens": tuple(screens)})


def _at_start(path: Path) -> Device:
    """The device of that file, resolved; what takes updates is loaded only for a device that does."""
    device = read_device(path)
    if device.update is None:
        return resolve(device, path)
    from inframe.updatable import at_start

    return at_start(path)


def _show(
    out: Console, device: Device, path: Path, seconds: float | None, each: Callable[[Running], None] = lambda _: None
) -> Summary:
    """`each` is called after each look at the device."""
    said = _announce(out)

    def look(running: Running, follower: Follower) -> None:
        said(running, follower)
        each(running)

    if not out.is_terminal:
        summary = run(device, path, seconds, look)
    else:
        with Live(console=out, refresh_per_second=8, transient=True) as live:

            def tick(running: Running, follower: Follower) -> None:
                look(running, follower)
                live.update(_line(running, follower))

            summary = run(device, path, seconds, tick)
    out.print(closing_table(summary))
    _notes(out, summary)
    causes = [f": {process}: {why}" for process, what, why in summary.notes if not what.startswith("not granted")]
    if not summary.frames and not summary.stopped:
        raise DeviceFault(f"{device.display}: no frame came{causes[-1] if causes else ''}")
    return summary


def _announce(out: Console) -> Callable[[Running, Follower], None]:
    """Print each page's address once it is known."""
    said: set[str] = set()

    def tick(running: Running, _follower: Follower) -> None:
        for name in names(running.device):
            port = running.board.row(name).get(Count.PORT)
            if port and name not in said:
                said.add(name)
                out.print(f"watch it: http://127.0.0.1:{port}/")

    return tick


def _line(running: Running, follower: Follower) -> str:
    row = running.board.row("display")
    latency = row.get(Count.LATENCY_NS) / 1e6
    found = ", ".join(finding.rule for finding in follower.last.findings) if follower.last else ""
    mode = Mode(row.get(Count.MODE)).name
    return (
        f"frame {row.get(Count.SEQ)}  {mode}  {latency:.1f} ms  missed {row.get(Count.MISSED)}  findings {found or '-'}"
    )


def closing_table(summary: Summary) -> Table:
    """How every frame fared."""
    table = Table(title=f"{summary.device}: how every frame fared", show_header=False)
    table.add_column("what")
    table.add_column("value", justify="right")
    due = summary.shown + summary.missed - summary.late
    by_deadline = f"{100 * (1 - summary.missed / due):.2f} %" if due else "-"
    verdicts = summary.verdicts
    rows = [
        ("frames captured", str(summary.frames)),
        (f"on the screen by their deadline ({summary.deadline_ms:.1f} ms)", by_deadline),
        ("missed (late or never shown)", str(summary.missed)),
        ("with a current overlay (SHOW)", str(verdicts.get("SHOW", 0))),
        ("with an overlay held from before (HOLD)", str(verdicts.get("HOLD", 0))),
        ("without an overlay (WITHHOLD)", str(verdicts.get("WITHHOLD", 0))),
        (
            "capture to screen, median / p99 / max",
            " / ".join(_ms(v) for v in (summary.p50_ms, summary.p99_ms, summary.max_ms)),
        ),
        (
            "first frame / first overlay after the start",
            " / ".join(_ms(v) for v in (summary.first_frame_ms, summary.first_overlay_ms)),
        ),
    ]
    if summary.recorded is not None:
        rows.append(("recorded in the trail", str(summary.recorded)))
    rows += [(f"finding: {rule}", f"{count} x") for rule, count in sorted(summary.findings.items())]
    rows += [(f"alert: {name}", f"{count} x") for name, count in sorted(summary.alerts.items())]
    rows += [
        (f"sensor: {name}", f"{one.samples} samples, {one.left_out} left out; no value at {one.absent} frames")
        for name, one in summary.sensors.items()
    ]
    rows += [
        (f"clock of {name}", f"{one.drift_ppm:+.0f} ppm, to {one.uncertain_ms:.2f} ms")
        for name, one in summary.sensors.items()
        if one.offset_ms
    ]
    rows += [(f"restarted: {name}", f"{count} x") for name, count in summary.restarts.items()]
    rows += [
        (f"{what.replace('_', ' ')}: {name}", str(n))
        for name, counts in summary.counts.items()
        for what, n in counts.items()
    ]
    for row in rows:
        table.add_row(*row)
    return table


def truth_table(events: list[Event], texts: dict[str, str]) -> Table:
    """What was to be found in a rendered procedure, and what was."""
    counts = Counter(event.outcome for event in events)
    title = ", ".join(f"{counts[outcome]} {outcome}" for outcome in ("found", "missed", "false"))
    table = Table(title=f"against the truth: {title}")
    for column in ("event", "true from", "to", "alert after", "outcome"):
        table.add_column(column, justify="left" if column in ("event", "outcome") else "right")
    for event in events:
        began, ended = (f"{at:.1f} s" for at in event.true) if event.true else ("-", "-")
        after = "-"
        if event.found:
            after = f"{max(0.0, event.found[0] - event.true[0]):.1f} s" if event.true else f"at {event.found[0]:.1f} s"
        table.add_row(texts.get(event.rule, event.rule), began, ended, after, event.outcome)
    return table


def _notes(out: Console, summary: Summary) -> None:
    """What processes had to say, each thing once."""
    refused: dict[tuple[str, str], list[str]] = {}
    for process, what, why in summary.notes:
        refused.setdefault((what, why), []).append(process)
    for (what, why), processes in refused.items():
        out.print(f"{', '.join(dict.fromkeys(processes))}: {what} ({why})", markup=False, style="yellow")


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} ms"
