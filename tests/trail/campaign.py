"""Speed and size of the trail at any length. Not in the suite.

    PYTHONPATH=src python -m tests.trail.campaign 108000 1000000 10000000 [--folder FOLDER] [--batch LEAVES]

Frames are those of the reference device (60 a second, two models, two digests, two findings); a batch is one signed commit
with its fsync. Rates are records (frames) per second of wall time; in brackets, of this process's CPU time.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from inframe.trail.files import Disk
from inframe.trail.note import parse_key
from inframe.trail.prove import parse_proof, prove
from inframe.trail.read import Log
from inframe.trail.verify import verify
from inframe.trail.write import Writer
from tests.trail.made import KEY, PQ_SIGNER, SIGNER, Clock, leaf

FPS = 60
DISTINCT = 200


class Stopwatch:
    """Wall and CPU time since it was made."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def rate(self, count: int) -> str:
        wall, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        return f"{count / wall:10,.0f}/s in {wall:6.1f} s (CPU {count / cpu:10,.0f}/s)"


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def measure(records: int, batch: int, folder: Path) -> None:
    clock, rng = Clock(), random.Random(1)
    disk = Disk(folder)
    w = Writer(disk, [SIGNER, PQ_SIGNER], clock)
    made = [leaf(w.header(i), rng, FPS) for i in range(DISTINCT)]
    watch = Stopwatch()
    for i in range(records // FPS):
        clock.mono_ns += 10**9
        w.append(replace(made[i % DISTINCT], header=w.header(clock.mono_ns)))
        if i % batch == batch - 1:
            w.commit()
    w.close()
    say(f"{records:>11,} records, {w.size:,} leaves, a commit every {batch} leaves")
    say(f"    write       {watch.rate(records)}")
    on_disk = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    say(f"    on disk     {on_disk / records:.1f} bytes a record, {on_disk / 1e6:,.1f} MB")
    watch = Stopwatch()
    report = verify(disk, KEY, also=[PQ_SIGNER.key])
    report.raise_if_damaged()
    say(f"    verify      {watch.rate(report.frames)}")
    measure_proofs(Log(disk, KEY), rng)
    disk.unlock()


def measure_proofs(log: Log, rng: random.Random) -> None:
    indexes = [rng.randrange(log.size) for _ in range(300)]
    started = time.perf_counter()
    texts = [prove(log, index).text() for index in indexes]
    made = time.perf_counter()
    key = parse_key(KEY.text())
    times = []
    for text in texts:
        begun = time.perf_counter()
        parse_proof(text).check(key)
        times.append(time.perf_counter() - begun)
    proof = parse_proof(texts[0])
    size = len(texts[0]) - len(proof.note)
    each = (made - started) / len(texts) * 1e3
    say(f"    prove       {each:.2f} ms; the path has {len(proof.path)} hashes, {size:,} bytes with its leaf")
    say(f"    check       median {sorted(times)[150] * 1e3:.3f} ms, p99 {sorted(times)[296] * 1e3:.3f} ms")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("records", type=int, nargs="+")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--batch", type=int, default=64)
    args = parser.parse_args()
    for records in args.records:
        folder = Path(tempfile.mkdtemp(prefix="trail-", dir=args.folder))
        try:
            measure(records, args.batch, folder)
        finally:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
