"""Who gets which release: cohorts, the stop switch, constraints, sets, downgrades; and what a device is told of it."""

import json
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframe.core.errors import ConfigError, UpdateError
from inframe.update.authorisation import Authorisation, excuse_from, signed
from inframe.update.releases import (
    BLOCK,
    Facts,
    ListedBundle,
    ListedRelease,
    ReleaseList,
    bucket,
    choose,
    parse,
    why_not,
)
from inframe.update.repository import Keys, Repository, create, make_keys, read_keys
from inframe.update.states import BY_HAND, Excuse, State
from inframe.update.wallclock import BUILT_S, Proven, text, trusted_s
from tests.update.made import PASS, pack, place, release
from tests.update.site import NOW_S, Bench

ONE, TWO, THREE = (pack("anatomy", counter) for counter in (1, 2, 3))
TOOLS = pack("tools", 1)


def listed(name: str, counter: int = 2, percent: int = 100, **more: object) -> ListedRelease:
    bundle = ListedBundle(path="bundles/x", sha256="a" * 64, size=1, counter=counter, blocks=["b" * 64])
    return ListedRelease(name=name, bundles={"anatomy": bundle}, percent=percent, **more)  # type: ignore[arg-type]


def facts(device: str = "d", app: str = "0.1.0", counter: int = 1) -> Facts:
    return Facts(device, app, {"anatomy"}, {"anatomy": counter}, set(), {})


# --- cohorts ---------------------------------------------------------------------------------------------------------


@given(st.text(max_size=30), st.text(max_size=30), st.integers(0, 100), st.integers(0, 100))
def test_a_wider_roll_out_leaves_nobody_out_who_was_in(device: str, name: str, one: int, other: int) -> None:
    less, more = sorted((one, other))
    place = bucket(device, name)
    assert place == bucket(device, name)
    assert 0 <= place < 100
    assert not place < less or place < more


def test_a_cohort_has_its_size_and_another_release_another_cohort() -> None:
    devices = [f"device-{i}" for i in range(10_000)]
    first = {d for d in devices if not why_not(listed("a", percent=10), facts(d))}
    second = {d for d in devices if not why_not(listed("b", percent=10), facts(d))}
    assert 900 < len(first) < 1100
    assert len(first & second) < 200


@pytest.mark.parametrize(
    ("release_", "facts_", "why"),
    [
        (listed("a"), facts(), ""),
        (listed("a", percent=0), facts(), "rolled out to 0 %"),
        (listed("a", percent=0, devices=["d"]), facts(), ""),
        (listed("a", stopped="NaN in the field"), facts(), "stopped: NaN in the field"),
        (listed("a", counter=1), facts(counter=2), "older than what is active: anatomy"),
        (listed("a", app_from="0.2"), facts(app="0.1.9"), "needs inframe 0.2 or newer"),
        (listed("a", app_from="0.2"), facts(app="0.2.0"), ""),
        (listed("a", app_below="1.0"), facts(app="1"), "inframe 1 is too new"),
        (listed("a", app_from="0.9", app_below="0.11"), facts(app="0.10.3"), ""),
        (listed("a", after={"anatomy": 2}), facts(), "comes after a newer anatomy"),
    ],
)
def test_why_a_release_is_not_for_a_device(release_: ListedRelease, facts_: Facts, why: str) -> None:
    assert why in why_not(release_, facts_)
    assert bool(why) == bool(why_not(release_, facts_))


def test_the_newest_that_is_for_it_and_the_switch_for_all() -> None:
    every = [listed("a", 2), listed("b", 3), listed("c", 4, percent=0)]
    chosen, reasons = choose(ReleaseList(releases=every), facts())
    assert chosen is every[1]
    assert list(reasons) == ["c"]
    assert choose(ReleaseList(releases=every, stopped="recall 12"), facts())[0] is None


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (b"", "content"),
        (b"[]", "content"),
        (b"{}", "format"),
        (b'{"format": "inframe releases 2"}', "format"),
        (b'{"format": "inframe releases 1", "extra": 1}', "extra"),
        (b'{"format": "inframe releases 1", "block": 7}', "block"),
        (b'{"format": "inframe releases 1", "releases": [{"name": "../x", "bundles": {}}]}', "releases.0.name"),
    ],
)
def test_a_list_that_is_none_is_refused_by_field(raw: bytes, field: str) -> None:
    with pytest.raises(UpdateError, match=rf"^releases\.json: {field}: found .*, expected"):
        parse(raw)


@given(st.binary(max_size=200))
def test_no_bytes_make_anything_but_a_list_or_a_refusal(raw: bytes) -> None:
    with pytest.raises(UpdateError):
        parse(raw)


