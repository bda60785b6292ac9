"""`inframe assistant …`: drafts, answers and commands. What they need is imported by the command that needs it."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from inframe.core.errors import ConfigError
from inframe.terminal import JsonFile, out, write_file, write_json

if TYPE_CHECKING:
    from inframe.assisting import Answer

assistant = typer.Typer(
    name="assistant",
    help="Draft a note of a procedure, answer from its record and the manual, understand a command.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

TrailPath = Annotated[
    Path, typer.Argument(metavar="TRAIL", help="A trail's folder, or the device file.", show_default=True)
]
TrailOption = Annotated[
    Path, typer.Option("--trail", metavar="TRAIL", help="A trail's folder, or the device file.", show_default=True)
]
ProcedureId = Annotated[
    str | None,
    typer.Option(
        "--procedure", metavar="ID", help="Its id, or how it begins; default: the newest.", show_default=False
    ),
]
KeyText = Annotated[
    str | None,
    typer.Option("--key", metavar="KEY", help="The device's public key, or a file with it.", show_default=False),
]
ModelName = Annotated[
    str | None,
    typer.Option(
        "--model", metavar="FILE", help="Written by this packed model, or `reference`. Default: the template."
    ),
]
PolicyFile = Annotated[
    Path | None, typer.Option("--policy", help="Whose signatures the packed model must have (YAML).")
]
ServerUrl = Annotated[
    str | None,
    typer.Option("--server", metavar="URL", help="Asked first: a server in the hospital (vLLM, llama-server)."),
]
ServerModel = Annotated[
    str, typer.Option("--server-model", metavar="NAME", help="The name that it knows the model by.")
]
DEFAULT = Path("out") / "trail"


def _say(text: str) -> None:
    from inframe.assistant.sinks import terminal

    out.print(terminal(text), markup=False, soft_wrap=True)


@assistant.command()
def note(
    path: TrailPath = DEFAULT,
    handover: Annotated[bool, typer.Option("--handover", help="What the next person must know, not all.")] = False,
    form: Annotated[
        Literal["text", "json", "html", "hl7", "markdown"], typer.Option("--format", help="Escaped for where it goes.")
    ] = "text",
    out_file: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Default: the terminal.")] = None,
    procedure: ProcedureId = None,
    key: KeyText = None,
    model: ModelName = None,
    policy: PolicyFile = None,
    server: ServerUrl = None,
    server_model: ServerModel = "default",
    json_file: JsonFile = None,
) -> None:
    """Draft the operative note of a procedure, or its handover, from its record: every sentence cites the events that it says."""
    from inframe import assisting, audit

    facts = assisting.procedure_of(audit.find_log(path, key), procedure)
    kind: Literal["note", "handover"] = "handover" if handover else "note"
    with assisting.writers(model, policy, server, server_model) as writer:
        made = assisting.draft(facts, kind, writer)
    for why in dict.fromkeys(made.fallbacks):
        sys.stderr.write(f"inframe: the template wrote {made.fallbacks.count(why)} parts: {why}\n")
    text = assisting.written(made, form)
    if out_file is not None:
        write_file(out_file, "--out", text.encode())
    else:
        sys.stdout.write(text)
    write_json(json_file, assisting.as_json(made))


@assistant.command()
def ask(
    question: Annotated[str, typer.Argument(help="In English.", show_default=False)],
    path: TrailOption = DEFAULT,
    procedure: ProcedureId = None,
    key: KeyText = None,
    json_file: JsonFile = None,
) -> None:
    """Answer from the record of the procedure or from the manual, in their words, with event or page. Exit code 1: no answer."""
    from inframe import assisting, audit

    there = path.exists()
    facts = assisting.procedure_of(audit.find_log(path, key), procedure) if there else None
    found = assisting.ask(question, facts)
    is_answered = _show(found)
    write_json(json_file, assisting.answer_json(found))
    if not is_answered:
        _say("neither the manual nor the record of the procedure says anything about it")
        raise typer.Exit(1)


def _show(found: "Answer") -> bool:
    from inframe import assisting

    if found.explanation is not None:
        for what, text in assisting.explained(found.explanation).items():
            _say(f"{what:<13}{text}")
        _say(f"{'page':<13}{found.explanation.page}")
    for sentence in found.sentences or ():
        _say(sentence.line())
    for passage in found.passages:
        _say(f"{passage.page}, line {passage.line}, {passage.heading}:")
        _say(f"  {passage.text}")
    return bool(found.explanation or found.sentences or found.passages)


@assistant.command()
def command(
    text: Annotated[str, typer.Argument(help="As typed or transcribed, e.g. 'overlay off'.", show_default=False)],
    confirm: Annotated[
        str | None, typer.Option("--confirm", metavar="CODE", help="That this is meant: the code that was shown.")
    ] = None,
    page: Annotated[
        int | None, typer.Option("--page", min=1, max=65535, metavar="PORT", help="Of the running device's page.")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Understand a command to the display, and carry it out once it is confirmed. Nothing else of a device can be commanded."""
    from inframe import assisting
    from inframe.assistant import intent

    meant = intent.understand(text)
    told = {"wish": meant.wish.value, "value": meant.value, "said": meant.said, "confirmed": confirm is not None}
    if confirm is None:
        _say(f"{meant.said}? Confirm with --confirm {meant.code}")
    else:
        order = intent.confirmed(meant, confirm)
        if page is None:
            raise ConfigError("inframe assistant command", "--page", "none", "the port of the running device's page")
        assisting.give(order, page)
        _say(f"done: {meant.said}")
    write_json(json_file, told)


