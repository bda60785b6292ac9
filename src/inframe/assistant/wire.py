"""What goes through the two pipes of a box: JSON objects, each behind its length. The parent's side believes nothing: what
comes out of a box is bounded, and text only once `verify` has read it.
"""

import json
import os
import select
import struct
import time
from typing import Any

LARGEST = 1 << 15
"""Less than a pipe holds: nobody ever waits for a frozen reader."""
_LENGTH = struct.Struct("<I")


class Broken(Exception):
    """The other end is gone, silent for too long, or says what nobody can read."""


def send(fd: int, message: dict[str, Any]) -> None:
    """Raises Broken for a message too large, or where nobody reads."""
    raw = json.dumps(message).encode()
    if len(raw) > LARGEST:
        raise Broken(f"a message of {len(raw)} bytes, expected at most {LARGEST}")
    left = memoryview(_LENGTH.pack(len(raw)) + raw)
    try:
        while left:
            left = left[os.write(fd, left) :]
    except OSError as error:
        raise Broken(error.strerror or str(error)) from None


def receive(fd: int, within_s: float | None) -> dict[str, Any]:
    """The next message. Raises Broken, also where it is not whole `within_s` from now; None: waits for ever."""
    until = None if within_s is None else time.monotonic() + within_s
    (length,) = _LENGTH.unpack(_exactly(fd, _LENGTH.size, until))
    if length > LARGEST:
        raise Broken(f"a message of {length} bytes, expected at most {LARGEST}")
    try:
        message = json.loads(_exactly(fd, length, until))
    except (ValueError, RecursionError):
        raise Broken("no JSON") from None
    if not isinstance(message, dict):
        raise Broken("no JSON object")
    return message


def is_waiting(fd: int) -> bool:
    """Whether something can be read now."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))


def _exactly(fd: int, size: int, until: float | None) -> bytes:
    data = b""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    while len(data) < size:
        left = None if until is None else max(0.0, until - time.monotonic()) * 1000
        if not poll.poll(left):
            raise Broken("nothing came in time")
        part = os.read(fd, size - len(data))
        if not part:
            raise Broken("the other end is closed")
        data += part
    return data
