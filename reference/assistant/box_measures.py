"""Measures a box: how long from its start to the first token, tokens per second inside and outside, whether one procedure can be
told from the time of the next one's text, memory by context length. How soon it stops: `critical`.

    python -m reference.assistant.box_measures --json box.json

Run it on a quiet machine: the box has idle time only.
"""

import argparse
import json
import os
import random
import statistics
import time
from pathlib import Path
from typing import Any

from inframe.assistant import package
from inframe.assistant.box import Box
from inframe.machine.partition import cores_for
from inframe.machine.walls import Limits
from reference.assistant.compare import Direct

PROMPT = "The procedure began at 08:01:40. [E0.0]\n=>\n"
ENDLESS = "root ::= [a-z] root\n"


def limits() -> Limits:
    """As the product has them."""
    return Limits(cores=cores_for().background)


def starting(times: int) -> list[float]:
    """From nothing to the first token, ms, sorted."""
    found = []
    for _ in range(times):
        began = time.monotonic()
        with package.shipped() as model, Box(model.sealed.fd, limits()) as box:
            next(box.write(PROMPT, ENDLESS, 500))
            found.append((time.monotonic() - began) * 1e3)
    return sorted(found)


def speed(times: int) -> dict[str, Any]:
    """Letters per second of the same text, inside the box and out, in turns, on the same core and at the same priority; the ratio
    of each pair, of which the median counts, with a 95 % interval."""
    told: dict[str, list[float]] = {"box": [], "direct": []}
    cores = cores_for().background & os.sched_getaffinity(0)
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)  # else the two would not have the same core
    with package.shipped() as model, Box(model.sealed.fd, Limits(cores=cores, is_idle=False)) as box:
        direct = Direct()
        for _ in range(times):
            for name, writer in (("box", box), ("direct", direct)):
                began, n = time.monotonic(), 0
                for piece in writer.write(PROMPT, ENDLESS, 2000):
                    n += len(piece)
                told[name].append(n / (time.monotonic() - began))
    os.sched_setaffinity(0, before)
    ratios = [inside / outside for inside, outside in zip(told["box"], told["direct"], strict=True)]
    letters = {name: round(statistics.median(one), 1) for name, one in told.items()}
    ratio = statistics.median(ratios)
    return letters | {"ratio": round(ratio, 3), "interval": _interval(ratios), "bar": 0.9, "met": ratio >= 0.9}


def _interval(values: list[float]) -> list[float]:
    """Of the median, from resampling."""
    rng = random.Random(1)
    medians = sorted(statistics.median(rng.choices(values, k=len(values))) for _ in range(400))
    return [round(medians[10], 4), round(medians[389], 4)]


def canary(times: int) -> dict[str, Any]:
    """Whether the time of a procedure's text tells what the one before it was about: a box reads one of two canaries, in turns, and
    ends; a new one writes the same text each time. The difference of the medians, ms, with a 95 % interval; and as a control what
    reading the canary in the very same box beforehand takes, which must be seen."""
    canaries = {"a": "CANARY\n=>\n", "b": "The canary sang at noon. " * 40 + "\n=>\n"}
    found: dict[str, list[float]] = {"a": [], "b": [], "control": []}
    for i in range(2 * times):
        name = "ab"[i % 2]
        with package.shipped() as model, Box(model.sealed.fd, Limits(is_idle=False)) as box:
            began = time.monotonic()
            "".join(box.write(canaries[name], None, 20))
            _text(box)
            found["control"] += [(time.monotonic() - began) * 1e3] if name == "b" else []
        with package.shipped() as model, Box(model.sealed.fd, Limits(is_idle=False)) as box:
            found[name].append(_text(box))
    pairs = [b - a for a, b in zip(found["a"], found["b"], strict=True)]
    control = [b - a for a, b in zip(found["a"], found["control"], strict=True)]
    low, high = _interval(pairs)
    told: dict[str, Any] = {
        "text_ms": round(statistics.median(found["a"]), 2),
        "difference_ms": round(statistics.median(pairs), 3),
    }
    told |= {"interval_ms": [low, high], "control_ms": _interval(control)}
    return told | {"times": times, "nothing_is_seen": low <= 0 <= high, "control_is_seen": _interval(control)[0] > 0}


def _text(box: Box) -> float:
    began = time.monotonic()
    "".join(box.write(PROMPT, ENDLESS, 400))
    return (time.monotonic() - began) * 1e3


def memory() -> dict[int, int]:
    """Resident MiB by context length."""
    told = {}
    for context in (512, 1024, 2048, 4096):
        with package.shipped() as model, Box(model.sealed.fd, limits(), context=context) as box:
            "".join(box.write(PROMPT, ENDLESS, 100))
            status = Path(f"/proc/{box.pid}/status").read_text("ascii")
            told[context] = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) >> 10
    return told


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    told: dict[str, Any] = {"start_to_first_token_ms": starting(5), "letters_per_second": speed(15)}
    told |= {"canary": canary(30), "resident_mib_by_context": memory()}
    print(json.dumps(told, indent=1))
    if options.json:
        options.json.write_text(json.dumps(told, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
