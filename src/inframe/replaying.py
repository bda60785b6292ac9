"""What `inframe replay` and `inframe record` do, and show on the terminal."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from inframe.core.config import Device
from inframe.core.errors import ConfigError
from inframe.core.yamlfile import read_device
from inframe.recording.about import digest, here
from inframe.recording.compare import TOLERANCE
from inframe.recording.kept import Kept
from inframe.recording.read import Recording, open_recording
from inframe.recording.recover import recover
from inframe.recording.replay import replay
from inframe.recording.report import Report, Side
from inframe.recording.seal import erase, make_device_key
from inframe.recording.storage import key_of
from inframe.resolve import resolve


def replay_and_show(
    out: Console, path: Path, device_file: Path | None, models: list[str], key: Path | None, *, keep: bool = False
) -> dict[str, Any]:
    """Run the recording that begins with `path` through the loop once more and compare. Raises ConfigError."""
    if keep and key is not None:
        raise ConfigError(path, "--keep", "a sealed recording", "one that is not: what is kept would lie there open")
    recording = open_recording(path, key)
    device = _device(recording, path, device_file, models)
    report = Report()
    others = _other_models(recording, device)
    _compared(report, recording, device, others)
    kept = Kept(recording, device) if keep else None
    try:
        replay(recording, device, report, kept)
        files = kept.close() if kept is not None else []
    except OSError as error:
        raise ConfigError(path, "--keep", error.strerror or error, "a folder with room for it") from None
    if not report.decisions:
        raise ConfigError(path, "recording", "no decision of the display", "a recording of a device that ran")
    show(out, report, side_by_side=bool(others))
    if files:
        out.print(f"kept: {files[-1]}", markup=False, soft_wrap=True)
    return report.as_json()


def _device(recording: Recording, path: Path, device_file: Path | None, models: list[str]) -> Device:
    """The device to run it on: as recorded, or another; with other models where they are given."""
    device = recording.device
    if device_file is not None:
        device = resolve(read_device(device_file), device_file)
        _must_fit(recording.device, device, device_file)
    changed, bare = dict(device.models), set[str]()
    for one in models:
        name, _, file = one.partition("=")
        if name not in changed or not file:
            raise ConfigError(path, "--model", one, f"NAME=FILE with NAME one of: {', '.join(changed)}")
        changed[name] = changed[name].model_copy(update={"file": str(Path(file).absolute())})
        bare.add(name)
    for name, model in changed.items():
        if not Path(model.file).is_file():
            raise ConfigError(path, f"models.{name}.file", model.file, "a file that exists, or --model, or --device")
    bundles = {name: bundle for name, bundle in device.bundles.items() if name not in bare}
    return device.model_copy(update={"models": changed, "bundles": bundles})


def _must_fit(recorded: Device, device: Device, file: Path) -> None:
    before, now = recorded.streams[recorded.display], device.streams[device.display]
    pairs = {
        "display": (device.display, recorded.display),
        f"streams.{device.display}": (f"{now.width}x{now.height}", f"{before.width}x{before.height}"),
    }
    for field, (found, expected) in pairs.items():
        if found != expected:
            raise ConfigError(file, field, found, f"{expected}, as recorded")


def _other_models(recording: Recording, device: Device) -> list[str]:
    """The models whose files are not those that were recorded."""
    recorded = json.loads(recording.metadata["models"])
    return [name for name, model in device.models.items() if recorded.get(name) != digest(model)]


def _compared(report: Report, recording: Recording, device: Device, others: list[str]) -> None:
    """Bit for bit, unless something says that this can't be."""
    now = here(device)
    if not recording.is_lossless:
        report.why.append("the video was recorded lossy")
    report.why += [
        f"{what}: recorded on {recording.metadata.get(what)}, now {now[what]}"
        for what in ("machine", "engines")
        if recording.metadata.get(what) != now[what]
    ]
    report.tolerant = bool(report.why)
    report.why += [f"model {name}: its file is another than the recorded one" for name in others]


