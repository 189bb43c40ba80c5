"""The page Review."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

from guardproxy.console.contract import Page, PageRoute, Visit, roles

_ROLES = roles("reviewer", "operator", "auditor")


async def _show(visit: Visit) -> web.StreamResponse:
    return visit.render("review/page.html")


PAGE = Page(
    name="review",
    title="Review",
    key="r",
    roles=_ROLES,
    routes=(PageRoute("GET", "", _show, _ROLES, writes=False),),
    templates=Path(__file__).parent / "templates",
    summary="Decisions that wait for a person's judgement.",
)
