"""The controlled language: every way in which a fact may be said. Writers choose among these; whatever else they write is refused.

A form is text with slots. It says one fact (`EACH`), several of a kind (`TOGETHER`), that a state still holds (`OPEN`), that
nothing of a kind was recorded (`NONE`), or that the record contradicts itself (`CONFLICT`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from inframe.assistant.facts import Fact, Kind


class Says(Enum):
    """What a form claims of the facts that its sentence cites."""

    EACH = auto()
    TOGETHER = auto()
    OPEN = auto()
    NONE = auto()
    CONFLICT = auto()


@dataclass(frozen=True, slots=True)
class Form:
    """One row."""

    says: Says
    kind: Kind
    """NONE: of which kind there is none. CONFLICT: any."""
    text: str

    @property
    def slots(self) -> tuple[str, ...]:
        """The slots' names, in order."""
        return tuple(_SLOT.findall(self.text))

    @property
    def pattern(self) -> re.Pattern[str]:
        """What the form's sentences look like, its slots as named groups."""
        parts = _SLOT.split(self.text)
        return re.compile(
            "".join(f"(?P<{part}>{SLOTS[part]})" if i % 2 else re.escape(part) for i, part in enumerate(parts))
        )

    def said(self, values: Mapping[str, str]) -> str:
        """The sentence with these values. Raises KeyError where one is missing."""
        return _SLOT.sub(lambda slot: values[slot[1]], self.text)


_SLOT = re.compile(r"\{(\w+)\}")
_WORDS = r"[A-Za-z0-9][A-Za-z0-9 :,%.\-]*"
SLOTS: Mapping[str, str] = {
    "time": r"\d\d:\d\d:\d\d",
    "until": r"\d\d:\d\d:\d\d",
    "name": _WORDS,
    "priority": r"none|low|medium|high",
    "side": r"left|right",
    "frames": r"\d+",
    "dropped": r"\d+",
    "count": r"\d+",
    "seconds": r"\d+\.\d",
    "mode": r"NOMINAL|DEGRADED|VIDEO_ONLY|FAULT",
    "was": r"NOMINAL|DEGRADED|VIDEO_ONLY|FAULT",
    "settings": _WORDS,
    "model": _WORDS,
    "slot": r"active|unsigned|trial|previous",
    "what": r"[a-z][a-z ]*",
}

