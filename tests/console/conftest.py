"""Consoles that several tests share: each is a real process, and starting one takes a second."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from inframe.console.people import Role
from tests.console.stand import Browser, Stand, device_of

PASSWORDS = {"vera": "a viewer's long word", "otto": "one operator's phrase", "sara": "the service sentence"}
ROLES = {"vera": Role.VIEWER, "otto": Role.OPERATOR, "sara": Role.SERVICE}


@pytest.fixture(scope="session")
def users(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of three people, one of each role."""
    path = tmp_path_factory.mktemp("users") / "users"
    lines = [f"{name} {role.name.lower()} {cheap(PASSWORDS[name])}\n" for name, role in ROLES.items()]
    path.write_text("".join(lines), "utf-8")
    return path


def cheap(password: str) -> str:
    """A hash that takes a millisecond: what it costs to guess is not what most tests are about."""
    argon = Argon2id(salt=bytes(16), length=32, iterations=1, lanes=1, memory_cost=64)
    return str(argon.derive_phc_encoded(password.encode()))


@pytest.fixture(scope="session")
def open_stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """Without users: whoever is at this machine is an operator. With a recorder, and the demo's buttons."""
    with Stand(device_of(tmp_path_factory.mktemp("open")), demo=True, recorder=True) as stand:
        yield stand


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory, users: Path) -> Iterator[Stand]:
    """Where all must log in."""
    folder = tmp_path_factory.mktemp("guarded")
    candidate = {"control": str(folder / "control")}
    with Stand(device_of(folder, screen={"users": str(users)}, candidate=candidate), recorder=True) as stand:
        yield stand


@pytest.fixture(scope="session")
def people(guarded: Stand) -> dict[str, Browser]:
    """One browser for each, logged in; and one that is not, "nobody"."""
    browsers = {name: guarded.browser() for name in PASSWORDS}
    for name, browser in browsers.items():
        assert browser.log_in(name, PASSWORDS[name]) == 200
    return {**browsers, "nobody": guarded.browser()}
