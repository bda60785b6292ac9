"""Commands: two things can be asked for, nothing without its confirmation."""

import pytest

from inframe.assistant.intent import ACTUATED, Intent, applied, confirmed, understand
from inframe.core.errors import ConfigError
from inframe.core.types import Controls
from inframe.drivers.screens.commands import Wish


@pytest.mark.parametrize(
    ("text", "wish", "value"),
    [
        ("overlay off", Wish.OVERLAY, 0),
        ("Please turn the overlay on.", Wish.OVERLAY, 1),
        ("hide the overlay", Wish.OVERLAY, 0),
        ("set opacity to 40 percent", Wish.OPACITY, 0.4),
        ("opacity fifty percent", Wish.OPACITY, 0.5),
        ("overlay opacity 100%", Wish.OPACITY, 1.0),
    ],
)
def test_understood(text: str, wish: Wish, value: float) -> None:
    assert understand(text) == Intent(wish, value)


@pytest.mark.parametrize(
    "text",
    [
        "overlay",
        "opacity 140 percent",
        "acknowledge all alerts",
        "pause the sound",
        "quit",
        "do not turn the overlay off",
        "overlay off and acknowledge the alerts",
        "overlay off; quit",
        "overlay o\u0433f",
        "over\u200blay off",
        "overlay off\x1b[2J",
        "overlay off " * 20,
        "",
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        understand(text)
    assert str(refused.value).isprintable()


def test_a_confirmation_is_of_one_intent() -> None:
    off, on = understand("overlay off"), understand("overlay on")
    assert confirmed(off, off.code) == off.command
    for code in ("", "yes", on.code):
        with pytest.raises(ConfigError):
            confirmed(off, code)


@pytest.mark.parametrize("wish", [wish for wish in Wish if wish not in ACTUATED])
def test_no_intent_reaches_further_than_the_display(wish: Wish) -> None:
    with pytest.raises(RuntimeError):
        Intent(wish, 1)


@pytest.mark.parametrize("text", ["overlay off", "overlay on", "opacity 0%", "opacity 100%", "opacity 35%"])
def test_nothing_else_of_the_controls_changes(text: str) -> None:
    before = Controls(acknowledged_ns=5)
    after = applied(before, understand(text), 99)
    kept = [name for name in Controls.__dataclass_fields__ if name not in ("opacity", "overlay_on")]
    assert [getattr(after, name) for name in kept] == [getattr(before, name) for name in kept]
