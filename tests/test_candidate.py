"""What becomes of a candidate, on a clock and with processes that are only pretended: nothing here waits for anything."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from inframe.candidate import SHOWN_NS, Candidates
from inframe.core.clock import NS_PER_S, ManualClock
from inframe.core.config import Device, ModelConfig
from inframe.core.errors import ConfigError, UpdateError
from inframe.core.health import MOVES, HealthRules, Measured, Phase, after, violated
from inframe.fitting import fit
from inframe.machine.partition import Partition
from inframe.machine.supervise import Notice, ProcessSpec, Supervisor
from inframe.pipeline import ring, shadow
from inframe.pipeline.board import Board, Count, create_board
from inframe.pipeline.places import UNSIGNED, bits, on_trial, place, row_name
from inframe.pipeline.ring import RingWriter
from inframe.table import names, specs
from tests.machine.test_supervise import Fake
from tests.pipeline import script
from tests.test_table import Anything

RULES = {"window": 10, "shadow_frames": 20, "missed": 0.2, "disagreement": 0.1, "findings": 0.1}
WORKERS = ("fast", "slow")


def device(**changes: Any) -> Device:
    models = {
        "organs": script.model(worker="fast"),
        "tools": script.model(worker="fast"),
        "phase": script.model(worker="slow"),
    }
    values = script.device(models).model_dump(mode="json")
    return Device.model_validate(values | {"candidate": {"health": RULES}} | changes)


def changed(one: Device, *models: str, **changes: Any) -> dict[str, ModelConfig]:
    update = {"file": "better.onnx"} | changes
    return {name: one.models[name].model_copy(update=update) for name in models}


@dataclass
class World:
    """A device's parent with its board, its supervisor over fakes, and what the other processes would say."""

    device: Device = field(default_factory=device)
    clock: ManualClock = field(default_factory=ManualClock)
    started: dict[str, ProcessSpec] = field(default_factory=dict)
    fakes: dict[str, Fake] = field(default_factory=dict)
    told: list[tuple[str, str]] = field(default_factory=list)
    given: list[tuple[int, str]] = field(default_factory=list)
    deaf: bool = False
    """Processes that don't end when they are told to."""
    kept: int = 0

    def __post_init__(self) -> None:
        memory = ring.create("measured", shadow.SLOTS, shadow.BYTES)
        shared = Anything({"measured.read": memory})
        self.measured = RingWriter(memory, ())
        self.board = Board(create_board(1 + len(names(self.device))), ("device", *names(self.device)))
        self.candidate = Candidates(self.device, shared, self.board, self.clock, self.tell, self.keep, self.give)
        self.supervisor = Supervisor(
            specs(self.device, shared),
            self.clock,
            self.launch,
            self.notice,
            lambda name: self.board.row(name).heartbeat_ns,
        )
        self.candidate.supervisor = self.supervisor
        self.number = 0
        self.step()
        self.board.row("display").beat(self.clock.now())
        self.step()

    def tell(self, name: str, text: str, _data: object) -> None:
        self.told.append((name, text))

    def keep(self) -> None:
        self.kept += 1

    def give(self, pid: int, partition: Partition) -> str | None:
        self.given.append((pid, partition.scheduling))
        return None

    def launch(self, spec: ProcessSpec) -> Fake:
        self.started[spec.name] = spec
        self.fakes[spec.name] = Fake(100 + len(self.started), self.deaf)
        return self.fakes[spec.name]

    def notice(self, notice: Notice) -> None:
        self.candidate.notice(notice)
        if notice.kind in ("died", "finished"):
            self.board.row(notice.name).clear()

    def step(self) -> None:
        """As `Running.step` does it; every process that runs says that it is alive."""
        self.clock.advance(NS_PER_S // 100)
        for name in names(self.device):
            if self.supervisor.pid(name) is not None:
                self.board.row(name).beat(self.clock.now())
                self.board.row(name).set(Count.READY_NS, self.clock.now())
        self.supervisor.reconcile()
        self.candidate.step()

    def propose(self, *models: str) -> None:
        self.number += 1
        self.candidate.propose(changed(self.candidate.device, *models))
        self.step()

    def measure(self, compared: int = 20, **measured: Any) -> None:
        shadow.publish(self.measured, self.number, Measured(compared, **measured), self.clock.now())

    def trial(self, *models: str) -> None:
        self.propose(*models)
        self.step()
        self.measure()
        self.candidate.switch()

    def show(self, frames: int, in_time: int) -> None:
        self.board.row("display").add(Count.FRAMES, frames)
        self.board.row("display").add(Count.IN_TIME, in_time)
        self.step()

    def die(self, name: str, exit_code: int = -9) -> None:
        self.fakes[name].exit_code = exit_code
        self.step()

    @property
    def events(self) -> list[str]:
        return [name.removeprefix("CANDIDATE_") for name, _ in self.told]

    @property
    def shown(self) -> dict[str, int]:
        return {worker: place(self.board.shown(), bit) for worker, bit in bits(self.device).items()}


def test_the_whole_way_to_keep() -> None:
    world = World()
    assert "worker.fast.b" not in world.started
    world.propose("organs")
    spec = world.started["worker.fast.b"]
    assert Device.model_validate(spec.args["device"]).models["organs"].file == "better.onnx"
    assert Device.model_validate(spec.args["device"]).models["tools"].file == "organs.onnx"
    assert (spec.partition.scheduling, spec.partition.priority) == ("other", 0)
    assert spec.partition.cores == world.started["worker.fast"].partition.cores
    assert world.shown == {"fast": 0, "slow": 0}
    world.step()
    with pytest.raises(UpdateError, match="compared: found 0 results, expected at least 20"):
        world.candidate.switch()
    world.measure()
    world.candidate.switch()
    assert world.shown == {"fast": 1, "slow": 0}
    pids = {name: world.supervisor.pid(name) for name in ("worker.fast", "worker.fast.b")}
    assert world.given == [(pids["worker.fast.b"], "fifo"), (pids["worker.fast"], "other")]
    assert "CANDIDATE_SHOWN" in world.board.faults()
    world.candidate.keep()
    world.step()
    assert world.supervisor.pid("worker.fast") is None
    assert world.candidate.device.models["organs"].file == "better.onnx"
    assert world.board.faults() == {}
    assert world.events == ["PROPOSED", "SHOWN", "KEPT"]
    assert world.kept == 1
    world.propose("organs")  # the place that is free is the other one now
    assert Device.model_validate(world.started["worker.fast"].args["device"]).models["organs"].file == "better.onnx"
    assert world.shown == {"fast": 1, "slow": 0}


def test_models_of_two_workers_change_in_one_store() -> None:
    world = World()
    world.trial("organs", "phase")
    assert world.shown == {"fast": 1, "slow": 1}
    world.candidate.back()
    assert world.shown == {"fast": 0, "slow": 0}


def test_back_on_command_shows_what_was_shown_and_ends_the_candidate() -> None:
    world = World()
    world.trial("phase")
    before = world.supervisor.pid("worker.slow")
    world.candidate.back()
    assert world.shown == {"fast": 0, "slow": 0}
    assert "CANDIDATE_TAKEN_BACK" in world.board.faults()
    world.step()
    assert world.supervisor.pid("worker.slow.b") is None
    assert world.supervisor.pid("worker.slow") == before
    assert world.candidate.last[0] == "on command"
    world.clock.advance(SHOWN_NS)
    world.step()
    assert world.board.faults() == {}


@pytest.mark.parametrize("exit_code", [-9, 1, 2])
@pytest.mark.parametrize("phase", [Phase.SHADOW, Phase.TRIAL])
def test_one_death_takes_it_back_at_the_next_look(phase: Phase, exit_code: int) -> None:
    world = World()
    world.trial("phase") if phase is Phase.TRIAL else world.propose("phase")
    world.die("worker.slow.b", exit_code)
    assert world.shown == {"fast": 0, "slow": 0}
    assert world.candidate.last[0] == "crashes: found 1, expected at most 0"
    assert world.candidate.last[1].phase is phase
    assert not world.supervisor.has("worker.slow.b")
    assert world.supervisor.refused() == (), "a candidate's wrong input must not end the device"


def test_deaths_that_the_rules_allow_are_restarts() -> None:
    world = World(device(candidate={"health": {**RULES, "crashes": 1}}))
    world.trial("phase")
    world.die("worker.slow.b")
    world.step()
    assert world.shown == {"fast": 0, "slow": 1}
    assert world.started["worker.slow.b"].partition.scheduling == "fifo", "restarted as what it is now: shown"
    world.die("worker.slow.b")
    assert world.shown == {"fast": 0, "slow": 0}


@pytest.mark.parametrize(
    ("measured", "why"),
    [
        ({"recent": 0.11}, "disagreement: found 0.11"),
        ({"findings": 0.3, "findings_before": 0.1}, "findings: found 0.2"),
        ({"findings": 0.0, "findings_before": 0.2}, "findings: found 0.2"),
    ],
)
def test_what_the_shadow_measures_takes_it_back(measured: dict[str, float], why: str) -> None:
    for phase in (Phase.SHADOW, Phase.TRIAL):
        world = World()
        world.trial("organs") if phase is Phase.TRIAL else world.propose("organs")
        world.measure(9, **measured)
        world.step()
        assert world.candidate.health().phase is phase, "a window that is not full says nothing"
        world.measure(10, **measured)
        world.step()
        assert world.candidate.last[0].startswith(why)
        assert world.shown["fast"] == 0


@pytest.mark.parametrize("count", [Count.INVALID, Count.FAILED])
def test_an_invalid_result_takes_it_back(count: Count) -> None:
    world = World()
    world.board.row("worker.fast.b").add(count, 5)  # of a candidate before it
    world.propose("organs")
    assert world.candidate.health().invalid == 0
    world.board.row("worker.fast.b").add(count)
    world.step()
    assert world.candidate.last[0] == "invalid: found 1, expected at most 0"


def test_missed_results_count_on_trial_and_within_the_window() -> None:
    world = World()
    world.propose("organs")
    world.step()
    world.show(100, 0)
    world.measure()
    world.candidate.switch()
    world.show(4, 2)
    world.show(10, 9)
    world.show(1, 0)
    assert (world.candidate.health().shown, world.candidate.health().missed) == (15, 4)
    world.show(1, 0)
    assert world.candidate.last[0] == "missed: found 0.3, expected at most 0.2"
    assert world.shown["fast"] == 0


def test_a_frame_for_which_the_model_before_stood_in_is_a_missed_one() -> None:
    world = World()
    world.trial("organs")
    assert on_trial(world.board.shown(), bits(world.device)["fast"])
    assert not on_trial(world.board.shown(), bits(world.device)["slow"])
    world.board.row("display").add(Count.STOOD_IN, 2)
    world.show(5, 5)
    assert world.candidate.health().missed == 2
    world.candidate.keep()
    assert world.board.shown() & ~UNSIGNED == 1 << bits(world.device)["fast"]


def test_what_is_measured_of_another_candidate_does_not_count() -> None:
    world = World()
    world.trial("organs")
    world.candidate.back()
    world.step()
    world.number += 1
    world.candidate.propose(changed(world.device, "organs"))
    world.step()
    world.step()
    with pytest.raises(UpdateError, match="compared: found 0"):
        world.candidate.switch()


def test_a_place_is_free_when_its_process_has_ended() -> None:
    world = World(deaf=True)
    world.propose("organs")
    world.candidate.back()
    world.step()
    with pytest.raises(
        UpdateError, match=r"propose: found worker\.fast\.b, shadow still ending, expected a free place"
    ):
        world.propose("organs")
    world.clock.advance(2 * NS_PER_S)  # killed by now
    world.step()
    world.step()
    world.propose("organs")


@pytest.mark.parametrize(
    ("name", "change", "error"),
    [
        ("organs", {"labels": ("a", "b")}, "models.organs.labels: found ('a', 'b'), expected ('background'"),
        ("organs", {"worker": "own"}, "models.organs.worker: found own, expected fast, as it runs"),
        ("organs", {"every": 2}, "models.organs.every: found 2, expected 1"),
        ("organs", {"max_age_ms": 50}, "models.organs.max_age_ms: found 50, expected 0"),
        ("organs", {"budget_ms": 500.0}, "models.organs.budget_ms: found 500.0, expected one within"),
    ],
)
def test_what_the_display_was_set_up_for_must_stay(name: str, change: dict[str, Any], error: str) -> None:
    one = device()
    with pytest.raises(ConfigError) as caught:
        fit(one, changed(one, name, **change))
    assert error in str(caught.value)
    assert World().candidate.health().phase is Phase.NONE


def test_what_else_does_not_fit() -> None:
    one = device()
    large = one.models["organs"].preprocess.model_copy(update={"size": (4000, 4000)})
    heat = script.device({"h": script.model(decode={"kind": "heat"})}).models["h"].decode
    for models, error in (
        ({}, "found none"),
        ({"liver": one.models["organs"]}, "models.liver: found 'liver', expected one of: organs, tools, phase"),
        (changed(one, "organs", preprocess=large), "at most 4 times the pixels of 16x9"),
        (changed(one, "organs", decode=heat), "models.organs.decode.kind: found heat, expected segmentation"),
    ):
        with pytest.raises(ConfigError) as caught:
            fit(one, models)
        assert error in str(caught.value)


def test_without_candidate_section_there_is_no_candidate() -> None:
    one = device(candidate=None)
    assert not [name for name in names(one) if name.endswith(".b") or name == "shadow"]
    world = Candidates(one, Anything(), Board(create_board(1), ("device",)), ManualClock(), lambda *_: None)
    with pytest.raises(UpdateError, match="found a device file without candidate"):
        world.propose(changed(one, "organs"))
    assert world.health().phase is Phase.NONE


def test_moves_out_of_order_are_refused_and_change_nothing() -> None:
    for phase in Phase:
        for move in ("propose", "switch", "back", "keep"):
            if (phase, move) in MOVES:
                assert after(phase, move) is MOVES[phase, move]
            else:
                with pytest.raises(UpdateError, match=f"candidate: {move}: found phase {phase.name}, expected "):
                    after(phase, move)


def test_rules_are_inclusive_limits() -> None:
    assert violated(HealthRules(), World().candidate.health()) is None


class Lives(RuleBasedStateMachine):
    """Whatever is asked and whatever dies, in whatever order: what is shown is a place whose worker runs, and a candidate that was
    not kept leaves everything as it was."""

    @initialize()
    def begin(self) -> None:
        self.world = World()
        self.kept = {"fast": 0, "slow": 0}
        self.trial: dict[str, int] | None = None

    @rule(models=st.sampled_from([("organs",), ("phase",), ("organs", "phase"), ("tools", "organs")]))
    def propose(self, models: tuple[str, ...]) -> None:
        free = self.world.candidate.health().phase is Phase.NONE
        try:
            self.world.propose(*models)
        except UpdateError:
            self.world.number -= 1
            assert not free or any(self.world.supervisor.has(name) for name in self.ending())
        else:
            assert free
            workers = {self.world.device.models[name].worker for name in models}
            self.trial = {w: 1 - p if w in workers else p for w, p in self.kept.items()}

    def ending(self) -> list[str]:
        return ["shadow", *(row_name(worker, 1 - at) for worker, at in self.kept.items())]

    @rule(compared=st.sampled_from([20, 20, 20, 9]), recent=st.sampled_from([0.0, 0.0, 0.1, 0.11]))
    def measure(self, compared: int, recent: float) -> None:
        if self.world.number:
            self.world.measure(compared, recent=recent)
        self.world.step()

    @rule(well=st.booleans())
    def switch(self, well: bool) -> None:
        """`well`: it is ready and compared."""
        if well and self.world.number:
            self.world.measure()
            self.world.step()
        try:
            self.world.candidate.switch()
        except UpdateError:
            return
        assert self.trial is not None

    @rule()
    def back(self) -> None:
        try:
            self.world.candidate.back()
        except UpdateError:
            assert self.world.candidate.health().phase is Phase.NONE

    @rule()
    def keep(self) -> None:
        try:
            self.world.candidate.keep()
        except UpdateError:
            return
        assert self.trial is not None
        self.kept = self.trial
        self.world.step()

    @rule(ms=st.sampled_from([10, 200, 2000]))
    def wait(self, ms: int) -> None:
        self.world.clock.advance(ms * 1_000_000)
        self.world.step()

    @precondition(lambda self: self.world.candidate.health().phase is not Phase.NONE)
    @rule(worker=st.sampled_from(WORKERS))
    def die(self, worker: str) -> None:
        name = row_name(worker, 1 - self.kept[worker])
        if self.world.supervisor.pid(name) is not None and self.world.fakes[name].exit_code is None:
            self.world.die(name)
            assert self.world.candidate.health().phase is Phase.NONE

    @invariant()
    def what_is_shown_runs(self) -> None:
        for worker, at in self.world.shown.items():
            assert self.world.supervisor.pid(row_name(worker, at)) is not None
            assert self.world.started[row_name(worker, at)].name == row_name(worker, at)

    @invariant()
    def it_is_the_kept_one_or_the_one_on_trial(self) -> None:
        on_trial_now = self.world.candidate.health().phase is Phase.TRIAL
        assert self.world.shown == (self.trial if on_trial_now else self.kept)
        stands_in = {w for w, bit in bits(self.world.device).items() if on_trial(self.world.board.shown(), bit)}
        assert stands_in == (
            {w for w in WORKERS if self.trial and self.trial[w] != self.kept[w]} if on_trial_now else set()
        )
        assert ("CANDIDATE_SHOWN" in self.world.board.faults()) == on_trial_now


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
