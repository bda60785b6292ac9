"""Procedures made up from a seed: the real loop, models, rings and recording in one process, on a manual clock, in a world where
frames are late, damaged, frozen or missing, models are slow, and people and faults come and go."""

import heapq
import itertools
import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, cast

import numpy as np

from inframe.core.clock import NS_PER_MS, NS_PER_S, ManualClock
from inframe.core.config import Device
from inframe.core.samples import Quality
from inframe.core.types import Controls, Decision, Frame, FrameFlag, MissedReason, NoSignal, Pixels, Results
from inframe.pipeline import loop, record, results, ring, samplering, watched
from inframe.pipeline.align import aligner_of
from inframe.pipeline.board import Board, Count, Row
from inframe.pipeline.decide import make_plan
from inframe.pipeline.gate import looks_at
from inframe.pipeline.given import around
from inframe.pipeline.model import Model, load_model
from inframe.pipeline.ring import Header, RingReader, RingWriter
from inframe.pipeline.samplering import SampleReader, SampleWriter
from inframe.pipeline.surroundings import Surroundings
from inframe.recording.about import about
from inframe.recording.events import Said
from inframe.recording.tap import Mark, Tap
from inframe.recording.write import Event, RecordingWriter, Settings, texts
from tests import devices
from tests.drivers import onnx_models as om
from tests.pipeline import model_files

WIDTH, HEIGHT, FPS = 64, 48, 30
PERIOD = NS_PER_S // FPS
WALL = 1_790_000_000 * NS_PER_S
BEGAN = 5 * NS_PER_S


def device(folder: Path, **recording: Any) -> Device:
    """Two models, one of which remembers, two rules."""
    om.save(folder, om.convolution(labels=3, size=32))
    om.save(folder, model_files.counter(), "counter.onnx")
    values = devices.values(
        file=str(folder / "model.onnx"), budget_ms=20, max_age_ms=80, worker="first", preprocess={"mean": [127]}
    )
    counter = values["models"]["m"] | model_files.COUNTER | {"file": str(folder / "counter.onnx"), "labels": ["n"]}
    counter["preprocess"] = model_files.configure(**model_files.COUNTER).preprocess.model_dump()
    values["models"]["count"] = counter | {"every": 2, "required": False, "worker": "second", "max_age_ms": 200}
    values["streams"]["endoscope"] |= {"width": WIDTH, "height": HEIGHT, "fps": FPS}
    values["rules"] = {
        "much": {
            "model": "m",
            "when": {"kind": "area", "labels": ["b"], "above": 0.25},
            "persist": {"k": 2, "n": 3},
            "text": "B",
        },
        "high": {"model": "count", "when": {"kind": "score", "above": 9.5}, "text": "HIGH", "latch": True},
    }
    values["recording"] = {"folder": str(folder / "recordings"), "codec": "lossless"} | recording
    return Device.model_validate(values)


SENSORS: dict[str, Any] = {
    "pose": {
        "rate_hz": 100,
        "channels": {name: {"unit": ""} for name in ("x", "a", "b", "c", "d")},
        "rotation": ["a", "b", "c", "d"],
        "align": {"how": "interpolate", "max_age_ms": 40},
    },
    "pressure": {"rate_hz": 125, "channels": {"p": {"unit": "mmHg"}}, "align": {"how": "hold", "max_age_ms": 60}},
    "force": {
        "rate_hz": 500,
        "channels": {"f": {"unit": "N"}},
        "align": {"how": "window", "max_age_ms": 30, "samples": 8, "over": "mean"},
    },
    "raw": {
        "rate_hz": 200,
        "channels": {"u": {"unit": "V"}, "v": {"unit": "V"}},
        "align": {"how": "window", "max_age_ms": 30, "samples": 3, "over": "last"},
    },
    "near": {"rate_hz": 50, "channels": {"n": {"unit": ""}}, "align": {"how": "nearest", "max_age_ms": 15}},
}
SENSED_RULES: dict[str, Any] = {
    "low": {
        "sensor": "pressure",
        "when": {"kind": "sample", "channel": "p", "below": -0.5},
        "absent": "end",
        "text": "LOW",
    },
    "push": {
        "sensor": "force",
        "when": {"kind": "sample", "channel": "f", "above": 0.3, "release": 0.0},
        "absent": "keep",
        "persist": {"k": 2, "n": 3},
        "clear_s": 0.1,
        "text": "PUSH",
    },
    "still": {
        "sensor": "pose",
        "when": {"kind": "sample", "channel": "x", "below": -1},
        "absent": "raise",
        "text": "STILL",
    },
    "off": {"sensor": "near", "when": {"kind": "quality", "among": ["stale", "noisy"]}, "text": "OFF", "latch": True},
}


