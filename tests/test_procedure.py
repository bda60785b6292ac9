"""How every frame fared, counted from the records; and the table that says so."""

import json
import math
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from inframe.core.clock import NS_PER_MS
from inframe.core.types import Alert, Decision, Finding, Frame, Mode, NoSignal, Presence, Priority, Verdict
from inframe.demo import closing_table
from inframe.device import Running
from inframe.procedure import Follower, Summary, quantile
from tests.pipeline.records import FIELDS, Records, frame


@given(st.lists(st.floats(0, 1000), min_size=1), st.floats(0, 1))
def test_a_quantile_has_its_share_below(values: list[float], q: float) -> None:
    found = quantile(values, q)
    assert found in values
    assert sum(value <= found for value in values) >= q * len(values)
    assert sum(value < found for value in values) <= math.floor(q * len(values))


def test_quantiles() -> None:
    values = [float(i) for i in range(1, 1001)]
    assert [quantile(values[::-1], q) for q in (0, 0.5, 0.99, 0.999, 1)] == [1.0, 501.0, 991.0, 1000.0, 1000.0]
    assert quantile([3.0], 0.99) == 3.0
    assert quantile([], 0.5) is None
    assert values[0] == 1.0, "not sorted in place"


class Told:
    """A follower and the ring that it reads."""

    def __init__(self) -> None:
        self.records = Records(64)
        running = SimpleNamespace(shared={"records.read": self.records.fd}, device=None)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("inframe.procedure.fields_of", lambda _device: FIELDS)
            self.follower = Follower(cast("Running", running))
        self.seq = 0

    def frame(self, latency_ms: float | None = 9, verdict: str = "SHOW", mode: str = "NOMINAL", **more: Any) -> None:
        self.seq += 1
        one = frame(self.seq)
        shown = one.captured_ns + int(latency_ms * NS_PER_MS) if latency_ms is not None else 0
        self.write(one, shown, verdict, mode, **more)

    def write(
        self,
        one: Frame | NoSignal,
        shown_ns: int,
        verdict: str,
        mode: str,
        findings: tuple[str, ...] = (),
        alerts: dict[str, str] | None = None,
    ) -> None:
        found = tuple(Finding(rule, rule, Priority.LOW, 1, 1.0) for rule in findings)
        present = (alerts or {}).items()
        listed = tuple(Alert(key, key, Priority.LOW, Presence[presence], 1) for key, presence in present)
        self.records.writer.write(one, {}, Decision(Verdict[verdict], Mode[mode], found, listed, ()), shown_ns)
        self.follower.take()


def test_frames_are_counted_by_what_was_shown() -> None:
    told = Told()
    for latency, verdict, mode in [(9, "SHOW", "NOMINAL"), (12.5, "HOLD", "DEGRADED"), (None, "WITHHOLD", "DEGRADED")]:
        told.frame(latency, verdict, mode)
    told.write(NoSignal("endoscope", 1, 4), 5, "WITHHOLD", "FAULT")
    assert told.follower.verdicts == {"SHOW": 1, "HOLD": 1, "WITHHOLD": 1}
    assert told.follower.modes == {"NOMINAL": 1, "DEGRADED": 2}
    assert told.follower.latencies_ms == [9.0, 12.5]
    assert told.follower.last is not None
    assert told.follower.last.mode is Mode.FAULT


def test_a_finding_counts_when_it_begins() -> None:
    told = Told()
    for findings in [(), ("near",), ("near",), ("near", "lost"), ("lost",), (), ("near",), ("near",)]:
        told.frame(findings=findings)
    assert told.follower.findings == {"near": 2, "lost": 1}
    assert told.follower.spans == {"near": [(2, 4), (7, 8)], "lost": [(4, 5)]}


def test_an_alert_counts_when_it_comes_on_and_a_findings_own_does_not() -> None:
    told = Told()
    for presence in ["ON", "ON", "ACKNOWLEDGED", "ACKNOWLEDGED", "OFF", "ON", "LATCHED"]:
        told.frame(alerts={"AI_LATE": presence, "near": "ON"}, findings=("near",))
    assert told.follower.alerts == {"AI_LATE": 2}
    assert told.follower.findings == {"near": 1}


def test_taking_returns_what_is_new() -> None:
    told = Told()
    told.records.write()
    assert [record.seq for record in told.follower.take()] == [1]
    assert told.follower.take() == []


def test_a_summary_is_plain_values() -> None:
    summary = Summary("test", findings={"near": 2}, notes=[("display", "own cores", "no")])
    values = json.loads(json.dumps(summary.as_json()))
    assert (values["device"], values["findings"], values["p99_ms"]) == ("test", {"near": 2}, None)
    assert set(values) == set(Summary.__dataclass_fields__) - {"next_ports"}  # of this procedure alone


def printed(summary: Summary) -> str:
    out = StringIO()
    Console(file=out, width=200).print(closing_table(summary))
    return out.getvalue()


@pytest.mark.parametrize(
    ("shown", "missed", "expected"), [(0, 0, " - "), (100, 0, "100.00 %"), (99, 1, "99.00 %"), (0, 5, "0.00 %")]
)
def test_the_closing_table_says_how_many_were_in_time(shown: int, missed: int, expected: str) -> None:
    lines = [
        line
        for line in printed(Summary("test", frames=shown + missed, shown=shown, missed=missed)).splitlines()
        if "by their deadline" in line
    ]
    assert len(lines) == 1
    assert expected in lines[0]


def test_the_closing_table_names_what_happened() -> None:
    summary = Summary("test", findings={"near": 2}, alerts={"AI_LATE": 3}, restarts={"worker.w": 1}, p50_ms=9.26)
    text = printed(summary)
    for line in ("finding: near", "alert: AI_LATE", "restarted: worker.w", "9.3 ms / - / -"):
        assert line in text


def test_the_moment_this_program_began_is_before_now_and_after_the_machines_start() -> None:
    import time

    from inframe import procedure

    born = procedure._born_ns()
    assert -time.clock_gettime_ns(time.CLOCK_BOOTTIME) < born <= time.monotonic_ns()
    assert Path("/proc/self/stat").exists()