def show(out: Console, report: Report, *, side_by_side: bool) -> None:
    """The summary, the first difference, and both sides where they are meant to differ."""
    table = Table(title="replay", show_header=False)
    table.add_column("what")
    table.add_column("value", justify="right")
    how = "within tolerance" if report.tolerant else "bit for bit"
    rows = [
        ("decisions compared", str(report.decisions)),
        (f"results compared ({how})", str(report.results)),
        ("results identical", str(report.identical_results)),
        *((f"frames that differ: {what}", str(count)) for what, count in sorted(report.differences.items())),
        *((f"missing in the recording: {what}", str(count)) for what, count in sorted((+report.missing).items())),
        *((text, str(count)) for text, count in _oddities(report).items() if count),
    ]
    for row in rows:
        table.add_row(*row)
    out.print(table)
    for line in report.why:
        out.print(line, markup=False, soft_wrap=True, style="yellow")
    if side_by_side or not report.held:
        out.print(_beside(report))
    first = report.first
    if first is not None:
        where = f"frame {first.frame}" if first.frame else "a NO SIGNAL card"
        text = f"first difference: {where}: {first.what}: recorded {first.recorded}, replayed {first.replayed}"
        out.print(text, markup=False, soft_wrap=True)
    elif report.tolerant:
        out.print(f"the same within tolerance ({_tolerance()})", markup=False, soft_wrap=True)
    else:
        out.print("the same, bit for bit")


def _oddities(report: Report) -> dict[str, int]:
    return {
        "results taken as recorded: frames are missing": report.not_recorded,
        "differences explained by a gap": report.after_gap,
        "files cut off": len(report.cut),
        "chunks damaged": report.damaged_chunks,
    }


def _tolerance() -> str:
    t = TOLERANCE
    return (
        f"masks {t.pixels:.0%} of pixels, scores {t.score:g}, boxes {t.boxes:.0%} at overlap {t.overlap:g}, "
        f"findings {t.frames} frames; verdict, mode and age exact"
    )


def _beside(report: Report) -> Table:
    table = Table(title="side by side")
    table.add_column("")
    table.add_column("recorded", justify="right")
    table.add_column("replayed", justify="right")
    before, now = report.recorded, report.replayed
    rows = [
        (f"frames with verdict {key}", before.verdicts[key], now.verdicts[key])
        for key in _keys("verdicts", before, now)
    ]
    rows += [(f"frames in mode {key}", before.modes[key], now.modes[key]) for key in _keys("modes", before, now)]
    rows += [(f"frames with {key}", before.findings[key], now.findings[key]) for key in _keys("findings", before, now)]
    for row in rows:
        table.add_row(row[0], str(row[1]), str(row[2]))
    times = [side.as_json()["run_ms"] for side in (before, now)]
    for name in sorted(times[0].keys() | times[1].keys()):
        table.add_row(f"{name}: a run, median, ms", *(f"{side.get(name, 0):.1f}" for side in times))
    found = report.as_json()
    for name, share in found["agreement"].items():
        table.add_row(f"{name}: agreement, mean / least", "", f"{share:.4f} / {found['least_agreement'][name]:.4f}")
    return table


def _keys(what: str, *sides: Side) -> list[str]:
    return sorted(set().union(*(getattr(side, what) for side in sides)))


def recover_and_show(out: Console, path: Path, target: Path | None, key: Path | None) -> dict[str, Any]:
    """Make a whole file of a damaged one. Raises ConfigError."""
    stem, _, ending = path.name.partition(".mcap")
    target = target or path.with_name(f"{stem}.recovered.mcap{ending}")
    report = recover(path, target, key)
    state = "was cut off" if report.was_cut else "was whole"
    out.print(
        f"{report.messages} messages in {report.chunks} chunks; {report.damaged_chunks} damaged; the file {state}"
    )
    out.print(f"written: {target}", markup=False, soft_wrap=True)
    return report.as_json()


def erase_and_show(out: Console, path: Path) -> None:
    """Destroy the key of the procedure that `path` is a part of. Raises ConfigError."""
    key = key_of(path)
    if not key.is_file():
        raise ConfigError(path, "key", f"no {key.name} beside it", "a sealed recording whose key is still there")
    erase(key)
    out.print(f"erased: {key}; what was recorded with it can't be read any more", markup=False, soft_wrap=True)


def key_and_show(out: Console, path: Path) -> None:
    """Make a device key. Raises ConfigError."""
    make_device_key(path)
    out.print(f"written: {path}; recordings sealed with it can't be read without it", markup=False, soft_wrap=True)
