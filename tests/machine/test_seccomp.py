"""The filters, run through an interpreter of classic BPF for both processors, and for real in a child."""

import errno
import re
import socket
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframe.machine import kernel, seccomp
from inframe.machine.partition import Partition
from inframe.machine.seccomp import (
    ALLOW,
    CHECKED,
    CLOSES_IN,
    DENIED,
    ERRNO,
    KILL_PROCESS,
    NETWORKS,
    USER_NOTIF,
    Network,
    program,
)
from tests.machine.conftest import Start

FAMILIES = tuple(kernel.MACHINES)
UNSUPPORTED = "Address family not supported by protocol"
REFUSED, NOT_PERMITTED = "Permission denied", "Operation not permitted"


def run(code: list[seccomp.Instruction], number: int, args: tuple[int, ...] = (), audit: int | None = None) -> int:
    """What the filter answers: the part of classic BPF that seccomp(2) allows and we use."""
    data = struct.pack("<iIQ6Q", number, audit or 0, 0, *(*args, *[0] * (6 - len(args))))
    at = accumulator = 0
    while True:
        op, if_true, if_false, k = code[at]
        at += 1
        if op == seccomp.LOAD:
            accumulator = struct.unpack_from("<I", data, k)[0]
        elif op == seccomp.AND:
            accumulator &= k
        elif op == seccomp.RETURN:
            return k
        else:
            tests = {
                seccomp.JUMP_EQUAL: accumulator == k,
                seccomp.JUMP_AT_LEAST: accumulator >= k,
                seccomp.JUMP_ANY_BIT: bool(accumulator & k),
            }
            at += if_true if tests[op] else if_false


def ask(network: Network, family: str, name: str, *args: int) -> int:
    column = FAMILIES.index(family)
    number = (CHECKED.get(name) or DENIED[name])[column]
    assert number is not None
    return run(program(network, family), number, args, kernel.MACHINES[family].audit)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("network", NETWORKS)
class TestEveryNetwork:
    def test_is_a_program_that_the_kernel_takes(self, network: Network, family: str) -> None:
        code = program(network, family)
        assert len(code) <= 4096
        for at, (op, if_true, if_false, _) in enumerate(code):
            assert 0 <= if_true < 256
            assert 0 <= if_false < 256
            assert op == seccomp.RETURN or at + 1 + max(if_true, if_false) < len(code)
        assert code[-1] == (seccomp.RETURN, 0, 0, ALLOW)

    def test_denied_calls(self, network: Network, family: str) -> None:
        for name, numbers in DENIED.items():
            if numbers[FAMILIES.index(family)] is not None and not (network == "box" and name in CLOSES_IN):
                assert ask(network, family, name) == ERRNO | errno.EPERM, name

    def test_calls_of_another_architecture_end_the_process(self, network: Network, family: str) -> None:
        assert run(program(network, family), 0, audit=0x40000003) == KILL_PROCESS  # AUDIT_ARCH_I386

    def test_new_namespaces(self, network: Network, family: str) -> None:
        assert ask(network, family, "clone", 0x10000000) == ERRNO | errno.EPERM
        assert ask(network, family, "clone", 0x003D0F00) == ALLOW  # what pthread_create passes
        assert ask(network, family, "clone3") == ERRNO | errno.ENOSYS

    def test_ordinary_calls_pass(self, network: Network, family: str) -> None:
        for number in (0, 1, 63, 64, 98, 202, 281):  # read, write, futex … on one or the other
            assert run(program(network, family), number, audit=kernel.MACHINES[family].audit) == ALLOW


def test_x32_calls_do_not_exist() -> None:
    audit = kernel.MACHINES["x86_64"].audit
    for number in (0x40000029, -1):
        assert run(program("none", "x86_64"), number, audit=audit) == ERRNO | errno.ENOSYS


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.sampled_from(FAMILIES))
def test_socket_by_network(domain: int, kind: int, protocol: int, family: str) -> None:
    def allowed(network: Network) -> bool:
        return ask(network, family, "socket", domain, kind, protocol) == ALLOW

    assert allowed("none") == allowed("loopback") == allowed("box") == (domain == socket.AF_UNIX)
    assert allowed("any") == (domain in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK))
    tcp = kind & 0xF == socket.SOCK_STREAM and protocol in (0, socket.IPPROTO_TCP)
    assert allowed("camera") == (domain in (socket.AF_INET, socket.AF_INET6) and tcp)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_guard_may_close_a_box_in_and_do_nothing_else_more(family: str) -> None:
    assert [name for name in DENIED if DENIED[name][FAMILIES.index(family)] and ask("box", family, name) == ALLOW] == [
        "chroot",
        "unshare",
    ]


