"""The page Now."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

from guardproxy.console.contract import EVERYBODY, Page, PageRoute, Visit

_ROLES = EVERYBODY


async def _show(visit: Visit) -> web.StreamResponse:
    return visit.render("now/page.html")


PAGE = Page(
    name="now",
    title="Now",
    key="n",
    roles=_ROLES,
    routes=(PageRoute("GET", "", _show, _ROLES, writes=False),),
    templates=Path(__file__).parent / "templates",
    summary="What the proxy does at this moment, and what is wrong with it.",
)
