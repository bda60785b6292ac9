"""`inframe console …`: who may log in at the page."""

from pathlib import Path
from typing import Annotated

import typer

from inframe.core.errors import ConfigError
from inframe.terminal import out

console = typer.Typer(
    name="console", help="Say who may log in at the page.", no_args_is_help=True, rich_markup_mode=None
)

UsersFile = Annotated[Path, typer.Argument(metavar="FILE", help="`users` of the device file.", show_default=False)]
Name = Annotated[str, typer.Argument(metavar="NAME", help="a-z, 0-9, _ . and -.", show_default=False)]


@console.command()
def user(
    file: UsersFile,
    name: Name,
    role: Annotated[str, typer.Option("--role", help="viewer, operator or service.")] = "viewer",
    remove: Annotated[bool, typer.Option("--remove", help="Take the person out.")] = False,
) -> None:
    """Add a person, change one or take one out; asks for the password. The device knows of it at its next start."""
    from inframe.console.people import Role, drop_person, put_person

    if remove:
        drop_person(file, name)
        out.print(f"{file}: {name} is gone", markup=False, soft_wrap=True)
        return
    if role.upper() not in Role.__members__:
        raise ConfigError("inframe console user", "--role", role, "viewer, operator or service")
    password = typer.prompt("password", hide_input=True, confirmation_prompt=True)
    put_person(file, name, Role[role.upper()], password)
    out.print(f"{file}: {name} is {role}", markup=False, soft_wrap=True)


@console.command()
def users(file: UsersFile) -> None:
    """List who may log in, and as what."""
    from inframe.console.people import read_people

    for person in read_people(file).values():
        out.print(f"{person.name}  {person.role.name.lower()}", markup=False, soft_wrap=True)
