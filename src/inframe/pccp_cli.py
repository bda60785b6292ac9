"""`inframe pccp …`: a predetermined change control plan, checked."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from inframe.core.errors import ConfigError
from inframe.terminal import JsonFile, out, write_json

MISSING = 4
"""The exit code where nothing speaks against the change, and something that the plan demands has not been shown."""

pccp = typer.Typer(
    name="pccp",
    help="Predetermined change control plans: is a change within the plan, and did it pass what the plan demands.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@pccp.command()
def check(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="The bundle in use.", show_default=False)],
    new: Annotated[
        Path, typer.Argument(metavar="NEW", help="The bundle that claims a modification.", show_default=False)
    ],
    plan: Annotated[Path, typer.Option("--plan", metavar="PLAN", help="The plan (pccp.yaml).")],
    policy: Annotated[Path | None, typer.Option("--policy", help="Who must have signed bundles and evidence.")] = None,
    result: Annotated[Path | None, typer.Option("--result", help="The test result of the new bundle.")] = None,
    lock: Annotated[Path | None, typer.Option("--lock", help="The lock that it was made under.")] = None,
    json_file: JsonFile = None,
) -> None:
    """Check a bundle against the plan. Exit code 1: outside the plan or failed; 4: evidence is missing."""
    from inframe.bundle import UNSIGNED, Policy, open_bundle
    from inframe.pccp import check as look_at
    from inframe.pccp import read_evidence, read_plan
    from inframe.pccp.items import Status

    trusted = Policy.load(policy) if policy is not None else UNSIGNED
    agreed = read_plan(plan)
    if (result is None) != (lock is None):
        raise ConfigError("inframe pccp check", "--result, --lock", "one of them", "both, or neither")
    evidence = read_evidence(result, lock, trusted) if result is not None and lock is not None else None
    with open_bundle(old, trusted) as before, open_bundle(new, trusted) as after:
        checked = look_at(agreed, before, after, evidence, trusted)
    for one in checked.items:
        out.print(f"{one.status.value.upper():8}{one.what}: {one.found} ({one.expected})", markup=False, soft_wrap=True)
    out.print(
        f"{agreed.plan}, {checked.claim or 'no modification'}: {checked.status.value}", markup=False, soft_wrap=True
    )
    write_json(json_file, checked.as_json())
    if checked.status is not Status.HOLDS:
        raise typer.Exit(MISSING if checked.status is Status.MISSING else 1)


@pccp.command()
def schema() -> None:
    """Print the JSON Schema of plans."""
    from inframe.pccp.plan import Plan

    sys.stdout.write(json.dumps(Plan.model_json_schema(), indent=2) + "\n")
