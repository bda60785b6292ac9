"""`inframe revalidate` and `inframe cases …`: a bundle on labelled procedures, against criteria that were locked before."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inframe.core.errors import ConfigError
from inframe.terminal import JsonFile, out, write_json

if TYPE_CHECKING:
    from inframe.bundle import Policy

cases = typer.Typer(
    name="cases",
    help="Labelled, recorded procedures for revalidation: fix them by digest, check them, lock criteria on them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

CaseFolder = Annotated[Path, typer.Argument(metavar="CASES", help="A folder with a folder for each case.")]
TrailFolder = Annotated[
    Path | None, typer.Option("--trail", metavar="FOLDER", help="The trail that every look is recorded in.")
]
Against = Annotated[Path | None, typer.Option("--against", metavar="BUNDLE", help="The bundle in use, for margins.")]


def revalidate(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle's file.", show_default=False)],
    folder: Annotated[Path | None, typer.Option("--cases", metavar="CASES", help="The labelled procedures.")] = None,
    lock: Annotated[Path | None, typer.Option("--lock", help="What was locked before (`inframe cases lock`).")] = None,
    policy: Annotated[Path | None, typer.Option("--policy", help="Who must have signed bundles and lock.")] = None,
    trail: TrailFolder = None,
    against: Against = None,
    protocol: Annotated[
        Path | None, typer.Option("--protocol", help="In place of a lock, on development cases.")
    ] = None,
    key: Annotated[Path | None, typer.Option("--key", help="Signs the test result (PEM).", show_default=False)] = None,
    target: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where the reports go.")] = Path(
        "out/revalidation"
    ),
    workers: Annotated[int, typer.Option(min=1, max=1024, help="Processes of this machine.")] = 1,
    ray: Annotated[
        str | None, typer.Option("--ray", metavar="ADDRESS", help="On that Ray cluster instead; or auto.")
    ] = None,
    only_due: Annotated[bool, typer.Option("--due", help="Only where the bundle's schedule asks for it now.")] = False,
    json_file: JsonFile = None,
) -> None:
    """Run a bundle on labelled procedures and judge it. Exit code 1 where it did not pass. A killed run goes on where it was."""
    from inframe.bundle import UNSIGNED, Policy
    from inframe.revalidating import Asked, revalidate_and_show

    trusted = Policy.load(policy) if policy is not None else UNSIGNED
    if only_due:
        _only_due(bundle, trusted, trail, goes_on=folder is not None)
    if folder is None:
        raise ConfigError("inframe revalidate", "--cases", "nothing", "a folder of cases")
    asked = Asked(folder, trusted, against, protocol, lock, trail, key, target, workers, ray)
    report = revalidate_and_show(out, bundle, asked)
    write_json(json_file, report)
    if not report["passed"]:
        raise typer.Exit(1)


def _only_due(bundle: Path, trusted: "Policy", trail: Path | None, *, goes_on: bool) -> None:
    """End here where it is not due, with exit code 0, and where it is and there are no cases, with 1."""
    from inframe.revalidating import due

    if trail is None:
        raise ConfigError("inframe revalidate", "--trail", "nothing", "the trail that tells when it was done last")
    is_due, why = due(bundle, trusted, trail)
    out.print(why, markup=False, soft_wrap=True)
    if not is_due or not goes_on:
        raise typer.Exit(1 if is_due else 0)


@cases.command()
def manifest(
    folder: CaseFolder,
    name: Annotated[str, typer.Option("--name", help="What the set is called.")],
    locked: Annotated[
        bool, typer.Option("--locked/--development", help="Looked at under a lock only, or as often as one likes.")
    ],
) -> None:
    """Fix the cases of a folder: write cases.json, with the SHA-256 of every file."""
    from inframe.revalidation.cases import write_manifest

    made = write_manifest(folder, name, "locked" if locked else "development")
    out.print(f"{folder}: {len(made.cases)} cases, sha256 {made.digest}", markup=False, soft_wrap=True)


@cases.command()
def check(folder: CaseFolder, json_file: JsonFile = None) -> None:
    """Check that every file of every case is the one of the manifest, and that each case says what it is."""
    from inframe.revalidation.cases import open_set

    found = open_set(folder)
    frames = 0
    for case in found.cases:
        case.verify()
        frames += case.read().frames
    text = f"OK    {found.manifest.name} ({found.manifest.purpose}): {len(found.cases)} cases, {frames} frames"
    out.print(f"{text}, sha256 {found.digest}", markup=False, soft_wrap=True)
    write_json(
        json_file, {"name": found.manifest.name, "sha256": found.digest, "cases": len(found.cases), "frames": frames}
    )


@cases.command()
def lock(
    protocol: Annotated[Path, typer.Argument(metavar="PROTOCOL", help="What is to be shown (YAML).")],
    folder: Annotated[Path, typer.Option("--cases", metavar="CASES", help="The locked procedures.")],
    trail: Annotated[Path, typer.Option("--trail", metavar="FOLDER", help="Where every look will be recorded.")],
    key: Annotated[Path, typer.Option("--key", help="The private key that signs (PEM).")],
    target: Annotated[Path, typer.Option("--out", metavar="FILE", help="The lock.")],
    against: Against = None,
) -> None:
    """Sign criteria, cases, seed and code revision, before anybody has looked. Refused where somebody has."""
    from inframe.revalidating import lock_and_show

    lock_and_show(out, protocol, folder, against, trail, key, target)


@cases.command()
def looks(
    trail: Annotated[Path, typer.Argument(metavar="TRAIL", help="The trail's folder.")], json_file: JsonFile = None
) -> None:
    """List who looked at which locked cases, oldest first."""
    from inframe.revalidation.looks import Looks
    from inframe.trail.trace import time_text

    found = Looks(trail).all()
    for one in found:
        text = ", ".join(f"{key} {value[:16]}" for key, value in one.data.items())
        out.print(f"{time_text(one.wall_ns)}  {one.name}  {text}", markup=False, soft_wrap=True)
    write_json(json_file, [{"name": one.name, "time": time_text(one.wall_ns), **one.data} for one in found])
