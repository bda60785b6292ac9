"""What a device keeps and what service does about it, at the page: recordings beside replays, drift, sensors, the release on its
way. The device is played; recordings, statistics and slots are real."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from inframe.core.samples import Absent, Aligned, Quality
from inframe.core.types import Presence
from inframe.orders import Orders
from inframe.recording.kept import Kept
from inframe.recording.read import open_recording
from inframe.recording.replay import replay
from inframe.recording.report import Report
from inframe.trail.files import Disk
from inframe.update.states import State
from tests.console.chromium import CHROMIUM, TABLET, WIDE, Visit, chromium
from tests.console.conftest import PASSWORDS
from tests.console.stand import Browser, Stand, device_of, until
from tests.drivers import onnx_models as om
from tests.monitor import monitor_made
from tests.recording.procedures import Procedure, device
from tests.test_orders import Obedient
from tests.test_trying_slots import World

NAME = "procedure.000.mcap"
REPLAY = "procedure.replay.000.mcap"
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # Playwright's own pipes
SENSORS = {
    "pressure": {
        "sensor": "lsl",
        "host": "127.0.0.1",
        "rate_hz": 125,
        "channels": {"abp": {"unit": "mmHg"}},
        "align": {"how": "hold", "max_age_ms": 200},
    }
}


@dataclass
class Full:
    """A device with a past."""

    stand: Stand
    world: World
    people: dict[str, Browser] = field(default_factory=dict)

    def person(self, name: str) -> Browser:
        """Logged in, once: ten log-ins a minute are allowed."""
        if name not in self.people:
            self.people[name] = self.stand.browser()
            assert self.people[name].log_in(name, PASSWORDS[name]) == 200
        return self.people[name]


def recorded(folder: Path) -> Path:
    """A whole recording with a replay of it by another model, one that is cut off, one that is sealed."""
    first = Procedure(device(folder), seed=5, frames=90, calm=True).run().write()
    recording = open_recording(first)
    other = om.save(folder, om.convolution(labels=3, size=32, seed=9), "other.onnx")
    models = {**recording.device.models, "m": recording.device.models["m"].model_copy(update={"file": str(other)})}
    changed = recording.device.model_copy(update={"models": models})
    kept = Kept(recording, changed)
    replay(recording, changed, Report(), kept)
    kept.close()
    first.with_name("cut.000.mcap").write_bytes(first.read_bytes()[:20_000])
    first.with_name("secret.000.mcap.sealed").write_bytes(b"sealed")
    return first.parent


def monitored(folder: Path) -> Path:
    """Sixty procedures as in the reference, then a lens that is out of focus."""
    one, rng = monitor_made.state(), np.random.default_rng(3)
    monitor_made.operate(one, monitor_made.procedures(rng, 60))
    blurred = monitor_made.procedures(rng, 30)
    blurred[:, monitor_made.SHARP] -= 2
    assert monitor_made.operate(one, blurred)
    folder.mkdir()
    one.save(Disk(folder))
    return folder


@contextmanager
def patched_world(folder: Path) -> Iterator[World]:
    """As the fixture `world` of test_trying_slots."""
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("inframe.trying.beside_active", lambda *_: None)
        patch.setattr("inframe.trying.of_slots", lambda _: {"anatomy": None})
        bundles = {"anatomy": SimpleNamespace(file=None)}
        patch.setattr("inframe.trying.read_device", lambda _: SimpleNamespace(bundles=bundles))
        yield World(folder, trial={"during_procedure": True, "consent": True})


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory, users: Path) -> Iterator[Full]:
    folder = tmp_path_factory.mktemp("full")
    control = folder / "control"
    values: dict[str, Any] = {
        "screen": {"users": str(users)},
        "candidate": {"control": str(control)},
        "recording": {"folder": str(recorded(folder)), "codec": "lossless"},
        "monitor": {"folder": str(monitored(folder / "monitor"))},
        "sensors": SENSORS,
        "update": {"repository": "file:///r", "root": "r", "bundles": ["anatomy"]},
    }
    over = threading.Event()
    with patched_world(folder / "slots") as world, Stand(device_of(folder, **values), recorder=True) as stand:
        orders = Orders(control, Obedient(), world.trying)
        world.trying.begin()
        lock = threading.Thread(target=partial(_obey, orders, world, over))
        lock.start()
        yield Full(stand, world)
        over.set()
        lock.join()
        orders.close()


def _obey(orders: Orders, world: World, over: threading.Event) -> None:
    while not over.wait(0.005):
        orders.step()
        world.trying.step()


def events(person: Browser, text: str) -> list[dict[str, Any]]:
    """What the record says of it."""
    return list(person.get(f"/api/trail?text={text}&kind=login")["lines"])


# --- without a browser's page


def test_recordings_are_listed_with_their_replays(full: Full) -> None:
    files = {one["name"]: one for one in full.person("vera").get("/api/recordings")["files"]}
    assert set(files) == {NAME, "cut.000.mcap", "secret.000.mcap.sealed"}
    assert files[NAME]["replays"] == [REPLAY]
    assert files["secret.000.mcap.sealed"]["is_sealed"]


def test_a_moment_is_told_on_both_sides(full: Full) -> None:
    vera = full.person("vera")
    told = vera.get(f"/api/recording?name={NAME}")
    assert (told["frames"], told["codec"]) == (90, "lossless")
    assert any(mark["key"] == "much" and mark["began"] for mark in told["marks"])
    one = vera.get(f"/api/recording/moment?name={NAME}&replay={REPLAY}&at_ms=1100")
    assert one["recorded"]["verdict"] == one["replayed"]["verdict"] == "SHOW"
    assert one["recorded"]["picture"] != one["replayed"]["picture"]
    bare = vera.get(f"/api/recording/moment?name={NAME}&replay={REPLAY}&at_ms=1100&overlay=false")
    assert bare["recorded"]["picture"] == bare["replayed"]["picture"]
    assert vera.ask("GET", f"/api/recording/moment?name={NAME}&at_ms=900000")[0] == 404
    until(lambda: events(vera, "RECORDING_OPENED"))
    (line,) = events(vera, "RECORDING_OPENED")
    assert (line["who"], line["text"], line["data"]["role"]) == ("vera", NAME, "viewer")


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("cut.000.mcap", 409),
        ("secret.000.mcap.sealed", 422),
        ("other.000.mcap", 404),
        ("../device.yaml", 422),
        ("..%2f..%2fetc%2fpasswd", 422),
        ("%00.mcap", 422),
        ("", 422),
        ("a" * 200, 422),
    ],
)
def test_what_is_no_whole_recording_of_this_folder_is_refused(full: Full, name: str, status: int) -> None:
    vera = full.person("vera")
    assert vera.ask("GET", f"/api/recording?name={name}")[0] == status
    code, _, said = vera.ask("GET", f"/api/recording/moment?name={name}&at_ms=0")
    assert code == status
    assert str(full.stand.device.recording.folder if full.stand.device.recording else "") not in said.decode()


def test_drift_is_told_with_its_procedures(full: Full) -> None:
    (stratum,) = full.person("vera").get("/api/drift")["strata"]
    assert "sharpness" in stratum["charts"]["m"]["above"]
    assert len(stratum["recent"]["sharpness"]) == stratum["procedures"] <= 90
    assert stratum["alarms"]


def test_a_sensor_is_what_the_display_knows_of_it(full: Full) -> None:
    vera = full.person("vera")
    full.stand.samples = {"pressure": Aligned((72.5,), 40, 12_000_000, 0)}
    until(lambda: vera.get("/api/streams")["samples"][0]["quality"] == "ok")
    (one,) = vera.get("/api/streams")["samples"]
    assert (one["values"], one["age_ms"]) == ([{"name": "abp", "unit": "mmHg", "value": 72.5}], 12)
    full.stand.samples = {"pressure": Absent(Quality.NOISY, 41, 3_000_000)}
    until(lambda: vera.get("/api/streams")["samples"][0]["quality"] == "noisy")
    assert vera.get("/api/streams")["samples"][0]["values"][0]["value"] is None
    assert vera.get("/api/streams")["frames"][0]["quality"] == "ok"


def test_only_service_moves_a_release_and_only_with_a_reason(full: Full) -> None:
    for name, status in (("vera", 403), ("otto", 403)):
        assert full.person(name).post("/api/release", {"move": "commit", "why": "QA 12"}) == status
    sara = full.person("sara")
    sequence = full.world.status.sequence
    for wrong in ({"why": ""}, {"why": None}, {"move": "erase"}, {"hours": 1}, {"move": "defer", "hours": 1e9}):
        assert sara.post("/api/release", {"move": "rollback", "why": "QA 12"} | wrong) == 422, wrong
    assert sara.post("/api/release", {"move": "rollback", "why": "QA 12"}, **{"X-CSRF": "x"}) == 403
    assert (
        sara.post("/api/release", {"move": "commit", "why": "too early"}) == 409
    )  # in shadow there is nothing to confirm
    assert full.world.status.sequence == sequence
    assert sara.get("/api/release")["state"] == "shadow"


# --- in a real Chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with chromium() as one:
        yield one


@pytest.fixture(scope="module")
def visit(browser: Any, full: Full) -> Iterator[Visit]:
    """The viewer's page."""
    yield from visited(browser, full, "vera")