@pytest.mark.parametrize("path", ["bundles/../../etc/passwd", "/bundles/x", "bundles/a/b", "bundles/.x", "bundles/"])
def test_a_strange_path_is_refused(path: str) -> None:
    whole = ReleaseList(releases=[listed("a")]).model_dump()
    whole["releases"][0]["bundles"]["anatomy"]["path"] = path
    with pytest.raises(UpdateError, match="path"):
        parse(json.dumps(whole).encode())


# --- on a device -----------------------------------------------------------------------------------------------------


def test_a_release_that_is_stopped_on_its_way_is_rolled_back(bench: Bench) -> None:
    bench.provision(ONE)
    bench.release("two", TWO)
    bench.visit()
    bench.publish(lambda before: [one.model_copy(update={"stopped": "recall 12"}) for one in before])
    visit = bench.visit()
    assert visit.taken is None
    assert visit.reasons == {"two": "stopped: recall 12"}
    with bench.slots() as slots:
        assert (slots.status.state, slots.status.reason) == (State.ROLLED_BACK, "stopped: recall 12")


def test_what_was_rolled_back_here_is_not_fetched_again_of_itself(bench: Bench) -> None:
    """Else a device would fetch, check and reject the same release for ever."""
    bench.provision(ONE)
    bench.release("two", TWO)
    bench.visit()
    with bench.slots() as slots:
        slots.roll_back("golden: found 0.4, expected 0.9")
    visit = bench.visit()
    assert (visit.taken, visit.reasons) == (None, {"two": "it was rolled back here: golden: found 0.4, expected 0.9"})
    bench.release("three", THREE)
    assert bench.visit().taken == release("three", THREE)


def test_what_came_by_hand_is_left_alone_but_by_the_switch_for_all(bench: Bench) -> None:
    bench.provision(ONE)
    with bench.slots() as slots:
        place(bench.files, TWO)
        slots.fetched(release(BY_HAND, TWO))
    assert bench.visit().taken == release(BY_HAND, TWO)
    bench.repository.publish(bench.repository.releases().model_copy(update={"stopped": "recall 1"}))
    assert bench.visit().taken is None
    with bench.slots() as slots:
        assert slots.status.reason == "stopped: recall 1"


def test_what_is_on_its_way_stays_on_it(bench: Bench) -> None:
    bench.provision(ONE)
    bench.release("two", TWO)
    first = bench.visit()
    bench.release("three", THREE)
    assert bench.visit().taken == first.taken


def test_a_set_comes_whole_and_keeps_what_it_does_not_replace(bench: Bench) -> None:
    bench.provision(ONE, TOOLS)
    bench.release("two", TWO)
    bench.visit()
    bench.finish()
    with bench.slots() as slots:
        assert slots.status.active == release("two", TWO, TOOLS)
    bench.release("set", THREE, pack("tools", 2))
    bench.site.lies[r"targets/bundles/.*tools-2.*"] = lambda handler, _: handler.give(b"x")
    with pytest.raises(UpdateError, match=r"block 0|an end before its time"):
        bench.visit()
    with bench.slots() as slots:
        assert slots.status.active == release("two", TWO, TOOLS), "one of two is none"
        assert slots.status.state is State.COMMITTED
    bench.site.lies.clear()
    bench.visit()
    bench.finish()
    with bench.slots() as slots:
        assert slots.status.active == release("set", THREE, pack("tools", 2))


def test_a_stick_in_the_hand_is_a_repository_too(bench: Bench) -> None:
    from dataclasses import replace

    from inframe.update.client import Source
    from inframe.update.fetch import visit

    bench.provision(ONE)
    bench.release("two", TWO)
    with bench.slots() as slots:
        link = replace(bench.link(), source=Source(f"file://{bench.root}/repo", bench.bootstrap))
        assert visit(bench.files, slots, link, bench.facts(slots)).taken == release("two", TWO)
    assert bench.site.asked == []


def test_a_small_visit_asks_for_little(bench: Bench) -> None:
    bench.provision(ONE)
    bench.visit()
    bench.site.asked.clear()
    bench.visit()
    assert len([path for path in bench.site.asked if "root" not in path]) <= 3


# --- downgrades ------------------------------------------------------------------------------------------------------


def authorise(bench: Bench, count: int = 2, **more: object) -> bytes:
    said = {
        "number": "D-7",
        "reason": "complaint 4711",
        "devices": ["device-7"],
        "bundles": {"anatomy": sha256(ONE).hexdigest()},
        "floor": {"anatomy": 2},
        "expires": text(NOW_S + 86_400),
    }
    holders = list(read_keys(bench.root / "keys").holders["downgrade"][:count])
    return signed(Authorisation.model_validate(said | more), holders)  # type: ignore[arg-type]


def allow(bench: Bench, raw: bytes) -> Excuse:
    return excuse_from(raw, "downgrade.json", bench.bootstrap.decode(), bench.device, bench.times.wall)


