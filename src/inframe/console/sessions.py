"""Sessions, lock-out and rate limits. Nothing of them is kept on a disk: a console that is started again knows nobody.

Pure but for the tokens; the time is passed in, ns. Every table is bounded, and when it is full the oldest entry goes.
"""

import hmac
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import sha256

from inframe.console.people import Person, Role
from inframe.core.clock import NS_PER_S

TOKEN_BYTES = 32
IDLE_NS, LIFE_NS = 30 * 60 * NS_PER_S, 12 * 3600 * NS_PER_S
"""A session ends when it was not used for so long, and after so long in any case."""
MOST_SESSIONS, MOST_NAMES, MOST_ADDRESSES = 64, 1024, 1024
FREE_TRIES = 5
"""So many wrong passwords in a row cost nothing but time."""
LOCK_NS, LONGEST_LOCK_NS = 30 * NS_PER_S, 15 * 60 * NS_PER_S
"""Then the name is locked for so long, twice as long each time, and at most so long."""
FORGIVEN_NS = 24 * 3600 * NS_PER_S


@dataclass(slots=True)
class Session:
    """Somebody who is known."""

    name: str
    role: Role
    csrf: str
    """What the page must send back with whatever changes something: another site can't read it."""
    born_ns: int
    used_ns: int
    named: bool = True
    """False: whoever sits at this machine, where nobody has to log in."""


def local_session(now_ns: int) -> Session:
    """The one of a device whose file names no users."""
    return Session("local", Role.OPERATOR, secrets.token_urlsafe(TOKEN_BYTES), now_ns, now_ns, named=False)


class Sessions:
    """By the digest of their token: who reads this memory can't take one over by looking for tokens."""

    def __init__(self) -> None:
        self._open: OrderedDict[bytes, Session] = OrderedDict()

    def begin(self, person: Person, now_ns: int) -> tuple[str, Session]:
        """A new session under a new token, whatever the browser sent along."""
        token = secrets.token_urlsafe(TOKEN_BYTES)
        session = Session(person.name, person.role, secrets.token_urlsafe(TOKEN_BYTES), now_ns, now_ns)
        self._open[_digest(token)] = session
        while len(self._open) > MOST_SESSIONS:
            self._open.popitem(last=False)
        return token, session

    def find(self, token: str | None, now_ns: int) -> Session | None:
        """The session of a token, which has been used thereby."""
        if not token:
            return None
        session = self._open.get(key := _digest(token))
        if session is None:
            return None
        if now_ns - session.used_ns > IDLE_NS or now_ns - session.born_ns > LIFE_NS:
            del self._open[key]
            return None
        session.used_ns = now_ns
        return session

    def end(self, token: str | None) -> None:
        """Log out."""
        self._open.pop(_digest(token or ""), None)


def _digest(token: str) -> bytes:
    return sha256(token.encode("utf-8", "replace")).digest()


def same(one: str, other: str) -> bool:
    """Whether two secrets are the same, in a time that does not tell how much of them is."""
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode("utf-8", "replace"))


@dataclass(frozen=True, slots=True)
class _Tries:
    wrong: int
    last_ns: int
    until_ns: int = 0


class LockOut:
    """Wrong passwords by name, whether there is such a person or not: the answer tells nobody who there is."""

    def __init__(self) -> None:
        self._tries: OrderedDict[str, _Tries] = OrderedDict()

    def left_ns(self, name: str, now_ns: int) -> int:
        """For how long the name is still locked."""
        tries = self._tries.get(name)
        return 0 if tries is None else max(0, tries.until_ns - now_ns)

    def wrong(self, name: str, now_ns: int) -> int:
        """A wrong password; for how long the name is locked now."""
        tries = self._tries.pop(name, _Tries(0, now_ns))
        count = 1 if now_ns - tries.last_ns > FORGIVEN_NS else tries.wrong + 1
        over = count - FREE_TRIES
        lock_ns = min(LOCK_NS << min(over, 10), LONGEST_LOCK_NS) if over >= 0 else 0
        self._tries[name] = _Tries(count, now_ns, now_ns + lock_ns)
        while len(self._tries) > MOST_NAMES:
            self._tries.popitem(last=False)
        return lock_ns

    def right(self, name: str) -> None:
        """The password was right."""
        self._tries.pop(name, None)


class Rate:
    """So many things a second by whoever does them, and so many at once (a token bucket each)."""

    def __init__(self, per_s: float, at_once: int) -> None:
        self._per_s, self._at_once = per_s, at_once
        self._left: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def allows(self, who: str, now_ns: int) -> bool:
        """Count one; False: too many."""
        left, last_ns = self._left.pop(who, (float(self._at_once), now_ns))
        left = min(self._at_once, left + (now_ns - last_ns) / NS_PER_S * self._per_s)
        allowed = left >= 1
        self._left[who] = (left - 1 if allowed else left, now_ns)
        while len(self._left) > MOST_ADDRESSES:
            self._left.popitem(last=False)
        return allowed
