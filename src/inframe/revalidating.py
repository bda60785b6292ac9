"""What `inframe revalidate` and `inframe cases` do, and show on the terminal."""

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from inframe.bundle import Policy, open_bundle
from inframe.bundle.keys import Signer, read_signer
from inframe.bundle.manifest import DataSet, Manifest
from inframe.core.clock import NS_PER_S
from inframe.core.errors import ConfigError
from inframe.core.yamlfile import parse_yaml, read_bytes
from inframe.revalidation.attesting import TEST_RESULT, sealed
from inframe.revalidation.cases import CaseSet, open_set
from inframe.revalidation.judging import Verdict, judge
from inframe.revalidation.keeping import Kept
from inframe.revalidation.locking import Lock, lock, may_look, must_cover, open_lock
from inframe.revalidation.looks import DONE, LOOKED, Looks
from inframe.revalidation.measuring import Job, Settings
from inframe.revalidation.pool import Answer, measure_here, measure_on_ray
from inframe.revalidation.protocol import Protocol
from inframe.revalidation.report import html
from inframe.revalidation.revision import code_revision
from inframe.revalidation.tally import Tallies, in_order, merge

DAY_NS = 86_400 * NS_PER_S


@dataclass(frozen=True, slots=True)
class Subject:
    """A bundle to be measured."""

    path: Path
    digest: str
    name: str
    manifest: Manifest

    @property
    def as_data(self) -> DataSet:
        """By digest."""
        return DataSet(name=self.name, sha256=self.digest)


@dataclass(frozen=True, slots=True)
class Asked:
    """What to do, as the command line has it."""

    cases: Path
    policy: Policy
    against: Path | None
    protocol: Path | None
    """For development cases."""
    lock: Path | None
    trail: Path | None
    key: Path | None
    out: Path
    workers: int
    ray: str | None


@dataclass(frozen=True, slots=True)
class Look:
    """A look that may be taken: all that was settled before the first case is run."""

    subject: Subject
    against: Subject | None
    cases: CaseSet
    protocol: Protocol
    lock: Lock | None
    lock_digest: str
    looks: Looks | None

    @property
    def case_count(self) -> int:
        """Procedures."""
        return len(self.cases.cases)


def subject_of(path: Path, policy: Policy) -> Subject:
    """A bundle, verified. Raises BundleError."""
    with open_bundle(path, policy) as bundle:
        return Subject(path.absolute(), bundle.digest, bundle.name, bundle.manifest)


def revalidate_and_show(out: Console, bundle: Path, asked: Asked) -> dict[str, Any]:
    """Run the cases, judge, write the reports. Raises ConfigError, BundleError, DeviceFault."""
    signer = read_signer(asked.key) if asked.key is not None else None
    look = _settle(bundle, asked)
    if look.looks is not None:
        text = f"{look.subject.name} on {look.cases.manifest.name}"
        look.looks.record(LOOKED, text, _told(look))
    kept, began = Kept(asked.out / "tallies"), time.monotonic()
    new = measured(out, look.subject, look.cases, look.protocol.settings, kept, asked)
    old = None
    if look.against is not None:
        old = measured(out, look.against, look.cases, look.protocol.settings, kept, asked)
    verdict = judge(look.protocol, new, old)
    report = _report(look, new, old, verdict, time.monotonic() - began)
    _write(asked.out, report, look, new, verdict, signer)
    if look.looks is not None:
        told = {**_told(look), "passed": str(verdict.passed), "figures": report["figures_sha256"]}
        look.looks.record(DONE, "passed" if verdict.passed else "not passed", told)
    show(out, look, verdict)
    out.print(f"written: {asked.out / 'report.html'}", markup=False, soft_wrap=True)
    return report


