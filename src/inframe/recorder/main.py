"""The process `recorder`: looks around often enough to catch each frame before its slot is used again, and closes a batch
each second. Nothing waits for it; when it is late it knows what it missed, and records that."""

import time
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from inframe import __version__
from inframe.core.clock import NS_PER_MS, NS_PER_S, Clock, MonotonicClock
from inframe.core.config import Device, Trail
from inframe.drivers.tpm_counter import counter_of
from inframe.machine.child import ChildContext
from inframe.pipeline import start
from inframe.pipeline.board import Board, Count
from inframe.pipeline.happened import MODEL_LOADED, Happened, HappenedReader
from inframe.pipeline.places import places_of, readers
from inframe.pipeline.record import RecordReader, Shown, fields_of
from inframe.pipeline.rest import period_of, rest
from inframe.pipeline.ring import RingReader
from inframe.recorder.batch import Identities, Second, settings_of
from inframe.recorder.digests import Digests
from inframe.recorder.moment import moments
from inframe.recorder.store import Cursor, Store, batch_of
from inframe.recorder.watch import Watch
from inframe.trail.home import Home
from inframe.trail.leaf import MAX_FRAMES
from inframe.trail.records import EventKind, EventRecord
from inframe.trail.salt import commitment
from inframe.trail.write import Now

MAX_PERIOD_S = 0.1
BATCH_NS = NS_PER_S
SLOW_NS = 2 * NS_PER_S
"""A batch that is on its way to the disk for longer: the disk is slow."""
SHOWN_NS = 2 * NS_PER_S
"""A gap is announced for so long."""
QUIET_NS, LAST_LOOKS_NS = 150 * NS_PER_MS, NS_PER_S
"""When the device stops: no record for so long, or so long in all, and the display has shown its last."""
CLOSE_S = 1.5
MAX_SETTINGS = 32 << 10


def main(ctx: ChildContext) -> None:
    """The process's life. Raises ConfigError for a key file that holds no key."""
    device = Device.model_validate(ctx.args["device"])
    if device.trail is None:
        raise RuntimeError("a recorder for a device without a trail")
    clock = MonotonicClock()
    board = Board(ctx.fds["board"], tuple(ctx.args["rows"]))
    now = moments(clock, ctx.args["clock_state"])
    procedure, salt = bytes.fromhex(ctx.args["procedure"]), bytes.fromhex(ctx.args["salt"])
    store = make_store(device, device.trail, board, ctx.name, (procedure, salt), now, clock)
    recorder = Recorder(device, ctx.fds, board, ctx.name, store, (procedure, salt), now, clock)
    store.start()
    start.ready(ctx, recorder.row, clock)
    stream = device.streams[device.display]
    while rest(recorder.records, min(period_of(stream), MAX_PERIOD_S), clock, ctx.stop.wait):
        recorder.step()
    recorder.last_looks(min(1 / stream.fps, MAX_PERIOD_S) / 2)
    recorder.close()
    store.stop(CLOSE_S)


def make_store(
    device: Device, trail: Trail, board: Board, name: str, salt: tuple[bytes, bytes], now: Now, clock: Clock
) -> Store:
    """The disk's side, which posts on the board how far all is safe."""
    row = board.row(name)
    home = Home(Path(trail.folder), Path(trail.key) if trail.key else None, counter_of(trail.counter))

    def safe(to: Cursor) -> None:
        row.set(Count.SEQ, to.record)
        row.set(Count.EVENTS, to.event)
        row.set(Count.FRAMES, to.frames)

    cursor = Cursor(row.get(Count.SEQ), row.get(Count.EVENTS), row.get(Count.FRAMES))
    return Store(home, lambda: home.signers(device.device, trail.post_quantum), now, clock, salt, cursor, safe)