_EACH: Mapping[Kind, tuple[str, ...]] = {
    Kind.BEGIN: ("The procedure began at {time}.", "Recording of the procedure began at {time}."),
    Kind.END: (
        "The procedure ended at {time}, after {frames} recorded frames, with {dropped} records dropped.",
        "At {time} the procedure ended: {frames} frames recorded, {dropped} records dropped.",
    ),
    Kind.ALERT_ON: (
        "At {time} the alert {name} came on, priority {priority}.",
        "At {time} the alert {name} came on, {side} side, priority {priority}.",
        "The alert {name}, priority {priority}, came on at {time}.",
        "The alert {name} on the {side} side, priority {priority}, came on at {time}.",
    ),
    Kind.ALERT_OFF: ("At {time} the alert {name} went off.", "At {time} the alert {name} on the {side} side went off."),
    Kind.ALERT_PAST: (
        "At {time} the condition of the alert {name} was over; it had not been acknowledged.",
        "At {time} the condition of the alert {name} on the {side} side was over; it had not been acknowledged.",
    ),
    Kind.ACKNOWLEDGED: (
        "At {time} the alert {name} was acknowledged.",
        "At {time} the alert {name} on the {side} side was acknowledged.",
    ),
    Kind.SEEN: ("At {time} a person acknowledged the alerts present.",),
    Kind.MODE: ("At {time} the device was in mode {mode}.", "At {time} the device went from mode {was} to {mode}."),
    Kind.FAULT_ON: ("At {time} the device reported {name}, priority {priority}.",),
    Kind.FAULT_OVER: ("At {time} the fault {name} was over.",),
    Kind.SETTING: ("At {time} the display was set: {settings}.",),
    Kind.FINDING: (
        "From {time} to {until} the device saw {name} for {seconds} s, priority {priority}.",
        "From {time} to {until} the device saw {name} on the {side} side for {seconds} s, priority {priority}.",
    ),
    Kind.EVENT: ("At {time} the device recorded {name}.",),
    Kind.MODEL: ("At {time} the model {model} was loaded, slot {slot}.",),
    Kind.GAP: ("At {time} records are missing.",),
    Kind.UNLISTED: ("At {time} there is a record in words that are not the device's own.",),
}
_TOGETHER: Mapping[Kind, tuple[str, ...]] = {
    Kind.ALERT_ON: (
        "Between {time} and {until} the alert {name} came on {count} times, priority {priority}.",
        "The alert {name}, priority {priority}, came on {count} times between {time} and {until}.",
    ),
    Kind.ALERT_OFF: ("Between {time} and {until} the alert {name} went off {count} times.",),
    Kind.FINDING: (
        "Between {time} and {until} the device saw {name} {count} times, for {seconds} s in all, priority {priority}.",
    ),
    Kind.FAULT_ON: ("Between {time} and {until} the device reported {name} {count} times, priority {priority}.",),
    Kind.EVENT: ("Between {time} and {until} the device recorded {name} {count} times.",),
    Kind.GAP: ("Between {time} and {until} records are missing in {count} places.",),
    Kind.UNLISTED: ("Between {time} and {until} there are {count} records in words that are not the device's own.",),
}
_OPEN: Mapping[Kind, tuple[str, ...]] = {
    Kind.ALERT_ON: (
        "The alert {name}, on since {time}, is not over, priority {priority}.",
        "The alert {name} on the {side} side, on since {time}, is not over, priority {priority}.",
    ),
    Kind.ALERT_PAST: (
        "The alert {name}, over since {time}, has not been acknowledged.",
        "The alert {name} on the {side} side, over since {time}, has not been acknowledged.",
    ),
    Kind.FAULT_ON: ("The fault {name}, reported at {time}, is not over, priority {priority}.",),
    Kind.MODE: ("The device has been in mode {mode} since {time}.",),
}
_NONE: Mapping[Kind, tuple[str, ...]] = {
    Kind.ALERT_ON: ("No alert came on.",),
    Kind.FINDING: ("No finding was recorded.",),
    Kind.END: ("No end of the procedure is recorded.",),
}
CONFLICT_FORM = Form(Says.CONFLICT, Kind.UNLISTED, "The record contradicts itself: {what}.")

FORMS: tuple[Form, ...] = (
    *(Form(Says.EACH, kind, text) for kind, texts in _EACH.items() for text in texts),
    *(Form(Says.TOGETHER, kind, text) for kind, texts in _TOGETHER.items() for text in texts),
    *(Form(Says.OPEN, kind, text) for kind, texts in _OPEN.items() for text in texts),
    *(Form(Says.NONE, kind, text) for kind, texts in _NONE.items() for text in texts),
    CONFLICT_FORM,
)
MUST_SAY = ("side", "was")
"""Slots that a sentence about one fact may not leave out where the fact has them."""


def forms(says: Says, kind: Kind) -> tuple[Form, ...]:
    """All forms of that claim about that kind."""
    return tuple(form for form in FORMS if form.says is says and form.kind is kind)


def fitting(says: Says, fact: Fact) -> tuple[Form, ...]:
    """Those that say this fact whole: no slot that it lacks, none of MUST_SAY left out."""
    must = {slot for slot in MUST_SAY if slot in fact.values and says is not Says.TOGETHER}
    if says is Says.OPEN:
        must.discard("was")
    return tuple(
        form for form in forms(says, fact.kind) if set(form.slots) <= set(fact.values) and must <= set(form.slots)
    )
