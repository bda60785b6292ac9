"""Rules: only results speak, findings persist and clear as the device file says, and nothing old stands for current."""

import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inframe.core.clock import NS_PER_MS, NS_PER_S
from inframe.core.config import DecodeFunction
from inframe.core.errors import ConfigError
from inframe.core.types import Finding, Priority, Scores
from inframe.pipeline.decide import Plan, make_plan
from inframe.pipeline.rules import RuleState, findings, holds, step_rules
from tests.pipeline.script import device, labels, masks, model, result

PERIOD_NS = 1_000_000_000 // 30
AREA = {"kind": "area", "labels": ["organ"], "above": 0.3}


def plan(rules: dict[str, Any], **changes: Any) -> Plan:
    file = device({"organs": model(**changes)}, rules)
    return make_plan(file, labels(file))


def rule(when: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    return {"model": "organs", "when": when or AREA, "text": "ORGAN LARGE"} | changes


def story(
    one: dict[str, Any], values: Sequence[float | None], dt_ns: int = PERIOD_NS, **changes: Any
) -> list[tuple[Finding, ...]]:
    """The findings after results whose organ covers these shares; None: no result."""
    rules = plan({"r": one}, **changes).rules
    states: tuple[RuleState, ...] = (RuleState(),)
    out, now = [], NS_PER_S
    for share in values:
        now += dt_ns
        fresh = () if share is None else (result(1, now, output=masks((1, share))),)
        states = step_rules(rules, fresh, now, states, ai_on=True)
        out.append(findings(rules, states))
    return out


def stands(one: dict[str, Any], values: Sequence[float | None], dt_ns: int = PERIOD_NS, **changes: Any) -> str:
    """As `story`: "#" where the finding stands, "." where it doesn't."""
    return "".join("#" if found else "." for found in story(one, values, dt_ns, **changes))


HIGH, LOW, MIDDLE = 0.5, 0.1, 0.25


def test_a_finding_says_what_since_when_and_how_much() -> None:
    found = story(rule(persist={"k": 2, "n": 2}, priority="high"), [LOW, HIGH, 0.6])[-1]
    assert found == (Finding("r", "ORGAN LARGE", Priority.HIGH, NS_PER_S + 2 * PERIOD_NS, 0.6),)


def test_a_finding_that_comes_again_has_its_own_beginning() -> None:
    said = story(rule(persist={"k": 1, "n": 5}, clear_s=0), [HIGH, LOW, LOW, HIGH, LOW])
    assert [[f.since_ns for f in found] for found in said] == [
        [NS_PER_S + PERIOD_NS],
        [],
        [],
        [NS_PER_S + 4 * PERIOD_NS],
        [],
    ]


def test_k_of_n() -> None:
    k_of_n = rule(persist={"k": 3, "n": 5}, clear_s=0)
    assert stands(k_of_n, [HIGH, LOW, HIGH, LOW, HIGH, LOW]) == "....#."
    assert stands(k_of_n, [HIGH, HIGH, LOW, LOW, LOW, HIGH]) == "......"


def test_k_of_n_is_not_raised_by_a_result_against_it() -> None:
    assert stands(rule(persist={"k": 1, "n": 3}, clear_s=0), [HIGH, LOW, LOW, HIGH]) == "#..#"


def test_seconds_without_a_break() -> None:
    seconds = rule(persist={"seconds": 0.3}, clear_s=0)
    assert stands(seconds, [HIGH] * 5, 100 * NS_PER_MS, every=2) == "...##"
    assert stands(seconds, [HIGH, HIGH, HIGH, LOW, HIGH, HIGH, HIGH], 100 * NS_PER_MS, every=2) == "......."


def test_it_clears_only_after_clear_s_without_the_condition() -> None:
    clear = rule(clear_s=0.3)
    assert stands(clear, [HIGH, LOW, LOW, LOW, LOW, LOW], 100 * NS_PER_MS, every=2) == "####.."
    assert stands(clear, [HIGH, LOW, LOW, HIGH, LOW, LOW, LOW], 100 * NS_PER_MS, every=2) == "#######"


def test_missing_results_speak_neither_for_nor_against() -> None:
    assert stands(rule(persist={"k": 3, "n": 3}), [HIGH, None, HIGH, None, None, HIGH]) == ".....#"
    assert stands(rule(clear_s=0.1), [HIGH, *[None] * 10, LOW]) == "#" * 12, "not a moment counts against it"
    long_gap = [HIGH, *[None] * 12, HIGH]  # 433 ms, of which two periods count
    assert stands(rule(persist={"seconds": 0.3}), long_gap) == "." * 14


def test_what_is_unknown_for_too_long_is_not_known_any_more() -> None:
    out = stands(rule(clear_s=0.1), [HIGH, *[None] * 20])  # at least VIDEO_ONLY_NS and a period: 533 ms
    assert out == "#" * 16 + "." * 5 or out == "#" * 17 + "." * 4
    assert stands(rule(clear_s=2), [HIGH, *[None] * 59]) == "#" * 60, "clear_s, if that is longer"
    assert stands(rule(clear_s=2), [HIGH, *[None] * 62])[-1] == "."


def test_evidence_from_before_a_long_gap_is_forgotten() -> None:
    assert stands(rule(persist={"k": 2, "n": 5}, clear_s=0.1), [HIGH, *[None] * 30, HIGH, HIGH])[-2:] == ".#"


def test_a_slow_schedule_is_not_a_gap() -> None:
    slow = [HIGH, *[None] * 29] * 3
    assert stands(rule(persist={"k": 2, "n": 2}, clear_s=0), slow, every=30) == "." * 30 + "#" * 60


def test_no_finding_stands_while_the_ai_is_off() -> None:
    rules = plan({"r": rule()}).rules
    states = step_rules(rules, (result(1, 5, output=masks((1, HIGH))),), 5, (RuleState(),), ai_on=True)
    assert findings(rules, states)
    assert step_rules(rules, (), 6, states, ai_on=False) == (RuleState(),)


def test_hysteresis() -> None:
    banded = rule(AREA | {"release": 0.2}, clear_s=0)
    assert stands(banded, [MIDDLE, HIGH, MIDDLE, 0.2, LOW, MIDDLE]) == ".###.."
    below = rule({"kind": "area", "labels": ["organ"], "below": 0.2, "release": 0.3}, clear_s=0)
    assert stands(below, [MIDDLE, LOW, MIDDLE, 0.3, HIGH, MIDDLE]) == ".###.."


def test_the_threshold_itself_is_not_beyond_it() -> None:
    one = plan({"r": rule()}).rules[0]
    assert not holds(one, 0.3, False)
    assert holds(one, math.nextafter(0.3, 1), False)
    assert not holds(one, None, True)


def test_no_value_is_an_answer_and_no_number_is_none() -> None:
    near = rule({"kind": "distance", "source": "instrument", "target": "organ", "below": 0.2}, clear_s=0)
    rules = plan({"r": near}).rules
    touching, alone = masks((1, 0.3), (2, 0.3)), masks((1, 0.3))
    states = step_rules(rules, (result(1, 5, output=touching),), 5, (RuleState(),), ai_on=True)
    assert findings(rules, states)[0].value == 0
    assert not findings(rules, step_rules(rules, (result(2, 6, output=alone),), 6, states, ai_on=True))
    wrong_kind = Scores(masks().classes.astype("f4"))
    assert step_rules(rules, (result(2, 6, output=wrong_kind),), 6, states, ai_on=True) == states


def refusal(when: dict[str, Any], **changes: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        plan({"near": rule(when)}, **changes)
    return caught.value


def test_an_unknown_label_is_refused() -> None:
    error = refusal({"kind": "area", "labels": ["liver"], "above": 0.3})
    assert str(error) == (
        "device file: rules.near.when.labels: found liver, expected one of background, organ, instrument"
    )
    for key in ("source", "target"):
        distance = {"kind": "distance", "source": "organ", "target": "organ", "below": 0.1, key: "liver"}
        assert refusal(distance).field == f"rules.near.when.{key}"
    assert refusal({"kind": "count", "label": "liver", "above": 1}).field == "rules.near.when.label"


CLASSIFY, HEAT = {"decode": {"kind": "classification"}}, {"decode": {"kind": "heat"}}


def test_a_measure_that_the_model_cannot_give_is_refused() -> None:
    assert refusal({"kind": "score", "label": "organ", "above": 0.5}).found == "score"
    assert refusal(AREA, **CLASSIFY).expected == "one of score: organs gives classification"
    own = {"decode": {"kind": "function", "function": "a.py:f", "returns": "heat"}}
    assert isinstance(device({"organs": model(**own)}).models["organs"].decode, DecodeFunction)
    assert refusal(AREA, **own).field == "rules.near.when.kind"


def test_a_score_names_a_label_unless_it_is_a_heat_maps() -> None:
    assert refusal({"kind": "score", "above": 0.5}, **CLASSIFY).found == "nothing"
    assert refusal({"kind": "score", "label": "liver", "above": 0.5}, **CLASSIFY).found == "liver"
    assert refusal({"kind": "score", "label": "organ", "above": 0.5}, **HEAT).found == "organ"
    assert plan({"r": rule({"kind": "score", "above": 0.5})}, **HEAT).rules


def test_a_rule_on_a_stream_that_is_not_displayed_is_refused() -> None:
    assert refusal(AREA, stream="ultrasound").field == "rules.near.model"


VALUES = st.lists(st.sampled_from([HIGH, HIGH, LOW, MIDDLE, None]), max_size=60)
PERSIST = st.one_of(
    st.integers(1, 5).flatmap(lambda n: st.integers(1, n).map(lambda k: {"k": k, "n": n})),
    st.sampled_from([0.0, 0.1, 0.25]).map(lambda s: {"seconds": s}),
)


@settings(max_examples=300, deadline=None)
@given(VALUES, PERSIST, st.sampled_from([0.0, 0.1, 0.4]))
def test_persistence_against_its_plain_definition(
    values: list[float | None], persist: dict[str, Any], clear_s: float
) -> None:
    known: list[tuple[int, bool]] = []
    before = ""
    for at, (value, found) in enumerate(
        zip(values, stands(rule(persist=persist, clear_s=clear_s), values), strict=True)
    ):
        if value is not None:
            known.append((at, value > 0.3))
        begins = found == "#" and before != "#"
        if value is None or not known:
            assert not begins, "only a result can begin a finding"
        elif begins:
            assert known[-1][1]
            if "k" in persist:
                assert sum(on for _, on in known[-persist["n"] :]) >= persist["k"]
            else:
                run = next((i for i, (_, on) in enumerate(reversed(known)) if not on), len(known))
                first = known[len(known) - run][0]
                assert (at - first) * PERIOD_NS >= persist["seconds"] * NS_PER_S - 1
        elif known[-1][1] and found == "." and "k" in persist and len(values) < 15:
            assert sum(on for _, on in known[-persist["n"] :]) < persist["k"]
        if before == "#" and found == ".":
            last_on = max((i for i, on in known if on), default=-1)
            assert (at - last_on) * PERIOD_NS >= clear_s * NS_PER_S, "never sooner than clear_s"
        before = found


@settings(max_examples=100, deadline=None)
@given(VALUES)
def test_findings_do_not_depend_on_frames_without_results(values: list[float | None]) -> None:
    rules = plan({"r": rule(persist={"k": 2, "n": 3})}).rules
    every: tuple[RuleState, ...] = (RuleState(),)
    only = every
    for at, value in enumerate(values, 1):
        now = at * NS_PER_MS
        fresh = () if value is None else (result(at, now, output=masks((1, value))),)
        every = step_rules(rules, fresh, now, every, ai_on=True)
        if fresh:
            only = step_rules(rules, fresh, now, only, ai_on=True)
    assert repr(every) == repr(only)  # repr: the value may be NaN


def test_two_rules_share_a_measure_and_keep_apart() -> None:
    both = plan({"one": rule(), "other": rule(AREA | {"above": 0.7})})
    states = step_rules(both.rules, (result(1, 5, output=masks((1, HIGH))),), 5, (RuleState(),) * 2, ai_on=True)
    assert [f.rule for f in findings(both.rules, states)] == ["one"]
    assert both.rules[0].measure == both.rules[1].measure