def _settle(path: Path, asked: Asked) -> Look:
    """What is asked, refused where it must not be done."""
    cases = open_set(asked.cases)
    subject = subject_of(path, asked.policy)
    against = subject_of(asked.against, asked.policy) if asked.against is not None else None
    if cases.manifest.purpose == "development":
        if asked.protocol is None or asked.lock is not None:
            raise ConfigError(
                asked.cases, "--protocol", "none, or a lock", "a protocol alone: these are development cases"
            )
        protocol = read_protocol(asked.protocol)
        return Look(subject, against, cases, protocol, None, "", None)
    if asked.lock is None or asked.trail is None:
        raise ConfigError(
            asked.cases, "--lock, --trail", "nothing", "both: these cases are locked (`inframe cases lock`)"
        )
    made, digest = open_lock(asked.lock, asked.policy)
    looks = Looks(asked.trail)
    may_look(asked.lock, made, digest, cases, subject.digest, looks)
    if (made.against.sha256 if made.against else None) != (against.digest if against else None):
        found = against.digest if against else "nothing"
        raise ConfigError(asked.lock, "--against", found, made.against.sha256 if made.against else "nothing, as locked")
    must_cover(str(path), subject.manifest.acceptance, made.protocol, cases)
    for case in cases.cases:  # a look is counted: it must not be spent on cases that are then refused
        case.verify()
    return Look(subject, against, cases, made.protocol, made, digest, looks)


def _told(look: Look) -> dict[str, str]:
    return {"lock": look.lock_digest, "cases": look.cases.digest, "bundle": look.subject.digest}


def measured(out: Console, subject: Subject, cases: CaseSet, settings: Settings, kept: Kept, asked: Asked) -> Tallies:
    """The tallies of a bundle on all cases; what was measured before is not measured again."""
    jobs = [
        Job(
            bundle=str(subject.path),
            sha256=subject.digest,
            case=case.name,
            folder=str(case.folder),
            digests=case.digests,
            settings=settings,
        )
        for case in cases.cases
    ]
    tallies: Tallies = {}
    left = []
    for job in jobs:
        before = kept.get(job)
        if before is None:
            left.append(job)
        else:
            tallies = merge(tallies, {before.digest: before})
    with _progress(out) as progress:
        task = progress.add_task(subject.name, total=len(jobs), completed=len(tallies), fps="")
        began, frames = time.monotonic(), 0
        for job, tally in _answers(left, asked):
            kept.keep(job, tally)
            tallies, frames = merge(tallies, {tally.digest: tally}), frames + tally.frames
            progress.update(task, advance=1, fps=f"{frames / (time.monotonic() - began):.0f} frames/s")
    return tallies


def _answers(jobs: Sequence[Job], asked: Asked) -> Iterator[Answer]:
    if not jobs:
        return iter(())
    return measure_on_ray(jobs, asked.ray) if asked.ray is not None else measure_here(jobs, asked.workers)


def _progress(out: Console) -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("cases"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[fps]}"),
    )
    return Progress(*columns, console=out, disable=not out.is_terminal)


def figures_digest(*sides: Tallies | None) -> str:
    """SHA-256 over every figure of every case, times left out: the same for any number of workers, on any way there."""
    total = hashlib.sha256()
    for side in sides:
        for tally in in_order(side or {}):
            total.update(tally.figures().model_dump_json().encode() + b"\n")
    return total.hexdigest()


def _report(look: Look, new: Tallies, old: Tallies | None, verdict: Verdict, took_s: float) -> dict[str, Any]:
    cases = in_order(new)
    return {
        "format": 1,
        "bundle": {"name": look.subject.name, "sha256": look.subject.digest},
        "against": None if look.against is None else {"name": look.against.name, "sha256": look.against.digest},
        "cases": {"name": look.cases.manifest.name, "sha256": look.cases.digest, "count": len(cases)},
        "purpose": look.cases.manifest.purpose,
        "lock": look.lock_digest or None,
        "code": code_revision(),
        "protocol": json.loads(look.protocol.model_dump_json()),
        "figures_sha256": figures_digest(new, old),
        **verdict.as_json(),
        "frames": sum(one.frames for one in cases),
        "counts": _added([one.counts for one in cases]),
        "machines": sorted({one.machine for one in cases}),
        "took_s": round(took_s, 3),
        "by_case": [json.loads(one.model_dump_json(exclude={"worst"})) for one in cases],
    }


def _added(parts: list[dict[str, int]]) -> dict[str, int]:
    return {key: sum(one.get(key, 0) for one in parts) for key in sorted({key for one in parts for key in one})}


def _write(
    folder: Path, report: dict[str, Any], look: Look, new: Tallies, verdict: Verdict, signer: Signer | None
) -> None:
    text = json.dumps(report, indent=1, ensure_ascii=False).encode() + b"\n"
    labels = {name: model.labels for name, model in look.subject.manifest.models.items()}
    files = {"report.json": text, "report.html": html(report, look.protocol, new, verdict, labels).encode()}
    if signer is not None and look.lock is not None:
        digest = hashlib.sha256(text).hexdigest()
        files["result.json"] = sealed(
            TEST_RESULT, {look.subject.name: look.subject.digest}, _predicate(look, verdict, digest), [signer]
        )
    for name, data in files.items():
        try:
            (folder / name).write_bytes(data)
        except OSError as error:
            raise ConfigError(folder / name, "--out", error.strerror or error, "a file that can be written") from None


