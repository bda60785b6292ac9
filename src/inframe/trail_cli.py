"""`inframe trail …`: what the record says, and whether anybody has changed it. Exit code 1: no, or nothing found.

What reads a trail is imported by the command that needs it: `inframe run`, which reads none, shows its first picture a
second earlier for it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inframe.core.errors import ConfigError
from inframe.terminal import JsonFile, out, write_file, write_json

if TYPE_CHECKING:
    from inframe.trail.note import Key, Scheme
    from inframe.trail.records import EventKind
    from inframe.trail.report import Progress as Tick
    from inframe.trail.trace import Trace

trail = typer.Typer(
    name="trail",
    help="Ask the record of what was shown, and check that nobody has changed it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
witnesses = typer.Typer(
    name="witness", help="Let another machine vouch for the trail.", no_args_is_help=True, rich_markup_mode=None
)
trail.add_typer(witnesses)

TrailPath = Annotated[
    Path, typer.Argument(metavar="TRAIL", help="A trail's folder, or the device file.", show_default=True)
]
KeyText = Annotated[
    str | None,
    typer.Option(
        "--key", metavar="KEY", help="The device's public key, or a file with it. Default: the one beside the trail.",
        show_default=False,
    ),
]  # fmt: skip
WitnessKeys = Annotated[
    list[str] | None,
    typer.Option("--witness", metavar="KEY", help="A witness's public key: one must have cosigned (repeatable)."),
]
Procedure = Annotated[
    str | None,
    typer.Option("--procedure", metavar="ID", help="A procedure's id, or how it begins.", show_default=False),
]
DEFAULT = Path("out") / "trail"


@contextmanager
def _bar(what: str) -> "Iterator[Tick]":
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _say(text: str, style: str | None = None) -> None:
    out.print(text, markup=False, soft_wrap=True, style=style)


@trail.command()
def trace(
    path: TrailPath = DEFAULT,
    at: Annotated[str | None, typer.Option("--at", metavar="TIME", help="What was on the screen then?")] = None,
    frame: Annotated[int | None, typer.Option("--frame", metavar="N", help="The newest frame of that number.")] = None,
    stream: Annotated[str | None, typer.Option("--stream", help="With --frame: of this stream.")] = None,
    procedure: Procedure = None,
    proof: Annotated[Path | None, typer.Option("--proof", help="Write the proof, which verifies alone.")] = None,
    prov_file: Annotated[Path | None, typer.Option("--prov", help="Write W3C PROV-JSON.")] = None,
    key: KeyText = None,
    json_file: JsonFile = None,
) -> None:
    """Explain one frame: what was shown, by which model, on which input and settings, with the proof that this is the record."""
    from inframe import audit, inquiry
    from inframe.trail.trace import as_json, page

    if (at is None) == (frame is None):
        raise ConfigError("inframe trail trace", "--at, --frame", "both or none", "one of them")
    log = audit.find_log(path, key).log()
    if at is not None:
        found = [one for one in inquiry.at_time(log, inquiry.wall_ns(at, "--at")) if stream in (None, one.leaf.stream)]
    else:
        named = inquiry.procedure_id(log, procedure) if procedure is not None else None
        found = inquiry.by_number(log, frame or 0, stream, named)
    if not found:
        _say("no such frame is in the trail")
        raise typer.Exit(1)
    for one in found:
        _say(page(one), None)
    _write_trace(found[0], proof, prov_file)
    write_json(json_file, [as_json(one) for one in found] if len(found) > 1 else as_json(found[0]))


def _write_trace(found: "Trace", proof: Path | None, prov_file: Path | None) -> None:
    from inframe.trail import prov

    if proof is not None:
        write_file(proof, "--proof", found.proof.text())
    if prov_file is not None:
        write_json(prov_file, prov.document(found))


@trail.command()
def verify(
    path: Annotated[
        Path, typer.Argument(metavar="TRAIL", help="A trail's folder, the device file, an export, or a proof.")
    ] = DEFAULT,
    key: KeyText = None,
    first: Annotated[int | None, typer.Option("--from", min=0, metavar="LEAF", help="Only from this leaf.")] = None,
    last: Annotated[int | None, typer.Option("--to", min=1, metavar="LEAF", help="Only up to before this one.")] = None,
    resume: Annotated[
        Path | None, typer.Option("--resume", metavar="FILE", help="Go on where the last one came; kept here.")
    ] = None,
    witness_keys: WitnessKeys = None,
    witnessed: Annotated[
        list[Path] | None,
        typer.Option("--witnessed", metavar="FILE", help="A checkpoint that a witness kept (repeatable)."),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Check every leaf, hash and signature; name each change. Exit code 1 if anything is not as it was written."""
    from inframe import audit

    keys = tuple(one for text in witness_keys or () for one in audit.read_keys(text))
    if path.suffix in (".zip", ".tlog-proof") or (path / "manifest.json").exists():
        return _verify_taken_out(path, key, keys, json_file)
    span = None if first is None and last is None else (first or 0, last if last is not None else 1 << 62)
    notes = tuple(audit.read_file(one, "--witnessed") for one in witnessed or ())
    home = audit.home_of(path)
    reports = []
    for log in [path] if (path / "checkpoint").exists() else home.logs() or [audit.find_log(path, key).path]:
        place = audit.place_of(home, log, key)
        with _bar("verifying") as tick:
            report = audit.check(place, span, resume, keys, notes, tick)
        reports.append(audit.report_json(place, report))
        _show_report(reports[-1])
    write_json(json_file, reports[0] if len(reports) == 1 else reports)
    if not all(report["sound"] for report in reports):
        raise typer.Exit(1)
    return None


