"""What the monitor of a device has kept: for people, for other sites, and as the reference of a bundle."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from inframe.core.config import Device
from inframe.core.drift import MonitorConfig
from inframe.core.errors import ConfigError
from inframe.core.yamlfile import read_device
from inframe.monitor.export import encoded, exported, merged, read_export
from inframe.monitor.performance import estimate
from inframe.monitor.reference import MIN_PROCEDURES, ReferenceFile, lock
from inframe.monitor.signals import Kind, signal_of
from inframe.monitor.signatures import Known
from inframe.monitor.state import unsealed
from inframe.monitor.summary import quantile, together
from inframe.trail.files import Disk

TAIL = 0.001
MIN_DEGRADED = 20


def configured(path: Path) -> tuple[Device, MonitorConfig]:
    """The device and its `monitor:`. Raises ConfigError."""
    device = read_device(path)
    if device.monitor is None:
        raise ConfigError(path, "monitor", "nothing", "`monitor:` in the device's file")
    return device, device.monitor


def contents_of(path: Path) -> list[dict[str, Any]]:
    """All strata that this device has kept, as they are on the disk. Raises ConfigError, DeviceFault for a damaged one."""
    _, config = configured(path)
    return kept_in(path.parent / config.folder)


def kept_in(folder: Path) -> list[dict[str, Any]]:
    """The same of the folder in which a monitor keeps them. Raises DeviceFault."""
    disk = Disk(folder)
    names = [name for name in disk.names("") if name.endswith(".state")]
    return [unsealed(str(folder / name), disk.read(name) or b"") for name in names]


def status_of(path: Path) -> dict[str, Any]:
    """What is known of each stratum, for `inframe monitor status`."""
    return {"strata": [stratum_told(one) for one in contents_of(path)]}


def stratum_told(content: Mapping[str, Any]) -> dict[str, Any]:
    """One of them, for people and programs."""
    return {
        **content["stratum"],
        "procedures": content["procedures"],
        "cut": content["cut"],
        "running_blocks": content["running"][1]["blocks"] if content["running"] else 0,
        "charts": {model: _charts(one, content) for model, one in content["charts"].items()},
        "alarms": content["alarms"],
        "signals": {name: _figures(name, tally) for name, tally in content["means"].items()},
    }


def _charts(one: Mapping[str, Any], content: Mapping[str, Any]) -> dict[str, Any]:
    """How far each signal is, and how high its chart is, 1 at the limit: its plain one or its adjusted one, up or down."""
    n = len(one["signals"])
    tops = np.maximum(np.array(one["up"]), np.array(one["down"])) / np.array(one["limits"])
    raised = np.array(one["raised_up"]) | np.array(one["raised_down"])
    names = [*one["signals"], *one["signals"], *(f"like {name}" for name in one["signatures"])]
    height = {name: float(max(tops[i], tops[n + i])) for i, name in enumerate(one["signals"])}
    of_signature = {f"like {name}": 2 * n + i for i, name in enumerate(one["signatures"])}
    height |= {name: float(tops[i]) for name, i in of_signature.items()}
    now = {name: one["ewma"][i] for i, name in enumerate(one["signals"])}
    now |= {name: one["ewma"][i] for name, i in of_signature.items()}
    above = sorted({name for name, is_raised in zip(names, raised, strict=True) if is_raised})
    calibration = one["calibration"]
    at = (
        content["names"].index(calibration["signal"])
        if calibration and calibration["signal"] in content["names"]
        else None
    )
    confidences = [row[at] for row in content["recent"]] if at is not None else []
    return {
        "limits": {name: round(one["limits"][i], 3) for name, i in {"signals": 0, **of_signature}.items()},
        "e_value": one["e_value"],
        "above": above,
        "now": {name: round(value, 2) for name, value in now.items()},
        "height": {name: round(value, 2) for name, value in height.items()},
        "performance": estimate(calibration, confidences, drifts=bool(above)).text(),
    }


def _figures(name: str, tally: list[Any]) -> dict[str, Any]:
    signal = signal_of(name)
    low, median, high = (quantile(tally[3], signal.low, signal.high, q) for q in (0.05, 0.5, 0.95))
    return {"procedures": tally[0], "q05": round(low, 4), "median": round(median, 4), "q95": round(high, 4)}


def show_status(out: Console, report: Mapping[str, Any]) -> None:
    """As tables."""
    if not report["strata"]:
        out.print("no procedure has been counted yet")
    for one in report["strata"]:
        what = " / ".join(part for part in (one["device"], one["site"], one["modality"]) if part)
        out.print(f"{what}: {one['procedures']} procedures, {one['cut']} of them cut off", markup=False)
        if not one["charts"]:
            out.print("no charts: no bundle of these models has a reference (`reference:` in its recipe)", markup=False)
        for model, charts in one["charts"].items():
            out.print(_table(model, charts, one["signals"]))
            out.print(f"performance without labels: {charts['performance']}", markup=False)
        for alarm in one["alarms"]:
            at = f"procedure {alarm['procedure']}, since {alarm['since']}: model {alarm['model']}"
            out.print(f"DRIFT at {at}: {alarm['text']}", markup=False, soft_wrap=True)


def _table(model: str, charts: Mapping[str, Any], signals: Mapping[str, Any]) -> Table:
    table = Table(title=f"model {model}: charts alarm at 100 %, e-value {charts['e_value']:.3g}")
    for column in ("signal", "kind", "median", "now, SD", "chart"):
        table.add_column(column, justify="left" if column in ("signal", "kind") else "right")
    for name, height in sorted(charts["height"].items(), key=lambda item: -item[1]):
        mark = "  DRIFT" if name in charts["above"] else ""
        median = signals.get(name, {}).get("median", "-")
        kind = "signature" if name.startswith("like ") else signal_of(name).kind.value
        table.add_row(name, kind, str(median), f"{charts['now'][name]:+.2f}", f"{100 * height:.0f} %{mark}")
    return table


def export_of(path: Path) -> tuple[bytes, dict[str, Any], int]:
    """The export's bytes, its content, and how many strata are held back. Raises ConfigError where all are."""
    _, config = configured(path)
    content, held = exported(contents_of(path), config.export_least)
    if not content["strata"]:
        most = max((one["procedures"] for one in held), default=0)
        raise ConfigError(
            path, "monitor.export_least", f"{most} procedures", f"at least {config.export_least} to export"
        )
    return encoded(content), content, len(held)


