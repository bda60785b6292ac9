"""How a person or a program reaches a running device: a socket in a file, for this user only. One order is one datagram of JSON,
and so is its answer; the device reads them between its looks at the processes and never waits for anybody.

    {"order": "health"}  {"order": "switch"}  {"order": "back"}  {"order": "keep"}
    {"order": "propose", "models": {NAME: model}, "bundles": {NAME: bundle}}     each as in a device file, resolved
    {"order": "release"}  {"order": "release", "move": "defer", "hours": 12, "why": TEXT}     of a device that takes updates
"""

import json
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from inframe.core.config import BundleConfig, ModelConfig
from inframe.core.errors import DeviceFault, InframeError, UpdateError, one_line
from inframe.core.health import Health
from inframe.machine.unixsocket import bound, short_name

BYTES = 1 << 16
ANSWER_S = 5.0
AT_ONCE = 8
"""So many orders are carried out between two looks at the processes."""
ORDERS = ("health", "propose", "switch", "back", "keep", "release")
LONGEST_WHY = 300


P = TypeVar("P", bound=BaseModel)


def _parts(order: Mapping[str, Any], what: str, kind: type[P]) -> dict[str, P]:
    try:
        return {str(key): kind.model_validate_json(json.dumps(value)) for key, value in order.get(what, {}).items()}
    except ValidationError as error:
        first = error.errors()[0]
        raise UpdateError(f"order: {what}: {one_line(first['loc'])}: {one_line(first['msg'])}") from None


class Obeys(Protocol):
    """Who carries orders out; see `candidate.Candidates`."""

    last: tuple[str, Health]

    def propose(self, models: Mapping[str, ModelConfig], bundles: Mapping[str, BundleConfig]) -> None: ...

    def switch(self) -> None: ...

    def back(self) -> None: ...

    def keep(self) -> None: ...

    def health(self) -> Health: ...


class Releases(Protocol):
    """Who knows the slots of a device that takes updates; see `trying.Trying`."""

    def asked(self, move: str, why: str, hours: float) -> None: ...

    def told(self) -> dict[str, Any]: ...


class Orders:
    """The device's end."""

    def __init__(self, path: Path, device: Obeys, releases: Releases | None = None) -> None:
        """Makes the socket's file, in place of one that a device before it left. Raises DeviceFault."""
        self._path, self._device, self._releases = path, device, releases
        try:
            self._socket = bound(path, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        except OSError as error:
            raise DeviceFault(
                f"{path}: candidate.control: no socket can be made here: {error.strerror or error}"
            ) from error

    def step(self) -> None:
        """Carry out the orders that are there."""
        for _ in range(AT_ONCE):
            try:
                data, sender = self._socket.recvfrom(BYTES)
            except BlockingIOError:
                return
            answer = json.dumps(self.answer(data)).encode()
            if sender is not None:  # one without a name can't be answered
                with suppress(OSError):  # whoever asked is gone, or does not read: no reason to wait
                    self._socket.sendto(answer, sender)

    def answer(self, data: bytes) -> dict[str, Any]:
        """Carry out one order; the answer says `error` where it was refused, else how the candidate is."""
        try:
            found = self._obey(data)
        except InframeError as error:
            return {"error": str(error)}
        why, ended = self._device.last
        return {**found, "health": asdict(self._device.health()), "last": {"why": why, "health": asdict(ended)}}

    def _obey(self, data: bytes) -> dict[str, Any]:
        try:
            order = json.loads(data)
            name = order["order"]
            models, bundles = _parts(order, "models", ModelConfig), _parts(order, "bundles", BundleConfig)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise UpdateError(f"order: found {one_line(data[:80])}, expected a JSON object with `order`") from None
        match name:
            case "health":
                pass
            case "propose":
                self._device.propose(models, bundles)
            case "switch":
                self._device.switch()
            case "back":
                self._device.back()
            case "keep":
                self._device.keep()
            case "release":
                return {"release": self._of_release(order)}
            case _:
                raise UpdateError(f"order: found {one_line(name)}, expected one of: {', '.join(ORDERS)}")
        return {}

    def _of_release(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Move the release on its way, where a move is asked for; how it is then."""
        if self._releases is None:
            raise UpdateError("order: release: found a device without `update:`, expected one that takes updates")
        move, why, hours = order.get("move"), order.get("why"), order.get("hours", 0)
        if move is not None:
            if not (isinstance(move, str) and isinstance(why, str) and 0 < len(why) <= LONGEST_WHY):
                raise UpdateError(f"order: release: why: found {one_line(why)}, expected who says so, on what grounds")
            if isinstance(hours, bool) or not isinstance(hours, int | float):
                raise UpdateError(f"order: release: hours: found {one_line(hours)}, expected a number")
            self._releases.asked(move, one_line(why, LONGEST_WHY), hours)
        return self._releases.told()

    def close(self) -> None:
        """Take the socket away."""
        self._socket.close()
        self._path.unlink(missing_ok=True)


def answers(path: Path) -> bool:
    """Whether a device has that socket open."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as own:
        try:
            with short_name(path) as short:
                own.connect(short)
        except OSError:  # no such file, or one that a device before left behind
            return False
    return True


def ask(path: Path, order: Mapping[str, Any]) -> dict[str, Any]:
    """Give an order to the device that runs at the socket `path`; its answer. Raises UpdateError where none runs there, and with
    what it refused."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as own:
        own.settimeout(ANSWER_S)
        try:
            own.bind(b"")  # a nameless address of our own, to be answered at
            with short_name(path) as short:
                own.sendto(json.dumps(order).encode(), short)
            answer: dict[str, Any] = json.loads(own.recv(BYTES))
        except OSError as error:
            raise UpdateError(f"{path}: found {one_line(error.strerror or error)}, expected a running device") from None
    if "error" in answer:
        raise UpdateError(answer["error"])
    return answer
