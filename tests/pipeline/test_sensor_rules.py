"""Rules that read sensors: findings on a value, on its absence, and none on an artefact."""

from typing import Any

import pytest

from inframe.core.budgets import START_NS
from inframe.core.clock import NS_PER_MS, NS_PER_S
from inframe.core.config import Device
from inframe.core.samples import Absent, Aligned, Quality, Samples
from inframe.core.types import Controls, Decision, Frame, Mode, NoSignal
from inframe.pipeline.decide import decide, initial, make_plan
from tests.pipeline import script

PRESSURE = {
    "sensor": "simulator",
    "signal": "pressure",
    "rate_hz": 125,
    "channels": {"abp": {"unit": "mmHg"}},
    "align": {"how": "hold", "max_age_ms": 100},
}
ECG = PRESSURE | {"signal": "ecg", "channels": {"lead": {"unit": "mV"}}}
LOW = {
    "sensor": "pressure",
    "when": {"kind": "sample", "channel": "abp", "below": 60, "release": 65},
    "absent": "end",
    "text": "LOW",
}


def device(**rules: Any) -> Device:
    values = script.device().model_dump(mode="json")
    return Device.model_validate(values | {"sensors": {"pressure": PRESSURE, "ecg": ECG}, "rules": rules})


class Run:
    """Frames, and what the sensors say at each."""

    def __init__(self, **rules: Any) -> None:
        self.device = device(**rules)
        self.plan = make_plan(self.device, script.labels(self.device))
        self.now = 100 * NS_PER_S
        self.state = initial(self.plan, self.now)
        self.seq = 0
        self.now += START_NS

    def frame(self, pressure: float | Quality, ecg: float | Quality = 0.1, *, signal: bool = True) -> Decision:
        self.now += script.PERIOD_NS if signal else NS_PER_S // 10
        self.seq += signal
        samples: Samples = {"pressure": self._said(pressure), "ecg": self._said(ecg)}
        what: Frame | NoSignal = NoSignal("endoscope", self.now - NS_PER_S, self.now)
        if signal:
            what = Frame("endoscope", self.seq, self.now, self.now + script.PERIOD_NS, script.PIXELS)
        decision, self.state = decide(self.plan, what, {}, {}, Controls(), self.state, samples)
        return decision

    def _said(self, what: float | Quality) -> Aligned | Absent:
        if isinstance(what, Quality):
            return Absent(what, self.seq, 200 * NS_PER_MS)
        return Aligned((what,), self.seq, 4 * NS_PER_MS, 0)


def found(decision: Decision) -> dict[str, float]:
    return {finding.rule: finding.value for finding in decision.findings}


def test_a_value_out_of_range_is_a_finding_with_hysteresis_whatever_the_mode() -> None:
    run = Run(low=LOW | {"clear_s": 0.1})
    assert found(run.frame(61)) == {}
    decision = run.frame(59)
    assert found(decision) == {"low": 59}
    assert decision.mode is Mode.VIDEO_ONLY, "the AI is off, a blood pressure is not"
    assert found(run.frame(64)) == {"low": 64}
    for _ in range(6):
        after = run.frame(66)
    assert found(after) == {}
    assert set(after.samples) == {"pressure", "ecg"}


@pytest.mark.parametrize("absent", ["end", "keep", "raise"])
def test_what_a_rule_does_while_there_is_no_value(absent: str) -> None:
    run = Run(low=LOW | {"absent": absent, "clear_s": 1.0})
    assert found(run.frame(Quality.STALE)) == (
        {"low": found(run.frame(Quality.STALE))["low"]} if absent == "raise" else {}
    )
    run = Run(low=LOW | {"absent": absent, "clear_s": 1.0})
    run.frame(50)
    for _ in range(10):
        during = run.frame(Quality.STALE)
    assert ("low" in found(during)) == (absent != "end")
    for _ in range(30):
        later = run.frame(Quality.STALE)
    assert ("low" in found(later)) == (absent == "raise"), "what was kept ends after clear_s"


