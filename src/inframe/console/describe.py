"""How the device is, as plain values: what the routes answer and `/metrics` counts."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from inframe import __version__
from inframe.console import system
from inframe.console.follow import STEPS, Follower
from inframe.core.clock import NS_PER_MS, NS_PER_S, Clock
from inframe.core.config import Device
from inframe.core.types import Priority
from inframe.drivers.screens.commands import AUDIO_PAUSE_NS
from inframe.pipeline.alerts import FLASHES
from inframe.pipeline.board import Board, Count
from inframe.pipeline.happened import Happened
from inframe.pipeline.palette import ALERT

if TYPE_CHECKING:
    from inframe.table import Role

_COUNTED = (
    Count.FRAMES,
    Count.DROPPED,
    Count.OVER_BUDGET,
    Count.INVALID,
    Count.FAILED,
    Count.CORRUPT,
    Count.RECONNECTS,
)


def about(device: Device, *, demo: bool) -> dict[str, Any]:
    """What does not change while the device runs."""
    stream = device.streams[device.display]
    return {
        "device": device.device,
        "version": __version__,
        "demo": demo,
        "unsigned": list(device.unsigned),
        "stream": {"name": device.display, "width": stream.width, "height": stream.height, "fps": stream.fps},
        "deadline_ms": device.deadline_ns / NS_PER_MS,
        "budgets_ms": {name: model.budget_ms for name, model in device.models.items()},
        "steps": list(STEPS),
        "rules": {name: {"text": rule.text, "priority": rule.priority} for name, rule in device.rules.items()},
        "priorities": {priority.name.lower(): _priority(priority) for priority in Priority},
        "audio_pause_s": AUDIO_PAUSE_NS // NS_PER_S,
        "watermark": device.overlay.watermark,
        "records": {"trail": device.trail is not None, "recording": device.recording is not None},
        "candidate": device.candidate is not None,
        "updates": device.update is not None,
    }


def _priority(priority: Priority) -> dict[str, Any]:
    paper, ink = ALERT[priority]
    flash = FLASHES[priority]
    colours = {name: "#{:02x}{:02x}{:02x}".format(*rgb) for name, rgb in (("paper", paper), ("ink", ink))}
    return {**colours, "hz": flash.millihertz / 1000, "lit": flash.lit_percent / 100}


def processes(board: Board, follower: Follower, clock: Clock) -> list[dict[str, Any]]:
    """One row for each of the table."""
    from inframe.table import role_of  # with all of the frame path behind it: not while a page is waited for

    seen = system.siblings()
    return [
        _process(name, role_of(name), board, follower, seen.get(name), clock.now())
        for name in board.names
        if name != "device"
    ]


def _process(
    name: str, role: "Role", board: Board, follower: Follower, seen: system.Seen | None, now_ns: int
) -> dict[str, Any]:
    row = board.row(name)
    started = follower.starts.get(name)
    told = {
        "name": name,
        "wanted": role.scheduling,
        "wanted_priority": role.priority,
        "has_started": started is not None or bool(row.heartbeat_ns),
        "restarts": _restarts(started),
        "limit": f"{role.restarts.limit} in {role.restarts.within_s:g} s",
        "beat_ms": round((now_ns - row.heartbeat_ns) / NS_PER_MS) if row.heartbeat_ns else None,
        "is_ready": bool(row.get(Count.READY_NS)),
        "counts": {count.name.lower(): row.get(count) for count in _COUNTED if row.get(count)},
        "running": None,
    }
    if seen is not None:
        told["running"] = {
            "pid": seen.pid,
            "core": seen.core,
            "cores": seen.cores,
            "scheduling": seen.scheduling,
            "priority": seen.priority,
            "memory_mb": seen.memory_mb,
            "locked_mb": seen.locked_mb,
            "cpu_s": seen.cpu_s,
        }
    return told


def _restarts(started: Happened | None) -> int:
    """The parent says at each start how many deaths count."""
    number = started.text.removeprefix("restart ") if started is not None else "0"
    return int(number) if number.isdigit() else 0


def models(device: Device, follower: Follower, board: Board) -> list[dict[str, Any]]:
    """One row for each model: how it is configured, what its worker said when it loaded it, how it fares."""
    loaded = {model: (who, one.data) for (who, model), one in follower.models.items()}
    told = []
    for name, model in device.models.items():
        who, data = loaded.get(name, ("", {}))
        bundle = follower.bundles.get(name, {})
        row = board.row(who) if who in board.names else None
        told.append(
            {
                "name": name,
                "stream": model.stream,
                "worker": who or None,
                "slot": data.get("slot"),
                "sha256": data.get("sha256"),
                "engine": data.get("engine"),
                "bundle": bundle.get("bundle"),
                "bundle_sha256": bundle.get("sha256"),
                "signed_by": bundle.get("signed_by"),
                "is_signed": name not in device.unsigned,
                "budget_ms": model.budget_ms,
                "over_budget": row.get(Count.OVER_BUDGET) if row is not None else None,
                "runs": row.get(Count.FRAMES) if row is not None else None,
                "labels": list(model.labels),
            }
        )
    return told


def metrics(board: Board, follower: Follower, clients: int) -> str:
    """Prometheus text, version 0.0.4."""
    display = board.row("display")
    lines: list[str] = []

    def add(name: str, kind: str, text: str, values: Mapping[str, float]) -> None:
        lines.append(f"# HELP inframe_{name} {text}")
        lines.append(f"# TYPE inframe_{name} {kind}")
        lines.extend(f"inframe_{name}{labels} {value:g}" for labels, value in values.items())

    verdicts = {f'{{verdict="{c.name}"}}': display.get(c) for c in (Count.SHOW, Count.HOLD, Count.WITHHOLD)}
    add("frames_total", "counter", "frames shown, by what the gate let through", verdicts)
    add("missed_total", "counter", "frames late on the screen, or never", {"": display.get(Count.MISSED)})
    add("latency_seconds", "gauge", "capture to screen of the newest frame", {"": display.get(Count.LATENCY_NS) / 1e9})
    add("mode", "gauge", "0 NOMINAL, 1 DEGRADED, 2 VIDEO_ONLY, 3 FAULT", {"": display.get(Count.MODE)})
    rows = {name: board.row(name) for name in board.names if name != "device"}
    for count in _COUNTED:
        values = {f'{{process="{name}"}}': row.get(count) for name, row in rows.items()}
        add(f"process_{count.name.lower()}_total", "counter", f"what the process counted: {count.name.lower()}", values)
    starts = {f'{{process="{name}"}}': _restarts(one) for name, one in follower.starts.items()}
    add("restarts", "gauge", "restarts of each process that still count", starts)
    add("faults", "gauge", "1 for each event that is present", {f'{{event="{e}"}}': 1 for e in board.faults()})
    add("console_clients", "gauge", "browsers that watch", {"": clients})
    return "\n".join(lines) + "\n"
