"""From what was measured on each procedure to the figures of the report: plain values, ready for JSON."""

from typing import Any

import numpy as np

from reference.anomaly.judge import Outcome
from reference.anomaly.scripts import FAULTS, HELD_OUT
from reference.evaluation import anatomy
from reference.evaluation.bootstrap import Interval, interval, mean_iou, rate, share
from reference.evaluation.procedures import Measured
from reference.scene import CLASSES

BAR_SENSITIVITY, BAR_ALERTS, BAR_IOU, BAR_ECE = 0.9, 0.5, 0.85, 0.05


def _sensitivity(outcomes: list[Outcome]) -> dict[str, Any]:
    seen = [one for one in outcomes if one.visible_at is not None]
    return {
        "visible": len(seen),
        "found": share([one.found for one in seen]),
        "named": share([one.named for one in seen]),
        "median_s": float(np.median([one.after for one in seen if one.after is not None] or [np.nan])),
    }


def faults(measured: list[Measured], method: str) -> dict[str, Any]:
    """Sensitivity within one second by kind, and false alerts a minute, of one method."""
    outcomes = [one.outcomes[method] for one in measured]
    kinds = {kind: _sensitivity([one for one in outcomes if one.kind == kind]) for kind in FAULTS}
    minutes = [one.seconds / 60 for one in outcomes]
    false = {
        rule: rate([float(sum(name == rule for name, _ in one.false)) for one in outcomes], minutes)
        for rule in sorted({name for one in outcomes for name, _ in one.false})
    }
    return {
        "kinds": kinds,
        "false_a_minute": rate([float(len(one.false)) for one in outcomes], minutes),
        "false_by_rule": false,
        "minutes": sum(minutes),
    }


def of_anatomy(measured: list[Measured]) -> dict[str, Any]:
    """Intersection over union, boundaries, flicker and calibration of the anatomy model."""
    tables = np.stack([one.anatomy.table for one in measured])
    edges = np.stack([one.anatomy.edges for one in measured])
    flicker = [one.anatomy.flicker for one in measured]
    bins = np.stack([one.anatomy.bins for one in measured])
    scores = mean_iou(tables)
    return {
        "iou": {name: scores[str(k)] for k, name in enumerate(CLASSES)} | {"mean": scores["mean"]},
        "boundary_f1": interval(lambda drawn: anatomy.boundary_score(edges[drawn].sum(axis=0)), len(edges)),
        "flicker": rate([float(a) for a, _ in flicker], [float(b) for _, b in flicker]),
        "ece": interval(lambda drawn: anatomy.ece(bins[drawn, 0].sum(axis=0)), len(bins)),
        "ece_in_view": interval(lambda drawn: anatomy.ece(bins[drawn, 1].sum(axis=0)), len(bins)),
        "bins": bins.sum(axis=0).tolist(),
    }


def of_int8(measured: list[Measured]) -> dict[str, Interval] | None:
    """The mean intersection over union of both precisions on the same frames; None where no int8 model was given."""
    both = [(one.fp32, one.int8) for one in measured if one.int8 is not None]
    if not both:
        return None
    fp32, int8 = (np.stack(tables) for tables in zip(*both, strict=True))
    return {"fp32": mean_iou(fp32)["mean"], "int8": mean_iou(int8)["mean"]}


def bars(figures: dict[str, Any]) -> list[dict[str, Any]]:
    """Each bar of the issue: what was asked, what was measured, and whether it is met (by the value itself)."""
    model, seen = figures["faults"]["anomaly"], figures["anatomy"]
    rows = [
        ("mean IoU", f">= {BAR_IOU}", seen["iou"]["mean"], seen["iou"]["mean"][0] >= BAR_IOU),
        ("ECE", f"<= {BAR_ECE}", seen["ece"], seen["ece"][0] <= BAR_ECE),
        ("ECE of pixels in view", f"<= {BAR_ECE}", seen["ece_in_view"], seen["ece_in_view"][0] <= BAR_ECE),
        (
            "false alerts a minute",
            f"<= {BAR_ALERTS}",
            model["false_a_minute"],
            model["false_a_minute"][0] <= BAR_ALERTS,
        ),
    ]
    for kind, row in model["kinds"].items():
        name = f"{kind} found within 1 s" + (" (held out)" if kind in HELD_OUT else "")
        rows.append((name, f">= {BAR_SENSITIVITY}", row["found"], row["found"][0] >= BAR_SENSITIVITY))
    return [{"bar": a, "asked": b, "measured": c, "met": bool(d)} for a, b, c, d in rows]


def figures(measured: list[Measured]) -> dict[str, Any]:
    """All of it, but timing."""
    found: dict[str, Any] = {
        "procedures": len(measured),
        "faults": {method: faults(measured, method) for method in measured[0].outcomes},
        "anatomy": of_anatomy(measured),
        "int8": of_int8(measured),
    }
    return found | {"bars": bars(found)}
