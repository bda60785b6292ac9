"""Connects on behalf of a process that may reach one address only.

A system-call filter can't see the address of connect(). So the child's connect() is handed to this thread of the parent
(SECCOMP_RET_USER_NOTIF): it copies the address, compares it with the configured ones, and if it is one of them
connects the child's own socket through a duplicate, *with the copy*. The call is never let go on by itself
(SECCOMP_USER_NOTIF_FLAG_CONTINUE): the child could exchange the address in between. Every other address is refused
with EACCES and reported.

The alternative, a network namespace with a filter in it, needs root and a firewall tool; this works unprivileged.
Sources: seccomp_unotify(2), linux/seccomp.h, pidfd_getfd(2). Linux 5.9.
"""

import errno
import fcntl
import os
import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from inframe.machine import kernel

NOTIF_RECV, NOTIF_SEND, NOTIF_ID_VALID = 0xC0502100, 0xC0182101, 0x40082102
# struct seccomp_notif: id, pid, flags, data (nr, arch, instruction pointer, six arguments).
# A later kernel's struct may be longer; the length is part of these ioctl numbers.
_NOTIF = struct.Struct("=QIIiIQ6Q")
_RESPONSE = struct.Struct("=Qqii")  # id, value, error (negative), flags
CONNECT_S = 5.0
"""How long a connect() of a blocking socket may take; the kernel's own two minutes are no use to a watchdog."""
KEPT = 64
"""Refusals kept until somebody takes them; more are counted only."""

Address = tuple[str, int]
SocketAddress = tuple[str, int] | tuple[str, int, int, int]
"""Python's, for IPv4 or IPv6."""


@dataclass
class _Pending:
    """A blocking connect() under way: its child waits for our answer."""

    id: int
    mine: socket.socket
    where: SocketAddress
    deadline_ns: int


