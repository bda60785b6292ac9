"""A bundle over a bad link: it comes whole, resumes where it was, and not one wrong byte is ever kept."""

import random
from collections.abc import Iterator
from hashlib import sha256

import pytest
from tuf.api.exceptions import DownloadError, SlowRetrievalError

from inframe.core.clock import ManualClock
from inframe.core.errors import UpdateError
from inframe.update.download import RESERVE, TRIES, Wanted, download
from inframe.update.repository import list_bundle
from inframe.update.transport import CHUNK, Pace, Speed, Transport
from tests.disks import Loss, Memory, PowerCutError
from tests.update.badlink import Fault, Proxy, bad_link
from tests.update.made import opened, pack, release
from tests.update.site import BLOCK, Bench

ONE, BIG = pack("anatomy", 1), pack("anatomy", 2, 200_000)
PLACES = 50


def wanted(data: bytes, url: str, block: int = BLOCK) -> Wanted:
    listed = list_bundle("bundles/x", data, 1, block)
    return Wanted(url, listed.sha256, listed.size, block, tuple(listed.blocks))


@pytest.fixture
def link(bench: Bench) -> Iterator[Proxy]:
    bench.provision(ONE)
    bench.release("two", BIG)
    with bad_link(bench.site.server_address, lambda: bench.clock.advance(10**12)) as proxy:  # type: ignore[arg-type]
        yield proxy


def through(bench: Bench, proxy: Proxy) -> bytes:
    """A visit by way of the proxy, to the end; the installed file."""
    from dataclasses import replace

    from inframe.update.client import Source
    from inframe.update.fetch import visit

    with bench.slots() as slots:
        way = replace(bench.link(), source=Source(proxy.url, bench.bootstrap))
        taken = visit(bench.files, slots, way, bench.facts(slots)).taken
    assert taken == release("two", BIG)
    bench.finish()
    return bench.files.read(f"store/{taken.digests[0]}") or b""


