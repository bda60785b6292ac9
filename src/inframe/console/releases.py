"""The release on its way, of a device that takes updates: what is in which slot, and what a person of the role service may do."""

from typing import Any, Literal

from pydantic import Field, model_validator

from inframe.console.desk import Desk
from inframe.console.route import SERVICE, VIEWER, Asked, Body, Route

MOST_HOURS = 24 * 30


class ReleaseMove(Body):
    """As `inframe update MOVE`."""

    move: Literal["trial", "defer", "commit", "rollback"]
    why: str = Field(min_length=3, max_length=200, description="on what grounds: goes into the record")
    hours: float = Field(0, ge=0, le=MOST_HOURS, description="defer: so long from now; 0: not any more")

    @model_validator(mode="after")
    def _whole(self) -> "ReleaseMove":
        if self.hours and self.move != "defer":
            raise ValueError("hours: expected none but to defer")
        return self


async def _release(desk: Desk, _asked: Asked) -> Any:
    """What is in which slot, and how far the newest update is."""
    return (await desk.order({"order": "release"}))["release"]


async def _move(desk: Desk, asked: Asked) -> Any:
    """Begin the trial of the release on its way, put it off, confirm it, or roll it back."""
    body, who = asked.body, asked.session.name if asked.session is not None else "nobody"
    order = {"order": "release", "move": body.move, "hours": body.hours, "why": f"{body.why} ({who}, at the console)"}
    answer = await desk.order(order)
    desk.did(asked.session, "RELEASE_ORDER", body.move, {"why": body.why, "hours": f"{body.hours:g}"})
    return answer["release"]


ROUTES = (
    Route("GET", "/api/release", VIEWER, _release),
    Route("POST", "/api/release", SERVICE, _move, body=ReleaseMove),
)
