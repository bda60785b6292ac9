"""ROUTES: everything that the page can ask for, in one table: who may, what it takes, what it does. The tests read it too."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any, Literal

from pydantic import Field, model_validator
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from inframe.console import describe, drafts, drifted, reels, releases
from inframe.console.desk import Desk
from inframe.console.door import answer_refused, read_body, read_query
from inframe.console.follow import STEPS
from inframe.console.login import log_in, log_out, told
from inframe.console.refused import Refused
from inframe.console.route import OPERATOR, SERVICE, VIEWER, Asked, Body, Route
from inframe.console.sessions import Session
from inframe.drivers.screens.commands import Command, Wish
from inframe.pipeline.board import END, NEXT, Count
from inframe.trail.records import EventKind


class Login(Body):
    """Who wants in."""

    name: str = Field(min_length=1, max_length=32)
    password: str = Field(min_length=1, max_length=128)


class Nothing(Body):
    """{}"""


class Stop(Body):
    """What comes after the procedure."""

    then: Literal["end", "next"] = Field("end", description="end: the device stops; next: it begins the next procedure")


class Control(Body):
    """What the keys of a window ask for as well."""

    wish: Literal["overlay", "opacity", "acknowledge", "audio_pause"]
    value: float | None = Field(None, ge=0, le=1)

    @model_validator(mode="after")
    def _whole(self) -> "Control":
        if self.wish == "opacity" and self.value is None:
            raise ValueError("value: expected a number 0..1")
        return self


class CandidateOrder(Body):
    """A move of the candidate."""

    order: Literal["switch", "back", "keep"]


class Which(Body):
    """Which draft."""

    kind: Literal["note", "handover"]


class Signature(Body):
    """Which draft is signed, by the digest that came with it."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Break(Body):
    """What is broken on purpose, in the demo only."""

    what: Literal["kill_model", "freeze_camera", "hog_cpu", "swap_model", "kill_console"]


class Search(Body):
    """What of the trail is wanted."""

    text: str | None = Field(None, max_length=80)
    kind: Literal[tuple(kind.name.lower() for kind in EventKind)] | None = None  # type: ignore[valid-type]
    minutes: float = Field(10, gt=0, le=60 * 24 * 31)
    limit: int = Field(100, ge=1, le=500)
    frames: bool = Field(False, description="each frame, not a line a second")


class FrameNumber(Body):
    """Which frame."""

    seq: int = Field(ge=1, le=2**62)


# --- who one is ------------------------------------------------------------------------------------------------------


async def _session(desk: Desk, asked: Asked) -> Any:
    """Who one is, and the secret that the page must send back."""
    return told(desk, asked.session)


async def _login(desk: Desk, asked: Asked) -> Any:
    """Begin a session: under a new cookie, whatever was sent along."""
    return await log_in(desk, asked.request, asked.body.name, asked.body.password)


async def _logout(desk: Desk, asked: Asked) -> Any:
    """End the session."""
    return log_out(desk, asked.request, asked.session)


# --- what is ---------------------------------------------------------------------------------------------------------


async def _about(desk: Desk, _asked: Asked) -> Any:
    """What does not change while the device runs."""
    return describe.about(desk.device, demo=desk.demo)


async def _state(desk: Desk, _asked: Asked) -> Any:
    """Mode, verdict, alerts, findings, counts, controls."""
    return desk.follower.state(desk.clock.now())


async def _latency(desk: Desk, _asked: Asked) -> Any:
    """The times of the last minute's frames: number, capture to screen, then each step, ms; last the verdict."""
    return {"steps": ["total", *STEPS], "samples": list(desk.follower.samples)}


async def _processes(desk: Desk, _asked: Asked) -> Any:
    """The table of processes: core, class, memory, restarts."""
    return await desk.apart(lambda: describe.processes(desk.board, desk.follower, desk.clock))


async def _streams(desk: Desk, _asked: Asked) -> Any:
    """Each stream of frames and of samples: rate, age, quality, what was lost."""
    return desk.streams.told()


async def _models(desk: Desk, _asked: Asked) -> Any:
    """Each model: slot, digest, engine, signatures."""
    return describe.models(desk.device, desk.follower, desk.board)


async def _metrics(desk: Desk, _asked: Asked) -> Any:
    """Counters for Prometheus."""
    text = describe.metrics(desk.board, desk.follower, len(desk.live.clients))
    return PlainTextResponse(text, media_type="text/plain; version=0.0.4")


async def _openapi(_desk: Desk, _asked: Asked) -> Any:
    """This description."""
    from inframe.console.openapi import document

    return document(ROUTES)


# --- what was --------------------------------------------------------------------------------------------------------


async def _checkpoint(desk: Desk, _asked: Asked) -> Any:
    """How far the trail is, and by which key it is checked."""
    return await desk.apart(desk.past.checkpoint)


