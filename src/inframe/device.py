"""A device at work: makes the shared memory, starts the table of processes, and keeps the world like the table."""

import hashlib
import os
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from inframe.candidate import Candidates
from inframe.core.clock import NS_PER_MS, NS_PER_S, MonotonicClock
from inframe.core.config import BundleConfig, Device, ModelConfig
from inframe.core.errors import AlreadyTold, DeviceFault
from inframe.core.health import Health
from inframe.core.types import Controls
from inframe.drivers.screens.web import listen
from inframe.machine.launch import launch
from inframe.machine.supervise import Notice, Supervisor
from inframe.machine.unixsocket import bound
from inframe.orders import Orders
from inframe.pipeline import bundled, happened, places, record, results, ring, samplering, shadow, watched
from inframe.pipeline.board import NEXT, Board, Count, create_board
from inframe.pipeline.happened import MODEL_LOADED, Happened
from inframe.pipeline.places import A, ring_name
from inframe.pipeline.start import LOADED, NOTE_BYTES
from inframe.table import PROCESSES, layout_of, names, role_of, specs

if TYPE_CHECKING:
    from inframe.trying import Trying

FRAME_SLOTS = 4
SCREEN_SLOTS, FILE_SLOTS = 4, 6
"""A file must get every picture, and its encoder may be late by a few. Others skip: each slot more is 2.8 MB more in the cache."""
RESULT_SLOTS = 4
WATCH_NS = NS_PER_S // 2
CLOCK_STEP_NS = 200 * NS_PER_MS
EVENT_SHOWN_NS = 5 * NS_PER_S
DRAIN_NS = NS_PER_S // 2
STOP_S = 3.0
ASKING = 256
"""So many may knock at the assistant at once."""


