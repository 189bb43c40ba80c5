"""Exports the entries of a folder as lines for other systems.

In: the folder, a period and a form. Out: lines, one JSON object each. Kept: nothing; entries are read one after the
other. Parquet files are written by the database (`sql.py`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from guardproxy.audit.shipping import LoggedEntry, confirmed_entries
from guardproxy.reading.ocsf import ocsf_events
from guardproxy.reading.otel import otel_request
from guardproxy.reading.period import Period

Form = Literal["jsonl", "ocsf", "otel"]
EXPORT_FORMS: Mapping[str, str] = {
    "jsonl": "JSON lines, with texts as kept",
    "ocsf": "OCSF for a SIEM, no texts",
    "otel": "OpenTelemetry logs, no texts",
    "parquet": "Parquet tables, with texts",
}
"""Every form of an export, and what it holds. The database writes the last one."""


def exported_lines(folder: Path, form: Form, period: Period, unread: Counter[str]) -> Iterator[str]:
    """Yields the lines with newlines, in the order of the logs. Counts lines that cannot be read in `unread`, by
    reason. Raises `OSError`."""
    release = version("guardproxy")
    for logged in confirmed_entries(folder, unread):
        if logged.entry.at in period:
            for document in _documents(logged, form, release):
                yield json.dumps(document, separators=(",", ":")) + "\n"


def _documents(logged: LoggedEntry, form: Form, release: str) -> Iterator[dict[str, Any]]:
    if form == "jsonl":
        yield {"log": logged.file, "seq": logged.seq, "hash": logged.hash, **logged.entry.document()}
    elif form == "ocsf":
        yield from ocsf_events(logged, release)
    else:
        yield otel_request(logged, release)
