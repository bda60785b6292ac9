"""Every test of the recorder closes what it opened."""

from tests.recorder.desk import no_desk_is_left

__all__ = ["no_desk_is_left"]
