"""The pictures of the console in the documentation: made of a log of a week, small, and in the pages that show them.

`make console-pictures` writes them into docs/console: those of which more than numbers and times changed.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from guardproxy.console.contract import PREFIX
from guardproxy.console.pages import PAGES
from tests.browser.guarded import JUDGED, OTHERS, Guarded, guarded, traffic
from tests.e2e.rig import ROOT, Upstream
from tests.kit.browser import WIDE, Tab
from tests.kit.console_log import write_console_log
from tests.kit.pictures import LIMIT_BYTES, colours, keep, shrunk

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FOLDER = ROOT / "docs" / "console"
WEEK_S = 7 * 86_400.0
ROWS = 1500
LEAST_HEIGHT = 460  # of a page with little on it, so that the navigation beside it is whole


@pytest.fixture(scope="module")
def place(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("pictures")
    kept = ("redacted", "redacted", "none", "full")
    write_console_log(
        folder / "proxy" / "audit", ROWS, start_s=time.time() - WEEK_S, span_s=WEEK_S, keep=kept, workers=1
    )
    with guarded(upstream, folder, policies={**OTHERS, "judged": JUDGED}) as running:
        traffic(running, with_strangers=False)
        yield running


@pytest.fixture(scope="module")
def tab(browser: Browser, place: Guarded) -> Iterator[Tab]:
    opened = Tab(browser, place.host)
    opened.page.goto(f"http://{place.host}{PREFIX}/")
    opened.page.get_by_label("Name").fill("auditor")
    opened.page.get_by_label("Token").fill(place.tokens["auditor"])
    opened.page.get_by_role("button", name="Sign in").click()
    opened.page.get_by_role("heading", level=1, name="Now").wait_for()
    yield opened
    opened.close()


@pytest.mark.browser
@pytest.mark.parametrize("name", [*(page.name for page in PAGES), "exchange", "playground"])
def test_a_page_has_a_small_picture(name: str, place: Guarded, tab: Tab, tmp_path: Path) -> None:
    png = taken(name, place, tab)
    assert len(shrunk(png)) < LIMIT_BYTES
    assert colours(png) > 50, "the page shows something"
    keep((FOLDER if os.environ.get("GUARDPROXY_PICTURES") else tmp_path) / f"{name}.png", png)


def taken(name: str, place: Guarded, tab: Tab) -> bytes:
    """The picture of a page of the console, or of a part of one, as a PNG."""
    page = tab.page
    if name == "exchange":
        shown = (record for record in reversed(place.proxy.records()) if record["rules"] == ["no-identifiers-out"])
        record = next(record for record in shown if record["stream"] and record["route"].endswith("completions"))
        page.goto(f"http://{place.host}{PREFIX}/exchanges/{record['id']}")
    elif name == "playground":
        page.goto(f"http://{place.host}{PREFIX}/policies/playground?example=1")
        page.get_by_text("The route, the client").click()
        page.get_by_label("Tenant").fill("acme")
        page.locator("#played").get_by_text("no-attacks").first.wait_for()
        page.get_by_text("The route, the client").click()
    else:
        page.goto(f"http://{place.host}{PREFIX}/{name}{'?window=1d' if name == 'now' else ''}")
    page.get_by_role("heading", level=1).wait_for()
    page.wait_for_function("() => !document.querySelector('.htmx-request')")
    page.get_by_text("are being read").wait_for(state="hidden")
    page.get_by_text("being verified").wait_for(state="hidden")
    assert not page.get_by_text("cannot be evaluated").count()
    width, height = WIDE
    page.set_viewport_size({"width": width, "height": 1250 if name == "exchange" else height})
    bottoms = "[...document.querySelector('main').children].map(each => each.getBoundingClientRect().bottom)"
    shown_px: float = page.evaluate(f"() => Math.max(...{bottoms})")
    if shown_px < height:
        page.set_viewport_size({"width": width, "height": max(LEAST_HEIGHT, math.ceil(shown_px) + 32)})
    return page.screenshot(animations="disabled", caret="hide")


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.png")), ids=lambda path: path.stem)
def test_a_picture_of_the_documentation_is_small_and_shown(path: Path) -> None:
    assert path.stat().st_size < LIMIT_BYTES
    pages = [page.read_text("utf-8") for page in (*(ROOT / "docs").rglob("*.md"), ROOT / "README.md")]
    assert any(path.name in text for text in pages)
