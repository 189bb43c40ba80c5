"""The page Audit: proof that the log is whole, reports, replay, exports, and erasure.

| module | content |
|---|---|
| `commands` | the commands that a person can start, and their arguments |
| `runs` | commands under way, each in a process of its own, with progress and cancelling |
| `results` | what a command found, for people |
| `erasing` | destroys the keys of a subject, after a second confirmation |
| `handlers` | the routes |

Long work runs in processes of `guardproxy audit` and `guardproxy replay`, so a page shows what the command line shows.
"""

from __future__ import annotations

from pathlib import Path

from guardproxy.console.contract import Page, PageRoute, roles
from guardproxy.console.pages.audit.handlers import (
    ask_erasure,
    cancel,
    download,
    erase,
    prove,
    show,
    show_run,
    start,
)

_READERS = roles("operator", "auditor")
_AUDITOR = roles("auditor")

PAGE = Page(
    name="audit",
    title="Audit",
    key="a",
    roles=_READERS,
    routes=(
        PageRoute("GET", "", show, _READERS, writes=False),
        # They write results beside the index, and nothing into the log.
        PageRoute("POST", "/runs", start, _READERS, writes=False),
        PageRoute("GET", "/runs/{id}", show_run, _READERS, writes=False),
        PageRoute("POST", "/runs/{id}/cancel", cancel, _READERS, writes=False),
        PageRoute("GET", "/runs/{id}/file", download, _READERS, writes=False),
        PageRoute("GET", "/proof", prove, _READERS, writes=False),
        PageRoute("POST", "/erase", ask_erasure, _AUDITOR, writes=True),
        PageRoute("POST", "/erase/confirm", erase, _AUDITOR, writes=True),
    ),
    templates=Path(__file__).parent / "templates",
    summary="Proof that the log is whole, reports, replay, exports, and erasure.",
)
