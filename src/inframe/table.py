"""The table of processes: what each kind is granted, and the rows that one device file makes of it."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from inframe.core.budgets import HANG_NS
from inframe.core.clock import NS_PER_MS
from inframe.core.config import Device
from inframe.machine.kernel import clock_state
from inframe.machine.partition import CoreLayout, Partition, Scheduling, cores_for
from inframe.machine.seccomp import Network
from inframe.machine.supervise import ProcessSpec, Restarts
from inframe.pipeline.loop import woken_by
from inframe.pipeline.places import A, B, bits, places_of, ring_name, row_name, worker_and_place
from inframe.resolve import addresses
from inframe.trail.salt import SALT_BYTES


@dataclass(frozen=True, slots=True)
class Role:
    """One row of PROCESSES: what a process of this kind is granted, whatever the device file says."""

    target: str
    scheduling: Scheduling
    priority: int
    """Real-time priority: the display is above the camera, the camera above the models."""
    hang_ms: int
    restarts: Restarts
    lost: str
    """The event raised while a process of this kind is away."""
    given_up: str
    """The event raised when it has used up its restarts."""
    after: str | None = None
    """Started when this process is ready: what can wait does not make the first picture wait (0.6 s on two cores)."""
    critical: bool = False
    """The device stops when it has given up."""


HANG = HANG_NS // NS_PER_MS
PATH, BESIDE = Restarts(limit=20, within_s=60.0, backoff_ms=50), Restarts(limit=10, within_s=60.0, backoff_ms=200)
NEVER = Restarts(limit=0)
"""A box is of one procedure, and goes with its guard."""
WATCHED = Restarts(limit=10, within_s=60.0, backoff_ms=50)
"""Of what somebody looks at: he waits for it."""

PROCESSES: dict[str, Role] = {
    # the frame path: real-time cores
    "display": Role(
        "inframe.pipeline.display:main", "fifo", 80, HANG, PATH, "DISPLAY_LOST", "PROCESS_GIVEN_UP", critical=True
    ),
    "capture": Role("inframe.pipeline.capture:main", "fifo", 70, HANG, PATH, "CAPTURE_LOST", "PROCESS_GIVEN_UP"),
    "worker": Role("inframe.pipeline.worker:main", "fifo", 60, HANG, PATH, "WORKER_LOST", "WORKER_GIVEN_UP", "display"),
    # beside it: background cores. Samples are stamped when they arrive, so that must not wait for what has no hurry
    "sensor": Role(
        "inframe.pipeline.sense:main", "fifo", 50, 3000, BESIDE, "SENSOR_LOST", "PROCESS_GIVEN_UP", "display"
    ),
    "recorder": Role(
        "inframe.recorder.main:main", "other", 0, 3000, BESIDE, "RECORDER_LOST", "PROCESS_GIVEN_UP", "display"
    ),
    "recording": Role("inframe.recording.process:main", "other", 0, 3000, BESIDE, "RECORDER_LOST", "PROCESS_GIVEN_UP"),
    "monitor": Role("inframe.monitoring:main", "other", 0, 30_000, BESIDE, "MONITOR_LOST", "MONITOR_LOST", "display"),
    "guard": Role(
        "inframe.assistant.keeper:main", "fifo", 40, 3000, NEVER, "ASSISTANT_LOST", "ASSISTANT_LOST", "display"
    ),
    "assistant": Role(
        "inframe.serving:main", "other", 0, 30_000, BESIDE, "ASSISTANT_LOST", "ASSISTANT_LOST", "display"
    ),
    "shadow": Role("inframe.pipeline.shadow:main", "other", 0, 10_000, BESIDE, "SHADOW_LOST", "SHADOW_LOST"),
    "screen": Role("inframe.pipeline.screen:main", "other", 0, 3000, BESIDE, "SCREEN_LOST", "PROCESS_GIVEN_UP"),
    "console": Role(
        "inframe.console.main:main", "other", 0, 3000, WATCHED, "CONSOLE_LOST", "PROCESS_GIVEN_UP", "display"
    ),
}
"""A running process is called "role" or "role.what". Its network is "none" but for a camera on the network (its configured
address) and a web screen (loopback)."""

UNSEEN_HANG_MS = 3000
"""A worker that is not shown may be kept waiting by whatever else runs; silence is no sign of a fault before."""
OPTIONAL = 10
"""So much lower is the priority of a worker whose models are all `required: false`."""

Shared = Mapping[str, int]
"""The device's shared memory and eventfds by name; see `device.Running`."""


