"""The site of the documentation, as `make docs` builds it, in a real browser.

Each page stands on a phone, asks no other host and runs without a complaint. The search finds a page, also where the site is
opened as files.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.kit.browser import PHONE, Tab, browsing

SITE = Path(__file__).resolve().parents[2] / "build" / "site"
pytestmark = [pytest.mark.browser, pytest.mark.site]


class Quiet(SimpleHTTPRequestHandler):
    """Answers with files, and prints nothing."""

    def log_message(self, *_: object) -> None:
        """Prints nothing."""


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    """Serves the site at HOST:PORT."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(SITE))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as browser:
        yield browser


def pages() -> list[str]:
    return sorted(path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html") if path.name != "404.html")


def test_every_page_stands_on_a_phone_and_asks_no_other_host(host: str, browser: Browser) -> None:
    tab = Tab(browser, host, PHONE)
    wide, headless = [], []
    for page in pages():
        tab.page.goto(f"http://{host}/{page}")
        if tab.excess_px():
            wide.append(page)
        if not tab.page.locator("h1").count():
            headless.append(page)
        broken = tab.page.evaluate(
            "() => [...document.images].filter(each => !each.naturalWidth).map(each => each.src)"
        )
        assert not broken, page
    tab.check()
    assert (wide, headless) == ([], [])
    assert len(pages()) > 50
    tab.close()


@pytest.mark.parametrize("as_files", [False, True])
def test_the_search_finds_a_page(as_files: bool, host: str, browser: Browser) -> None:
    tab = Tab(browser, "" if as_files else host)
    start = (SITE / "index.html").as_uri() if as_files else f"http://{host}/index.html"
    tab.page.goto(start)
    tab.page.keyboard.press("/")
    tab.page.keyboard.type("placeholder")
    tab.page.locator(".md-search-result__link").first.wait_for()
    tab.page.locator(".md-search-result__link").first.click()
    tab.page.wait_for_url(
        lambda url: url.startswith(start.removesuffix("index.html")) and ".html" in url and url != start
    )
    assert tab.page.locator("h1").count() == 1
    tab.check()
    tab.close()
