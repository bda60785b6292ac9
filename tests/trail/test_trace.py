"""Proofs, traces, filters, exports, salts: what is taken out of a trail, and that it stands alone."""

import json
import random
import subprocess
import sys
import zipfile
from dataclasses import replace
from functools import cache
from hashlib import sha256
from pathlib import Path

import pytest

from inframe.core.errors import ConfigError
from inframe.trail import find, prov, trace
from inframe.trail.errors import TrailDamaged
from inframe.trail.export import check_export, export
from inframe.trail.files import Disk
from inframe.trail.prove import parse_proof, prove
from inframe.trail.read import Log
from inframe.trail.records import EventKind, EventLeaf, EventRecord, FrameLeaf, FrameRecord
from inframe.trail.salt import Salts, commitment, digest
from inframe.trail.write import Writer
from tests.disks import Memory
from tests.trail import independent_verifier as other
from tests.trail.made import KEY, MODELS, PQ_SIGNER, SIGNER, WALL_0, WITNESS, Clock, frames

FIRST, SECOND = b"procedure number", b"another one here"


def happened(w: Writer, kind: EventKind, name: str, procedure: bytes = bytes(16)) -> None:
    at = w.header(0).moment.mono_ns
    w.append(EventLeaf(w.header(at, procedure), (EventRecord(kind, at, name),)))


@cache
def made() -> tuple[Memory, dict[int, FrameRecord]]:
    """Two procedures of 20 and 300 seconds, with a pause; each frame's record by its wall time of showing."""
    memory, clock, rng = Memory(), Clock(), random.Random(3)
    shown: dict[int, FrameRecord] = {}
    w = Writer(memory, [SIGNER, PQ_SIGNER], clock)
    for procedure, count in ((FIRST, 20), (SECOND, 300)):
        happened(w, EventKind.START, "PROCEDURE", procedure)
        for second in range(count):
            some = frames(rng, 5, 1 + 5 * second, clock.mono_ns, fps=5)
            shown |= {WALL_0 + f.shown_ns: f for f in some}
            clock.mono_ns += 10**9
            w.append(
                FrameLeaf(w.header(some[0].shown_ns, procedure), "endoscope", sha256(b"config").digest(), MODELS, some)
            )
            if second == 7:
                happened(w, EventKind.LOGIN, "LOGIN")
        happened(w, EventKind.STOP, "PROCEDURE", procedure)
        w.commit()
        clock.mono_ns += 60 * 10**9
    w.close()
    return memory, shown


def log() -> Log:
    return Log(made()[0], KEY)


def test_a_proof_stands_alone_and_grows_with_the_logarithm() -> None:
    opened = log()
    for index in random.Random(1).sample(range(opened.size), 60):
        proof = prove(opened, index)
        again = parse_proof(proof.text())
        assert again == proof
        assert again.check(KEY) == opened.checkpoint
        assert other.verify_proof(proof.text(), KEY.text()) == (index, opened.entry(index))
        assert len(proof.path) <= opened.size.bit_length()


def test_no_byte_of_a_proof_can_change() -> None:
    text = prove(log(), 3).text()
    rng = random.Random(2)
    for i in rng.sample(range(len(text)), 600) + list(range(60)):
        wrong = text[:i] + bytes([text[i] ^ 1 << rng.randrange(7)]) + text[i + 1 :]
        try:
            found = parse_proof(wrong)
            found.check(KEY)
        except TrailDamaged:
            continue
        assert wrong[i:].count(b"\n") < 2, "only the log's ML-DSA line, which nobody asked to see verified"
    with pytest.raises(TrailDamaged):
        parse_proof(text).check(KEY, (WITNESS.key,))


