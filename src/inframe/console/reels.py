"""The recordings in the device's folder: what there is, and any moment of one that is whole, beside a replay of it.

A sealed one is listed and not opened: the device's key has no business in a process that browsers talk to.
"""

import base64
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
from pydantic import Field

from inframe.console.desk import Desk
from inframe.console.refused import Refused
from inframe.console.route import VIEWER, Asked, Body, Route
from inframe.core.config import Device
from inframe.core.errors import ConfigError, one_line
from inframe.core.types import Pixels

if TYPE_CHECKING:
    from inframe.recording.reel import Moment

PLAIN, WIDEST, QUALITY = ".mcap", 960, 85
_NAME = r"^[A-Za-z0-9_-]{1,64}(\.[A-Za-z0-9]{1,16}){1,4}$"


class ReelName(Body):
    """Which recording."""

    name: str = Field(pattern=_NAME, max_length=120)


class ReelMoment(ReelName):
    """Which moment of it, and beside which replay."""

    at_ms: float = Field(ge=0, le=1e9)
    replay: str | None = Field(None, pattern=_NAME, max_length=120)
    overlay: bool = Field(True, description="drawn as it was on the screen; else the frame as it was captured")


async def _recordings(desk: Desk, _asked: Asked) -> Any:
    """The recordings in the device's folder, with the replays kept of each."""
    return await desk.apart(lambda: listed(desk.device))


async def _recording(desk: Desk, asked: Asked) -> Any:
    """What a whole recording is: length, frames, models, where alerts began and ended."""
    name = asked.query.name
    told = await desk.apart(lambda: about(desk.device, name))
    desk.saw(asked.session, "RECORDING_OPENED", name)
    return told


async def _moment(desk: Desk, asked: Asked) -> Any:
    """One frame of a recording as it was on the screen, and as a replay of it would have shown it."""
    return await desk.apart(lambda: moment(desk.device, asked.query))


ROUTES = (
    Route("GET", "/api/recordings", VIEWER, _recordings),
    Route("GET", "/api/recording", VIEWER, _recording, query=ReelName),
    Route("GET", "/api/recording/moment", VIEWER, _moment, query=ReelMoment),
)


def listed(device: Device) -> dict[str, Any]:
    """The files, newest first."""
    from inframe.recording.kept import is_replay, replays_of

    if device.recording is None:
        return {"folder": None, "files": []}
    folder, files = Path(device.recording.folder), []
    for path in folder.glob(f"*{PLAIN}*"):
        try:
            stat = path.stat()
        except OSError:  # erased meanwhile
            continue
        if not is_replay(path):
            files.append((stat.st_mtime, path, stat.st_size))
    rows = [
        {
            "name": path.name,
            "bytes": size,
            "changed": datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds"),
            "is_sealed": path.suffix != PLAIN,
            "replays": [one.name for one in replays_of(path)],
        }
        for at, path, size in sorted(files, reverse=True)
    ]
    return {"folder": str(folder), "codec": device.recording.codec, "files": rows}


def _found(device: Device, name: str) -> Path:
    """A file of the folder: only what is listed there exists. Raises Refused."""
    if device.recording is None:
        raise Refused(404, "this device keeps no recordings")
    if not name.endswith(PLAIN):
        raise Refused(422, "name: expected a recording that is not sealed")
    try:
        return next(one for one in Path(device.recording.folder).iterdir() if one.name == name and one.is_file())
    except (StopIteration, OSError):
        raise Refused(404, "no such recording") from None


def about(device: Device, name: str) -> dict[str, Any]:
    """What a recording is. Raises Refused."""
    from inframe.recording.reel import Reel

    path = _found(device, name)
    try:
        with Reel(path) as reel:
            return {"name": name, **reel.about()}
    except (ConfigError, OSError) as error:
        raise Refused(409, _said(error)) from None


def moment(device: Device, asked: ReelMoment) -> dict[str, Any]:
    """One frame, on both sides. Raises Refused."""
    from inframe.recording.reel import Reel

    path = _found(device, asked.name)
    beside = _found(device, asked.replay) if asked.replay is not None else None
    try:
        with ExitStack() as stack:
            reel = stack.enter_context(Reel(path))
            found = reel.moment(asked.at_ms)
            if found is None:
                raise Refused(404, "no frame can be shown there")
            at_ms = (found.packet.captured_ns + reel.recording.wall_minus_monotonic_ns - reel.start_ns) / 1e6
            told: dict[str, Any] = {"frame": found.packet.seq, "at_ms": round(at_ms, 1), "replayed": None}
            told["recorded"] = _side(reel.recording.device, found, overlay=asked.overlay)
            if beside is not None:
                other = stack.enter_context(Reel(beside))
                told["replayed"] = _side(other.recording.device, other.beside(found), overlay=asked.overlay)
            return told
    except (ConfigError, OSError) as error:
        raise Refused(409, _said(error)) from None


def _side(device: Device, found: "Moment", *, overlay: bool) -> dict[str, Any]:
    from inframe.recording.redraw import Redraw

    decision = found.decision
    pixels = Redraw(device).picture(found) if overlay else found.pixels
    told = {} if decision is None else decision.model_dump(include={"verdict", "mode", "alerts"})
    if decision is not None:
        told["age_ms"] = round(decision.age_ns / 1e6, 1)
        told["findings"] = [{"rule": one.rule, "value": one.value} for one in decision.findings]
    return {"is_decided": decision is not None, **told, "picture": _jpeg(pixels)}


def _jpeg(pixels: Pixels) -> str:
    height, width, _ = pixels.shape
    if width > WIDEST:
        pixels = cv2.resize(pixels, (WIDEST, round(height * WIDEST / width)), interpolation=cv2.INTER_AREA)
    bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    _, jpeg = cv2.imencode(".jpg", bgr, (cv2.IMWRITE_JPEG_QUALITY, QUALITY))
    return base64.b64encode(jpeg.tobytes()).decode("ascii")


def _said(error: Exception) -> str:
    """Without the folder: where files lie is no business of a page."""
    if isinstance(error, ConfigError):
        return one_line(f"{error.field}: found {error.found}, expected {error.expected}")
    return one_line(getattr(error, "strerror", None) or error)
