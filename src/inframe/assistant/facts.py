"""What the assistant knows of a procedure: facts, each made of one record of the trail, and the sentences that cite them.

A fact's values are text, already as they are said: `verify` compares them letter by letter.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

NoteKind = Literal["note", "handover"]
"""note: what happened, in order, for the operative note. handover: what the next person must know now."""
NOTE_KINDS: tuple[NoteKind, ...] = ("note", "handover")


class Kind(StrEnum):
    """What a fact is about. Its slots are named behind it; each fact also has `time`, when it happened (UTC)."""

    BEGIN = "begin"
    """-"""
    END = "end"
    """frames, dropped: as the recorder counted them"""
    ALERT_ON = "alert_on"
    """name, priority; side, where the record has one"""
    ALERT_OFF = "alert_off"
    """name; side"""
    ALERT_PAST = "alert_past"
    """name; side: the condition is over, nobody has acknowledged it (LATCHED)"""
    ACKNOWLEDGED = "acknowledged"
    """name; side"""
    SEEN = "seen"
    """- : a person has seen the alerts present then"""
    MODE = "mode"
    """mode; was, where the record has one"""
    FAULT_ON = "fault_on"
    """name, priority"""
    FAULT_OVER = "fault_over"
    """name"""
    SETTING = "setting"
    """settings: what was set at a screen, e.g. "overlay off, opacity 50 %\""""
    FINDING = "finding"
    """name, priority, until, seconds; side: a rule's finding, from its first frame to its last"""
    EVENT = "event"
    """name: another row of EVENTS (updates, candidates)"""
    MODEL = "model"
    """model, slot: a model was loaded"""
    GAP = "gap"
    """- : records are missing"""
    UNLISTED = "unlisted"
    """- : a record whose words are not the device's own; they are not repeated"""


@dataclass(frozen=True, slots=True)
class Fact:
    """One record of the trail, or one finding's span of frames."""

    id: str
    """Where it is: E4.0 is event 0 of leaf 4, F7.31.0 is what began in row 31 of the frames of leaf 7 (the last number: which of
    the findings that began there)."""
    kind: Kind
    at_ns: int
    """Wall time, ns since 1970."""
    values: Mapping[str, str]
    key: str = ""
    """The rule or event that it is about, as the record names it; facts of one key belong together."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two facts, or one, that can't both be so."""

    what: str
    """A row of conflicts.CONFLICTS."""
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Procedure:
    """All that the assistant knows. Nothing in it comes from outside the device."""

    id: str
    """Hexadecimal, as `inframe trail` names it."""
    facts: tuple[Fact, ...]
    """In the order of recording."""
    conflicts: tuple[Conflict, ...] = ()

    def by_id(self) -> dict[str, Fact]:
        """The facts by their ids."""
        return {fact.id: fact for fact in self.facts}


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence and what it rests on."""

    text: str
    cites: tuple[str, ...]

    def line(self) -> str:
        """As it is written: the sentence with its sources behind it."""
        return f"{self.text} [{', '.join(self.cites)}]"


@dataclass(frozen=True, slots=True)
class Draft:
    """What a person gets to read, and may sign. Every sentence in it has passed `verify`."""

    kind: NoteKind
    procedure: str
    sentences: tuple[Sentence, ...]
    origin: Literal["template", "model"] = "template"
    """model: at least one sentence was written by the model."""
    fallbacks: tuple[str, ...] = field(default=())
    """Why the template wrote what the model should have written; one entry for each part."""
