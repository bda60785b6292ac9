"""`python -m reference.drift`: run lengths in control and delays after a drift, of inframe's monitor and of other detectors.

python -m reference.drift [--full] [--json FILE]     the benchmark: half a minute, with --full some 6 (one core)
python -m reference.drift cost [--json FILE]         what the monitor of a running device costs: 4 minutes, a quiet machine
    python -m reference.drift render                     rendered.json anew: some 8 minutes of two cores
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reference.drift import score
from reference.drift.cost import cost
from reference.drift.faults import DRIFTS
from reference.drift.rendered import render
from reference.drift.simulated import Population

STRENGTHS = (0.5, 1.0, 2.0)
FIRST = 5000
"""Of the seeds; nothing was chosen on them."""
BAR, RIGHT = 12.0, 0.9
"""Procedures until a drift of 1 SD is found; the share of alarms that name its kind."""


@dataclass(frozen=True)
class Size:
    """How much is simulated."""

    units: int
    """Devices, each with a reference of its own."""
    in_control: int
    """Procedures of each."""
    by_samples: int
    """The same, of their very samples, for a quarter of the devices."""
    sampled: int
    """Procedures of one device, sample by sample through the code of a device."""
    runs: int
    """Streams with a drift, over all devices."""
    others: int
    """Devices that have no signature of the drift that they meet."""
    rivals: int


SHORT = Size(4, 4000, 500, 50, 40, 1, 20)
FULL = Size(48, 5000, 1500, 500, 1440, 6, 60)


def benchmark(size: Size) -> dict[str, Any]:
    """All figures. What was chosen was chosen on seeds 7000 to 7999."""
    population = Population()
    made = [score.Unit.of(population, FIRST + i) for i in range(size.units)]
    counts = [score.in_control(unit, 10_000 + FIRST + i, size.in_control) for i, unit in enumerate(made)]
    print(f"in control: {run_length(counts)}", flush=True)
    few = [score.Unit.of(Population(by_samples=True), FIRST + 300 + i) for i in range(max(2, size.units // 4))]
    long = [score.in_control(unit, 10_300 + FIRST + i, size.by_samples, 5) for i, unit in enumerate(few)]
    print(f"in control, of autocorrelated samples: {run_length(long)}", flush=True)
    real = score.sampled(made[0], 9, size.sampled)
    print(f"sample by sample: {real}", flush=True)
    report: dict[str, Any] = {
        "declared_run_length": score.RUN_LENGTH,
        "reference_procedures": score.LOCKED,
        "charts": made[0].reference.charts,
        "limit_of_signals": round(float(np.mean([unit.limits[0] for unit in made])), 2),
        "signatures": {
            one.name: [round(one.share, 4), round(float(made[0].limits[2 * len(made[0].reference.names) + i]), 2)]
            for i, one in enumerate(made[0].reference.file.signatures)
        },
        "in_control": run_length(counts),
        "in_control_by_samples": run_length(long),
        "by_unit": [round(p / max(a, 1), 1) for p, a in counts],
        "sample_by_sample": {"procedures": real[0], "alarms": real[1], "e_value_above_500_at": real[2]},
        "one_chart": score.one_chart(),
        "drifts": {drift: drifts(population, made, drift, 10 * i, size) for i, drift in enumerate(DRIFTS)},
    }
    report["rivals"] = {
        **{f"{k}, every sample": v for k, v in score.rival_streams(population, 7, size.rivals, samples=True).items()},
        **{
            f"{k}, procedures' means": v
            for k, v in score.rival_streams(population, 8, 10 * size.rivals, samples=False).items()
        },
        **score.rival_windows(population, 9, size.rivals),
    }
    return report


def run_length(counts: list[tuple[int, int]]) -> dict[str, Any]:
    """Procedures to a false alarm, with a 95 % interval over the devices."""
    procedures, alarms = (sum(column) for column in zip(*counts, strict=True))
    rates = np.array([a / p for p, a in counts])
    half = 1.96 * float(rates.std(ddof=1)) / len(rates) ** 0.5
    ends = [round(1 / max(rate, 1e-9), 1) for rate in (rates.mean() + half, rates.mean() - half)]
    found = {"procedures": procedures, "alarms": alarms, "run_length": round(procedures / max(alarms, 1), 1)}
    return {**found, "interval": ends}


def drifts(population: Population, made: list[score.Unit], drift: str, seed: int, size: Size) -> dict[str, Any]:
    """One drift: at three strengths; on signals' own scales; and where the reference has no signature of it."""
    found = {f"{s:g}": score.detect(made, drift, s, size.runs, FIRST + 400 + seed).as_json() for s in STRENGTHS}
    plainly = [score.Unit(Population(plainly=True), unit.reference, unit.limits) for unit in made]
    found["1, signals' own scales"] = score.detect(plainly, drift, 1.0, size.runs, FIRST + 401 + seed).as_json()
    others = [score.Unit.of(population, FIRST + 600 + i, drift) for i in range(size.others)]
    found["1, not expected"] = score.detect(others, drift, 1.0, size.runs, FIRST + 402 + seed).as_json()
    for name, one in found.items():
        print(drift, name, one, flush=True)
    return found


def show(report: dict[str, Any]) -> None:
    """The tables of docs/monitoring.md."""
    print("\n| detector | procedures | false alarms | run length | delay after a blur of 1 SD |\n|---|---|---|---|---|")
    own = report["in_control"]
    delay = report["drifts"]["blur"]["1"]["delay_mean"]
    print(f"| inframe, declared 500 | {own['procedures']} | {own['alarms']} | {own['run_length']} | {delay:.1f} |")
    for name, one in report["rivals"].items():
        late = "-" if np.isnan(one["delay"]) else f"{one['delay']:.1f}"
        print(f"| {name} | {one['procedures']} | {one['alarms']} | {one['run_length']:.4g} | {late} |")
    columns = list(next(iter(report["drifts"].values())))
    print("\n| drift | " + " | ".join(f"{one} SD" if len(one) < 4 else one for one in columns) + " |")
    print("|---|" + "---|" * len(columns))
    for drift, by in report["drifts"].items():
        print(f"| {drift} | {' | '.join(_delay(one) for one in by.values())} |")
    print("\n| kind right / named right | " + " | ".join(columns) + " |\n|---|" + "---|" * len(columns))
    for drift, by in report["drifts"].items():
        shares = [f"{100 * one['kind_right']:.0f} / {100 * one['named_right']:.0f} %" for one in by.values()]
        print(f"| {drift} | {' | '.join(shares)} |")
    print(f"\ndelay at 1 SD, bar {BAR:g}; attribution at 1 SD, bar {RIGHT:.0%}; run length, bar 400 to 600:")
    print(f"run length {own['run_length']} {own['interval']}: {_verdict(400 <= own['run_length'] <= 600)}")
    for drift, by in report["drifts"].items():
        one = by["1"]
        print(f"{drift}: {_delay(one)}: {_verdict(one['delay_mean'] <= BAR)}; "
              f"kind {one['kind_right']:.1%}: {_verdict(one['kind_right'] >= RIGHT)}")  # fmt: skip


def _delay(one: dict[str, Any]) -> str:
    low, high = one["delay_interval"] or ("-", "-")
    return f"{one['delay_mean']:.1f} ({low} to {high})"


def _verdict(is_met: bool) -> str:
    return "met" if is_met else "NOT MET"


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
        report = cost()
        if options.json is not None:
            options.json.write_text(json.dumps(report, indent=1) + "\n")
        return
    report = benchmark(FULL if options.full else SHORT)
    show(report)
    if options.json is not None:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
