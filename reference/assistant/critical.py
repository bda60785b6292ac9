"""Measures a critical phase: from the moment at which the display publishes a frame with a critical finding to the last moment at
which the language model uses a processor. The real guard, as the device starts it, and the real box, writing without a pause;
only the display is played, by this process, at the display's priority. Alone and beside busy programs, in turns.

    python -m reference.assistant.critical --json critical.json

A process's time is read where the kernel keeps it (/proc/PID/schedstat of its one thread, to the nanosecond), again and again
for 60 ms. Run it as root: without privileges the guard is not real-time, and can't raise what it stops.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from inframe.assistant.drafting import WriterGone
from inframe.assistant.talk import Elsewhere
from inframe.core.assist import AssistantConfig
from inframe.core.config import Device
from inframe.core.types import Decision, Finding, Mode, NoSignal, Priority, Verdict
from inframe.core.yamlfile import read_device
from inframe.device import _share
from inframe.machine.launch import launch
from inframe.pipeline import record
from inframe.pipeline.board import Board, Count
from inframe.pipeline.ring import RingWriter
from inframe.reference_device import device_file
from inframe.resolve import resolve
from inframe.table import layout_of, names, spec_of

TIMES, BUSY, BLOCK = 200, 3, 20
WATCHED_S, LATE_S, FRAME_S = 0.06, 0.02, 1 / 60
DISPLAY = 80
ENDLESS = "root ::= [a-z] root\n"


def the_device(folder: str) -> Device:
    """The reference device with an assistant, its first rule critical, and no recorder."""
    path = device_file()
    raw = read_device(path)
    rule = next(iter(raw.rules))
    return resolve(
        raw.model_copy(update={"assistant": AssistantConfig(critical=(rule,), socket=f"{folder}/asked")}), path
    )


class Display:
    """Plays the display: publishes records and wakes who must know."""

    def __init__(self, device: Device, shared: Mapping[str, int]) -> None:
        self._stream = device.display
        self._critical = Finding(next(iter(device.rules)), "", Priority.LOW, 1, 1.0)
        writer = RingWriter(shared["records"], (shared["wake.guard"],))
        self._records = record.RecordWriter(writer, record.fields_of(device))

    def publish(self, *, is_critical: bool) -> None:
        """One frame."""
        now = time.monotonic_ns()
        findings = (self._critical,) if is_critical else ()
        decision = Decision(Verdict.SHOW, Mode.NOMINAL, findings, (), ())
        self._records.write(NoSignal(self._stream, now, now), {}, decision, now)


def cpu_ns(pid: int) -> int:
    """What its thread has run so far."""
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text("ascii").split()[0])


def once(display: Display, pid: int) -> tuple[float, float]:
    """One critical phase: until when its time grew, ms, and how much it grew later than 20 ms, us."""
    before = cpu_ns(pid)
    while cpu_ns(pid) == before:  # it writes
        display.publish(is_critical=False)
        time.sleep(FRAME_S)
    began = time.monotonic()
    display.publish(is_critical=True)
    known, last, late = cpu_ns(pid), 0.0, 0
    while (since := time.monotonic() - began) < WATCHED_S:
        now = cpu_ns(pid)
        if now != known:
            late += now - known if since > LATE_S else 0
            known, last = now, since
    for _ in range(3):
        display.publish(is_critical=False)
        time.sleep(FRAME_S)
    return last * 1e3, late / 1e3


def measure(display: Display, pid: int, times: int, cores: frozenset[int]) -> dict[str, Any]:
    """In blocks: alone, beside busy programs, alone, and so on."""
    found: dict[str, list[tuple[float, float]]] = {"alone": [], "beside busy programs": []}
    for block in range(2 * times // BLOCK):
        name = list(found)[block % 2]
        with ExitStack() as busy:
            for _ in range(BUSY if block % 2 else 0):
                ordinary = "os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))"  # this process is not
                code = f"import os; os.sched_setaffinity(0, {set(cores)}); {ordinary}\nwhile True: pass"
                busy.callback(subprocess.Popen([sys.executable, "-c", code]).kill)
            found[name] += [once(display, pid) for _ in range(BLOCK)]
    return {name: _told(all_of_it) for name, all_of_it in found.items()}


def _told(found: list[tuple[float, float]]) -> dict[str, Any]:
    def quantiles(values: list[float]) -> dict[str, float]:
        values = sorted(values)
        return {
            "p50": round(values[len(values) // 2], 3),
            "p99": round(values[int(len(values) * 0.99)], 3),
            "max": round(values[-1], 3),
        }

    lasts, lates = [last for last, _ in found], [late for _, late in found]
    return {"times": len(found), "last_cpu_ms": quantiles(lasts), "cpu_after_20_ms_us": quantiles(lates)}


def keep_writing(box: Elsewhere) -> None:
    """Without a pause, until the box is gone."""
    while True:
        try:
            for _ in box.write("The procedure began at 08:01:40. [E0.0]\n=>\n", ENDLESS, 20_000):
                pass
        except WriterGone as gone:
            if "not up" not in str(gone):
                return
            time.sleep(FRAME_S)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=TIMES)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    folder = tempfile.TemporaryDirectory()
    device = the_device(folder.name)
    shared = _share(device)
    board = Board(shared["board"], ("device", *names(device)))
    display, row = Display(device, shared), board.row("guard")
    guard = launch(spec_of(device, "guard", shared))
    try:
        while not row.get(Count.READY_NS):  # the picture is well: it starts the box
            display.publish(is_critical=False)
            time.sleep(FRAME_S)
        box = Elsewhere(shared["assistant.requests"], shared["assistant.answers.read"])
        threading.Thread(target=keep_writing, args=(box,), daemon=True).start()
        layout = layout_of(device)
        os.sched_setaffinity(0, layout.real_time)
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(DISPLAY))
        told = measure(display, row.get(Count.SEQ), options.times, layout.background)
    finally:
        guard.send(9)
        guard.wait(5.0)
        folder.cleanup()
    met = all(one["last_cpu_ms"]["p99"] <= LATE_S * 1e3 for one in told.values())
    told |= {"bar": "p99 of last_cpu_ms at most 20", "met": met, "cores": sorted(layout.background)}
    print(json.dumps(told, indent=1))
    if options.json:
        options.json.write_text(json.dumps(told, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
    os._exit(0)  # the writing thread waits for a box that is gone