def _show_report(told: dict[str, Any]) -> None:
    _say(f"{told['log']}: {told['origin']}, {told['size']} leaves")
    _say(f"  looked at {told['leaves_looked_at']} leaves, {told['frames']} frames, {told['events']} events")
    for gap in told["gaps"]:
        _say(f"  GAP     leaf {gap['leaf']}: {gap['name']}: {gap['text']}", "yellow")
    for damage in told["damages"]:
        _say(f"  DAMAGE  {damage['place']}: found {damage['found']}, expected {damage['expected']}", "bold red")
    if told["key_from"] != "--key":
        _say(
            f"  checked with the key in {told['key_from']}, which whoever replaces the trail can replace too: give --key"
        )
    _say("  sound: nothing was changed, removed, inserted or reordered" if told["sound"] else "  NOT SOUND")


def _verify_taken_out(path: Path, key: str | None, keys: "tuple[Key, ...]", json_file: Path | None) -> None:
    """An export, or one proof: on any machine, without the log."""
    from inframe import audit
    from inframe.trail import export as exports
    from inframe.trail.note import Key
    from inframe.trail.prove import parse_proof

    if key is None:
        raise ConfigError(
            path, "--key", "none", "the device's public key: one that came with the export proves nothing"
        )
    if not path.exists():
        raise ConfigError(path, "trail", "no such file", "an export or a proof")
    known = audit.read_keys(key)[0]
    if path.suffix == ".tlog-proof":
        proof = parse_proof(audit.read_file(path, "proof"))
        named = Key(audit.name_in(known, proof.note.partition(b"\n")[0].decode("utf-8", "replace")), *_rest(known))
        checkpoint = proof.check(named, keys)
        told: dict[str, Any] = {
            "sound": True,
            "leaf": proof.index,
            "origin": checkpoint.origin,
            "size": checkpoint.size,
        }
        _say(f"{path}: leaf {proof.index} is in the trail {checkpoint.origin} of {checkpoint.size} leaves")
    else:
        report = exports.check_export(path, known, keys)
        told = {"sound": True, "origin": report.checkpoint.origin, "procedure": report.procedure.hex()}
        told |= {"leaves": report.leaves, "frames": report.frames, "events": report.events, "gaps": report.gaps}
        told |= {"begins": report.begins, "ends": report.ends, "withheld": report.withheld}
        _say(f"{path}: procedure {report.procedure.hex()} of {report.checkpoint.origin}")
        _say(
            f"  {report.leaves} leaves, {report.frames} frames, {report.events} events, {report.gaps} gaps: all proven"
        )
        if not (report.begins and report.ends):
            _say(f"  its {'end' if report.begins else 'beginning'} is not in it", "yellow")
    write_json(json_file, told)


def _rest(key: "Key") -> "tuple[Scheme, bytes]":
    return key.scheme, key.public


