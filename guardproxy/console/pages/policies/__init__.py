"""The page Policies: files with remarks and coverage, the playground, edits, and changes that a second person approves.

| module | content |
|---|---|
| `reading` | the handlers of files, coverage and tests |
| `playground` | the handlers of the playground |
| `editing` | the handlers of drafts and of their comparison with traffic |
| `approving` | the handlers of proposals: approve, refuse, save and reload |
| `desk` | what the page keeps in memory |
| `files` | the folder of policies: reads and saves |
| `drafts` | drafts and proposals (pure) |
| `views` | what templates show (pure) |
| `tasks` | what the workbench is asked, and what it answers |
| `workshop` | starts, asks and ends workbenches |
| `workbench`, `work` | the process that evaluates policies, and what it does |
| `replies` | what the process answers (pure) |

Other pages hand over a change by a form: `POST /console/policies/drafts` with `file` (its name), `content` (the whole new
text), `base` (the digest of the file that was read, `sha256:...`; left out: the present file). The answer leads to the editor.
`GET /console/policies/edit?file=NAME` opens the editor, and `GET /console/policies/playground?id=ID` plays an exchange.

Decision: docs/decisions/0084-two-people-change-policies-in-the-console.md
"""

from __future__ import annotations

from pathlib import Path

from guardproxy.console.contract import EVERYBODY, Page
from guardproxy.console.pages.policies import approving, editing, playground, reading

PAGE = Page(
    name="policies",
    title="Policies",
    key="p",
    roles=EVERYBODY,
    routes=(*reading.ROUTES, *playground.ROUTES, *editing.ROUTES, *approving.ROUTES),
    templates=Path(__file__).parent / "templates",
    summary="The rules in force, what a change would do, and who approved it.",
)