def merge_of(paths: list[Path]) -> tuple[bytes, dict[str, Any]]:
    """The exports in these files as one: its bytes and content. Raises ConfigError."""
    content = merged([read_export(path) for path in paths])
    return encoded(content), content


def reference_of(path: Path, known: Sequence[tuple[str, Kind, Path]] = (), watch: Sequence[str] = ()) -> ReferenceFile:
    """The reference that this device's newest procedures make, with the signatures of known drifts (the name, of which kind it is,
    and the file of a device whose procedures were run so) and of the signals to watch. Raises ConfigError unless exactly one
    stratum has enough, and for a signal that is not charted."""
    content, config = _enough(path, MIN_PROCEDURES)
    names = tuple(content["names"])
    blocks = {}
    for name, tally in together(content["blocks"].values()).items():
        signal = signal_of(name)
        blocks[name] = (
            quantile(tally[3], signal.low, signal.high, TAIL),
            quantile(tally[3], signal.low, signal.high, 1 - TAIL),
        )
    moved = []
    for what, kind, file in known:
        other, _ = _enough(file, MIN_DEGRADED)
        if tuple(other["names"]) != names:
            raise ConfigError(file, "models, rules", "other signals", f"those of {path}")
        moved.append(Known(what, kind, np.array(other["recent"], np.float64)))
    procedures = np.array(content["recent"], np.float64)  # None becomes NaN
    return lock(names, procedures, blocks, config.modality or None, moved, watch)


def _enough(path: Path, least: int) -> tuple[dict[str, Any], MonitorConfig]:
    """The one stratum of a device with so many procedures. Raises ConfigError."""
    _, config = configured(path)
    enough = [one for one in contents_of(path) if len(one["recent"]) >= least]
    if len(enough) != 1:
        expected = f"one stratum of at least {least} procedures in {config.folder}"
        raise ConfigError(path, "monitor.folder", f"{len(enough)} such", expected)
    return enough[0], config
