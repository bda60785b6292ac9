"""`inframe monitor`: what the monitor of a device has kept."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inframe.core.errors import ConfigError
from inframe.terminal import JsonFile, out, write_file, write_json

if TYPE_CHECKING:
    from inframe.monitor.signals import Kind

monitor = typer.Typer(
    name="monitor",
    help="Statistics of what a device sees and says: drift, exports, references.",
    no_args_is_help=True,
)

DeviceFile = Annotated[Path, typer.Argument(help="The device file (YAML).", show_default=False)]
Out = Annotated[Path, typer.Option("--out", help="The file to write.", show_default=False)]


@monitor.command()
def status(device: DeviceFile, json_file: JsonFile = None) -> None:
    """Say what was counted, how far each signal is from the reference, and what drifted. Also while the device runs."""
    from inframe.monitored import show_status, status_of

    report = status_of(device)
    show_status(out, report)
    write_json(json_file, report)


@monitor.command()
def export(device: DeviceFile, file: Out, json_file: JsonFile = None) -> None:
    """Write what may leave the device: histograms of enough procedures, no picture, nothing of a patient."""
    from inframe.monitored import export_of

    data, content, held = export_of(device)
    write_file(file, "--out", data)
    counts = [one["procedures"] for one in content["strata"]]
    out.print(f"{file}: {sum(counts)} procedures in {len(counts)} strata; {held} held back", markup=False)
    write_json(json_file, {"procedures": counts, "held_back": held})


@monitor.command()
def merge(
    exports: Annotated[list[Path], typer.Argument(help="Exports, or merged ones.", show_default=False)],
    file: Out,
    json_file: JsonFile = None,
) -> None:
    """Add exports of devices and sites: the same bytes in any order and any grouping. No device may be in it twice."""
    from inframe.monitored import merge_of

    data, content = merge_of(exports)
    write_file(file, "--out", data)
    counts = [one["procedures"] for one in content["strata"]]
    out.print(f"{file}: {sum(counts)} procedures in {len(counts)} strata", markup=False)
    write_json(json_file, {"procedures": counts})


@monitor.command()
def lock(
    device: DeviceFile,
    file: Out,
    degraded: Annotated[
        list[str] | None,
        typer.Option(
            "--degraded",
            metavar="NAME=DEVICE",
            help="Also a device whose procedures were run degraded in a known way (repeatable).",
        ),
    ] = None,
    cases: Annotated[
        list[str] | None,
        typer.Option(
            "--cases",
            metavar="NAME=DEVICE",
            help="Also a device whose procedures are another case mix that is to be expected (repeatable).",
        ),
    ] = None,
    watch: Annotated[
        list[str] | None,
        typer.Option(
            "--watch", metavar="SIGNAL", help="A signal of which more or less is to be told soon (repeatable)."
        ),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Make the reference of a bundle from this device's procedures: its recipe names the file, and signing locks it."""
    from inframe.monitor.reference import encoded
    from inframe.monitor.signals import Kind
    from inframe.monitored import reference_of

    found = [*_pairs("--degraded", degraded, Kind.INSTRUMENT), *_pairs("--cases", cases, Kind.CASE)]
    reference = reference_of(device, found, watch or [])
    write_file(file, "--out", encoded(reference))
    out.print(
        f"{file}: {len(reference.signals)} signals of {reference.procedures} procedures, "
        f"{len(reference.signatures)} signatures",
        markup=False,
    )
    write_json(json_file, {"signals": [one.name for one in reference.signals], "procedures": reference.procedures})


def _pairs(option: str, said: list[str] | None, kind: "Kind") -> "list[tuple[str, Kind, Path]]":
    pairs = [one.partition("=") for one in said or []]
    for name, _, path in pairs:
        if not (name and path):
            raise ConfigError("inframe monitor lock", option, name, "NAME=DEVICE")
    return [(name, kind, Path(path)) for name, _, path in pairs]
