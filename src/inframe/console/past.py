"""What was: questions to the trail that the device writes. May take seconds."""

import time
from collections import deque
from pathlib import Path
from typing import Any

from inframe.audit import Place, place_of
from inframe.console.refused import Refused
from inframe.core.clock import NS_PER_S
from inframe.core.config import Device
from inframe.core.errors import ConfigError
from inframe.inquiry import by_number, lines, newest_procedure
from inframe.trail.errors import TrailDamaged
from inframe.trail.find import Filter
from inframe.trail.home import Home
from inframe.trail.records import EventKind
from inframe.trail.trace import as_json, page

LONGEST_S = 3.0
"""A search ends after so long, and says that it did not come to the end."""


class Past:
    """Opens the trail anew for each question: it grows meanwhile."""

    def __init__(self, device: Device) -> None:
        self._device = device

    def _place(self) -> Place:
        trail = self._device.trail
        if trail is None:
            raise Refused(404, "this device keeps no trail")
        home = Home(Path(trail.folder), Path(trail.key) if trail.key is not None else None)
        logs = home.logs()
        if not logs:
            raise Refused(503, "nothing is in the trail yet")
        try:
            return place_of(home, logs[-1], None)
        except ConfigError as error:
            raise Refused(503, str(error)) from None

    def checkpoint(self) -> dict[str, Any]:
        """How far the trail is."""
        place = self._place()
        try:
            log = place.log()
        except TrailDamaged as error:
            raise Refused(503, str(error)) from None
        return {
            "origin": log.checkpoint.origin,
            "leaves": log.size,
            "published": log.published.size,
            "root": log.checkpoint.root.hex(),
            "key": place.key.text(),
            "folder": str(place.path),
        }

    def search(
        self, text: str | None, kind: str | None, minutes: float, limit: int, *, each_frame: bool
    ) -> dict[str, Any]:
        """The newest lines that fit, newest first."""
        kinds = None if kind is None else frozenset({EventKind[kind.upper()]})
        since = time.time_ns() - int(minutes * 60 * NS_PER_S)
        wanted = Filter(since_ns=since, kinds=kinds, text=text or None)
        end, whole = time.monotonic() + LONGEST_S, True
        found: deque[dict[str, Any]] = deque(maxlen=limit)
        try:
            for line in lines(self._place().log(), wanted, each_frame):
                found.append(line.as_json())
                if time.monotonic() > end:
                    whole = False
                    break
        except TrailDamaged as error:
            raise Refused(503, str(error)) from None
        return {"lines": list(reversed(found)), "is_whole": whole}

    def frame(self, seq: int) -> dict[str, Any]:
        """One frame of the procedure that runs, explained, its proof checked; `is_there` false: not on the disk (yet)."""
        try:
            log = self._place().log()
            found = by_number(log, seq, self._device.display, newest_procedure(log))
        except TrailDamaged as error:
            raise Refused(503, str(error)) from None
        if not found:
            return {"is_there": False}
        return {"is_there": True, **as_json(found[0]), "page": page(found[0])}
