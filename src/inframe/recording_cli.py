"""The commands `inframe replay` and `inframe record …`."""

from pathlib import Path
from typing import Annotated

import typer

from inframe.terminal import JsonFile, out, write_json

Recorded = Annotated[Path, typer.Argument(help="A part of a recording (.mcap, .mcap.sealed).", show_default=False)]
Key = Annotated[Path | None, typer.Option("--key", help="The device key, for a sealed recording.", show_default=False)]


def replay(
    recording: Recorded,
    device: Annotated[Path | None, typer.Option(help="Another device file.", show_default=False)] = None,
    model: Annotated[
        list[str] | None, typer.Option("--model", metavar="NAME=FILE", help="Another file for a model (repeatable).")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep what it made beside the recording, for the console to show.")
    ] = False,
    key: Key = None,
    json_file: JsonFile = None,
) -> None:
    """Run a recording through the loop once more and compare frame by frame. Exit code 1 where something differs."""
    from inframe.replaying import replay_and_show

    report = replay_and_show(out, recording, device, model or [], key, keep=keep)
    write_json(json_file, report)
    if not report["held"]:
        raise typer.Exit(1)


record = typer.Typer(name="record", help="Look after recordings.", no_args_is_help=True, rich_markup_mode=None)


@record.command()
def recover(
    recording: Recorded,
    out_file: Annotated[Path | None, typer.Option("--out", help="Default: beside it.", show_default=False)] = None,
    key: Key = None,
    json_file: JsonFile = None,
) -> None:
    """Make a whole file of one that was cut off or damaged; all but the last chunk is there. The damaged file stays."""
    from inframe.replaying import recover_and_show

    write_json(json_file, recover_and_show(out, recording, out_file, key))


@record.command(name="key")
def make_key(file: Annotated[Path, typer.Argument(help="A new file.", show_default=False)]) -> None:
    """Make a device key for sealed recordings (`recording.encrypt`)."""
    from inframe.replaying import key_and_show

    key_and_show(out, file)


@record.command()
def erase(recording: Recorded) -> None:
    """Destroy the key of a sealed procedure: none of its parts can be read any more, by anybody."""
    from inframe.replaying import erase_and_show

    erase_and_show(out, recording)
