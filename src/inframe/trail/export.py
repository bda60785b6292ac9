"""One procedure, taken out of the trail: a folder or a zip that proves itself on another machine, without the log.

    manifest.json            which log, which procedure, which leaves (a summary: nothing in it is trusted)
    <leaf>.tlog-proof        each leaf with its inclusion proof and the checkpoint, all under the same one
    README.txt               how to check it

Leaves of the procedure are consecutive; events of the device among them belong to it. A leaf of another procedure in between
would be somebody else's: it is left out, and the manifest says so.
"""

import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from inframe.core.errors import ConfigError
from inframe.trail import find
from inframe.trail.errors import TrailDamaged
from inframe.trail.leaf import decode
from inframe.trail.note import Checkpoint, Key, verified, verified_checkpoint
from inframe.trail.prove import Proof, parse_proof, prove
from inframe.trail.read import Log
from inframe.trail.records import NO_ID, EventKind, FrameLeaf, Leaf

FORMAT = "inframe trail export 1"
_MAX_FILE = 1 << 20
_README = """One procedure out of the trail of {origin}.

Check it:   inframe trail verify THIS_FOLDER_OR_ZIP --key KEY
or, with nothing but Python:   python independent_verifier.py THIS_FOLDER KEY

KEY is the device's public key, from the device's papers, not from here. Each .tlog-proof file follows c2sp.org/tlog-proof;
what is in a leaf, docs/trail-format.md says.
"""


@dataclass(slots=True)
class ExportReport:
    """What the check of an export found; damage is raised."""

    checkpoint: Checkpoint
    procedure: bytes
    leaves: int = 0
    frames: int = 0
    events: int = 0
    gaps: int = 0
    begins: bool = False
    """The first leaf holds the procedure's START event: nothing before it is missing."""
    ends: bool = False
    """The last leaf holds its STOP event."""
    withheld: list[int] = field(default_factory=list)


def export(log: Log, procedure: bytes, out: Path, progress: Callable[[int, int], None] | None = None) -> ExportReport:
    """Write the procedure to `out`, a new folder, or a zip if it ends in .zip; then check what was written. Raises
    ConfigError where there is no such procedure or `out` exists."""
    found = find.procedure_range(log, procedure)
    if found is None:
        raise ConfigError(log.key.name, "procedure", procedure.hex(), "the id of one that is in this trail")
    if out.exists():
        raise ConfigError(out, "path", "a file or folder", "nothing")
    first, end = found
    theirs = [i for i, entry in log.entries(first, end) if decode(entry).header.procedure not in (NO_ID, procedure)]
    manifest = {"format": FORMAT, "origin": log.key.name, "procedure": procedure.hex(), "first": first, "end": end}
    with _Folder(out) as put:
        put.write("manifest.json", json.dumps(manifest | {"withheld": theirs}, indent=2).encode())
        put.write("README.txt", _README.format(origin=log.key.name).encode())
        for index in range(first, end):
            if index not in theirs:
                put.write(_name(index), prove(log, index).text())
            if progress:
                progress(index + 1 - first, end - first)
    return check_export(out, log.key)


def _name(index: int) -> str:
    return f"{index:012d}.tlog-proof"


class _Folder:
    """A new folder or zip."""

    def __init__(self, out: Path) -> None:
        self._zip = zipfile.ZipFile(out, "x", zipfile.ZIP_DEFLATED) if out.suffix == ".zip" else None
        self._out = out
        if self._zip is None:
            out.mkdir()

    def __enter__(self) -> "_Folder":
        return self

    def __exit__(self, *_: object) -> None:
        if self._zip is not None:
            self._zip.close()

    def write(self, name: str, data: bytes) -> None:
        """Add a file."""
        if self._zip is not None:
            self._zip.writestr(name, data)
        else:
            (self._out / name).write_bytes(data)


def _reader(path: Path) -> tuple[Callable[[str], bytes], set[str]]:
    """How to read an export's files, and their names. Raises ConfigError."""
    if path.is_dir():
        return lambda name: (path / name).read_bytes(), {p.name for p in path.iterdir()}
    try:
        whole = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise ConfigError(path, "export", error, "a folder or zip that `inframe trail export` wrote") from None

    def read(name: str) -> bytes:
        if whole.getinfo(name).file_size > _MAX_FILE:
            raise TrailDamaged(f"{path}: {name}", f"{whole.getinfo(name).file_size} bytes", f"at most {_MAX_FILE}")
        try:
            return whole.read(name)
        except (zipfile.BadZipFile, OSError, EOFError) as error:  # a changed byte shows here, or in zlib
            raise TrailDamaged(f"{path}: {name}", error, "an undamaged file") from None

    return read, set(whole.namelist())


def check_export(path: Path, key: Key, witnesses: tuple[Key, ...] = ()) -> ExportReport:
    """Check an export: each leaf proven, under one checkpoint, none missing between the first and the last, all of the
    procedure. Raises TrailDamaged, which names the leaf; ConfigError where it is no export."""
    read, names = _reader(path)
    try:
        told = json.loads(read("manifest.json"))
        first, end, withheld = int(told["first"]), int(told["end"]), [int(i) for i in told["withheld"]]
        procedure = bytes.fromhex(told["procedure"])
    except (KeyError, OSError, ValueError, TypeError) as error:
        raise ConfigError(path, "manifest.json", error, FORMAT) from None
    expected = {"manifest.json", "README.txt"} | {_name(i) for i in range(first, end) if i not in withheld}
    if told.get("format") != FORMAT or names != expected or first in withheld or first >= end:
        wrong = sorted(names ^ expected)[:1]
        raise TrailDamaged(
            f"{path}: {wrong[0] if wrong else 'manifest.json'}",
            "a file too many or too few",
            f"leaves {first} to {end}",
        )
    note = parse_proof(read(_name(first))).note
    report = ExportReport(verified_checkpoint(note, key), procedure, withheld=withheld)
    if witnesses:
        verified(note, witnesses)
    for index in (i for i in range(first, end) if i not in withheld):
        try:
            proof = parse_proof(read(_name(index)))
            _check_place(proof, index, note)
            proof.check_path(report.checkpoint)
            _count(report, decode(proof.entry), is_first=index == first, is_last=index == end - 1)
        except TrailDamaged as error:
            raise TrailDamaged(f"{path}: leaf {index}: {error.place}", error.found, error.expected) from None
    return report


def _check_place(proof: Proof, index: int, note: bytes) -> None:
    if proof.index != index or proof.note != note:
        expected = f"leaf {index} under the same checkpoint as the first"
        raise TrailDamaged("index or checkpoint", f"leaf {proof.index}, or another checkpoint", expected)


def _count(report: ExportReport, leaf: Leaf, is_first: bool, is_last: bool) -> None:
    mine = leaf.header.procedure == report.procedure
    if not mine and (leaf.header.procedure != NO_ID or is_first or is_last):
        raise TrailDamaged("procedure", leaf.header.procedure.hex(), report.procedure.hex())
    report.leaves += 1
    if isinstance(leaf, FrameLeaf):
        report.frames += len(leaf.frames)
        return
    kinds = [event.kind for event in leaf.events]
    report.events += len(kinds)
    report.gaps += kinds.count(EventKind.GAP)
    report.begins |= is_first and EventKind.START in kinds
    report.ends |= is_last and EventKind.STOP in kinds
