"""`python -m reference.drift`: run lengths in control and delays after a drift, of inframe's monitor and of other detectors.

python -m reference.drift [--full] [--json FILE]     the benchmark: 1 to 2 minutes, with --full some 15 (one core)
python -m reference.drift cost                       what the monitor of a running device costs: 4 minutes, a quiet machine
    python -m reference.drift render                     rendered.json anew: some 8 minutes of two cores
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from reference.drift import score
from reference.drift.cost import cost
from reference.drift.faults import DRIFTS
from reference.drift.rendered import render
from reference.drift.simulated import Population

STRENGTHS = (0.5, 1.0, 2.0)


def benchmark(units: int, in_control: int, sampled: int, runs: int, rivals: int) -> dict[str, Any]:
    """All figures. `units`: simulated devices, each with its own reference; `in_control`: procedures of each."""
    population = Population()
    made = [score.Unit.of(population, 100 + i) for i in range(units)]
    counts = [score.in_control(unit, 1000 + i, in_control) for i, unit in enumerate(made)]
    procedures, alarms = (sum(column) for column in zip(*counts, strict=True))
    print(f"in control: {procedures} procedures, {alarms} false alarms", flush=True)
    few = [score.Unit.of(Population(by_samples=True), 300 + i) for i in range(max(1, units // 2))]
    long = [score.in_control(unit, 3000 + i, max(200, in_control // 4), 5) for i, unit in enumerate(few)]
    print(f"in control, of autocorrelated samples: {sum(p for p, _ in long)}, {sum(a for _, a in long)}", flush=True)
    real = score.sampled(made[0], 1, sampled)
    print(f"sample by sample: {real}", flush=True)
    report: dict[str, Any] = {
        "declared_run_length": score.RUN_LENGTH,
        "reference_procedures": score.LOCKED,
        "effective_charts": round(float(np.mean([unit.reference.file.effective_charts for unit in made])), 1),
        "charts": made[0].reference.charts,
        "limit": round(float(np.mean([unit.limit for unit in made])), 2),
        "in_control": {"procedures": procedures, "alarms": alarms, "run_length": round(procedures / max(alarms, 1), 1)},
        "in_control_by_samples": {"procedures": sum(p for p, _ in long), "alarms": sum(a for _, a in long)},
        "by_unit": [round(p / max(a, 1), 1) for p, a in counts],
        "sample_by_sample": {"procedures": real[0], "alarms": real[1], "e_value_above_500_at": real[2]},
        "one_chart": score.one_chart(),
        "drifts": {},
    }
    for i, drift in enumerate(DRIFTS):
        for strength in STRENGTHS:
            found = score.detect(made, drift, strength, runs, 10 * i).as_json()
            report["drifts"].setdefault(drift, {})[f"{strength:g}"] = found
            print(drift, strength, found, flush=True)
    report["rivals"] = {
        **{f"{k}, every sample": v for k, v in score.rival_streams(population, 7, rivals, samples=True).items()},
        **{
            f"{k}, procedures' means": v
            for k, v in score.rival_streams(population, 8, 10 * rivals, samples=False).items()
        },
        **score.rival_windows(population, 9, rivals),
    }
    return report


def show(report: dict[str, Any]) -> None:
    """The tables of docs/monitoring.md."""
    print("\n| detector | procedures | false alarms | run length | delay after a blur of 1 SD |\n|---|---|---|---|---|")
    own = report["in_control"]
    delay = report["drifts"]["blur"]["1"]["delay_mean"]
    print(f"| inframe, declared 500 | {own['procedures']} | {own['alarms']} | {own['run_length']} | {delay:.1f} |")
    for name, one in report["rivals"].items():
        late = "-" if np.isnan(one["delay"]) else f"{one['delay']:.1f}"
        print(f"| {name} | {one['procedures']} | {one['alarms']} | {one['run_length']:.4g} | {late} |")
    print("\n| drift | " + " | ".join(f"{s:g} SD" for s in STRENGTHS) + " | kind right | named right |")
    print("|---|" + "---|" * (len(STRENGTHS) + 2))
    for drift, by in report["drifts"].items():
        cells = [f"{one['delay_mean']:.1f} ({one['delay_p90']:.0f})" for one in by.values()]
        shares = [" / ".join(f"{100 * one[key]:.0f} %" for one in by.values()) for key in ("kind_right", "named_right")]
        print(f"| {drift} | {' | '.join([*cells, *shares])} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", default="run", choices=["run", "render", "cost"])
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.what == "render":
        render(2)
        return
    if options.what == "cost":
        print(json.dumps(cost()["more_us"]))
        return
    sizes = (24, 10_000, 2000, 200, 300) if options.full else (4, 4000, 100, 24, 30)
    report = benchmark(*sizes)
    show(report)
    if options.json is not None:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
