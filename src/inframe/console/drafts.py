"""Drafts of the assistant on the page, each sentence with its sources, and their signing. A draft is shown by the very bytes that
are signed: who signs names their digest, and the assistant compares every sentence with the record once more.
"""

import asyncio
from typing import TYPE_CHECKING, Any

from inframe.assistant import page
from inframe.console.refused import Refused
from inframe.core.errors import DeviceFault
from inframe.trail.records import EventKind

if TYPE_CHECKING:
    from inframe.console.desk import Desk
    from inframe.console.route import Asked

MOST_WAITING = 4
_waiting: set[object] = set()


async def _ask(desk: "Desk", question: dict[str, str]) -> dict[str, Any]:
    """In a thread of its own: a draft may take a while, and nothing else of the page waits for it. Raises Refused."""
    assistant = desk.device.assistant
    if assistant is None:
        raise Refused(409, "this device has no assistant")
    if len(_waiting) >= MOST_WAITING:
        raise Refused(503, "busy", retry_s=2)
    me = object()
    _waiting.add(me)
    try:
        return await asyncio.to_thread(page.ask, assistant.socket, question)
    except DeviceFault as fault:
        raise Refused(409, str(fault)) from None
    finally:
        _waiting.discard(me)


async def draft(desk: "Desk", asked: "Asked") -> Any:
    """A draft of this procedure's note or handover, each sentence with the events that it says."""
    return await _ask(desk, {"draft": asked.query.kind})


async def sign(desk: "Desk", asked: "Asked") -> Any:
    """Sign a draft that was shown: every sentence is compared with the record once more, and who signed is recorded."""
    told = await _ask(desk, {"sign": asked.body.sha256})
    data = {key: str(told[key]) for key in ("sha256", "procedure", "draft")}
    who = asked.session.name if asked.session is not None else "nobody"
    desk.did(
        asked.session,
        "NOTE_SIGNED",
        f"a draft {data['draft']} was signed",
        {**data, "signed_by": who},
        EventKind.EXPORT,
    )
    await desk.said()
    return {**data, "signed_by": who}
