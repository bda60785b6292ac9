"""The part of OpenAI's API that this device's own software may use: what is asked, and the shape of each answer. Pure.

model       what comes back
note        the draft of an operative note; the messages are not read
handover    the draft of a handover, likewise
answer      the last message is a question: an answer from the record or the manual
command     the last message as an intent, for a person to confirm: nothing is done
text        the language model's own words, which nobody has verified: to be shown to nobody as something recorded
"""

import json
import time
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from inframe.core.errors import one_line

LARGEST_BODY = 32 << 10
MOST_TOKENS, USUAL_TOKENS = 4096, 256
BYTES_PER_TOKEN = 4
VERIFIED = ("note", "handover", "answer", "command")
MODELS = (*VERIFIED, "text")
ID = "inframe"


class Bad(Exception):
    """A request that is refused: an HTTP status, and one line that says why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status, self.why = status, why


class Said(BaseModel):
    """One message of a chat."""

    model_config = ConfigDict(extra="ignore")
    role: str = Field(max_length=32)
    content: str


class Asked(BaseModel):
    """A request. Clients send much more than this; what is not named here changes nothing."""

    model_config = ConfigDict(extra="ignore")
    model: Literal["note", "handover", "answer", "command", "text"]
    messages: tuple[Said, ...] = Field((), max_length=64)
    prompt: str | None = None
    stream: bool = False
    max_tokens: int | None = Field(None, ge=1, le=MOST_TOKENS)
    max_completion_tokens: int | None = Field(None, ge=1, le=MOST_TOKENS)
    grammar: str | None = Field(None, description="GBNF, as llama-server takes it")

    @property
    def text(self) -> str:
        """What the model shall go on from."""
        return self.prompt if self.prompt is not None else "\n".join(said.content for said in self.messages)

    @property
    def question(self) -> str:
        """The last message."""
        return self.messages[-1].content if self.messages else self.text

    @property
    def most(self) -> int:
        """Bytes that may come back: the box counts those, and no tokens."""
        return (self.max_completion_tokens or self.max_tokens or USUAL_TOKENS) * BYTES_PER_TOKEN


def asked(data: bytes, *, is_chat: bool) -> Asked:
    """The request in a body. Raises Bad."""
    try:
        found = Asked.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "body"
        raise Bad(400, one_line(f"{where}: {first['msg']}")) from None
    if is_chat and not found.messages:
        raise Bad(400, "messages: found none, expected at least one")
    if not is_chat and (found.prompt is None or found.model != "text"):
        raise Bad(400, "prompt: expected a text, and the model `text`; the others are for /v1/chat/completions")
    return found


def whole(one: Asked, text: str, why: str, more: Mapping[str, Any], *, is_chat: bool) -> dict[str, Any]:
    """The answer in one piece. `more`: what this device says beside it, with its sources."""
    said = {"message": {"role": "assistant", "content": text}} if is_chat else {"text": text}
    choice = {"index": 0, **said, "finish_reason": _reason(why)}
    return {
        **_head(one, "chat.completion" if is_chat else "text_completion"),
        "choices": [choice],
        "inframe": dict(more),
    }


def piece(one: Asked, text: str, *, is_chat: bool) -> bytes:
    """A part of a streamed answer, as a server-sent event."""
    said = {"delta": {"role": "assistant", "content": text}} if is_chat else {"text": text}
    return _event(_part(one, {"index": 0, **said, "finish_reason": None}, is_chat=is_chat))


def end(one: Asked, why: str, more: Mapping[str, Any], *, is_chat: bool) -> bytes:
    """The end of a streamed answer."""
    said: dict[str, Any] = {"delta": {}} if is_chat else {"text": ""}
    last = _part(one, {"index": 0, **said, "finish_reason": _reason(why)}, is_chat=is_chat) | {"inframe": dict(more)}
    return _event(last) + b"data: [DONE]\n\n"


def failed(bad: Bad) -> dict[str, Any]:
    """What is said of a refusal."""
    kind = "invalid_request_error" if bad.status < 429 else "rate_limit_error" if bad.status == 429 else "server_error"
    return {"error": {"message": bad.why, "type": kind, "param": None, "code": bad.status}}


def broken(bad: Bad) -> bytes:
    """The same, in a stream that has begun."""
    return _event(failed(bad))


def models(*, has_text: bool) -> dict[str, Any]:
    """The list of models."""
    names = MODELS if has_text else VERIFIED
    return {"object": "list", "data": [{"id": n, "object": "model", "created": 0, "owned_by": ID} for n in names]}


def _part(one: Asked, choice: dict[str, Any], *, is_chat: bool) -> dict[str, Any]:
    return {**_head(one, "chat.completion.chunk" if is_chat else "text_completion"), "choices": [choice]}


def _head(one: Asked, kind: str) -> dict[str, Any]:
    return {"id": ID, "object": kind, "created": int(time.time()), "model": one.model}


def _reason(why: str) -> str:
    return "length" if why == "long" else "stop"


def _event(told: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(told).encode() + b"\n\n"
