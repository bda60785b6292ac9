"""`inframe release …`: make the repository that devices read, for any web server, object store or USB stick."""

from pathlib import Path
from typing import Annotated

import typer

from inframe.core.errors import ConfigError
from inframe.terminal import JsonFile, out, write_file, write_json

release = typer.Typer(
    name="release",
    help="Publish releases of signed models in a folder of static files (TUF), stage them, stop them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

RepositoryFolder = Annotated[Path, typer.Argument(metavar="REPOSITORY", help="Its folder.", show_default=False)]
Keys = Annotated[Path, typer.Option("--keys", metavar="FOLDER", help="Private keys, ROLE-N.pem.", show_default=False)]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The release's name.", show_default=False)]


def _say(text: str) -> None:
    out.print(text, markup=False, soft_wrap=True)


@release.command()
def init(folder: RepositoryFolder, keys: Keys) -> None:
    """Make an empty repository and its keys. metadata/1.root.json goes onto the devices, the keys into safes."""
    import time

    from inframe.update.repository import THRESHOLDS, create

    create(folder, keys, int(time.time()))
    made = ", ".join(f"{count} {role}" for role, count in THRESHOLDS.items())
    _say(f"{folder}: an empty repository; devices begin with {folder / 'metadata' / '1.root.json'}")
    _say(f"{keys}: private keys: {made}; root, targets and downgrade belong off every network")


@release.command()
def add(
    folder: RepositoryFolder,
    name: Name,
    bundles: Annotated[list[Path], typer.Argument(metavar="BUNDLE", help="All that go in together.")],
    keys: Keys,
    percent: Annotated[int, typer.Option(min=0, max=100, help="Of all devices.")] = 0,
    devices: Annotated[list[str] | None, typer.Option("--device", metavar="ID", help="This one anyway.")] = None,
    app_from: Annotated[str | None, typer.Option(metavar="VERSION", help="The oldest inframe that can run it.")] = None,
    app_below: Annotated[str | None, typer.Option(metavar="VERSION", help="The first inframe that can't.")] = None,
    after: Annotated[list[str] | None, typer.Option(metavar="BUNDLE=COUNTER", help="Only after that one.")] = None,
) -> None:
    """Publish a release: one or more bundles, all or nothing, for some of the devices."""
    from inframe import releasing

    wishes = releasing.Wishes(percent, tuple(devices or ()), app_from, app_below, tuple(after or ()))
    made = releasing.add(releasing.repository(folder, keys), name, bundles, wishes)
    told = ", ".join(f"{key} {one.counter}" for key, one in made.bundles.items())
    _say(f"{made.name}: {told}: for {made.percent} % of the devices")


@release.command()
def rollout(
    folder: RepositoryFolder,
    name: Name,
    percent: Annotated[int, typer.Argument(min=0, max=100, help="Of all devices.", show_default=False)],
    keys: Keys,
) -> None:
    """Let a release go to more devices, or fewer; a device that is in at 10 % is in at 20 %."""
    from inframe import releasing

    made = releasing.change(releasing.repository(folder, keys), name, percent=percent)
    _say(f"{made.name}: for {made.percent} % of the devices")


@release.command()
def stop(
    folder: RepositoryFolder,
    keys: Keys,
    why: Annotated[str, typer.Option("--why", help="What devices record.")],
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="The release. Default: every one.")] = None,
) -> None:
    """The stop switch: no device begins it any more, and one that has not committed it rolls it back at its next visit."""
    from inframe import releasing

    where = releasing.repository(folder, keys)
    if name is None:
        releasing.stop_all(where, why)
    else:
        releasing.change(where, name, stopped=why)
    _say(f"{name or 'every release'}: stopped: {why}")


@release.command()
def resume(
    folder: RepositoryFolder,
    keys: Keys,
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="The release. Default: the switch for all.")
    ] = None,
) -> None:
    """Take a stop back."""
    from inframe import releasing

    where = releasing.repository(folder, keys)
    if name is None:
        releasing.stop_all(where, None)
    else:
        releasing.change(where, name, stopped=None)
    _say(f"{name or 'every release'}: goes on")


@release.command()
def renew(folder: RepositoryFolder, keys: Keys) -> None:
    """Sign snapshot and timestamp anew: at least once a week, or devices refuse what they find."""
    from inframe import releasing

    where = releasing.repository(folder, keys)
    where.renew()
    _say(f"{folder}: good until {where.newest('timestamp').signed.expires:%Y-%m-%d %H:%M} UTC")


@release.command()
def rotate(
    folder: RepositoryFolder,
    role: Annotated[str, typer.Argument(metavar="ROLE", help="root, targets, snapshot, timestamp or downgrade.")],
    keys: Keys,
) -> None:
    """Replace a role's keys, after a loss or a theft; the old ones sign nothing any more."""
    from inframe import releasing

    where = releasing.repository(folder, keys)
    where.rotate(role)
    _say(f"{folder}: root {where.newest('root').signed.version}, with new keys for {role}")


@release.command(name="list")
def list_command(folder: RepositoryFolder, keys: Keys, json_file: JsonFile = None) -> None:
    """List the releases, oldest first."""
    from inframe import releasing

    listed = releasing.repository(folder, keys).releases()
    if listed.stopped is not None:
        _say(f"every release: stopped: {listed.stopped}")
    for one in listed.releases:
        bundles = ", ".join(f"{key} {bundle.counter}" for key, bundle in one.bundles.items())
        said = f"stopped: {one.stopped}" if one.stopped is not None else f"{one.percent} %"
        _say(f"{one.name}: {bundles}: {said}")
    write_json(json_file, listed.model_dump())


@release.command()
def authorise(
    target: Annotated[Path, typer.Argument(metavar="FILE", help="The authorisation, for the devices' service.")],
    bundles: Annotated[list[Path], typer.Argument(metavar="BUNDLE", help="The bundles to go back to.")],
    keys: Keys,
    devices: Annotated[list[str], typer.Option("--device", metavar="ID", help="For this device (repeatable).")],
    floor: Annotated[
        list[str], typer.Option("--floor", metavar="BUNDLE=COUNTER", help="What the device committed (repeatable).")
    ],
    number: Annotated[str, typer.Option("--number", help="Of the decision, in your files.")],
    why: Annotated[str, typer.Option("--why", help="Goes into the devices' record.")],
    days: Annotated[int, typer.Option("--days", min=1, max=365, help="How long it may be used.")] = 14,
) -> None:
    """Authorise a downgrade: certain devices, certain bundles, at a certain floor. Signed by keys that do nothing else."""
    from inframe import releasing

    if not bundles:
        raise ConfigError("inframe release authorise", "BUNDLE", "none", "the bundles to go back to")
    fields = {"number": number, "reason": why, "devices": devices}
    write_file(target, "FILE", releasing.authorise(keys, fields, bundles, floor, days))
    _say(f"{target}: downgrade {number} for {', '.join(devices)}, for {days} days")
