"""From a device file as written to one that any process can use: absolute paths, label files read, addresses looked up."""

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from inframe.core.assist import REFERENCE, AssistantConfig, ServerConfig
from inframe.core.config import (
    BundleConfig,
    Device,
    FileScreen,
    IgtlStream,
    ModelConfig,
    RecordingConfig,
    RtspStream,
    ScreenConfig,
    Stream,
    Trail,
)
from inframe.core.drift import MonitorConfig
from inframe.core.errors import ConfigError
from inframe.core.inputs import problem
from inframe.core.part import PolicyConfig
from inframe.core.sensor import BagSensor, CsvSensor, IgtlSensor, LslSensor, Sensor, WfdbSensor
from inframe.core.web import WebScreen
from inframe.drivers.cameras.rtsp_session import without_password
from inframe.pipeline.bundled import used_as
from inframe.pipeline.decide import make_plan
from inframe.recorder.room import lacking

if TYPE_CHECKING:
    from inframe.bundle import Policy

RTSP_PORT = 554
MAX_NAME = 80
"""The kernel's limit for the name of a socket, less what leads to its folder."""
MAX_LABEL_BYTES = 1 << 20


def resolve(device: Device, path: Path, slots: Mapping[str, str] | None = None) -> Device:
    """The device with every path made absolute against the device file's folder, label files and keys read, and `models` with
    those of its bundles, whose digests are then fixed. `slots`: the files of the bundles that come from its slots, in place of
    those that are there.

    Raises ConfigError for a file that is not there, for a camera's host that can't be looked up, for more than the trail has room
    for, and for a model that nobody signed unless the file allows it; BundleError for a bundle that does not verify or fit.
    """
    base = path.parent.absolute()
    device = _from_slots(device, path, slots)
    trail = _resolve_trail(path, base, device.trail) if device.trail is not None else None
    streams = {name: _resolve_stream(path, base, name, stream) for name, stream in device.streams.items()}
    sensors = {name: _resolve_sensor(path, base, name, sensor) for name, sensor in device.sensors.items()}
    models = {name: _resolve_model(path, base, name, model) for name, model in device.models.items()}
    policy = _resolve_policy(path, device)
    bundled = {name: _resolve_bundle(path, base, name, one, policy) for name, one in device.bundles.items()}
    models |= {name: model for name, (model, _) in bundled.items()}
    screens = tuple(_resolve_screen(path, base, f"screens.{i}", one) for i, one in enumerate(device.screens))
    candidate = device.candidate
    if candidate is not None:
        candidate = candidate.model_copy(update={"control": _free(path, base, "candidate.control", candidate.control)})
    parts: dict[str, object] = {"streams": streams, "sensors": sensors, "models": models, "screens": screens}
    parts |= {"trail": trail, "candidate": candidate, "assistant": _resolve_assistant(path, base, device, policy)}
    parts |= {"bundles": {name: bundle for name, (_, bundle) in bundled.items()}}
    parts |= {"monitor": _resolve_monitor(path, base, device, models)}
    parts |= {"policy": policy.config() if policy is not None else None}
    resolved = device.model_copy(update={**parts, "recording": _resolve_recording(path, base, device.recording)})
    for name, model in models.items():
        if wrong := problem(resolved, name, model):
            raise ConfigError(path, *wrong)
    try:
        make_plan(resolved, {name: tuple(model.labels) for name, model in models.items()})
    except ConfigError as error:  # rules know no file
        raise ConfigError(path, error.field, error.found, error.expected) from None
    if trail is not None and (wrong := lacking(resolved)):
        raise ConfigError(path, *wrong)
    return resolved


