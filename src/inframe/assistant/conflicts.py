"""Where the record of a procedure contradicts itself. Both sides are then said, and that they contradict each other."""

from collections.abc import Iterator, Sequence

from inframe.assistant.facts import Conflict, Fact, Kind

CONFLICTS = {
    "TWO_BEGINNINGS": "the procedure begins more than once",
    "TWO_ENDS": "the procedure ends more than once",
    "END_FIRST": "the procedure ends before it begins",
    "AFTER_END": "something is recorded after the end",
    "BACKWARDS": "times run backwards",
    "OFF_UNSEEN": "an alert went off that was not on",
    "ON_TWICE": "an alert came on that was on already",
    "OVER_UNSEEN": "a fault was over that was not present",
    "MODE_LEFT": "a mode ended that the device was not in",
    "SIDES": "an alert came on at one side and went off at the other",
}
"""Name -> as it is said."""
_ALERTS = (Kind.ALERT_ON, Kind.ALERT_OFF, Kind.ALERT_PAST, Kind.ACKNOWLEDGED)
_ENDS = (Kind.ALERT_OFF, Kind.ALERT_PAST)
STEP_NS = 2_000_000_000
"""Records of different processes reach the trail within about a second of each other; further back is backwards."""


def conflicts(facts: Sequence[Fact]) -> tuple[Conflict, ...]:
    """All of them, in the order of the facts."""
    return tuple(dict.fromkeys((*_frame(facts), *_backwards(facts), *_alerts(facts), *_faults(facts), *_modes(facts))))


def _frame(facts: Sequence[Fact]) -> Iterator[Conflict]:
    begins, ends = ([f for f in facts if f.kind is kind] for kind in (Kind.BEGIN, Kind.END))
    if len(begins) > 1:
        yield Conflict("TWO_BEGINNINGS", tuple(f.id for f in begins[:2]))
    if len(ends) > 1:
        yield Conflict("TWO_ENDS", tuple(f.id for f in ends[:2]))
    if begins and ends and ends[0].at_ns < begins[0].at_ns:
        yield Conflict("END_FIRST", (begins[0].id, ends[0].id))
    if ends:
        late = next((f for f in facts if f.at_ns > ends[-1].at_ns + STEP_NS and f.kind is not Kind.END), None)
        if late is not None:
            yield Conflict("AFTER_END", (ends[-1].id, late.id))


def _backwards(facts: Sequence[Fact]) -> Iterator[Conflict]:
    """Once for each fact that others lie behind. The beginning aside: the recorder writes it first, and then what it was told while
    it was being started; likewise a finding, which is recorded when its last frame was."""
    newest: Fact | None = None
    told = ""
    for fact in facts:
        if fact.kind in (Kind.BEGIN, Kind.FINDING):
            continue
        if newest is not None and fact.at_ns < newest.at_ns - STEP_NS and newest.id != told:
            told = newest.id
            yield Conflict("BACKWARDS", (newest.id, fact.id))
        if newest is None or fact.at_ns > newest.at_ns:
            newest = fact


def _alerts(facts: Sequence[Fact]) -> Iterator[Conflict]:
    on: dict[tuple[str, str | None], Fact] = {}
    settled: set[tuple[str, str | None]] = set()  # acknowledged, or over: such an alert may come on again
    for fact in facts:
        if fact.kind not in _ALERTS:
            continue
        which = fact.key, fact.values.get("side")
        before = on.get(which)
        if fact.kind is Kind.ALERT_ON:
            if before is not None and which not in settled:
                yield Conflict("ON_TWICE", (before.id, fact.id))
            on[which] = fact
            settled.discard(which)
            continue
        if before is None and fact.kind in _ENDS:
            other = next((one for (key, _), one in on.items() if key == fact.key), None)
            yield Conflict("OFF_UNSEEN", (fact.id,)) if other is None else Conflict("SIDES", (other.id, fact.id))
        settled.add(which)
        if fact.kind is Kind.ALERT_OFF:
            on.pop(which, None)


def _faults(facts: Sequence[Fact]) -> Iterator[Conflict]:
    on: set[str] = set()
    for fact in facts:
        if fact.kind is Kind.FAULT_ON:
            on.add(fact.key)
        elif fact.kind is Kind.FAULT_OVER:
            if fact.key not in on:
                yield Conflict("OVER_UNSEEN", (fact.id,))
            on.discard(fact.key)


def _modes(facts: Sequence[Fact]) -> Iterator[Conflict]:
    mode: Fact | None = None
    for fact in facts:
        if fact.kind is not Kind.MODE:
            continue
        if mode is not None and "was" in fact.values and fact.values["was"] != mode.values["mode"]:
            yield Conflict("MODE_LEFT", (mode.id, fact.id))
        mode = fact
