"""Whoever changes, removes, swaps, doubles, inserts, cuts or forks without the key is found out, and the place is named.

INFRAME_TAMPERINGS=20000 pytest tests/trail/test_tamper.py        the long run (the suite does some 1,500)
"""

import os
import random
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from hashlib import sha256
from pathlib import Path

import pytest

from inframe.core.types import MissedReason, Verdict
from inframe.trail.leaf import decode, encode
from inframe.trail.note import Checkpoint, Scheme, Signer, signed
from inframe.trail.read import Log
from inframe.trail.records import FrameLeaf, FrameRecord
from inframe.trail.report import Report
from inframe.trail.tiles import bundle, split_bundle
from inframe.trail.tree import leaf_hash
from inframe.trail.verify import verify
from inframe.trail.witness import Witness, cosigned, request
from inframe.trail.write import Writer
from tests.disks import Memory
from tests.trail import independent_verifier as other
from tests.trail.made import KEY, ORIGIN, PQ_SIGNER, SIGNER, WITNESS, Clock, event, leaf

TAMPERINGS = int(os.environ.get("INFRAME_TAMPERINGS", "1200"))
Disk = dict[str, bytes]


def check(contents: Disk, **more: object) -> Report:
    return verify(Memory.of(contents), KEY, witnesses=[WITNESS.key], **more)  # type: ignore[arg-type]


@cache
def small(signers: tuple[Signer, ...] = (SIGNER,)) -> Disk:
    """Frames and events; part of it published, part only in the tail; witnessed, with each kind of file there is."""
    memory = Memory()
    w = Writer(memory, signers, Clock())
    w.append(leaf(w.header(1), random.Random(1), 2))
    w.append(event(w.header(2), n="1"))
    w.publish()
    w.append(event(w.header(3), n="2"))
    w.publish()
    witness = Witness(Memory(), (WITNESS,), {ORIGIN: KEY})
    log = Log(memory, KEY)
    w.keep_witnessed(
        cosigned(log.published_note, witness.add_checkpoint(request(log, 0), 5), KEY, (WITNESS.key,)), [WITNESS.key]
    )
    w.append(event(w.header(3), n="3"))
    w.prune(0, "nothing", "test")
    w.append(event(w.header(4), n="4"))
    w.commit()
    return memory.contents()


@cache
def large() -> Disk:
    """600 leaves: two full bundles, a published partial one, and a tail."""
    memory = Memory()
    w = Writer(memory, [SIGNER], Clock())
    for i in range(600):
        w.append(event(w.header(i), n=str(i)))
        if i % 50 == 49:
            w.commit()
        if i == 570:
            w.publish()
    w.commit()
    return memory.contents()


@cache
def witnessed() -> bytes:
    """A cosigned checkpoint of `large`, as the witness keeps it."""
    log = Log(Memory.of(large()), KEY)
    lines = Witness(Memory(), (WITNESS,), {ORIGIN: KEY}).add_checkpoint(request(log, 0), 5)
    return cosigned(log.published_note, lines, KEY, (WITNESS.key,))


def test_the_untouched_logs_are_sound() -> None:
    assert check(small()).damages == []
    assert check(large(), witnessed=[witnessed()]).damages == []


def test_every_byte_of_a_small_log() -> None:
    """Each byte of each file, one bit of it changed."""
    rng = random.Random(1)
    changed = 0
    for path, data in small().items():
        for i in range(len(data)):
            wrong = data[:i] + bytes([data[i] ^ 1 << rng.randrange(8)]) + data[i + 1 :]
            report = check(small() | {path: wrong})
            assert report.damages, f"byte {i} of {path}"
            changed += 1
            named = " ".join(damage.place for damage in report.damages)
            if path.startswith("tile/"):
                assert path in named or "leaf" in named, (path, i, named)
            elif path in ("tail", "minimum"):
                assert path in named, (path, i, named)
    assert changed > 3000


