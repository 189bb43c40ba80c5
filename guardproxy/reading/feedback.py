"""Exchanges with the feedback about them, as rows for fine-tuning.

In: the folder and a period. Out: a JSON line for each feedback: the messages of its exchange with the answer, as the records
keep them, so with placeholders. Kept: the feedback of the period, and of an exchange its row only. The logs are read twice,
because feedback comes after its exchange and may be in another log.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from guardproxy.audit import Record
from guardproxy.audit.shipping import confirmed_entries
from guardproxy.exchange import llm_judge
from guardproxy.reading.period import Period

NO_TEXTS = "the texts of the exchange are sealed or not kept"
NO_EXCHANGE = "the exchange is not in the folder"


def feedback_rows(folder: Path, period: Period, unread: Counter[str], without: Counter[str]) -> Iterator[str]:
    """Yields the lines, in the order of the exchanges. `period`: of the feedback. Counts lines that cannot be read in `unread`,
    and feedback that has no row in `without`, both by reason. Raises `OSError`."""
    given: defaultdict[str, list[Record]] = defaultdict(list)
    for logged in confirmed_entries(folder, unread):
        record = logged.entry
        if isinstance(record, Record) and record.feedback and record.is_given_feedback and record.at in period:
            given[record.feedback.exchange].append(record)
    for logged in confirmed_entries(folder, Counter()):
        record = logged.entry
        if not isinstance(record, Record) or record.feedback or record.id not in given:
            continue
        about = [feedback for feedback in given.pop(record.id) if feedback.tenant == record.tenant]
        messages = _messages(record)
        if not messages:
            without[NO_TEXTS] += len(about)
            continue
        for feedback in about:
            yield json.dumps(_row(record, messages, feedback), separators=(",", ":")) + "\n"
    if given:
        without[NO_EXCHANGE] += sum(map(len, given.values()))


def _row(record: Record, messages: list[dict[str, str]], given: Record) -> dict[str, Any]:
    feedback = given.feedback
    assert feedback is not None  # noqa: S101 - the caller has selected it
    comments = {text.path: text.text for text in given.request.texts if text.kind == "user" and text.text}
    about = {"thumbs": feedback.thumbs, "score": feedback.score, "comment": comments.get("comment")}
    row: dict[str, Any] = {"id": record.id, "model": record.model, "messages": messages}
    row |= {name: value for name, value in about.items() if value is not None}
    if feedback.spans:
        row["spans"] = [
            {"start": span.start, "end": span.end}
            | ({"thumbs": span.thumbs} if span.thumbs else {})
            | ({"comment": comment} if (comment := comments.get(f"spans[{number}].comment")) else {})
            for number, span in enumerate(feedback.spans)
        ]
    return row


def _messages(record: Record) -> list[dict[str, str]]:
    """Returns the messages of the request and the answer; empty if a text is not kept."""
    if (texts := llm_judge.texts_of(record)) is None:
        return []
    asked, answer = texts
    return [{"role": role, "content": text} for role, text in (*asked, ("assistant", answer))]
