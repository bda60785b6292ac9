"""What a draft must say: the facts that none may leave out, and which of them still hold at the end of the record."""

from inframe.assistant.facts import Fact, Kind, NoteKind, Procedure

OPTIONAL = frozenset({Kind.SEEN, Kind.MODEL, Kind.SETTING, Kind.ALERT_OFF, Kind.FAULT_OVER})
"""A note may leave these out. Everything else must be in it."""
ALWAYS = frozenset({Kind.BEGIN, Kind.END, Kind.GAP, Kind.UNLISTED})
"""A handover must say these, what still holds, and each alert of high priority."""
_ENDED_BY = {
    Kind.ALERT_ON: {Kind.ALERT_ON, Kind.ALERT_OFF, Kind.ALERT_PAST},
    Kind.ALERT_PAST: {Kind.ALERT_ON, Kind.ALERT_OFF, Kind.ALERT_PAST, Kind.ACKNOWLEDGED},
    Kind.FAULT_ON: {Kind.FAULT_ON, Kind.FAULT_OVER},
    Kind.MODE: {Kind.MODE},
}


def still_open(procedure: Procedure) -> frozenset[str]:
    """The ids of the facts that hold at the end of the record: no later fact of the same key and side ends them."""
    latest: dict[tuple[Kind, str, str], Fact] = {}
    for fact in procedure.facts:
        which = fact.key, fact.values.get("side", "")
        for kind, enders in _ENDED_BY.items():
            if fact.kind in enders:
                latest.pop((kind, *which), None)
        if fact.kind in _ENDED_BY:
            latest[(fact.kind, *which)] = fact
    return frozenset(fact.id for fact in latest.values())


def required(procedure: Procedure, kind: NoteKind) -> frozenset[str]:
    """The ids that a draft of that kind must cite."""
    if kind == "note":
        return frozenset(fact.id for fact in procedure.facts if fact.kind not in OPTIONAL)
    holding = still_open(procedure)
    return frozenset(
        fact.id
        for fact in procedure.facts
        if fact.kind in ALWAYS
        or fact.id in holding
        or (fact.kind is Kind.ALERT_ON and fact.values["priority"] == "high")
    )


def whole(procedure: Procedure) -> tuple[str, ...]:
    """What a sentence that says there was none of something cites: the procedure's beginning and its end. Nothing where the
    beginning is not recorded, or where something is missing or not understood: then nobody can say that there was none."""
    if any(fact.kind in (Kind.GAP, Kind.UNLISTED) for fact in procedure.facts):
        return ()
    begins = [fact.id for fact in procedure.facts if fact.kind is Kind.BEGIN]
    ends = [fact.id for fact in procedure.facts if fact.kind is Kind.END]
    return (*begins, *ends) if begins else ()
