"""Folders with logs, as a proxy writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from guardproxy.audit.record.document import LogEntry
from guardproxy.audit.writing.log_file import FileSink


def write_log(folder: Path, name: str, *records: LogEntry | dict[str, Any]) -> tuple[int, str]:
    """Writes a log, or goes on with it. Returns its head."""
    sink = FileSink(folder, name, {"log": f"log-of-{name}"})
    for record in records:
        sink.append(record).result(30)
    sink.close()
    return sink.head
