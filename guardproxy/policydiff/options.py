"""Two checks of the same name: what differs in their options, in words.

In: `CheckSpec`s. Out: changes. An option that finds more tightens, one that finds less loosens; what cannot be told from the
file is `either`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from guardproxy.policy import CheckSpec

Effect = Literal["loosens", "tightens", "either", "neutral"]

_PROFILES = ("off", "standard", "strict")
_FEWER = ("skip",)  # lists whose items take something away
_POINT = re.compile(r"([0-9.]+)\s?%")


class Changed(NamedTuple):
    """One difference, in words, and what it does to protection."""

    words: str
    effect: Effect


def options(name: str, old: CheckSpec, new: CheckSpec) -> Iterator[Changed]:
    """What differs between two checks called `name`."""
    if old.use != new.use:
        yield Changed(f"`{name}` uses {old.use} -> {new.use}", "either")
        return
    for key in sorted({*old.options, *new.options}):
        before, after = old.options.get(key), new.options.get(key)
        if not same(before, after):
            yield from _option(name, key, before, after)


def same(one: Any, other: Any) -> bool:
    """Equality that tells 1 from true, and lists apart only by what is in them."""
    return _plain(one) == _plain(other)


def _plain(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        value = sorted(map(_plain, value))
    return json.dumps(value, sort_keys=True, default=str)


def _option(name: str, key: str, old: Any, new: Any) -> Iterator[Changed]:
    if isinstance(old, (list, tuple)) and isinstance(new, (list, tuple)):
        yield from _items(name, key, old, new)
    elif key == "threshold" and isinstance(old, Mapping) and isinstance(new, Mapping):
        for label in sorted({*old, *new}):
            before, after = old.get(label), new.get(label)
            if not same(before, after):
                words = f"`{name}` threshold of {label} {shown(before)} -> {shown(after)}"
                yield Changed(words, _effect(key, before, after))
    else:
        yield Changed(f"`{name}` {key} {shown(old)} -> {shown(new)}", _effect(key, old, new))


def _items(name: str, key: str, old: Any, new: Any) -> Iterator[Changed]:
    """A list: order means nothing."""
    before, after = ({_plain(item): item for item in each} for each in (old, new))
    more, fewer = (one for one in after if one not in before), (one for one in before if one not in after)
    takes = key in _FEWER
    for marks, items, word, effect in (
        (list(more), after, "gained", "loosens" if takes else "tightens"),
        (list(fewer), before, "lost", "tightens" if takes else "loosens"),
    ):
        if marks:
            listed = ", ".join(shown(items[mark]) for mark in marks)
            yield Changed(f"`{name}` {key} {word} {listed}", "tightens" if effect == "tightens" else "loosens")


def _effect(key: str, old: Any, new: Any) -> Effect:
    before, after = _rank(key, old), _rank(key, new)
    if before is None or after is None or before[0] != after[0]:
        return "either"
    return "tightens" if after[1] > before[1] else "loosens"


def _rank(key: str, value: Any) -> tuple[str, float] | None:
    """How much an option finds, beside another value of its kind."""
    if key == "threshold" and isinstance(value, (int, float)) and not isinstance(value, bool):
        return "score", -float(value)
    if key == "threshold" and isinstance(value, str) and (point := _POINT.fullmatch(value)):
        return "point", float(point[1])  # the share of harmless texts that are found
    if key == "evasions":
        value = "standard" if value is None else value
        return ("profile", _PROFILES.index(value)) if value in _PROFILES else None
    return None


def shown(value: Any) -> str:
    """An option's value as a file writes it."""
    if value is None or value == "":
        return "(nothing)" if value == "" else "(default)"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(shown, value))}]"
    if isinstance(value, Mapping):
        return json.dumps(value, ensure_ascii=False, sort_keys=True)
    return str(value).lower() if isinstance(value, bool) else str(value)
