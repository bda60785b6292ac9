"""Sockets that are files: names of any length, and nobody else's to open."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def short_name(path: Path) -> Iterator[str]:
    """A name of the socket that is short enough for the kernel, which takes 107 bytes, whatever folder it is in. Raises OSError."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def bound(path: Path, kind: int) -> socket.socket:
    """A new socket of that kind in its file, for this user only, in place of one that was left behind. Raises OSError."""
    made = socket.socket(socket.AF_UNIX, kind | socket.SOCK_CLOEXEC)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            with short_name(path) as short:
                made.bind(short)
        finally:
            os.umask(before)
    except OSError:
        made.close()
        raise
    return made


def asked(path: Path, question: bytes, within_s: float, largest: int) -> bytes:
    """Send one datagram to the socket at `path`; the one that comes back. Without connect(), which most processes may not call.
    Raises OSError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as own:
        own.settimeout(within_s)
        own.bind(b"")  # a nameless address of our own, to be answered at
        with short_name(path) as short:
            own.sendto(question, short)
        return own.recv(largest)
