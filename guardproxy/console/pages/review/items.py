"""One decision to review, as its page shows it. Pure.

In: an exchange with its line in the log, the rule that is judged, and verdicts. Out: texts with marks, what was decided, and
what may be said about it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from guardproxy.audit import Record
from guardproxy.audit.record import RecordedDecision, RecordedText
from guardproxy.console.index import LoggedLine
from guardproxy.console.pages.review.queues import ItemKey
from guardproxy.reading import GivenVerdict

VERDICTS: Mapping[str, tuple[str, str, str]] = {
    "right": ("Right", "1", "good"),
    "false_alarm": ("False alarm", "2", "bad"),
    "missed": ("Missed", "3", "warn"),
}
"""Each verdict: its words, its key and its colour."""
LIMIT_CHARS = 12_000
AROUND_CHARS = 2000
MINOR_CHARS = 80
LIMIT_TEXTS = 40
QUESTIONS = {
    True: "Should this rule have held?",
    False: "No rule held. Should one have?",
}


class MarkedPiece(NamedTuple):
    """A part of a text. `kind`: a colour if something was found in it: `bad` by the rule that is judged, else `found`."""

    text: str
    kind: str = ""
    title: str = ""


@dataclass(frozen=True, slots=True)
class ItemText:
    """A text of the exchange. `number`: as an entry `reviewed` counts it; `is_held`: whether the rule held in it; `is_cut`:
    whether only a part is shown; `is_kept`: whether the record keeps the text."""

    number: int
    title: str
    chars: int
    pieces: tuple[MarkedPiece, ...]
    is_held: bool
    is_cut: bool
    is_kept: bool


@dataclass(frozen=True, slots=True)
class ReviewItem:
    """A decision to review. `state`: `open`, or why there is nothing to judge (`gone`, `changed`, `erased`), with `message` in
    words; `policies`: that have the rule; `is_known`: whether the served policies still have the rule; `found`: what the rule
    held for, with how often; `others`: verdicts of other people, shown only after one's own."""

    key: ItemKey
    state: str
    message: str
    policies: tuple[str, ...]
    actions: tuple[str, ...]
    is_shadow: bool
    found: tuple[tuple[str, str, int], ...]
    texts: tuple[ItemText, ...]
    hidden_texts: int
    own: GivenVerdict | None
    others: tuple[tuple[str, GivenVerdict], ...]
    facts: tuple[tuple[str, str], ...]
    is_without_texts: bool = False

    @property
    def question(self) -> str:
        """Returns what the person is asked."""
        return QUESTIONS[bool(self.key.rule)]

    @property
    def default_text(self) -> int:
        """Returns the number of the text that a verdict is about, unless the person chooses another one."""
        held = [text.number for text in self.texts if text.is_held]
        return next(iter(held), self.texts[-1].number if self.texts else 0)


def review_item(found: LoggedLine, key: ItemKey, given: Mapping[str, GivenVerdict], by: str) -> ReviewItem:
    """Returns the item. `given`: the verdicts about it; `by`: the person who looks at it."""
    record = found.record if found.state == "intact" else None
    state, message = _state(found, record)
    held = tuple(known for known in record.decisions if known.rule == key.rule) if record else ()
    policies = tuple(dict.fromkeys(known.policy for known in held))
    shown, hidden = _texts(record, policies, key.rule, held) if record else ((), 0)
    row = found.row
    facts = [
        ("Tenant", row.who or "no credential"),
        ("Client", row.client),
        ("Model", row.model),
        ("Route", row.route),
        ("Outcome", row.outcome.replace("_", " ")),
        ("Feedback", {"up": "thumbs up", "down": "thumbs down"}.get(row.feedback or "", row.feedback or "")),
    ]
    counts: dict[tuple[str, str], int] = {}
    for known in held:
        counts[known.check, known.label] = counts.get((known.check, known.label), 0) + 1
    own = given.get(by)
    return ReviewItem(
        key=key,
        state=state,
        message=message,
        policies=policies,
        actions=tuple(dict.fromkeys(known.action for known in held)),
        is_shadow=bool(held) and all(known.mode == "shadow" for known in held),
        found=tuple((check, label, count) for (check, label), count in counts.items()),
        texts=shown,
        hidden_texts=hidden,
        own=own,
        others=tuple(sorted((name, said) for name, said in given.items() if name != by)) if own else (),
        facts=tuple((name, value) for name, value in facts if value),
        is_without_texts=state == "open" and not any(text.is_kept for text in shown),
    )


