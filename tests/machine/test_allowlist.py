"""The list of allowed calls, run through test_seccomp's interpreter for both processors. For real: tests/assistant/test_box.py."""

import errno

import pytest

from inframe.machine import kernel
from inframe.machine.allowlist import ALLOWED, FCNTL, PROT_EXEC, WITHOUT_EXEC, program
from inframe.machine.seccomp import ALLOW, ERRNO, KILL_PROCESS
from tests.machine.test_seccomp import run

REFUSED = ERRNO | errno.EPERM
FAMILIES = tuple(kernel.MACHINES)


@pytest.mark.parametrize("family", FAMILIES)
class TestEachProcessor:
    def ask(self, family: str, number: int, *args: int) -> int:
        return run(program(family), number, args, kernel.MACHINES[family].audit)

    def test_only_what_is_on_the_list(self, family: str) -> None:
        column = FAMILIES.index(family)
        listed = {numbers[column] for numbers in ALLOWED.values()} - {None}
        checked = {pair[column] for pair in (*WITHOUT_EXEC.values(), FCNTL)}
        for number in set(range(600)) - checked:
            assert self.ask(family, number) == (ALLOW if number in listed else REFUSED), number

    def test_no_executable_memory(self, family: str) -> None:
        for pair in WITHOUT_EXEC.values():
            number = pair[FAMILIES.index(family)]
            assert self.ask(family, number, 0, 4096, 3) == ALLOW
            assert self.ask(family, number, 0, 4096, 3 | PROT_EXEC) == REFUSED

    def test_flags_are_asked_and_not_changed(self, family: str) -> None:
        number = FCNTL[FAMILIES.index(family)]
        assert [self.ask(family, number, 0, what) for what in (1, 3)] == [ALLOW, ALLOW]
        assert {self.ask(family, number, 0, what) for what in (0, 2, 4, 9, 1030)} == {REFUSED}

    def test_another_architecture_ends_the_process(self, family: str) -> None:
        assert run(program(family), 0, audit=0x40000003) == KILL_PROCESS

    def test_it_is_a_program_that_the_kernel_takes(self, family: str) -> None:
        code = program(family)
        assert len(code) <= 4096
        assert all(0 <= one[1] < 256 and 0 <= one[2] < 256 for one in code)
