"""The page Exchanges."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

from guardproxy.console.contract import EVERYBODY, Page, PageRoute, Visit

_ROLES = EVERYBODY


async def _show(visit: Visit) -> web.StreamResponse:
    return visit.render("exchanges/page.html")


PAGE = Page(
    name="exchanges",
    title="Exchanges",
    key="e",
    roles=_ROLES,
    routes=(PageRoute("GET", "", _show, _ROLES, writes=False),),
    templates=Path(__file__).parent / "templates",
    summary="Every request and its answer: what was found, decided and sent.",
)
