"""Compares a record with the record of its replay, in words.

In: both records. Out: a line for each difference in the outcome, rules, decisions, edits and released text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Literal, TypeGuard

from guardproxy.audit import Closing, Record
from guardproxy.audit.record import UPSTREAM_5XX, RecordedDecision, RecordedRoute, RecordedSide, RecordedText
from guardproxy.redaction import PLACEHOLDER
from guardproxy.wire.json import view

Way = Literal["holds now", "holds no longer", "does something else", "cannot be told"]
"""`cannot be told`: the value is masked in the log, and the check that found it has changed."""
MaskedValue = tuple[str, str, str]
"""A masked value that a check could not read again: the direction, path and label of its finding."""
ShownPath = Callable[[str], str]
"""Returns the form in which a path is shown. A path holds keys of objects, and those may be sealed texts."""

UNTOUCHED = frozenset(("answered", UPSTREAM_5XX, "blocked_request", "blocked_response"))
"""Outcomes without an external cause, such as a failure or a closed connection."""


def is_seen(record: Record | Closing) -> TypeGuard[Record]:
    """Whether checks inspected the exchange: it has a record, was not refused, and its route was not passed through."""
    return isinstance(record, Record) and record.is_read and record.outcome not in ("passed", "refused")


def differences(old: Record, new: Record, shown: ShownPath = str) -> list[str]:
    """Returns the differences, in words. An answer that was cut off is compared up to the end of its text in `old`."""
    out = [
        f"{name}: {before} -> {after}"
        for name, before, after in (("outcome", old.outcome, new.outcome), ("status", old.status, new.status))
        if before != after
    ]
    for word, before_rules, after_rules in (
        ("rule", old.rules, new.rules),
        ("shadow rule", old.shadow, new.shadow),
    ):
        out += [f"{word} `{rule}` no longer holds" for rule in before_rules if rule not in after_rules]
        out += [f"{word} `{rule}` now holds" for rule in after_rules if rule not in before_rules]
    if _without_checks(old.decisions) != _without_checks(new.decisions) and not out:
        out.append(f"decisions: {len(old.decisions)} -> {len(new.decisions)}")
    old_fields, new_fields = (_fields(record, shown) for record in (old, new))
    out += [f"fields: no longer {words}" for words in sorted(old_fields - new_fields)]
    out += [f"fields: now {words}" for words in sorted(new_fields - old_fields)]
    before, after = (", ".join(map(_routed, record.routing)) or "none" for record in (old, new))
    if before != after:
        out.append(f"routes: {before} -> {after}")
    old_prompts, new_prompts = (_prompts(record) for record in (old, new))
    out += [f"prompt: no longer {words}" for words in sorted(old_prompts - new_prompts)]
    out += [f"prompt: now {words}" for words in sorted(new_prompts - old_prompts)]
    cut_off = old.outcome not in UNTOUCHED
    sides: tuple[tuple[str, RecordedSide, RecordedSide], ...] = (
        ("request", old.request, new.request),
        ("response", old.response, new.response),
    )
    for name, old_side, new_side in sides:
        again = _by_place(new_side.texts)
        for text in old_side.texts:
            candidates, place = again.get(text.path, []), f"{name} {shown(text.path)}"
            if not candidates:
                if text.released:
                    out.append(f"{place}: the text is gone")
                continue
            same = (number for number, other in enumerate(candidates) if other.kind == text.kind)
            other = candidates.pop(next(same, 0))
            if (was := _edits(text, cut_off)) != (now := _edits(other, cut_off)):
                out.append(f"{place}: edits {was} -> {now}")
            if text.released != other.released:
                out.append(f"{place}: released {text.released} -> {other.released}")
    return out


def _fields(record: Record, shown: ShownPath) -> set[str]:
    """Returns what policies did with fields of the request, in words."""
    return {f"{field.action} `{shown(field.field)}` ({field.mode})" for field in record.fields}


def _prompts(record: Record) -> set[str]:
    """Returns what policies did with the system prompt and with marks, in words."""
    return {
        f"{', '.join(prompt.parts) or 'nothing'} in {prompt.texts} texts by `{prompt.policy}` ({prompt.mode})"
        for prompt in record.prompts
    }


def _by_place(texts: Sequence[RecordedText]) -> dict[str, list[RecordedText]]:
    """Returns texts by path, not by kind, because a later version may name a kind differently."""
    out: dict[str, list[RecordedText]] = {}
    for text in texts:
        out.setdefault(text.path, []).append(text)
    return out


def _routed(route: RecordedRoute) -> str:
    """Returns where a policy sent a request, in words."""
    return f"{route.policy} ({route.mode}) to {route.upstream or '-'} {route.model or '-'}"


def _edits(text: RecordedText, cut_off: bool) -> list[list[int]]:
    """Returns the edits of a text; for an answer that was cut off, only those in its released part. An old record may end
    in the middle of an edit."""
    return [list(edit) for edit in text.edits if not cut_off or edit[1] <= text.released]


def _without_checks(decisions: Sequence[RecordedDecision]) -> list[tuple[str, ...]]:
    """Returns the decisions without the names of their checks, which may have changed, and without the ids of confirmations,
    which only the key of the proxy makes. Decisions about values under the same mask are one: to a replay, the mask is the
    value."""
    return sorted(
        {
            tuple(
                str(value)
                for name, value in sorted(decision.document().items())
                if name not in ("check", "confirmation")
            )
            for decision in decisions
        }
    )


def moved_decisions(
    before: Record, after: Record, blind: Collection[MaskedValue] = ()
) -> Iterator[tuple[RecordedDecision, Way]]:
    """Yields the decisions that are in only one of two records. Masks may move offsets, so decisions are equal if they
    have the same label in the same text, in the same order. `blind`: masked values that a new or changed check would
    have to read."""
    old, new = (_by_key(record.decisions) for record in (before, after))
    for key, decision in old.items():
        if key not in new:
            is_blind = (decision.direction, decision.path, decision.label) in blind
            yield decision, "cannot be told" if is_blind and _is_masked(before, decision) else "holds no longer"
    for key, decision in new.items():
        if key not in old:
            yield decision, "holds now"


def _is_masked(record: Record, decision: RecordedDecision) -> bool:
    """Whether the text of the finding is a placeholder, in which another check cannot recognize the value."""
    text = text_at(record, decision.direction, decision.path, decision.attempt, decoded=True) or ""
    return PLACEHOLDER.fullmatch(text[decision.start : decision.end]) is not None


def _by_key(decisions: Sequence[RecordedDecision]) -> dict[tuple[str | int, ...], RecordedDecision]:
    """Returns decisions by a key without the name of their policy, which may have changed."""
    counts: Counter[tuple[str | int, ...]] = Counter()
    out = {}
    for decision in decisions:
        place = (decision.direction, decision.path, decision.label, decision.attempt)
        key: tuple[str | int, ...] = (decision.rule, decision.action, decision.mode, *place)
        out[(*key, counts[key])] = decision
        counts[key] += 1
    return out


def text_at(record: Record, direction: str, path: str, attempt: int = 0, *, decoded: bool = False) -> str | None:
    """Returns the text of a record at a path; `None` if it is not kept. `attempt`: the number of the answer.
    `decoded`: whether to return JSON as checks read it, to which the offsets of findings refer."""
    sides: tuple[RecordedSide, ...] = record.answers if direction == "response" else (record.request,)
    side = sides[attempt if attempt < len(sides) else -1]
    text = next((text for text in side.texts if text.path == path), None)
    if text is None or text.text is None:
        return None
    return view(text.text).text if decoded and text.encoded else text.text