@pytest.fixture(scope="module")
def served(browser: Any, full: Full) -> Iterator[Visit]:
    """That of service."""
    yield from visited(browser, full, "sara")


def visited(browser: Any, full: Full, name: str) -> Iterator[Visit]:
    one = Visit(browser, full.stand.origin)
    one.page.goto(full.stand.origin)
    one.page.wait_for_selector("#login[open]")
    enter(one.page, name)
    yield one
    assert one.strangers() == []
    assert [error for error in one.errors if "401" not in error] == []
    one.context.close()


def enter(page: Any, name: str) -> None:
    page.fill("#login-name", name)
    page.fill("#login-password", PASSWORDS[name])
    page.click("#login-form .strong")
    page.wait_for_selector("body[data-pictures]", timeout=60_000)


def pixels(page: Any, side: str) -> str:
    return str(page.evaluate(f"document.querySelector('#reel-{side} canvas').toDataURL()"))


@pytest.mark.parametrize("size", [TABLET, WIDE], ids=["tablet", "wide"])
def test_a_recording_is_scrubbed_beside_its_replay(visit: Visit, size: Any) -> None:
    page = visit.page
    page.set_viewport_size(size)
    page.click("nav button[data-view=recordings]")
    page.click(f"[data-reel='{NAME}']")
    page.wait_for_selector("#reel[data-frame='1']")
    page.focus("#reel-at")
    for _ in range(32):
        page.keyboard.press("ArrowRight")
    page.wait_for_selector("#reel[data-frame='33']")
    page.click("#reel-after")
    page.wait_for_selector("#reel[data-frame='34']")
    assert page.is_visible("#reel-replayed")
    assert pixels(page, "recorded") != pixels(page, "replayed")
    page.uncheck("#reel-overlay")
    until(lambda: pixels(page, "recorded") == pixels(page, "replayed"))
    page.check("#reel-overlay")
    page.select_option("#reel-marks", index=1)
    page.wait_for_selector("#reel:not([data-frame='34'])")
    page.select_option("#reel-replay", "")
    page.wait_for_selector("#reel-replayed", state="hidden")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert visit.serious() == []


