"""From shared memory into the trail: every record whole, every digest right or absent, and nothing missing without a gap."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inframe.chaos.trail import broken_bars, missing
from inframe.core.clock import NS_PER_S
from inframe.core.types import (
    Alert,
    Audio,
    Controls,
    Finding,
    FrameFlag,
    Missed,
    MissedReason,
    Mode,
    NoSignal,
    Presence,
    Priority,
    Result,
    Run,
    Verdict,
)
from inframe.pipeline.board import Count
from inframe.trail.files import Disk
from inframe.trail.read import Log
from inframe.trail.records import NO_DIGEST, EventKind, EventLeaf, FrameLeaf
from inframe.trail.salt import commitment
from tests.recorder.desk import BOOT, ENGINE, PROCEDURE, SALT, SHA, SLOTS, WALL_0, Desk


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "trail")


NEAR = Finding("near", "NEAR", Priority.MEDIUM, 70, 0.5)


def alert(presence: Presence) -> tuple[Alert, ...]:
    return (Alert("near", "NEAR", Priority.MEDIUM, presence, 70),)


def test_a_frames_record_says_all_that_is_asked_of_it(desk: Desk) -> None:
    desk.load("a")
    desk.load("b", SHA[::-1])
    desk.recorder.step()
    desk.board.row("capture.endoscope").add(Count.DROPPED, 3)
    frame = desk.capture()
    a = desk.infer("a", frame)
    said: dict[str, Result | Missed] = {"a": a, "b": Missed("b", 1, MissedReason.INVALID)}
    flagged = replace(frame, flags=FrameFlag.RESIZED)
    what: dict[str, Any] = {"verdict": Verdict.HOLD, "mode": Mode.DEGRADED, "findings": (NEAR,), "age_ns": 5}
    desk.show(flagged, said, **what, alerts=alert(Presence.ON))
    desk.clock.advance(NS_PER_S)
    desk.recorder.step()
    desk.write()
    (leaf,) = [leaf for leaf in desk.leaves() if isinstance(leaf, FrameLeaf)]
    (record,) = leaf.frames
    assert (leaf.stream, leaf.config, leaf.header.procedure) == ("endoscope", desk.config(), PROCEDURE)
    assert (leaf.header.moment.boot, leaf.header.moment.clock) == (BOOT, "CLOCK_MONOTONIC CLOCK_REALTIME synchronized")
    assert leaf.header.wall_ns(record.shown_ns) == WALL_0 + frame.captured_ns + 10_000_000
    assert [(m.name, m.bundle.hex(), m.slot, m.engine) for m in leaf.models] == [
        ("a", SHA, "unsigned", ENGINE),
        ("b", SHA[::-1], "unsigned", ENGINE),
    ]
    assert len({m.preprocess for m in leaf.models} - {NO_DIGEST}) == 1
    assert (record.seq, record.captured_ns, record.deadline_ns) == (1, frame.captured_ns, frame.deadline_ns)
    assert record.runs == (Run(1, a.steps), MissedReason.INVALID)
    assert (record.verdict, record.mode, record.flags) == (Verdict.HOLD, Mode.DEGRADED, FrameFlag.RESIZED)
    assert (record.age_ns, record.findings, record.alerts) == (5, (NEAR,), (("near", Presence.ON),))
    assert record.input == desk.input_digest(1)
    assert record.output not in (NO_DIGEST, desk.input_digest(1))


def test_digests_are_of_the_pixels_and_outputs_themselves(desk: Desk) -> None:
    desk.second()
    frames = desk.frames()
    assert [frame.seq for frame in frames] == list(range(1, 31))
    for frame in frames:
        assert frame.input == desk.input_digest(frame.seq)
        assert frame.output == desk.output_digest(frame.seq)


def test_one_leaf_a_second_and_at_most_130_bytes_a_frame(desk: Desk) -> None:
    for _ in range(8):
        desk.second(findings=(NEAR,))
    leaves = [leaf for leaf in desk.leaves() if isinstance(leaf, FrameLeaf)]
    assert [len(leaf.frames) for leaf in leaves] == [30] * 8
    desk.close()
    tiles = [path for path in (desk.home.folder / "log" / "tile").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in tiles) / 240 < 140, "with the first second's settings"


# --- overtaken -------------------------------------------------------------------------------------------------------


def test_a_recorder_that_is_held_up_has_no_digest_rather_than_a_wrong_one(desk: Desk) -> None:
    for _ in range(10):
        desk.frame(look=False)
    desk.recorder.step()
    desk.second()
    desk.close()
    frames = desk.frames()
    kept = [frame.seq for frame in frames if frame.input != NO_DIGEST]
    assert [frame.seq for frame in frames] == list(range(1, 41))
    assert kept == list(range(10 - SLOTS + 2, 41))
    assert all(frame.input in (NO_DIGEST, desk.input_digest(frame.seq)) for frame in frames)
    assert desk.recorder.pixels is not None
    assert desk.recorder.pixels.missed == 10 - (SLOTS - 1)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(gaps=st.lists(st.integers(0, 9), min_size=1, max_size=25))
def test_however_it_is_held_up_no_digest_is_wrong(gaps: list[int], tmp_path_factory: pytest.TempPathFactory) -> None:
    desk = Desk(tmp_path_factory.mktemp("trail"))
    for gap in gaps:
        for _ in range(gap):
            desk.frame(look=False)
        desk.recorder.step()
    desk.close()
    frames = desk.frames()
    assert [frame.seq for frame in frames] == list(range(1, sum(gaps) + 1))
    for frame in frames:
        assert frame.input in (NO_DIGEST, desk.input_digest(frame.seq))
        assert frame.output in (NO_DIGEST, desk.output_digest(frame.seq))
    missed = desk.recorder.pixels.missed if desk.recorder.pixels is not None else 0
    assert sum(frame.input == NO_DIGEST for frame in frames) == missed


def test_a_slot_overwritten_while_it_is_hashed_gives_no_digest(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    assert desk.recorder.pixels is not None
    reader = desk.recorder.pixels._ring
    monkeypatch.setattr(reader, "holds", lambda _seq: False)
    desk.second()
    assert {frame.input for frame in desk.frames()} == {NO_DIGEST}


def test_records_that_were_overwritten_are_a_gap_with_their_number(desk: Desk) -> None:
    desk.second()
    for _ in range(100):
        desk.frame(look=False)
    desk.recorder.step()
    assert "RECORDER_BEHIND" in desk.board.faults()
    desk.write()
    (gap,) = desk.events("LOST")
    seqs = [frame.seq for frame in desk.frames()]
    assert gap.kind is EventKind.GAP
    assert int(gap.data["records"]) == 130 - len(seqs) == desk.row.get(Count.DROPPED)
    desk.clock.advance(3 * NS_PER_S)
    desk.recorder.step()
    assert "RECORDER_BEHIND" not in desk.board.faults()


def test_pixels_are_left_alone_where_no_digest_is_wanted(tmp_path: Path) -> None:
    desk = Desk(tmp_path, trail={"folder": str(tmp_path), "input_digests": False})
    desk.second()
    assert {frame.input for frame in desk.frames()} == {NO_DIGEST}
    assert all(frame.output == desk.output_digest(frame.seq) for frame in desk.frames())


# --- what is not a frame on the screen -------------------------------------------------------------------------------


def test_frames_that_never_reached_the_screen_are_counted_with_the_next_that_did(desk: Desk) -> None:
    desk.frame()
    desk.show(desk.capture(), {}, shown=False)  # overwritten while it was drawn
    desk.capture()  # never taken up by the display
    desk.board.row("capture.endoscope").add(Count.DROPPED, 2)  # thrown away by the camera's process
    desk.recorder.step()
    desk.frame()
    desk.second()
    frames = desk.frames()
    assert [(frame.seq, frame.dropped) for frame in frames[:3]] == [(1, 0), (4, 4), (5, 0)]


def test_the_no_signal_card_is_recorded_as_what_it_is(desk: Desk) -> None:
    now = desk.clock.now()
    desk.show(NoSignal("endoscope", now - 500, now), {}, verdict=Verdict.WITHHOLD, mode=Mode.FAULT)
    desk.second()
    card = desk.frames()[0]
    assert (card.seq, card.captured_ns, card.input, card.output) == (0, now - 500, NO_DIGEST, NO_DIGEST)
    assert card.runs == (MissedReason.NOT_DUE,) * 2
    assert [frame.dropped for frame in desk.frames()] == [0] * 31


# --- events ----------------------------------------------------------------------------------------------------------


def test_a_procedure_begins_and_ends_and_says_with_which_settings(desk: Desk) -> None:
    desk.second()
    desk.close()
    leaves = desk.leaves()
    first, last = leaves[0], leaves[-2]
    assert isinstance(first, EventLeaf)
    assert isinstance(last, EventLeaf)
    begin, end = first.events[0], last.events[-1]
    assert (begin.kind, begin.name, end.kind, end.name) == (EventKind.START, "PROCEDURE", EventKind.STOP, "PROCEDURE")
    assert begin.data["salt"] == commitment(SALT)
    assert begin.data["config"] == desk.config().hex()
    assert b'"device":"Theatre 7"' in begin.payload
    assert (end.data["frames"], end.data["inputs_missed"]) == ("30", "0")
    assert {leaf.header.procedure for leaf in leaves[:-1]} == {PROCEDURE}
    assert desk.home.salts().get(PROCEDURE) == SALT


def test_alerts_come_and_go_once_each(desk: Desk) -> None:
    for presence in (None, Presence.ON, Presence.ON, Presence.LATCHED, Presence.ACKNOWLEDGED, None):
        desk.frame(alerts=alert(presence) if presence else ())
    desk.second()
    told = [(e.kind, e.data["was"], e.data["presence"], e.data["frame"]) for e in desk.events("near")]
    assert told == [
        (EventKind.ALERT, "OFF", "ON", "2"),
        (EventKind.ALERT, "ON", "LATCHED", "4"),
        (EventKind.ACKNOWLEDGED, "LATCHED", "ACKNOWLEDGED", "5"),
        (EventKind.ALERT, "ACKNOWLEDGED", "OFF", "6"),
    ]
    assert {event.text for event in desk.events("near")} == {"NEAR"}


def test_modes_and_faults(desk: Desk) -> None:
    desk.frame()
    desk.board.row("display").raise_fault("AI_LATE", 7)
    desk.frame(mode=Mode.DEGRADED)
    desk.frame(mode=Mode.DEGRADED)
    desk.board.row("display").clear_fault("AI_LATE")
    desk.second()
    assert [event.text for event in desk.events("MODE")] == ["NOMINAL", "NOMINAL to DEGRADED", "DEGRADED to NOMINAL"]
    assert [(event.at_ns == 7, event.data["state"]) for event in desk.events("AI_LATE")] == [
        (True, "present"),
        (False, "over"),
    ]


def test_what_a_person_does_at_a_screen(desk: Desk) -> None:
    desk.frame(alerts=alert(Presence.ON))
    desk.board.set_controls(Controls(opacity=0.5, acknowledged_ns=99, audio=Audio.PAUSED))
    desk.second(alerts=alert(Presence.ON))
    (seen,) = desk.events("ALERTS")
    (setting,) = desk.events("CONTROLS")
    assert (seen.kind, seen.at_ns, seen.who, dict(seen.data)) == (
        EventKind.ACKNOWLEDGED,
        99,
        "screen",
        {"alerts": "near"},
    )
    assert setting.kind is EventKind.CONFIG
    assert (setting.data["opacity"], setting.data["opacity_was"]) == ("0.5", "0.35")
    assert "overlay_on" not in setting.data


def test_what_the_parent_tells_is_recorded_as_it_is(desk: Desk) -> None:
    desk.tell("FAULT", "PROCESS_DIED", "ended by SIGKILL", "worker.w", pid="7")
    desk.tell("nonsense", "WHAT")
    desk.second()
    (died,) = desk.events("PROCESS_DIED")
    assert (died.kind, died.text, died.who, dict(died.data)) == (
        EventKind.FAULT,
        "ended by SIGKILL",
        "worker.w",
        {"pid": "7"},
    )
    assert desk.events("WHAT")[0].kind is EventKind.FAULT


def test_a_model_loaded_anew_begins_a_leaf_of_its_own(desk: Desk) -> None:
    desk.load("a")
    for _ in range(5):
        desk.frame()
    desk.load("a", SHA[::-1])
    for _ in range(5):
        desk.frame()
    desk.load("a", "nonsense")
    desk.load("nobody")
    desk.second()
    leaves = [leaf for leaf in desk.leaves() if isinstance(leaf, FrameLeaf)]
    first = [(leaf.models[0].bundle.hex(), leaf.frames[0].seq) for leaf in leaves]
    assert first[:2] == [(SHA, 1), (SHA[::-1], 6)]
    assert {bundle for bundle, _ in first} == {SHA, SHA[::-1]}


# --- killed ----------------------------------------------------------------------------------------------------------


def test_a_recorder_after_a_kill_repeats_nothing_and_misses_nothing(desk: Desk) -> None:
    desk.load("a")
    desk.second()
    for _ in range(7):
        desk.frame()  # seen and not yet written
    desk.kill()
    for _ in range(5):
        desk.frame(look=False)  # nobody looks
    desk.begin()
    desk.load("a", again=True)
    desk.second()
    desk.close()
    assert [frame.seq for frame in desk.frames()] == list(range(1, 73))
    assert [event.name for event in desk.events() if event.kind is EventKind.GAP] == ["NOT_CLOSED"]
    assert len(desk.events("MODEL_LOADED")) == 1
    assert [event.kind for event in desk.events("PROCEDURE")] == [EventKind.START, EventKind.STOP]
    leaves = [leaf for leaf in desk.leaves() if isinstance(leaf, FrameLeaf)]
    assert {leaf.models[0].bundle.hex() for leaf in leaves} == {SHA}


def test_a_kill_between_the_disk_and_the_board_repeats_nothing(desk: Desk) -> None:
    desk.second()
    before = [desk.row.get(count) for count in (Count.SEQ, Count.EVENTS, Count.FRAMES)]
    desk.second()
    for count, value in zip((Count.SEQ, Count.EVENTS, Count.FRAMES), before, strict=True):
        desk.row.set(count, value)
    desk.kill()
    desk.begin()
    desk.write()
    desk.second()
    assert [frame.seq for frame in desk.frames()] == list(range(1, 91))
    assert desk.row.get(Count.FRAMES) == 90


def test_what_was_passed_over_around_a_kill_is_counted(desk: Desk) -> None:
    desk.second()
    desk.kill()
    desk.capture()
    desk.capture()  # two frames that the display never took up, while no recorder was there
    desk.begin()
    desk.second()
    desk.second()
    frames = desk.frames()
    assert [(frame.seq, frame.dropped) for frame in frames if frame.dropped] == [(33, 2)]
    assert missing(Log(Disk(desk.home.folder / "log"), desk.key)) == 0


def test_a_frame_that_is_missing_in_silence_is_noticed(desk: Desk) -> None:
    """The check of `inframe chaos` can fail."""
    desk.second()
    desk.recorder._last_seq += 4
    for _ in range(4):
        desk.capture()
    desk.second()
    assert missing(Log(Disk(desk.home.folder / "log"), desk.key)) == 4
    assert "4 frames are missing" in str(broken_bars(desk.home, []))
    assert "0 gaps for 1 faults" in str(broken_bars(desk.home, ["recorder_killed", "cpu_hogs"]))
