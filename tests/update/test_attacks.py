"""Every attack of the TUF specification (section 1.5.2), and those that come with an own cache, an own clock and own slots:
against the real client, over a real web server. Each is refused, says so in the trail, and what runs is what ran before."""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

from inframe.core.errors import UpdateError
from inframe.update.releases import TARGET, ListedRelease
from inframe.update.repository import SERIALIZER, Keys, read_keys
from inframe.update.states import State
from inframe.update.wallclock import BUILT_S, as_datetime
from tests.update.made import pack
from tests.update.site import Bench, Handler

ONE, TWO, THREE = (pack("anatomy", counter) for counter in (1, 2, 3))


@pytest.fixture(autouse=True)
def device(bench: Bench) -> None:
    """The device runs ONE and has seen the repository once; TWO is then published."""
    bench.provision(ONE)
    assert bench.visit().taken is None
    bench.release("two", TWO)


@contextmanager
def untouched(bench: Bench) -> Iterator[None]:
    """What is active is the same afterwards, verifies, and nothing came into the store; the honest mirror still works."""
    before = [(bench.files.read("status") is not None), bench.files.names("store"), bench.files.read("floor")]
    with bench.slots() as slots:
        active = slots.status.active
    yield
    assert before == [True, bench.files.names("store"), bench.files.read("floor")]
    with bench.slots() as slots:
        assert slots.status.active == active is not None
        assert slots._problem(active) == ""
        assert slots.status.state is State.COMMITTED


def refused(bench: Bench, match: str) -> None:
    """The visit is refused, in one line and in the trail's outbox; nothing else happens."""
    with untouched(bench):
        with pytest.raises(UpdateError, match=match) as caught:
            bench.visit()
        assert "\n" not in str(caught.value)
        with bench.slots() as slots:
            assert slots.status.outbox[-1].name == "UPDATE_REFUSED"


def then_honest(bench: Bench) -> None:
    """The same device, from the honest mirror, takes the update."""
    bench.serve()
    bench.site.lies.clear()
    taken = bench.visit().taken
    assert taken is not None
    bench.finish()


def attacker() -> Keys:
    """Keys that nobody trusts."""
    made = {role: (CryptoSigner.generate_ed25519(),) for role in ("root", "targets", "snapshot", "timestamp")}
    return Keys(Path("attacker"), made)


def instead(data: bytes) -> Callable[[Handler, bytes | None], None]:
    return lambda handler, _: handler.give(data)


# --- arbitrary software ----------------------------------------------------------------------------------------------


def test_arbitrary_bytes_for_a_bundle(bench: Bench) -> None:
    bench.site.lies[r"targets/bundles/.*"] = instead(b"\x7fELF" + bytes(len(TWO) - 4))
    refused(bench, r"block 0: found SHA-256 .*, expected")
    then_honest(bench)


def test_an_arbitrary_list_of_releases(bench: Bench) -> None:
    bench.site.lies[rf"targets/.*{TARGET}"] = instead(b'{"format": "inframe releases 1", "releases": []}')
    refused(bench, "LengthOrHashMismatch")
    then_honest(bench)


def test_metadata_signed_by_the_attacker(bench: Bench) -> None:
    keys = attacker()
    for role in ("timestamp", "snapshot", "targets"):
        metadata = bench.repository.newest(role)
        metadata.signed.version += 1
        metadata.sign(keys.holders[role][0])
        bench.site.lies[rf"metadata/.*{role}\.json"] = instead(metadata.to_bytes(SERIALIZER))
        refused(bench, "signed by 0/|LengthOrHashMismatch")
        bench.site.lies.clear()
    then_honest(bench)


# --- endless data ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [r"metadata/timestamp\.json", r"metadata/\d+\.targets\.json", rf"targets/.*{TARGET}"])
def test_endless_data(bench: Bench, path: str) -> None:
    sent = [0]

    def endless(handler: Handler, _: bytes | None) -> None:
        handler.send_response(200)
        handler.end_headers()
        while sent[0] < 1 << 30:
            handler.wfile.write(b" " * 65536)
            sent[0] += 65536

    bench.site.lies[path] = endless
    refused(bench, "exceeding the maximum allowed length")
    assert sent[0] < 64 << 20
    then_honest(bench)


def test_an_endless_bundle_is_cut_at_its_length(bench: Bench) -> None:
    bench.site.lies[r"targets/bundles/.*"] = lambda handler, data: handler.give((data or b"") + bytes(1 << 20))
    assert bench.visit().taken is not None
    bench.finish()


