"""A repository behind a real web server on the loopback address, a mirror that can be told to lie, and a device that asks it.
No test in here."""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from inframe.core.clock import ManualClock
from inframe.trail.files import Disk
from inframe.update.client import Source
from inframe.update.fetch import Link, Visit, visit
from inframe.update.floor import FileFloor
from inframe.update.releases import Facts, ListedRelease, ReleaseList
from inframe.update.repository import DAY_S, Repository, create, list_bundle, read_keys
from inframe.update.slots import Slots
from inframe.update.states import Release
from inframe.update.transport import Speed, Transport
from tests.update.made import PASS, opened, update, verifier

NOW_S = 1_800_000_000
BLOCK = 2048
Lie = Callable[["Handler", bytes | None], None]
"""Answers instead of the file that is there."""


class Handler(BaseHTTPRequestHandler):
    """Serves a folder, with ranges, unless the site has a lie for the path."""

    protocol_version = "HTTP/1.1"
    server: "Site"

    def do_GET(self) -> None:  # the name that http.server calls
        path = self.path.lstrip("/")
        self.server.asked.append(path)
        file = self.server.folder / path
        data = file.read_bytes() if file.is_file() else None
        lie = next((lie for pattern, lie in self.server.lies.items() if re.fullmatch(pattern, path)), None)
        try:
            if lie is not None:
                lie(self, data)
            else:
                self.give(data)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def give(self, data: bytes | None, *, ranges: bool = True) -> None:
        """Answer honestly with `data`; None: 404."""
        if data is None:
            self.send_error(404)
            return
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")) if ranges else None
        start = int(asked[1]) if asked else 0
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        self.wfile.write(data[start:])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name that http.server gives it
        pass


class Site(ThreadingHTTPServer):
    """Serves one folder on a free port of 127.0.0.1."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.lies, self.asked = folder, dict[str, Lie](), list[str]()

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # a client that hangs up on a liar is no error of the test

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def serving(folder: Path) -> Iterator[Site]:
    """The site, until the end of the block."""
    site = Site(folder)
    thread = Thread(target=site.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield site
    finally:
        site.shutdown()
        site.server_close()
        thread.join()


@dataclass
class Times:
    """Clocks that a test sets."""

    wall: int = NOW_S
    trail: int = 0

    def wall_s(self) -> int:
        return self.wall

    def trail_s(self) -> int:
        return self.trail


@dataclass
class Bench:
    """A manufacturer, a mirror and a device."""

    root: Path
    site: Site
    clock: ManualClock = field(default_factory=ManualClock)
    times: Times = field(default_factory=Times)
    device: str = "device-7"
    names: frozenset[str] = frozenset({"anatomy", "tools"})
    bootstrap: bytes = b""
    free: int = 1 << 40
    pauses: list[int] = field(default_factory=list)

    # --- the manufacturer

    @property
    def repository(self) -> Repository:
        return Repository(self.root / "repo", read_keys(self.root / "keys"), self.times.wall)

    def release(self, name: str, *bundles: bytes, percent: int = 100, **more: object) -> None:
        """Publish one more release."""
        listed, files = {}, {}
        for data in bundles:
            found = opened(data, "made")
            path = f"bundles/{found.name}-{found.counter}.bundle"
            source = self.root / "made"
            source.mkdir(exist_ok=True)
            (source / path.rpartition("/")[2]).write_bytes(data)
            listed[found.name] = list_bundle(path, data, found.counter, BLOCK)
            files[path] = source / path.rpartition("/")[2]
        release = ListedRelease(name=name, bundles=listed, percent=percent, **more)  # type: ignore[arg-type]
        self.publish(lambda before: [*before, release], files)

    def publish(
        self, change: Callable[[list[ListedRelease]], list[ListedRelease]], files: dict[str, Path] | None = None
    ) -> None:
        """Publish a changed list."""
        before = self.repository.releases()
        listed = ReleaseList(block=BLOCK, stopped=before.stopped, releases=change(before.releases))
        self.repository.publish(listed, files)

    def copy(self, name: str) -> Path:
        """Keep the repository as it is now."""
        shutil.copytree(self.root / "repo", self.root / name)
        return self.root / name

    def serve(self, folder: Path | None = None) -> None:
        """Let the mirror serve another folder; None: the repository."""
        self.site.folder = folder or self.root / "repo"

    # --- the device

    @property
    def files(self) -> Disk:
        return Disk(self.root / "device")

    @contextmanager
    def slots(self) -> Iterator[Slots]:
        files = self.files
        slots = Slots.open(files, verifier(files.read), FileFloor(files), lambda: self.times.wall * 10**9)
        try:
            slots.examine()
            yield slots
        finally:
            slots.close()

    def provision(self, *bundles: bytes) -> None:
        """A committed release."""
        with self.slots() as slots:
            update(slots, self.files, "factory", *bundles)

    def link(self) -> Link:
        source = Source(self.site.url, self.bootstrap)
        transport = Transport(self.clock, Speed(least=1000, window_s=10))
        return Link(source, transport, self.times, self.pauses.append, lambda: self.free)

    def facts(self, slots: Slots) -> Facts:
        active = slots.status.active or Release("", ())
        return Facts(
            self.device, "0.1.0", self.names, active.counters, set(active.digests), dict(slots.status.rejected)
        )

    def visit(self) -> Visit:
        """Ask the repository. Raises UpdateError."""
        with self.slots() as slots:
            return visit(self.files, slots, self.link(), self.facts(slots))

    def finish(self) -> None:
        """Everything from verified to committed."""
        with self.slots() as slots:
            slots.verify()
            slots.install()
            slots.check([PASS])
            slots.begin_trial(procedure_running=False, without_shadow=True)
            slots.commit()

    def pass_days(self, days: float) -> None:
        self.times.wall += int(days * DAY_S)


@contextmanager
def bench_in(root: Path) -> Iterator[Bench]:
    """A new one: an empty repository, a device that has none of it yet."""
    create(root / "repo", root / "keys", NOW_S)
    (root / "device").mkdir()
    with serving(root / "repo") as site:
        yield Bench(root, site, bootstrap=(root / "repo" / "metadata" / "1.root.json").read_bytes())
