"""Which of the frames shown on trial lacked a result of the candidate."""

from collections import deque

from inframe.pipeline.board import Count, Row


class OnScreen:
    """Counts what the display counts, from the first look on. Nothing is missed before the candidate's workers have been set up
    for the first time: on a trial that begins with the device it takes as long as any start."""

    def __init__(self, window: int) -> None:
        self.frames = self.missed = 0
        self._recent: deque[bool] = deque(maxlen=window)
        self._last = (0, 0)
        self._up = False

    @property
    def recent(self) -> int:
        """Of the last `window` frames, without a result."""
        return sum(self._recent)

    def begin(self, display: Row, *, up: bool) -> None:
        """It is shown from now on. `up`: whether all its workers are set up."""
        self._last, self._up = _counted(display), up

    def look(self, display: Row, *, up: bool) -> None:
        """What was shown since the last look."""
        now = _counted(display)
        if not self._up:
            self._up, self._last = up, now
            return
        frames, in_time = (max(0, after - before) for after, before in zip(now, self._last, strict=True))
        in_time = min(frames, in_time)
        self._last = now
        self.frames, self.missed = self.frames + frames, self.missed + frames - in_time
        self._recent.extend([False] * in_time + [True] * (frames - in_time))


def _counted(display: Row) -> tuple[int, int]:
    """The frames that the display has shown, and those for which the places shown said all in time."""
    return display.get(Count.FRAMES), display.get(Count.IN_TIME) - display.get(Count.STOOD_IN)