def test_endless_headers(bench: Bench) -> None:
    def endless(handler: Handler, _: bytes | None) -> None:
        handler.send_response(200)
        for number in range(100_000):
            handler.send_header(f"X-{number}", "x" * 100)
        handler.end_headers()

    bench.site.lies[r"metadata/timestamp\.json"] = endless
    refused(bench, "HTTPException|LineTooLong|more than 100 headers|ConnectionReset")
    then_honest(bench)


# --- extraneous dependencies -----------------------------------------------------------------------------------------


def test_an_extraneous_bundle_that_the_list_does_not_have(bench: Bench) -> None:
    """The mirror adds a bundle to the list: it is another list than the one signed."""
    listed = bench.repository.releases().model_dump()
    listed["releases"][0]["bundles"]["tools"] = listed["releases"][0]["bundles"]["anatomy"]
    bench.site.lies[rf"targets/.*{TARGET}"] = instead(json.dumps(listed).encode())
    refused(bench, "LengthOrHashMismatch|exceeding")
    then_honest(bench)


def test_a_signed_bundle_that_the_device_file_does_not_name(bench: Bench) -> None:
    bench.release("three", THREE, pack("miner", 1))
    visit = bench.visit()
    assert visit.reasons == {"three": "it has bundles that the device file does not name: miner"}
    assert visit.taken is not None
    assert visit.taken.name == "two"


# --- fast-forward ----------------------------------------------------------------------------------------------------


def forge(bench: Bench, role: str, version: int) -> None:
    """With stolen keys of snapshot and timestamp: a version that nothing can follow."""
    keys, root = read_keys(bench.root / "keys"), bench.repository.newest("root").signed
    repository = bench.repository
    snapshot = repository.newest("snapshot").signed
    if role == "snapshot":
        snapshot.version = version
        repository._write(f"{version}.snapshot.json", keys.sign(snapshot, "snapshot", root))
    timestamp = repository.newest("timestamp").signed
    timestamp.version = version
    raw = keys.sign(snapshot, "snapshot", root).to_bytes(SERIALIZER)
    timestamp.snapshot_meta = MetaFile.from_data(snapshot.version, raw, ["sha256"])
    repository._write("timestamp.json", keys.sign(timestamp, "timestamp", root))


@pytest.mark.parametrize("role", ["timestamp", "snapshot"])
def test_fast_forward_and_recovery(bench: Bench, role: str) -> None:
    honest = bench.copy("honest")
    forge(bench, role, 1_000_000)
    bench.visit()
    with bench.slots() as slots:
        slots.roll_back("the attack was noticed", again=True)
    bench.serve(honest)
    with pytest.raises(UpdateError, match="BadVersionNumber"):
        bench.visit()
    (bench.root / "repo").rename(bench.root / "forged")
    honest.rename(bench.root / "repo")
    for stolen in ("snapshot", "timestamp"):  # the keys are replaced; versions go on where they honestly were
        bench.repository.rotate(stolen)
    then_honest(bench)


# --- freeze ----------------------------------------------------------------------------------------------------------


def test_freeze(bench: Bench) -> None:
    frozen = bench.copy("frozen")
    bench.visit()
    bench.finish()
    bench.release("three", THREE)
    bench.serve(frozen)
    bench.pass_days(6.9)
    assert bench.visit().taken is None  # within what the timestamp allows: no news
    bench.pass_days(0.2)
    refused(bench, "timestamp.json is expired")
    bench.repository.renew()
    then_honest(bench)


@pytest.mark.parametrize("proof", ["metadata", "trail"])
def test_indefinite_freeze_with_a_clock_that_lost_its_battery(bench: Bench, proof: str) -> None:
    frozen = bench.copy("frozen")
    if proof == "metadata":
        bench.pass_days(30)
        bench.release("three", THREE)
        bench.visit()  # its signing time is what the device then knows
        with bench.slots() as slots:
            slots.roll_back("not now")
    else:
        bench.times.trail = bench.times.wall + 30 * 86_400
    bench.times.wall = 0
    bench.serve(frozen)
    with pytest.raises(UpdateError, match=r"expired|BadVersionNumber"):
        bench.visit()