FUSED_INPUTS: dict[str, Any] = {
    "pose": {"sensor": "pose", "channels": ["x"], "absent": "fill", "fill": 2.0, "with_age": True},
    "raw": {"sensor": "raw", "absent": "miss"},
    "classes": {"model": "m", "absent": "miss"},
}
FUSED_RULES: dict[str, Any] = {
    "sum": {"model": "both", "when": {"kind": "score", "label": "n", "above": 3}, "text": "SUM"},
}


def fused(folder: Path) -> Device:
    """The device with sensors, aligned in each way, and rules that read them."""
    plain = device(folder).model_dump(mode="json")
    sensors = {name: {"sensor": "simulator", "signal": "sine", **one} for name, one in SENSORS.items()}
    om.save(folder, model_files.fusing(), "fusing.onnx")
    both = plain["models"]["m"] | {"file": str(folder / "fusing.onnx"), "labels": ["n"], "required": False}
    both |= {"decode": {"kind": "classification", "activation": "none"}, "inputs": FUSED_INPUTS, "colours": {}}
    both["preprocess"] = both["preprocess"] | {"input": "x"}
    models = plain["models"] | {"both": both}
    rules = plain["rules"] | SENSED_RULES | FUSED_RULES
    return Device.model_validate({**plain, "models": models, "sensors": sensors, "rules": rules})


