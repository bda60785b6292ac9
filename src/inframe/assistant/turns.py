"""One thing at a time, a few waiting, and everybody else is told at once to come again: work in a thread, for a server's loop."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Generic, TypeVar

MOST_WAITING = 8
"""So many may wait for the one before them."""
T = TypeVar("T")
Job = Callable[[], Iterator[T]]


class Full(Exception):
    """Too much is waiting."""


class _Piece(Generic[T]):
    def __init__(self, one: T) -> None:
        self.one = one


class Turns:
    """The queue, and the thread."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "turns")
        self._taken = 0

    async def run(self, job: Job[T]) -> AsyncIterator[T]:
        """What `job` yields, made in the thread. Closing it has the job's iterator closed at its next piece. Raises Full, and
        whatever `job` raises."""
        if self._taken > MOST_WAITING:
            raise Full
        self._taken += 1
        found: asyncio.Queue[_Piece[T] | BaseException | None] = asyncio.Queue()
        over, loop = threading.Event(), asyncio.get_running_loop()

        def put(one: _Piece[T] | BaseException | None) -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(found.put_nowait, one)

        def done() -> None:
            self._taken -= 1

        def make() -> None:
            try:
                _make(job, over, lambda one: put(_Piece(one)))
            except BaseException as error:  # noqa: BLE001  # of a thread: whoever waits for it raises it anew
                put(error)
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(done)
            put(None)

        self._thread.submit(make)
        try:
            while (one := await found.get()) is not None:
                if isinstance(one, BaseException):
                    raise one
                yield one.one
        finally:
            over.set()


def _make(job: Job[T], over: threading.Event, put: Callable[[T], None]) -> None:
    if over.is_set():  # nobody waits for it any more
        return
    pieces = job()
    try:
        for one in pieces:
            if over.is_set():
                return
            put(one)
    finally:
        close = getattr(pieces, "close", None)
        if close is not None:
            close()