def test_before_this_software_was_built_is_no_time(bench: Bench) -> None:
    """A repository that expired before: a device without any other knowledge of time still refuses it."""
    repository = bench.repository
    root, keys = repository.newest("root").signed, read_keys(bench.root / "keys")
    timestamp = repository.newest("timestamp").signed
    timestamp.version += 1
    timestamp.expires = as_datetime(BUILT_S - 1)
    repository._write("timestamp.json", keys.sign(timestamp, "timestamp", root))
    bench.times.wall = 0
    refused(bench, "expired")


def test_a_device_that_was_offline_for_a_year_comes_back(bench: Bench) -> None:
    bench.pass_days(365)
    for role in ("timestamp", "snapshot", "targets", "root"):
        bench.repository.rotate(role)
    bench.times.wall = 0  # and its battery is empty
    then_honest(bench)


def test_an_online_key_moves_no_clock(bench: Bench) -> None:
    """A stolen timestamp key that says it signed in a hundred years must not expire everything else."""
    repository = bench.repository
    timestamp = repository.newest("timestamp").signed
    timestamp.version += 1
    timestamp.unrecognized_fields["x-inframe-signed"] = bench.times.wall + 100 * 365 * 86_400
    timestamp.expires = as_datetime(bench.times.wall + 101 * 365 * 86_400)
    root = repository.newest("root").signed
    repository._write("timestamp.json", read_keys(bench.root / "keys").sign(timestamp, "timestamp", root))
    bench.visit()
    bench.finish()
    bench.release("three", THREE)
    then_honest(bench)


# --- malicious mirror ------------------------------------------------------------------------------------------------


def _status(code: int) -> Callable[[Handler, bytes | None], None]:
    def answer(handler: Handler, _: bytes | None) -> None:
        handler.send_response(code)
        handler.send_header("Location", "http://127.0.0.1:9/evil")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


@pytest.mark.parametrize(
    "lie",
    [
        _status(404),
        _status(403),
        _status(500),
        _status(302),
        instead(b""),
        instead(b"<html>please log in</html>"),
        instead(b"[" * 100_000),
        instead(b'{"signed": 7, "signatures": {}}'),
        instead(b'{"signatures": [], "signed": {"_type": "timestamp", "version": "x"}}'),
        instead(b"\xff\xfe" * 100),
        lambda handler, _: handler.wfile.write(b"\x00\x01not http\r\n\r\n"),
        lambda handler, data: handler.give((data or b"")[:-40]),
        lambda handler, _: handler.connection.shutdown(socket.SHUT_RDWR),
    ],
    ids=["404", "403", "500", "302", "empty", "html", "deep", "nonsense", "types", "utf", "nothttp", "cut", "hangup"],
)
@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_a_mirror_that_sends_nonsense(bench: Bench, lie: Callable[[Handler, bytes | None], None], role: str) -> None:
    bench.site.lies[rf"metadata/(\d+\.)?{role}\.json"] = lie
    refused(bench, "metadata: found")


def test_a_mirror_that_hides_new_roots_hides_nothing_for_long(bench: Bench) -> None:
    bench.repository.rotate("timestamp")
    bench.site.lies[r"metadata/2\.root\.json"] = _status(404)
    refused(bench, "signed by 0/1")
    then_honest(bench)


def test_a_root_that_came_before_a_refusal_is_kept(bench: Bench) -> None:
    """A thief's key was replaced; a mirror that lets only the new root through can't bring the stolen key's time back."""
    old = bench.copy("old")
    bench.repository.rotate("timestamp")
    bench.site.lies[r"metadata/timestamp\.json"] = _status(404)
    refused(bench, "found HTTP status 404")
    bench.site.lies.clear()
    bench.serve(old)
    refused(bench, "timestamp was signed by 0/1")
    then_honest(bench)


# --- mix and match ---------------------------------------------------------------------------------------------------


def test_mix_and_match(bench: Bench) -> None:
    """A snapshot, and targets, that were once good, with a newer timestamp."""
    old = {role: bench.repository.newest(role).to_bytes(SERIALIZER) for role in ("snapshot", "targets")}
    bench.release("three", THREE)
    for role, data in old.items():
        bench.site.lies[rf"metadata/\d+\.{role}\.json"] = instead(data)
        refused(bench, "LengthOrHashMismatch|BadVersionNumber")
        bench.site.lies.clear()
    then_honest(bench)


