"""A model's life on a real device, with the real commands: good releases come to be shown and committed, bad ones end where they
should, and no frame is lost on the way.

    INFRAME_LIFE=all pytest tests/test_update_life.py -s

is the full form: the reference model at 1280x720 and 30 frames a second, the checkpoints and health rules with the numbers that a
device has, a model that crashes in every 1000th run. It takes some four minutes and prints each case. The suite has a small model
and small numbers.
"""

import os
import platform
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from inframe import validating
from inframe.core.clock import NS_PER_MS
from inframe.core.errors import UpdateError
from inframe.core.health import Phase
from inframe.core.types import Verdict
from inframe.device import Running
from inframe.pipeline.board import Count
from inframe.pipeline.record import Shown
from inframe.trail.files import Disk
from inframe.trail.home import Home
from inframe.trail.leaf import decode
from inframe.trail.read import Log
from inframe.trail.records import EventLeaf, FrameLeaf
from inframe.updatable import at_start, status_of, updatable
from inframe.update.states import State, Status
from inframe.validating import Examination
from scripts.docs import ROOT
from tests import lives
from tests.docs.pages import blocks
from tests.lives import Life
from tests.test_device import records_of

FULL = os.environ.get("INFRAME_LIFE") == "all"
LIMIT_S = 300.0 if FULL else 100.0
pytestmark = pytest.mark.timeout(900 if FULL else 180)


@dataclass
class Form:
    """What the full form and the suite's differ in."""

    make: Callable[..., Life]
    threshold: float
    """Of the model that fails where it is darker."""
    products: int
    """Of the slow one: its limit is 60 ms, and a core takes 9 to 20 for each."""
    every: int
    """The crashing one's runs."""


FORM = Form(lives.reference, 0.35, 9, 1000) if FULL else Form(lives.tiny, 180.0, 10, 75)
WINDOW = 95 if FULL else 12
"""Frames on trial, after which a procedure counts as one."""
CRASHES = partial(lives.crashing, every=FORM.every)
STATE: dict[str, Any] = {"part": {"state": {"runs_out": "runs"}}}


@dataclass
class Watch:
    """A running device, its records, and its slots."""

    life: Life
    running: Running
    taken: list[Shown] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._take = records_of(self.running)
        self._before = 0

    def skipped(self) -> int:
        """Captured frames that the display has passed over since its first."""
        row = self.running.board.row("display")
        return row.get(Count.SEQ) - row.get(Count.FRAMES) - self._before

    def until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + LIMIT_S
        while not condition():
            assert time.monotonic() < end, (
                f"never came true; {self.status().state} {self.status().reason}, {self.running.health()}"
            )
            self.running.step()
            new = self._take()
            if new and not self.taken:
                self._before = new[0].seq - 1
            self.taken.extend(new)
            signal.sigtimedwait([], 0.005)

    def status(self) -> Status:
        return status_of(updatable(Path(self.life.at("device.yaml"))))

    def is_state(self, state: State) -> Callable[[], bool]:
        return lambda: self.status().state is state

    def frames(self, count: int) -> None:
        until = len(self.taken) + count
        self.until(lambda: len(self.taken) >= until)


@contextmanager
def on(life: Life) -> Iterator[Watch]:
    """The device, as `inframe run` starts it."""
    path = Path(life.at("device.yaml"))
    with Running(at_start(path), path) as running:
        yield Watch(life, running)


def no_frame_lost(device: Watch) -> None:
    """By the display's own count; and every record that was read here is of a frame that was shown."""
    device.until(lambda: device.skipped() <= 0)  # two words, of which one may be read a moment before the other
    assert all(one.shown_ns for one in device.taken if one.seq)


