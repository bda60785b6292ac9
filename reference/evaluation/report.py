"""The report as one page of Markdown."""

import math
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from reference.anomaly.scripts import HELD_OUT
from reference.evaluation.plots import NAMES


def _value(interval: Iterable[float]) -> str:
    value, low, high = interval
    if math.isnan(value):  # nothing of the kind was seen
        return "-"
    return f"{value:.2f} ({low:.2f} to {high:.2f})"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _faults(found: dict[str, Any]) -> str:
    methods = found["faults"]
    rows = []
    for kind, row in methods["anomaly"]["kinds"].items():
        name = f"{kind} (held out)" if kind in HELD_OUT else kind
        cells = [_value(methods[method]["kinds"][kind]["found"]) for method in methods]
        rows.append([name, str(row["visible"]), *cells, _value(row["named"]), f"{row['median_s']:.1f}"])
    false = [_value(methods[method]["false_a_minute"]) for method in methods]
    rows.append(["**false alerts a minute**", f"{methods['anomaly']['minutes']:.1f} min", *false, "", ""])
    return _table(["kind", "visible in", *(NAMES[method] for method in methods), "by the right rule", "median s"], rows)


def _timing(found: dict[str, Any]) -> str:
    if not found["timing"]:
        return "Not timed in this run (`--timing`)."
    rows = [
        [
            name,
            *(
                f"{steps[step]['p50']:.1f} / {steps[step]['p99']:.1f}"
                for step in ("preprocess", "infer", "decode", "all")
            ),
        ]
        for name, steps in found["timing"].items()
    ]
    head = ["model, precision, engine", "preprocess", "inference", "decode", "all"]
    return "Milliseconds on one thread, median / p99 of 300 runs.\n\n" + _table(head, rows)


def _clip(found: dict[str, Any], folder: Path) -> str:
    if found["clip"] is None:
        return "No clip was given (`--clip`)."
    rows = [[one["rule"], f"{one['from']:.1f} s", f"{one['to']:.1f} s"] for one in found["clip"]]
    text = _table(["finding", "from", "to"], rows) if rows else "No finding."
    return text + "\n\n" + _pictures(folder, {"clip.png": "Every 25th frame, and the first frame of each finding."})


def _pictures(folder: Path, names: dict[str, str]) -> str:
    return "\n\n".join(f"![{text}]({name})\n\n{text}" for name, text in names.items() if (folder / name).exists())


_HEAD = """# The reference device, measured

**For demonstration and test, never for clinical use.** {procedures} simulated procedures that nothing was trained
on or chosen with; 15 frames a second of each. Intervals: 95 %, by drawing whole procedures again 2000 times.
"""
_ANOMALIES = """## Anomalies

A kind counts as found when one of the device's own rules (area, persistence; `device.yaml`) stands at the place of the
defect within one second of its being visible: at least 100 pixels of 1280x720 that differ by a tenth of full scale from the
same instrument without it, for a second without a break, behind no more than half of full smoke, smear, fog or motion. An
alert that begins elsewhere is false. The baselines' thresholds were chosen as the model's, for at most 0.5 false alerts a
minute; held-out kinds had no part in any choice.
"""


def _verdict(bar: dict[str, Any]) -> str:
    if math.isnan(bar["measured"][0]):
        return "not measured"
    return "met" if bar["met"] else "**not met**"


def _bars(found: dict[str, Any]) -> str:
    rows = [[b["bar"], b["asked"], _value(b["measured"]), _verdict(b)] for b in found["bars"]]
    return "## Against the bars\n\n" + _table(["bar", "asked", "measured", ""], rows)


def _anatomy(found: dict[str, Any]) -> str:
    seen, int8 = found["anatomy"], found["int8"]
    flicker = [f"{100 * value:.2f}" for value in seen["flicker"]]
    lines = [
        "## Anatomy and instruments",
        (
            f"Boundary F1 within 2 cells of 160x96: {_value(seen['boundary_f1'])}. Flicker, pixels whose answer changes from "
            f"one frame to the next while their truth stays: {flicker[0]} % ({flicker[1]} to {flicker[2]})."
        ),
    ]
    if int8:
        lines.append(f"Mean IoU on every fifth frame: fp32 {_value(int8['fp32'])}, int8 {_value(int8['int8'])}.")
    return "\n\n".join(lines)


def report(found: dict[str, Any], folder: Path) -> str:
    """Everything, for a reader who has not seen the code."""
    shown = partial(_pictures, folder)
    parts = [
        _HEAD.format(procedures=found["procedures"]),
        _bars(found),
        _ANOMALIES,
        _faults(found),
        shown({"sensitivity.png": "Found within one second, by kind and method."}),
        shown({"found.png": "Found: picture and heat map; the white line is the truth.", "missed.png": "Missed."}),
        _anatomy(found),
        shown({"overlap.png": "Intersection over union by class.", "reliability.png": "Reliability."}),
        shown({"worst.png": "The worst frame of each of the worst procedures: picture, answer, truth."}),
        "## A real recording, without labels",
        "Nothing in it was trained on. What the device says here about instruments and foreign objects is a false alert.",
        _clip(found, folder),
        "## Time",
        _timing(found),
    ]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"
