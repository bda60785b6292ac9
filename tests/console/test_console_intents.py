"""A confirmed command at the real console."""

import pytest

from inframe import assisting
from inframe.assistant.intent import understand
from inframe.core.errors import DeviceFault
from tests.console.stand import Stand, until


def test_a_confirmed_command_is_done_as_a_click_is(open_stand: Stand) -> None:
    assisting.give(understand("opacity 40 percent").command, open_stand.port)
    until(lambda: open_stand.board.controls().opacity == 0.4)
    assisting.give(understand("overlay off").command, open_stand.port)
    until(lambda: not open_stand.board.controls().overlay_on)
    assisting.give(understand("overlay on").command, open_stand.port)


def test_where_people_log_in_it_is_done_there(guarded: Stand) -> None:
    with pytest.raises(DeviceFault, match="wants somebody who has logged in"):
        assisting.give(understand("overlay off").command, guarded.port)