def test_drift_is_drawn_and_named(visit: Visit) -> None:
    page = visit.page
    page.click("nav button[data-view=drift]")
    page.wait_for_selector("#drift-said:has-text('DRIFT: ')")
    assert "sharpness" in page.inner_text("#drift-said")
    page.click("[data-signal='red']")
    page.wait_for_selector("#drift-title:has-text('red')")
    assert page.locator("#drift-chart canvas").count() == 1
    assert page.locator("#drift-alarms li").count() == 1
    assert visit.serious() == []


def test_a_sensor_that_is_not_to_be_believed_stands_out(visit: Visit, full: Full) -> None:
    page = visit.page
    page.click("nav button[data-view=processes]")
    full.stand.samples = {"pressure": Aligned((72.5,), 40, 12_000_000, 0)}
    page.wait_for_selector("#sensors tr:not(.off):has-text('abp 72.50 mmHg')")
    full.stand.samples = {"pressure": Absent(Quality.NOISY)}
    page.wait_for_selector("#sensors tr.off:has-text('NOISY')")
    assert visit.serious() == []


def test_alerts_are_said_in_the_reader_s_language(visit: Visit, full: Full) -> None:
    page = visit.page
    full.stand.alert(("NO_SIGNAL", Presence.ON), ("near", Presence.ON))
    page.wait_for_selector("#alerts:has-text('NO CAMERA SIGNAL')")
    page.select_option("#language", "de")
    page.wait_for_selector("#alerts:has-text('KEIN KAMERASIGNAL')")
    page.wait_for_selector("#alerts:has-text('TIP NEAR')")  # what a rule says is in the device file
    page.select_option("#language", "en")
    page.wait_for_selector("#alerts:has-text('NO CAMERA SIGNAL')")
    full.stand.alert()


def test_who_may_not_move_a_release_sees_it_and_can_press_nothing(visit: Visit) -> None:
    page = visit.page
    page.click("nav button[data-view=service]")
    page.wait_for_selector("#release:has-text('anatomy 2')")
    assert page.locator("[data-move]:enabled").count() == 0
    assert page.is_disabled("#release-why")
    assert visit.serious() == []


def test_service_puts_a_release_off_shows_it_and_confirms_it(served: Visit, full: Full) -> None:
    page = served.page
    page.click("nav button[data-view=service]")
    page.click("[data-move=defer]:enabled")
    page.wait_for_selector("#release-said:has-text('grounds')")
    assert full.world.status.progress.deferred_ns == 0
    move(page, "defer", "a long list today")
    until(lambda: full.world.status.progress.deferred_ns > 0)
    page.wait_for_selector("#release:has-text('put off until')")
    assert page.is_disabled("[data-move=commit]")
    full.world.candidate.measured = type(full.world.candidate.measured)(compared=300)
    until(lambda: full.world.status.progress.compared)
    move(page, "trial", "the list is done")
    until(lambda: full.world.status.state is State.TRIAL)
    move(page, "commit", "QA 12")
    until(lambda: full.world.status.state is State.COMMITTED)
    page.wait_for_selector("#release:has-text('committed')")
    assert full.world.status.history[-1].text == "two: QA 12 (sara, at the console)"
    sara = full.person("sara")
    until(lambda: len(events(sara, "RELEASE_ORDER")) == 3)  # the recorder writes once a second
    lines = {line["text"].split()[0]: line for line in events(sara, "RELEASE_ORDER")}
    assert set(lines) == {"defer", "trial", "commit"}
    assert (lines["commit"]["who"], lines["commit"]["data"]["role"], lines["commit"]["data"]["why"]) == (
        "sara",
        "service",
        "QA 12",
    )
    assert served.serious() == []


def move(page: Any, name: str, why: str) -> None:
    page.fill("#release-why", why)
    page.click(f"[data-move={name}]:enabled")
    page.click("#sure button[value=yes]")
