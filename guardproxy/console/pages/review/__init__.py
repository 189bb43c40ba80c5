"""The page Review: decisions that wait for a person's judgement, and what becomes of it.

| file | content |
|---|---|
| `queues` | what is in a queue, as a URL (pure) |
| `claims` | who holds which item (pure, but for its state) |
| `ledger` | the verdicts in the log, followed |
| `desk` | hands out items, and writes verdicts to the log |
| `items` | one item with its texts (pure) |
| `tallies` | how often rules were right, and how far people agree (pure) |
| `shadow` | what enforcing a rule would have done (pure) |
| `allowing` | which line of a policy allows a value (pure) |
| `edits` | a file of the policies with one change |
| `handlers` | the routes |

Decision: docs/decisions/0083-a-verdict-is-in-the-log-and-its-note-is-not.md
"""

from __future__ import annotations

from pathlib import Path

from guardproxy.console.contract import Page, PageRoute, roles
from guardproxy.console.pages.review import handlers

_ROLES = roles("reviewer", "operator", "auditor")

PAGE = Page(
    name="review",
    title="Review",
    key="r",
    roles=_ROLES,
    routes=(
        PageRoute("GET", "", handlers.show_desk, _ROLES, writes=False),
        PageRoute("GET", "/next", handlers.show_next, _ROLES, writes=False),
        PageRoute("GET", "/item/{id}", handlers.show_item, _ROLES, writes=False),
        PageRoute("POST", "/item/{id}", handlers.judge, _ROLES, writes=True),
        PageRoute("POST", "/item/{id}/skip", handlers.skip, _ROLES, writes=False),
        PageRoute("POST", "/undo", handlers.undo, _ROLES, writes=True),
        PageRoute("GET", "/item/{id}/test", handlers.show_test, _ROLES, writes=False),
        PageRoute("GET", "/item/{id}/allow", handlers.show_allow, _ROLES, writes=False),
        PageRoute("POST", "/item/{id}/allow", handlers.show_allow, _ROLES, writes=False),
        PageRoute("GET", "/shadow/{rule}", handlers.show_shadow, _ROLES, writes=False),
        PageRoute("POST", "/export", handlers.export, _ROLES, writes=False),
    ),
    templates=Path(__file__).parent / "templates",
    summary="Decisions that wait for a person's judgement.",
)