def test_bytes_of_a_post_quantum_signature() -> None:
    disk = small((SIGNER, PQ_SIGNER))
    assert check(disk, also=[PQ_SIGNER.key]).damages == []
    rng = random.Random(2)
    for path in ("checkpoint", "witnessed"):
        for i in rng.sample(range(len(disk[path])), 200):
            data = disk[path]
            wrong = disk | {path: data[:i] + bytes([data[i] ^ 1 << rng.randrange(8)]) + data[i + 1 :]}
            assert check(wrong, also=[PQ_SIGNER.key]).damages, (path, i)
    assert check(small(), also=[PQ_SIGNER.key]).damages, "a key's signature is missing"


def test_every_file_missing_cut_or_grown() -> None:
    for path, data in small().items():
        for wrong in ({path: data[:-1]}, {path: b""}, {path: data + b"\x00"}, {path: data + b"\n"}):
            assert check(small() | wrong).damages, path
        without = {name: content for name, content in small().items() if name != path}
        # Two files may be absent (the caller's own witnessed checkpoint then counts), and so may tiles of older checkpoints.
        if path not in ("minimum", "witnessed") and not path.endswith((".p/2", ".p/3")):
            assert check(without).damages, path
    assert check(small() | {"tile/0/000.p/9": b"", "tile/entries/777": b"", "notes.txt": b""}).damages


# --- a bundle's records, changed with and without the tiles that belong to them --------------------------------------


def change(entries: list[bytes], rng: random.Random) -> list[bytes]:
    i = rng.randrange(len(entries))
    at = rng.randrange(len(entries[i]))
    entries[i] = entries[i][:at] + bytes([entries[i][at] ^ rng.randrange(1, 256)]) + entries[i][at + 1 :]
    return entries


def remove(entries: list[bytes], rng: random.Random) -> list[bytes]:
    del entries[rng.randrange(len(entries))]
    return entries


def swap(entries: list[bytes], rng: random.Random) -> list[bytes]:
    i, j = rng.sample(range(len(entries)), 2)
    entries[i], entries[j] = entries[j], entries[i]
    return entries


def double(entries: list[bytes], rng: random.Random) -> list[bytes]:
    i = rng.randrange(len(entries))
    return [*entries[:i], entries[i], *entries[i:]]


def insert(entries: list[bytes], rng: random.Random) -> list[bytes]:
    i = rng.randrange(len(entries) + 1)
    return [*entries[:i], rng.choice(entries)[:-1] + b"!", *entries[i:]]


def replace_one_by_another(entries: list[bytes], rng: random.Random) -> list[bytes]:
    i, j = rng.sample(range(len(entries)), 2)
    entries[i] = entries[j]
    return entries


WAYS: list[Callable[[list[bytes], random.Random], list[bytes]]] = [
    change,
    remove,
    swap,
    double,
    insert,
    replace_one_by_another,
]
PLACES = (
    ("tile/entries/000", "tile/0/000"),
    ("tile/entries/001", "tile/0/001"),
    ("tile/entries/002.p/59", "tile/0/002.p/59"),
)


def first_difference(before: list[bytes], after: list[bytes]) -> int:
    return next(
        (i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), min(len(before), len(after))
    )


