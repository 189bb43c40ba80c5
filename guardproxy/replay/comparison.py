"""What differs between a record and the record of its replay, in words.

In: both records. Out: one line for each difference: outcome, rules, decisions, edits, how much text left.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Literal

from guardproxy.redaction import PLACEHOLDER
from guardproxy.wire.json import view

Way = Literal["holds now", "holds no longer", "does something else", "cannot be told"]
"""`cannot be told`: the value stands masked in the log, and the check that found it has changed since."""
Masked = tuple[str, str, str]
"""A masked value that no check could read again: the direction, path and label of what was found."""

UNTOUCHED = frozenset(("answered", "blocked_request", "blocked_response"))
"""Outcomes that nothing from outside brought about."""

UNSEEN = frozenset(("passed", "refused", "unknown"))
"""Outcomes of which the record shows no text: no check saw it, or the process ended before."""


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """The differences; what `new` shows of an answer that was cut off is compared as far as `old` goes."""
    out = [f"{name}: {old[name]} -> {new[name]}" for name in ("outcome", "status") if old[name] != new[name]]
    for name, word in (("rules", "rule"), ("shadow", "shadow rule")):
        out += [f"{word} `{one}` no longer holds" for one in old[name] if one not in new[name]]
        out += [f"{word} `{one}` now holds" for one in new[name] if one not in old[name]]
    before, after = (_counted(record["decisions"]) for record in (old, new))
    if before != after and not out:
        out.append(f"decisions: {len(old['decisions'])} -> {len(new['decisions'])}")
    cut_off = old["outcome"] not in UNTOUCHED
    for side in ("request", "response"):
        again = _by_place(new[side]["texts"])
        for one in old[side]["texts"]:
            others = again.get(one["path"], [])
            if not others:
                if one["released"]:
                    out.append(f"{side} {one['path']}: the text is gone")
                continue
            same = (number for number, text in enumerate(others) if text["kind"] == one["kind"])
            other = others.pop(next(same, 0))
            for name in ("edits", "released"):
                if (was := _left(one, name, cut_off)) != (now := _left(other, name, cut_off)):
                    out.append(f"{side} {one['path']}: {name} {was} -> {now}")
    return out


def _by_place(texts: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Texts by their path: a later version may call the kind of a place by another name."""
    out: dict[str, list[Mapping[str, Any]]] = {}
    for one in texts:
        out.setdefault(one["path"], []).append(one)
    return out


def _left(text: Mapping[str, Any], name: str, cut_off: bool) -> Any:
    """How much was edited and released; of an answer that was cut off, only of what had left."""
    if name == "edits" and cut_off:
        return [edit for edit in text["edits"] if edit[0] < text["released"]]
    return text[name]


def _counted(decisions: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """What was decided, whatever the check is called by now."""
    return sorted(tuple(str(value) for key, value in sorted(one.items()) if key != "check") for one in decisions)


def moved_decisions(
    before: Mapping[str, Any], after: Mapping[str, Any], blind: Collection[Masked] = ()
) -> Iterator[tuple[Mapping[str, Any], Way]]:
    """The decisions that only one of two records has. Where a text is masked otherwise, offsets move, so a decision is the same
    if it is about the same label of the same text, in the same order. `blind`: what checks that are new or changed look for and
    could not read."""
    old, new = (_numbered(record["decisions"]) for record in (before, after))
    for key, decision in old.items():
        if key not in new:
            named = (decision["direction"], decision["path"], decision["label"]) in blind
            yield decision, "cannot be told" if named and _is_masked(before, decision) else "holds no longer"
    for key, decision in new.items():
        if key not in old:
            yield decision, "holds now"


def _is_masked(record: Mapping[str, Any], decision: Mapping[str, Any]) -> bool:
    """Whether what was found is a placeholder, which another check cannot take for what it stands for."""
    text = text_at(record, decision["direction"], decision["path"], decision.get("attempt", 0), decoded=True) or ""
    return PLACEHOLDER.fullmatch(text[decision["start"] : decision["end"]]) is not None


def _numbered(decisions: Sequence[Mapping[str, Any]]) -> dict[tuple[Any, ...], Mapping[str, Any]]:
    """Each decision by what it is, whatever its policy is called by now."""
    counts: Counter[tuple[Any, ...]] = Counter()
    out = {}
    for decision in decisions:
        names = ("rule", "action", "mode", "direction", "path", "label", "attempt")
        key = tuple(decision.get(name) for name in names)
        out[(*key, counts[key])] = decision
        counts[key] += 1
    return out


def text_at(
    record: Mapping[str, Any], direction: str, path: str, attempt: int = 0, *, decoded: bool = False
) -> str | None:
    """The text of a record at a path; `None` where it keeps none. `attempt`: of which answer; `decoded`: JSON as checks read
    it, in which findings count."""
    sides: Sequence[Mapping[str, Any]] = [record["request"]]
    if direction == "response":
        sides = [*(one["response"] for one in record.get("attempts", ())[:-1]), record["response"]]
    side = sides[attempt if attempt < len(sides) else -1]
    text = next((text for text in side["texts"] if text["path"] == path), None)
    if text is None or text["text"] is None:
        return None
    return view(text["text"]).text if decoded and text.get("encoded") else str(text["text"])