def say(*words: object) -> None:
    print("\n   ", *words)  # noqa: T201  # the campaign's report


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    """A device with its first release committed."""
    with pytest.MonkeyPatch.context() as patch:
        if not FULL:
            patch.setattr(validating, "RUNS", 30)
            patch.setattr(validating, "WARM_S", 0.1)
            patch.setattr(validating, "ALL", ("cpu",))
        made = FORM.make(
            tmp_path_factory.mktemp("life"), trial={"procedures": 1, "confirm": "device", "during_procedure": True}
        )
        made.release("first")
        said = made.install()
        say(said.strip())
        assert said.count("passed ") == 5
        made.update("trial")
        assert "active: first" in made.update("commit", "--why", "first installation, QA 12")
        yield made


def test_wrong_numbers_are_stopped_at_golden(life: Life) -> None:
    life.release("wrong", lives.wrong)
    said = life.install(code=1)
    say(said.strip())
    assert "passed compatibility" in said
    assert "FAILED golden: anatomy: frame 0: " in said
    told = life.update("status")
    assert "rolled back: golden: anatomy: frame 0" in told
    assert "active    first" in told


def test_an_accurate_model_that_is_slow_is_stopped_at_latency(life: Life) -> None:
    life.release("slow", partial(lives.slow, products=FORM.products))
    said = life.install(code=1)
    say(said.strip())
    assert said.count("passed ") == 3
    assert "FAILED latency: anatomy: found p99 " in said
    assert life.update("status").startswith("theatre 4: rolled back: latency: anatomy: found p99")


@pytest.fixture
def quick(life: Life, monkeypatch: pytest.MonkeyPatch) -> Life:
    """In the suite: two checkpoints are enough for what is to pass them all, which `first` has shown."""
    if not FULL:
        every = Examination.checkpoints
        monkeypatch.setattr(Examination, "checkpoints", lambda self: every(self)[:2])
    return life


def test_one_that_is_good_in_the_laboratory_and_disagrees_on_live_video_is_stopped_in_shadow(quick: Life) -> None:
    life = quick
    life.release("dark", partial(lives.dark, threshold=FORM.threshold))
    assert "installed and checked: dark" in life.install()
    with on(life) as device:
        device.until(device.is_state(State.SHADOW))
        device.until(device.is_state(State.ROLLED_BACK))
        device.frames(10)
        why = device.status().reason
        say(f"dark: rolled back from shadow: {why}; {len(device.taken)} frames, none lost, none of it shown")
        assert why.startswith("disagreement: found")
        assert not {one.places for one in device.taken} - {0}
        no_frame_lost(device)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="only there an overflowing division ends the process")
def test_one_that_crashes_is_rolled_back_from_its_trial_and_no_frame_is_lost(quick: Life) -> None:
    life = quick
    life.release("crashing", CRASHES, **STATE)
    assert "installed and checked: crashing" in life.install()
    with on(life) as device:
        device.until(device.is_state(State.TRIAL))
        device.until(device.is_state(State.ROLLED_BACK))
        device.frames(30)
        status = device.status()
        assert (status.reason, status.active and status.active.name) == (
            "crashes: found 1, expected at most 0",
            "first",
        )
        no_frame_lost(device)
        say(f"crashing: {crash_report(device.taken)}")


def crash_report(taken: list[Shown]) -> str:
    """How the picture fared from the first frame on trial to the 30th after the last; at most one frame of it is without an
    overlay, but on a busy machine with the suite's small numbers."""
    frames = [one for one in taken if one.seq]
    trial = [one for one in frames if one.places]
    assert trial, "nothing was shown on trial"
    after = [one for one in frames if one.seq > trial[-1].seq][:30]
    assert not {one.places for one in after} - {0}
    whole = [one for one in frames if trial[0].seq <= one.seq <= after[-1].seq]
    without = sum(one.verdict is Verdict.WITHHOLD for one in whole)
    late = sum(one.shown_ns > one.deadline_ns for one in whole)
    with_overlay = [one for one in whole if one.verdict is not Verdict.WITHHOLD]
    turns = [b.shown_ns - a.shown_ns for a, b in pairwise(with_overlay) if a.places > b.places]
    if FULL:
        assert (without <= 1, late) == (True, 0)
    back = f"{turns[-1] / NS_PER_MS:.1f} ms" if turns else "-"
    return (
        f"{len(frames)} frames, none lost; {len(trial)} shown on trial; {late} late, {without} without an overlay from its "
        f"first frame to the 30th behind its last; last picture with its overlay to the first with the active one's: {back}"
    )