def test_a_downgrade_by_authorisation_is_told(bench: Bench) -> None:
    bench.provision(ONE)
    bench.release("two", TWO)
    bench.visit()
    bench.finish()
    excuse = allow(bench, authorise(bench))
    with bench.slots() as slots:
        slots.restore(excuse)
        assert slots.status.active == release("factory", ONE)
        assert slots.status.outbox[-1].text == "factory: authorisation D-7: complaint 4711"
        assert slots._floor.read() == {"anatomy": 2}


@pytest.mark.parametrize(
    ("more", "match"),
    [
        ({"count": 1}, "signatures: found 1 good ones, expected 2"),
        ({"devices": ["device-8"]}, "devices: found device-8, expected device-7"),
        ({"expires": text(NOW_S)}, "expires: found .*, expected a time to come"),
        ({"expires": "soon"}, "expires: found soon"),
    ],
)
def test_an_authorisation_that_does_not_hold_is_refused(bench: Bench, more: dict[str, object], match: str) -> None:
    with pytest.raises(UpdateError, match=match):
        allow(bench, authorise(bench, **more))  # type: ignore[arg-type]


def test_an_authorisation_by_other_keys_or_changed_is_refused(bench: Bench) -> None:
    raw = json.loads(authorise(bench))
    raw["signed"]["devices"].append("device-8")
    with pytest.raises(UpdateError, match="found 0 good ones"):
        allow(bench, json.dumps(raw).encode())
    keys = read_keys(bench.root / "keys")
    forged = Keys(keys.folder, {**keys.holders, "downgrade": keys.holders["targets"]})
    said = Authorisation.model_validate(json.loads(authorise(bench))["signed"])
    with pytest.raises(UpdateError, match="found 0 good ones"):
        allow(bench, signed(said, list(forged.holders["downgrade"])))
    for raw_bytes in (b"", b"{}", b"[1]", b'{"signed": {}, "signatures": []}', b"x" * 100_000):
        with pytest.raises(UpdateError, match=r"downgrade\.json: .*: found"):
            allow(bench, raw_bytes)


def test_rotated_downgrade_keys_are_the_only_ones(bench: Bench) -> None:
    old = authorise(bench)
    bench.repository.rotate("downgrade")
    bench.provision(ONE)
    bench.visit()
    from inframe.update import trust

    root = trust.read(bench.files).roles["root"]
    with pytest.raises(UpdateError, match="found 0 good ones"):
        excuse_from(old, "downgrade.json", root, bench.device, NOW_S)


# --- the manufacturer's side -----------------------------------------------------------------------------------------


def test_keys_below_the_threshold_publish_nothing(bench: Bench) -> None:
    (bench.root / "keys" / "targets-2.pem").unlink()
    before = sorted((bench.root / "repo" / "metadata").iterdir())
    with pytest.raises(ConfigError, match=r"targets-N\.pem: found 1 keys of that role, expected 2"):
        bench.release("two", TWO)
    assert sorted((bench.root / "repo" / "metadata").iterdir()) == before


def test_a_repository_is_made_once(bench: Bench) -> None:
    with pytest.raises(ConfigError, match="found a repository"):
        create(bench.root / "repo", bench.root / "other", NOW_S)
    with pytest.raises(ConfigError, match="keys: found there are some"):
        create(bench.root / "other", bench.root / "keys", NOW_S)
    with pytest.raises(ConfigError, match="found none, expected files named"):
        read_keys(bench.root / "nothing")
    with pytest.raises(ConfigError, match=r"N\.targets\.json: found none"):
        Repository(bench.root / "nothing", read_keys(bench.root / "keys"), NOW_S).releases()


def test_private_keys_are_private(bench: Bench) -> None:
    for path in (bench.root / "keys").iterdir():
        assert path.stat().st_mode & 0o077 == 0
    make_keys(bench.root / "keys", "targets", 1)
    assert (bench.root / "keys" / "targets-3.pem").exists()
    (bench.root / "keys" / "bad-1.pem").write_bytes(b"nonsense")
    with pytest.raises(ConfigError, match=r"bad-1\.pem: key: found .*, expected a private key"):
        read_keys(bench.root / "keys")


# --- time ------------------------------------------------------------------------------------------------------------


@given(*(st.integers(0, 1 << 33) for _ in range(3)))
def test_the_trusted_time_is_never_before_what_is_proven(wall: int, metadata: int, trail: int) -> None:
    now = trusted_s(wall, Proven(metadata, trail))
    assert now >= max(wall, metadata, trail, BUILT_S)
    assert now in (wall, metadata, trail, BUILT_S)


def test_a_block_fits_into_memory() -> None:
    assert ReleaseList().block == BLOCK <= 4 << 20


def test_the_checkpoints_of_made_pass() -> None:
    assert PASS.run(release("r", ONE)).passed
