"""What a benchmark window says, from scripted records: nothing that was not shown may go uncounted."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframe.bench.report import phase_report
from inframe.bench.turns import FLIP_NS, TURN_NS, WHOLE, Turns, missed_in, pairs, turns_us
from inframe.bench.windows import Window, beyond_stalls, measure
from inframe.core.clock import NS_PER_MS, NS_PER_S
from inframe.core.types import FrameFlag, MissedReason, Mode, Run, Steps, Verdict
from inframe.pipeline.record import Shown

PERIOD, DEADLINE = NS_PER_S // 30, 33 * NS_PER_MS
BEGIN = 1000 * PERIOD + 5 * NS_PER_MS
END = BEGIN + 10 * PERIOD
FIRST = 1001 * PERIOD
"""When the first frame of the window is captured."""


def record(number: int, latency_ms: float = 10.0, **changes: Any) -> Shown:
    """The record of the window's frame `number`, 0 the first."""
    captured = FIRST + number * PERIOD
    ms = NS_PER_MS
    steps = Steps(captured + 1 * ms, captured + 3 * ms, captured + 6 * ms, captured + 8 * ms)
    whole = Shown(
        500 + number,
        captured,
        captured + DEADLINE,
        captured + int(latency_ms * ms),
        0,
        FrameFlag.NONE,
        Verdict.SHOW,
        Mode.NOMINAL,
        {"m": Run(500 + number, steps)},
        (),
        {},
    )
    return whole._replace(**changes)


def window(*records: Shown) -> Window:
    return measure("idle", list(records), BEGIN, END, PERIOD, DEADLINE)


def test_a_window_in_which_all_is_well() -> None:
    found = window(*(record(i) for i in range(-3, 14)))
    assert (found.phase, found.expected, found.in_time) == ("idle", 10, 10)
    assert found.latencies_ms == [10.0] * 10
    assert (found.due_ns, found.lateness_ns) == ([], [])
    assert found.steps_ms == {
        "hand_over": [1.0] * 10,
        "preprocess": [2.0] * 10,
        "infer": [3.0] * 10,
        "decode": [2.0] * 10,
        "gate_and_overlay": [2.0] * 10,
    }


@pytest.mark.parametrize("lost", [{4}, {0}, {9}, {0, 1, 9}, {3, 4, 5}, set(range(1, 10)), set(range(9))])
def test_frames_that_were_never_captured_are_missed(lost: set[int]) -> None:
    """They left no record at all: only the gap."""
    found = window(*(record(i) for i in range(10) if i not in lost))
    assert found.expected == len(found.latencies_ms) == 10
    assert found.in_time == 10 - len(lost) == 10 - found.never_shown
    assert found.due_ns == [FIRST + i * PERIOD for i in sorted(lost)]
    assert found.lateness_ns == [DEADLINE] * len(lost)


def test_frames_that_were_captured_and_never_shown_are_missed() -> None:
    found = window(*(record(i, shown_ns=0) if i in (2, 7) else record(i) for i in range(10)))
    assert found.due_ns == [FIRST + 2 * PERIOD, FIRST + 7 * PERIOD]
    assert (found.in_time, found.never_shown) == (8, 2)


def test_a_frame_never_shown_counts_until_a_newer_one_is() -> None:
    """Else the worst frames would leave the quantiles, and look like an improvement."""
    found = window(*(record(i, shown_ns=0) if i in (2, 3, 9) else record(i) for i in range(10)))
    period_ms = PERIOD / NS_PER_MS
    expected = [10.0] * 10
    expected[2], expected[3] = 2 * period_ms + 10, period_ms + 10
    expected[9] = (END - FIRST - 9 * PERIOD) / NS_PER_MS
    assert found.latencies_ms == pytest.approx(expected, abs=1e-3)


def test_late_is_missed_and_by_how_much() -> None:
    found = window(*(record(i, 33.0 if i == 3 else 40.0 if i == 5 else 10.0) for i in range(10)))
    assert found.due_ns == [FIRST + 5 * PERIOD]
    assert found.lateness_ns == [7 * NS_PER_MS]
    assert max(found.latencies_ms) == 40.0