@pytest.mark.parametrize("family", FAMILIES)
def test_camera_sockets(family: str) -> None:
    close_on_exec, nonblocking = 0o2000000, 0o4000
    assert ask("camera", family, "socket", socket.AF_INET, socket.SOCK_STREAM | close_on_exec | nonblocking, 6) == ALLOW
    assert ask("camera", family, "socket", socket.AF_INET, socket.SOCK_DGRAM) == ERRNO | errno.EACCES
    assert ask("camera", family, "socket", socket.AF_INET, socket.SOCK_STREAM, 262) == ERRNO | errno.EACCES  # MPTCP
    assert ask("camera", family, "connect") == USER_NOTIF
    assert ask("camera", family, "bind") == ask("camera", family, "listen") == ERRNO | errno.EACCES
    for name, flags_at in (("sendto", 3), ("sendmsg", 2), ("sendmmsg", 3)):
        assert ask("camera", family, name, *[0] * flags_at, socket.MSG_FASTOPEN | 1) == ERRNO | errno.EACCES
        assert ask("camera", family, name, *[0] * flags_at, socket.MSG_NOSIGNAL) == ALLOW


@pytest.mark.parametrize("family", FAMILIES)
def test_no_connection_after_lock_down(family: str) -> None:
    code, audit = seccomp.no_connect_program(family), kernel.MACHINES[family].audit
    for name, numbers in CHECKED.items():
        expected = ERRNO | errno.EACCES if name == "connect" else ALLOW
        assert run(code, numbers[FAMILIES.index(family)], audit=audit) == expected


@pytest.mark.parametrize(
    ("family", "headers"),
    [
        ("x86_64", ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm/unistd_64.h")),
        ("aarch64", ("/usr/include/asm-generic/unistd.h",)),
    ],
)
def test_numbers_are_the_kernel_headers(family: str, headers: tuple[str, ...]) -> None:
    header = next((Path(path) for path in headers if Path(path).exists()), None)
    if header is None:
        pytest.skip("no kernel headers for that processor are installed")
    defined = dict(re.findall(r"^#define __NR(?:3264)?_(\w+)\s+(\d+)", header.read_text(), re.MULTILINE))
    for name, numbers in {**DENIED, **CHECKED}.items():
        number = numbers[FAMILIES.index(family)]
        if number is not None and name in defined:
            assert int(defined[name]) == number, name
    known = kernel.MACHINES[family]
    for name in ("seccomp", "mlock2", "pidfd_getfd"):
        assert int(defined[name]) == getattr(known, name), name


def test_a_process_without_a_network_has_none(start: Start, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        listening.listen()
        found = start("closed", Partition(), {"unix": str(tmp_path / "s")}).answer()
    assert found == {
        "dial_before": "",
        "dial_after": REFUSED,
        "dial_in_old_thread": REFUSED,
        "families": [UNSUPPORTED],
        "udp": UNSUPPORTED,
        "unix": "",
        "pair": "",
        **dict.fromkeys(("io_uring_setup", "ptrace", "unshare", "pidfd_getfd", "clone_newuser"), NOT_PERMITTED),
        "grandchild": str(errno.EAFNOSUPPORT),
    }


def test_the_console_serves_the_socket_it_was_given(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        where = listening.getsockname()
        child = start("serve", Partition(network="loopback"), fds={"listening": listening.fileno()})
        assert child.answer() == {"gave_up": {}, "inet": UNSUPPORTED}
        with socket.create_connection(where) as page:
            assert page.recv(16) == b"page"


def test_actions_of_this_kernel() -> None:
    assert seccomp.available(seccomp.ERRNO)
    assert not seccomp.available(0x12340000)
