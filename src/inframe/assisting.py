"""What `inframe assistant` does: a trail, a question or a command in, sentences out. Prints nothing."""

import hashlib
import http.client
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from inframe import audit, inquiry
from inframe.assistant import drafting, manual, package, timeline
from inframe.assistant.box import Box
from inframe.assistant.facts import NOTE_KINDS, Draft, NoteKind, Procedure, Sentence
from inframe.assistant.hospital import InTurn, Server
from inframe.assistant.llamacpp import library
from inframe.assistant.reading import read
from inframe.assistant.sinks import SINKS
from inframe.assistant.verify import check_draft
from inframe.bundle import Policy
from inframe.core.assist import REFERENCE, ServerConfig
from inframe.core.errors import ConfigError, DeviceFault, one_line
from inframe.core.yamlfile import parse_json
from inframe.drivers.screens.commands import Command
from inframe.machine.partition import cores_for
from inframe.machine.walls import Limits
from inframe.trail import find
from inframe.trail.records import EventKind

Format = Literal["text", "json", "html", "hl7", "markdown"]
HEAD = "DRAFT, not signed, made from the device's own record. Whoever signs it has checked it."
PAGE_S = 2.0
MAX_DRAFT = 4 << 20
LARGEST_ANSWER = 4096


@dataclass(frozen=True, slots=True)
class Answer:
    """What a question brought."""

    passages: tuple[manual.Passage, ...] = ()
    explanation: manual.Explanation | None = None
    sentences: tuple[Sentence, ...] | None = None
    """None: no question about the procedure, or there is no trail."""


def procedure_of(place: audit.Place, named: str | None) -> Procedure:
    """The procedure of that id, or how it begins; None: the newest. Its part of the trail is verified first: nobody's note rests on
    records that were changed. Raises ConfigError, TrailDamaged."""
    log = place.log()
    wanted = inquiry.procedure_id(log, named)
    span = find.procedure_range(log, wanted)
    audit.check(place, span, None, (), (), lambda _done, _total: None).raise_if_damaged()
    return read(log.entries(), wanted)


def draft(procedure: Procedure, kind: NoteKind, writer: drafting.Writer | None = None) -> Draft:
    """A verified draft."""
    return drafting.draft(procedure, kind, writer)


@contextmanager
def writers(model: str | None, policy: Path | None, server: str | None, named: str) -> Iterator[drafting.Writer | None]:
    """Who writes, by the options of a command: the server at that URL, then the model, then nobody, which leaves the template.
    Raises ConfigError, BundleError, DeviceFault."""
    with nullcontext() if model is None else writer_of(model, policy) as box:
        yield box if server is None else InTurn(Server(server_at(server, named)), box)


def server_at(url: str, named: str) -> ServerConfig:
    """The server of the options. Raises ConfigError."""
    raw = json.dumps({"url": url, "model": named})
    config = parse_json(raw, Path("inframe assistant"), ServerConfig, "--server")
    try:
        config.port  # noqa: B018  # a number that no port has
    except ValueError:
        raise ConfigError("inframe assistant", "--server", url, "http://HOST:PORT") from None
    return config


@contextmanager
def writer_of(model: str, policy: Path | None) -> Iterator[drafting.Writer]:
    """The model in its box: a packed file with signatures that the policy asks for, or the one that is shipped. Raises ConfigError,
    BundleError, DeviceFault."""
    if library() is None:
        raise ConfigError("inframe assistant note", "--model", "no llama.cpp", "the extra: inframe[assistant]")
    if model != REFERENCE and policy is None:
        raise ConfigError("inframe assistant note", "--policy", "none", "whose signatures a model must have")
    with (
        package.named(model, Policy.load(policy) if policy is not None else None) as found,
        Box(found.sealed.fd, Limits(cores=background()), context=found.about.context) as box,
    ):
        yield box


def background() -> frozenset[int]:
    """The cores that the frame path leaves alone."""
    return cores_for().background & os.sched_getaffinity(0)


def ask(question: str, procedure: Procedure | None) -> Answer:
    """The alert that is named, the procedure's events that are asked about, else the manual."""
    sentences = timeline.answer(procedure, question) if procedure is not None else None
    explanation = manual.explain(question)
    wanted = not sentences and explanation is None
    return Answer(manual.answer(question) if wanted else (), explanation, sentences)


def as_json(one: Draft) -> dict[str, Any]:
    """A draft for programs; what `sign` takes."""
    return {
        "draft": one.kind,
        "procedure": one.procedure,
        "origin": one.origin,
        "signed": None,
        "sentences": [{"text": sentence.text, "cites": list(sentence.cites)} for sentence in one.sentences],
        "fallbacks": list(one.fallbacks),
    }


def answer_json(one: Answer) -> dict[str, Any]:
    """An answer for programs."""
    told: dict[str, Any] = {"sentences": None, "alert": None}
    if one.sentences is not None:
        told["sentences"] = [{"text": sentence.text, "cites": list(sentence.cites)} for sentence in one.sentences]
    if one.explanation is not None:
        told["alert"] = {"page": one.explanation.page, **explained(one.explanation)}
    told["passages"] = [{"page": p.page, "line": p.line, "heading": p.heading, "text": p.text} for p in one.passages]
    return told


