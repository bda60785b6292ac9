"""A recorder with everything that it reads, a clock that is moved by hand, and a store that writes when it is told to."""

import gc
import os
import struct
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inframe.core.clock import NS_PER_S, ManualClock
from inframe.core.config import Device
from inframe.core.types import Controls, Decision, Frame, Masks, Missed, NoSignal, Result, Steps, Verdict
from inframe.core.types import Mode as ModeOf
from inframe.pipeline import happened, results, ring
from inframe.pipeline.board import Board, create_board
from inframe.pipeline.happened import Happened
from inframe.pipeline.record import RecordWriter, fields_of
from inframe.pipeline.ring import Header, RingWriter
from inframe.recorder.batch import settings_of
from inframe.recorder.main import Recorder, make_store
from inframe.recorder.store import Batch
from inframe.trail.files import Disk
from inframe.trail.home import Home
from inframe.trail.leaf import decode
from inframe.trail.note import Key
from inframe.trail.read import Log
from inframe.trail.records import EventLeaf, EventRecord, FrameLeaf, FrameRecord, Leaf, Moment
from inframe.trail.salt import digest
from inframe.trail.verify import verify
from tests.pipeline import script

WIDTH, HEIGHT = 64, 48
SLOTS = 4
PERIOD_NS = NS_PER_S // 30 + 1  # thirty of them are a second
PROCEDURE, SALT = bytes(range(16)), bytes(range(32))
BOOT = bytes(range(100, 116))
WALL_0 = 1_800_000_000_000_000_000
ROWS = ("device", "display", "capture.endoscope", "recorder")
SHA, ENGINE = sha256(b"model").hexdigest(), "onnxruntime 1.0 CPUExecutionProvider"


def device(folder: Path, **changes: Any) -> Device:
    """One stream, two models, one rule."""
    values = {
        "device": "Theatre 7",
        "streams": {"endoscope": {"camera": "synthetic", "width": WIDTH, "height": HEIGHT, "fps": 30}},
        "display": "endoscope",
        "models": {"a": script.model(), "b": script.model()},
        "rules": {"near": {"model": "a", "when": {"kind": "area", "labels": ["x"], "above": 0.1}, "text": "NEAR"}},
        "trail": {"folder": str(folder)},
    }
    return Device.model_validate(values | changes)


MADE: list["Desk"] = []


@pytest.fixture(autouse=True)
def no_desk_is_left() -> Iterator[None]:
    """Ends the desks of a test with it."""
    yield
    while MADE:
        MADE[-1].end()
    gc.collect()


