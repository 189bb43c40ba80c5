"""What reviewers said, as labelled texts that `model calibrate`, `model evaluate` and `model distil` read; and what users
asked, with whether the answer was good enough for a judge, which `model route` reads.

In: the folder of a log. Out: a JSON line for each text with a label: 1 for a text in which a rule should hold, 0 for one in
which it should not. Texts are as the records keep them, so with placeholders. The logs are read twice, because a verdict comes
after its exchange.

| verdict | texts | label |
|---|---|---|
| `right`, of a rule | those in which the rule held | 1 |
| `false_alarm` | those in which the rule held | 0 |
| `missed` | the text that the reviewer named | 1 |
| `right`, of an exchange without a rule | what the user said last | 0 |

The newest verdict of a person counts. Where people disagree about a text there is no row, since nothing says who is right.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from guardproxy.audit import AnyEntry, Judged, Record, Reviewed
from guardproxy.audit.record import RecordedText
from guardproxy.audit.shipping import confirmed_entries
from guardproxy.reading.feedback import NO_EXCHANGE, NO_TEXTS
from guardproxy.reading.period import Period

AT_ODDS = "reviewers disagree"
NO_PLACE = "the reviewer named no text"
Subject = tuple[str, str, str]
"""What a verdict is about: the exchange, the policy and the rule; the last two are empty for the exchange as a whole."""
Opener = Callable[[Record], Record | None]
"""Returns a record with its texts; `None` if they cannot be opened."""


class GivenVerdict(NamedTuple):
    """The verdict of a person. `text`: the number of the text that it is about."""

    verdict: str
    at: float
    text: int | None


@dataclass(frozen=True, slots=True)
class ReviewedTexts:
    """Which verdicts give rows. `rule`, `kind`: empty for all; `check`: only texts in which this check found something, empty
    for all; `period`: of the verdicts."""

    rule: str = ""
    check: str = ""
    kind: str = ""
    period: Period = field(default_factory=Period)


def verdicts_of(entries: Iterable[AnyEntry], period: Period) -> dict[Subject, dict[str, GivenVerdict]]:
    """Returns the newest verdict of each person in a period, by what it is about and by the name of the person. A verdict that
    was taken back is none."""
    found: dict[Subject, dict[str, GivenVerdict]] = {}
    for entry in entries:
        if isinstance(entry, Reviewed) and entry.at in period:
            add_verdict(found, entry)
    return {
        subject: kept
        for subject, given in found.items()
        if (kept := {by: said for by, said in given.items() if said.verdict != "withdrawn"})
    }


def add_verdict(found: dict[Subject, dict[str, GivenVerdict]], entry: Reviewed) -> None:
    """Takes a verdict: it replaces the earlier one of the same person about the same rule and exchange."""
    given = found.setdefault((entry.id, entry.policy or "", entry.rule or ""), {})
    before = given.get(entry.by)
    if before is None or before.at <= entry.at:
        given[entry.by] = GivenVerdict(entry.verdict, entry.at, entry.text)


def reviewed_rows(
    folder: Path,
    chosen: ReviewedTexts,
    unread: Counter[str],
    without: Counter[str],
    opener: Opener = lambda record: None,
) -> Iterator[str]:
    """Yields the lines, in the order of the exchanges. Counts lines that cannot be read in `unread`, and verdicts that have no
    row in `without`, both by reason. `opener`: opens sealed texts. Raises `OSError`."""
    given: dict[str, dict[Subject, dict[str, GivenVerdict]]] = {}
    entries = (logged.entry for logged in confirmed_entries(folder, unread))
    for subject, said in verdicts_of(entries, chosen.period).items():
        if chosen.rule in ("", subject[2]):
            given.setdefault(subject[0], {})[subject] = said
    for logged in confirmed_entries(folder, Counter()):
        record = logged.entry
        if isinstance(record, Record) and record.feedback is None and record.id in given:
            yield from _rows_of(record, given.pop(record.id), chosen, without, opener)
    if given:
        without[NO_EXCHANGE] += sum(map(len, given.values()))


def _rows_of(
    record: Record,
    subjects: dict[Subject, dict[str, GivenVerdict]],
    chosen: ReviewedTexts,
    without: Counter[str],
    opener: Opener,
) -> Iterator[str]:
    if record.sealed is not None:
        opened = opener(record)
        if opened is None:
            without[NO_TEXTS] += len(subjects)
            return
        record = opened
    for (_, policy, rule), said in subjects.items():
        if len({verdict.verdict for verdict in said.values()}) > 1:
            without[AT_ODDS] += 1
            continue
        newest = max(said.values(), key=lambda verdict: verdict.at)
        numbers = _numbers(record, policy, rule, newest)
        if not numbers:
            without[NO_PLACE] += 1
        texts = record.placed_texts
        for number in numbers:
            text = texts[number].text
            if text.text is None:
                without[NO_TEXTS] += 1
            elif chosen.kind in ("", text.kind) and (
                not chosen.check
                or chosen.check in {finding.check for finding in text.findings}
                or newest.verdict == "missed"
            ):
                label = int(newest.verdict == "missed" or (newest.verdict == "right" and bool(rule)))
                yield json.dumps(_row(record, text, policy, rule, label), separators=(",", ":")) + "\n"


def _numbers(record: Record, policy: str, rule: str, said: GivenVerdict) -> Sequence[int]:
    """Returns the numbers of the texts that a verdict is about."""
    if said.verdict == "missed":
        return [said.text] if said.text is not None and said.text < len(record.placed_texts) else []
    if rule:
        return record.held_in(policy, rule)
    asked = [
        at for at, place in enumerate(record.placed_texts) if (place.direction, place.text.kind) == ("request", "user")
    ]
    return asked[-1:]


def _row(record: Record, text: RecordedText, policy: str, rule: str, label: int) -> dict[str, Any]:
    group = f"{record.tenant} {record.conversation}" if record.conversation else record.id
    return {
        "text": text.text,
        "label": label,
        "source": f"{policy}: {rule}" if rule else "no rule",
        "kind": text.kind,
        "group": group,
        "id": record.id,
    }


# What judges said.


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
