"""The console's socket. The page itself is the room `console`, in a process of its own."""

from socket import AF_INET, AF_INET6, create_server, socket

from inframe.core.errors import DeviceFault, one_line
from inframe.core.web import WebScreen

BACKLOG = 128
"""Connections that the kernel keeps while the page is started again: whoever comes then waits, and is not refused."""


def listen(config: WebScreen) -> socket:
    """The page's socket, on the configured address. Raises DeviceFault when the port can't be had.

    The process that serves the page may open none: it gets this one from the parent, which keeps it: a restarted
    page is at the same address.
    """
    family = AF_INET6 if ":" in config.address else AF_INET
    try:
        return create_server((config.address, config.port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise DeviceFault(
            f"screen web: port {config.port} of {config.address}: {one_line(error.strerror or error)}"
        ) from None
