"""A recording has what was known of each sensor at each frame, and its replay aligns the samples anew: bit for bit the same."""

from collections import Counter
from pathlib import Path

import pytest

from inframe.core.clock import NS_PER_S
from inframe.core.samples import Aligned
from inframe.core.types import MissedReason, Scores
from inframe.recording import schema
from inframe.recording.events import Said
from inframe.recording.read import open_recording
from inframe.recording.replay import replay
from inframe.recording.report import Report
from tests.recording.procedures import FUSED_RULES, SENSED_RULES, SENSORS, Procedure, fused


def again(path: Path) -> Report:
    recording = open_recording(path)
    return replay(recording, recording.device, Report())


def test_wild_procedures_with_sensors_replay_bit_for_bit(tmp_path: Path) -> None:
    seen: Counter[str] = Counter()
    for seed in range(2):
        folder = tmp_path / str(seed)
        folder.mkdir()
        made = Procedure(fused(folder), seed, frames=120).run()
        report = again(written(made))
        assert report.held, (seed, report.first, report.differences)
        assert report.decisions == len(made.decisions) > 100
        for _, decision in made.decisions:
            assert decision.samples.keys() == SENSORS.keys()
            seen.update(f"{n} {'OK' if isinstance(s, Aligned) else s.why.name}" for n, s in decision.samples.items())
            seen.update(finding.rule for finding in decision.findings)
        for event in made.events:
            if isinstance(event, Said) and event.model == "both":
                seen.update([event.output.name if isinstance(event.output, MissedReason) else "fused"])
                seen.update(["filled"] if isinstance(event.output, Scores) and event.taken[0].why is not None else [])
    assert all(seen[f"{name} OK"] > 50 for name in SENSORS)
    assert all(seen[rule] > 0 for rule in SENSED_RULES | FUSED_RULES)
    assert all(seen[one] > 5 for one in ("fused", "ABSENT", "filled")), seen
    assert {name.split()[1] for name in seen if " " in name} == {
        "OK",
        "STALE",
        "GAP",
        "SATURATED",
        "CALIBRATING",
        "NOISY",
    }


def written(made: Procedure) -> Path:
    """What it has now, and nothing of what was written of it before."""
    assert made.device.recording is not None
    for part in Path(made.device.recording.folder).glob("*.mcap"):
        part.unlink()
    return made.write()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Procedure:
    return Procedure(fused(tmp_path_factory.mktemp("fused")), 5, frames=90, calm=True).run()


def test_a_sample_that_was_changed_is_named(made: Procedure) -> None:
    """The first frame that it went into differs, and no earlier one."""
    whole = list(made.events)
    changed = [e for e in whole if isinstance(e, schema.Samples) and e.stream == "pressure" and e.first > 100]
    try:
        for at, event in enumerate(whole):
            if any(event is one for one in changed):
                assert isinstance(event, schema.Samples)
                made.events[at] = event.model_copy(update={"values": [[9.0]] * len(event.values)})
        report = again(written(made))
    finally:
        made.events[:] = whole
    assert not report.held
    assert report.first is not None
    assert report.first.what == "sample pressure"
    decided = [(e.seq, (e.samples or {})["pressure"]) for e in whole if isinstance(e, schema.Decision)]
    assert report.first.frame == next(seq for seq, k in decided if k.values and k.seq >= changed[0].first)


def test_samples_that_were_not_recorded_are_told_and_explain_what_differs(made: Procedure) -> None:
    whole = list(made.events)
    try:
        at = next(
            i for i, e in enumerate(whole) if isinstance(e, schema.Samples) and e.stream == "pressure" and e.first > 100
        )
        some = whole[at]
        assert isinstance(some, schema.Samples)
        made.events[at] = schema.Gap(at_ns=5 * NS_PER_S, samples=len(some.values))
        report = again(written(made))
    finally:
        made.events[:] = whole
    assert report.held
    assert report.missing["samples"] == len(some.values)
    assert report.after_gap > 0


def test_samples_recorded_twice_are_taken_once(made: Procedure) -> None:
    """A recording process that was killed and started again does not know what the one before had written."""
    whole = list(made.events)
    try:
        made.events[:] = [again for e in whole for again in ([e, e] if isinstance(e, schema.Samples) else [e])]
        assert again(written(made)).held
    finally:
        made.events[:] = whole


def test_parts_hold_samples_too(made: Procedure) -> None:
    first = written(made)
    found = [e for e in open_recording(first).read() if isinstance(e, schema.Samples)]
    assert {e.stream for e in found} == SENSORS.keys()
    by_stream = {name: sum(len(e.values) for e in found if e.stream == name) for name in SENSORS}
    for name, (writer, _) in made.world.samples.items():
        assert by_stream[name] == writer.seq - 1 > 0, name


def test_lists_of_different_lengths_are_refused() -> None:
    one = schema.Samples(
        stream="s", first=1, captured_ns=[1], source_ns=[None], uncertain_ns=[0], quality=[0], values=[[1.0]]
    )
    with pytest.raises(ValueError, match="different lengths"):
        schema.Samples.model_validate(one.model_dump() | {"quality": [0, 0]})
