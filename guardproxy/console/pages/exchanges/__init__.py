"""The page Exchanges: every request with its answer, what was found in it, which rule decided, and what was sent.

| module | content |
|---|---|
| `seen` | what a person sees of a record: the one door of its texts |
| `texts` | texts in pieces, as they came and as they were sent on |
| `scales` | checks, findings and scores with their thresholds |
| `reasons` | which rule decided, and why the others did not |
| `about` | the rest of a record in words |
| `stream` | the time line, and what a stream held back |
| `comparing` | two exchanges side by side |
| `listing` | rows and groups of the list |
| `replacing` | what stands for a replaced span |
| `unsealing` | opens sealed texts, and records who sees them |
| `handlers` | the routes |
"""

from __future__ import annotations

from pathlib import Path

from guardproxy.console.contract import EVERYBODY, Page, PageRoute, Role
from guardproxy.console.pages.exchanges import handlers

_AUDITOR: frozenset[Role] = frozenset(("auditor",))
_NO_VIEWER: frozenset[Role] = EVERYBODY - {"viewer"}

PAGE = Page(
    name="exchanges",
    title="Exchanges",
    key="e",
    roles=EVERYBODY,
    routes=(
        PageRoute("GET", "", handlers.show_list, EVERYBODY, writes=False),
        PageRoute("GET", "/groups", handlers.show_groups, EVERYBODY, writes=False),
        PageRoute("GET", "/compare", handlers.show_comparison, EVERYBODY, writes=False),
        PageRoute("GET", "/{id}", handlers.show_exchange, EVERYBODY, writes=False),
        PageRoute("GET", "/{id}/text", handlers.show_text, EVERYBODY, writes=False),
        PageRoute("GET", "/{id}/findings", handlers.show_findings, EVERYBODY, writes=False),
        PageRoute("GET", "/{id}/replay", handlers.show_replay, EVERYBODY, writes=False),
        PageRoute("GET", "/{id}/record.json", handlers.download_record, EVERYBODY, writes=False),
        PageRoute("GET", "/{id}/proof", handlers.show_proof, EVERYBODY, writes=False),
        # A proof holds the whole line of the log.
        PageRoute("GET", "/{id}/proof.json", handlers.download_proof, _NO_VIEWER, writes=False),
        PageRoute("POST", "/{id}/unlock", handlers.unlock, _AUDITOR, writes=False),
        # It reads, and the log says so. A console that only reads can be read by an auditor, too.
        PageRoute("POST", "/{id}/unsealed", handlers.show_unsealed, _AUDITOR, writes=False),
    ),
    templates=Path(__file__).parent / "templates",
    summary="Every request and its answer: what was found, decided and sent.",
)
