"""Labelled texts of an audit log: what a check found in texts, what a judge or clients said of answers, what reviewers said.

In: the folder of a log, or a file of labelled rows. Out: texts with labels, each once, and why other texts are left out. A text
is as the record keeps it, with placeholders for redacted values. Sealed texts are not read: opening one is an act with a reason
of its own (`audit unseal`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast

from guardproxy.audit import AnyEntry, Judged, Record
from guardproxy.audit.record import RecordedSide, RecordedText
from guardproxy.audit.shipping import confirmed_entries
from guardproxy.errors import ConfigError
from guardproxy.exchange import llm_judge
from guardproxy.findings import KINDS, Direction, Kind
from guardproxy.lab.rows import RowKeys
from guardproxy.lab.texts import labelled_rows

SEALED = "the text is sealed or not kept"
OPEN = "the text is incomplete"
NO_VERDICT = "there is no verdict"
AT_ODDS = "equal texts have both labels"
REPEATED = "an equal text is there already"
NO_EXCHANGE = "the exchange is not in the folder"
FAILED = "check_error"
"""The label of a finding that says that a check failed."""
Group = Literal["conversation", "tenant"]


@dataclass(frozen=True, slots=True)
class LabelledText:
    """A text. `is_found`: its label. `group`: its conversation or tenant; texts of a group are alike. `kind`: of its channel.
    `cost`: of the verdict, in millionths of the unit of prices; `None` if it is not known. `ms`: how long the verdict took."""

    text: str
    is_found: bool
    group: str
    kind: Kind
    cost: int | None = None
    ms: float | None = None


@dataclass(slots=True)
class LabelledLog:
    """The texts, in the order of the log, and the number of those left out by reason."""

    texts: list[LabelledText] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    def once(self) -> LabelledLog:
        """Returns each text once. Texts with both labels are left out: nothing in them says which is right."""
        kept: dict[str, LabelledText | None] = {}
        left_out = Counter(self.left_out)
        for text in self.texts:
            known = kept.setdefault(text.text, text)
            if known is None:
                left_out[AT_ODDS] += 1
            elif known.is_found != text.is_found:
                kept[text.text] = None
                left_out[AT_ODDS] += 2
            elif known is not text:
                left_out[REPEATED] += 1
        return LabelledLog([text for text in kept.values() if text is not None], left_out)


def labelled_log(
    folder: Path,
    check: str = "",
    *,
    is_judge: bool = False,
    policy: str = "",
    least: int | None = None,
    by: Group = "conversation",
) -> LabelledLog:
    """Returns the labelled texts of a log, each once. Raises `ConfigError` if the log cannot be read, or if its labels do not
    compare. A file instead of a folder holds labelled JSON Lines, as `audit export --reviews` writes them.

    `check`: the check whose findings are labels. `is_judge`: whether a judge's scores are labels: those below `least` (`None`:
    one below the highest) of the judge of `policy` (empty: every policy). With neither, feedback is. `by`: what groups texts.
    """
    if folder.is_file():
        return _rows_of_file(folder)
    if check:
        return _checked_texts(folder, check, by)
    if is_judge:
        return _judged_answers(folder, policy, least, by)
    return _answers_with_feedback(folder, by)


def _rows_of_file(path: Path) -> LabelledLog:
    """Returns the texts of a file. A row without a group is one of its own."""
    log = LabelledLog()
    for row in labelled_rows([path], RowKeys()):
        kind: Kind = next((kind for kind in KINDS if kind == row.kind), "user")
        log.texts.append(LabelledText(row.text, row.attack, row.group or row.place, kind))
    return log.once()


def _checked_texts(folder: Path, check: str, by: Group) -> LabelledLog:
    """Returns the texts that a check read; those in which it found something are the found ones."""
    log = LabelledLog()
    for record in _exchanges(folder):
        sides: list[tuple[Direction, int, RecordedSide]] = [("request", 0, record.request)]
        sides += [("response", at, side) for at, side in enumerate(record.answers)]
        verdicts = {(said.direction, said.attempt, said.path): said for said in record.verdicts if said.check == check}
        for direction, attempt, side in sides:
            for text in side.texts:
                said = verdicts.get((direction, attempt, text.path))
                if check not in text.checks and said is None:
                    continue
                labels = {finding.label for finding in text.findings if finding.check == check}
                if reason := _unusable(text, failed=FAILED in labels or (said is not None and not said.answer)):
                    log.left_out[reason] += 1
                    continue
                cost, ms = (said.cost, said.ms) if said and not said.known else (None, None)
                log.texts.append(
                    LabelledText(text.text or "", bool(labels), _group(record, by), cast(Kind, text.kind), cost, ms)
                )
    return log.once()


def _unusable(text: RecordedText, *, failed: bool) -> str:
    if text.text is None:
        return SEALED
    if text.open:
        return OPEN
    return NO_VERDICT if failed else ""


def _judged_answers(folder: Path, policy: str, least: int | None, by: Group) -> LabelledLog:
    """Returns the answers that a judge scored; those below `least` are the found ones. `policy`: whose judge; empty: every
    judge. `least`: the lowest score of a good answer; `None`: one below the highest. Raises `ConfigError` for scores of several
    questions, which do not compare."""
    scores: dict[str, Judged] = {}
    log = LabelledLog()
    for entry in _entries(folder):
        if isinstance(entry, Judged) and policy in ("", entry.policy):
            if entry.score is None:
                log.left_out[NO_VERDICT] += 1
            else:
                scores[entry.id] = entry
    questions = {(score.policy, score.rubric) for score in scores.values()}
    if len(questions) > 1:
        names = ", ".join(sorted({name for name, _ in questions}))
        raise ConfigError(
            f"{folder}: the scores answer {len(questions)} questions, of the policies {names}: name a policy, and take a "
            "log since its question changed last"
        )
    for record in _exchanges(folder):
        if (score := scores.pop(record.id, None)) is not None and score.score is not None:
            limit = score.scale[1] - 1 if least is None else least
            _add_answer(log, record, score.score < limit, by, score.ms)
    log.left_out[NO_EXCHANGE] += len(scores)
    return log.once()


def _answers_with_feedback(folder: Path, by: Group) -> LabelledLog:
    """Returns the answers about which clients gave feedback; those with thumbs down, or a score below a half, are the found
    ones."""
    given: dict[str, bool] = {}
    log = LabelledLog()
    owners: dict[str, str] = {}
    for entry in _entries(folder):
        if isinstance(entry, Record) and entry.feedback and entry.is_given_feedback:
            said = entry.feedback
            if said.thumbs is None and said.score is None:
                log.left_out[NO_VERDICT] += 1
                continue
            is_bad = said.thumbs == "down" if said.thumbs else (said.score or 0.0) < 0.5
            given[said.exchange] = is_bad
            owners[said.exchange] = entry.tenant
    for record in _exchanges(folder):
        if record.id in given and owners[record.id] == record.tenant:
            _add_answer(log, record, given.pop(record.id), by, None)
    log.left_out[NO_EXCHANGE] += len(given)
    return log.once()


def _add_answer(log: LabelledLog, record: Record, is_found: bool, by: Group, ms: float | None) -> None:
    if (texts := llm_judge.texts_of(record)) is None:
        log.left_out[SEALED] += 1
    else:
        log.texts.append(LabelledText(texts[1], is_found, _group(record, by), "assistant", None, ms))


def _group(record: Record, by: Group) -> str:
    if by == "tenant":
        return record.tenant
    return f"{record.tenant} {record.conversation}" if record.conversation else record.id


def _entries(folder: Path) -> Iterator[AnyEntry]:
    """Yields the entries of a log. Raises `ConfigError` if there is none."""
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no log here")
    try:
        for logged in confirmed_entries(folder, Counter()):
            yield logged.entry
    except OSError as error:
        raise ConfigError(f"{folder} cannot be read: {error.strerror}") from None


def _exchanges(folder: Path) -> Iterator[Record]:
    for entry in _entries(folder):
        if isinstance(entry, Record) and not entry.feedback:
            yield entry