def _from_slots(device: Device, path: Path, given: Mapping[str, str] | None) -> Device:
    """The device with the files of what its slots have for it: the active release; the one on trial where none is active, or where
    none can run beside it. Those bundles have `bundle` set."""
    if device.update is None or all(one.file is not None for one in device.bundles.values()):
        return device
    folder, beside = path.parent.absolute() / device.update.folder, device.candidate is not None
    files = given if given is not None else slot_files(folder, beside=beside)[0]
    bundles = dict(device.bundles)
    for name, one in device.bundles.items():
        if one.file is None:
            bundle = one.bundle or name
            if bundle not in files:
                expected = f"a release of {bundle}: inframe update install, inframe update trial"
                raise ConfigError(path, f"bundles.{name}.file", "an empty slot", expected)
            bundles[name] = one.model_copy(update={"file": files[bundle], "bundle": bundle})
    return device.model_copy(update={"bundles": bundles})


def slot_files(folder: Path, *, beside: bool = True) -> tuple[dict[str, str], dict[str, str]]:
    """The files of the release that a device runs, by bundle, and of one that may come to run beside it. Raises UpdateError."""
    from inframe.trail.files import Disk
    from inframe.update.slots import loaded
    from inframe.update.states import State

    state, *slots = loaded(Disk(folder))
    active, on_its_way = ({name: str(folder / file) for name, file in one.items()} for one in slots)
    if state is State.TRIAL and not (active and beside):
        return on_its_way, {}
    return active, on_its_way


def _resolve_screen(path: Path, base: Path, field: str, screen: ScreenConfig) -> ScreenConfig:
    if isinstance(screen, FileScreen):
        return screen.model_copy(update={"path": str(base / screen.path)})
    if not isinstance(screen, WebScreen):
        return screen
    for key, name in screen.files().items():
        if not os.path.isfile(base / name):  # noqa: PTH113  # never raises
            raise ConfigError(path, f"{field}.{key}", name, "a file that exists")
    return screen.placed(base)


def _resolve_trail(path: Path, base: Path, trail: Trail) -> Trail:
    folder, key = str(base / trail.folder), str(base / trail.key) if trail.key is not None else None
    if os.path.exists(folder) and not os.path.isdir(folder):  # noqa: PTH110,PTH112  # never raises
        raise ConfigError(path, "trail.folder", trail.folder, "a folder, or a name that is free")
    if key is not None and os.path.isdir(key):  # noqa: PTH112  # never raises
        raise ConfigError(path, "trail.key", trail.key, "a key file, or a name that is free")
    return trail.model_copy(update={"folder": folder, "key": key})


def _resolve_assistant(path: Path, base: Path, device: Device, policy: "Policy | None") -> AssistantConfig | None:
    config = device.assistant
    if config is None:
        return None
    update: dict[str, object] = {"socket": _free(path, base, "assistant.socket", config.socket)}
    if config.server is not None:
        update["server"] = config.server.model_copy(update={"address": _address(path, config.server)})
    if config.model is not None:
        from inframe.assistant import llamacpp, package

        if llamacpp.library() is None:
            raise ConfigError(path, "assistant.model", "no llama.cpp", "the extra: inframe[assistant], or null")
        if config.model != REFERENCE:
            update["model"] = _file(path, base, "assistant.model", config.model)
            if device.policy is None:
                raise ConfigError(path, "policy", "none", "whose signatures assistant.model must have")
        with package.named(str(update.get("model", REFERENCE)), policy) as found:
            update["context"] = config.context or found.about.context
    return config.model_copy(update=update)


def _address(path: Path, server: ServerConfig) -> str:
    """Looked up once, here: the process that asks it may ask nobody else."""
    if server.address is not None:
        return server.address
    try:
        host, port = urlsplit(server.url).hostname, server.port
        return str(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][4][0])
    except (OSError, ValueError) as error:
        expected = f"a host that can be looked up ({getattr(error, 'strerror', None) or error})"
        raise ConfigError(path, "assistant.server.url", server.url, expected) from None