@trail.command()
def show(
    path: TrailPath = DEFAULT,
    since: Annotated[str | None, typer.Option("--since", metavar="TIME", help="Not before.")] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="Not after.")] = None,
    procedure: Procedure = None,
    stream: Annotated[str | None, typer.Option("--stream", help="Frames of this stream; events anyway.")] = None,
    kind: Annotated[
        list[str] | None, typer.Option("--kind", metavar="KIND", help="Only events of this kind (repeatable).")
    ] = None,
    text: Annotated[str | None, typer.Option("--text", help="Somewhere in a name, a text, a finding.")] = None,
    frames: Annotated[bool, typer.Option("--frames", help="Each frame, not a line a second.")] = False,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="So many lines at most.")] = None,
    key: KeyText = None,
    json_file: JsonFile = None,
) -> None:
    """List events and frames, oldest first."""
    from inframe import audit, inquiry
    from inframe.trail import find
    from inframe.trail.trace import time_text

    log = audit.find_log(path, key).log()
    wanted = find.Filter(
        procedure=inquiry.procedure_id(log, procedure) if procedure is not None else None,
        since_ns=inquiry.wall_ns(since, "--since") if since is not None else None,
        until_ns=inquiry.wall_ns(until, "--until") if until is not None else None,
        stream=stream,
        kinds=frozenset(map(_kind, kind)) if kind else None,
        text=text,
    )
    told = []
    for line in islice(inquiry.lines(log, wanted, frames), limit):
        data = "  ".join(f"{name}={value}" for name, value in (line.data or {}).items())
        who = f" [{line.who}]" if line.who else ""
        _say(f"{time_text(line.wall_ns)[:23]}Z {line.kind:<12} {line.name}{who}: {line.text}  {data}".rstrip())
        if json_file is not None:
            told.append(line.as_json())
    write_json(json_file, told)


def _kind(text: str) -> "EventKind":
    from inframe.trail.records import EventKind

    try:
        return EventKind[text.upper()]
    except KeyError:
        expected = "one of: " + ", ".join(kind.name.lower() for kind in EventKind)
        raise ConfigError("inframe trail show", "--kind", text, expected) from None


@trail.command()
def export(
    path: TrailPath = DEFAULT,
    target: Annotated[Path | None, typer.Option("--out", help="A new folder, or a zip.", show_default=False)] = None,
    procedure: Procedure = None,
    key: KeyText = None,
    json_file: JsonFile = None,
) -> None:
    """Take one procedure out, with proofs: it verifies on any machine with one command. Default: the newest one."""
    from inframe import audit, inquiry
    from inframe.trail import export as exports
    from inframe.trail.records import EventKind

    if target is None:
        raise ConfigError("inframe trail export", "--out", "nothing", "a new folder, or a name that ends in .zip")
    place = audit.find_log(path, key)
    log = place.log()
    chosen = inquiry.procedure_id(log, procedure)
    with _bar("exporting") as tick:
        report = exports.export(log, chosen, target, tick)
    data = {"procedure": chosen.hex(), "to": target.name, "leaves": str(report.leaves)}
    noted = audit.record(place, EventKind.EXPORT, "EXPORT", "a procedure was taken out", data)
    _say(f"{target}: procedure {chosen.hex()}, {report.leaves} leaves, {report.frames} frames; {noted}")
    _say(f"check it anywhere: inframe trail verify {target} --key {place.key.text()}")
    told = {"to": str(target), "procedure": chosen.hex(), "leaves": report.leaves, "frames": report.frames}
    write_json(json_file, told | {"events": report.events, "gaps": report.gaps, "noted": noted})


