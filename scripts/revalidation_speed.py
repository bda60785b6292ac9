"""Frames a second of a revalidation, and of a plain batched loop over the same engine.

    python -m reference.bundled --out out/speed                              (once)
    python -m reference.cases --out out/speed/cases --procedures 4           (once, a minute)
    python -m scripts.revalidation_speed out/speed/anatomy.inframe out/speed/cases [--protocol PROTOCOL]

The plain loop reads pictures in batches of 16, preprocesses them, runs the engine and decodes: no rules, no gate, no metrics. Both
take turns over all cases in one process, after a round that does not count; compared is the median over the rounds. Then the same
cases with one and with two workers, cold, as the command runs them. Let nothing else run then.
"""

import argparse
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from statistics import mean, median, stdev

import cv2

from inframe.bundle import UNSIGNED, open_bundle
from inframe.core.clock import MonotonicClock
from inframe.pipeline.model import Model, load_model
from inframe.revalidating import read_protocol, subject_of
from inframe.revalidation.cases import CaseFolder, open_set
from inframe.revalidation.measuring import Job, Settings, measure, models_of
from inframe.revalidation.pictures import pictures
from inframe.revalidation.pool import measure_here

BATCH = 16
BAR = 0.9
SCALED = 3
"""Rounds of one and two workers."""


def plain(case: CaseFolder, models: list[Model]) -> int:
    """A case's frames through the engine; how many there were."""
    what, clock, frames = case.read(), MonotonicClock(), 0
    shown = (picture.pixels.copy() for picture in pictures(case.folder / what.pictures, what.stream))
    while batch := list(islice(shown, BATCH)):
        for pixels in batch:
            for model in models:
                model.run(pixels, clock)
        frames += len(batch)
    return frames


def timed(run: Callable[[], int]) -> float:
    """Frames a second."""
    began = time.perf_counter()
    frames = run()
    return frames / (time.perf_counter() - began)


def main() -> None:
    """The figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("cases", type=Path)
    parser.add_argument("--protocol", type=Path, help="its settings; default: those of a protocol that says nothing")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    found, subject = open_set(options.cases), subject_of(options.bundle, UNSIGNED)
    settings = read_protocol(options.protocol).settings if options.protocol else Settings()
    stream = found.cases[0].read().stream
    with open_bundle(options.bundle, UNSIGNED) as bundle:
        models = [
            load_model(
                name, config, options.bundle.parent, (stream.width, stream.height), bytes(bundle.member(config.file))
            )
            for name, config in models_of(bundle).items()
        ]
    jobs = [
        Job(
            bundle=str(subject.path),
            sha256=subject.digest,
            case=c.name,
            folder=str(c.folder),
            digests=c.digests,
            settings=settings,
        )
        for c in found.cases
    ]
    compare(
        {
            "plain batched loop": lambda: sum(plain(case, models) for case in found.cases),
            "revalidation": lambda: sum(measure(job).frames for job in jobs),
        },
        options.rounds,
    )
    scaling: list[float] = []
    for _ in range(SCALED):
        one, two = (timed(lambda: sum(tally.frames for _, tally in measure_here(jobs, workers))) for workers in (1, 2))  # noqa: B023  # called at once
        sys.stdout.write(f"worker processes, their start included: one {one:.1f}, two {two:.1f} frames/s\n")
        scaling.append(two / one)
    sys.stdout.write(f"two workers / one: {median(scaling):.2f} (rounds {min(scaling):.2f} to {max(scaling):.2f})\n")


def compare(ways: dict[str, Callable[[], int]], rounds: int) -> None:
    """Both in turn; frames a second of each, and of the second to the first."""
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, run in ways.items():
            speed = timed(run)
            if number:
                speeds[name].append(speed)
    for name, some in speeds.items():
        sys.stdout.write(f"{name}: {median(some):.1f} frames/s (rounds: {', '.join(f'{one:.1f}' for one in some)})\n")
    pairs = [b / a for a, b in zip(*speeds.values(), strict=True)]
    half = 2.776 * stdev(pairs) / len(pairs) ** 0.5 if len(pairs) == 5 else float("nan")  # Student's t
    low, high = mean(pairs) - half, mean(pairs) + half
    said = "met" if low >= BAR else "NOT MET" if high < BAR else "not settled"
    sys.stdout.write(
        f"revalidation / plain: {mean(pairs):.3f} ({low:.3f} to {high:.3f}), median {median(pairs):.3f}, bar {BAR}: {said}\n"
    )


if __name__ == "__main__":
    main()