def test_a_result_counts_only_on_its_own_frame() -> None:
    steps = Steps(0, 0, 0, 0)
    others: list[Any] = [{"m": MissedReason.LATE}, {"m": Run(500, steps)}, {"m": MissedReason.NOT_DUE}]
    others.append({"m": Run(503, steps), "n": MissedReason.FAILED})
    found = window(*(record(i, runs=others[i]) if i < 4 else record(i) for i in range(10)))
    assert found.in_time == 6
    assert found.due_ns == []


def test_frames_before_and_behind_the_window_are_not_its() -> None:
    edge = window(record(-1), record(0), record(9), record(10))
    assert edge.in_time == 2
    assert edge.expected == 10


def test_a_camera_that_shakes_a_little_has_lost_nothing() -> None:
    still = [record(i) for i in range(10)]
    shaken = [one._replace(captured_ns=one.captured_ns + (i % 3) * NS_PER_MS) for i, one in enumerate(still)]
    found = window(*shaken)
    assert found.due_ns == []
    assert len(found.latencies_ms) == found.expected == 10


def test_pictures_without_a_frame_are_not_counted() -> None:
    card = record(0)._replace(seq=0, captured_ns=BEGIN + 1, shown_ns=BEGIN + PERIOD, runs={})
    assert window(card, *(record(i) for i in range(10))).expected == 10


def test_a_window_without_a_single_frame_has_missed_them_all() -> None:
    found = window(record(-2), record(12))
    assert found.expected == 10
    assert len(found.due_ns) == 10, "a subject that shows nothing at all must not look perfect"


@given(st.sets(st.integers(0, 9), max_size=9), st.sets(st.integers(0, 9)))
def test_each_expected_frame_is_shown_in_time_or_missed(lost: set[int], late: set[int]) -> None:
    found = window(*(record(i, 50.0 if i in late else 9.0) for i in range(10) if i not in lost))
    assert len(found.due_ns) == len(lost | late)
    assert (len(found.latencies_ms), found.never_shown) == (10, len(lost))
    assert len(found.lateness_ns) == len(found.due_ns)


# --- the machine's own stalls ----------------------------------------------------------------------------------------


def missed(*due: int, stalls: list[tuple[int, int]]) -> Window:
    return Window("load", 10, [], [DEADLINE] * len(due), list(due), 0, stalls=stalls)


MS = NS_PER_MS
SLACK = 20 * MS


@pytest.mark.parametrize(
    ("stalls", "unexplained"),
    [
        ([], 1),
        ([(100 * MS, 120 * MS)], 0),
        ([(100 * MS, 119 * MS)], 1),
        ([(90 * MS, 121 * MS)], 0),
        ([(80 * MS, 119 * MS)], 1),  # only what fell into the frame's own time counts
        ([(120 * MS, 200 * MS)], 1),
        ([(113 * MS, 200 * MS)], 0),
        ([(100 * MS, 110 * MS), (115 * MS, 125 * MS)], 0),
        ([(10 * MS, 60 * MS), (140 * MS, 200 * MS)], 1),
    ],
)
def test_a_stall_explains_a_frame_when_it_took_its_slack(stalls: list[tuple[int, int]], unexplained: int) -> None:
    assert beyond_stalls(missed(100 * MS, stalls=stalls), SLACK, DEADLINE) == unexplained


def test_each_frame_needs_its_own_explanation() -> None:
    found = missed(100 * MS, 133 * MS, 400 * MS, stalls=[(100 * MS, 160 * MS)])
    assert beyond_stalls(found, SLACK, DEADLINE) == 1


# --- a phase ---------------------------------------------------------------------------------------------------------


def test_a_phase_counts_over_all_windows_and_takes_medians_over_them() -> None:
    windows = [
        window(*(record(i, latency) for i in range(10) if i != lost)) for latency, lost in ((8, 3), (10, -1), (12, -1))
    ]
    windows[0].stalls = [(FIRST + 3 * PERIOD, FIRST + 4 * PERIOD)]
    windows[1].latencies_ms[4] = 32.0
    report = phase_report(windows, SLACK, DEADLINE)
    assert {k: v for k, v in report.items() if k != "steps_p50_ms"} == {
        "windows": 3,
        "frames": 30,
        "missed": 1,
        "missed_beyond_stalls": 0,
        "results_in_time": 29,
        "results_in_time_percent": 100 * 29 / 30,
        "p50_ms": 10.0,
        "never_shown": 1,
        "p99_ms": 32.0,  # the median of 41.3 (a frame that was never shown), 32 and 12
        "p999_ms": 32.0,
        "max_ms": pytest.approx(41.333333),
    }
    assert report["steps_p50_ms"]["infer"] == 3.0
    windows[0].stalls = []
    assert phase_report(windows, SLACK, DEADLINE)["missed_beyond_stalls"] == 1