def _free(path: Path, base: Path, field: str, found: str) -> str:
    """A name for a socket: nothing else may be there."""
    file = base / found
    try:
        if file.exists() and not file.is_socket():
            raise ConfigError(path, field, found, "a socket, or a name that is free")
    except OSError as error:
        raise ConfigError(path, field, f"{found} ({error.strerror})", "a socket, or a name that is free") from None
    if len(file.name.encode()) > MAX_NAME:
        raise ConfigError(path, field, found, f"a name of at most {MAX_NAME} bytes")
    return str(file)


def _resolve_recording(path: Path, base: Path, config: RecordingConfig | None) -> RecordingConfig | None:
    if config is None:
        return None
    folder = str(base / config.folder)
    if os.path.exists(folder) and not os.path.isdir(folder):  # noqa: PTH110,PTH112  # never raises
        raise ConfigError(path, "recording.folder", config.folder, "a folder, or a name that is free")
    key = _file(path, base, "recording.encrypt", config.encrypt) if config.encrypt is not None else None
    return config.model_copy(update={"folder": folder, "encrypt": key})


def _resolve_monitor(path: Path, base: Path, device: Device, models: Mapping[str, ModelConfig]) -> MonitorConfig | None:
    config = device.monitor
    if config is None:
        return None
    folder = str(base / config.folder)
    if os.path.exists(folder) and not os.path.isdir(folder):  # noqa: PTH110,PTH112  # never raises
        raise ConfigError(path, "monitor.folder", config.folder, "a folder, or a name that is free")
    told = [
        name for name, one in models.items() if one.decode.kind == "classification" and one.stream == device.display
    ]
    if config.phase is not None and config.phase not in told:
        expected = f"a classification model that looks at {device.display}: {', '.join(told) or 'there is none'}"
        raise ConfigError(path, "monitor.phase", repr(config.phase), expected)
    return config.model_copy(update={"folder": folder})


def _resolve_stream(path: Path, base: Path, name: str, stream: Stream) -> Stream:
    if isinstance(stream, RtspStream):
        return stream.model_copy(update={"url": _numeric(path, name, stream.url)})
    if isinstance(stream, IgtlStream):
        return stream.model_copy(update={"host": _looked_up(path, f"streams.{name}.host", stream.host, stream.port)})
    if stream.camera != "file":
        return stream
    return stream.model_copy(update={"path": _file(path, base, f"streams.{name}.path", stream.path)})


def _resolve_sensor(path: Path, base: Path, name: str, sensor: Sensor) -> Sensor:
    if isinstance(sensor, IgtlSensor | LslSensor):
        return sensor.model_copy(update={"host": _looked_up(path, f"sensors.{name}.host", sensor.host, sensor.port)})
    if isinstance(sensor, BagSensor) and (base / sensor.path).is_dir():
        return sensor.model_copy(update={"path": str(base / sensor.path)})
    if not isinstance(sensor, CsvSensor | WfdbSensor | BagSensor):
        return sensor
    return sensor.model_copy(update={"path": _file(path, base, f"sensors.{name}.path", sensor.path)})


def _looked_up(path: Path, field: str, host: str, port: int) -> str:
    """The address of a host: in the parent, once, since the process that connects may ask nobody."""
    try:
        *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(path, field, host, f"a host that can be looked up ({reason})") from None
    return str(address[0])


def _file(path: Path, base: Path, field: str, found: str) -> str:
    file = str(base / found)
    if not os.path.isfile(file):  # noqa: PTH113  # Path.is_file raises for a name that is too long or not permitted
        raise ConfigError(path, field, found, "a file that exists")
    return file


def _resolve_model(path: Path, base: Path, name: str, model: ModelConfig) -> ModelConfig:
    update: dict[str, object] = {"file": _file(path, base, f"models.{name}.file", model.file)}
    if isinstance(model.labels, str):
        update["labels"] = _labels(path, base, f"models.{name}.labels", model.labels)
    function = getattr(model.decode, "function", None)
    if function is not None and ".py:" in function:
        update["decode"] = model.decode.model_copy(update={"function": str(base / function)})
    return model.model_copy(update=update)