def test_persistence_counts_frames_and_absence_adds_nothing() -> None:
    run = Run(low=LOW | {"absent": "keep", "persist": {"k": 3, "n": 4}})
    pattern: list[float | Quality] = [50, Quality.GAP, 50, Quality.NOISY]
    assert not any(found(run.frame(value)) for value in pattern)
    assert found(run.frame(50)) == {"low": 50}


OFF = {
    "sensor": "ecg",
    "when": {"kind": "quality", "among": ["stale", "noisy", "saturated"]},
    "text": "LEAD OFF",
    "persist": {"seconds": 0.3},
}
ASYSTOLE = {
    "sensor": "ecg",
    "when": {"kind": "sample", "channel": "lead", "below": 0.05},
    "absent": "end",
    "persist": {"seconds": 2},
    "text": "ASYSTOLE",
    "priority": "high",
}


@pytest.mark.parametrize("why", [Quality.STALE, Quality.NOISY, Quality.SATURATED])
def test_a_flat_or_noisy_lead_is_a_lead_off_and_never_an_asystole(why: Quality) -> None:
    run = Run(off=OFF, asystole=ASYSTOLE)
    for _ in range(30):
        run.frame(80, 0.01)  # a second of a low line, then the lead is seen to be off
    rules = [set(found(run.frame(80, why))) for _ in range(120)]
    assert rules[-1] == {"off"}
    assert all("asystole" not in one for one in rules)
    for _ in range(60):
        after = run.frame(80, 0.5)
    assert found(after) == {}


def test_a_line_that_is_low_and_alive_is_what_the_rule_says() -> None:
    run = Run(off=OFF, asystole=ASYSTOLE)
    for n in range(90):
        decision = run.frame(80, 0.01 + 0.001 * (n % 7))
    assert set(found(decision)) == {"asystole"}


def test_without_a_picture_the_sensors_are_still_watched() -> None:
    run = Run(low=LOW)
    for _ in range(3):
        decision = run.frame(50, signal=False)
    assert decision.mode is Mode.FAULT
    assert found(decision) == {"low": 50}


def test_an_absent_sensor_is_announced_after_three_frames_and_not_while_the_device_starts() -> None:
    run = Run()
    for n in range(4):
        decision = run.frame(Quality.STALE)
        assert ("SENSOR_ABSENT" in script.present(decision)) == (n >= 2)
    early = Run(lost={"sensor": "pressure", "when": {"kind": "quality", "among": ["stale"]}, "text": "LOST"})
    early.now -= START_NS
    for _ in range(60):
        decision = early.frame(Quality.STALE)
    assert "SENSOR_ABSENT" not in script.present(decision)
    assert found(decision) == {}
    for _ in range(60):
        decision = early.frame(Quality.STALE)
    assert found(decision) == {"lost": 1.0}


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({k: v for k, v in LOW.items() if k != "absent"}, "absent: found nothing, expected end, keep or raise"),
        (LOW | {"model": "organs"}, "found both or neither of model and sensor"),
        ({**LOW, "sensor": "spo2"}, "rules.low.sensor: found 'spo2', expected one of sensors: pressure, ecg"),
        (
            LOW | {"when": {"kind": "sample", "channel": "cvp", "above": 1}},
            "rules.low.when.channel: found 'cvp', expected one of: abp",
        ),
        (
            LOW | {"when": {"kind": "area", "labels": ["organ"], "above": 1}},
            "when.kind: found area, expected one of sample, quality",
        ),
        (OFF | {"absent": "end"}, "absent: found end, expected it with kind: sample, tip_distance, tip_contact only"),
        (
            {"model": "organs", "when": LOW["when"], "text": "X"},
            "when.kind: found sample, expected none of sample, quality",
        ),
    ],
)
def test_a_rule_that_does_not_say_what_it_must_is_refused(rule: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        device(low=rule)


def test_a_stream_of_two_meanings_is_refused() -> None:
    values = script.device().model_dump(mode="json")
    with pytest.raises(ValueError, match=r"sensors\.endoscope: found a name that streams has too"):
        Device.model_validate(values | {"sensors": {"endoscope": PRESSURE}})
