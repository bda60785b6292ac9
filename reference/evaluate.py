"""Measure the whole reference device on unseen procedures: ``python -m reference.evaluate --models DIR --out DIR``.

DIR holds anatomy.onnx and anomaly.onnx, and where they are there anatomy-int8.onnx, anomaly-int8.onnx, and what
``reference.anomaly.choose`` wrote for the baselines. The report is ``report.md`` with its pictures, and ``report.json``.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from reference.anomaly.choose import Choice
from reference.anomaly.scripts import FAULTS, UNSEEN
from reference.anomaly.watch import cases
from reference.data import Progress
from reference.evaluation import plots, timing
from reference.evaluation.clip import watch_clip
from reference.evaluation.procedures import Models, measure_all
from reference.evaluation.report import report
from reference.evaluation.summary import figures

DEVICE = Path("reference/anomaly/device.yaml")


def _choices(folder: Path) -> dict[str, Choice]:
    path = folder / "thresholds.json"
    return {name: Choice(**one) for name, one in json.loads(path.read_text()).items()} if path.exists() else {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", type=Path, default=DEVICE, help="the device file whose rules judge")
    parser.add_argument("--each", type=int, default=10, help="procedures of each of eight kinds of defect")
    parser.add_argument("--without", type=int, default=24, help="procedures in which nothing is wrong")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each procedure")
    parser.add_argument("--data", type=Path, help="folder that keeps rendered procedures for another run")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--timing", action="store_true", help="time both models too: let nothing else run then")
    parser.add_argument("--clip", type=Path, help="a real recording without labels: its findings are listed")
    parser.add_argument("--clip-fps", type=float, default=25.0)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    models = Models(options.models, options.device, _choices(options.models), options.seconds, options.data)
    wanted = cases(UNSEEN, FAULTS, options.each, options.without)
    progress, measured = Progress("measuring procedures", len(wanted)), []
    for one in measure_all(wanted, models, options.workers):
        measured.append(one)
        progress.at(len(measured))
    found: dict[str, Any] = figures(measured)
    found["outcomes"] = [outcome.__dict__ for one in measured for outcome in [one.outcomes["anomaly"]]]
    found["timing"] = timing.measure(options.models, options.device) if options.timing else None
    found["clip"] = None
    if options.clip:
        found["clip"], pictures = watch_clip(options.clip, options.models, options.device, options.clip_fps)
        plots.sheet(pictures, options.out / "clip.png")
    plots.sensitivity(found, options.out / "sensitivity.png")
    plots.overlap(found, options.out / "overlap.png")
    plots.reliability(found, options.out / "reliability.png")
    plots.worst_frames(measured, options.out / "worst.png")
    plots.heat_maps(measured, options.out / "found.png", missed=False)
    plots.heat_maps(measured, options.out / "missed.png", missed=True)
    (options.out / "report.json").write_text(json.dumps(found, indent=1) + "\n")
    (options.out / "report.md").write_text(report(found, options.out))
    print(options.out / "report.md")


if __name__ == "__main__":
    main()
