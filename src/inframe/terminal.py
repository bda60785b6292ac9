"""What every command shares: where it prints, and its report as JSON."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from inframe.core.errors import ConfigError

out = Console(highlight=False)


def _writable(path: Path | None) -> Path | None:
    """Tried before the work is done, which may have taken minutes; what is there is kept until then."""
    if path is not None:
        try:
            path.open("ab").close()
        except OSError as error:
            raise ConfigError(path, "--json", error.strerror or error, "a file that can be written") from None
    return path


JsonFile = Annotated[
    Path | None,
    typer.Option(
        "--json", metavar="FILE", callback=_writable, help="Also write the report as JSON.", show_default=False
    ),
]


def write_json(path: Path | None, report: Any) -> None:
    """Write the report, if it was asked for."""
    if path is not None:
        write_file(path, "--json", (json.dumps(report, indent=2, ensure_ascii=False) + "\n").encode())


def write_file(path: Path, option: str, data: bytes) -> None:
    """Write what an option asked for. Raises ConfigError."""
    try:
        path.write_bytes(data)
    except OSError as error:
        raise ConfigError(path, option, error.strerror or error, "a file that can be written") from None
