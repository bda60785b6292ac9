"""Pictures and states on their way to browsers: encoded once, each client gets the newest, whoever is slow misses some.

The feed's thread puts them here; the server's loop takes them. Neither waits for the other.
"""

import asyncio
import json
import struct
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from socket import socket
from typing import Any

import cv2
import numpy as np

from inframe.core.clock import NS_PER_MS
from inframe.core.types import Pixels
from inframe.drivers.screens.commands import Command, must_fit

QUALITY = 80
MOST_CLIENTS = 12
LEAST_WIDTH = 160
STATE_NS = 100 * NS_PER_MS
SHOWN, RAW = 0, 1
"""Kinds of a picture: as it left the gate; as the camera gave it."""
HEAD = struct.Struct("<B7xqq")
"""Before each JPEG: its kind, the frame's number (0: a card), when it was shown (ns, device clock)."""


@dataclass(eq=False)
class Client:
    """One browser that watches."""

    wants_raw: bool = False
    width: int | None = None
    """So many pixels wide it shows the picture; None: as it is."""
    news: asyncio.Event = field(default_factory=asyncio.Event)
    sent: dict[object, int] = field(default_factory=dict)
    """The number of the newest picture or state that it was sent, by kind."""

    def take(self, live: "Live") -> bytes | str | None:
        """What it has not had yet, one thing at a time; None: nothing."""
        for kind, (number, data) in live.newest.items():
            if self.sent.get(kind) != number and (kind != RAW or self.wants_raw):
                self.sent[kind] = number
                return data
        self.news.clear()
        return None


class Live:
    """A screen (drivers.screens.commands.CommandScreen) whose pictures go to browsers."""

    def __init__(
        self,
        listener: socket,
        width: int,
        height: int,
        raw: Callable[[int], Pixels | None],
        state: Callable[[int], Mapping[str, Any]],
    ) -> None:
        """`raw` gives the captured pixels of a frame as long as they are there; `state` what the page shows beside the picture."""
        self.port = int(listener.getsockname()[1])
        self._width, self._height, self._raw, self._state = width, height, raw, state
        self._bgr, self._small = (np.empty((height, width, 3), np.uint8) for _ in range(2))
        self._commands: deque[Command] = deque(maxlen=64)
        self._state_ns = self._number = 0
        self.newest: dict[object, tuple[int, bytes | str]] = {}
        self.clients: set[Client] = set()
        """Changed by the server's loop alone."""
        self.loop: asyncio.AbstractEventLoop | None = None
        self.closed = False

    # --- the feed's side

    def show(self, pixels: Pixels, seq: int, shown_ns: int) -> None:
        """See core.ports.Screen. Encodes only for somebody."""
        must_fit(pixels, self._width, self._height, closed=self.closed)
        clients = tuple(self.clients)
        if not clients:
            return
        width = max(self._width if client.width is None else client.width for client in clients)
        self._put(SHOWN, pixels, width, seq, shown_ns)
        raw = self._raw(seq) if any(client.wants_raw for client in clients) else None
        if raw is not None:
            self._put(RAW, raw, width, seq, shown_ns)
        self._wake()

    def _put(self, kind: int, pixels: Pixels, width: int, seq: int, shown_ns: int) -> None:
        """One encoding for all, as large as the largest that somebody shows: a browser takes longer to scale a picture than we."""
        if width < self._width:
            height = round(self._height * width / self._width)
            pixels = cv2.resize(
                pixels, (width, height), dst=self._small[:height, :width], interpolation=cv2.INTER_LINEAR
            )
        height, width, _ = pixels.shape
        bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR, dst=self._bgr[:height, :width])
        _, jpeg = cv2.imencode(".jpg", bgr, (cv2.IMWRITE_JPEG_QUALITY, QUALITY))
        self._number += 1
        self.newest[kind] = self._number, HEAD.pack(kind, seq, shown_ns) + jpeg.tobytes()

    def post(self, now_ns: int) -> None:
        """Say how the device is, ten times a second, where somebody watches."""
        if self.clients and now_ns - self._state_ns >= STATE_NS:
            self._state_ns = now_ns
            self._number += 1
            self.newest["state"] = self._number, json.dumps(self._state(now_ns))
            self._wake()

    def _wake(self) -> None:
        if self.loop is not None:
            self.loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        for client in self.clients:
            client.news.set()

    def poll(self) -> list[Command]:
        """What was asked for since the last call."""
        return [self._commands.popleft() for _ in range(len(self._commands))]

    def close(self) -> None:
        """See core.ports.Screen."""
        self.closed = True

    # --- the server's side

    def take(self, command: Command) -> None:
        """Keep for `poll`; beyond 64 the oldest is forgotten."""
        self._commands.append(command)

    def join(self, client: Client) -> bool:
        """Watch from now on; False: there are too many."""
        if len(self.clients) >= MOST_CLIENTS:
            return False
        self.clients.add(client)
        return True
