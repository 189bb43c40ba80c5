"""The page Keys and budgets."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

from guardproxy.console.contract import Page, PageRoute, Visit, roles

_ROLES = roles("operator", "auditor")


async def _show(visit: Visit) -> web.StreamResponse:
    return visit.render("keys/page.html")


PAGE = Page(
    name="keys",
    title="Keys and budgets",
    key="k",
    roles=_ROLES,
    routes=(PageRoute("GET", "", _show, _ROLES, writes=False),),
    templates=Path(__file__).parent / "templates",
    summary="Keys of clients, and what is left of their limits.",
)
