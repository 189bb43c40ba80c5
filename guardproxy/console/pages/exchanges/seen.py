"""What a person sees of a record: a viewer sees no value of a finding, an auditor who unsealed it sees the values.

In: a record. Out: a record of the same form, with other texts, whose offsets count in these texts. Everything that a page, a
part, a comparison or a download shows comes through here, so that no route shows more than another.

Decision: docs/decisions/0082-a-person-sees-a-record-through-one-door.md
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any, TypeVar

import msgspec

from guardproxy.audit import Record
from guardproxy.audit.record import RecordedFinding, RecordedSide, RecordedText
from guardproxy.redaction import PLACEHOLDER, OffsetMap, Span, ValueMatcher, mask, merge
from guardproxy.wire.json import view

LEAST_CHARS = 4
"""A shorter value is masked where a check found it, and not wherever its letters occur."""
_UNMOVED = OffsetMap((), (), (), ())
_S = TypeVar("_S", bound=RecordedSide)

# Members that hold names of the configuration and ids, never a part of a text. Every other string of a record may quote one.
_NAMES = frozenset(
    (
        "v",
        "at",
        "id",
        "engine",
        "tenant",
        "tenant_name",
        "client",
        "demanded",
        "route",
        "path_of_route",
        "policies",
        "codec",
        "outcome",
        "rules",
        "shadow",
        "checks",
        "matched",
        "conversation",
        "kind",
        "policy",
        "rule",
        "action",
        "mode",
        "direction",
        "check",
        "label",
        "code",
        "duty",
        "name",
        "key",
        "salt",
        "v",
        "members",
        "upstream",
        "upstreams",
        "seals",
        "language",
        "opening",
        "scale",
        "rubric",
        "question",
    )
)


Spans = Callable[[RecordedText, str], Iterable[Span]]
"""Returns what is replaced in a text as checks read it: start, end, replacement. They may overlap."""


def read_text(text: RecordedText) -> str | None:
    """Returns a text as checks read it, to which the offsets of its findings refer; `None` if the record keeps none."""
    if text.text is None:
        return None
    return view(text.text).text if text.encoded else text.text


def for_viewer(record: Record) -> Record:
    """Returns a record without the values of its findings: each is replaced by its label, wherever the record repeats it."""
    values: dict[str, str] = {}
    for text in texts_of(record):
        shown = read_text(text) or ""
        for finding in _found(text):
            value = shown[max(0, finding.start) : max(0, finding.end)]
            if len(value) >= LEAST_CHARS and not PLACEHOLDER.fullmatch(value):
                values.setdefault(value, f"[{finding.label}]")
    matcher = ValueMatcher(list(values))

    def spans(text: RecordedText, shown: str) -> Iterator[Span]:
        for finding in _found(text):
            if not PLACEHOLDER.fullmatch(shown[max(0, finding.start) : max(0, finding.end)]):
                yield finding.start, finding.end, f"[{finding.label}]"
        yield from _known(shown, matcher, values)

    def scrub(word: str) -> str:
        return mask(word, _known(word, matcher, values))[0]

    masked = replaced(record, spans)
    return _scrubbed(masked, scrub) if values else masked


def with_values(record: Record, values: Mapping[str, str]) -> Record:
    """Returns an opened record whose texts show the values instead of their placeholders. `values`: placeholder -> value."""

    def spans(text: RecordedText, shown: str) -> Iterator[Span]:
        for found in PLACEHOLDER.finditer(shown):
            if (value := values.get(found[0])) is not None:
                yield found.start(), found.end(), value

    return replaced(record, spans)


def texts_of(record: Record) -> Iterator[RecordedText]:
    """Yields every text of a record, also of an answer that stands where no release writes one."""
    sides: list[RecordedSide] = [record.request, record.response]
    for side in (*sides, *(attempt.response for attempt in record.attempts if attempt.response is not None)):
        yield from side.texts


def replaced(record: Record, spans: Spans) -> Record:
    """Returns a record with other texts, and all offsets in them. The body of the request, which holds the same texts again, is
    left out."""
    changed = {id(text): _replaced(text, spans) for text in texts_of(record)}
    requests = {text.path: changed[id(text)][1] for text in record.request.texts}
    answers = [{text.path: changed[id(text)][1] for text in answer.texts} for answer in record.answers]

    def side(kept: _S) -> _S:
        texts = tuple(_with_origins(changed[id(text)][0], requests) for text in kept.texts)
        return msgspec.structs.replace(kept, texts=texts)

    def place(direction: str, attempt: int, path: str) -> OffsetMap:
        maps = requests if direction == "request" else answers[min(attempt, len(answers) - 1)]
        return maps.get(path, _UNMOVED)

    decisions = []
    for decision in record.decisions:
        moved = place(decision.direction, decision.attempt, decision.path).translate_span(decision.start, decision.end)
        decisions.append(msgspec.structs.replace(decision, start=moved[0], end=moved[1]))
    attempts = tuple(
        attempt if attempt.response is None else msgspec.structs.replace(attempt, response=side(attempt.response))
        for attempt in record.attempts
    )
    return msgspec.structs.replace(
        record,
        request=msgspec.structs.replace(side(record.request), body=None),
        response=side(record.response),
        attempts=attempts,
        decisions=tuple(decisions),
    )


def _found(text: RecordedText) -> tuple[RecordedFinding, ...]:
    return (*text.findings, *text.grounds)


def _known(text: str, matcher: ValueMatcher, values: Mapping[str, str]) -> list[Span]:
    """Returns where a text repeats values, sorted and without overlaps."""
    found = merge((start, end, end) for start, end in matcher.find(text))
    return [(start, end, values[text[start:first]]) for start, end, first in found]


def _replaced(text: RecordedText, spans: Spans) -> tuple[RecordedText, OffsetMap]:
    """Returns a text with its spans replaced, and the map of its offsets."""
    if text.text is None:
        return text, _UNMOVED
    shown = read_text(text) or ""
    inside = ((max(0, start), min(end, len(shown)), put) for start, end, put in spans(text, shown))
    edits = merge((start, end, put) for start, end, put in inside if start < end)
    if not edits:
        return text, _UNMOVED
    raw, moved = mask(shown, edits)
    # JSON in a string is shown as checks read it: what is between its strings and numbers could otherwise show a value.
    sent = len(raw) if text.released >= len(text.text) else moved.translate_span(0, min(text.released, len(shown)))[1]
    return (
        msgspec.structs.replace(
            text,
            text=raw,
            findings=tuple(_moved(finding, moved) for finding in text.findings),
            grounds=tuple(_moved(ground, moved) for ground in text.grounds),
            edits=tuple(moved.translate_span(start, end) for start, end in text.edits),
            released=sent if text.released else 0,
            encoded=False,
        ),
        moved,
    )


def _moved(finding: RecordedFinding, moved: OffsetMap) -> RecordedFinding:
    start, end = moved.translate_span(finding.start, finding.end)
    return msgspec.structs.replace(finding, start=start, end=end)


def _with_origins(text: RecordedText, requests: Mapping[str, OffsetMap]) -> RecordedText:
    """Returns a text whose origins count in the texts of the request as they are shown."""
    if not any(finding.origins for finding in _found(text)):
        return text
    return msgspec.structs.replace(
        text,
        findings=tuple(_of_origins(finding, requests) for finding in text.findings),
        grounds=tuple(_of_origins(ground, requests) for ground in text.grounds),
    )


def _of_origins(finding: RecordedFinding, requests: Mapping[str, OffsetMap]) -> RecordedFinding:
    origins = []
    for origin in finding.origins:
        if not origin.earlier:
            start, end = requests.get(origin.path, _UNMOVED).translate_span(origin.start, origin.end)
            origin = msgspec.structs.replace(origin, start=start, end=end)  # noqa: PLW2901 - the same origin, moved
        origins.append(origin)
    return msgspec.structs.replace(finding, origins=tuple(origins))


def _scrubbed(part: Any, scrub: Callable[[str], str]) -> Any:
    """Returns a value whose strings are scrubbed, but for names (`_NAMES`) and words of a fixed list."""
    if isinstance(part, str):
        return scrub(part)
    if isinstance(part, msgspec.Struct):
        members = {name: getattr(part, name) for name in _free(type(part))}
        new = {name: _scrubbed(value, scrub) for name, value in members.items()}
        return msgspec.structs.replace(
            part, **{name: value for name, value in new.items() if value is not members[name]}
        )
    if isinstance(part, Mapping):
        return {scrub(str(key)): _scrubbed(value, scrub) for key, value in part.items()}
    if isinstance(part, tuple | list):
        return type(part)(_scrubbed(item, scrub) for item in part) if part else part
    return part


@cache
def _free(kind: type[msgspec.Struct]) -> tuple[str, ...]:
    """Returns the members of a part of a record that may quote a text."""
    return tuple(
        field.name
        for field in msgspec.structs.fields(kind)
        if field.name not in _NAMES and "Literal[" not in str(field.type)
    )