class Running:
    """Use it as a context manager and call `step` every few milliseconds, all from the main thread.

    `device` is resolved (see `resolve`), `path` is its file, watched for changes. `on_notice` is told of every start and death.
    """

    def __init__(self, device: Device, path: Path, on_notice: Callable[[Notice], None] = lambda _notice: None) -> None:
        self.device, self.path = device, path
        self.clock = MonotonicClock()
        self.notes: list[tuple[str, str, str]] = []
        """What processes had to say, in order: (process, what, why); what the operating system refused, why a camera was lost."""
        sealed, self._bundles = bundled.share(device)
        self.shared = _share(device) | sealed
        self.board = Board(self.shared["board"], ("device", *names(device)))
        self.board.set_controls(Controls(device.overlay.opacity, device.overlay.on))
        self._on_notice = on_notice
        self._happened = ring.RingWriter(self.shared["happened"], ())
        self._loaded: dict[tuple[str, str], Happened] = {}
        self._away: dict[str, int] = {}
        self._events: dict[str, int] = {}
        self._row = self.board.row("device")
        self._digest = self._seen_digest = _digest(path)
        self._watched_ns = self.clock.now()
        self._wall_ns = _wall_offset()
        self.candidate = Candidates(device, self.shared, self.board, self.clock, self._told, self._retell)
        self.supervisor = Supervisor(
            specs(device, self.shared), self.clock, launch, self._notice, self._beat, self._proven
        )
        self.candidate.supervisor = self.supervisor
        self._trying = self._release()
        self._orders: Orders | None = None
        if device.candidate is not None:
            self._orders = Orders(Path(device.candidate.control), self.candidate, self._trying)
        self._ended_ns = 0
        self._own_cores = os.sched_getaffinity(0)

    def __enter__(self) -> Self:
        background = layout_of(self.device).background & self._own_cores
        if background and self.device.real_time:
            os.sched_setaffinity(0, background)
        self.tell("START", "DEVICE", self.device.device, "", {"file_sha256": self._digest, **_machine()})
        for name, facts in self._bundles.items():
            self.tell("START", "BUNDLE_VERIFIED", f"the bundle of model {name} was verified", "", facts)
        if self.device.unsigned:
            text = "UNSIGNED: models run that nobody signed, as the device file allows"
            self.tell("START", "UNSIGNED", text, "", {"models": ", ".join(self.device.unsigned)})
        if self._trying is not None and (event := self._trying.begin()):
            self._events[event] = self.clock.now()
        self.supervisor.reconcile()
        return self

    def _release(self) -> "Trying | None":
        """What drives the release on its way, where the device takes updates: loaded for those alone."""
        if self.device.update is None:
            return None
        from inframe.trying import Trying
        from inframe.updatable import Updatable

        policy = bundled.policy_of(self.device) if self.device.policy is not None else None
        target = Updatable(self.path, self.device, self.device.update, policy)
        display = self.board.row("display")
        return Trying(
            target, self.device, self.candidate, display, lambda what, why: self._take_note("device", what, why)
        )

    def tell(self, kind: str, name: str, text: str, who: str, data: Mapping[str, str] | None = None) -> None:
        """Tell the recorder of an event; `kind` is one of the trail's."""
        happened.write(self._happened, Happened(kind, self.clock.now(), name, text, who, data or {}))

    def propose(self, models: Mapping[str, ModelConfig], bundles: Mapping[str, BundleConfig] | None = None) -> None:
        """Start these models (by name, resolved) and those in these bundles in shadow beside those shown. See `candidate`;
        raises ConfigError, BundleError, UpdateError."""
        self.candidate.propose(models, bundles or {})

    def switch(self) -> None:
        """Show the candidate from the next frame on. Raises UpdateError before it was compared for long enough."""
        self.candidate.switch()

    def back(self, why: str = "on command") -> None:
        """End the candidate; what was shown before is shown again from the next frame on. Raises UpdateError."""
        self.candidate.back(why)

    def keep(self) -> None:
        """End the worker before the candidate. Raises UpdateError where none is on trial."""
        self.candidate.keep()

    def health(self) -> Health:
        """What was measured of the candidate."""
        return self.candidate.health()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def step(self) -> bool:
        """Look once at everything; False when the device has come to its end (the recording is over, a screen was closed).

        Raises AlreadyTold when a process refused its input at the start, DeviceFault when the picture can't be kept up.
        """
        self.supervisor.reconcile()
        now = self.clock.now()
        self.candidate.step()
        if self._orders is not None:
            self._orders.step()
        self._row.beat(now)
        self._read_notes()
        self._post_faults(now)
        if now - self._watched_ns >= WATCH_NS:
            self._watched_ns = now
            self._watch(now)
            if self._trying is not None:
                self._trying.step()
        return not self._over(now)

    def next_ports(self) -> dict[int, int] | None:
        """Where a person asked for the next procedure: the port of each page, by its screen, so that it is found there again."""
        rows = [self.board.row(name) for name in names(self.device)]
        if not any(row.get(Count.COMMAND) == NEXT for row in rows):
            return None
        pages = [i for i, screen in enumerate(self.device.screens) if screen.kind == "web"]
        return {i: self.board.row(f"console.{i}").get(Count.PORT) for i in pages}

    def stop(self) -> None:
        """End all processes, last row first; what does not end is killed. Shared memory goes with the last process that maps it."""
        self.tell("STOP", "DEVICE", self.device.device, "")
        if self._trying is not None:
            self._trying.end()
        if self._orders is not None:
            self._orders.close()
        self.supervisor.stop(STOP_S)
        if self.device.assistant is not None:
            for name in (self.device.assistant.socket, f"{self.device.assistant.socket}.page"):
                Path(name).unlink(missing_ok=True)
        # the next device that is started here would know of the background only
        os.sched_setaffinity(0, self._own_cores)
        self._read_notes()
        self.candidate.close()
        for fd in self.shared.values():
            os.close(fd)
        self.shared.clear()

    # --- what goes wrong ---------------------------------------------------------------------------------------------

    def _notice(self, notice: Notice) -> None:
        row = self.board.row(notice.name)
        self.candidate.notice(notice)
        self.tell(
            {"started": "START", "finished": "STOP"}.get(notice.kind, "FAULT"),
            f"PROCESS_{notice.kind.upper()}",
            notice.detail,
            notice.name,
        )
        if notice.kind == "started" and notice.name == "recorder":
            self._retell()  # for a recorder that comes after one that knew
        if notice.kind == "died":
            row.clear()  # what it said of itself died with it
        if notice.kind in ("died", "hung"):
            self._away[notice.name] = notice.at_ns
        if notice.kind == "finished" and role_of(notice.name) in (PROCESSES["worker"], PROCESSES["shadow"]):
            row.clear()
            self._loaded = {key: loaded for key, loaded in self._loaded.items() if key[0] != notice.name}
        self._on_notice(notice)

    def _beat(self, name: str) -> int:
        return self.board.row(name).heartbeat_ns

    def _proven(self, name: str) -> bool:
        return self.board.row(name).get(Count.FRAMES) > 0

    def _post_faults(self, now: int) -> None:
        """Raise and clear the events that the parent is the one to know of."""
        given_up = {spec.name for spec in self.supervisor.over()} & set(self._away)
        for name, since in list(self._away.items()):
            if name not in given_up and (self._is_back(name, since) or not self.supervisor.has(name)):
                del self._away[name]
        present: dict[str, bool] = {}
        for name in names(self.device):
            role = role_of(name)
            counts = self.candidate.counts(name)
            away, gone = name in self._away and name not in given_up, name in given_up
            present[role.lost] = present.get(role.lost, False) or (counts and away)
            present[role.given_up] = present.get(role.given_up, False) or (counts and gone)
        for event in ("CLOCK_STEPPED", "CONFIG_CHANGED", "UPDATE_RESTORED", "UPDATE_ROLLED_BACK"):
            present[event] = event in self._events and now - self._events[event] < EVENT_SHOWN_NS
        present["UPDATE_DAMAGED"] = "UPDATE_DAMAGED" in self._events
        self._row.set_faults(present, now)

    def _is_back(self, name: str, since: int) -> bool:
        """The display's absence is over when it has shown one picture that says so: nobody else can."""
        row = self.board.row(name)
        return row.get(Count.READY_NS) > since and (name != "display" or row.get(Count.VERDICT) != 0)

    def _watch(self, now: int) -> None:
        """The wall clock, against ours; the device file, against the one that runs. Neither changes what the device does."""
        wall = _wall_offset()
        if abs(wall - self._wall_ns) > CLOCK_STEP_NS:
            self._events["CLOCK_STEPPED"] = now
            by = {"by_ms": str((wall - self._wall_ns) // NS_PER_MS)}
            self.tell("FAULT", "CLOCK_STEPPED", "the wall clock jumped against the monotonic clock", "device", by)
        self._wall_ns = wall
        digest = _digest(self.path)
        if digest != self._digest:
            self._events["CONFIG_CHANGED"] = now
        if digest != self._seen_digest:
            self._seen_digest = digest
            self.tell("CONFIG", "DEVICE_FILE", "the device file on disk changed", "", {"sha256": digest})

    def _read_notes(self) -> None:
        while True:
            try:
                data = os.read(self.shared["notes.read"], 64 * NOTE_BYTES)
            except BlockingIOError:
                return
            for text in data.decode(errors="replace").splitlines():
                process, what, why = (*text.split("\t"), "", "")[:3]
                self._take_note(process, what, why)

    def _take_note(self, process: str, what: str, why: str) -> None:
        if not what.startswith(LOADED):
            self.notes.append((process, what, why))
            self.tell("FAULT", "NOTE", f"{what}: {why}", process)
            return
        sha256, slot, engine = (*why.split(" ", 2), "", "")[:3]
        data = {"model": what.removeprefix(LOADED), "sha256": sha256, "slot": slot, "engine": engine}
        loaded = Happened("START", self.clock.now(), MODEL_LOADED, "a model was loaded", process, data)
        self._loaded[process, data["model"]] = loaded
        self._say_loaded(loaded)

    def _told(self, name: str, text: str, data: Mapping[str, str]) -> None:
        self.tell("UPDATE", name, text, "device", data)

    def _retell(self) -> None:
        """Which models are loaded, again: in the slots that they have now."""
        for loaded in self._loaded.values():
            self._say_loaded(loaded._replace(again=True))

    def _say_loaded(self, loaded: Happened) -> None:
        """With what is known here of the place that the worker has."""
        known = self.candidate.loaded(loaded.who, loaded.data["model"], loaded.data["slot"])
        happened.write(self._happened, loaded._replace(data={**loaded.data, **known}))

    # --- its end -----------------------------------------------------------------------------------------------------

    def _over(self, now: int) -> bool:
        if self.supervisor.refused():
            raise AlreadyTold(", ".join(self.supervisor.refused()))
        over = {spec.name: spec for spec in self.supervisor.over()}
        for name, spec in over.items():
            if name in self._away and spec.critical:
                raise DeviceFault(f"{name} has given up: see the lines above")
        if any(self.board.row(name).get(Count.COMMAND) for name in names(self.device)):
            return True
        if f"capture.{self.device.display}" not in over or f"capture.{self.device.display}" in self._away:
            return False
        display, capture = self.board.row("display"), self.board.row(f"capture.{self.device.display}")
        self._ended_ns = self._ended_ns or now
        return display.get(Count.SEQ) >= capture.get(Count.SEQ) or now - self._ended_ns > DRAIN_NS


def _share(device: Device) -> dict[str, int]:
    """All shared memory and eventfds of the device, by name; "NAME.read" is the same memory, read-only."""
    shared: dict[str, int] = {"board": create_board(1 + len(names(device)))}
    shown = device.streams[device.display]
    rings = {f"frames.{name}": (FRAME_SLOTS, s.width * s.height * 3) for name, s in device.streams.items()}
    rings |= _result_rings(device)
    rings |= {
        "screen": (
            FILE_SLOTS if any(s.kind == "file" for s in device.screens) else SCREEN_SLOTS,
            shown.width * shown.height * 3,
        ),
        "records": (record.SLOTS, record.fields_of(device).layout.size),
        "happened": (happened.SLOTS, happened.BYTES),
    }
    if device.recording is not None:
        rings["status"] = (watched.SLOTS, watched.NOTE_BYTES)
    if device.assistant is not None:
        listener, asked = _assistant_sockets(device.assistant.socket)
        shared |= {"assistant.listener": listener, "assistant.page": asked}
    if "guard" in names(device):
        shared |= _box(device)
    for name, (slots, payload) in rings.items():
        shared[name] = ring.create(name, slots, payload)
        shared[f"{name}.read"] = ring.read_only(shared[name])
    for name, sensor in device.sensors.items():
        shared[f"samples.{name}"] = samplering.create(name, samplering.slots_for(sensor), len(sensor.channels))
        shared[f"samples.{name}.read"] = ring.read_only(shared[f"samples.{name}"])
    shared |= {f"wake.{name}": ring.wake_fd() for name in names(device)}
    shared |= {f"listener.console.{i}": listen(s).detach() for i, s in enumerate(device.screens) if s.kind == "web"}
    shared["notes.read"], shared["notes"] = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    return shared


def _assistant_sockets(path: str) -> tuple[int, int]:
    """Where the assistant is asked: by programs, and by the console. Raises DeviceFault."""
    from inframe.assistant.page import at

    try:
        listener = bound(Path(path), socket.SOCK_STREAM)
        listener.listen(ASKING)
        return listener.detach(), bound(at(path), socket.SOCK_DGRAM | socket.SOCK_NONBLOCK).detach()
    except OSError as error:
        raise DeviceFault(f"{path}: assistant.socket: no socket can be made here: {error.strerror}") from None


def _box(device: Device) -> dict[str, int]:
    """The assistant's model, verified, in sealed memory; the pipes of its box, and the turn at them: who has it is the only one who
    speaks, as a second one would find the rest of a message. Raises BundleError."""
    from inframe.assistant import package

    config = device.assistant
    if config is None or config.model is None:
        raise RuntimeError("a box without a model")
    with package.named(config.model, bundled.policy_of(device)) as model:
        shared = {"assistant.model": os.dup(model.sealed.fd)}
    shared["assistant.requests.read"], shared["assistant.requests"] = os.pipe2(os.O_CLOEXEC)
    shared["assistant.answers.read"], shared["assistant.answers"] = os.pipe2(os.O_CLOEXEC)
    shared["assistant.turn"] = os.eventfd(1, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    return shared


def _result_rings(device: Device) -> dict[str, tuple[int, int]]:
    """Slots and payload bytes. What a candidate may need is laid out with the device, so that nothing is mapped later."""
    if device.candidate is None:
        return {ring_name(name, A): (RESULT_SLOTS, results.bound(model)) for name, model in device.models.items()}
    rings = {
        ring_name(name, place): (places.SLOTS, places.ROOM * results.bound(model))
        for name, model in device.models.items()
        for place in places.PLACES
    }
    return {**rings, "measured": (shadow.SLOTS, shadow.BYTES)}


def _wall_offset() -> int:
    """The wall clock minus the monotonic one, ns: the least of three, as this process may be held up between two readings."""
    return min(time.time_ns() - time.monotonic_ns() for _ in range(3))


def _machine() -> dict[str, str]:
    """What the device runs on."""
    system = os.uname()
    return {"kernel": f"{system.sysname} {system.release} {system.machine}", "host": system.nodename}


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        return str(error)
