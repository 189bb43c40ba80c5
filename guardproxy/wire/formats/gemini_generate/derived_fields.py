"""The fields of an answer that repeat its texts or count in them.

`withhold` is for answers that a rule may edit or stop. It removes the text of a segment, which may begin or end in the middle
of a value, and the token that continues an answer in another request, because a value could be split over the two answers.
Log probabilities stay only if their tokens, joined, are the text of their candidate; alternative tokens become empty. Offsets
count bytes.

Decisions:
- docs/decisions/0019-token-data-passes-only-if-it-provably-says-the-text.md
- docs/decisions/0039-an-answer-of-gemini-is-not-continued-in-another-request.md
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from guardproxy.events import Count, Path
from guardproxy.wire.formats.gemini_generate.field_case import snake, value
from guardproxy.wire.formats.gemini_generate.turns import texts_of
from guardproxy.wire.json import NUMBER_LIMIT, NUMBER_TYPES, objects

CONTINUATION = "CONTINUATION"
_OTHER = "OTHER"
_DROPPED = ("continuationToken",)
_LOGPROBS = ("logprobsResult", "logprobs_result")
_COUNTING = frozenset(("groundingMetadata", "grounding_metadata", "citationMetadata", "citation_metadata"))
_WITHHELD = _COUNTING | {"continuationToken", "continuation_token", *_LOGPROBS, "finishReason", "finish_reason"}
_PROVEN = frozenset(("token", "logProbability", "log_probability"))
REPEATS = frozenset(spelled for name in (*_DROPPED, *_LOGPROBS, "segment") for spelled in (name, snake(name)))
"""The names of the fields that are removed, or that hold a text that is removed."""


def withhold(tree: Any) -> list[str]:
    """Removes what could reveal more than the texts of an answer or a frame. Returns the names of the removed fields."""
    gone: dict[str, None] = {}
    for candidate in objects(value(tree, "candidates")):
        if _WITHHELD.isdisjoint(candidate):
            continue
        for name in (spelled for dropped in _DROPPED for spelled in (dropped, snake(dropped))):
            if candidate.get(name):
                del candidate[name]
                gone[name] = None
        for name in _LOGPROBS:
            if candidate.get(name) and (proven := _proven(candidate[name], said_by(candidate))) != candidate[name]:
                candidate[name] = proven
                gone[name] = None
        for name in ("finishReason", "finish_reason"):
            # Clients would ask for the rest with the token that was removed.
            if candidate.get(name) == CONTINUATION:
                candidate[name] = _OTHER
        for support in objects(value(value(candidate, "groundingMetadata"), "groundingSupports")):
            segment = support.get("segment")
            if isinstance(segment, dict) and segment.get("text"):
                del segment["text"]
                gone["segment"] = None
    return list(gone)


def drop_logprobs(candidate: Any) -> None:
    """Removes the log probabilities of a candidate whose text was edited."""
    for name in _LOGPROBS if isinstance(candidate, dict) else ():
        candidate.pop(name, None)


def said_by(candidate: Any) -> str:
    """Returns the texts of a candidate, thoughts left out."""
    return "".join(texts_of(value(candidate, "content")))


def _proven(result: Any, said: str) -> dict[str, Any] | None:
    """Returns the log probabilities that say a text and nothing else; `None` if they do not say it."""
    chosen = [_entry(entry) for entry in _listed(result, "chosenCandidates")]
    if None in chosen or "".join(entry["token"] for entry in chosen if entry) != said:
        return None
    rows = _listed(result, "topCandidates")
    if len(rows) != len(chosen):
        rows = []
    out: dict[str, Any] = {"chosenCandidates": chosen}
    if rows:
        out["topCandidates"] = [
            {"candidates": list(_alternatives(_listed(row, "candidates"), entry))}
            for row, entry in zip(rows, chosen, strict=True)
        ]
    return out


def _entry(entry: Any) -> dict[str, Any] | None:
    """Returns the token and the number of an entry; `None` if it has another form."""
    number = value(entry, "logProbability")
    is_short = number is None or (type(number) in NUMBER_TYPES and abs(number) < NUMBER_LIMIT)
    if not is_short or not isinstance(value(entry, "token"), str):
        return None
    return {name: given for name, given in entry.items() if name in _PROVEN}


def _alternatives(entries: list[Any], chosen: Any) -> Iterator[dict[str, Any]]:
    """Yields the alternatives of a token. Only the token that was chosen keeps its text."""
    for entry in map(_entry, entries):
        if entry is not None:
            yield entry if entry["token"] == chosen["token"] else {**entry, "token": ""}


NameText = Callable[[int, int], str]
"""Returns the path of the text of a part. In: the position of its candidate, and the number of the part."""


def offsets(tree: Any, name_text: NameText) -> Iterator[Count]:
    """Yields the places that count bytes of the answer's texts."""
    for at, candidate in enumerate(_listed(tree, "candidates")):
        if not isinstance(candidate, dict) or _COUNTING.isdisjoint(candidate):
            continue
        grounding, supports = _child(candidate, "groundingMetadata"), "groundingSupports"
        for number, support in enumerate(_listed(value(candidate, grounding), supports)):
            segment = value(support, "segment")
            part = value(segment, "partIndex") or 0
            if isinstance(segment, dict) and type(part) is int:
                where: Path = ("candidates", at, grounding, _child(candidate[grounding], supports), number, "segment")
                yield from _span(segment, where, name_text(at, part))
        cited = _child(candidate, "citationMetadata")
        for listing in ("citations", "citationSources"):
            for number, citation in enumerate(_listed(value(candidate, cited), listing)):
                if isinstance(citation, dict):
                    where = ("candidates", at, cited, _child(candidate[cited], listing), number)
                    yield from _span(citation, where, name_text(at, 0))


def _listed(node: Any, name: str) -> list[Any]:
    items = value(node, name)
    return items if isinstance(items, list) else []


def _child(node: Any, name: str) -> str:
    """Returns the spelling of a field that an object uses."""
    return snake(name) if isinstance(node, dict) and name not in node and snake(name) in node else name


def _span(node: dict[str, Any], where: Path, text: str) -> Iterator[Count]:
    """Yields the place of a span. A start that is missing is 0, and cannot change."""
    start, end = _child(node, "startIndex"), _child(node, "endIndex")
    yield Count((*where, start), (*where, end), text, in_bytes=True)
