"""The page in a real Chromium: what a person sees and can press, and what it never does."""

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from inframe.core.types import Audio, Mode, Presence, Verdict
from inframe.pipeline.alerts import FLASHES
from tests.console.chromium import CHROMIUM, TABLET, Visit, chromium
from tests.console.conftest import PASSWORDS
from tests.console.stand import NEAR, Stand, until

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Playwright's own pipes
]
VIEWS = ("live", "timing", "processes", "models", "drift", "trail", "recordings", "service")
FLASHING = """(count) => new Promise(resolve => {
  const seen = {};
  const watch = new MutationObserver(changes => {
    for (const { target } of changes) {
      const list = seen[target.dataset.priority] ??= [], lit = target.classList.contains("lit");
      if (!list.length || list.at(-1)[1] !== lit) list.push([performance.now(), lit]);
    }
    if ((seen.high ?? []).length >= count && (seen.medium ?? []).length >= 5) { watch.disconnect(); resolve(seen); }
  });
  watch.observe(document.getElementById("alerts"), { subtree: true, attributes: true, attributeFilter: ["class"] });
})"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as one:
        yield one


@pytest.fixture(scope="module")
def visit(browser: Any, open_stand: Stand) -> Iterator[Visit]:
    """One page that the tests below share, as a person keeps one open."""
    one = Visit(browser, open_stand.origin)
    one.open()
    yield one
    one.context.close()


def test_the_picture_comes_and_nothing_leaves_the_origin(visit: Visit) -> None:
    page = visit.page
    assert page.title() == "Theatre 7 - inframe"
    assert page.locator("#device").inner_text() == "Theatre 7"
    until(lambda: int(page.get_attribute("body", "data-pictures") or 0) > 20)
    assert page.evaluate("document.getElementById('picture').width") == 320
    pixel = page.evaluate("[...document.getElementById('picture').getContext('2d').getImageData(5, 90, 1, 1).data]")
    assert pixel[:3] == pytest.approx([255, 225, 255], abs=20)
    assert visit.strangers() == []
    assert visit.errors == []


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_is_fit_for_everybody(visit: Visit, open_stand: Stand, view: str) -> None:
    """axe-core: names for screen readers, contrast, structure; with alerts of each priority present."""
    open_stand.alert((NEAR, Presence.ON), ("NO_SIGNAL", Presence.ON), ("DISK_FULL", Presence.ON))
    visit.page.click(f"nav button[data-view={view}]")
    visit.page.wait_for_selector("#alerts li:nth-child(3)")
    assert visit.page.is_visible(f"#view-{view}")
    assert visit.serious() == []
    open_stand.alert()
    assert visit.errors == []


def test_alerts_flash_as_their_priority_asks(visit: Visit, open_stand: Stand) -> None:
    """IEC 60601-1-8: high 1.4 to 2.8 Hz, medium 0.4 to 0.8 Hz, both lit for 20 to 60 %; low constantly; acknowledged: no more."""
    visit.page.click("nav button[data-view=live]")
    open_stand.alert((NEAR, Presence.ON), ("NO_SIGNAL", Presence.ON), ("DISK_FULL", Presence.ON))
    visit.page.wait_for_selector("#alerts li:nth-child(3)")
    seen = visit.page.evaluate(FLASHING, 13)
    for name, low, high in (("high", 1.4, 2.8), ("medium", 0.4, 0.8)):
        moments = [moment for moment, lit in seen[name] if lit]
        hz = 1000 * (len(moments) - 1) / (moments[-1] - moments[0])
        assert low <= hz <= high, (name, hz)
    assert all(lit for _, lit in seen.get("low", []))  # lit when it comes, which may be seen, and never out
    assert visit.page.locator("#alerts li.lit[data-priority=low]").count() == 1
    colours = visit.page.evaluate(
        "[...document.querySelectorAll('#alerts li')].map(li => li.style.getPropertyValue('--paper'))"
    )
    assert colours == ["#de1828", "#ffd60a", "#00c8e8"]
    assert FLASHES  # the page has its rates from this table, by /api/about
    open_stand.alert((NEAR, Presence.ACKNOWLEDGED))
    visit.page.wait_for_selector("#alerts li[data-presence=acknowledged]:not(.lit)")
    open_stand.alert()
    visit.page.wait_for_selector("#no-alerts:not([hidden])")


def test_each_control_does_what_it_says(visit: Visit, open_stand: Stand) -> None:
    page, controls = visit.page, open_stand.board.controls
    before = controls().acknowledged_ns
    page.click("#acknowledge")
    until(lambda: controls().acknowledged_ns > before)
    paused = controls().audio is Audio.PAUSED
    page.click("#audio")
    until(lambda: (controls().audio is Audio.PAUSED) is not paused)
    was_on = controls().overlay_on
    page.click("#overlay")
    until(lambda: controls().overlay_on is not was_on)
    page.wait_for_selector(f"#overlay[aria-pressed={'false' if was_on else 'true'}]")
    page.click("#overlay")
    until(lambda: controls().overlay_on is was_on)
    page.fill("#opacity", "0.75")
    until(lambda: controls().opacity == 0.75)
    page.click("#sound")
    page.wait_for_selector("#sound[aria-pressed=true]")
    page.click("#sound")
    page.click("#beside")
    until(lambda: page.evaluate("document.getElementById('raw').width") == 320)
    assert page.is_visible("#raw")
    page.click("#beside")
    assert visit.errors == []


def test_one_press_explains_a_frame_and_an_alert(visit: Visit, open_stand: Stand) -> None:
    page = visit.page
    page.wait_for_selector("body[data-link=open]")
    page.click("#explain")
    page.wait_for_selector("#frame-proof:enabled", timeout=60_000)
    assert "SHOW, NOMINAL" in page.inner_text("#frame-body")
    with page.expect_download() as saved:
        page.click("#frame-proof")
    assert saved.value.suggested_filename.endswith(".tlog-proof")
    page.click("#frame-close")
    open_stand.alert((NEAR, Presence.ON))
    page.click("#alerts li button")
    page.wait_for_selector("#frame-proof:enabled", timeout=60_000)
    assert f"{NEAR} ON" in page.inner_text("#frame-body")
    page.keyboard.press("Escape")
    open_stand.alert()
    page.click("nav button[data-view=trail]")
    page.fill("#search-text", "NEAR")
    page.select_option("#search-kind", "alert")
    page.click("#search button")
    page.wait_for_selector("#lines td button")
    assert NEAR in page.inner_text("#lines")
    page.click("nav button[data-view=live]")
    assert visit.errors == []


def test_another_language_says_everything(visit: Visit) -> None:
    page = visit.page
    page.click("nav button[data-view=live]")
    page.select_option("#language", "de")
    page.wait_for_selector("html[lang=de]")
    page.wait_for_selector("text=Alarme quittieren")
    english = page.evaluate("fetch('strings/en.json').then(answer => answer.json())")
    shown = page.evaluate("[...document.querySelectorAll('[data-text]')].map(one => one.textContent)")
    same = {text for text in shown if text in english.values()} - {
        "Live",
        "Service",
        "Text",
        "SHA-256",
        "Name",
        "Frame",
        "Drift",
        "Update",
    }
    assert same == set()
    page.select_option("#language", "en")
    page.wait_for_selector("text=Acknowledge alerts")


def test_all_can_be_done_without_a_mouse(visit: Visit) -> None:
    page = visit.page
    page.click("nav button[data-view=live]")
    page.evaluate("document.activeElement.blur()")
    name = "b => b.id || b.dataset.view || b.dataset.break"
    wanted = set(page.evaluate(f"[...document.querySelectorAll('#view-live button:enabled, nav button')].map({name})"))
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate(f"({name})(document.activeElement)"))
    assert wanted <= reached
    page.focus("nav button[data-view=models]")
    page.keyboard.press("Enter")
    assert page.is_visible("#view-models")
    page.click("nav button[data-view=live]")


def test_a_picture_that_stops_is_not_shown_as_if_it_were_live(visit: Visit, open_stand: Stand) -> None:
    visit.page.click("nav button[data-view=live]")
    open_stand.hold()
    visit.page.wait_for_selector("#lost:not([hidden])", timeout=60_000)
    open_stand.hold(still=False)
    visit.page.wait_for_selector("#lost", state="hidden", timeout=60_000)
    open_stand.mode, open_stand.verdict = Mode.VIDEO_ONLY, Verdict.WITHHOLD
    visit.page.wait_for_selector("#ai:has-text('AI OFF')")
    assert visit.page.inner_text("#mode") == "VIDEO ONLY"
    open_stand.mode, open_stand.verdict = Mode.NOMINAL, Verdict.SHOW
    visit.page.wait_for_selector("#ai.good")


def test_a_tablet_shows_it_without_scrolling_sideways(browser: Any, open_stand: Stand) -> None:
    visit = Visit(browser, open_stand.origin, TABLET, has_touch=True)
    page = visit.open()
    for view in VIEWS:
        page.click(f"nav button[data-view={view}]")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view
    visit.context.close()


def test_a_page_comes_back_by_itself_when_the_console_was_killed(browser: Any, open_stand: Stand) -> None:
    visit = Visit(browser, open_stand.origin)
    page = visit.open()
    os.kill(open_stand.processes["console.0"].pid, signal.SIGKILL)
    assert open_stand.processes["console.0"].wait(10)
    page.wait_for_selector("body[data-link=lost]")
    before = int(page.get_attribute("body", "data-pictures") or 0)
    open_stand.start("console.0")
    until(lambda: int(page.get_attribute("body", "data-pictures") or 0) > before + 5)
    page.click("#acknowledge")  # with the secret of the new process
    page.wait_for_selector("#said:has-text('acknowledged')")
    visit.context.close()


def test_each_role_sees_the_buttons_that_it_may_press(browser: Any, guarded: Stand) -> None:
    visit = Visit(browser, guarded.origin)
    page = visit.page
    page.goto(guarded.origin)
    page.wait_for_selector("#login[open]")
    assert page.get_attribute("body", "data-pictures") is None
    assert visit.serious() == []
    enter(page, "vera", "not her password")
    page.wait_for_selector("#login-said:has-text('wrong')")
    for name, operator, service in (("vera", False, False), ("otto", True, False), ("sara", True, True)):
        enter(page, name, PASSWORDS[name])
        page.wait_for_selector(f"#who:has-text('{name}')")
        page.wait_for_selector("body[data-link=open]")
        page.click("nav button[data-view=live]")
        assert page.is_enabled("#acknowledge") is operator
        page.click("nav button[data-view=service]")
        assert page.is_enabled("#stop") is page.is_enabled("#next") is operator
        assert page.is_enabled("[data-order=keep]") is service
        page.click("#logout")
        page.wait_for_selector("#login[open]")
    assert visit.strangers() == []
    assert [error for error in visit.errors if "401" not in error and "409" not in error] == []
    visit.context.close()


def enter(page: Any, name: str, password: str) -> None:
    page.fill("#login-name", name)
    page.fill("#login-password", password)
    page.click("#login-form .strong")