def role_of(process: str) -> Role:
    """The row of PROCESSES that a running process's name belongs to."""
    return PROCESSES[process.partition(".")[0]]


def names(device: Device) -> tuple[str, ...]:
    """The processes that this device may run, in the order in which they are started; with `candidate:` also those of a candidate,
    which is started later. They are its rows on the board."""
    workers = [row_name(worker, place) for place in places_of(device) for worker in bits(device)]
    screens = [
        f"{'console' if s.kind == 'web' else 'screen'}.{i}" for i, s in enumerate(device.screens) if s.kind != "none"
    ]
    recorder = ["recorder"] if device.trail is not None else []
    return (
        "display",
        *(f"capture.{s}" for s in device.streams),
        *workers,
        *(f"sensor.{s}" for s in device.sensors),
        *recorder,
        *(["recording"] if device.recording is not None else []),
        *(["monitor"] if device.monitor is not None else []),
        *(["guard"] if device.assistant is not None and device.assistant.model is not None else []),
        *(["assistant"] if device.assistant is not None else []),
        *(["shadow"] if device.candidate is not None else []),
        *screens,
    )


def layout_of(device: Device) -> CoreLayout:
    """The cores of both halves: as the device file says, else by this machine's count."""
    if device.cores is None:
        return cores_for()
    real_time, background = frozenset(device.cores.real_time), frozenset(device.cores.background)
    return CoreLayout(real_time, background, shared=bool(real_time & background))


def specs(device: Device, shared: Shared) -> list[ProcessSpec]:
    """The rows of this device. `device` is resolved."""
    procedure = secrets.token_hex(16)
    return [spec_of(device, name, shared, procedure) for name in names(device) if not of_candidate(name)]


def of_candidate(name: str) -> bool:
    """Whether the row is not started with the device, but with a candidate."""
    kind, _, what = name.partition(".")
    return kind == "shadow" or (kind == "worker" and worker_and_place(what)[1] == B)


def unseen(spec: ProcessSpec) -> ProcessSpec:
    """The row of a worker that is not shown: it gets the time that the others leave, on the same cores. At real-time priority,
    even a lower one, a slow candidate would use up the 95 % that the kernel grants real-time tasks, and the display would
    wait for it."""
    partition = replace(spec.partition, scheduling="other", priority=0)
    return replace(spec, partition=partition, hang_ms=max(spec.hang_ms or 0, UNSEEN_HANG_MS))


def spec_of(device: Device, name: str, shared: Shared, procedure: str = "") -> ProcessSpec:
    """The row `name` of this device."""
    layout = layout_of(device)
    role = role_of(name)
    kind, _, what = name.partition(".")
    wiring = WIRING.get(kind, _screen)
    args, fds = wiring(device, name, what)
    common: dict[str, object] = {"device": device.model_dump(mode="json"), "rows": ["device", *names(device)]}
    if kind in (
        "recorder",
        "recording",
        "monitor",
        "assistant",
    ):  # one start of the device is one procedure, of one id wherever it is written down
        common["procedure"] = procedure
    return ProcessSpec(
        name,
        role.target,
        partition_of(device, kind, what, layout),
        role.restarts,
        role.critical,
        _hang_ms(device, role, kind, what),
        after=role.after,
        args={**common, **args},
        fds={key: shared[value] for key, value in {**fds, "board": "board", "notes": "notes"}.items()},
    )


Wiring = tuple[dict[str, object], dict[str, str]]
"""A process's own arguments, and which shared things it gets under which name."""


def shown_models(device: Device) -> list[str]:
    """The models that look at the displayed stream."""
    return [key for key, model in device.models.items() if model.stream == device.display]


def _results(device: Device, models: list[str]) -> dict[str, str]:
    """The rings of these models' results, to read."""
    rings = [ring_name(key, place) for key in models for place in places_of(device)]
    return {name: f"{name}.read" for name in rings}


