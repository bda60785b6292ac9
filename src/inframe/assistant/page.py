"""What the console asks of the assistant, and how: a datagram of JSON each way, as the console may connect to nobody.

{"draft": "note" | "handover"}     the draft as `assisting.as_json` has it, and its SHA-256
{"sign": SHA-256}                  whether that draft, as it was shown, still holds; who signs it is the console's to record
"""

import json
from pathlib import Path
from typing import Any

from inframe.core.errors import DeviceFault, one_line
from inframe.machine.unixsocket import asked

LARGEST_QUESTION, LARGEST_ANSWER = 4096, 200_000
ANSWER_S = 60.0
"""A model on idle time may take this long; the template does not."""


def at(socket: str) -> Path:
    """The socket for pages, beside the assistant's."""
    return Path(f"{socket}.page")


def ask(socket: str, question: dict[str, str]) -> dict[str, Any]:
    """The assistant's answer. Raises DeviceFault where there is none, and with what it refused."""
    try:
        told: Any = json.loads(asked(at(socket), json.dumps(question).encode(), ANSWER_S, LARGEST_ANSWER))
    except (OSError, ValueError) as error:
        raise DeviceFault(
            f"the assistant does not answer: {one_line(getattr(error, 'strerror', None) or error)}"
        ) from None
    if not isinstance(told, dict) or "error" in told:
        raise DeviceFault(one_line(told["error"] if isinstance(told, dict) else "the assistant answers rubbish"))
    return told
