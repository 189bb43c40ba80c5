"""What differs between a record and the record of its replay, in words.

In: both records. Out: one line for each difference: outcome, rules, decisions, edits, how much text left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

UNTOUCHED = frozenset(("answered", "blocked_request", "blocked_response"))
"""Outcomes that nothing from outside brought about."""


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
            others = again.get((one["path"], one["kind"]), [])
            if not others:
                if one["released"]:
                    out.append(f"{side} {one['path']}: the text is gone")
                continue
            other = others.pop(0)
            for name in ("edits", "released"):
                if (was := _left(one, name, cut_off)) != (now := _left(other, name, cut_off)):
                    out.append(f"{side} {one['path']}: {name} {was} -> {now}")
    return out


def _by_place(texts: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], list[Mapping[str, Any]]]:
    out: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for one in texts:
        out.setdefault((one["path"], one["kind"]), []).append(one)
    return out


def _left(text: Mapping[str, Any], name: str, cut_off: bool) -> Any:
    """How much was edited and released; of an answer that was cut off, only of what had left."""
    if name == "edits" and cut_off:
        return [edit for edit in text["edits"] if edit[0] < text["released"]]
    return text[name]


def _counted(decisions: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    return sorted(tuple(str(value) for _, value in sorted(one.items())) for one in decisions)