def _samples(device: Device) -> dict[str, str]:
    """The rings of all streams of samples, to read."""
    return {f"samples.{stream}": f"samples.{stream}.read" for stream in device.sensors}


def _sensor(device: Device, name: str, what: str) -> Wiring:
    return {"stream": what}, {"ring": f"samples.{what}"}


def _display(device: Device, name: str, what: str) -> Wiring:
    models = shown_models(device)
    fds = {"frames": f"frames.{device.display}.read", "screen": "screen", "records": "records", "wake": "wake.display"}
    fds |= _results(device, models) | _samples(device)
    fds |= {f"aside.{inset.stream}": f"frames.{inset.stream}.read" for inset in device.overlay.insets.values()}
    fds |= {f"wake.{row}": f"wake.{row}" for row in names(device) if row.startswith(("screen.", "console."))}
    if device.recording is not None:
        fds["status"] = "status"
    if "guard" in names(device):
        fds["shown.guard"] = "wake.guard"
    layout = layout_of(device)
    own_core = device.real_time and not _cores("display", layout) & _cores("worker", layout)
    return {"models": models, "woken_by": _woken_by(device), "own_core": own_core}, fds


def _capture(device: Device, name: str, what: str) -> Wiring:
    workers = {model.worker for model in device.models.values() if model.stream == what}
    rows = [row_name(worker, place) for worker in sorted(workers) for place in places_of(device)]
    wakes_display = what == device.display and _woken_by(device) == "frames"
    readers = [*rows, *(["display"] if wakes_display else [])]
    fds = {"ring": f"frames.{what}"} | {f"wake.{reader}": f"wake.{reader}" for reader in readers}
    args: dict[str, object] = {"stream": what, "readers": ["display", *(row_name(w, A) for w in sorted(workers))]}
    if what == device.display and device.recording is not None:
        args["recording"] = "recording"
    return args, fds


def _woken_by(device: Device) -> str:
    models = {key: model for key, model in device.models.items() if model.stream == device.display}
    return woken_by(models, device.deadline_ns)


def _worker(device: Device, name: str, what: str) -> Wiring:
    worker, place = worker_and_place(what)
    models = [key for key, model in device.models.items() if model.worker == worker]
    streams = sorted({device.models[key].stream for key in models})
    fds = {"wake": f"wake.{name}", "wake.display": "wake.display"}
    fds |= {ring_name(key, place): ring_name(key, place) for key in models}
    inputs = [put for key in models for put in device.models[key].inputs.values()]
    sensors = sorted({put.sensor for put in inputs if put.sensor is not None})
    asides = sorted({put.stream for put in inputs if put.stream is not None})
    fds |= {f"ring.{key}": f"frames.{key}.read" for key in {*streams, *asides}}
    fds |= {f"samples.{key}": f"samples.{key}.read" for key in sensors}
    fds |= {f"bundle.{key}": f"bundle.{key}" for key in models if key in device.bundles}
    threads = max(device.models[key].engine.threads for key in models)
    args: dict[str, object] = {"models": models, "streams": streams, "sensors": sensors, "asides": asides}
    return {**args, "threads": threads, "place": place, "bit": bits(device)[worker]}, fds


def _shadow(device: Device, name: str, what: str) -> Wiring:
    return {}, {"measured": "measured", **_results(device, list(device.models))}


def _recorder(device: Device, name: str, what: str) -> Wiring:
    fds = {"records": "records.read", "happened": "happened.read", "frames": f"frames.{device.display}.read"}
    fds |= _results(device, shown_models(device))
    return {"salt": secrets.token_hex(SALT_BYTES), "clock_state": clock_state()}, fds


def _recording(device: Device, name: str, what: str) -> Wiring:
    fds = {"frames": f"frames.{device.display}.read", "records": "records.read", "status": "status.read"}
    fds |= _results(device, shown_models(device)) | _samples(device)
    return {"started": time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())}, fds


