"""Measures a box: how soon after its freezing it uses no more processor time, how long from its start to the first token,
tokens per second inside and outside, memory by context length.

    python -m reference.assistant.box_measures --json box.json

Run it on a quiet machine: the box has idle time only.
"""

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

from inframe.assistant import package
from inframe.assistant.box import Box
from inframe.machine.partition import cores_for
from inframe.machine.walls import Limits
from reference.assistant.compare import Direct

TIMES = 200
PROMPT = "The procedure began at 08:01:40. [E0.0]\n=>\n"
ENDLESS = "root ::= [a-z] root\n"
WITHIN_S, LATE_S = 0.1, 0.02


def limits() -> Limits:
    """As the product has them."""
    return Limits(cores=cores_for().background)


def cpu_ns(pid: int) -> int:
    """What a process has run so far, ns, to the nanosecond where the kernel keeps it."""
    return int(Path(f"/proc/{pid}/schedstat").read_text("ascii").split()[0])


def freezing(times: int) -> dict[str, Any]:
    """From the order to freeze to the last moment at which the box's time still grew, ms; and how much it grew later than 20 ms
    after it, us: a box that waits for its core must get it once more to stop."""
    found, late = [], []
    with Box(-1, limits(), "tests.assistant.inmate:spin", engine="") as box:
        box.hear(30)
        for _ in range(times):
            time.sleep(0.01)
            box.freeze()
            ordered = time.monotonic()
            before, last, after = cpu_ns(box.pid), ordered, 0
            while time.monotonic() - ordered < WITHIN_S:
                now = cpu_ns(box.pid)
                if now != before:
                    after += now - before if time.monotonic() - ordered > LATE_S else 0
                    before, last = now, time.monotonic()
            found.append((last - ordered) * 1e3)
            late.append(after / 1e3)
            box.thaw()
    found.sort()
    late.sort()
    told = {"times": times, "p50_ms": found[times // 2], "p99_ms": found[int(times * 0.99)], "max_ms": found[-1]}
    return told | {"later_than_20_ms_us": {"p99": late[int(times * 0.99)], "max": late[-1]}}


def starting(times: int) -> list[float]:
    """From nothing to the first token, ms, sorted."""
    found = []
    for _ in range(times):
        began = time.monotonic()
        with package.shipped() as model, Box(model.sealed.fd, limits()) as box:
            next(box.write(PROMPT, ENDLESS, 500))
            found.append((time.monotonic() - began) * 1e3)
    return sorted(found)


def speed() -> dict[str, float]:
    """Letters per second of the same text, inside the box and out, in turns, on the same core and at the same priority."""
    told: dict[str, list[float]] = {"box": [], "direct": []}
    cores = cores_for().background & os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)  # else the two would not have the same core
    with package.shipped() as model, Box(model.sealed.fd, Limits(cores=cores, is_idle=False)) as box:
        direct = Direct()
        for _ in range(5):
            for name, writer in (("box", box), ("direct", direct)):
                began, n = time.monotonic(), 0
                for piece in writer.write(PROMPT, ENDLESS, 2000):
                    n += len(piece)
                told[name].append(n / (time.monotonic() - began))
    return {name: round(max(one), 1) for name, one in told.items()}


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
    told: dict[str, Any] = {"freezing": freezing(TIMES), "start_to_first_token_ms": starting(5)}
    told |= {"letters_per_second": speed(), "resident_mib_by_context": memory()}
    print(json.dumps(told, indent=1))
    if options.json:
        options.json.write_text(json.dumps(told, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
