"""A real browser that reaches this machine alone: what pages log, ask for and look like, and what axe-core finds on them.

In: an address. Out: a `Tab`, which notes every complaint of the browser (a script that failed, a request that the policy of the
page refused, a dialog) and every request. `Tab.check` raises for any complaint and for any request to another host.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

if TYPE_CHECKING:  # loading it takes a while, and every run of tests asks for `BROWSER`
    from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, Request

BROWSER = shutil.which("chromium") or shutil.which("google-chrome") or ""
WIDE, PHONE = (1280, 800), (390, 844)
TIMEOUT_MS = 60_000.0
Scheme = Literal["light", "dark"]
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--force-device-scale-factor=1",
    "--font-render-hinting=none",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
_SERIOUS = ("serious", "critical")
_AXE = """async (rules) => {
  const only = rules.length ? {runOnly: {type: "rule", values: rules}} : {};
  const found = await axe.run(document, {resultTypes: ["violations"], ...only});
  return found.violations.map(each => ({id: each.id, impact: each.impact, nodes: each.nodes.map(node => node.html)}));
}"""


@contextmanager
def browsing() -> Iterator[Browser]:
    """Starts a browser and ends it. No loop runs in the thread afterwards."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=list(_FLAGS))
        yield browser
        browser.close()


@cache
def _axe() -> str:
    return (files("axe_playwright_python") / "axe.min.js").read_text("utf-8")


class Tab:
    """A window of a person, with cookies of its own. `complaints`: of the browser. `requests`: the addresses, in order."""

    def __init__(self, browser: Browser, host: str, size: tuple[int, int] = WIDE, scheme: Scheme = "light") -> None:
        """Opens an empty page. `host`: HOST:PORT, which alone may be asked."""
        width, height = size
        self.context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            reduced_motion="reduce",
            locale="en-GB",
            timezone_id="UTC",
            service_workers="block",
        )
        self.context.set_default_timeout(TIMEOUT_MS)
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.host = host
        self.context.on("request", self._asked)
        self.context.on("console", self._said)
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.page.on("dialog", self._asks)

    def _asked(self, request: Request) -> None:
        self.requests.append(request.url)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text} ({self.page.url})")

    def _asks(self, dialog: Dialog) -> None:
        self.complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def check(self) -> None:
        """Raises if the browser complained, or if something was asked of another host."""
        away = [url for url in self.requests if urlsplit(url).netloc != self.host]
        assert not away, f"asked other hosts: {away}"
        assert not self.complaints, "\n".join(self.complaints)

    def serious(self, *rules: str) -> list[str]:
        """What axe-core finds on the page and calls serious or critical, each with the first places. `rules`: only these."""
        if not self.page.evaluate("() => typeof axe === 'object'"):
            self.page.evaluate(_axe())
        found: list[dict[str, Any]] = self.page.evaluate(_AXE, list(rules))
        return [f"{each['id']}: {each['nodes'][:3]}" for each in found if each["impact"] in _SERIOUS]

    def excess_px(self) -> int:
        """How much wider the page is than the window, in pixels: 0 if only parts of it scroll sideways."""
        wide: int = self.page.evaluate("() => document.documentElement.scrollWidth - window.innerWidth")
        return max(0, wide)

    def close(self) -> None:
        """Closes the window and forgets its cookies."""
        self.context.close()