class World:
    """What happens, and when. `wait` moves the clock from one thing to the next."""

    def __init__(self, file: Device, seed: int, frames: int, calm: bool) -> None:
        self.device, self.clock, self.calm = file, ManualClock(BEGAN), calm
        self.random, self.frames_wanted = random.Random(seed), frames
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._order: Iterator[int] = itertools.count()
        self.over = self.restart = False
        self.faulty: dict[str, int] = {}
        self.controlled = Controls()
        memory = ring.create("frames", 4, WIDTH * HEIGHT * 3)
        self.ring, self.frames = RingWriter(memory, ()), RingReader(memory)
        self.outputs: dict[str, tuple[RingWriter, RingReader]] = {}
        self.models: dict[str, Model] = {}
        for name, config in file.models.items():
            memory = ring.create(name, 4, results.bound(config))
            self.outputs[name] = RingWriter(memory, ()), RingReader(memory)
            self.models[name] = load_model(name, config, Path(config.file).parent, (WIDTH, HEIGHT), None, around(file))
        self.busy_ns = dict.fromkeys(self.models, 0)
        self.workers = {"worker.first": FakeRow(BEGAN), "worker.second": FakeRow(BEGAN)}
        self.picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        self.frozen_until = self.life = 0
        self.wildness = 0.2 if seed % 2 else 1.0
        self.at(BEGAN + PERIOD, self._frame)
        self.samples: dict[str, tuple[SampleWriter, SampleReader]] = {}
        for name, sensor in file.sensors.items():
            memory = samplering.create(name, samplering.slots_for(sensor), len(sensor.channels))
            self.samples[name] = SampleWriter(memory), SampleReader(memory)
            self.at(BEGAN, partial(self._sense, name, BEGAN))

    def _sense(self, name: str, upto: int) -> None:
        """Samples come in handfuls, now and then late, not good, or not at all."""
        now, writer, sensor = self.clock.now(), self.samples[name][0], self.device.sensors[name]
        gap = now + 400 * NS_PER_MS if self.chance(0.05) else upto
        period = int(NS_PER_S / sensor.rate_hz)
        while upto < now:
            upto += period
            quality = Quality(self.random.randint(1, 5)) if self.chance(0.1) else Quality.OK
            if upto >= gap and max(writer.captured_ns, 1) < upto:
                width = len(sensor.channels)
                values = [self.random.gauss(0, 1) for _ in range(width)]
                writer.write(upto, upto, 7, quality, values if quality is not Quality.GAP else [math.nan] * width)
        if self.ring.seq <= self.frames_wanted:
            self.at(now + self.random.randint(4, 25) * NS_PER_MS, partial(self._sense, name, upto))

    def at(self, ns: int, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (ns, next(self._order), event))

    def wait(self, until_ns: int) -> bool:
        if self._events and self._events[0][0] <= until_ns:
            ns, _, event = heapq.heappop(self._events)
            self.clock.set(max(ns, self.clock.now()))
            event()
            return True
        self.clock.set(max(until_ns, self.clock.now()))
        self.over = self.over or not self._events
        return False

    def chance(self, share: float) -> bool:
        return not self.calm and self.random.random() < share * self.wildness

    def _frame(self) -> None:
        now = self.clock.now()
        if self.chance(0.02):
            self.frozen_until = now + 500 * NS_PER_MS
        if now >= self.frozen_until:
            self.picture = self._picture()
        flags = FrameFlag.CORRUPT if self.chance(0.03) else FrameFlag.NONE
        self.ring.begin()[: self.picture.size] = self.picture.reshape(-1)
        seq = self.ring.commit(Header(0, self.ring.seq, now, now, flags=int(flags)))
        self._infer(seq, now)
        self._live()
        pause = self.random.randint(350, 900) * NS_PER_MS if self.chance(0.02) else 0
        jitter = 0 if self.calm else self.random.randint(-3, 12) * NS_PER_MS
        if seq < self.frames_wanted:
            self.at(now + PERIOD + pause + jitter, self._frame)

    def _picture(self) -> Pixels:
        if self.chance(0.05):
            return np.zeros((HEIGHT, WIDTH, 3), np.uint8)  # of which the second model makes NaN
        noise = np.frombuffer(self.random.randbytes(WIDTH * HEIGHT * 3), np.uint8).reshape(HEIGHT, WIDTH, 3)
        return noise // 2 + np.uint8(self.random.randint(0, 127))

    def _infer(self, seq: int, now: int) -> None:
        surroundings = Surroundings(self.device, {name: reader for name, (_, reader) in self.samples.items()})
        said: dict[str, Any] = {}
        for name, model in self.models.items():
            config = self.device.models[name]
            if now < self.busy_ns[name] or not looks_at(config.every, seq):
                continue
            if any(put.model not in said for put in config.inputs.values() if put.model is not None):
                continue  # a worker runs both or none
            given, taken = surroundings.of(name, now, said.get)
            output, steps = model.run(self.picture, self.clock, given)
            if self.chance(0.03):
                output = MissedReason.LATE
            said[name] = kept(output)
            took = self.random.choice((3, 8, 12, 24, 31, 60)) if self.chance(0.8) else 8
            done = now + took * NS_PER_MS + self.random.randint(0, 999_999)
            before = [self.busy_ns[put.model] + 1 for put in config.inputs.values() if put.model is not None]
            done = self.busy_ns[name] = max(done, *before) if before else done
            self.at(done, partial(self._arrive, name, Said(name, seq, now, done, steps, said[name], taken), self.life))

    def _arrive(self, name: str, said: Said, life: int) -> None:
        if name != "count" or life == self.life:  # what a worker had at hand dies with it
            ring = self.outputs[name][0]
            results.write(ring, said.seq, said.captured_ns, said.output, said.steps, said.arrived_ns, said.taken)

    def _live(self) -> None:
        """What else goes on."""
        now = self.clock.now()
        if self.chance(0.04):
            event = self.random.choice(("RECORDER_LOST", "CLOCK_STEPPED", "WORKER_LOST", "WORKER_GIVEN_UP"))
            if self.faulty.pop(event, None) is None:
                self.faulty[event] = now
        if self.chance(0.04):
            self.controlled = Controls(self.random.random(), self.random.random() < 0.5, self.random.choice((0, now)))
        if self.chance(0.01):
            self.models["count"].forget()
            self.life += 1
            self.workers["worker.second"].ready = now
        self.restart = self.restart or self.chance(0.01)

    # --- a board

    def faults(self) -> Mapping[str, int]:
        return dict(self.faulty)

    def controls(self) -> Controls:
        return self.controlled


def kept(output: Any) -> Any:
    """An output with arrays of its own."""
    fields = getattr(output, "__dataclass_fields__", None)
    copies = {key: np.copy(v) if isinstance(v := getattr(output, key), np.ndarray) else v for key in fields or ()}
    return type(output)(**copies) if fields else output


@dataclass
class FakeRow:
    """A worker's row."""

    ready: int

    def get(self, count: Count) -> int:
        return self.ready if count is Count.READY_NS else 0


