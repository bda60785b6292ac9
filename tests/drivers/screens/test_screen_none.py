"""No screen, and what people may ask for at one."""

import pytest

from inframe.core.clock import NS_PER_S
from inframe.core.config import NoneScreen
from inframe.core.types import Audio, Controls
from inframe.drivers.screens import open_screen
from inframe.drivers.screens.commands import AUDIO_PAUSE_NS, Command, Wish, obey
from tests.drivers.check_screen import check_screen


def test_none_is_a_screen() -> None:
    check_screen(lambda: open_screen(NoneScreen(kind="none"), 33, 17, 30.0), 33, 17)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (Command(Wish.OVERLAY), Controls(overlay_on=False)),
        (Command(Wish.OVERLAY, 1), Controls()),
        (Command(Wish.OVERLAY, 0), Controls(overlay_on=False)),
        (Command(Wish.OPACITY, 0.8), Controls(opacity=0.8)),
        (Command(Wish.OPACITY, 7), Controls(opacity=1.0)),
        (Command(Wish.OPACITY_BY, 0.05), Controls(opacity=0.4)),
        (Command(Wish.OPACITY_BY, -1), Controls(opacity=0.0)),
        (Command(Wish.ACKNOWLEDGE), Controls(acknowledged_ns=NS_PER_S)),
        (Command(Wish.AUDIO_PAUSE), Controls(audio=Audio.PAUSED, audio_until_ns=NS_PER_S + AUDIO_PAUSE_NS)),
        (Command(Wish.QUIT), Controls()),
    ],
)
def test_a_command_changes_just_what_it_names(command: Command, expected: Controls) -> None:
    assert obey(Controls(), command, NS_PER_S) == expected


def test_pausing_again_sounds_again_unless_the_pause_is_over() -> None:
    paused = obey(Controls(), Command(Wish.AUDIO_PAUSE), 0)
    assert obey(paused, Command(Wish.AUDIO_PAUSE), NS_PER_S).audio is Audio.ON
    later = AUDIO_PAUSE_NS + NS_PER_S
    assert obey(paused, Command(Wish.AUDIO_PAUSE), later).audio_until_ns == later + AUDIO_PAUSE_NS
