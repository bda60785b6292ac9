"""The monitor's memory: small, whole after a power cut, and damage is known."""

import json
import random
from contextlib import suppress

import numpy as np
import pytest

from inframe.core.errors import DeviceFault
from inframe.monitor.state import RECENT, State, load, watch
from inframe.monitor.summary import Summary
from tests.disks import Loss, Memory, PowerCutError
from tests.monitor import monitor_made as made

LIMIT_BYTES = 1_000_000


def restored(disk: Memory) -> State:
    return load(disk, made.STRATUM, made.NAMES, watch({"m": made.reference()}, 500))


def test_it_stays_below_a_megabyte_after_ten_thousand_procedures() -> None:
    """Charts move with forty of them; the counts of the others are put in as they would have been."""
    one, rng = made.state(), np.random.default_rng(1)
    phases = [f"phase {i}" for i in range(8)]
    values = made.procedures(rng, 100)
    for i, row in enumerate(values[:40]):
        summary = Summary(one.scales)
        for phase in phases:
            summary.add(np.abs(rng.normal(row, 0.5 * np.abs(row))), phase)
        one.running = f"{i}", summary
        one.close_procedure(1)
    for tally in (one.means, *one.blocks.values()):
        for counts in (tally.bins, tally.count, tally.sum, tally.squares):
            np.multiply(counts, 150_000, out=counts)  # forty procedures of ten minutes each, 250 times
    one.procedures *= 250
    one.recent.extend([list(row) for row in made.procedures(rng, RECENT).astype(object)])
    one.running = "open", summary
    disk = Memory()
    one.save(disk)
    size = len(disk.contents()[made.STRATUM.path])
    assert size < LIMIT_BYTES
    assert restored(disk).procedures == 10_000


def test_what_is_read_back_goes_on_as_if_nothing_had_been() -> None:
    rng, disk = np.random.default_rng(2), Memory()
    one = made.state()
    made.operate(one, made.procedures(rng, 20))
    one.running = "now", Summary(one.scales)
    one.running[1].add(made.procedures(rng, 1)[0])
    one.save(disk)
    other = restored(disk)
    assert other.origin == one.origin
    more = made.procedures(rng, 20)
    for state in (one, other):
        made.operate(state, more)
    assert other.watched["m"].charts.up == pytest.approx(one.watched["m"].charts.up, abs=1e-4)
    assert other.means.as_json() == one.means.as_json()
    assert {phase: tally.as_json() for phase, tally in other.blocks.items()} == {
        phase: tally.as_json() for phase, tally in one.blocks.items()
    }


def test_a_power_cut_at_any_moment_leaves_the_old_or_the_new_one() -> None:
    one, rng = made.state(), np.random.default_rng(3)
    made.operate(one, made.procedures(rng, 3))
    disk = Memory()
    one.save(disk)
    before = disk.contents()
    made.operate(one, made.procedures(rng, 1))
    seen = set()
    for budget in range(8):
        for loss in Loss:
            cut = Memory.of(before, budget)
            with suppress(PowerCutError):
                one.save(cut)
            for after in cut.cuts(loss, budget):
                found = restored(after).procedures
                assert found in (3, 4), (budget, loss)
                seen.add(found)
    assert seen == {3, 4}


def test_damage_is_known_and_never_taken_for_a_fresh_start() -> None:
    one, disk, rng = made.state(), Memory(), random.Random(4)
    made.operate(one, made.procedures(np.random.default_rng(4), 3))
    one.save(disk)
    whole = disk.contents()[made.STRATUM.path]
    for _ in range(40):
        at = rng.randrange(len(whole))
        damaged = whole[:at] + bytes([whole[at] ^ 1 << rng.randrange(8)]) + whole[at + 1 :]
        with pytest.raises(DeviceFault, match="expected what the monitor wrote; it is damaged"):
            restored(Memory.of({made.STRATUM.path: damaged}))
    with pytest.raises(DeviceFault, match="damaged"):
        restored(Memory.of({made.STRATUM.path: whole[: len(whole) // 2]}))


def test_a_drift_is_told_once_stands_and_ends_after_it_was_set_right() -> None:
    one, rng = made.state(), np.random.default_rng(5)
    drifted = made.procedures(rng, 40)
    drifted[:, made.SHARP] -= 1.0
    alarms = []
    for values in (made.procedures(rng, 10), drifted, made.procedures(rng, 25)):
        for row in values:
            summary = Summary(one.scales)
            summary.add(row)
            one.running = "x", summary
            alarms += one.close_procedure(1)
        if values is drifted:
            assert one.standing
    assert sum(alarm.text.startswith("instrument: sharpness") for alarm in alarms) == 1
    assert alarms[0].text.startswith("instrument: sharpness -")
    assert 11 <= alarms[0].procedure <= 22
    standing = [made.reference().chart_name(chart) for alarms_ in one.standing.values() for chart, _, _ in alarms_]
    assert "sharpness" not in standing


def test_a_short_procedure_is_not_counted_and_nothing_of_a_single_one_is_exported() -> None:
    one = made.state()
    summary = Summary(one.scales)
    summary.add(made.procedures(np.random.default_rng(6), 1)[0])
    one.running = "x", summary
    assert one.close_procedure(2) == []
    assert (one.procedures, one.blocks) == (0, {})
    assert json.loads(json.dumps(one.means.as_json())) == {}