async def _trail(desk: Desk, asked: Asked) -> Any:
    """The newest lines of the trail that fit."""
    q = asked.query
    return await desk.apart(lambda: desk.past.search(q.text, q.kind, q.minutes, q.limit, each_frame=q.frames))


async def _frame(desk: Desk, asked: Asked) -> Any:
    """One frame of this procedure explained: input, models, settings, verdict, and the proof."""
    return await desk.apart(lambda: desk.past.frame(asked.query.seq))


# --- what is done ----------------------------------------------------------------------------------------------------


async def _control(desk: Desk, asked: Asked) -> Any:
    """Acknowledge alerts, pause the sound, set the overlay."""
    desk.live.take(Command(Wish(asked.body.wish), asked.body.value))
    value = {} if asked.body.value is None else {"value": f"{asked.body.value:g}"}
    desk.did(asked.session, "CONTROL", asked.body.wish, value)
    return {}


async def _stop(desk: Desk, asked: Asked) -> Any:
    """End the procedure: the device stops, and the console with it; or both begin anew, as the next procedure."""
    then = asked.body.then
    desk.did(asked.session, "PROCEDURE_ENDED", "a person ended the procedure at the console", {"then": then})
    await desk.said()
    desk.board.row(desk.row).set(Count.COMMAND, NEXT if then == "next" else END)
    return {}


async def _candidate(desk: Desk, _asked: Asked) -> Any:
    """How the candidate does."""
    return _finite(await desk.order({"order": "health"}))


async def _order(desk: Desk, asked: Asked) -> Any:
    """Show the candidate, take it back, or keep it."""
    answer = await desk.order({"order": asked.body.order})
    desk.did(asked.session, "CANDIDATE_ORDER", asked.body.order)
    return _finite(answer)


async def _break(desk: Desk, asked: Asked) -> Any:
    """Break something on purpose."""
    desk.note("demo", asked.body.what)
    return {}


def _finite(value: Any) -> Any:
    """JSON knows no infinity."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


ROUTES: tuple[Route, ...] = (
    Route("GET", "/api/session", None, _session),
    Route("POST", "/api/login", None, _login, body=Login),
    Route("POST", "/api/logout", VIEWER, _logout, body=Nothing, named=True),
    Route("GET", "/api/about", VIEWER, _about),
    Route("GET", "/api/state", VIEWER, _state),
    Route("GET", "/api/latency", VIEWER, _latency),
    Route("GET", "/api/processes", VIEWER, _processes),
    Route("GET", "/api/streams", VIEWER, _streams),
    Route("GET", "/api/models", VIEWER, _models),
    Route("GET", "/api/checkpoint", VIEWER, _checkpoint),
    Route("GET", "/api/trail", VIEWER, _trail, query=Search),
    Route("GET", "/api/frame", VIEWER, _frame, query=FrameNumber),
    *reels.ROUTES,
    *drifted.ROUTES,
    Route("GET", "/api/candidate", VIEWER, _candidate),
    Route("GET", "/api/draft", VIEWER, drafts.draft, query=Which),
    Route("POST", "/api/sign", OPERATOR, drafts.sign, body=Signature, named=True),
    Route("GET", "/openapi.json", VIEWER, _openapi, is_open_here=True),
    Route("GET", "/metrics", VIEWER, _metrics, is_open_here=True),
    Route("POST", "/api/control", OPERATOR, _control, body=Control),
    Route("POST", "/api/stop", OPERATOR, _stop, body=Stop, named=True),
    Route("POST", "/api/candidate", SERVICE, _order, body=CandidateOrder),
    *releases.ROUTES,
    Route("POST", "/api/break", OPERATOR, _break, body=Break, demo_only=True),
)


def endpoint(desk: Desk, route: Route) -> Callable[[Request], Awaitable[Response]]:
    """The route behind its guards."""

    async def answer(request: Request) -> Response:
        try:
            session = _may(desk, route, request)
            body = await read_body(request, route.body) if route.body is not None else None
            query = read_query(request, route.query) if route.query is not None else None
            said = await route.answer(desk, Asked(request, session, body, query))
        except Refused as refused:
            return answer_refused(refused)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001  # one request's fault must not be the page's: it is told, and answered
            desk.note("console", f"{route.path}: {type(error).__name__}: {error}")
            return answer_refused(Refused(500, "a fault of the console; it has been noted"))
        return said if isinstance(said, Response) else JSONResponse(said)

    return answer


def _may(desk: Desk, route: Route, request: Request) -> Session | None:
    """Whose request it is, if it may be made. Raises Refused."""
    if route.demo_only and not desk.demo:
        raise Refused(404, "only in the demo")
    if route.role is None or (route.is_open_here and desk.config.is_local):
        return desk.guard.who(request)
    session = desk.guard.must_be(request, route.role, named=route.named)
    if route.method != "GET":
        desk.guard.must_be_page(request, session)
    return session
