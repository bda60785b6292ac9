"""`inframe doctor`: what this machine can guarantee to a real-time picture, and what it can't."""

from collections.abc import Callable
from dataclasses import asdict
from importlib import metadata, util
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from inframe.assistant import trial
from inframe.machine import probe
from inframe.machine.readings import Row

STYLES = {"OK": "green", "WARN": "yellow", "FAIL": "bold red", "SKIP": "dim"}


def examine(folder: Path) -> list[dict[str, Any]]:
    """All rows as plain values: name, status (OK, WARN, FAIL, SKIP), found, advice."""
    return [asdict(row) for row in (*probe.rows(folder), *engines(), *trial.rows(), window())]


def engines() -> list[Row]:
    """The installed inference engines and what they can run on."""
    asked: dict[str, tuple[str, Callable[[], list[str]]]] = {
        "onnxruntime": ("comes with inframe", _providers),
        "openvino": ("pip install inframe[openvino]", _devices),
    }
    return [_engine(name, advice, ask) for name, (advice, ask) in asked.items()]


def _engine(name: str, advice: str, ask: Callable[[], list[str]]) -> Row:
    if util.find_spec(name) is None:
        return Row(f"engine {name}", "SKIP" if name != "onnxruntime" else "FAIL", "not installed", advice)
    try:
        found = ask()
    except Exception as error:  # noqa: BLE001  # a vendor's import can fail in any way; that is what is asked here
        return Row(f"engine {name}", "FAIL", f"{type(error).__name__}: {error}", "reinstall it")
    return Row(f"engine {name}", "OK", f"{metadata.version(name)}: {', '.join(found)}", "")


def _providers() -> list[str]:
    import onnxruntime

    return list(onnxruntime.get_available_providers())


def _devices() -> list[str]:
    import openvino

    return list(openvino.Core().available_devices)


def window() -> Row:
    """Whether a screen of kind window is possible."""
    if util.find_spec("sdl2") is None:
        return Row("desktop window", "SKIP", "not installed", "pip install inframe[window]")
    return Row("desktop window", "OK", "SDL2", "")


def show(out: Console, rows: list[dict[str, Any]]) -> None:
    """The rows as a table."""
    table = Table(title="inframe doctor")
    for column in ("", "what", "found", "advice"):
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(
            f"[{STYLES[row['status']]}]{row['status']}[/]", *(_plain(row[key]) for key in ("name", "found", "advice"))
        )
    out.print(table)
    counts = {status: sum(row["status"] == status for row in rows) for status in STYLES}
    out.print(", ".join(f"{number} {status}" for status, number in counts.items()))


def _plain(text: str) -> str:
    return text.replace("[", r"\[")