@trail.command(name="prove")
def prove_command(
    path: TrailPath = DEFAULT,
    leaf: Annotated[int | None, typer.Option("--leaf", min=0, help="This leaf.")] = None,
    frame: Annotated[int | None, typer.Option("--frame", metavar="N", help="The leaf of that frame.")] = None,
    target: Annotated[Path | None, typer.Option("--out", help="Where to write it.", show_default=False)] = None,
    key: KeyText = None,
) -> None:
    """Write the proof that one second is in the trail: a file that verifies alone, about 8 kB."""
    from inframe import audit
    from inframe.trail import find
    from inframe.trail.prove import prove

    if (leaf is None) == (frame is None):
        raise ConfigError("inframe trail prove", "--leaf, --frame", "both or none", "one of them")
    log = audit.find_log(path, key).log()
    if leaf is None:
        found = find.frame(log, frame or 0)
        leaf = found[0] if found is not None else log.size
    if leaf >= log.size:
        raise ConfigError("inframe trail prove", "--leaf, --frame", "one that is not there", f"of {log.size} leaves")
    proof = prove(log, leaf)
    proof.check(log.key)
    where = target or Path(f"{leaf:012d}.tlog-proof")
    write_file(where, "--out", proof.text())
    _say(f"{where}: leaf {leaf} of {log.size}, {len(proof.path)} hashes to the root")


@trail.command(name="prune")
def prune_command(
    before: Annotated[str, typer.Option("--before", metavar="TIME", help="What is older goes.")],
    path: TrailPath = DEFAULT,
    why: Annotated[str, typer.Option("--why", help="Goes into the record.")] = "retention",
    key: KeyText = None,
) -> None:
    """Delete what is older, on a stopped device: what stays keeps its proofs, and the trail itself says what went."""
    from inframe import audit, inquiry

    place = audit.find_log(path, key)
    kept = audit.prune(place, inquiry.wall_ns(before, "--before"), why)
    _say(f"{place.path}: leaves before {kept} are gone, and it says so")


@trail.command()
def forget(
    procedure: Annotated[str, typer.Option("--procedure", metavar="ID", help="Its id, or how it begins.")],
    path: TrailPath = DEFAULT,
    key: KeyText = None,
) -> None:
    """Erase a procedure's salt: no picture can be linked to its records any more, and every proof still holds."""
    from inframe import audit, inquiry

    place = audit.find_log(path, key)
    chosen = inquiry.procedure_id(place.log(), procedure)
    noted = audit.forget(place, chosen)
    _say(f"{place.home.folder}: the salt of {chosen.hex()} is erased; {noted}")


# --- the witness -----------------------------------------------------------------------------------------------------


@witnesses.command()
def ask(
    target: Annotated[Path, typer.Argument(metavar="FILE", help="The request, for the witness.")],
    path: TrailPath = DEFAULT,
    old: Annotated[int, typer.Option("--old", min=0, help="How many leaves the witness last cosigned.")] = 0,
    key: KeyText = None,
) -> None:
    """On the device: ask a witness to cosign what is published (c2sp.org/tlog-witness)."""
    from inframe import audit
    from inframe.trail import witness

    log = audit.find_log(path, key).log()
    write_file(target, "FILE", witness.request(log, old))
    _say(f"{target}: {log.published.size} leaves of {log.key.name}")


@witnesses.command()
def sign(
    folder: Annotated[Path, typer.Argument(help="The witness's own folder: its key, and what it has signed.")],
    request: Annotated[Path, typer.Argument(help="What a device asked.")],
    response: Annotated[Path, typer.Argument(help="The answer, for the device.")],
    log_keys: Annotated[list[str], typer.Option("--log", metavar="KEY", help="A device's public key (repeatable).")],
    name: Annotated[str, typer.Option("--name", help="The witness's name, when its key is made.")] = "witness",
) -> None:
    """On the witness: cosign a trail that has only grown since it last did."""
    from inframe import audit

    known = {one.name: one for text in log_keys for one in audit.read_keys(text)}
    answer, key = audit.cosign(folder, name, known, audit.read_file(request, "REQUEST"))
    write_file(response, "RESPONSE", answer)
    _say(f"{response}: cosigned by {key.text()}")


@witnesses.command()
def keep(
    response: Annotated[Path, typer.Argument(help="What the witness answered.")],
    witness_keys: Annotated[list[str], typer.Option("--witness", metavar="KEY", help="The witness's public key.")],
    path: TrailPath = DEFAULT,
    key: KeyText = None,
) -> None:
    """On the device: keep the cosigned checkpoint beside the log, where `verify` looks for it."""
    from inframe import audit

    place = audit.find_log(path, key)
    known = tuple(one for text in witness_keys for one in audit.read_keys(text))
    size, noted = audit.keep_cosigned(place, audit.read_file(response, "RESPONSE"), known)
    _say(f"{place.path}: {size} leaves are vouched for; {noted}")
