"""The page Audit."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

from guardproxy.console.contract import Page, PageRoute, Visit, roles

_ROLES = roles("operator", "auditor")


async def _show(visit: Visit) -> web.StreamResponse:
    return visit.render("audit/page.html")


PAGE = Page(
    name="audit",
    title="Audit",
    key="a",
    roles=_ROLES,
    routes=(PageRoute("GET", "", _show, _ROLES, writes=False),),
    templates=Path(__file__).parent / "templates",
    summary="Proof that the log is whole, reports, and erasure.",
)
