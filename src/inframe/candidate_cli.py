"""`inframe candidate`: orders to a running device about the model that runs beside the one shown."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from inframe.core.errors import ConfigError
from inframe.core.health import CandidateConfig, Phase
from inframe.core.yamlfile import read_device
from inframe.terminal import JsonFile, out, write_json

candidate = typer.Typer(
    name="candidate",
    help="Change a model of a running device without stopping: shadow, trial, keep or back.",
    no_args_is_help=True,
)

DeviceFile = Annotated[Path, typer.Argument(help="The device file of the running device (YAML).", show_default=False)]


@candidate.command()
def status(device: DeviceFile, json_file: JsonFile = None) -> None:
    """Say how the candidate of a running device does: its phase, and what was measured of it."""
    _order(device, {"order": "health"}, json_file)


@candidate.command()
def propose(
    device: DeviceFile,
    models: Annotated[
        Path, typer.Argument(help="A device file whose changed models are the candidate.", show_default=False)
    ],
    json_file: JsonFile = None,
) -> None:
    """Start the models that another device file has instead, in shadow: on live frames, measured, never shown."""
    from inframe.fitting import beside, fit
    from inframe.resolve import resolve

    running, other = resolve(read_device(device), device), resolve(read_device(models), models)
    changed = {
        name: model
        for name, model in other.models.items()
        if (model, other.bundles.get(name)) != (running.models.get(name), running.bundles.get(name))
    }
    if not changed:
        raise ConfigError(models, "models", f"the same as in {device}", "a model that differs")
    fit(running, changed)
    bundles = {name: other.bundles[name] for name in changed if name in other.bundles}
    beside(running, changed, bundles)
    values = {name: model.model_dump(mode="json") for name, model in changed.items() if name not in bundles}
    signed = {name: bundle.model_dump(mode="json") for name, bundle in bundles.items()}
    _order(device, {"order": "propose", "models": values, "bundles": signed}, json_file)


@candidate.command()
def switch(device: DeviceFile, json_file: JsonFile = None) -> None:
    """Show the candidate from the next frame on, on trial: the model before it goes on running, unseen."""
    _order(device, {"order": "switch"}, json_file)


@candidate.command()
def back(device: DeviceFile, json_file: JsonFile = None) -> None:
    """End the candidate; on trial the model before it is shown again from the next frame on."""
    _order(device, {"order": "back"}, json_file)


@candidate.command()
def keep(device: DeviceFile, json_file: JsonFile = None) -> None:
    """End the trial: the candidate stays, the model before it ends."""
    _order(device, {"order": "keep"}, json_file)


def _order(path: Path, order: dict[str, Any], json_file: Path | None) -> None:
    from inframe.orders import ask

    config: CandidateConfig | None = read_device(path).candidate
    if config is None:
        raise ConfigError(path, "candidate", "nothing", "`candidate:` in the running device's file")
    answer = ask(path.parent / config.control, order)
    out.print(health_table(answer))
    write_json(json_file, answer)


def health_table(answer: dict[str, Any]) -> Table:
    """The answer of a device as a table."""
    health, last = answer["health"], answer["last"]
    phase = Phase(health["phase"])
    table = Table(title=f"candidate: {phase.name}", show_header=False)
    table.add_column("what")
    table.add_column("value", justify="right")
    measured = health["measured"]
    if phase is not Phase.NONE:
        table.add_row("models", ", ".join(health["models"]))
        table.add_row(
            "runs / over budget / invalid", f"{health['runs']} / {health['over_budget']} / {health['invalid']}"
        )
        table.add_row("crashes", str(health["crashes"]))
        table.add_row("frames on trial / without a result in time", f"{health['shown']} / {health['missed']}")
        table.add_row("compared / lost", f"{measured['compared']} / {measured['lost']}")
        table.add_row("disagreement, recent / all", f"{measured['recent']:.4f} / {measured['disagreement']:.4f}")
        table.add_row(
            "share with a finding / before", f"{measured['findings']:.3f} / {measured['findings_before']:.3f}"
        )
        times = (measured["p50_ms"], measured["p99_ms"], measured["max_ms"])
        table.add_row("a run, median / p99 / max", " / ".join(f"{ms:.1f} ms" for ms in times))
    if last["why"]:
        table.add_row("the last one ended", last["why"])
    return table
