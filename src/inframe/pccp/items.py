"""The lines of a check."""

from dataclasses import dataclass
from enum import Enum


class Status(Enum):
    """What became of a line."""

    HOLDS = "holds"
    OUTSIDE = "outside"
    """The change is not one of the plan."""
    FAILED = "failed"
    """A demand of the plan was looked at, and is not met."""
    MISSING = "missing"
    """Nobody has shown whether it is met."""


@dataclass(frozen=True, slots=True)
class Item:
    """One change, or one demand of the protocol."""

    what: str
    status: Status
    found: str
    expected: str

    def __str__(self) -> str:
        """In one line."""
        return f"{self.what}: {self.status.value}: found {self.found}, expected {self.expected}"


def demand(what: str, met: bool, found: object, expected: object) -> Item:
    """A demand that could be looked at."""
    return Item(what, Status.HOLDS if met else Status.FAILED, str(found), str(expected))
