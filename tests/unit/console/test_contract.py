"""Addresses that pages make of texts from a log, and streams to pages that are closed."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import web

from guardproxy.console.contract import EVERYBODY, Page, PageRoute, Visit
from tests.kit.console import console_site
from tests.kit.hostile import TEXTS


async def _nothing(visit: Visit) -> web.StreamResponse:
    raise AssertionError


PAGE = Page(
    "made-up", "Made up", "x", EVERYBODY, (PageRoute("GET", "/{id}", _nothing, EVERYBODY, writes=False),), Path()
)


async def test_an_address_holds_only_what_an_address_can_hold() -> None:
    async with console_site() as site:
        visit = Visit(None, None, site.console, "", None, PAGE)  # type: ignore[arg-type]
        for text in (*TEXTS.values(), "a b", "\ud800", "ä"):
            address = visit.url("made-up", f"/{text}", q=text)
            assert address.startswith("/console/made-up/")
            assert address.isascii()
            assert address.isprintable()
            assert not set(address) & set("\"'<>`{}\\ ^|"), address
            assert address.count("?") == 1, address
        assert visit.url("made-up", "/a.b~c_d-1", q="") == "/console/made-up/a.b~c_d-1"


class _Closed:
    async def prepare(self, request: object) -> None:
        pass


async def test_a_page_that_is_closed_ends_its_stream_without_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "StreamResponse", lambda **_: _Closed())
    async with console_site() as site:
        visit = Visit(None, None, site.console, "", None, PAGE)  # type: ignore[arg-type]
        async with visit.events():
            raise ConnectionResetError
        with pytest.raises(ValueError, match="other"):
            async with visit.events():
                raise ValueError("other")
