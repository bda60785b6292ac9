"""Who may log in: a file with one person a line, "NAME ROLE HASH". Passwords are kept as Argon2id (RFC 9106) only."""

import os
import re
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from inframe.core.errors import ConfigError, one_line

MEMORY_KIB, ITERATIONS, LANES, SALT_BYTES, HASH_BYTES = 65536, 3, 1, 16, 32
"""RFC 9106's second recommended choice but for the lanes: the console has one core. 0.3 s here."""
SHORTEST, LONGEST = 12, 128
"""Characters of a password."""
MOST = 256
_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,31}")
_HASH = re.compile(r"\$argon2id\$v=19\$m=(\d{1,6}),t=(\d{1,2}),p=(\d)\$[A-Za-z0-9+/]{16,64}\$[A-Za-z0-9+/]{16,128}")
_NOBODY = "$argon2id$v=19$m=65536,t=3,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
"""No password fits it: asked where there is no such person, so that the answer takes as long."""


class Role(IntEnum):
    """What a person may do; each role may do what those below it may."""

    VIEWER = 1
    """See."""
    OPERATOR = 2
    """Acknowledge, pause the sound, set the overlay, end the procedure."""
    SERVICE = 3
    """Change models."""


@dataclass(frozen=True, slots=True)
class Person:
    """One line of the file."""

    name: str
    role: Role
    hashed: str


def read_people(path: Path) -> dict[str, Person]:
    """By name. Raises ConfigError."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        found = getattr(error, "strerror", None) or error
        raise ConfigError(path, "users", found, "a file made by `inframe console user`") from None
    people = [_person(path, number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if len(people) > MOST or len({one.name for one in people}) != len(people):
        raise ConfigError(path, "users", f"{len(people)} lines", f"at most {MOST}, each name once")
    return {one.name: one for one in people}


def _person(path: Path, number: int, line: str) -> Person:
    name, role, hashed, *rest = (*line.split(" "), "", "", "")
    found = _HASH.fullmatch(hashed)
    sound = _NAME.fullmatch(name) and role.upper() in Role.__members__ and not any(rest)
    # what is asked for in the file is spent at each log-in: no more than we would ask for ourselves
    if not sound or found is None or int(found[1]) > MEMORY_KIB or not 1 <= int(found[2]) <= 8:
        raise ConfigError(path, f"line {number}", f"{name} {role} …", "NAME viewer|operator|service $argon2id$…")
    return Person(name, Role[role.upper()], hashed)


def hash_password(path: Path, name: str, password: str) -> str:
    """For the file. Raises ConfigError for a name or a password that is refused."""
    if not _NAME.fullmatch(name):
        raise ConfigError(path, "NAME", name, "a-z, 0-9, _ . and -, at most 32, a letter first")
    if not SHORTEST <= len(password) <= LONGEST or name in password.lower():
        expected = f"{SHORTEST} to {LONGEST} characters without the name in it"
        raise ConfigError(path, "password", f"{len(password)} characters", expected)
    argon = Argon2id(
        salt=os.urandom(SALT_BYTES), length=HASH_BYTES, iterations=ITERATIONS, lanes=LANES, memory_cost=MEMORY_KIB
    )
    return str(argon.derive_phc_encoded(password.encode()))


def is_password(person: Person | None, password: str) -> bool:
    """Whether it is this person's; takes as long for nobody. Uses 64 MiB and a core for a third of a second."""
    try:
        Argon2id.verify_phc_encoded(password.encode(), _NOBODY if person is None else person.hashed)
    except (InvalidKey, ValueError):
        return False
    return person is not None


def put_person(path: Path, name: str, role: Role, password: str) -> None:
    """Add a person to the file, or change one. Raises ConfigError."""
    people = read_people(path) if path.exists() else {}
    people[name] = Person(name, role, hash_password(path, name, password))
    _write(path, people)


def drop_person(path: Path, name: str) -> None:
    """Take a person out. Raises ConfigError."""
    people = read_people(path)
    if people.pop(name, None) is None:
        raise ConfigError(path, "NAME", name, f"one of: {', '.join(people)}")
    _write(path, people)


def _write(path: Path, people: dict[str, Person]) -> None:
    """Whole or not at all, for its owner only."""
    text = "".join(f"{one.name} {one.role.name.lower()} {one.hashed}\n" for one in people.values())
    new = path.with_name(f"{path.name}.new")
    try:
        new.unlink(missing_ok=True)
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(fd, "w", encoding="utf-8") as file:  # noqa: PTH123  # a descriptor
            file.write(text)
            file.flush()
            os.fsync(fd)
        new.replace(path)
    except OSError as error:
        raise ConfigError(path, "users", one_line(error.strerror or error), "a file that can be written") from None