def explained(one: manual.Explanation) -> Mapping[str, str]:
    """The row of EVENTS, by what it says."""
    event = one.event
    return {
        "name": event.name,
        "reads": event.text,
        "raised": event.condition,
        "then": event.effect,
        "priority": event.priority.name.lower(),
        "risk control": event.risk_control,
    }


def written(one: Draft, form: Format) -> str:
    """The draft for where it goes, escaped for that."""
    lines = [sentence.line() for sentence in one.sentences] or ["Nothing is recorded of this procedure."]
    title = f"{'Operative note' if one.kind == 'note' else 'Handover'}, procedure {one.procedure}"
    match form:
        case "json":
            return json.dumps(as_json(one), indent=2) + "\n"
        case "html":
            items = "".join(f"<li>{SINKS['web'](line)}</li>\n" for line in lines)
            return f"<h1>{SINKS['web'](title)}</h1>\n<p><strong>{SINKS['web'](HEAD)}</strong></p>\n<ol>\n{items}</ol>\n"
        case "hl7":
            rows = [HEAD, title, *lines]
            return "".join(f"OBX|{i}|TX|||{SINKS['hl7'](row)}||||||P\r" for i, row in enumerate(rows, 1))
        case "markdown":
            items = "".join(f"* {SINKS['markdown'](line)}\n" for line in lines)
            return f"# {SINKS['markdown'](title)}\n\n**{SINKS['markdown'](HEAD)}**\n\n{items}"
        case "text":
            return "\n".join(SINKS["terminal"](line) for line in (HEAD, title, "", *lines)) + "\n"


# --- signing ---------------------------------------------------------------------------------------------------------


def sign(file: Path, place: audit.Place, who: str) -> tuple[dict[str, Any], str]:
    """Check a draft once more against the trail, and record who signed it. The signed draft, and what came of recording it.
    Raises ConfigError where one sentence of it does not hold."""
    raw = audit.read_file(file, "DRAFT")
    if not who.strip() or not who.isprintable() or len(who) > 100:
        raise ConfigError("inframe assistant sign", "--who", who, "a person's name on one line")
    procedure = procedure_of(place, _parsed(file, raw)[1])
    kind = hold(file, raw, procedure)
    digest = hashlib.sha256(raw).hexdigest()
    data = {"sha256": digest, "procedure": procedure.id, "draft": kind, "signed_by": who}
    noted = audit.record(place, EventKind.EXPORT, "NOTE_SIGNED", f"a draft {kind} was signed", data)
    return {**json.loads(raw), "signed": {"by": who, "sha256_of_draft": digest}}, noted


def hold(file: Path, raw: bytes, procedure: Procedure) -> NoteKind:
    """What kind of draft it is, if every sentence of it holds. Raises ConfigError with the first that does not."""
    kind, named, sentences = _parsed(file, raw)
    if named != procedure.id:
        raise ConfigError(file, "procedure", named, procedure.id)
    checked = check_draft(procedure, kind, [sentence.line() for sentence in sentences])
    if checked.refusals:
        first = checked.refusals[0]
        raise ConfigError(file, "sentences", first.line, f"only what the record says ({first.wrong})")
    return kind


def _parsed(file: Path, raw: bytes) -> tuple[NoteKind, str, list[Sentence]]:
    try:
        told: Any = json.loads(raw) if len(raw) <= MAX_DRAFT else None
        kind, named = told["draft"], told["procedure"]
        sentences = [Sentence(str(one["text"]), tuple(map(str, one["cites"]))) for one in told["sentences"]]
        if kind not in NOTE_KINDS or not isinstance(named, str) or told["signed"] is not None:
            raise ValueError("kind")  # noqa: TRY301  # one place says what was expected
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ConfigError(file, "DRAFT", raw[:40], "an unsigned draft, as `inframe assistant note` writes it") from None
    return kind, named, sentences


# --- a confirmed command ---------------------------------------------------------------------------------------------


def give(command: Command, port: int) -> None:
    """Hand a confirmed command to the console of the device that runs on this machine, as a click there would, with what the page
    itself sends. Raises DeviceFault, also where somebody must log in first."""
    origin = f"127.0.0.1:{port}"
    page = http.client.HTTPConnection("127.0.0.1", port, timeout=PAGE_S)
    try:
        page.request("GET", "/api/session", headers={"Host": origin})
        secret = json.loads(page.getresponse().read()).get("csrf") or ""
        headers = {"Origin": f"http://{origin}", "Host": origin, "Content-Type": "application/json", "X-CSRF": secret}
        body = json.dumps({"wish": command.wish.value, "value": command.value})
        page.request("POST", "/api/control", body, headers)
        answer = page.getresponse()
        status, why = answer.status, answer.read(LARGEST_ANSWER)
    except (OSError, ValueError, AttributeError, http.client.HTTPException) as error:
        raise DeviceFault(f"{origin}: no page of a running device answers there: {error}") from None
    finally:
        page.close()
    if status == 401:
        raise DeviceFault(f"{origin}: the page wants somebody who has logged in: give the command there")
    if status >= 300:
        raise DeviceFault(f"{origin}: the page answers {status}: {one_line(why)}")
