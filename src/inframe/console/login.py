"""Logging in and out."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from inframe.console.desk import Desk
from inframe.console.people import is_password
from inframe.console.refused import Refused
from inframe.console.sessions import LIFE_NS, Session
from inframe.core.clock import NS_PER_S


def told(desk: Desk, session: Session | None) -> dict[str, Any]:
    """What the page may know of who looks at it."""
    known = {} if session is None else {"name": session.name, "role": session.role.name.lower(), "csrf": session.csrf}
    return {
        "name": None,
        "role": None,
        "csrf": None,
        **known,
        "is_logged_in": session is not None and session.named,
        "can_log_in": bool(desk.people),
    }


async def log_in(desk: Desk, request: Request, name: str, password: str) -> JSONResponse:
    """A new session, if the password is right. Raises Refused: too many tries, a locked name, a wrong password."""
    now, address = desk.clock.now(), request.client.host if request.client else ""
    left = desk.lock_out.left_ns(name, now)
    if left:
        raise Refused(429, "locked after wrong passwords", retry_s=left // NS_PER_S + 1)
    if not desk.log_ins.allows("all", now):
        raise Refused(429, "too many log-ins", retry_s=10)
    person = desk.people.get(name)
    right = await desk.apart(lambda: is_password(person, password))
    if not right or person is None:
        locked = desk.lock_out.wrong(name, desk.clock.now())
        known = name if person is not None else "unknown"  # what is typed there by mistake may be a password
        desk.tell("LOGIN_REFUSED", "a wrong name or password", known, {"address": address})
        if locked:
            desk.tell("LOCKED_OUT", "too many wrong passwords", known, {"seconds": str(locked // NS_PER_S)})
        raise Refused(401, "the name or the password is wrong")
    desk.lock_out.right(name)
    desk.guard.sessions.end(desk.guard.token(request))
    token, session = desk.guard.sessions.begin(person, desk.clock.now())
    desk.did(session, "LOGGED_IN", "a person logged in", {"address": address})
    answer = JSONResponse(told(desk, session))
    answer.set_cookie(
        desk.guard.cookie,
        token,
        max_age=LIFE_NS // NS_PER_S,
        path="/",
        secure=desk.config.tls is not None,
        httponly=True,
        samesite="strict",
    )
    return answer


def log_out(desk: Desk, request: Request, session: Session | None) -> JSONResponse:
    """End the session; its cookie goes."""
    desk.guard.sessions.end(desk.guard.token(request))
    desk.did(session, "LOGGED_OUT", "a person logged out")
    answer = JSONResponse(told(desk, desk.guard.local))
    answer.delete_cookie(desk.guard.cookie, path="/", httponly=True, samesite="strict")
    return answer
