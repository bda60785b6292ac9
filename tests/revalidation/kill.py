"""`inframe revalidate` killed at random points, and started again: ``python -m tests.revalidation.kill --points 20``.

Each run is a process group that is killed with SIGKILL after a random number of tallies and a random moment more. The last one is
left alone. Its figures must be those of one process that nobody killed.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from inframe.bundle import UNSIGNED
from inframe.revalidating import figures_digest, subject_of
from inframe.revalidation.answering import answer, tally_of
from tests.revalidation import made


@dataclass
class Found:
    """What came of it."""

    whole: str
    """The figures' digest without a kill."""
    digests: set[str] = field(default_factory=set)
    """Of those that were."""
    kills: int = 0
    measured_before: list[int] = field(default_factory=list)
    """At each kill: how many tallies were on the disk."""


def campaign(folder: Path, points: int, cases: int, seed: int, workers: int = 1) -> Found:
    """`points` kills, of as many runs of `cases` cases as it takes."""
    found_cases = made.cases(folder / "cases", cases, "development")
    bundle = made.bundle(folder / "bundle")
    tallies = [
        tally_of(answer(j.model_dump_json()))
        for j in made.jobs(bundle, subject_of(bundle, UNSIGNED).digest, found_cases)
    ]
    found = Found(figures_digest({one.digest: one for one in tallies}))
    protocol = made.write_protocol(
        folder / "protocol.yaml", endpoints=[{**one, "margin": None} for one in made.ENDPOINTS]
    )
    command = [sys.executable, "-m", "inframe", "revalidate", str(bundle), "--cases", str(folder / "cases")]
    command += ["--protocol", str(protocol), "--workers", str(workers), "--out"]
    rng, run = random.Random(seed), 0
    while found.kills < points:
        out, done = folder / f"killed-{run}", 0
        while found.kills < points and _killed(command, out, rng.randint(done, cases - 1), rng.uniform(0, 0.3)):
            done = len(list(out.glob("tallies/*.tally")))
            found.kills += 1
            found.measured_before.append(done)
            if done >= cases - 1:  # hardly anything is left to be interrupted
                break
        found.digests.add(_whole(command, out))
        run += 1
    return found


def _whole(command: list[str], out: Path) -> str:
    subprocess.run(
        [*command, str(out)], stdout=subprocess.DEVNULL, check=False
    )  # exit code 1: not passed, which is no matter here
    digest: str = json.loads((out / "report.json").read_text())["figures_sha256"]
    return digest


def _killed(command: list[str], out: Path, after: int, more_s: float) -> bool:
    """SIGKILL to the whole group once so many tallies lie on the disk, and a moment more; False: it was done before."""
    process = subprocess.Popen([*command, str(out)], stdout=subprocess.DEVNULL, start_new_session=True)
    while process.poll() is None and len(list(out.glob("tallies/*.tally"))) < after:
        time.sleep(0.002)
    with suppress(subprocess.TimeoutExpired):
        process.wait(more_s)
    if process.poll() is not None:
        return False
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return True


def main() -> None:
    """Exit code 1 where figures differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=20)
    parser.add_argument("--cases", type=int, default=24)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = campaign(Path(folder), options.points, options.cases, options.seed, options.workers)
    same = found.digests == {found.whole}
    said = "the same figures" if same else f"OTHER FIGURES: {found.digests}"
    sys.stdout.write(
        f"{found.kills} kills, tallies on the disk at each: {found.measured_before}; {said} {found.whole}\n"
    )
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
