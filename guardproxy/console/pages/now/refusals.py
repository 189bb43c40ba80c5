"""Refusals in words: why a request or an answer did not pass. Pure.

In: rows of the index, what the policies in force say of their rules, and messages of errors from the log. Out: lines for the
list, newest first. No text of an exchange is in them: the messages of errors name fields, limits and rules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from guardproxy.console.index import Row
from guardproxy.console.proxy_status import ProcessStatus
from guardproxy.errors import ErrorCode

LIMIT_READ = 60
LIMIT_WORDS = 300
BLOCKS = {"blocked_request": "request", "blocked_response": "answer"}


@dataclass(frozen=True, slots=True)
class RefusalLine:
    """A line of the list. `word`: how it ended; `title`, `detail`: why. `count`: how many in a row ended so; the newest of them
    is shown."""

    at: float
    id: str
    kind: Literal["bad", "warn"]
    word: str
    title: str
    detail: str
    who: str
    model: str
    count: int = 1


def grouped(refusals: Iterable[RefusalLine]) -> list[RefusalLine]:
    """Returns one line for those in a row that ended in the same way for the same client, with their number."""
    lines: list[RefusalLine] = []
    for refusal in refusals:
        last = lines[-1] if lines else None
        if last and (last.word, last.title, last.who) == (refusal.word, refusal.title, refusal.who):
            lines[-1] = replace(last, count=last.count + 1)
        else:
            lines.append(refusal)
    return lines


def newest(lists: Iterable[Sequence[Row]]) -> list[Row]:
    """Returns the newest rows of several lists, without doubles."""
    rows = {row.id: row for rows in lists for row in rows}
    return sorted(rows.values(), key=lambda row: (-row.at, row.id))[:LIMIT_READ]


def refusal_of(row: Row, status: ProcessStatus, message: Callable[[str], str]) -> RefusalLine:
    """Returns the words for a row. `message`: returns the message of the error of an exchange; empty if the log has none."""
    if row.outcome in BLOCKS:
        title, detail = _blocked(row, status)
        return RefusalLine(row.at, row.id, "bad", "blocked", title, detail, _who(row), _cut(row.model))
    title, detail = _failed(row, message(row.id))
    return RefusalLine(row.at, row.id, "warn", str(row.status or "refused"), title, detail, _who(row), _cut(row.model))


def _blocked(row: Row, status: ProcessStatus) -> tuple[str, str]:
    what = BLOCKS[row.outcome]
    names = ", ".join(f"`{_cut(name, 80)}`" for name in row.rules[:3]) or "A rule"
    rules = "the rule" if len(row.rules) < 2 else "the rules"
    title = f"{rules} {names} blocked the {what}" if row.rules else f"a rule blocked the {what}"
    if row.top_check:
        score = f", score {row.top_score:.2f}" if row.top_score is not None else ""
        title += f": {_cut(row.top_label, 60)} ({_cut(row.top_check, 60)}{score})"
    described = [found for name in row.rules if (found := status.rule(name)) is not None]
    details = []
    for guard, rule in described[:2]:
        severity = f", severity {rule.severity}" if rule.severity else ""
        details.append(f"{guard.policy}: {guard.description or rule.action}{severity}")
    return _sentence(title), _cut("; ".join(details))


def _failed(row: Row, message: str) -> tuple[str, str]:
    name = row.error or row.outcome
    try:
        code = ErrorCode(name)
    except ValueError:
        return _sentence(_cut(message or name.replace("_", " "))), ""
    title = message if message and message != code.sentence else code.sentence
    detail = code.meaning if title == code.sentence or not code.meaning else f"{code.sentence}. {code.meaning}"
    return _sentence(_cut(title)), _cut(detail)


def _who(row: Row) -> str:
    return _cut(row.client or row.who, 80)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _cut(text: str, limit: int = LIMIT_WORDS) -> str:
    return text if len(text) <= limit else f"{text[:limit]}..."
