"""What sources on a TCP connection have in common."""

import socket

from inframe.core.errors import DeviceFault

MOST = 1 << 16
"""Bytes taken at once."""


def receive(connection: socket.socket | None, host: str, timeout_s: float) -> bytes | None:
    """What has come within `timeout_s`, MOST bytes at most; None: nothing. Raises DeviceFault where the connection broke or the
    other side closed it, RuntimeError after `close`."""
    if connection is None:
        raise RuntimeError("read after close")
    connection.settimeout(timeout_s)
    try:
        data = connection.recv(MOST)
    except (TimeoutError, BlockingIOError):
        return None
    except OSError as error:
        raise DeviceFault(f"{host}: {error.strerror or error}") from None
    if not data:
        raise DeviceFault(f"{host}: the server has closed the connection")
    return data