def test_mix_and_match_under_a_snapshot_without_hashes(bench: Bench) -> None:
    """Hashes in the snapshot are optional in the specification: the versions must hold alone."""
    old = bench.repository.newest("targets").to_bytes(SERIALIZER)
    bench.release("three", THREE)
    repository, keys = bench.repository, read_keys(bench.root / "keys")
    root, snapshot = repository.newest("root").signed, repository.newest("snapshot").signed
    snapshot.meta["targets.json"] = MetaFile(repository.newest("targets").signed.version)
    snapshot.version += 1
    repository._write(f"{snapshot.version}.snapshot.json", keys.sign(snapshot, "snapshot", root))
    timestamp = repository.newest("timestamp").signed
    timestamp.version += 1
    timestamp.snapshot_meta = MetaFile(snapshot.version)
    repository._write("timestamp.json", keys.sign(timestamp, "timestamp", root))
    bench.site.lies[r"metadata/\d+\.targets\.json"] = instead(old)
    refused(bench, "BadVersionNumber|Expected targets v")
    then_honest(bench)


# --- rollback --------------------------------------------------------------------------------------------------------


def test_rollback_with_an_intact_cache(bench: Bench) -> None:
    old = bench.copy("old")
    bench.release("three", THREE)
    bench.visit()
    bench.finish()
    bench.serve(old)
    refused(bench, "BadVersionNumber")


@pytest.mark.parametrize("damage", ["gone", "empty", "cut", "one bit", "older"])
def test_rollback_with_a_damaged_cache(bench: Bench, damage: str) -> None:
    """python-tuf takes a damaged cache for an absent one, and an old repository with it: here it is refused, and the honest one
    mends it."""
    old, older = bench.copy("old"), bench.files.read("trust") or b""
    bench.release("three", THREE)
    bench.visit()
    bench.finish()
    trust = bench.root / "device" / "trust"
    raw = trust.read_bytes()
    if damage == "gone":
        trust.unlink()
    else:
        bits = raw[:300] + bytes([raw[300] ^ 1]) + raw[301:]
        trust.write_bytes({"empty": b"", "cut": raw[:-9], "one bit": bits, "older": older}[damage])
    bench.serve(old)
    if damage == "older":  # whoever may write the disk brings an old repository in, and no old model with it
        with untouched(bench):
            visit = bench.visit()
        assert visit.taken is None
        assert visit.reasons["two"] == "it is older than what is active: anatomy"
    else:
        refused(bench, "^trust: content: found trust: .* and from the repository [a-z]+ \\d+, expected nothing before")
        bench.serve()
        with untouched(bench):
            bench.visit()
        with bench.slots() as slots:
            assert slots.status.outbox[-1].name == "UPDATE_TRUST_LOST"
        bench.serve(old)
        refused(bench, "BadVersionNumber")


# --- slow retrieval --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [r"metadata/timestamp\.json", r"targets/bundles/.*"])
@pytest.mark.parametrize("part", ["headers", "body"])
def test_slow_retrieval(bench: Bench, path: str, part: str) -> None:
    """One byte a second, by the clock that the client has: no test waits for it."""
    sent = [0]

    def slowly(handler: Handler, data: bytes | None) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(data or b'')}\r\n".encode()
        fast = b"" if part == "headers" else head + b"\r\n"
        handler.wfile.write(fast)
        slow = (head + b"X: " + b"x" * 60_000) if part == "headers" else (data or b"")
        for byte in slow:
            bench.clock.advance(10**9)
            handler.wfile.write(bytes([byte]))
            sent[0] += 1

    bench.site.lies[path] = slowly
    refused(bench, r"SlowRetrieval|bytes a second, expected 1000 or more")
    then_honest(bench)


# --- wrong software --------------------------------------------------------------------------------------------------


def test_another_signed_bundle_from_the_mirror(bench: Bench) -> None:
    bench.site.lies[r"targets/bundles/.*"] = instead(pack("tools", 2))
    refused(bench, "found SHA-256")
    then_honest(bench)


def test_a_careless_release_of_another_bundle(bench: Bench) -> None:
    """Signed by all, and wrong: the bundle's own name is not the one that the list gives it."""

    def mislabel(before: list[ListedRelease]) -> list[ListedRelease]:
        wrong = before[0].model_copy(update={"name": "wrong", "bundles": {"tools": before[0].bundles["anatomy"]}})
        return [*before, wrong]

    bench.publish(mislabel)
    assert bench.visit().taken is not None
    with bench.slots() as slots, pytest.raises(UpdateError, match="name: found anatomy, expected tools"):
        slots.verify()
    with bench.slots() as slots:
        assert slots.status.state is State.ROLLED_BACK
        assert slots.status.active is not None
        assert slots.status.active.name == "factory"