class Desk:
    """See above. `frame` is one whole frame's way; `second` thirty of them; `write` lets the store do its work."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        MADE.append(self)
        self.device = device(folder, **changes)
        self.home = Home(folder)
        self.clock = ManualClock(100 * NS_PER_S)
        self.fields = fields_of(self.device)
        sizes = {"frames": WIDTH * HEIGHT * 3, "results.a": 4096, "results.b": 4096}
        made = {name: ring.create(name, SLOTS, size) for name, size in sizes.items()}
        made["records"] = ring.create("records", 64, self.fields.layout.size)
        made["happened"] = ring.create("happened", 16, happened.BYTES)
        self.fds = made
        self.rings = {name: RingWriter(fd, ()) for name, fd in made.items()}
        self.records = RecordWriter(self.rings["records"], self.fields)
        self._board_fd = create_board(len(ROWS))
        self.board = Board(self._board_fd, ROWS)
        self.board.set_controls(Controls())
        self.row = self.board.row("recorder")
        self.rng = np.random.default_rng(1)
        self.pixels: dict[int, bytes] = {}
        self.outputs: dict[tuple[str, int], bytes] = {}
        self.seq = 0
        self.begin()

    def now(self) -> Moment:
        """The clocks."""
        return Moment(BOOT, self.clock.now(), WALL_0 + self.clock.now(), "CLOCK_MONOTONIC CLOCK_REALTIME synchronized")

    def start(self) -> None:
        """A recorder, the first or one after a kill."""
        assert self.device.trail is not None
        salted = (PROCEDURE, SALT)
        self.store = make_store(self.device, self.device.trail, self.board, "recorder", salted, self.now, self.clock)
        self.recorder = Recorder(
            self.device, self.fds, self.board, "recorder", self.store, salted, self.now, self.clock
        )
        self.cursor = self.store.cursor

    def begin(self) -> None:
        """A recorder whose log has been opened."""
        self.start()
        self.write()

    def end(self) -> None:
        """Close everything: descriptors above 1023 crash what uses select(2)."""
        MADE.remove(self)
        self.kill()
        for fd in (*self.fds.values(), self._board_fd):
            os.close(fd)
        self.__dict__.clear()  # mapped memory holds descriptors of its own

    def kill(self) -> None:
        """The recorder is gone, with all that it had not written."""
        if self.store._writer is not None:
            self.store._writer.let_go()

    def tell(self, kind: str, name: str, text: str = "", who: str = "", again: bool = False, **data: str) -> None:
        """What the parent says."""
        one = Happened(kind, self.clock.now(), name, text, who, data, again)
        happened.write(self.rings["happened"], one)

    def load(self, model: str, sha: str = SHA, again: bool = False) -> None:
        """A worker has loaded a model."""
        data = {"model": model, "sha256": sha, "slot": "unsigned", "engine": ENGINE}
        self.tell("START", happened.MODEL_LOADED, "a model was loaded", "worker.w", again=again, **data)

    def capture(self) -> Frame:
        """The next frame into its ring."""
        frames = self.rings["frames"]
        pixels = frames.begin()[: WIDTH * HEIGHT * 3]
        pixels[:] = self.rng.integers(0, 256, pixels.size, np.uint8)
        self.seq = frames.commit(Header(0, frames.seq, self.clock.now(), self.clock.now()))
        self.pixels[self.seq] = pixels.tobytes()
        at = self.clock.now()
        return Frame("endoscope", self.seq, at, at + PERIOD_NS, pixels.reshape(HEIGHT, WIDTH, 3))

    def infer(self, name: str, frame: Frame) -> Result:
        """A model's result into its ring."""
        masks = Masks(self.rng.integers(0, 3, (4, 4)).astype(np.uint8))
        steps = Steps(*(frame.captured_ns + i * 1_000_000 for i in (1, 2, 3, 4)))
        writer = self.rings[f"results.{name}"]
        results.write(writer, frame.seq, frame.captured_ns, masks, steps, self.clock.now())
        self.outputs[name, frame.seq] = struct.pack("<4d", *masks.region) + masks.classes.tobytes()
        return Result(name, frame.seq, frame.captured_ns, masks, steps)

    def show(self, frame: Frame | NoSignal, said: dict[str, Result | Missed], shown: bool = True, **more: Any) -> None:
        """What the display records."""
        fields: dict[str, Any] = {"verdict": Verdict.SHOW, "mode": ModeOf.NOMINAL, "findings": (), "alerts": ()} | more
        at = frame.captured_ns if isinstance(frame, Frame) else frame.now_ns
        self.records.write(frame, said, Decision(**fields, shown=()), at + 10_000_000 if shown else 0)

    def frame(self, look: bool = True, **more: Any) -> None:
        """One frame's whole way, both models in time, and a look of the recorder."""
        frame = self.capture()
        self.show(frame, {name: self.infer(name, frame) for name in ("a", "b")}, **more)
        self.clock.advance(PERIOD_NS)
        if look:
            self.recorder.step()

    def second(self, **more: Any) -> None:
        """Thirty frames; then the disk's turn."""
        for _ in range(30):
            self.frame(**more)
        self.write()

    def write(self) -> None:
        """What the store's thread does."""
        batch = self.store._next(self.cursor) if self.store._queue else Batch([], self.cursor)  # which would wait
        self.store.attempt(batch)
        self.cursor = batch.cursor
        self.recorder._post(self.clock.now())

    def close(self) -> None:
        """The device stops."""
        self.recorder.close()
        self.store.attempt(self.store._next(self.cursor), is_last=True)

    # --- what is in the trail ----------------------------------------------------------------------------------------

    @property
    def key(self) -> Key:
        """The device's."""
        return self.home.public_keys()[0]

    def leaves(self) -> list[Leaf]:
        """All leaves of the newest log, which verifies."""
        path = self.home.logs()[-1]
        origin = (path / "checkpoint").read_bytes().partition(b"\n")[0].decode()
        key = Key(origin, self.key.scheme, self.key.public)
        report = verify(Disk(path), key)
        report.raise_if_damaged()
        return [decode(entry) for _, entry in Log(Disk(path), key).entries()]

    def frames(self) -> list[FrameRecord]:
        """All frames."""
        return [frame for leaf in self.leaves() if isinstance(leaf, FrameLeaf) for frame in leaf.frames]

    def events(self, *names: str) -> list[EventRecord]:
        """All events, or those of these names."""
        found = [event for leaf in self.leaves() if isinstance(leaf, EventLeaf) for event in leaf.events]
        return [event for event in found if not names or event.name in names]

    def config(self) -> bytes:
        """The digest of the settings."""
        return sha256(settings_of(self.device)).digest()

    def input_digest(self, seq: int) -> bytes:
        """What a frame's record must say of its pixels."""
        return digest(SALT, self.pixels[seq])

    def output_digest(self, seq: int) -> bytes:
        """Likewise of what both models said, worked out from the specification (docs/trail-format.md)."""
        heads = b"".join(n.to_bytes(4, "little") for n in (1, 4, 4, 48)) + bytes(8)
        each = [sha256(heads + self.outputs[name, seq]).digest() for name in ("a", "b")]
        return digest(SALT, b"".join(each))