def test_fifty_places_in_one_download(bench: Bench, link: Proxy) -> None:
    """Each connection ends within the next fiftieth of the file, each in another way."""
    kinds = [Fault.DROP, Fault.RESET, Fault.STALL, Fault.CORRUPT]
    link.plan.faults = [(kinds[i % 4], len(BIG) // PLACES + 37 * i) for i in range(PLACES)]
    assert through(bench, link) == BIG
    assert link.plan.struck > 30
    assert link.plan.starts == sorted(link.plan.starts), "it went back"
    assert len(set(link.plan.starts)) > 25, "it did not get on"


def test_each_of_fifty_places_alone(bench: Bench, link: Proxy) -> None:
    """One fault at each fiftieth of the file: what was good before it is not fetched again."""
    rng = random.Random(6)
    for place in range(PLACES):
        for kind in (Fault.DROP, Fault.CORRUPT, Fault.STALL):
            disk, at = Memory(), place * len(BIG) // PLACES + rng.randrange(BLOCK)
            link.plan.faults, link.plan.relayed, link.plan.struck = [(kind, min(at, len(BIG) - 1))], 0, 0
            address = next(one for one in link_addresses(bench, link))
            tries = download(disk, bench.link().transport, wanted(BIG, address), lambda _: None)
            assert disk.read(f"download/{sha256(BIG).hexdigest()}") == BIG
            assert link.plan.struck == 1
            assert tries == 2
            if kind is Fault.DROP:
                assert link.plan.relayed < len(BIG) + CHUNK  # what was under way when the line broke comes again


def link_addresses(bench: Bench, link: Proxy) -> list[str]:
    folder = bench.root / "repo"
    return [f"{link.url}/{path.relative_to(folder)}" for path in (folder / "targets" / "bundles").iterdir()]


def test_a_server_without_ranges_is_read_again_and_only_the_rest_kept(bench: Bench) -> None:
    bench.provision(ONE)
    bench.release("two", BIG)
    bench.site.lies[r"targets/bundles/.*"] = lambda handler, data: handler.give(data, ranges=False)
    disk, (address,) = Memory(), link_addresses(bench, bench.site)  # type: ignore[arg-type]
    disk.make_folder("download")
    disk.write(f"download/{sha256(BIG).hexdigest()}", BIG[:70_000])
    assert download(disk, bench.link().transport, wanted(BIG, address), lambda _: None) == 1
    assert disk.read(f"download/{sha256(BIG).hexdigest()}") == BIG


def test_a_server_with_a_wrong_range_is_refused(bench: Bench) -> None:
    bench.provision(ONE)
    bench.release("two", BIG)

    def shifted(handler, data) -> None:  # type: ignore[no-untyped-def]
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes 0-{len(data) - 1}/{len(data)}")
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    bench.site.lies[r"targets/bundles/.*"] = shifted
    disk, (address,) = Memory(), link_addresses(bench, bench.site)  # type: ignore[arg-type]
    disk.make_folder("download")
    disk.write(f"download/{sha256(BIG).hexdigest()}", BIG[:70_000])
    with pytest.raises(UpdateError, match=r"Content-Range: found 'bytes 0-199999/"):
        download(disk, bench.link().transport, wanted(BIG, address), lambda _: None)


def test_what_never_gets_on_is_given_up_and_kept_for_the_next_time(bench: Bench) -> None:
    bench.provision(ONE)
    bench.release("two", BIG)
    half = len(BIG) // 2

    def cut(handler, data) -> None:  # type: ignore[no-untyped-def]
        handler.give(data[:half], ranges=True)

    bench.site.lies[r"targets/bundles/.*"] = cut
    with pytest.raises(UpdateError, match=rf"download: found .*, expected block \d+ of \d+ in {TRIES} tries"):
        bench.visit()
    assert bench.pauses == list(range(1, TRIES)) or bench.pauses[-1] == TRIES - 1
    bench.site.lies.clear()
    kept = bench.files.size(f"download/{sha256(BIG).hexdigest()}") or 0
    assert half - BLOCK < kept <= half
    assert bench.visit().tries == 1


def test_no_space_is_said_before_a_byte_is_fetched(bench: Bench) -> None:
    bench.provision(ONE)
    bench.release("two", BIG)
    bench.free = len(BIG) + RESERVE - 1
    with pytest.raises(UpdateError, match=r"download: free space: found \d+ bytes, expected \d+ bytes or more"):
        bench.visit()
    assert not [path for path in bench.site.asked if "bundles" in path]
    bench.free += 1
    assert bench.visit().taken is not None


class Pretend(Transport):
    """A line without a network."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, url: str, start: int = 0) -> Iterator[bytes]:
        for at in range(start, len(self._data), 700):
            yield self._data[at : at + 700]


def test_a_power_cut_at_every_operation_of_a_download() -> None:
    whole, want = Memory(), wanted(ONE, "x", 1024)
    download(whole, Pretend(ONE), want, lambda _: None)
    cases = 0
    for operation in range(whole.operations):
        disk = Memory(budget=operation)
        with pytest.raises(PowerCutError):
            download(disk, Pretend(ONE), want, lambda _: None)
        for loss in Loss:
            for found in disk.cuts(loss, operation, times=4):
                download(found, Pretend(ONE), want, lambda _: None)
                assert found.read(want.path) == ONE
                assert found.names_[want.path].safe == ONE, "it was said to be there before it was safe"
                cases += 1
    assert cases > 200


def test_a_file_that_its_own_list_contradicts_is_not_kept() -> None:
    disk, want = Memory(), wanted(ONE, "x", 1024)
    lying = Wanted(want.url, "0" * 64, want.size, want.block, want.blocks)
    with pytest.raises(UpdateError, match="sha256: found"):
        download(disk, Pretend(ONE), lying, lambda _: None)
    assert disk.names("download") == []


def test_pace() -> None:
    clock = ManualClock()
    pace = Pace(Speed(least=1000, window_s=10), clock)
    for _ in range(30):  # exactly fast enough
        clock.advance(10**9)
        pace.took(1000)
    for _ in range(9):
        clock.advance(10**9)
        pace.took(999)
    clock.advance(10**9)
    with pytest.raises(SlowRetrievalError, match="found 999 bytes a second, expected 1000 or more"):
        pace.took(999)


@pytest.mark.parametrize("url", ["ftp://x/y", "gopher:x", "http:///x", "/etc/passwd"])
def test_other_schemes_are_refused(url: str) -> None:
    with pytest.raises(DownloadError, match="expected http, https or file"):
        list(Transport(ManualClock()).read(url))


def test_the_stand_in_notices_a_flipped_byte() -> None:
    with pytest.raises(UpdateError):
        opened(BIG[:-1] + b"!", "x")
