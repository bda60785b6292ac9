"""A real browser without a screen, as the tests and the pictures of the console use it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
)
AXE = Path(__file__).with_name("vendor") / "axe.min.js"
WIDE, TABLET = {"width": 1280, "height": 800}, {"width": 820, "height": 1180}


@contextmanager
def chromium() -> "Iterator[Browser]":
    """A browser, closed in the end."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield browser
        browser.close()


class Visit:
    """One visitor's page, and whatever was wrong with it: errors on its console, requests that left its origin."""

    def __init__(
        self, browser: "Browser", origin: str, viewport: dict[str, int] | None = None, **settings: Any
    ) -> None:
        self.origin = origin
        size: Any = viewport or WIDE
        self.context = browser.new_context(viewport=size, locale="en-GB", **settings)
        self.page: Page = self.context.new_page()
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.page.on(
            "console", lambda said: self.errors.append(said.text) if said.type in ("error", "warning") else None
        )
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("websocket", lambda socket: self.requests.append(socket.url))

    def open(self) -> "Page":
        """The page, with a picture on it."""
        self.page.goto(self.origin)
        self.page.wait_for_selector("body[data-pictures]", timeout=60_000)
        return self.page

    def strangers(self) -> list[str]:
        """Requests to anywhere else."""
        own = (self.origin, self.origin.replace("http", "ws", 1), "blob:", "data:")
        return [url for url in self.requests if not url.startswith(own)]

    def serious(self) -> list[str]:
        """What axe-core finds serious or worse."""
        self.page.evaluate(AXE.read_text("utf-8"))
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
        bad = [one for one in found if one["impact"] in ("serious", "critical")]
        return [f"{one['id']}: {node['html'][:100]}" for one in bad for node in one["nodes"]]