def test_what_was_on_the_screen_at_any_time() -> None:
    opened, shown = log(), made()[1]
    times = sorted(shown)
    for at in random.Random(1).sample(times, 8):
        for wall, expected in ((at, shown[at]), (at + 1, shown[at])):
            [(index, row)], _ = find.at(opened, wall)
            assert trace.trace(opened, index, row).frame == expected
    [(index, row)], between = find.at(opened, times[99] + 30 * 10**9)
    assert trace.trace(opened, index, row, between).frame == shown[times[99]]
    assert [event.name for _, event in between] == ["PROCEDURE"]
    assert find.at(opened, WALL_0) == ([], [])


def test_a_frame_by_its_number() -> None:
    opened = log()
    assert find.frame(opened, 9999) is None
    index, row = find.frame(opened, 7) or (0, 0)
    assert opened.size > index > 20, "the newest of that number"
    first = find.frame(opened, 7, procedure=FIRST) or (0, 0)
    assert first[0] == 2
    assert trace.trace(opened, *first).frame.seq == trace.trace(opened, index, row).frame.seq == 7
    assert find.frame(opened, 7, stream="ultrasound") is None
    with pytest.raises(TrailDamaged):
        trace.trace(opened, 0, 0)


def test_a_trace_tells_everything() -> None:
    opened = log()
    found = trace.trace(opened, 1, 2)
    told = json.loads(trace.json_text(found))
    frame, model = found.frame, found.leaf.models[0]
    assert told["input"] == frame.input.hex()
    assert told["config"] == sha256(b"config").hexdigest()
    assert told["models"][0]["bundle"] == model.bundle.hex()
    assert told["models"][0]["engine"] == model.engine
    assert told["log"]["size"] == opened.size
    assert other.verify_proof(told["proof"].encode(), KEY.text())[0] == 1
    page = trace.page(found)
    for word in (
        f"frame {frame.seq}",
        frame.verdict.name,
        frame.input.hex(),
        frame.output.hex(),
        model.bundle.hex(),
        "TIP NEAR DUCT",
        KEY.name,
    ):
        assert word in page
    assert page.count("\n") < 60, "more than a page"
    assert trace.from_proof(parse_proof(found.proof.text()), KEY, 2) == found


def test_times_are_told_in_full() -> None:
    assert trace.time_text(0) == "1970-01-01T00:00:00.000000000Z"
    assert trace.time_text(1_800_000_000_123_456_789) == "2027-01-15T08:00:00.123456789Z"


def test_prov_json() -> None:
    doc = prov.document(trace.trace(log(), 1, 2))
    names = {kind: set(doc[kind]) for kind in ("entity", "activity", "agent")}
    ends = {
        "prov:entity": "entity",
        "prov:activity": "activity",
        "prov:agent": "agent",
        "prov:generatedEntity": "entity",
        "prov:usedEntity": "entity",
    }
    for relation in ("used", "wasGeneratedBy", "wasAssociatedWith", "wasDerivedFrom"):
        assert doc[relation]
        for related in doc[relation].values():
            assert len(related) == 2
            for end, name in related.items():
                assert name in names[ends[end]]
    for group in ("entity", "activity", "agent"):
        assert all(name.startswith("inframe:") for name in doc[group])
    json.dumps(doc, allow_nan=False)


def test_filters() -> None:
    opened = log()
    everything = list(find.show(opened, find.Filter()))
    assert len(everything) == 1600 + 7
    events = list(find.show(opened, find.Filter(kinds=frozenset({EventKind.LOGIN}))))
    assert [record.name for _, _, _, record in events if isinstance(record, EventRecord)] == ["LOGIN", "LOGIN"]
    assert len(list(find.show(opened, find.Filter(procedure=FIRST)))) == 102
    shown = sorted(made()[1])
    within = list(find.show(opened, find.Filter(since_ns=shown[10], until_ns=shown[19], stream="endoscope")))
    assert len([record for _, _, stream, record in within if stream]) == 10
    assert list(find.show(opened, find.Filter(text="no such words"))) == []
    assert len(list(find.show(opened, find.Filter(text="tip_near")))) == 1600