@assistant.command()
def serve(
    path: TrailPath = DEFAULT,
    at: Annotated[Path, typer.Option("--socket", metavar="FILE", help="Where it listens.")] = Path("out") / "assistant",
    key: KeyText = None,
    model: ModelName = None,
    policy: PolicyFile = None,
    server: ServerUrl = None,
    server_model: ServerModel = "default",
) -> None:
    """Serve drafts and answers to this device's own software: OpenAI's API on a Unix socket, until it is interrupted."""
    from inframe import assisting, serving

    with assisting.writers(model, policy, server, server_model) as writer:
        serving.serve_trail(path, key, at, writer, lambda: _say(f"{at}: open to this user alone"))


@assistant.command()
def pack(
    gguf: Annotated[Path, typer.Argument(metavar="GGUF", help="A language model.", show_default=False)],
    out_file: Annotated[Path, typer.Option("--out", metavar="FILE", help="The packed model.")],
    sign_key: Annotated[Path, typer.Option("--sign", metavar="KEY", help="A private key (`inframe bundle key`).")],
    name: Annotated[str, typer.Option("--name", help="a-z, 0-9 and _.")] = "assistant",
    version: Annotated[str, typer.Option("--version", help="Of the model.")] = "1",
    context: Annotated[int, typer.Option("--context", min=64, max=1 << 17, help="Tokens that it may hold.")] = 1024,
) -> None:
    """Pack a GGUF model and sign it: no box opens one that was not verified."""
    from inframe.assistant import package
    from inframe.bundle.keys import read_signer
    from inframe.bundle.making import put

    about = package.about_of(name, version, context)
    put(out_file, [*package.pack(about, gguf, read_signer(sign_key, None))], replacing=False)
    _say(f"{out_file}: {about.name} {about.version}, signed")


@assistant.command()
def sign(
    draft: Annotated[Path, typer.Argument(help="A draft as JSON (`note --format json`).", show_default=False)],
    who: Annotated[str, typer.Option("--who", metavar="NAME", help="The clinician who signs.")],
    path: TrailOption = DEFAULT,
    out_file: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="The signed draft.")] = None,
    key: KeyText = None,
) -> None:
    """Check a draft against the record once more, and record in the trail who signed it."""
    from inframe import assisting, audit

    signed, noted = assisting.sign(draft, audit.find_log(path, key), who)
    write_json(out_file, signed)
    _say(f"{draft}: signed by {who}; {noted}")