class Recorder:
    """One look after the other; `store` does the writing."""

    def __init__(
        self,
        device: Device,
        fds: Mapping[str, int],
        board: Board,
        name: str,
        store: Store,
        salt: tuple[bytes, bytes],
        now: Now,
        clock: Clock,
    ) -> None:
        self.board, self.row, self.store, self.clock = board, board.row(name), store, clock
        self._capture = board.row(f"capture.{device.display}")
        cursor = store.cursor
        fields = fields_of(device)
        self.records = RecordReader(RingReader(fds["records"]), fields, cursor.record)
        self.happened = HappenedReader(RingReader(fds["happened"]), cursor.event)
        self.identities = Identities(device)
        stream = device.streams[device.display]
        wanted = device.trail is not None and device.trail.input_digests
        self.pixels = Digests(RingReader(fds["frames"]), stream.width * stream.height * 3) if wanted else None
        self.outputs = [
            {model: Digests(ring, None) for model, ring in readers(fds, dict.fromkeys(fields.models), one).items()}
            for one in places_of(device)
        ]
        settings = settings_of(device)
        self.second = Second(fields, sha256(settings).digest(), self.identities, self.pixels, self.outputs, *salt, now)
        self.watch = Watch(device, board.controls())
        self._frames = cursor.frames
        self._last_seq = self._dropped_by_capture = 0
        self._unshown = 0
        self._batched_ns = clock.now()
        self._gap_ns = self._store_dropped = 0
        if cursor == Cursor():
            self._begin(settings, salt[1], device.device)

    def _begin(self, settings: bytes, salt: bytes, name: str) -> None:
        """The procedure's first event: with which settings, and how its salt is known again."""
        data = {
            "device": name,
            "inframe": __version__,
            "salt": commitment(salt),
            "config": sha256(settings).hexdigest(),
        }
        payload = settings if len(settings) <= MAX_SETTINGS else b""
        text = "a procedure begins; its payload is the settings"
        at = self.clock.now()
        self.second.events.append(EventRecord(EventKind.START, at, "PROCEDURE", text, "recorder", data, payload))

    def step(self) -> None:
        """Look once at everything. Raises what the store was refused."""
        if self.store.health.refused is not None:
            raise self.store.health.refused
        self._look()
        now = self.clock.now()
        health = self.store.health
        is_known = health.is_open or health.failing or len(self.second.rows) >= MAX_FRAMES
        if now - self._batched_ns >= BATCH_NS and is_known:  # else what the log has already would be written again
            self._close_batch(now)
        self._post(now)

    def _look(self) -> None:
        for digests in (
            *((self.pixels,) if self.pixels is not None else ()),
            *(d for one in self.outputs for d in one.values()),
        ):
            digests.look()
            self.row.beat(self.clock.now())
        now = self.clock.now()
        lost = self.records.lost + self.happened.lost
        for one in self.happened.take():
            self._take_happened(one)
        for record in self.records.take():
            self._take_record(record)
        missing = self.records.lost + self.happened.lost - lost
        if missing:
            self._gap_ns = now
            self.row.add(Count.DROPPED, missing)
            text = "records were overwritten before the recorder came to them"
            data = {"records": str(missing)}
            self.second.events.append(EventRecord(EventKind.GAP, now, "LOST", text, "recorder", data))
        self.second.events += self.watch.faults(self.board.faults(), now)

    def _take_happened(self, one: Happened) -> None:
        if one.name == MODEL_LOADED:
            if self.second.rows:
                self._close_batch(self.clock.now())  # a leaf names each model once
            self.identities.learn(one.data)
        if one.again:
            return
        kind = EventKind.__members__.get(one.kind, EventKind.FAULT)
        self.second.events.append(EventRecord(kind, one.at_ns, one.name, one.text, one.who, dict(one.data)))

    def _take_record(self, record: Shown) -> None:
        self.second.events += self.watch.shown(record)
        dropped = self._dropped_before(record)
        if record.shown_ns:
            self.second.add(record, dropped + self._unshown)
            self._frames += 1
            self._unshown = 0
        else:
            self._unshown += dropped + 1

    def _dropped_before(self, record: Shown) -> int:
        """How many frames since the last record never came so far: thrown away by the camera's process, or passed over."""
        thrown = self._capture.get(Count.DROPPED)
        passed = max(0, record.seq - self._last_seq - 1) if record.seq and self._last_seq else 0
        new = max(0, thrown - self._dropped_by_capture) if self._last_seq else 0
        self._dropped_by_capture = thrown
        self._last_seq = record.seq or self._last_seq
        return passed + new

    def _close_batch(self, now: int, is_last: bool = False) -> None:
        self._batched_ns = now
        self.second.events += self.watch.controls(self.board.controls(), now)
        self.second.go_on_behind(*self.store.health.newest)
        leaves = self.second.leaves(is_last)
        if leaves:
            self.store.put(batch_of(leaves, Cursor(self.records.last, self.happened.last, self._frames), now))

    def _post(self, now: int) -> None:
        health = self.store.health
        self.row.add(Count.DROPPED, health.dropped - self._store_dropped)
        self._store_dropped = health.dropped
        dropped_ns = max(self._gap_ns, health.dropped_ns)
        self.row.set_faults(
            {
                "DISK_FULL": bool(health.failing),
                "DISK_SLOW": bool(health.busy_since_ns) and now - health.busy_since_ns > SLOW_NS,
                "RECORDER_BEHIND": bool(dropped_ns) and now - dropped_ns < SHOWN_NS,
                "TRAIL_DAMAGED": bool(health.damaged),
                "COUNTER_LOST": health.is_uncounted,
            },
            now,
        )
        self.row.beat(now)

    def last_looks(self, pause_s: float) -> None:
        """The device stops: the display may still show a frame or two."""
        began = quiet = self.clock.now()
        while (now := self.clock.now()) - quiet < QUIET_NS and now - began < LAST_LOOKS_NS:
            last = self.records.last
            self.step()
            quiet = now if self.records.last > last else quiet
            time.sleep(pause_s)

    def close(self) -> None:
        """The procedure's last event, and the end of the log."""
        now = self.clock.now()
        missed = {"inputs_missed": str(self.pixels.missed)} if self.pixels is not None else {}
        data = {"frames": str(self._frames), "dropped": str(self.row.get(Count.DROPPED)), **missed}
        self.second.events.append(EventRecord(EventKind.STOP, now, "PROCEDURE", "a procedure ends", "recorder", data))
        self._close_batch(now, is_last=True)
