"""What a row of ROUTES is. Apart from the table, so that a part of the page can have its rows in a file of its own."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from starlette.requests import Request

from inframe.console.desk import Desk
from inframe.console.people import Role
from inframe.console.sessions import Session

VIEWER, OPERATOR, SERVICE = Role


class Body(BaseModel):
    """What a request carries: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that has passed the door."""

    request: Request
    session: Session | None
    body: Any
    """Of the route's `body`."""
    query: Any
    """Of the route's `query`."""


Answer = Callable[[Desk, Asked], Awaitable[Any]]
"""What a route does: returns what JSON can carry, or a Response."""


@dataclass(frozen=True, slots=True)
class Route:
    """One row of ROUTES."""

    method: Literal["GET", "POST"]
    path: str
    role: Role | None
    """Who may, at least; None: everybody who reaches the page."""
    answer: Answer
    body: type[Body] | None = None
    query: type[Body] | None = None
    named: bool = False
    """Only somebody who has logged in, also where nobody must."""
    is_open_here: bool = False
    """Without a log-in where only this machine can reach it."""
    demo_only: bool = False