def _monitor(device: Device, name: str, what: str) -> Wiring:
    """It follows the models of the first place: a reference is of the model that the device file names."""
    fds = {"records": "records.read", "frames": f"frames.{device.display}.read"}
    fds |= {f"results.{key}": f"{ring_name(key, A)}.read" for key in shown_models(device)}
    fds |= {f"reference.{key}": f"reference.{key}" for key in shown_models(device) if key in device.bundles}
    return {}, fds


def _guard(device: Device, name: str, what: str) -> Wiring:
    fds = {"records": "records.read", "wake": f"wake.{name}", "model": "assistant.model"}
    fds |= {"requests": "assistant.requests.read", "answers": "assistant.answers"}
    config = device.assistant
    if config is None:
        raise RuntimeError("a guard without an assistant")
    cores = sorted(layout_of(device).background)
    return {"critical": config.critical, "memory_mb": config.memory_mb, "context": config.context, "cores": cores}, fds


def _assistant(device: Device, name: str, what: str) -> Wiring:
    box = ("requests", "answers.read", "turn") if "guard" in names(device) else ()
    return {}, {key: f"assistant.{key}" for key in ("listener", "page", *box)}


def _screen(device: Device, name: str, what: str) -> Wiring:
    return {"screen": int(what)}, {"frames": "screen.read", "wake": f"wake.{name}"}


def _console(device: Device, name: str, what: str) -> Wiring:
    args, fds = _screen(device, name, what)
    fds |= {"raw": f"frames.{device.display}.read", "records": "records.read", "happened": "happened.read"}
    return args, {**fds, "listener": f"listener.{name}"}


WIRING = {
    "display": _display,
    "capture": _capture,
    "worker": _worker,
    "sensor": _sensor,
    "recorder": _recorder,
    "recording": _recording,
    "monitor": _monitor,
    "guard": _guard,
    "assistant": _assistant,
    "shadow": _shadow,
    "console": _console,
}


NETWORKS: dict[str, Network] = {"console": "loopback", "guard": "box"}


def partition_of(device: Device, kind: str, what: str, layout: CoreLayout) -> Partition:
    """What a process of this kind asks of the operating system."""
    role = PROCESSES[kind]
    memory = device.worker_memory_mb if kind == "worker" else None
    network = NETWORKS.get(kind, "none")
    reach = addresses(device.streams[what]) if kind == "capture" else frozenset()
    if kind == "sensor" and what in device.sensors:
        reach = addresses(device.sensors[what])
    if kind == "assistant" and device.assistant is not None and (server := device.assistant.server) is not None:
        reach = frozenset({(server.address or "", server.port)})
    if reach:
        network = "camera"
    if not device.real_time:
        return Partition(memory_limit_mb=memory, network=network, addresses=reach)
    real_time = role.scheduling == "fifo"
    return Partition(
        role.scheduling,
        role.priority - OPTIONAL if _is_optional(device, kind, what) else role.priority,
        _cores(kind, layout) if real_time else layout.background,
        lock_memory=real_time,
        memory_limit_mb=memory,
        network=network,
        addresses=reach,
    )


def _hang_ms(device: Device, role: Role, kind: str, what: str) -> int:
    """A worker beats between runs: it hangs when it is silent for longer than twice what its models may take together. A display
    beats between frames, and may wait for a model until a frame's deadline."""
    if kind == "display":
        return max(role.hang_ms, 2 * device.deadline_ns // NS_PER_MS)
    worker = worker_and_place(what)[0]
    budgets = sum(model.budget_ms for model in device.models.values() if kind == "worker" and model.worker == worker)
    return max(role.hang_ms, int(2 * budgets))


def _is_optional(device: Device, kind: str, what: str) -> bool:
    """A worker that no picture depends on gives way to those that one does."""
    own = [model for model in device.models.values() if model.worker == worker_and_place(what)[0]]
    return kind == "worker" and bool(own) and not any(model.required for model in own)


def _cores(kind: str, layout: CoreLayout) -> frozenset[int]:
    """Of the real-time cores the last is the picture's, where there are more than one the others are the models'."""
    picture = frozenset({max(layout.real_time)})
    if kind in ("sensor", "guard"):
        return layout.background
    if kind == "display" and layout.display:
        return layout.display
    if kind == "worker":
        return (layout.real_time - picture) or picture
    return picture
