"""What is written down of each frame. `display` drops a line into a ring and never waits; `recorder` takes it to the disk."""

import errno
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from inframe.core.clock import NS_PER_S, Clock, MonotonicClock
from inframe.core.types import Decision, Frame, NoSignal, Result, Results
from inframe.machine.child import ChildContext
from inframe.pipeline import start
from inframe.pipeline.board import Board, Count, Row
from inframe.pipeline.ring import Header, RingReader, RingWriter

SLOTS = 1024
LINE_BYTES = 4096 - 2 * 192
SYNC_NS = NS_PER_S
POLL_S = 0.1
"""The recorder looks, rather than being woken: a wake-up across cores would cost the display more than the record itself."""


def line(frame: Frame | NoSignal, results: Results, decision: Decision, shown_ns: int) -> dict[str, Any]:
    """The record of one frame; times in ns on the device clock, names as in core/types.py."""
    record: dict[str, Any] = {"stream": frame.stream, "shown_ns": shown_ns}
    if isinstance(frame, Frame):
        record |= {
            "seq": frame.seq,
            "captured_ns": frame.captured_ns,
            "deadline_ns": frame.deadline_ns,
            "flags": int(frame.flags),
        }
        record["results"] = {name: _of(result) for name, result in results.items()}
    else:
        record |= {"captured_ns": frame.since_ns, "deadline_ns": frame.now_ns}
    record |= {"verdict": decision.verdict.name, "mode": decision.mode.name, "age_ns": decision.age_ns}
    record["findings"] = [{"rule": f.rule, "value": f.value, "since_ns": f.since_ns} for f in decision.findings]
    record["alerts"] = {alert.key: alert.presence.name for alert in decision.alerts}
    return record


def _of(result: object) -> object:
    if isinstance(result, Result):
        steps = result.steps
        return {"seq": result.seq, "steps_ns": [steps.started, steps.preprocessed, steps.inferred, steps.decoded]}
    return result.reason.name if hasattr(result, "reason") else None


class RecordWriter:
    """The display's end."""

    def __init__(self, writer: RingWriter) -> None:
        self._writer = writer

    def write(self, record: Mapping[str, Any]) -> None:
        """Publish one record; a record too long for its slot is cut to what must not be lost, and says so."""
        data = json.dumps(record, separators=(",", ":")).encode()
        if len(data) > LINE_BYTES:
            short = {key: value for key, value in record.items() if key not in ("findings", "alerts", "results")}
            data = json.dumps(short | {"cut": True}, separators=(",", ":")).encode()
        self._writer.begin()[: len(data)] = np.frombuffer(data, np.uint8)
        self._writer.commit(Header(0, size=len(data)))


class RecordReader:
    """Whoever follows the records: the recorder, a benchmark."""

    def __init__(self, reader: RingReader, last: int = 0) -> None:
        self._reader = reader
        self.last = last
        """The newest record that was taken or lost; a follower that is started again goes on behind it."""
        self.lost = 0
        """Records that were overwritten before they were read."""

    def take(self) -> list[bytes]:
        """All records that are new, oldest first, as JSON."""
        newest = self._reader.newest()
        if newest <= self.last:
            return []
        first = max(self.last + 1, newest - self._reader.slots + 2)  # the slot before may be being written
        self.lost += first - self.last - 1
        taken = []
        for seq in range(first, newest + 1):
            header = self._reader.header(seq)
            data = bytes(self._reader.payload(seq)[: header.size]) if header else b""
            if data and self._reader.holds(seq):
                taken.append(data)
            else:
                self.lost += 1
        self.last = newest
        return taken


def main(ctx: ChildContext) -> None:
    """`recorder`: appends each frame's record to a file of JSON lines, fsynced each second."""
    board = Board(ctx.fds["board"], tuple(ctx.args["rows"]))
    clock = MonotonicClock()
    row = board.row(ctx.name)
    records = RecordReader(RingReader(ctx.fds["records"]), row.get(Count.SEQ))
    recorder = Recorder(Path(ctx.args["folder"]) / ctx.args["file"], records, row, clock)
    start.ready(ctx, recorder.row, clock)
    while not ctx.stop.wait(POLL_S):
        recorder.step()
    recorder.step()
    recorder.close()


class Recorder:
    """Owns the file. A full or broken disk is a fault that it raises and retries, never an end."""

    def __init__(self, path: Path, records: RecordReader, row: Row, clock: Clock) -> None:
        self.path = path
        self.records = records
        self.row = row
        self.clock = clock
        self._fd = -1
        self._torn = False
        self._gap = 0
        """Records lost or dropped since the last line: the file says so as soon as it can."""
        self._synced_ns = clock.now()
        self._behind_ns = 0

    def step(self) -> None:
        """Take what is there to the disk."""
        now = self.clock.now()
        lost = self.records.lost
        taken = self.records.take()
        if self.records.lost > lost:
            self._behind_ns = now
            self._gap += self.records.lost - lost
        try:
            self._append(taken, now)
            self._sync(now)
            self.row.clear_fault("DISK_FULL")
        except OSError as error:
            self.row.raise_fault("DISK_FULL", now)
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                self.close()  # the folder may be gone: try anew from the start
        self.row.set(Count.SEQ, self.records.last)
        self.row.set_faults({"RECORDER_BEHIND": bool(self._behind_ns) and now - self._behind_ns < 2 * NS_PER_S}, now)
        self.row.beat(now)

    def _append(self, taken: list[bytes], now: int) -> None:
        if not taken and not self._gap:
            return
        gap = [json.dumps({"gap": self._gap, "at_ns": now}).encode()] if self._gap else []
        try:
            self._write(b"\n".join(gap + taken) + b"\n")
        except OSError:
            self._torn = True
            self._gap += len(taken)
            self.row.add(Count.DROPPED, len(taken))
            raise
        self._torn, self._gap = False, 0
        self.row.add(Count.FRAMES, len(taken))

    def _write(self, data: bytes) -> None:
        if self._fd < 0:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
            size = os.fstat(self._fd).st_size  # after a kill the last line may be half a line
            self._torn = size > 0 and os.pread(self._fd, 1, size - 1) != b"\n"
        data = (b"\n" if self._torn else b"") + data
        if os.write(self._fd, data) != len(data):
            raise OSError(errno.ENOSPC, "short write")

    def _sync(self, now: int) -> None:
        if self._fd >= 0 and now - self._synced_ns >= SYNC_NS:
            os.fdatasync(self._fd)
            self._synced_ns = now

    def close(self) -> None:
        """Flush and close the file."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with suppress(OSError):  # a disk that can't has been announced
                os.fdatasync(fd)
            os.close(fd)
