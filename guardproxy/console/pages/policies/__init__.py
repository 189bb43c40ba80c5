"""The page Policies."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

from guardproxy.console.contract import EVERYBODY, Page, PageRoute, Visit

_ROLES = EVERYBODY


async def _show(visit: Visit) -> web.StreamResponse:
    return visit.render("policies/page.html")


PAGE = Page(
    name="policies",
    title="Policies",
    key="p",
    roles=_ROLES,
    routes=(PageRoute("GET", "", _show, _ROLES, writes=False),),
    templates=Path(__file__).parent / "templates",
    summary="The rules in force, what a change would do, and who approved it.",
)
