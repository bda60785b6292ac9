"""The moves, one by one: what each does to the slots, and what each refuses."""

from pathlib import Path

import pytest

from inframe.core.errors import DeviceFault, UpdateError
from inframe.trail.files import Disk, put
from inframe.update.sealed import sealed, unsealed
from inframe.update.slots import DOWNLOAD, STORE, loaded
from inframe.update.states import SLOT_MOVES, Excuse, Progress, Slot, State, Status, Told
from inframe.update.status import decode, encode
from tests.disks import Memory
from tests.update.made import FAIL, PASS, into_trial, pack, place, release, slots_on, update

ONE, TWO, THREE = (pack("anatomy", counter) for counter in (1, 2, 3))
TOOLS = pack("tools", 1)


def device(*bundles: bytes) -> Memory:
    """A device on which each of these was committed, one after the other."""
    disk = Memory()
    slots = slots_on(disk)
    for bundle in bundles:
        update(slots, disk, "r", bundle)
    slots.deliver(lambda _: None)
    return disk


def test_a_new_device_has_nothing() -> None:
    slots = slots_on(Memory())
    assert slots.status.state is State.NONE
    assert slots.status.shown is None
    assert loaded(Memory()) == (State.NONE, {}, {})


def test_commit_shifts_the_slots_and_raises_the_floor() -> None:
    disk = device(ONE)
    slots = slots_on(disk)
    update(slots, disk, "two", TWO, TOOLS)
    status = slots_on(disk).status
    assert (status.active, status.previous, status.trial) == (release("two", TWO, TOOLS), release("r", ONE), None)
    assert slots._floor.read() == {"anatomy": 2, "tools": 1}
    assert len(disk.names(STORE)) == 3
    update(slots_on(disk), disk, "three", THREE)
    assert len(disk.names(STORE)) == 3, "what no slot names is gone"


def test_a_trial_is_shown_and_goes_without_a_trace_but_its_reason() -> None:
    disk = device(ONE)
    slots = slots_on(disk)
    into_trial(slots, disk, "two", TWO)
    assert slots.status.shown == release("two", TWO)
    state, active, on_its_way = loaded(disk)
    assert (state, active["anatomy"]) == (State.TRIAL, f"store/{release('one', ONE).digests[0]}")
    assert on_its_way == {"anatomy": f"store/{release('two', TWO).digests[0]}"}
    slots.roll_back("3 deadline misses in 1000 frames, expected 0")
    again = slots_on(disk).status
    assert (again.state, again.shown) == (State.ROLLED_BACK, release("r", ONE))
    assert again.reason == "3 deadline misses in 1000 frames, expected 0"
    assert disk.names(STORE) == [release("r", ONE).digests[0]]
    assert slots._floor.read() == {"anatomy": 1}, "a trial raises no floor"


def test_the_first_failed_checkpoint_ends_it() -> None:
    disk = device(ONE)
    slots = slots_on(disk)
    place(disk, TWO)
    slots.fetched(release("two", TWO))
    slots.verify()
    slots.install()
    done = slots.check([PASS, FAIL, PASS])
    assert [one.checkpoint for one in done] == ["compatibility", "golden"]
    assert (slots.status.state, slots.status.reason) == (State.ROLLED_BACK, "golden: found 0.4, expected 0.9")


def test_a_checkpoint_that_raises_has_not_passed() -> None:
    from inframe.update.checkpoints import Checkpoint, run_all

    def explode(_: object) -> None:
        raise ZeroDivisionError("in the decoder")

    (done,) = run_all([Checkpoint("golden", explode), PASS], release("r", ONE))  # type: ignore[arg-type]
    assert (done.outcome.passed, done.outcome.reason) == (False, "ZeroDivisionError: in the decoder")


@pytest.mark.parametrize("name", sorted(SLOT_MOVES))
def test_a_move_from_a_wrong_state_is_refused_and_changes_nothing(name: str) -> None:
    calls = {
        "fetch": lambda s: s.fetched(release("one", ONE)),
        "verify": lambda s: s.verify(),
        "install": lambda s: s.install(),
        "check": lambda s: s.check([]),
        "shadow": lambda s: s.shadow(),
        "trial": lambda s: s.begin_trial(procedure_running=False),
        "commit": lambda s: s.commit(),
        "roll_back": lambda s: s.roll_back("x"),
        "restore": lambda s: s.restore(Excuse("x", (), {})),
    }
    disk = device(ONE)
    slots = slots_on(disk)
    if name == "fetch":
        into_trial(slots, disk, "two", TWO)
    before, was = disk.contents(), slots.status
    with pytest.raises(UpdateError, match="found"):
        calls[name](slots)
    assert disk.contents() == before
    assert slots.status == was


