"""A sink that adds one line per exchange to a table: id, outcome and rules."""

import os
from pathlib import Path

from guardproxy.audit import Record, read_entry


class SummarySink:
    def __init__(self, log: str) -> None:
        folder = Path(os.environ.get("ACME_SUMMARY_FOLDER", "."))
        self._table = (folder / f"{log}.tsv").open("a", encoding="utf-8")

    def take(self, line: bytes) -> None:
        entry = read_entry(line)
        if isinstance(entry, Record):
            self._table.write("\t".join([entry.id, entry.outcome, ",".join(entry.rules)]) + "\n")
            self._table.flush()

    def close(self) -> None:
        self._table.close()