class Broker:
    """The parent's end of one camera process's connect().

    `channel`: our end of the socket pair that the child sends its listener over; `addresses`: the only (IP, TCP port)
    pairs.
    """

    def __init__(self, channel: socket.socket, addresses: Iterable[Address]) -> None:
        self._channel = channel
        self._addresses = frozenset((str(ip_address(ip)), port) for ip, port in addresses)
        self._listener = -1
        self._pending: dict[int, _Pending] = {}
        self._refused: deque[str] = deque(maxlen=KEPT)
        self._quit = os.eventfd(0, os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="connect-broker", daemon=True)
        self.refusals = 0
        """All refusals so far."""

    def start(self) -> None:
        """Serve the process at the other end of the channel, once it has sent its listener."""
        self._thread.start()

    def take_refused(self) -> tuple[str, ...]:
        """The refused connections since the last call, each "family address"; the latest 64 of them."""
        taken = []
        while self._refused:
            taken.append(self._refused.popleft())
        return tuple(taken)

    def close(self) -> None:
        """End the thread and let go of everything. From then on the child's connect() is refused."""
        os.eventfd_write(self._quit, 1)
        if self._thread.ident is not None:
            self._thread.join()
        for pending in self._pending.values():
            pending.mine.close()
        for fd in (self._quit, self._listener):
            if fd >= 0:
                os.close(fd)
        self._channel.close()

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._quit, select.POLLIN)
        poll.register(self._channel, select.POLLIN)
        while True:
            for fd, events in poll.poll(self._patience_ms()):
                if fd == self._quit:
                    return
                if fd == self._channel.fileno():
                    poll.unregister(fd)
                    if self._take_listener():
                        poll.register(self._listener, select.POLLIN)
                elif fd != self._listener:
                    poll.unregister(fd)
                    self._finish(self._pending.pop(fd))
                elif events & select.POLLIN:
                    started = self._serve()
                    if started is not None:
                        poll.register(started, select.POLLOUT)
                else:  # every process under the filter has ended
                    poll.unregister(fd)
            for fd in [fd for fd, pending in self._pending.items() if pending.deadline_ns <= time.monotonic_ns()]:
                poll.unregister(fd)
                self._finish(self._pending.pop(fd), errno.ETIMEDOUT)

    def _patience_ms(self) -> float | None:
        if not self._pending:
            return None
        first = min(pending.deadline_ns for pending in self._pending.values())
        return max(0.0, (first - time.monotonic_ns()) / 1e6) + 1

    def _take_listener(self) -> bool:
        message, fds, _, _ = socket.recv_fds(self._channel, 1, 1)
        if message and fds:
            self._listener = fds[0]
        return bool(message and fds)

    def _serve(self) -> int | None:
        """Answer one connect(), or begin it: then the descriptor to wait for."""
        request = bytearray(_NOTIF.size)  # the kernel refuses one that is not zero
        try:
            fcntl.ioctl(self._listener, NOTIF_RECV, request)
        except OSError:  # the caller was killed or interrupted since poll()
            return None
        id_, thread, _, _, _, _, fd, address, length, *_ = _NOTIF.unpack(request)
        try:
            raw, theirs = self._fetch(id_, thread, fd, address, length)
        except OSError as error:
            self._refuse(id_, f"unreadable: {error.strerror}")
            return None
        return self._connect(id_, theirs, raw)

    def _fetch(self, id_: int, thread: int, fd: int, address: int, length: int) -> tuple[bytes, socket.socket]:
        """The address that the caller passed, and a duplicate of its socket."""
        process = int(kernel.status_of(thread, "Tgid"))
        pidfd = os.pidfd_open(process)
        try:
            with Path(f"/proc/{process}/mem").open("rb", buffering=0) as memory:
                raw = os.pread(memory.fileno(), min(length & 0xFFFFFFFF, 128), address)
            mine = socket.socket(fileno=kernel.pidfd_getfd(pidfd, fd & 0xFFFFFFFF))
        finally:
            os.close(pidfd)
        try:
            # Only now: still the same question, so the numbers above did not pass to another process meanwhile
            fcntl.ioctl(self._listener, NOTIF_ID_VALID, struct.pack("=Q", id_))
        except OSError:
            mine.close()
            raise
        return raw, mine

    def _connect(self, id_: int, mine: socket.socket, raw: bytes) -> int | None:
        family, where = parse_address(raw)
        allowed = where[:2] in self._addresses and mine.family == family and mine.type == socket.SOCK_STREAM
        if not allowed:
            mine.close()
            self._refuse(id_, describe(family, where))
            return None
        # The flag belongs to the socket, not to our duplicate. While it is set the child waits for our answer.
        blocking = os.get_blocking(mine.fileno())
        if blocking:
            os.set_blocking(mine.fileno(), False)
        result = mine.connect_ex(where)
        if blocking and result in (errno.EINPROGRESS, errno.EALREADY):
            self._pending[mine.fileno()] = _Pending(id_, mine, where, time.monotonic_ns() + int(CONNECT_S * 1e9))
            return mine.fileno()
        if blocking:
            os.set_blocking(mine.fileno(), True)
        mine.close()
        self._answer(id_, result)
        return None

    def _finish(self, pending: _Pending, error: int | None = None) -> None:
        mine = pending.mine
        # Not SO_ERROR: only this second call moves the socket on to connected, as a blocking connect() would have done
        result = mine.connect_ex(pending.where) if error is None else error
        os.set_blocking(mine.fileno(), True)
        mine.close()
        self._answer(pending.id, result)

    def _refuse(self, id_: int, what: str) -> None:
        self.refusals += 1
        self._refused.append(what)
        self._answer(id_, errno.EACCES)

    def _answer(self, id_: int, error: int) -> None:
        try:
            fcntl.ioctl(self._listener, NOTIF_SEND, _RESPONSE.pack(id_, 0, -error, 0))
        except OSError:  # the caller was killed or interrupted meanwhile: nobody waits for an answer
            return


def parse_address(raw: bytes) -> tuple[int, SocketAddress]:
    """(family, Python's socket address) of a `struct sockaddr`; ("", 0) for what is neither IPv4 nor IPv6, or cut
    short.

    Network byte order within, ip(7) and ipv6(7).
    """
    family = struct.unpack_from("=H", raw)[0] if len(raw) >= 2 else 0
    if family == socket.AF_INET and len(raw) >= 16:
        port, packed = struct.unpack_from("!H4s", raw, 2)
        return family, (str(ip_address(packed)), port)
    if family == socket.AF_INET6 and len(raw) >= 28:
        port, _flow, packed = struct.unpack_from("!HI16s", raw, 2)
        scope = struct.unpack_from("=I", raw, 24)[0]
        return family, (str(ip_address(packed)), port, 0, scope)
    return family, ("", 0)


def describe(family: int, where: SocketAddress) -> str:
    """A refused destination for a report."""
    try:
        name = socket.AddressFamily(family).name
    except ValueError:
        name = f"family {family}"
    return f"{name} {where[0]} port {where[1]}" if where[0] else name
