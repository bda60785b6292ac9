"""`inframe update …`: what a device runs, and how it comes to run something newer."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inframe.terminal import JsonFile, out, write_json

if TYPE_CHECKING:
    from inframe.update.states import Release

update = typer.Typer(
    name="update",
    help="Bring a release of signed models onto this device, step by step, and back.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

DeviceFile = Annotated[Path, typer.Argument(help="The device file (YAML).", show_default=False)]
Authorisation = Annotated[
    Path | None,
    typer.Option("--authorisation", metavar="FILE", help="Of a downgrade, as `inframe release authorise` makes it."),
]


def _say(text: str, style: str | None = None) -> None:
    out.print(text, markup=False, soft_wrap=True, style=style)


def _line(release: "Release | None") -> str:
    if release is None:
        return "-"
    return f"{release.name}: " + ", ".join(f"{b.name} {b.counter} ({b.digest[:12]}…)" for b in release.bundles)


@update.command()
def status(device: DeviceFile, json_file: JsonFile = None) -> None:
    """Say what is in which slot, how far the newest update is, and the rollback floor."""
    from inframe import updatable, updating

    target = updatable.updatable(device)
    found = updatable.status_of(target)
    told = updating.report(target, found)
    _say(f"{told['device']}: {found.state}" + (f": {found.reason}" if found.reason else ""))
    for slot, release in found.slots.items():
        _say(f"  {slot:<9} {_line(release)}")
    for check in told["checkpoints"]:
        mark = "passed" if check["passed"] else "FAILED"
        _say(f"  {mark} {check['checkpoint']}: {check['reason']}")
    if told["compared"]:
        _say(f"  shadow    {told['compared']}")
    if told["trial"]["deferred_until"]:
        _say(f"  put off   until {told['trial']['deferred_until']}")
    if told["trial"]["since"]:
        _say(f"  trial     since {told['trial']['since']}, {told['trial']['procedures']} procedures")
    floor = ", ".join(f"{name} {counter}" for name, counter in told["floor"].items())
    _say(f"  floor     {floor or '-'}")
    if found.outbox:
        _say(f"  {len(found.outbox)} events wait for the trail", "yellow")
    write_json(json_file, told)


@update.command()
def fetch(
    device: DeviceFile,
    again: Annotated[bool, typer.Option("--again", help="Also a release that was rolled back here.")] = False,
    authorisation: Authorisation = None,
    json_file: JsonFile = None,
) -> None:
    """Ask the repository, and fetch the newest release for this device; what is active goes on."""
    from inframe import updatable, updating

    visit = updating.fetch(updatable.updatable(device), authorisation, again=again)
    for name, why in visit.reasons.items():
        _say(f"not {name}: {why}")
    _say(f"fetched {_line(visit.taken)}" if visit.taken is not None else "nothing newer for this device")
    told = {"fetched": visit.taken.name if visit.taken else None, "not": visit.reasons, "tries": visit.tries}
    write_json(json_file, told)


@update.command()
def install(
    device: DeviceFile,
    bundles: Annotated[
        list[Path] | None, typer.Argument(metavar="BUNDLE", help="Files in the hand, in place of what was fetched.")
    ] = None,
    authorisation: Authorisation = None,
    json_file: JsonFile = None,
) -> None:
    """Verify, install and check what was fetched. Exit code 1 if it did not pass a checkpoint."""
    from inframe import updatable, updating

    release, done = updating.install(updatable.updatable(device), bundles or [], authorisation)
    for one in done:
        mark = "passed" if one.outcome.passed else "FAILED"
        _say(f"{mark} {one.checkpoint}: {one.outcome.reason}", None if one.outcome.passed else "bold red")
    passed = all(one.outcome.passed for one in done)
    _say(f"{'installed and checked' if passed else 'rolled back'}: {_line(release)}")
    checks = [{"checkpoint": o.checkpoint, "passed": o.outcome.passed, "reason": o.outcome.reason} for o in done]
    write_json(json_file, {"release": release.name, "passed": passed, "checkpoints": checks})
    if not passed:
        raise typer.Exit(1)


@update.command()
def trial(device: DeviceFile) -> None:
    """Show the checked release from the next start on, until it is confirmed or gone. Not while a procedure runs."""
    from inframe import updatable, updating

    _say(f"on trial: {_line(updating.begin_trial(updatable.updatable(device)))}")


@update.command()
def defer(
    device: DeviceFile,
    hours: Annotated[float, typer.Option("--hours", help="So long from now; 0: not any more.")],
    why: Annotated[str, typer.Option("--why", help="Goes into the record.")],
) -> None:
    """Put the trial of the release on its way off; it goes on being compared meanwhile."""
    from inframe import updatable, updating

    target = updatable.updatable(device)
    updating.defer(target, hours, why)
    until = updating.report(target, updatable.status_of(target))["trial"]["deferred_until"]
    _say(f"put off until {until}" if until else "put off no more")


@update.command()
def commit(
    device: DeviceFile,
    why: Annotated[str, typer.Option("--why", help="Who confirms it, on what grounds: goes into the record.")],
) -> None:
    """Confirm the trial: it is the active release from here on, and nothing older ever comes back without authorisation."""
    from inframe import updatable, updating

    _say(f"active: {_line(updating.commit(updatable.updatable(device), why))}")


@update.command()
def rollback(
    device: DeviceFile,
    why: Annotated[str, typer.Option("--why", help="Goes into the record.")],
    authorisation: Authorisation = None,
) -> None:
    """Give up what is on its way; where nothing is, bring the previous release back, which needs an authorisation."""
    from inframe import updatable, updating

    found = updating.roll_back(updatable.updatable(device), why, authorisation)
    _say(f"rolled back: {found.reason}")
    _say(f"active: {_line(found.active)}")


@update.command()
def history(device: DeviceFile, json_file: JsonFile = None) -> None:
    """List the newest moves, oldest first; the trail has them all."""
    from inframe import updatable, updating
    from inframe.update.wallclock import text

    found = updatable.status_of(updatable.updatable(device))
    for one in found.history:
        _say(f"{text(one.wall_ns // updating.NS_PER_S)} {one.name:<19} {one.text}")
    write_json(
        json_file,
        [
            {"at": text(o.wall_ns // updating.NS_PER_S), "event": o.name, "text": o.text, "data": dict(o.data)}
            for o in found.history
        ],
    )