@pytest.mark.parametrize("way", WAYS)
def test_tampering_with_records(way: Callable[[list[bytes], random.Random], list[bytes]]) -> None:
    rng = random.Random(way.__name__)
    for _ in range(TAMPERINGS // len(WAYS)):
        which = rng.randrange(3)
        path, tile = PLACES[which]
        width = 59 if which == 2 else 256
        before = split_bundle(large()[path], width, path)
        after = way(list(before), rng)
        wrong = {path: bundle(after)}
        covered_up = rng.random() < 0.5
        if covered_up:
            wrong[tile] = b"".join(map(leaf_hash, after))
        report = check(large() | wrong)
        assert report.damages, (way.__name__, path)
        named = " ".join(str(damage) for damage in report.damages)
        first = 256 * which + first_difference(before, after)
        assert path in named or tile in named or "tile/1/000" in named or f"{width}" in named, named
        if not covered_up and len(after) == width:
            assert re.search(rf"leaf {first}\b", named), (first, named)
        elif which < 2 and len(after) == width:
            assert f"leaf {256 * which} to {256 * (which + 1)}" in named, named


def test_tampering_with_any_byte_of_a_larger_log() -> None:
    rng = random.Random(4)
    paths, sizes = zip(*((path, len(data)) for path, data in large().items()), strict=True)
    for _ in range(TAMPERINGS // 4):
        path = rng.choices(paths, sizes)[0] if rng.random() < 0.5 else rng.choice(paths)
        data = bytearray(large()[path])
        data[rng.randrange(len(data))] ^= rng.randrange(1, 256)
        assert check(large() | {path: bytes(data)}).damages, path


# --- histories -------------------------------------------------------------------------------------------------------


def history(count: int, text: str = "", signer: Signer = SIGNER) -> Memory:
    """Another log, soundly written and signed."""
    memory = Memory()
    w = Writer(memory, [signer], Clock())
    for i in range(count):
        w.append(event(w.header(i), n=str(i) + (text if i >= 300 else "")))
    w.publish()
    return memory


def test_a_log_cut_before_what_was_witnessed() -> None:
    """With the device's own key, so that it is sound in itself."""
    for size in (1, 299, 512, 570):
        cut = history(size).contents()
        assert check(cut).damages == []
        [damage] = check(cut, witnessed=[witnessed()]).damages
        assert f"leaf {size}" in damage.place
        assert "571" in damage.expected


def test_a_forked_history() -> None:
    """The device's key signs another past, longer than the witnessed one."""
    forked = history(700, " with other words").contents()
    assert check(forked).damages == []
    [damage] = check(forked, witnessed=[witnessed()]).damages
    assert "leaf 0 to 571" in damage.place
    assert "another history" in damage.found
    assert check(history(700).contents(), witnessed=[witnessed()]).damages == []


def test_the_kept_witnessed_checkpoint_counts_too() -> None:
    memory = history(700, " with other words")
    memory.write("witnessed", witnessed())
    assert "leaf 0 to 571" in check(memory.contents()).damages[0].place


def test_a_witness_that_is_not_the_known_one() -> None:
    stranger = Signer(WITNESS.key.name, Scheme.COSIGNATURE, sha256(b"stranger").digest())
    text = witnessed().decode().rpartition("\n\n")[0] + "\n"
    assert check(large(), witnessed=[signed(text, [SIGNER, stranger], 5)]).damages


def test_a_replaced_key() -> None:
    """Every signature made anew with another key of the same name."""
    thief = Signer(ORIGIN, Scheme.ED25519, sha256(b"thief").digest())
    replaced = history(600, signer=thief).contents()
    assert verify(Memory.of(replaced), thief.key).damages == []
    [damage] = check(replaced).damages
    assert damage.place == "note"
    assert thief.key.id.hex() in damage.found
    assert KEY.id.hex() in damage.expected


def test_a_checkpoint_of_another_log() -> None:
    text = Checkpoint("inframe.example/device-8", 5, bytes(32)).text()
    assert check(small() | {"checkpoint": signed(text, [SIGNER], 1)}).damages


def test_everything_rewritten_without_the_key() -> None:
    """Entries, all tiles and even the text of the checkpoint fit together; the signature does not."""
    other_log = history(571, " with other words").contents()
    wrong = large() | {path: data for path, data in other_log.items() if path.startswith("tile/")}
    assert check(wrong).damages
    wrong["checkpoint"] = (
        other_log["checkpoint"].partition(b"\n\n")[0] + b"\n\n" + large()["checkpoint"].partition(b"\n\n")[2]
    )
    assert "does not verify" in str(check(wrong).damages[0])


def test_the_independent_verifier_finds_changes_too(tmp_path: Path) -> None:
    folder = tmp_path
    for path, data in large().items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    assert other.verify_log(folder, KEY.text())[0] == 571
    rng = random.Random(5)
    for path in ["checkpoint", "tile/1/000.p/2", *(p for pair in PLACES for p in pair)]:
        wrong = bytearray(large()[path])
        wrong[rng.randrange(len(wrong) if path != "checkpoint" else 200)] ^= 1
        (folder / path).write_bytes(wrong)
        with pytest.raises((other.Wrong, ValueError)):
            other.verify_log(folder, KEY.text())
        (folder / path).write_bytes(large()[path])


def test_every_cut_and_every_fork_before_what_was_witnessed() -> None:
    """With the device's own key, at every length: what is cut or forked at leaf n is named."""
    count = 40
    whole = history(count)
    log = Log(whole, KEY)
    lines = Witness(Memory(), (WITNESS,), {ORIGIN: KEY}).add_checkpoint(request(log, 0), 5)
    note = cosigned(log.published_note, lines, KEY, (WITNESS.key,))
    for size in range(count):
        [damage] = check(history(size).contents(), witnessed=[note]).damages
        assert damage.place == f"leaf {size}"
    for fork in range(count):
        memory = Memory()
        w = Writer(memory, [SIGNER], Clock())
        for i in range(count + 5):
            w.append(event(w.header(i), n=str(i) + ("!" if i == fork else "")))
        w.publish()
        [damage] = check(memory.contents(), witnessed=[note]).damages
        assert f"leaf 0 to {count}" in damage.place
        assert "another history" in damage.found


RECORD_WAYS: dict[str, Callable[[list[FrameRecord], int, int], list[FrameRecord]]] = {
    "removed": lambda frames, i, _j: frames[:i] + frames[i + 1 :],
    "swapped": lambda frames, i, j: [frames[{i: j, j: i}.get(n, n)] for n in range(len(frames))],
    "doubled": lambda frames, i, _j: [*frames[: i + 1], *frames[i:]],
    "inserted": lambda frames, i, j: [*frames[:i], replace(frames[j], seq=999), *frames[i:]],
    "another verdict": lambda frames, i, _j: [
        replace(f, verdict=Verdict(f.verdict % 3 + 1)) if n == i else f for n, f in enumerate(frames)
    ],
    "another result": lambda frames, i, _j: [
        replace(f, runs=(MissedReason.FAILED, *f.runs[1:])) if n == i else f for n, f in enumerate(frames)
    ],
    "a second earlier": lambda frames, i, _j: [
        replace(f, shown_ns=f.shown_ns - 10**9) if n == i else f for n, f in enumerate(frames)
    ],
}


@pytest.mark.parametrize("way", RECORD_WAYS)
def test_one_frame_within_a_second_changed_and_encoded_anew(way: str) -> None:
    """The leaf is as well-formed as before, and its tile is made to fit; only the signed root does not."""
    rng = random.Random(way)
    memory = Memory()
    w = Writer(memory, [SIGNER], Clock())
    for i in range(6):
        w.append(leaf(w.header(i), rng, 30))
    w.publish()
    disk = memory.contents()
    entries = split_bundle(disk["tile/entries/000.p/6"], 6, "")
    for _ in range(TAMPERINGS // 40):
        which, i, j = rng.randrange(6), *rng.sample(range(30), 2)
        made = decode(entries[which])
        assert isinstance(made, FrameLeaf)
        wrong = replace(made, frames=tuple(RECORD_WAYS[way](list(made.frames), i, j)))
        after = [encode(wrong) if n == which else entry for n, entry in enumerate(entries)]
        changed = {"tile/entries/000.p/6": bundle(after)}
        report = check(disk | changed)
        assert f"leaf {which})" in " ".join(str(damage) for damage in report.damages)
        changed["tile/0/000.p/6"] = b"".join(map(leaf_hash, after))
        assert check(disk | changed).damages
