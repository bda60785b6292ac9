"""Start real children and read what they answer."""

import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from inframe.machine.launch import Child, launch
from inframe.machine.partition import Partition
from inframe.machine.supervise import ProcessSpec


class Started:
    """A child of this test, and the answers that it writes."""

    def __init__(self, spec: ProcessSpec, answers: int) -> None:
        child = launch(spec)
        assert isinstance(child, Child)
        self.child, self.pid = child, child.pid
        self._answers = os.fdopen(answers, "r", encoding="utf-8")

    def answer(self) -> Any:
        """The next answer; None where the child ended without one."""
        line = self._answers.readline()
        return json.loads(line) if line else None

    def exit_code(self) -> int | None:
        assert self.child.wait(60.0)
        return self.child.poll()

    def close(self) -> None:
        self.child.send(9)
        self.child.wait(60.0)
        self.child.close()
        self._answers.close()


Start = Callable[..., Started]


@pytest.fixture
def start() -> Iterator[Start]:
    """start(target, partition, args, fds): a child that runs targets.`target`, killed at the test's end."""
    children: list[Started] = []

    def begin(
        target: str,
        partition: Partition | None = None,
        args: dict[str, Any] | None = None,
        fds: dict[str, int] | None = None,
    ) -> Started:
        reading, writing = os.pipe()
        path = f"tests.machine.targets:{target}"
        spec = ProcessSpec(
            "child", path, partition or Partition(), args=args or {}, fds={"out": writing, **(fds or {})}
        )
        try:
            children.append(Started(spec, reading))
        finally:
            os.close(writing)
        return children[-1]

    yield begin
    for child in children:
        child.close()
