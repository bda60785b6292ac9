"""Sessions, lock-out, rates and passwords: the rules, with a clock that is moved by hand."""

import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from inframe.console import people
from inframe.console.people import Person, Role, drop_person, is_password, put_person, read_people
from inframe.console.sessions import (
    FREE_TRIES,
    IDLE_NS,
    LIFE_NS,
    LOCK_NS,
    LONGEST_LOCK_NS,
    MOST_ADDRESSES,
    MOST_NAMES,
    MOST_SESSIONS,
    LockOut,
    Rate,
    Sessions,
)
from inframe.console_cli import console
from inframe.core.clock import NS_PER_S
from inframe.core.errors import ConfigError

VERA = Person("vera", Role.VIEWER, "")


def test_a_session_ends_by_itself_after_rest_and_after_a_day_of_work() -> None:
    sessions = Sessions()
    token, session = sessions.begin(VERA, 0)
    now = 0
    while now <= LIFE_NS - IDLE_NS:
        now += IDLE_NS
        assert sessions.find(token, now) is session
    assert sessions.find(token, LIFE_NS + 1) is None
    assert sessions.find(token, 1) is None  # it does not come back
    token, _ = sessions.begin(VERA, 0)
    assert sessions.find(token, IDLE_NS + 1) is None


def test_tokens_differ_and_nothing_else_opens() -> None:
    sessions = Sessions()
    one, other = (sessions.begin(VERA, 0) for _ in range(2))
    assert one[0] != other[0]
    assert one[1].csrf != other[1].csrf
    sessions.end(one[0])
    assert [sessions.find(token, 1) for token in (one[0], "", None, "guess", one[0][:-1])] == [None] * 5
    assert sessions.find(other[0], 1) is other[1]
    assert other[0].encode() not in repr(vars(sessions)).encode()


def test_the_tables_are_bounded() -> None:
    sessions, lock_out, rate = Sessions(), LockOut(), Rate(1, 1)
    first, _ = sessions.begin(VERA, 0)
    for i in range(2 * MOST_SESSIONS):
        sessions.begin(VERA, i)
    for i in range(2 * max(MOST_NAMES, MOST_ADDRESSES)):
        lock_out.wrong(f"n{i}", i)
        rate.allows(f"a{i}", i)
    assert (len(sessions._open), len(lock_out._tries), len(rate._left)) == (MOST_SESSIONS, MOST_NAMES, MOST_ADDRESSES)
    assert sessions.find(first, 1) is None


def test_wrong_passwords_lock_for_longer_and_longer_and_a_right_one_forgives() -> None:
    lock_out, now, locks = LockOut(), 0, []
    for _ in range(FREE_TRIES + 9):
        locks.append(lock_out.wrong("vera", now))
        now += lock_out.left_ns("vera", now) + 1
    free, rest = locks[: FREE_TRIES - 1], locks[FREE_TRIES - 1 :]
    assert set(free) == {0}
    assert rest[:3] == [LOCK_NS, 2 * LOCK_NS, 4 * LOCK_NS]
    assert rest[-1] == LONGEST_LOCK_NS
    assert lock_out.left_ns("otto", now) == 0
    lock_out.right("vera")
    assert lock_out.wrong("vera", now) == 0


def test_a_rate_allows_a_burst_and_then_its_rate_for_each_address() -> None:
    rate = Rate(10, 5)
    assert [rate.allows("a", 0) for _ in range(6)] == [True] * 5 + [False]
    assert rate.allows("b", 0)
    assert [rate.allows("a", NS_PER_S // 10) for _ in range(2)] == [True, False]
    assert [rate.allows("a", 100 * NS_PER_S) for _ in range(6)] == [True] * 5 + [False]


def test_people_are_put_read_and_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (people.MEMORY_KIB, people.ITERATIONS) == (65536, 3)  # RFC 9106, 4: the second recommended choice
    monkeypatch.setattr(people, "MEMORY_KIB", 64)
    path = tmp_path / "users"
    put_person(path, "vera", Role.VIEWER, "correct horse battery")
    put_person(path, "otto", Role.OPERATOR, "another long phrase")
    put_person(path, "vera", Role.SERVICE, "correct horse staple")
    known = read_people(path)
    assert {name: one.role for name, one in known.items()} == {"vera": Role.SERVICE, "otto": Role.OPERATOR}
    assert is_password(known["vera"], "correct horse staple")
    assert not is_password(known["vera"], "correct horse battery")
    assert not is_password(None, "")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "correct" not in path.read_text()
    drop_person(path, "otto")
    assert list(read_people(path)) == ["vera"]


SOUND = "$argon2id$v=19$m=64,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$" + 43 * "A"


@pytest.mark.parametrize(
    "text",
    [
        f"Vera viewer {SOUND}",
        f"vera root {SOUND}",
        f"vera viewer {SOUND} more",
        "vera viewer plain",
        "vera viewer $argon2id$v=19$m=9999999,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$" + 43 * "A",
        "vera viewer $argon2id$v=19$m=64,t=99,p=1$AAAAAAAAAAAAAAAAAAAAAA$" + 43 * "A",
        f"vera viewer {SOUND}\nvera operator {SOUND}",
        "vera",
    ],
)
def test_a_wrong_file_of_people_is_one_clear_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "users"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"users: .*found .*expected ") as caught:
        read_people(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "password"),
    [("vera", "short"), ("Vera", "long enough, really"), ("vera", "veraveravera1"), ("v", "x" * 129)],
)
def test_a_weak_password_and_a_strange_name_are_refused(tmp_path: Path, name: str, password: str) -> None:
    with pytest.raises(ConfigError):
        put_person(tmp_path / "users", name, Role.VIEWER, password)
    assert not (tmp_path / "users").exists()


def test_the_command_adds_lists_and_removes_people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(people, "MEMORY_KIB", 64)
    path, run = tmp_path / "users", CliRunner().invoke
    added = run(
        console, ["user", str(path), "vera", "--role", "service"], input="a phrase to log in\na phrase to log in\n"
    )
    assert added.exit_code == 0, added.output
    assert "a phrase" not in added.output
    assert read_people(path)["vera"].role is Role.SERVICE
    for arguments in (["user", str(path), "otto", "--role", "root"], ["user", str(path), "otto", "--remove"]):
        assert isinstance(run(console, arguments).exception, ConfigError)
    assert run(console, ["user", str(path), "vera", "--remove"]).exit_code == 0
    assert read_people(path) == {}
