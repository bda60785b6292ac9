"""Answers about what happened in a procedure: facts picked by the time, the names and the kinds that a question mentions, said as
in a note. The question picks; no word of it is repeated."""

import re
from collections.abc import Mapping

from inframe.assistant.facts import Fact, Kind, Procedure, Sentence
from inframe.assistant.template import about
from inframe.assistant.verify import check

MOST = 40
"""So many sentences at most; the last ones, as those are asked about."""
LONGEST = 500
_TIME = re.compile(r"(?<![\d:])([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?(?![\d:])")
_DAY_S = 86_400
AROUND_S = 30
"""A time with seconds asks for so long before and after it; one without for its minute."""
KIND_WORDS: Mapping[str, frozenset[Kind]] = {
    "alert": frozenset({Kind.ALERT_ON, Kind.ALERT_OFF, Kind.ALERT_PAST, Kind.ACKNOWLEDGED}),
    "alarm": frozenset({Kind.ALERT_ON, Kind.ALERT_OFF, Kind.ALERT_PAST, Kind.ACKNOWLEDGED}),
    "acknowledged": frozenset({Kind.ACKNOWLEDGED, Kind.SEEN}),
    "fault": frozenset({Kind.FAULT_ON, Kind.FAULT_OVER}),
    "mode": frozenset({Kind.MODE}),
    "degraded": frozenset({Kind.MODE}),
    "finding": frozenset({Kind.FINDING}),
    "seen": frozenset({Kind.FINDING, Kind.SEEN}),
    "missing": frozenset({Kind.GAP}),
    "gap": frozenset({Kind.GAP}),
    "overlay": frozenset({Kind.SETTING}),
    "opacity": frozenset({Kind.SETTING}),
    "setting": frozenset({Kind.SETTING}),
    "model": frozenset({Kind.MODEL}),
    "begin": frozenset({Kind.BEGIN}),
    "start": frozenset({Kind.BEGIN}),
    "end": frozenset({Kind.END}),
    "left": frozenset(),
    "right": frozenset(),
}
"""Words of a question, in singular -> which facts it is about; a side narrows."""


def answer(procedure: Procedure, question: str) -> tuple[Sentence, ...] | None:
    """The facts asked about, said; none where none fit; None where the question asks about no time, name or kind at all."""
    plain = question[:LONGEST].lower()
    asked = set(re.findall(r"[a-z0-9]+", plain))
    asked |= {word.removesuffix("s") for word in asked} | {word.removesuffix("ed") for word in asked}
    asked |= {{"began": "begin", "ended": "end", "started": "start"}.get(word, word) for word in asked}
    times = [_seconds(found) for found in _TIME.finditer(plain)]
    names = {fact.values["name"] for fact in procedure.facts if "name" in fact.values}
    named = {name for name in names if set(re.findall(r"[a-z0-9]+", name.lower())) <= asked}
    kinds = frozenset[Kind]().union(*(KIND_WORDS[word] for word in KIND_WORDS if word in asked))
    sides = asked & {"left", "right"}
    if not (times or named or kinds or sides):
        return None
    fitting = [
        fact
        for fact in procedure.facts
        if (not times or any(_within(fact, *span) for span in times))
        and (not named or fact.values.get("name") in named)
        and (not kinds or named or fact.kind in kinds)
        and (not sides or fact.values.get("side") in sides)
    ]
    sentences = about(fitting)[-MOST:]
    return check(procedure, [sentence.line() for sentence in sentences]).sentences


def _seconds(found: "re.Match[str]") -> tuple[int, int]:
    """From when to when a time asks about, in seconds of the day."""
    at = int(found[1]) * 3600 + int(found[2]) * 60
    if found[3] is None:
        return at, at + 59
    return at + int(found[3]) - AROUND_S, at + int(found[3]) + AROUND_S


def _within(fact: Fact, first: int, last: int) -> bool:
    hours, minutes, seconds = map(int, fact.values["time"].split(":"))
    at = hours * 3600 + minutes * 60 + seconds
    return any(first <= at + day <= last for day in (-_DAY_S, 0, _DAY_S))
