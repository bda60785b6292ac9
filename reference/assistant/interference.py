"""What the assistant takes from the picture: the reference device alone, with a box that writes without a pause, and with a hog of
memory bandwidth (`bursts`, which must be seen, or nothing could be), in turns of a few seconds within one run.

    python -m reference.assistant.interference --seconds 240 --json interference.json
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections import defaultdict
from pathlib import Path
from typing import Any, Self

from inframe.assistant import package
from inframe.assistant.box import Box
from inframe.assistant.drafting import WriterGone
from inframe.core.clock import NS_PER_S
from inframe.core.yamlfile import read_device
from inframe.device import Running
from inframe.machine.walls import Limits
from inframe.pipeline.board import Count
from inframe.procedure import Follower, quantile, run
from inframe.reference_device import device_file
from inframe.resolve import resolve
from inframe.table import layout_of

TURN_S, SETTLE_S, WARM_UP_S = 5, 1, 10
TURNS = ("alone", "assistant", "alone", "hog")
RESAMPLES = 400
WITHIN = 1.1
ENDLESS = "root ::= [a-z] root\n"


class Turns:
    """Who runs when, and how the frames fared meanwhile."""

    def __init__(self, box: Box, hog: "Hog") -> None:
        self._box, self._hog, self._now = box, hog, ""
        self._began = 0
        self.latencies: dict[str, list[list[float]]] = defaultdict(list)
        self.missed: dict[str, int] = defaultdict(int)
        self.letters = 0
        self._last = self._missed = 0

    def tick(self, running: Running, follower: Follower) -> None:
        """At each tick of the device: whose turn it is, and the newest frame."""
        now = running.clock.now()
        self._began = self._began or now + WARM_UP_S * NS_PER_S
        number, within = divmod(now - self._began, TURN_S * NS_PER_S)
        turn = TURNS[number % len(TURNS)] if number >= 0 else "warm-up"
        if turn != self._now:
            self._now = turn
            (self._box.thaw if turn in ("assistant", "warm-up") else self._box.freeze)()
            (self._hog.go if turn == "hog" else self._hog.hold)()
            self.latencies[turn].append([])
        missed = running.board.row("display").get(Count.MISSED)  # late ones, and those that were never shown
        new, self._missed = missed - self._missed, missed
        last = follower.last
        if number >= 0 and within >= SETTLE_S * NS_PER_S:
            self.missed[turn] += new
        if last is None or last.seq == self._last or not last.shown_ns or within < SETTLE_S * NS_PER_S or number < 0:
            return
        self._last = last.seq
        self.latencies[turn][-1].append((last.shown_ns - last.captured_ns) / 1e6)

    def write(self) -> None:
        """Without a pause, in a thread of its own; ends with the box."""
        try:
            while True:
                for piece in self._box.write("The procedure began at 08:01:40. [E0.0]\n=>\n", ENDLESS, 20_000):
                    self.letters += len(piece)
        except WriterGone:
            return


def told(turns: Turns) -> dict[str, Any]:
    """Quantiles of each, with 95 % intervals from resampling whole turns."""
    rng = random.Random(1)
    report: dict[str, Any] = {"letters_written": turns.letters}
    for name in ("alone", "assistant", "hog"):
        blocks = [block for block in turns.latencies[name] if block]
        every = [ms for block in blocks for ms in block]
        report[name] = {"frames": len(every), "missed": turns.missed[name], "turns": len(blocks)}
        for q in (0.5, 0.99, 0.999):
            spread = sorted(_again(blocks, q, rng) for _ in range(RESAMPLES if blocks else 0))
            ends = [round(spread[int(len(spread) * p)], 2) for p in (0.025, 0.975)] if spread else None
            report[name][f"p{q * 100:g}_ms"] = {"value": quantile(every, q), "interval": ends}
    return report


def _again(blocks: list[list[float]], q: float, rng: random.Random) -> float:
    return quantile([ms for block in rng.choices(blocks, k=len(blocks)) for ms in block], q) or 0.0


def judged(report: dict[str, Any]) -> dict[str, Any]:
    """The bars: nothing missed that would not be missed alone, p99 within 10 %, and a control that is seen."""
    alone, assistant, hog = (report[name] for name in ("alone", "assistant", "hog"))
    slower = {name: report[name]["p99_ms"]["value"] / alone["p99_ms"]["value"] for name in ("assistant", "hog")}
    rates = {name: one["missed"] / max(1, one["frames"]) for name, one in (("alone", alone), ("hog", hog))}
    seen = slower["hog"] > WITHIN and (hog["p99_ms"]["interval"] or [0])[0] > (alone["p99_ms"]["interval"] or [0, 0])[1]
    return {
        "p99_ratio": {name: round(one, 3) for name, one in slower.items()},
        "missed_beyond_alone": max(0, assistant["missed"] - round(rates["alone"] * assistant["frames"])),
        "no_frame_more_is_missed": assistant["missed"] <= rates["alone"] * assistant["frames"],
        "p99_within_10_percent": slower["assistant"] <= WITHIN,
        "control_is_seen": seen or rates["hog"] > rates["alone"],
    }


class Hog:
    """The positive control, started stopped."""

    def __init__(self, cores: frozenset[int]) -> None:
        command = [sys.executable, "-m", "reference.assistant.bursts", *map(str, sorted(cores))]
        self._process = subprocess.Popen(
            command, env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        )

    def go(self) -> None:
        """Let it loose."""
        self._process.send_signal(signal.SIGCONT)

    def hold(self) -> None:
        """Stop it where it is."""
        self._process.send_signal(signal.SIGSTOP)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=240)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    path = device_file()
    device = resolve(read_device(path), path)
    streams = {name: stream.model_copy(update={"loop": True}) for name, stream in device.streams.items()}
    device = device.model_copy(update={"trail": None, "screens": (), "streams": streams})
    layout, mine = layout_of(device), os.sched_getaffinity(0)
    limits = Limits(cores=layout.background & mine)
    with Hog(layout.real_time & mine) as hog, package.shipped() as model, Box(model.sealed.fd, limits) as box:
        turns = Turns(box, hog)
        thread = threading.Thread(target=turns.write)
        thread.start()
        run(device, path, options.seconds, turns.tick)
        box.kill()
        thread.join()
    report = told(turns)
    report["bars"] = judged(report)
    print(json.dumps(report, indent=1))
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