@dataclass
class Procedure:
    """The display's loop in a World, with the recording's tap beside it."""

    device: Device
    seed: int = 0
    frames: int = 200
    calm: bool = False
    key: bytes | None = None
    codec: str = "lossless"
    deaf: tuple[int, int] = (0, 0)
    """The tap does not look while these frames are newest."""
    backlog: int = 1000
    events: list[Event] = field(default_factory=list)
    decisions: list[tuple[int, Decision]] = field(default_factory=list)

    def run(self) -> "Procedure":
        """From the first frame to the last."""
        world = self.world = World(self.device, self.seed, self.frames, self.calm)
        fields = record.fields_of(self.device)
        memory = ring.create("records", 1024, fields.layout.size)
        records = RingWriter(memory, ())
        self._journal = record.RecordWriter(records, fields)
        notes = ring.create("status", watched.SLOTS, watched.NOTE_BYTES)
        status = watched.Watched(cast("Board", world), RingWriter(notes, ()), lambda: records.seq)
        self._tap = self._tapped(world, RingReader(memory), RingReader(notes))
        models = self.device.models
        plan = make_plan(self.device, {name: tuple(m.labels) for name, m in models.items()})
        last = 0
        while not world.over:
            world.restart = False
            incoming = self._incoming(world, last, status)
            waited = loop.awaited(models, self.device.deadline_ns)
            rings = {name: reader for name, (_, reader) in world.outputs.items()}
            told = loop.ModelResults(plan, rings, world.clock, world.wait, waited)
            sensors = aligner_of(self.device.sensors, {name: ends[1] for name, ends in world.samples.items()})
            loop.run(incoming, told, plan, status, self, self, self, sensors)
            last = incoming.last
        self._tap.step()
        return self

    def _tapped(self, world: World, records: RingReader, notes: RingReader) -> Tap:
        buffers: SimpleQueue[Pixels] = SimpleQueue()
        for _ in range(self.backlog):
            buffers.put(np.empty((HEIGHT, WIDTH, 3), np.uint8))
        return Tap(
            frames=world.frames,
            outputs={name: (world.outputs[name][1], len(m.labels)) for name, m in self.device.models.items()},
            records=record.RecordReader(records, record.fields_of(self.device)),
            watched=watched.WatchedReader(notes),
            workers=cast("dict[str, Row]", world.workers),
            shape=(HEIGHT, WIDTH),
            buffers=buffers,
            clock=world.clock,
            put=lambda event: self.events.append(event) if not isinstance(event, Mark) else None,
            sensors={name: ends[1] for name, ends in world.samples.items()},
        )

    def _incoming(self, world: World, last: int, status: watched.Watched) -> loop.Incoming:
        stream = self.device.streams["endoscope"]
        views = [p[: HEIGHT * WIDTH * 3].reshape(HEIGHT, WIDTH, 3) for p in world.frames.payloads]
        return loop.Incoming(
            "endoscope",
            world.frames,
            views,
            PERIOD,
            self.device.deadline_ns,
            loop.stall_after(stream),
            loop.frozen_after(stream),
            world.clock,
            self._wait,
            lambda: world.over or world.restart,
            lambda frames: None,
            lambda: None,
            last=last,
            began=status.began,
        )

    def _wait(self, until_ns: int) -> bool:
        woken = self.world.wait(until_ns)
        first, behind = self.deaf
        if not first <= self.world.ring.seq - 1 < behind:
            self._tap.step()
        return woken

    # --- what the loop calls

    def lay(self, frame: Frame) -> None:
        pass

    def show(self, frame: Frame | NoSignal, decision: Decision, controls: Controls) -> int:
        self.world.clock.advance(2 * NS_PER_MS)
        return 0 if self.world.chance(0.02) else self.world.clock.now()

    def note(self, frame: Frame | NoSignal, results: Results, decision: Decision, shown_ns: int) -> None:
        self.decisions.append((frame.seq if isinstance(frame, Frame) else 0, decision))
        self._journal.write(frame, results, decision, shown_ns)

    def skipped(self, frames: int) -> None:
        pass

    def beat(self, frame: Frame | NoSignal | None, decision: Decision | None) -> None:
        pass

    # --- its recording

    def write(self, part_every_ns: int | None = None) -> Path:
        """Write what was taken; the first part."""
        assert self.device.recording is not None
        folder = Path(self.device.recording.folder)
        offset = WALL - BEGAN
        settings = Settings(folder, "procedure", self.device, about(self.device, "procedure", offset), offset, self.key)
        writer = RecordingWriter(settings, texts(self.device))
        now = BEGAN
        for event in self.events:
            captured = getattr(event, "captured_ns", now)
            now = max(now, captured[-1] if isinstance(captured, list) else captured)
            writer.take(event, now)
        writer.close()
        return next(iter(sorted(folder.glob("procedure.000.*"))))
