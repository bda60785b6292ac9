"""From a device file as written to one that any process can use: absolute paths, label files read, addresses looked up."""

import socket
from pathlib import Path
from urllib.parse import urlsplit

from inframe.core.config import Device, FileScreen, ModelConfig, RtspStream, Stream
from inframe.core.errors import ConfigError


def resolve(device: Device, path: Path) -> Device:
    """The device with every path made absolute against the device file's folder, and label files read.

    Raises ConfigError for a file that is not there.
    """
    base = path.parent.absolute()
    streams = {name: _resolve_stream(path, base, name, stream) for name, stream in device.streams.items()}
    models = {name: _resolve_model(path, base, name, model) for name, model in device.models.items()}
    screens = tuple(
        s.model_copy(update={"path": str(base / s.path)}) if isinstance(s, FileScreen) else s for s in device.screens
    )
    records = str(base / device.records) if device.records is not None else None
    return device.model_copy(update={"streams": streams, "models": models, "screens": screens, "records": records})


def _resolve_stream(path: Path, base: Path, name: str, stream: Stream) -> Stream:
    if stream.camera != "file":
        return stream
    file = base / stream.path
    if not file.is_file():
        raise ConfigError(path, f"streams.{name}.path", stream.path, "a file that exists")
    return stream.model_copy(update={"path": str(file)})


def _resolve_model(path: Path, base: Path, name: str, model: ModelConfig) -> ModelConfig:
    file = base / model.file
    if not file.is_file():
        raise ConfigError(path, f"models.{name}.file", model.file, "a file that exists")
    labels = model.labels
    if isinstance(labels, str):
        try:
            labels = tuple((base / labels).read_text("utf-8").rstrip().splitlines())
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                path, f"models.{name}.labels", error, "a readable UTF-8 text file, one label a line"
            ) from None
    update: dict[str, object] = {"file": str(file), "labels": labels}
    function = getattr(model.decode, "function", None)
    if function is not None and ".py:" in function:
        update["decode"] = model.decode.model_copy(update={"function": str(base / function)})
    return model.model_copy(update=update)


def addresses(stream: Stream) -> frozenset[tuple[str, int]]:
    """Where a camera on the network may be reached: looked up in the parent, once, since its own process may ask nobody.

    Empty for cameras that are not on the network. Raises ConfigError for a host that can't be looked up.
    """
    if not isinstance(stream, RtspStream):
        return frozenset()
    url = urlsplit(stream.url)
    try:
        found = socket.getaddrinfo(url.hostname, url.port or 554, type=socket.SOCK_STREAM)
    except (OSError, ValueError) as error:
        raise ConfigError("device file", "streams.url", stream.url, f"a host that can be looked up ({error})") from None
    return frozenset((str(address[0]), int(address[1])) for *_, address in found)
