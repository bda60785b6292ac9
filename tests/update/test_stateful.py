"""The slot machine against a simple model of it, by hypothesis: any order of moves, starts, damage and bad releases."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from inframe.core.errors import InframeError
from inframe.update.states import Excuse, Release, State
from tests.disks import Memory
from tests.update.made import FAIL, PASS, pack, place, release, slots_on

BUNDLES = {name: {counter: pack(name, counter, 300) for counter in range(1, 7)} for name in ("anatomy", "tools")}


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
        self.moves = 0
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

    @rule(anatomy=st.integers(1, 6), tools=st.integers(0, 6), good=st.booleans())
    def fetch(self, anatomy: int, tools: int, good: bool) -> None:
        bundles = [BUNDLES["anatomy"][anatomy], *([BUNDLES["tools"][tools]] if tools else [])]
        coming = release(f"{anatomy}-{tools}", *bundles)
        at_rest = self.state in (State.NONE, State.COMMITTED, State.ROLLED_BACK)
        if at_rest:
            place(self.disk, *bundles)
        if self.do(at_rest, self.slots.fetched, coming):
            self.state, self.trial, self.good = State.FETCHED, coming, good
            self.moves += 1

    @rule(excused=st.booleans())
    def verify(self, excused: bool) -> None:
        trial = self.trial
        low = trial is not None and any(trial.counters[n] < self.floor.get(n, 0) for n in trial.counters)
        excuse = Excuse("w", trial.digests, dict(self.floor)) if excused and trial is not None else None
        was = self.state
        if self.do(was is State.FETCHED and (excused or not low), self.slots.verify, excuse):
            self.state = State.VERIFIED
            self.moves += 1
        elif was is State.FETCHED:
            self.end(State.ROLLED_BACK)

    @rule()
    def install(self) -> None:
        if self.do(self.state is State.VERIFIED, self.slots.install):
            self.state = State.INSTALLED
            self.moves += 1

    @rule()
    def check(self) -> None:
        if self.do(self.state is State.INSTALLED, self.slots.check, [PASS] if self.good else [PASS, FAIL]):
            if self.good:
                self.state = State.CHECKED
                self.moves += 1
            else:
                self.end(State.ROLLED_BACK)

    @rule()
    def shadow(self) -> None:
        if self.do(self.state is State.CHECKED and self.active is not None, self.slots.shadow):
            self.state = State.SHADOW
            self.moves += 1

    @rule(running=st.booleans(), without=st.booleans())
    def begin_trial(self, running: bool, without: bool) -> None:
        ready = self.state is State.SHADOW or (self.state is State.CHECKED and (without or self.active is None))
        done = self.do(ready and not running, self.slots.begin_trial, procedure_running=running, without_shadow=without)
        if done:
            self.state = State.TRIAL
            self.moves += 1

    @rule()
    def commit(self) -> None:
        if self.do(self.state is State.TRIAL, self.slots.commit):
            assert self.trial is not None
            self.previous, self.active = self.active, self.trial
            self.floor |= {n: max(c, self.floor.get(n, 0)) for n, c in self.active.counters.items()}
            self.end(State.COMMITTED)

    @rule()
    def roll_back(self) -> None:
        if self.do(self.trial is not None, self.slots.roll_back, "a reason"):
            self.end(State.ROLLED_BACK)

    @rule()
    def restore(self) -> None:
        digests = self.previous.digests if self.previous is not None else ()
        excuse = Excuse("w", digests, dict(self.floor))
        if self.do(self.previous is not None, self.slots.restore, excuse):
            self.active, self.previous = self.previous, None
            self.end(State.ROLLED_BACK)

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
        self.end(State.ROLLED_BACK)

    # --- what must hold

    @invariant()
    def same(self) -> None:
        status = self.slots.status
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


SlotMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestSlotMachine = SlotMachine.TestCase
