"""What `guardproxy scan` says besides its lines: a summary, and a table in CSV.

In: lines of results. Out: a summary for people, rows of CSV. Kept: counts.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any, TextIO

from guardproxy.cli.printing import aligned

COLUMNS = ("id", "decision", "rules", "check", "label", "start", "end", "score")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class ScanSummary:
    """Counts results. `table`: where a row of CSV for each finding goes, and one for each text without a finding."""

    def __init__(self, table: TextIO | None = None) -> None:
        self._writer = csv.writer(table, lineterminator="\n") if table else None
        if self._writer:
            self._writer.writerow(COLUMNS)
        self._texts = 0
        self._decisions: Counter[str] = Counter()
        self._rules: Counter[str] = Counter()
        self._findings: Counter[tuple[str, str]] = Counter()
        self._found_in: Counter[tuple[str, str]] = Counter()

    def add(self, out: str) -> None:
        """Counts lines of results."""
        for line in filter(None, out.split("\n")):  # a text may hold other ends of lines, such as U+2028
            result = json.loads(line)
            labels = [(finding["check"], finding["label"]) for finding in result["findings"]]
            self._texts += 1
            self._decisions[result["decision"]] += 1
            self._rules.update(result["rules"])
            self._findings.update(labels)
            self._found_in.update(set(labels))
            if self._writer:
                self._writer.writerows(_rows(result))

    def lines(self) -> Iterator[str]:
        """Yields the summary."""
        decisions = ", ".join(f"{count} {decision}" for decision, count in self._decisions.most_common())
        yield f"{self._texts} {'text' if self._texts == 1 else 'texts'}: {decisions or 'nothing scanned'}"
        if self._findings:
            rows = [("check", "label", "findings", "texts")]
            for key, count in self._findings.most_common():
                rows.append((key[0], key[1], str(count), str(self._found_in[key])))
            yield from aligned(rows)
        if self._rules:
            yield f"rules that held: {', '.join(f'{rule} ({count})' for rule, count in self._rules.most_common())}"


def _rows(result: dict[str, Any]) -> Iterator[list[str]]:
    """Yields the rows of a text. A cell that a spreadsheet would take for a formula begins with `'`."""
    about = [result["id"], result["decision"], " ".join(result["rules"])]
    for finding in result["findings"] or [{}]:
        yield [_cell(value) for value in (*about, *(finding.get(column, "") for column in COLUMNS[3:]))]


def _cell(value: Any) -> str:
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(_FORMULA) else text
