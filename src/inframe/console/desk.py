"""What the routes work with: the device as the console sees it, who is logged in, and where to say what was done."""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from inframe.console.door import Guard
from inframe.console.follow import Follower
from inframe.console.live import Live
from inframe.console.people import Person
from inframe.console.refused import Refused
from inframe.console.sessions import LockOut, Rate, Session
from inframe.console.streams import Streams
from inframe.core.clock import Clock
from inframe.core.config import Device
from inframe.core.errors import InframeError, one_line
from inframe.core.web import WebScreen
from inframe.orders import ask
from inframe.pipeline.board import Board
from inframe.trail.home import Home
from inframe.trail.records import EventKind, EventRecord

if TYPE_CHECKING:
    from inframe.console.past import Past

T = TypeVar("T")
MOST_SEEN = 256
MOST_WAITING = 8
"""So many questions that take long may wait for the one before them."""


@dataclass
class Desk:
    """One console."""

    device: Device
    config: WebScreen
    row: str
    """The console's own row of the board."""
    board: Board
    clock: Clock
    live: Live
    follower: Follower
    people: Mapping[str, Person]
    guard: Guard
    note: Callable[[str, object], None]
    """Tells the parent."""
    demo: bool = False
    lock_out: LockOut = field(default_factory=LockOut)
    log_ins: Rate = field(default_factory=lambda: Rate(10 / 60, 10))
    """So many tries of all log-ins together, whoever makes them."""
    _apart: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "apart"))
    _saying: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "saying"))
    _waiting: int = 0
    _seen: dict[tuple[str, str], None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.streams = Streams(self.device, self.board, self.follower, self.clock)
        trail = self.device.trail
        self._home = Home(Path(trail.folder)) if trail is not None else None

    @cached_property
    def past(self) -> "Past":
        """Loaded with the first question: a page that comes back is waited for, and what reads a trail takes 35 ms more."""
        from inframe.console.past import Past

        return Past(self.device)

    async def apart(self, work: Callable[[], T]) -> T:
        """Do what may take long beside the server's loop, one thing at a time. Raises Refused when too much is waiting."""
        if self._waiting >= MOST_WAITING:
            raise Refused(503, "busy", retry_s=2)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._apart, work)
        finally:
            self._waiting -= 1

    async def order(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Give the parent an order. Raises Refused with what it said."""
        candidate = self.device.candidate
        if candidate is None:
            raise Refused(404, "this device has no candidate")
        try:
            return await self.apart(lambda: ask(Path(candidate.control), order))
        except InframeError as error:
            raise Refused(409, str(error)) from None

    def did(
        self,
        session: Session | None,
        name: str,
        text: str,
        data: Mapping[str, str] | None = None,
        kind: EventKind = EventKind.LOGIN,
    ) -> None:
        """Have the trail say what a person did here."""
        role = session.role.name.lower() if session is not None else ""
        who = session.name if session is not None else "nobody"
        self.tell(name, text, who, {**(data or {}), **({"role": role} if role else {})}, kind)

    def saw(self, session: Session | None, name: str, text: str) -> None:
        """The same of what a person looked at: once each, as a page asks again and again."""
        key = (session.csrf if session is not None else "", text)
        if key not in self._seen:
            self._seen[key] = None
            while len(self._seen) > MOST_SEEN:
                self._seen.pop(next(iter(self._seen)))
            self.did(session, name, text)

    def tell(self, name: str, text: str, who: str, data: Mapping[str, str], kind: EventKind = EventKind.LOGIN) -> None:
        """Leave an event for the recorder: on the disk, hence beside the server's loop. What can't be left is told the parent."""
        home = self._home
        if home is None:
            return
        event = EventRecord(kind, 0, name, one_line(text), one_line(who, 64), {**data, "at": "console"})

        def leave() -> None:
            try:
                home.ask(event)
            except OSError as error:
                self.note("console", f"{name} by {who} is not in the trail: {error}")

        self._saying.submit(leave)

    async def said(self) -> None:
        """Wait until all that was told lies on the disk."""
        await asyncio.get_running_loop().run_in_executor(self._saying, lambda: None)
