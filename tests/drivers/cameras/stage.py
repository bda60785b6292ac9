"""A file camera whose time stands still unless it waits."""

from pathlib import Path

from inframe.core.clock import ManualClock
from inframe.core.config import FileStream
from inframe.drivers.cameras.file import FileCamera
from inframe.drivers.cameras.synthetic import read_number
from tests.drivers.cameras.videos import FPS
from tests.drivers.check_camera import read_all


class Stage:
    """A manual clock and what the camera waited for."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.waits: list[int] = []

    def wait(self, moment: int) -> None:
        self.waits.append(moment)
        self.clock.set(max(moment, self.clock.now()))

    def camera(self, path: Path, size: tuple[int, int] = (320, 240), **more: object) -> FileCamera:
        values = {"camera": "file", "path": str(path), "width": size[0], "height": size[1], "fps": FPS, **more}
        return FileCamera(FileStream.model_validate(values), self.clock, self.wait)


def numbers(camera: FileCamera) -> list[int | None]:
    return [read_number(pixels) for _, pixels in read_all(camera)]