# --- key compromise below the threshold ------------------------------------------------------------------------------


def test_one_of_two_targets_keys_is_stolen(bench: Bench) -> None:
    """Together with snapshot and timestamp, which are online, and still below the threshold of targets."""
    repository, keys = bench.repository, read_keys(bench.root / "keys")
    root = repository.newest("root").signed
    targets = repository.newest("targets").signed
    evil = b"evil"
    targets.targets[TARGET] = TargetFile.from_data(TARGET, evil)
    targets.version += 1
    metadata = Metadata[Targets](targets)
    metadata.sign(keys.holders["targets"][0])
    metadata.sign(CryptoSigner.generate_ed25519(), append=True)
    repository._write(f"{targets.version}.targets.json", metadata)
    raw = metadata.to_bytes(SERIALIZER)
    snapshot = Snapshot(
        version=repository.newest("snapshot").signed.version + 1,
        expires=as_datetime(bench.times.wall + 86_400),
        meta={"targets.json": MetaFile.from_data(targets.version, raw, ["sha256"])},
    )
    signed = keys.sign(snapshot, "snapshot", root)
    repository._write(f"{snapshot.version}.snapshot.json", signed)
    timestamp = Timestamp(
        version=repository.newest("timestamp").signed.version + 1,
        expires=as_datetime(bench.times.wall + 86_400),
        snapshot_meta=MetaFile.from_data(snapshot.version, signed.to_bytes(SERIALIZER), ["sha256"]),
    )
    repository._write("timestamp.json", keys.sign(timestamp, "timestamp", root))
    refused(bench, "targets was signed by 1/2 keys")


def test_one_of_two_root_keys_is_stolen(bench: Bench) -> None:
    keys = read_keys(bench.root / "keys")
    root: Root = bench.repository.newest("root").signed
    root.version += 1
    evil = CryptoSigner.generate_ed25519()
    root.add_key(evil.public_key, "targets")
    root.roles["targets"].threshold = 1
    metadata = Metadata[Root](root)
    metadata.sign(keys.holders["root"][0])
    metadata.sign(evil, append=True)
    bench.site.lies[r"metadata/2\.root\.json"] = instead(metadata.to_bytes(SERIALIZER))
    refused(bench, "root was signed by 1/2 keys")
    then_honest(bench)


def test_the_same_key_twice_is_one_signature(bench: Bench) -> None:
    keys = read_keys(bench.root / "keys")
    root: Root = bench.repository.newest("root").signed
    root.version += 1
    metadata = Metadata[Root](root)
    metadata.sign(keys.holders["root"][0])
    raw = metadata.to_dict()
    raw["signatures"] *= 2
    bench.site.lies[r"metadata/2\.root\.json"] = instead(json.dumps(raw).encode())
    refused(bench, "root was signed by 1/2 keys|DeserializationError")
    then_honest(bench)


# --- old metadata signed anew ----------------------------------------------------------------------------------------


def test_old_targets_signed_anew_by_all_keys(bench: Bench) -> None:
    """Whoever has all keys of the repository still brings no older model in: its counter is below the floor."""
    bench.visit()
    bench.finish()
    bench.release("three", THREE)
    bench.visit()
    bench.finish()
    bench.publish(lambda before: before[:1])
    with untouched(bench):
        visit = bench.visit()
    assert visit.taken is None
    assert visit.reasons == {"two": "it is older than what is active: anatomy"}


def test_an_old_bundle_under_a_new_counter(bench: Bench) -> None:
    """The list says 9, the bundle itself says 1: what the bundle's own signature covers decides."""
    bench.visit()
    bench.finish()

    def lie(before: list[ListedRelease]) -> list[ListedRelease]:
        bundle = before[0].bundles["anatomy"].model_copy(update={"counter": 9})
        return [before[0].model_copy(update={"name": "nine", "bundles": {"anatomy": bundle}})]

    bench.publish(lie)
    visit = bench.visit()
    assert visit.reasons == {"nine": "it is active"}
    bench.release("one-again", pack("anatomy", 1, salt="old"))
    bench.publish(lambda before: lie(before[-1:]))
    assert bench.visit().taken is not None
    with bench.slots() as slots, pytest.raises(UpdateError, match="counter: found 1, expected 9"):
        slots.verify()
