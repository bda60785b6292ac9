"""The witness signs only what grew from what it signed before, and remembers over restarts and power cuts."""

import random
from pathlib import Path

import pytest

from inframe.core.errors import DeviceFault
from inframe.trail.errors import TrailDamaged
from inframe.trail.files import Disk
from inframe.trail.note import Key, Scheme, Signer, verified
from inframe.trail.read import Log
from inframe.trail.witness import Witness, WitnessRefused, cosigned, request
from inframe.trail.write import Writer
from tests.disks import Memory, PowerCutError
from tests.trail.made import KEY, ORIGIN, PQ_SIGNER, PQ_WITNESS, SIGNER, WITNESS, Clock, event

KEYS = (WITNESS.key, PQ_WITNESS.key)


def log_of(count: int, text: str = "", signers: tuple[Signer, ...] = (SIGNER, PQ_SIGNER)) -> Log:
    memory = Memory()
    w = Writer(memory, signers, Clock())
    for i in range(count):
        w.append(event(w.header(i), n=f"{i}{text}"))
    w.publish()
    return Log(memory, KEY)


def witness(disk: Memory | None = None) -> Witness:
    return Witness(disk or Memory(), (WITNESS, PQ_WITNESS), {ORIGIN: KEY})


def refused(w: Witness, body: bytes) -> WitnessRefused:
    with pytest.raises(WitnessRefused) as caught:
        w.add_checkpoint(body, 1)
    return caught.value


def test_it_cosigns_a_growing_log() -> None:
    w, old = witness(), 0
    for count in (1, 5, 5, 300, 301, 600):
        log = log_of(count)
        whole = cosigned(log.published_note, w.add_checkpoint(request(log, old), 1234), KEY, KEYS)
        _, found = verified(whole, KEYS)
        assert [(key, signature.time_s) for key, signature in found] == [(WITNESS.key, 1234), (PQ_WITNESS.key, 1234)]
        assert w.last(ORIGIN) == log.published
        old = count


def test_it_refuses_with_the_specifications_status() -> None:
    w = witness()
    w.add_checkpoint(request(log_of(300), 0), 1)
    grown = log_of(400)
    conflict = refused(w, request(grown, 0))
    assert (conflict.status, conflict.size) == (409, 300)
    assert refused(w, request(grown, 299)).status == 409
    assert refused(w, request(log_of(400, "forked"), 300)).status == 422
    assert refused(w, request(log_of(300, "forked"), 300)).status == 409
    good = request(grown, 300)
    assert refused(w, good.replace(b"old 300", b"old 401")).status == 400
    assert refused(w, good.replace(b"old 300\n", b"old 300\nAAAA\n")).status == 400
    assert refused(w, b"old 300\n" + good.split(b"\n", 2)[2]).status == 422
    assert refused(w, b"nonsense").status == 400
    assert refused(Witness(Memory(), (WITNESS,), {}), good).status == 404
    stranger = Key(ORIGIN, Scheme.ED25519, WITNESS.key.public)
    assert refused(Witness(Memory(), (WITNESS,), {ORIGIN: stranger}), good).status == 403
    assert w.last(ORIGIN).size == 300
    assert w.add_checkpoint(good, 1)


def test_a_log_that_was_cut_cannot_even_ask() -> None:
    with pytest.raises(TrailDamaged, match="at least 300"):
        request(log_of(200), 300)


def test_no_bytes_crash_it() -> None:
    w, good, rng = witness(), request(log_of(20, signers=(SIGNER,)), 0), random.Random(1)
    answers = set()
    for _ in range(1500):
        body = bytearray(good)
        for _ in range(rng.randrange(1, 4)):
            body[rng.randrange(len(body))] = rng.randrange(256)
        answers.add(refused(w, bytes(body[: rng.randrange(len(body))])).status)
    assert answers <= {400, 403, 404, 409, 422}


def test_it_never_forgets_what_it_signed() -> None:
    """A power cut at each write: what it answered for is remembered."""
    for cut in range(12):
        for seed in range(6):
            disk, signed = Memory(budget=cut), 0
            w = witness(disk)
            try:
                for old, count in ((0, 5), (5, 9), (9, 9)):
                    w.add_checkpoint(request(log_of(count), old), 1)
                    signed = count
            except PowerCutError:
                disk = disk.after_cut(random.Random(seed))
            assert witness(Memory.of(disk.contents())).last(ORIGIN).size >= signed


def test_one_witness_a_folder(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    Witness(disk, (WITNESS,), {})
    with pytest.raises(DeviceFault):
        Witness(Disk(tmp_path), (WITNESS,), {})
    disk.unlock()


def test_lines_of_unknown_witnesses_are_left_out() -> None:
    log = log_of(5)
    lines = witness().add_checkpoint(request(log, 0), 1)
    whole = cosigned(log.published_note, lines, KEY, (PQ_WITNESS.key,))
    assert WITNESS.key.name not in whole.decode()
    with pytest.raises(TrailDamaged):
        cosigned(log.published_note, lines.replace(b"w1", b"w2").replace(b"pq1", b"pq2"), KEY, KEYS)