def test_a_changed_file_is_refused_and_rolled_back() -> None:
    disk = device(ONE)
    slots = slots_on(disk)
    place(disk, TWO)
    slots.fetched(release("two", TWO))
    path = f"{DOWNLOAD}/{release('two', TWO).digests[0]}"
    disk.write(path, TWO[:-1] + b"!")
    with pytest.raises(UpdateError, match="signature"):
        slots.verify()
    assert slots.status.state is State.ROLLED_BACK
    assert disk.read(path) is None


@pytest.mark.parametrize(("other", "field"), [(pack("tools", 2), "name"), (pack("anatomy", 3), "digest")])
def test_a_signed_bundle_that_is_another_one_is_refused(other: bytes, field: str) -> None:
    """Wrong software: validly signed, and not what the release says."""
    disk = device(ONE)
    slots = slots_on(disk)
    place(disk, TWO)
    slots.fetched(release("two", TWO))
    disk.write(f"{DOWNLOAD}/{release('two', TWO).digests[0]}", other)
    with pytest.raises(UpdateError, match=r"digest: found"):
        slots.verify()


def test_an_older_counter_needs_an_authorisation_at_this_very_floor() -> None:
    disk = device(ONE, THREE)
    slots = slots_on(disk)
    two = release("two", TWO)
    for excuse in (
        None,
        Excuse("for another file", release("x", ONE).digests, {"anatomy": 3}),
        Excuse("given before the floor rose", two.digests, {"anatomy": 2}),
    ):
        place(disk, TWO)
        slots.fetched(two)
        with pytest.raises(UpdateError, match="found 2, expected 3 or more, or an authorisation"):
            slots.verify(excuse)
        assert slots_on(disk).status.active == release("r", THREE)
    into_trial(slots, disk, "two", TWO, excuse=Excuse("authorisation 7", two.digests, {"anatomy": 3}))
    slots.commit()
    again = slots_on(disk)
    assert again.status.active == two
    assert again._floor.read() == {"anatomy": 3}, "a downgrade leaves the floor where it is"
    for counter in (4, 5):
        update(again, disk, "newer", pack("anatomy", counter))
    assert again.status.excuses == (), "the excuse went with what it spoke for"


def test_two_files_of_one_counter_are_refused() -> None:
    disk = device(ONE)
    slots = slots_on(disk)
    other = pack("anatomy", 1, salt="other")
    place(disk, other)
    slots.fetched(release("other", other))
    with pytest.raises(UpdateError, match="other bytes"):
        slots.verify()


def test_the_previous_release_comes_back_by_authorisation_only() -> None:
    disk = device(ONE, TWO)
    slots = slots_on(disk)
    with pytest.raises(UpdateError, match="authorisation: bundles"):
        slots.restore(Excuse("of another", release("x", THREE).digests, {"anatomy": 2}))
    assert slots_on(disk).status.active == release("r", TWO)
    slots.restore(Excuse("authorisation 8", release("r", ONE).digests, {"anatomy": 2}))
    status = slots_on(disk).status
    assert (status.active, status.previous, status.state) == (release("r", ONE), None, State.ROLLED_BACK)


def test_a_damaged_active_release_gives_way_to_the_previous_one() -> None:
    disk = device(ONE, TWO)
    disk.write(f"{STORE}/{release('r', TWO).digests[0]}", TWO[:-1] + b"!")
    slots = slots_on(disk)
    assert slots.status.active == release("r", ONE)
    assert slots.status.history[-1].name == "UPDATE_RESTORED"
    assert slots_on(disk).status.active == release("r", ONE)
    assert slots._floor.read() == {"anatomy": 2}


def test_a_damaged_active_release_without_a_previous_one_is_told_once() -> None:
    disk = device(ONE)
    disk.remove(f"{STORE}/{release('r', ONE).digests[0]}")
    for _ in range(2):
        assert [one.name for one in slots_on(disk).status.outbox] == ["UPDATE_DAMAGED"]


def test_a_damaged_trial_is_rolled_back_at_the_start() -> None:
    disk = device(ONE)
    into_trial(slots_on(disk), disk, "two", TWO)
    disk.write(f"{STORE}/{release('two', TWO).digests[0]}", TWO[:-1] + b"!")
    assert slots_on(disk).status.state is State.ROLLED_BACK


