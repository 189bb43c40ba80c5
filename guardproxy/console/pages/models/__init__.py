"""The page Models."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

from guardproxy.console.contract import EVERYBODY, Page, PageRoute, Visit

_ROLES = EVERYBODY


async def _show(visit: Visit) -> web.StreamResponse:
    return visit.render("models/page.html")


PAGE = Page(
    name="models",
    title="Models",
    key="m",
    roles=_ROLES,
    routes=(PageRoute("GET", "", _show, _ROLES, writes=False),),
    templates=Path(__file__).parent / "templates",
    summary="What the models that judge texts are worth on your own rows.",
)
