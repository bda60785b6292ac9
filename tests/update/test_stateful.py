"""The slot machine against a simple model of it, by hypothesis: any order of moves, starts, damage and bad releases."""

import os
from collections import Counter

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from inframe.core.errors import InframeError
from inframe.update.states import Excuse, Release, State
from tests.disks import Memory
from tests.update.made import FAIL, PASS, pack, place, release, slots_on

LAST = 40
BUNDLES = {name: {counter: pack(name, counter, 300) for counter in range(1, LAST + 1)} for name in ("anatomy", "tools")}


EXAMPLES = int(os.environ.get("INFRAME_EXAMPLES", "100"))
reached: Counter[str] = Counter()
"""How often the whole way was gone: a machine that never gets there tests nothing."""


class SlotMachine(RuleBasedStateMachine):
    """`self.x` is what the model says; the real one is on `self.disk`."""

    def __init__(self) -> None:
        super().__init__()
        self.disk = Memory()
        self.slots = slots_on(self.disk)
        self.state = State.NONE
        self.active: Release | None = None
        self.trial: Release | None = None
        self.previous: Release | None = None
        self.floor: dict[str, int] = {}
        self.excuses: list[Excuse] = []
        self.moves = 0
        self.compared = False
        self.good = True

    # --- the moves

    def do(self, allowed: bool, call: object, *arguments: object, **named: object) -> bool:
        """Make a real move; whether it is refused is what the model says."""
        try:
            call(*arguments, **named)  # type: ignore[operator]
        except InframeError:
            assert not allowed, "refused what the model allows"
            return False
        assert allowed, "allowed what the model refuses"
        return True

    def end(self, state: State) -> None:
        self.state, self.trial = state, None
        self.moves += 1

    @precondition(lambda self: self.trial is None)
    @rule(newer=st.integers(-2, 4), tools=st.integers(0, 1), good=st.sampled_from([True, True, True, False]))
    def fetch(self, newer: int, tools: int, good: bool) -> None:
        anatomy = min(max(1, self.floor.get("anatomy", 0) + newer), LAST)
        tools = tools and min(max(1, self.floor.get("tools", 0) + newer), LAST)
        bundles = [BUNDLES["anatomy"][anatomy], *([BUNDLES["tools"][tools]] if tools else [])]
        coming = release(f"{anatomy}-{tools}", *bundles)
        at_rest = self.state in (State.NONE, State.COMMITTED, State.ROLLED_BACK)
        if at_rest:
            place(self.disk, *bundles)
        if self.do(at_rest, self.slots.fetched, coming):
            self.state, self.trial, self.good, self.compared = State.FETCHED, coming, good, False
            self.moves += 1

    @precondition(lambda self: self.state is State.FETCHED)
    @rule(excused=st.booleans())
    def verify(self, excused: bool) -> None:
        trial = self.trial
        excuse = Excuse("w", trial.digests, dict(self.floor)) if excused and trial is not None else None
        given = [*self.excuses, *([excuse] if excuse is not None else [])]
        was = self.state
        if self.do(was is State.FETCHED and self.is_allowed(given), self.slots.verify, excuse):
            self.state, self.excuses = State.VERIFIED, given
            self.moves += 1
        elif was is State.FETCHED:
            self.end(State.ROLLED_BACK)

    def is_allowed(self, given: list[Excuse]) -> bool:
        """An authorisation goes on holding for a bundle that is still in a slot: the next release may keep it."""
        bundles = self.trial.bundles if self.trial is not None else ()
        low = [one for one in bundles if one.counter < self.floor.get(one.name, 0)]
        return not low or any(
            all(one.digest in e.digests and e.floor.get(one.name) == self.floor[one.name] for one in low) for e in given
        )

    @precondition(lambda self: self.state is State.VERIFIED)
    @rule()
    def install(self) -> None:
        if self.do(self.state is State.VERIFIED, self.slots.install):
            self.state = State.INSTALLED
            self.moves += 1

    @precondition(lambda self: self.state is State.INSTALLED)
    @rule()
    def check(self) -> None:
        if self.do(self.state is State.INSTALLED, self.slots.check, [PASS] if self.good else [PASS, FAIL]):
            if self.good:
                self.state = State.CHECKED
                self.moves += 1
            else:
                self.end(State.ROLLED_BACK)

    @precondition(lambda self: self.state is State.CHECKED)
    @rule()
    def shadow(self) -> None:
        if self.do(self.state is State.CHECKED and self.active is not None, self.slots.shadow):
            self.state = State.SHADOW
            self.moves += 1

    @precondition(lambda self: self.state is State.SHADOW)
    @rule()
    def compare(self) -> None:
        if self.do(self.state is State.SHADOW, self.slots.compared, "300 results compared"):
            self.compared = True

    @precondition(lambda self: self.state in (State.CHECKED, State.SHADOW))
    @rule(running=st.booleans(), without=st.booleans())
    def begin_trial(self, running: bool, without: bool) -> None:
        ready = self.state in (State.CHECKED, State.SHADOW) and (without or self.compared or self.active is None)
        done = self.do(ready and not running, self.slots.begin_trial, procedure_running=running, without_shadow=without)
        if done:
            self.state = State.TRIAL
            self.moves += 1

    @precondition(lambda self: self.state is State.TRIAL)
    @rule()
    def commit(self) -> None:
        if self.do(self.state is State.TRIAL, self.slots.commit):
            assert self.trial is not None
            self.previous, self.active = self.active, self.trial
            self.floor |= {n: max(c, self.floor.get(n, 0)) for n, c in self.active.counters.items()}
            self.end(State.COMMITTED)
            reached["commits"] += 1

    @precondition(lambda self: self.trial is not None)
    @rule()
    def roll_back(self) -> None:
        if self.do(self.trial is not None, self.slots.roll_back, "a reason"):
            self.end(State.ROLLED_BACK)

    @rule(which=st.integers(0, 7))
    def in_any_place(self, which: int) -> None:
        """A move from where it may not be made, or may."""
        (
            self.verify,
            self.install,
            self.check,
            self.shadow,
            self.begin_trial,
            self.commit,
            self.roll_back,
            self.restore,
        )[which](*((False,), (), (), (), (False, False), (), (), ())[which])

    @rule(steps=st.integers(3, 8), without=st.booleans())
    def go_on(self, steps: int, without: bool) -> None:
        """As an update goes when nothing is wrong: single moves in any order hardly ever come to a commit."""
        for _ in range(steps):
            match self.state:
                case State.FETCHED:
                    self.verify(excused=without)
                case State.VERIFIED:
                    self.install()
                case State.INSTALLED:
                    self.check()
                case State.CHECKED if self.active is not None and not without:
                    self.shadow()
                case State.CHECKED | State.SHADOW:
                    self.begin_trial(running=False, without=True)
                case State.TRIAL:
                    self.commit()
                case _:
                    self.fetch(newer=1, tools=int(without), good=True)

    @rule()
    def restore(self) -> None:
        digests = self.previous.digests if self.previous is not None else ()
        excuse = Excuse("w", digests, dict(self.floor))
        if self.do(self.previous is not None, self.slots.restore, excuse):
            self.active, self.previous = self.previous, None
            self.excuses.append(excuse)
            self.end(State.ROLLED_BACK)
            reached["restores"] += 1

    # --- what happens to a device

    @rule()
    def start_again(self) -> None:
        self.slots.close()
        self.slots = slots_on(self.disk)

    @rule()
    def deliver(self) -> None:
        self.slots.deliver(lambda _: None)
        assert self.slots.status.outbox == ()

    @precondition(lambda self: self.active is not None and self.previous is not None)
    @rule()
    def the_active_file_rots(self) -> None:
        assert self.active is not None
        assert self.previous is not None
        only = sorted(set(self.active.digests) - set(self.previous.digests))
        if not only:
            return
        path = f"store/{only[0]}"
        self.disk.write(path, (self.disk.read(path) or b"")[:-1] + b"?")
        self.slots.close()
        before = self.trial is not None and only[0] in self.trial.digests
        in_trial = before and self.state is not State.FETCHED
        self.slots = slots_on(self.disk)
        self.moves += 1 if in_trial else 0
        self.active, self.previous = self.previous, None
        assert self.active is not None
        self.excuses.append(Excuse("w", self.active.digests, dict(self.floor)))
        self.end(State.ROLLED_BACK)

    # --- what must hold

    @invariant()
    def same(self) -> None:
        status = self.slots.status
        slots = [one for one in (self.active, self.trial, self.previous) if one is not None]
        self.excuses = [e for e in self.excuses if any(set(e.digests) & set(one.digests) for one in slots)]
        assert (status.state, status.active, status.trial, status.previous) == (
            self.state,
            self.active,
            self.trial,
            self.previous,
        )
        assert self.slots._floor.read() == self.floor
        assert status.sequence >= self.moves

    @invariant()
    def every_slot_can_run(self) -> None:
        for one in (self.active, self.previous):
            assert one is None or self.slots._problem(one) == ""

    @invariant()
    def the_store_holds_what_the_slots_name(self) -> None:
        named = {d for one in (self.active, self.previous) if one is not None for d in one.digests}
        kept = set(self.disk.names("store"))
        assert named <= kept
        assert kept <= named | set(self.trial.digests if self.trial is not None else ())


@pytest.mark.timeout(900)
def test_the_slots_against_their_model() -> None:
    """More of them: INFRAME_EXAMPLES=1000."""
    reached.clear()
    phases = set(Phase) - {Phase.explain}  # which traces every line, also while nothing fails
    run_state_machine_as_test(
        SlotMachine, settings=settings(max_examples=EXAMPLES, stateful_step_count=30, deadline=None, phases=phases)
    )
    assert reached["commits"] > EXAMPLES / 4, "the machine hardly ever came to a commit"
    assert reached["restores"] > 0