def test_a_good_one_is_compared_then_shown_from_the_first_frame_on_and_commits_itself(life: Life) -> None:
    patient(life, during_procedure=False)
    life.release("good")
    assert "installed and checked: good" in life.install()
    with on(life) as device:
        device.until(lambda: bool(device.status().progress.compared))
        assert device.status().state is State.SHADOW
        with pytest.raises(UpdateError, match=r"candidate: switch: found the release good of the slots"):
            device.running.switch()
        device.frames(10)
        assert not {one.places for one in device.taken} - {0}
    assert "trial     good" in life.update("status")
    with on(life) as device:
        assert device.running.health().phase is Phase.TRIAL
        device.until(lambda: device.running.health().shown > WINDOW)
        first = next(one for one in device.taken if one.verdict is Verdict.SHOW)
        say(f"good: on trial from the start on; its first overlay on frame {first.seq} of place {first.places}")
        assert {one.places for one in device.taken if one.verdict is Verdict.SHOW} >= {1}
        no_frame_lost(device)
    status = device.status()
    assert (status.state, status.active and status.active.name) == (State.COMMITTED, "good")
    say(life.update("status").strip())
    life.update("history")
    in_the_trail(life)
    if not FULL:  # the page shows what the small model says
        the_page_tells_it(life)


def the_page_tells_it(life: Life) -> None:
    """What docs/update.md shows of commands and their output is what they have said here, in this order, but for the numbers."""
    said = iter([masked(one) for one in life.said])
    shown = [masked(block) for block in blocks(ROOT / "docs" / "update.md", "console")]
    assert len(shown) > 5
    for block in shown:
        assert any(block == one for one in said), f"not said, or not in this order: {block}"


def masked(text: str) -> str:
    """Without digests and numbers."""
    return re.sub(r"[0-9a-f]{12}…|\d[\d:.TZ-]*", "#", text).strip()


def patient(life: Life, **trial: Any) -> None:
    """Change how the device begins and ends a trial."""
    import yaml

    path = Path(life.at("device.yaml"))
    values = yaml.safe_load(path.read_text())
    values["update"]["trial"] |= trial
    path.write_text(yaml.safe_dump(values, sort_keys=False))


def in_the_trail(life: Life) -> None:
    """Every move is there, in order; and each frame names the model and the slot that it was drawn from."""
    home = Home(Path(life.at("trail")))
    key = home.public_keys()[0]
    leaves = [decode(entry) for log in home.logs() for _, entry in Log(Disk(log), key).entries()]
    events = [
        e.name for leaf in leaves if isinstance(leaf, EventLeaf) for e in leaf.events if e.name.startswith("UPDATE")
    ]
    ends = [name for name in events if name in ("UPDATE_ROLLED_BACK", "UPDATE_COMMITTED")]
    crashing = ["UPDATE_ROLLED_BACK"] if platform.machine() == "x86_64" else []
    assert ends == ["UPDATE_COMMITTED", *3 * ["UPDATE_ROLLED_BACK"], *crashing, "UPDATE_COMMITTED"]
    assert (
        events[-8:]
        == [
            f"UPDATE_{name}"
            for name in (
                "FETCHED",
                "VERIFIED",
                "INSTALLED",
                "CHECKED",
                "SHADOW",
                "COMPARED",
                "TRIAL",
                "TRIED",
                "COMMITTED",
            )
        ][-8:]
    )
    slots = {model.slot for leaf in leaves if isinstance(leaf, FrameLeaf) for model in leaf.models if any(model.bundle)}
    assert slots == {"active", "trial"}
