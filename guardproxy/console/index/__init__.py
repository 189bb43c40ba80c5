"""The index of columns beside the log: it finds exchanges in milliseconds, and holds no text.

    log --follow--> columns --> tables (DuckDB) --rows, count, groups, series--> pages
                                      |
                                      +--position--> the line in the log, verified

| module | content |
|---|---|
| `columns` | what is kept of a line |
| `parts` | reads parts of logs into columns, on all cores |
| `database` | the file of the index |
| `following` | follows the log |
| `filters` | a filter as a URL, and as conditions of SQL |
| `rows` | what queries return |
| `notes` | notes of reviewers, beside the index |
| `index` | what pages ask |

Decision: docs/decisions/0080-the-console-has-an-index-of-columns.md
"""

from __future__ import annotations

from guardproxy.console.index.database import require_room
from guardproxy.console.index.filters import FEEDBACK, OUTCOMES, Cursor, Filter
from guardproxy.console.index.index import Index, LoggedLine
from guardproxy.console.index.notes import LIMIT_NOTE_CHARS, ReviewNote, ReviewNotes
from guardproxy.console.index.rows import Neighbours, Row, Rows, Series, Totals

__all__ = [
    "FEEDBACK",
    "LIMIT_NOTE_CHARS",
    "OUTCOMES",
    "Cursor",
    "Filter",
    "Index",
    "LoggedLine",
    "Neighbours",
    "ReviewNote",
    "ReviewNotes",
    "Row",
    "Rows",
    "Series",
    "Totals",
    "require_room",
]
