import errno
import os
import socket
import threading
from collections.abc import Iterator
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframe.machine import broker, seccomp
from inframe.machine.broker import Broker, describe, parse_address
from inframe.machine.partition import Partition
from tests.machine.conftest import Start

pytestmark = pytest.mark.skipif(
    not seccomp.available(seccomp.USER_NOTIF), reason="this kernel does not hand system calls to another process"
)
REFUSED = "Permission denied"


class Listener:
    """Greets whoever connects."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self.socket.getsockname()[1]
        self._thread = threading.Thread(target=self._greet)
        self._thread.start()

    def _greet(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection:
                try:
                    connection.sendall(b"hello")
                except OSError:
                    continue

    def close(self) -> None:
        self.socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self.socket.close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    one = Listener()
    yield one
    one.close()


@pytest.fixture
def other() -> Iterator[socket.socket]:
    """A listener that nothing may reach."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as one:
        one.setblocking(False)
        yield one


def _reach(*ports: int) -> Partition:
    return Partition(network="camera", addresses=frozenset(("127.0.0.1", port) for port in ports))


def _has_ipv6() -> bool:
    try:
        socket.socket(socket.AF_INET6).close()
    except OSError:
        return False
    return True


def test_a_camera_process_reaches_its_camera_and_nothing_else(
    start: Start, listener: Listener, other: socket.socket
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: connecting to it is refused by the kernel
        dead = unused.getsockname()[1]
        ports = {"port": listener.port, "other": other.getsockname()[1], "dead": dead, "ipv6": _has_ipv6()}
        child = start("camera", _reach(listener.port, dead), ports)
        found = child.answer()
    assert found.pop("nonblocking") in ("Operation now in progress", "Success")
    assert found == {
        "gave_up": {},
        "blocking": "hello",
        "timeout": "hello",
        "thread": "hello",
        "again": ["Transport endpoint is already connected", True],
        "nonblocking_result": 0,
        "dead": "Connection refused",
        "dead_timeout": "Connection refused",
        **dict.fromkeys(("other_port", "other_address", "ipv6", "udp", "raw", "mptcp", "bind", "listen"), REFUSED),
        **dict.fromkeys(("fastopen", "fastopen_msg", "bad_pointer"), REFUSED),
        "netlink": "Address family not supported by protocol",
    }
    with pytest.raises(BlockingIOError):
        other.accept()
    refused = child.child.refused()
    assert refused[:2] == (f"AF_INET 127.0.0.1 port {ports['other']}", f"AF_INET 127.0.0.2 port {listener.port}")
    assert any(one.startswith("unreadable") for one in refused)
    assert child.child.refused() == ()


def test_an_address_exchanged_during_the_call_leads_nowhere(
    start: Start, listener: Listener, other: socket.socket
) -> None:
    args = {"port": listener.port, "other": other.getsockname()[1], "times": 300}
    results = set(start("swap", _reach(listener.port), args).answer())
    assert results <= {"", "Operation now in progress", REFUSED}
    with pytest.raises(BlockingIOError):
        other.accept()


def test_a_blocking_connect_that_nobody_answers_ends(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "CONNECT_S", 0.05)
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        queued = [socket.socket() for _ in range(4)]  # a full queue: further SYNs are dropped
        try:
            for one in queued:
                one.setblocking(False)
                one.connect_ex(full.getsockname())
            port = full.getsockname()[1]
            assert start("dial_slowly", _reach(port), {"port": port}).answer() == os.strerror(errno.ETIMEDOUT)
        finally:
            for one in queued:
                one.close()


def test_without_the_broker_nothing_is_reached(start: Start, listener: Listener) -> None:
    reading, writing = os.pipe()
    try:
        child = start("dial_when_told", _reach(listener.port), {"port": listener.port}, {"go": reading})
        assert child.answer() == "ready"
        child.child.close()
        os.write(writing, b"!")
        assert child.answer() == os.strerror(errno.ENOSYS)
    finally:
        os.close(reading)
        os.close(writing)


def test_a_broker_whose_child_never_came_can_be_closed() -> None:
    mine, theirs = socket.socketpair()
    one = Broker(mine, {("127.0.0.1", 1)})
    one.start()
    theirs.close()
    one.close()
    assert mine.fileno() == -1


@given(st.binary(max_size=40))
def test_any_bytes_are_an_address_or_none(raw: bytes) -> None:
    family, where = parse_address(raw)
    assert describe(family, where)
    if where[0]:
        ip_address(where[0])


@given(st.ip_addresses(v=4), st.integers(0, 65535), st.binary(max_size=8))
def test_ipv4_addresses(ip: object, port: int, rest: bytes) -> None:
    raw = b"\x02\x00" + port.to_bytes(2, "big") + ip_address(str(ip)).packed + bytes(8) + rest
    assert parse_address(raw) == (socket.AF_INET, (str(ip), port))


@given(st.ip_addresses(v=6), st.integers(0, 65535), st.integers(0, 2**32 - 1))
def test_ipv6_addresses(ip: object, port: int, scope: int) -> None:
    raw = b"\x0a\x00" + port.to_bytes(2, "big") + bytes(4) + ip_address(str(ip)).packed + scope.to_bytes(4, "little")
    assert parse_address(raw) == (socket.AF_INET6, (str(ip), port, 0, scope))