def test_a_phase_without_windows_says_so_and_does_not_fail() -> None:
    report = phase_report([], SLACK, DEADLINE)
    assert (report["windows"], report["frames"], report["missed"]) == (0, 0, 0)
    assert report["p99_ms"] is report["max_ms"] is report["results_in_time_percent"] is None


# --- with and without what keeps a record ----------------------------------------------------------------------------


def test_turns_are_compared_in_pairs_and_what_is_near_a_change_counts_for_neither() -> None:
    turns = [(BEGIN + i * TURN_NS, BEGIN + (i + 1) * TURN_NS, i % 2 == 0) for i in range(6)]
    frames = []
    for i, (begin, end, on) in enumerate(turns):
        for captured in range(begin, end, PERIOD):
            late_ms = 99.0 if captured < begin + FLIP_NS else 10.0 + i + (0.04 if on else 0.0)
            shown = captured + int(late_ms * MS)
            frames.append(record(0)._replace(captured_ns=captured, shown_ns=shown))
    found = pairs(turns, frames)
    assert [round(pair[WHOLE], 2) for pair in found] == [-0.96] * 3
    assert pairs(turns, []) == []
    assert missed_in(turns, [BEGIN, BEGIN + 1, BEGIN + TURN_NS, BEGIN + 6 * TURN_NS]) == [2, 1]


def test_the_step_that_a_record_makes_longer_is_named() -> None:
    frames = []
    turns = [(BEGIN + i * TURN_NS, BEGIN + (i + 1) * TURN_NS, i % 2 == 0) for i in range(2)]
    for begin, end, on in turns:
        for number in range((begin - FIRST) // PERIOD + 1, (end - FIRST) // PERIOD):
            one = record(number)
            run = one.runs["m"]
            assert isinstance(run, Run)
            late = 20_000 if on else 0
            steps = replace(run.steps, inferred=run.steps.inferred + late, decoded=run.steps.decoded + late)
            frames.append(one._replace(runs={"m": replace(run, steps=steps)}, shown_ns=one.shown_ns + late))
    (found,) = pairs(turns, frames)
    told = turns_us([found] * 8, [[0, 0]] * 8)
    assert told is not None
    assert told["median"] == pytest.approx(20)
    assert {name for name, us in told["steps"].items() if us > 1} == {"infer"}


def test_the_difference_has_its_confidence() -> None:
    counted = [{WHOLE: i / 1000} for i in range(100)]
    found = turns_us(counted, [[i % 2, 1] for i in range(100)])
    assert found is not None
    assert found["median"] == pytest.approx(49.5)
    assert found["low"] == pytest.approx(40)
    assert found["high"] == pytest.approx(59)
    assert (found["pairs"], found["missed_with"], found["missed_without"]) == (100, 50, 100)
    assert turns_us(counted[:3], []) is None


class FakeRunning:
    """A device with a recorder that is this test's own child."""

    def __init__(self, pid: int) -> None:
        self.device = self
        self.supervisor = self
        self._pid = pid

    def pid(self, _name: str) -> int:
        return self._pid


def test_turns_hold_and_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    monkeypatch.setattr("inframe.bench.turns.os.kill", lambda _pid, number: sent.append(number.name))
    monkeypatch.setattr("inframe.bench.turns.names", lambda _device: ("display", "recorder"))
    turns = Turns(FakeRunning(7))  # type: ignore[arg-type]
    for at in (0, 1, TURN_NS, TURN_NS + 5, 2 * TURN_NS, 3 * TURN_NS):
        turns.tick(at)
    assert sent == ["SIGCONT", "SIGSTOP", "SIGCONT", "SIGSTOP"]
    assert turns.take() == [(0, TURN_NS, True), (TURN_NS, 2 * TURN_NS, False), (2 * TURN_NS, 3 * TURN_NS, True)]
    turns.release()
    turns.end()
    assert sent[-2:] == ["SIGCONT", "SIGSTOP"]
