"""Made-up frames, clocks, keys and disks for the tests of the trail and its campaign. No test in here."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

from inframe.core.types import Finding, FrameFlag, MissedReason, Mode, Presence, Priority, Run, Steps, Verdict
from inframe.trail.note import Scheme, Signer
from inframe.trail.records import EventKind, EventLeaf, EventRecord, FrameLeaf, FrameRecord, Header, Model, Moment

ORIGIN = "inframe.example/device-7"
SIGNER = Signer(ORIGIN, Scheme.ED25519, sha256(b"device").digest())
PQ_SIGNER = Signer(ORIGIN, Scheme.ML_DSA_44, sha256(b"device pq").digest())
WITNESS = Signer("witness.example/w1", Scheme.COSIGNATURE, sha256(b"witness").digest())
PQ_WITNESS = Signer("witness.example/pq1", Scheme.ML_DSA_44, sha256(b"witness pq").digest())
KEY = SIGNER.key
BOOT = bytes(range(16))
MS = 1_000_000
WALL_0 = 1_800_000_000_000_000_000


@dataclass
class Clock:
    """A clock that a test moves; call it for a Moment."""

    mono_ns: int = 10_000_000_000

    def __call__(self) -> Moment:
        return Moment(BOOT, self.mono_ns, WALL_0 + self.mono_ns, "CLOCK_MONOTONIC CLOCK_REALTIME ntp")


MODELS = tuple(
    Model(
        name,
        sha256(name.encode()).digest(),
        "active",
        "onnxruntime 1.32.0 CPUExecutionProvider",
        sha256(b"pre").digest(),
    )
    for name in ("anatomy", "instruments")
)


def frame(rng: random.Random, seq: int, captured: int, models: int = 2, busy: bool = True) -> FrameRecord:
    """A frame as the reference device would record it: jitter on each time, now and then late, two findings when busy."""
    runs: list[Run | MissedReason] = []
    for _ in range(models):
        at = captured
        ends = [at := at + rng.randrange(MS // 10, 4 * MS) for _ in range(4)]
        runs.append(Run(seq, Steps(*ends)) if rng.random() > 0.01 else MissedReason.LATE)
    findings = (
        Finding("tip_near", "TIP NEAR DUCT", Priority.HIGH, 5 * 10**9, rng.random()),
        Finding("spill", "BILE", Priority.LOW, 6 * 10**9, rng.random()),
    )
    return FrameRecord(
        seq=seq,
        captured_ns=captured,
        deadline_ns=captured + 50 * MS,
        shown_ns=captured + rng.randrange(12 * MS, 30 * MS),
        verdict=Verdict.SHOW if rng.random() > 0.02 else Verdict.WITHHOLD,
        mode=Mode.NOMINAL,
        runs=tuple(runs),
        input=rng.randbytes(32),
        output=rng.randbytes(32),
        flags=FrameFlag.NONE,
        dropped=int(rng.random() < 0.01),
        findings=findings if busy else (),
        alerts=(("tip_near", Presence.ON),) if busy else (),
    )


def frames(
    rng: random.Random, count: int, first_seq: int = 1, start_ns: int = 10**10, fps: int = 60, busy: bool = True
) -> tuple[FrameRecord, ...]:
    """`count` frames at about `fps`."""
    return tuple(
        frame(rng, seq, start_ns + (seq - first_seq) * 10**9 // fps + rng.randrange(-MS, MS), busy=busy)
        for seq in range(first_seq, first_seq + count)
    )


def leaf(
    header: Header, rng: random.Random, count: int = 60, first_seq: int = 1, start_ns: int = 10**10, busy: bool = True
) -> FrameLeaf:
    """One second of frames."""
    made = frames(rng, count, first_seq, start_ns, busy=busy)
    return FrameLeaf(header, "endoscope", sha256(b"config").digest(), MODELS, made)


def event(header: Header, kind: EventKind = EventKind.FAULT, name: str = "AI_LATE", **data: str) -> EventLeaf:
    """One event."""
    return EventLeaf(header, (EventRecord(kind, header.first_ns, name, "AI LATE", "display", data),))


def seconds(clock: Clock, rng: random.Random, header: object, count: int, per: int = 60) -> Iterator[FrameLeaf]:
    """`count` leaves, one a second; `header` is a writer's method."""
    for i in range(count):
        start = clock.mono_ns
        made = frames(rng, per, 1 + i * per, start)
        clock.mono_ns += 10**9
        yield FrameLeaf(header(made[0].shown_ns), "endoscope", sha256(b"config").digest(), MODELS, made)  # type: ignore[operator]