@pytest.mark.parametrize("path", ["status", "floor", "trust"])
def test_damage_is_refused_and_names_the_file(path: str) -> None:
    disk = device(ONE)
    raw = disk.read(path) or b""
    for damaged in (raw[:-1], raw[:-2] + b"7}", b"", b"{}", raw.replace(b" 1 ", b" 2 "), sealed(path, {"state": -7})):
        disk.write(path, damaged)
        if path != "trust":  # which is read when the repository is asked
            with pytest.raises(UpdateError, match=rf"^{path}: .*: found .*, expected"):
                slots_on(disk)
    disk.remove(path)
    if path != "trust":
        with pytest.raises(UpdateError, match=f"^{path}: file: found none"):
            slots_on(disk)


def test_an_old_copy_of_the_status_is_refused() -> None:
    disk = device(ONE)
    old = disk.read("status") or b""
    update(slots_on(disk), disk, "two", TWO)
    put(disk, "status", old)
    with pytest.raises(UpdateError, match="the status is an old copy"):
        slots_on(disk)


def test_never_in_the_middle_of_a_procedure_and_not_without_its_shadow() -> None:
    disk = device(ONE)
    slots = slots_on(disk)
    place(disk, TWO)
    slots.fetched(release("two", TWO))
    slots.verify()
    slots.install()
    slots.check([PASS])
    with pytest.raises(UpdateError, match="a procedure is running"):
        slots.begin_trial(procedure_running=True, without_shadow=True)
    with pytest.raises(UpdateError, match="no shadow run yet"):
        slots.begin_trial(procedure_running=False)
    slots.shadow()
    with pytest.raises(UpdateError, match="found a shadow run that is not over, expected its end"):
        slots.begin_trial(procedure_running=False)
    slots.compared("300 results compared, disagreement 0.01")
    slots.begin_trial(procedure_running=False)
    assert slots.status.state is State.TRIAL


def test_every_move_is_told_to_the_trail_until_it_is_there() -> None:
    disk = device(ONE)
    slots = slots_on(disk)
    into_trial(slots, disk, "two", TWO)
    told: list[Told] = []
    with pytest.raises(OSError, match="full"):
        slots.deliver(lambda _: (_ for _ in ()).throw(OSError("full")))
    again = slots_on(disk)
    assert again.deliver(told.append) == 5
    assert [one.name for one in told] == [
        "UPDATE_FETCHED",
        "UPDATE_VERIFIED",
        "UPDATE_INSTALLED",
        "UPDATE_CHECKED",
        "UPDATE_TRIAL",
    ]
    assert slots_on(disk).deliver(told.append) == 0


def test_one_process_at_a_time(tmp_path: Path) -> None:
    files = Disk(tmp_path)
    slots = slots_on(files)
    with pytest.raises(DeviceFault, match="another process writes here"):
        slots_on(Disk(tmp_path))
    slots.close()
    slots_on(Disk(tmp_path)).close()


def test_the_table_is_whole() -> None:
    assert {move.after for move in SLOT_MOVES.values()} == set(State) - {State.NONE}
    assert all(set(move.slots) <= set(Slot) for move in SLOT_MOVES.values())


def test_what_is_known_of_a_release_is_kept_and_is_gone_with_the_next_one() -> None:
    disk = device(ONE)
    slots = slots_on(disk)
    with pytest.raises(UpdateError, match="tried: found an update in state committed, expected trial"):
        slots.tried()
    with pytest.raises(UpdateError, match="defer: found an update in state committed, expected one that is on its way"):
        slots.defer(5, "why")
    place(disk, TWO)
    slots.fetched(release("two", TWO))
    slots.verify()
    slots.install()
    slots.check([PASS])
    slots.defer(5, "a long list today")
    slots.shadow()
    slots.compared("300 results compared")
    slots.begin_trial(procedure_running=False)
    slots.tried()
    slots.tried()
    known = slots_on(disk).status.progress
    assert (known.checks, known.compared, known.procedures) == (
        (("compatibility", True, "fits"),),
        "300 results compared",
        2,
    )
    assert (known.deferred_ns, known.trial_ns > 0) == (5, True)
    slots.roll_back("a deadline was missed")
    assert slots_on(disk).status.progress == known, "why it went can still be read"
    place(disk, THREE)
    slots.fetched(release("three", THREE))
    assert slots_on(disk).status.progress == Progress()


def test_a_failed_checkpoint_is_kept_with_its_reason() -> None:
    disk = device(ONE)
    slots = slots_on(disk)
    place(disk, TWO)
    slots.fetched(release("two", TWO))
    slots.verify()
    slots.install()
    slots.check([PASS, FAIL])
    assert slots_on(disk).status.progress.checks == (
        ("compatibility", True, "fits"),
        ("golden", False, "found 0.4, expected 0.9"),
    )


def test_a_status_of_before_there_was_any_progress_is_read() -> None:
    content = unsealed("status", "status", encode(Status()))
    for key in ("progress", "seen"):
        del content[key]
    assert decode(sealed("status", content)) == Status()