def _resolve_policy(path: Path, device: Device) -> "Policy | None":
    """Whose signatures count; and that nothing is asked to run that nobody signed, unless the file allows it."""
    for name, model in device.models.items():
        if name in device.bundles:
            raise ConfigError(path, f"bundles.{name}", "a name that models has too", "each name once")
        if not device.allow_unsigned:
            expected = "a signed bundle under bundles, or allow_unsigned: true (development)"
            raise ConfigError(path, f"models.{name}.file", f"{model.file}, which nobody signed", expected)
    return policy_of(path, device, needed=bool(device.bundles))


def policy_of(path: Path, device: Device, *, needed: bool) -> "Policy | None":
    """Whose signatures a device's bundles must have; `needed`: there are bundles. None: anybody's, which the file allows. Raises
    ConfigError."""
    if device.policy is not None:
        from inframe.bundle import Policy

        if isinstance(device.policy, PolicyConfig):
            return Policy.of(device.policy, path, "policy")
        return Policy.load(path.parent / device.policy)
    if needed and not device.allow_unsigned:
        raise ConfigError(
            path, "policy", "null", "whose signatures bundles must have, or allow_unsigned: true (development)"
        )
    return None


def _resolve_bundle(
    path: Path, base: Path, name: str, config: BundleConfig, policy: "Policy | None"
) -> tuple[ModelConfig, BundleConfig]:
    """The bundle's model with the device's own settings; and where it came from, for those who open it again."""
    from inframe.bundle import UNSIGNED, open_bundle

    whole = config.model_copy(update={"file": _file(path, base, f"bundles.{name}.file", config.path)})
    with open_bundle(Path(whole.path), policy or UNSIGNED) as bundle:
        return used_as(bundle, whole)


def _labels(path: Path, base: Path, field: str, found: str) -> tuple[str, ...]:
    expected = "a readable UTF-8 text file, one label a line"
    try:
        with Path(_file(path, base, field, found)).open("rb") as file:
            labels = [line.strip() for line in file.read(MAX_LABEL_BYTES).decode("utf-8-sig").rstrip().split("\n")]
    except OSError as error:
        raise ConfigError(path, field, f"{found} ({error.strerror or error})", expected) from None
    except UnicodeDecodeError as error:
        raise ConfigError(path, field, f"{found} (byte {error.start} is not UTF-8)", expected) from None
    for number, label in enumerate(labels, 1):
        if not (label and label.isprintable()):
            raise ConfigError(path, field, f"{found}, line {number}: {label!a}", "a label on each line")
    return tuple(labels)


def _numeric(path: Path, name: str, url: str) -> str:
    """The URL with its host looked up: in the parent, once, since the camera's own process may ask nobody."""
    try:
        parts = urlsplit(url)
        if not parts.hostname:  # a look-up would take none for this machine
            raise ConfigError(path, f"streams.{name}.url", "no host", "rtsp://HOST[:PORT]/…")
        port = parts.port or RTSP_PORT
        family, _, _, _, address = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)[0]
    except (OSError, ValueError) as error:  # ValueError: an impossible port, brackets that do not close, an odd name
        reason = getattr(error, "strerror", None) or error
        expected = f"rtsp://HOST[:PORT]/… with a host that can be looked up ({reason})"
        raise ConfigError(path, f"streams.{name}.url", without_password(url), expected) from None
    host = f"[{address[0]}]" if family == socket.AF_INET6 else str(address[0])
    login, at, _ = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{login}{at}{host}:{port}").geturl()


def addresses(stream: Stream | Sensor) -> frozenset[tuple[str, int]]:
    """Where a resolved camera or sensor on the network may be reached; empty for those that are not on the network."""
    if isinstance(stream, IgtlSensor | LslSensor | IgtlStream):
        return frozenset({(stream.host, stream.port)})
    if not isinstance(stream, RtspStream):
        return frozenset()
    url = urlsplit(stream.url)
    return frozenset({(str(url.hostname), url.port or RTSP_PORT)})