def _state(found: LoggedLine, record: Record | None) -> tuple[str, str]:
    if found.row.keep == "erased":
        return "erased", "The texts of this exchange were erased for good, so there is nothing to judge."
    if record is None:
        return (
            "gone" if found.state == "gone" else "changed"
        ), f"This line of the log cannot be used: {found.message}."
    return "open", ""


def _texts(
    record: Record, policies: Sequence[str], rule: str, held: Sequence[RecordedDecision]
) -> tuple[tuple[ItemText, ...], int]:
    """Returns the texts to show, and the number of the others: words of the protocol in which nothing was found."""
    numbers = {number for policy in policies for number in record.held_in(policy, rule)}
    every = list(enumerate(record.placed_texts))
    wanted = [
        (number, place)
        for number, place in every
        if number in numbers
        or place.text.findings
        or not (place.text.fixed or place.text.kind == "metadata" or place.text.judged)
    ]
    # What the rule held for comes first if there are too many.
    chosen = sorted(sorted(wanted, key=lambda pair: pair[0] not in numbers)[:LIMIT_TEXTS])
    spans: dict[tuple[str, int, str], list[tuple[int, int]]] = {}
    for found in held:
        spans.setdefault((found.direction, found.attempt, found.path), []).append((found.start, found.end))
    texts = tuple(
        _text(number, direction, attempt, text, spans.get((direction, attempt, text.path), []))
        for number, (direction, attempt, text) in chosen
    )
    return texts, len(every) - len(texts)


def _text(number: int, direction: str, attempt: int, text: RecordedText, spans: Sequence[tuple[int, int]]) -> ItemText:
    whole = text.text or ""
    low, high = window(len(whole), spans or [(found.start, found.end) for found in text.findings])
    side = "Request" if direction == "request" else f"Answer {attempt + 1}" if attempt else "Answer"
    marks = [(found.start, found.end, "found", f"{found.check}: {found.label}") for found in text.findings]
    marks += [(start, end, "bad", "the rule held for this") for start, end in spans]
    return ItemText(
        number=number,
        title=f"{side}, {text.kind.replace('_', ' ')}: {text.path}",
        chars=len(whole),
        pieces=tuple(marked(whole, marks, low, high)),
        is_held=bool(spans),
        is_cut=(low, high) != (0, len(whole)),
        is_kept=text.text is not None,
    )


def window(length: int, spans: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Returns the part of a text that is shown: all of it, or of a long text the part around the first of the spans."""
    if length <= LIMIT_CHARS:
        return 0, length
    start = max(0, min((span[0] for span in spans), default=0) - AROUND_CHARS)
    return start, min(length, start + LIMIT_CHARS)


def marked(text: str, marks: Sequence[tuple[int, int, str, str]], low: int, high: int) -> Iterator[MarkedPiece]:
    """Yields the pieces of a part of a text. `marks`: start, end, kind and title; where they overlap, `bad` is the colour, and
    all titles are named."""
    edges: dict[int, list[tuple[bool, str, str]]] = {low: [], high: []}
    for first, last, kind, title in marks:
        start, end = max(first, low), min(last, high)
        if start < end:
            edges.setdefault(start, []).append((True, kind, title))
            edges.setdefault(end, []).append((False, kind, title))
    active: dict[tuple[str, str], int] = {}
    places = sorted(edges)
    for at, following in pairwise(places):
        for begins, kind, title in sorted(edges[at]):
            count = active.get((kind, title), 0) + (1 if begins else -1)
            if count:
                active[kind, title] = count
            else:
                del active[kind, title]
        kinds = {kind for kind, _ in active}
        titles = "; ".join(dict.fromkeys(title for _, title in list(active)[:6]))
        yield MarkedPiece(text[at:following], "bad" if "bad" in kinds else "found" if kinds else "", titles)