@pytest.mark.parametrize("name", ["out", "out.zip"])
def test_an_export_stands_alone(name: str, tmp_path: Path) -> None:
    report = export(log(), FIRST, tmp_path / name)
    assert (report.leaves, report.frames, report.events) == (23, 100, 3)
    assert report.begins
    assert report.ends
    again = check_export(tmp_path / name, KEY)
    assert again == report
    if name == "out":
        script = [sys.executable, other.__file__, str(tmp_path / name), KEY.text()]
        told = subprocess.run(script, capture_output=True, text=True, check=True, env={}).stdout
        assert told == "leaves 0 to 22 verify\n"
    with pytest.raises(ConfigError, match="expected nothing"):
        export(log(), FIRST, tmp_path / name)
    with pytest.raises(ConfigError, match="one that is in this trail"):
        export(log(), b"no such procedur", tmp_path / "other")


def test_a_changed_export_is_found_out(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    export(log(), FIRST, folder)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    fourth, fifth = "000000000004.tlog-proof", "000000000005.tlog-proof"
    data = bytearray(files[fourth])
    data[100] ^= 1
    told = files["manifest.json"]
    for wrong in (
        {fourth: bytes(data)},
        {fourth: files[fifth]},
        {fourth: files[fifth], fifth: files[fourth]},
        {fourth: None},
        {"000000000099.tlog-proof": files[fourth]},
        {"manifest.json": told.replace(b'"end": 23', b'"end": 22')},
        {"manifest.json": told.replace(FIRST.hex().encode(), SECOND.hex().encode())},
        {"manifest.json": b"{}"},
    ):
        for name, content in wrong.items():
            if content is None:
                (folder / name).unlink()
            else:
                (folder / name).write_bytes(content)
        with pytest.raises((TrailDamaged, ConfigError)):
            check_export(folder, KEY)
        for name in wrong:
            (folder / name).unlink(missing_ok=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
    assert check_export(folder, KEY).leaves == 23


def test_an_export_without_its_end_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    export(log(), FIRST, folder)
    (folder / "000000000022.tlog-proof").unlink()
    told = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(told | {"end": 22}))
    report = check_export(folder, KEY)
    assert (report.begins, report.ends) == (True, False)


def test_a_damaged_zip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "out.zip"
    export(log(), FIRST, path)
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        at = archive.getinfo("000000000004.tlog-proof").header_offset + 200
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    with pytest.raises(TrailDamaged, match=r"000000000004|leaf 4"):
        check_export(path, KEY)
    path.write_bytes(whole[:5000])
    with pytest.raises(ConfigError):
        check_export(path, KEY)


def test_salts_unlink_when_erased(tmp_path: Path) -> None:
    salts = Salts(Disk(tmp_path))
    salt = salts.create(FIRST)
    pixels = bytes(1000)
    assert salts.get(FIRST) == salt
    assert digest(salt, pixels) != digest(salts.create(SECOND), pixels)
    assert len(digest(salt, memoryview(pixels))) == 32
    assert commitment(salt) != commitment(salts.get(SECOND) or b"")
    with pytest.raises(RuntimeError):
        salts.create(FIRST)
    salts.erase(FIRST)
    salts.erase(FIRST)
    assert salts.get(FIRST) is None
    assert [path.name for path in tmp_path.iterdir()] == [SECOND.hex()]


def test_a_record_without_digests_or_results_is_told_too() -> None:
    memory, clock = Memory(), Clock()
    w = Writer(memory, [SIGNER], clock)
    some = frames(random.Random(1), 1, 1, clock.mono_ns)
    bare = replace(some[0], seq=0, input=bytes(32), output=bytes(32), findings=(), alerts=())
    w.append(FrameLeaf(w.header(bare.shown_ns), "endoscope", bytes(32), MODELS, (bare,)))
    w.close()
    found = trace.trace(Log(memory, KEY), 0, 0)
    assert "NO SIGNAL" in trace.page(found)
    assert "no digest taken" in trace.page(found)
    assert prov.document(found)["entity"]
