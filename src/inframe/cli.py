"""The command line. Each command is a few lines around one function; what goes wrong ends here as one line and an exit code."""

import json
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from inframe import __version__
from inframe.assistant_cli import assistant
from inframe.bundle_cli import bundle
from inframe.candidate_cli import candidate
from inframe.console_cli import console
from inframe.core.errors import AlreadyTold, ConfigError, InframeError, one_line
from inframe.monitor_cli import monitor
from inframe.pccp_cli import pccp
from inframe.recording_cli import record, replay
from inframe.release_cli import release
from inframe.revalidate_cli import cases, revalidate
from inframe.terminal import JsonFile, out, write_json
from inframe.trail_cli import trail
from inframe.update_cli import update

app = typer.Typer(
    name="inframe",
    help="AI inference on medical devices, within the current video frame. Not a cleared medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

DeviceFile = Annotated[Path, typer.Argument(help="The device file (YAML).", show_default=False)]
Seconds = Annotated[float | None, typer.Option("--seconds", min=0.1, help="Stop after so long.", show_default=False)]


@app.command()
def demo(seconds: Seconds = None, json_file: JsonFile = None) -> None:
    """Run the reference device on the shipped procedure: picture, findings, and how every frame fared."""
    from inframe.demo import demo as run_demo

    write_json(json_file, run_demo(out, seconds))


@app.command()
def run(device: DeviceFile, seconds: Seconds = None, json_file: JsonFile = None) -> None:
    """Run a device until its recording ends or Ctrl-C; ends with a table of how every frame fared."""
    from inframe.demo import run_and_show

    write_json(json_file, run_and_show(out, device, seconds))


@app.command()
def check(
    device: Annotated[Path | None, typer.Argument(help="The device file (YAML).", show_default=False)] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of device files and end.")] = False,
    json_file: JsonFile = None,
) -> None:
    """Check a device file and everything that it names: cameras' files, models, labels, rules. Runs each model once."""
    from inframe.checking import check_device, device_schema

    if schema:
        sys.stdout.write(json.dumps(device_schema(), indent=2) + "\n")
        return
    if device is None:
        raise ConfigError("inframe check", "DEVICE", "nothing", "a device file, or --schema")
    report = check_device(device)
    for line in report["checked"]:
        out.print(f"OK    {line}", markup=False, soft_wrap=True)
    write_json(json_file, report)


@app.command()
def doctor(
    folder: Annotated[Path, typer.Option(help="Where records would be written.")] = Path(),
    json_file: JsonFile = None,
) -> None:
    """Say what this machine can guarantee to a real-time picture, and what it can't. Exit code 1 on a FAIL."""
    from inframe.doctor import examine, show

    rows = examine(folder)
    show(out, rows)
    write_json(json_file, {"rows": rows})
    if any(row["status"] == "FAIL" for row in rows):
        raise typer.Exit(1)


@app.command()
def inspect(
    model: Annotated[Path, typer.Argument(help="An ONNX file.", show_default=False)],
    starter: Annotated[Path | None, typer.Option(help="Write a starter device file here.", show_default=False)] = None,
    json_file: JsonFile = None,
) -> None:
    """Say what a model is, what each engine thinks of it, and write a device file that runs it."""
    from inframe.checking import inspect_model

    write_json(json_file, inspect_model(out, model, starter))


@app.command()
def calibrate(
    photos: Annotated[list[Path] | None, typer.Argument(help="Photos of the board.", show_default=False)] = None,
    columns: Annotated[int, typer.Option(min=3, max=40, help="Squares across.")] = 8,
    rows: Annotated[int, typer.Option(min=3, max=40, help="Squares down.")] = 6,
    square_mm: Annotated[float, typer.Option(help="The side of a square, as printed.")] = 10.0,
    marker_mm: Annotated[float, typer.Option(help="The side of a marker.")] = 7.0,
    board: Annotated[Path | None, typer.Option(help="Write the board's picture here.", show_default=False)] = None,
    json_file: JsonFile = None,
) -> None:
    """Calibrate a camera from photos of a ChArUco board: a part for the device file, with its reprojection error."""
    from inframe.calibration import BoardSize, calibrate_and_show

    size = BoardSize(columns, rows, square_mm, marker_mm)
    write_json(json_file, calibrate_and_show(out, photos or [], size, board))


@app.command()
def register(
    points: Annotated[Path, typer.Argument(help="Places of the tip: x_mm,y_mm,z_mm,u_px,v_px a line.")],
    device: Annotated[Path, typer.Option(help="The device file, which has the tool's camera.")],
    tool: Annotated[str, typer.Option(help="The tool's name in it.")],
    json_file: JsonFile = None,
) -> None:
    """Find where a robot's or tracker's axes are in the camera's: a part for the device file, with its error on points left out."""
    from inframe.registration import register_and_show

    write_json(json_file, register_and_show(out, points, device, tool))


@app.command()
def bench(
    seconds: Annotated[float, typer.Option(min=30, help="How long to measure, all phases together.")] = 240,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="PHASE", help="Only this phase (repeatable).")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Measure the frame path: plain loop, idle, recorded, under load, and that without partitioning, interleaved in one run."""
    from inframe.bench import report

    write_json(json_file, report.measure_and_show(out, seconds, only))


@app.command()
def chaos(
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="FAULT", help="Only this fault (repeatable).")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Break a running device on purpose, one fault at a time, and report how the picture fared. Exit code 1 if it did not hold."""
    from inframe.chaos import campaign

    report = campaign.break_and_show(out, only)
    write_json(json_file, report)
    if not report["held"]:
        raise typer.Exit(1)


app.command()(replay)
app.command()(revalidate)
app.add_typer(cases)
app.add_typer(pccp)
app.add_typer(candidate)
app.add_typer(monitor)
app.add_typer(record)
app.add_typer(console)
app.add_typer(trail)
app.add_typer(bundle)
app.add_typer(update)
app.add_typer(release)
app.add_typer(assistant)


def _version(value: bool) -> None:
    if value:
        out.print(f"inframe {__version__}")
        raise typer.Exit


@app.callback()
def _root(version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False) -> None:
    """The options of the program itself."""


def main() -> NoReturn:
    """The entry point of `inframe`."""
    try:
        app()
    except AlreadyTold as error:
        sys.exit(error.exit_code)
    except InframeError as error:
        sys.stderr.write(f"inframe: {error}\n")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:  # the machine refused something nobody foresaw; one line is what the person can use
        sys.stderr.write(f"inframe: {one_line(error)}\n")
        sys.exit(3)
    sys.exit(0)
