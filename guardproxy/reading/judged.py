"""What users asked, and whether the answer was good enough for a judge: rows to learn from.

In: the folder of a log. Out: for each answer with a score, what the user said last and whether the score was too low. Texts are
as the records keep them, so with placeholders. The logs are read twice, because a score comes after its exchange.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from guardproxy.audit import Judged, Record, confirmed_entries
from guardproxy.reading.feedback import NO_EXCHANGE, NO_TEXTS


def judged_questions(
    folder: Path, least: int | None, model: str, unread: Counter[str], without: Counter[str]
) -> Iterator[tuple[str, bool]]:
    """Yields what a user said last, and whether the score of the answer is below `least` (`None`: below the second highest of
    its scale). `model`: only answers of this model, if given. Counts lines that cannot be read in `unread`, and scores without
    a row in `without`, both by reason. Raises `OSError`."""
    is_bad: dict[str, bool] = {}
    for logged in confirmed_entries(folder, unread):
        entry = logged.entry
        if isinstance(entry, Judged) and entry.score is not None:
            # Of several judges, the strictest counts.
            good = least if least is not None else max(entry.scale[0] + 1, entry.scale[1] - 1)
            is_bad[entry.id] = is_bad.get(entry.id, False) or entry.score < good
    for logged in confirmed_entries(folder, Counter()):
        record = logged.entry
        if not isinstance(record, Record) or (bad := is_bad.pop(record.id, None)) is None:
            continue
        if model and model not in (record.model, record.attempts[-1].model if record.attempts else ""):
            continue
        if asked := _asked(record):
            yield asked, bad
        else:
            without[NO_TEXTS] += 1
    if is_bad:
        without[NO_EXCHANGE] += len(is_bad)


def _asked(record: Record) -> str:
    """The texts of the user behind the last one of anybody else; empty if the record keeps none."""
    found: list[str] = []
    for text in record.request.texts:
        if text.kind != "user":
            found = []
        elif text.text is None:
            return ""
        else:
            found.append(text.text)
    return "\n".join(found)