def _predicate(look: Look, verdict: Verdict, report: str) -> dict[str, Any]:
    """In-toto's test result, with what it was configured by: lock, cases, report."""
    passed = [one.endpoint.name for one in verdict.judged if one.passed]
    failed = [one.endpoint.name for one in verdict.judged if not one.passed]
    named = {"lock": look.lock_digest, "cases": look.cases.digest, "report.json": report}
    if look.against is not None:
        named["against"] = look.against.digest
    return {
        "result": "PASSED" if verdict.passed else "FAILED",
        "configuration": [{"name": name, "digest": {"sha256": digest}} for name, digest in named.items()],
        "cases": look.case_count,
        "passedTests": passed,
        "warnedTests": [],
        "failedTests": failed,
    }


def show(out: Console, look: Look, verdict: Verdict) -> None:
    """The endpoints in a table, and the verdict."""
    said = "PASSED" if verdict.passed else "NOT PASSED"
    table = Table(title=f"{look.subject.name}: {said}" + (" (development cases)" if look.lock is None else ""))
    for column in ("endpoint", "what", "found", "bound", "must be", "p", ""):
        table.add_column(column, justify="left" if column in ("endpoint", "what", "") else "right")
    for one in verdict.judged:
        for h in one.hypotheses:
            sign, bound = (">", h.estimate.low) if h.side == "low" else ("<", h.estimate.high)
            mark = "shown" if h.shown else "NOT SHOWN"
            row = (f"{h.estimate.value:.4g}", f"{bound:.4g}", f"{sign} {h.bound:g}", f"{h.p:.4f}", mark)
            table.add_row(one.endpoint.name, h.kind, *row)
        if one.endpoint.worst is not None:
            found = one.worst
            name = "no subgroup has cases enough" if found is None else f"{found.attribute}: {found.value}"
            value = "-" if found is None else f"{found.estimate.value:.4g}"
            mark = "good" if one.is_worst_good else "NOT GOOD"
            table.add_row(one.endpoint.name, f"worst: {name}", value, "", f"{one.endpoint.worst:g}", "", mark)
    out.print(table)


def read_protocol(path: Path) -> Protocol:
    """Raises ConfigError."""
    return parse_yaml(read_bytes(path, "protocol"), path, Protocol, "protocol")


def lock_and_show(
    out: Console, protocol: Path, cases: Path, against: Path | None, trail: Path, key: Path, target: Path
) -> None:
    """Fix what is to be shown, before anybody looks. Raises ConfigError, BundleError, DeviceFault."""
    if target.exists():
        raise ConfigError(target, "--out", "a file that exists", "a name that is free")
    found, wanted = open_set(cases), read_protocol(protocol)
    from inframe.bundle import UNSIGNED

    old = subject_of(against, UNSIGNED).as_data if against is not None else None
    data = lock(wanted, found, old, Looks(trail, may_begin=True), [read_signer(key)])
    target.write_bytes(data)
    out.print(
        f"locked: {len(wanted.endpoints)} endpoints on {len(found.cases)} cases ({found.manifest.name}): {target}",
        markup=False,
        soft_wrap=True,
    )


def due(bundle: Path, policy: Policy, trail: Path) -> tuple[bool, str]:
    """Whether its schedule asks for a revalidation now, and the reason in words. Raises ConfigError, BundleError."""
    subject = subject_of(bundle, policy)
    schedule = subject.manifest.revalidation
    if schedule is None:
        raise ConfigError(bundle, "revalidation", "nothing", "a schedule in the bundle: every_days")
    done = [one for one in Looks(trail).all() if one.name == DONE and one.data.get("bundle") == subject.digest]
    if not done:
        return True, f"{subject.name}: due: never revalidated, every {schedule.every_days} days"
    then = done[-1].wall_ns + schedule.every_days * DAY_NS
    day = time.strftime("%Y-%m-%d", time.gmtime(then / NS_PER_S))
    if time.time_ns() >= then:
        return True, f"{subject.name}: due since {day}, every {schedule.every_days} days"
    return False, f"{subject.name}: not due before {day}"
