"""Compares the options of two checks with the same name and describes the differences in words.

In: `CheckSpec`s. Out: differences. The options table of the check defines which value finds more
(`checks.Option.tighter`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from guardproxy import checks
from guardproxy.policy.values import CheckSpec, Order, canonical, compare_options, same

Effect = Literal["loosens", "tightens", "either", "neutral"]

EFFECTS: Mapping[Order, Effect] = {
    "same": "neutral",
    "tighter": "tightens",
    "looser": "loosens",
    "unclear": "either",
}


class Difference(NamedTuple):
    """A difference in words, and its effect on protection."""

    words: str
    effect: Effect


def options(name: str, old: CheckSpec, new: CheckSpec) -> Iterator[Difference]:
    """Yields the differences between two checks with the name `name`."""
    if old.use != new.use:
        yield Difference(f"`{name}` uses {old.use} -> {new.use}", "either")
        return
    declared = checks.options(old.use)
    for key in sorted({*old.options, *new.options}):
        before, after = old.options.get(key), new.options.get(key)
        if not same(before, after):
            yield from _option(f"`{name}` {key}", declared.get(key), before, after)


def _option(subject: str, option: checks.Option | None, old: Any, new: Any) -> Iterator[Difference]:
    effect = EFFECTS[compare_options(option, old, new)]
    if option and isinstance(option.default, list):
        old, new = (option.default if value is None else value for value in (old, new))
    if isinstance(old, (list, tuple)) and isinstance(new, (list, tuple)):
        yield from _items(subject, option, old, new)
    elif option and option.tighter == "lower" and isinstance(old, Mapping) and isinstance(new, Mapping):
        for label in sorted({*old, *new}):
            before, after = old.get(label), new.get(label)
            if not same(before, after):
                words = f"{subject} of {label} {show(before)} -> {show(after)}"
                yield Difference(words, EFFECTS[compare_options(option, before, after)])
    else:
        yield Difference(f"{subject} {show(old)} -> {show(new)}", effect)


def _items(subject: str, option: checks.Option | None, old: Any, new: Any) -> Iterator[Difference]:
    """Yields the items that a list gained, and the items that it lost."""
    before, after = ({canonical(item): item for item in value} for value in (old, new))
    gained = [after[mark] for mark in after if mark not in before]
    lost = [before[mark] for mark in before if mark not in after]
    common = [before[mark] for mark in before if mark in after]
    if gained:
        effect = EFFECTS[compare_options(option, common, [*common, *gained])]
        yield Difference(f"{subject} gained {', '.join(map(show, gained))}", effect)
    if lost:
        effect = EFFECTS[compare_options(option, [*common, *lost], common)]
        yield Difference(f"{subject} lost {', '.join(map(show, lost))}", effect)


def show(value: Any) -> str:
    """Returns the value of an option as a file writes it."""
    if value is None or value == "":
        return "(nothing)" if value == "" else "(default)"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(show, value))}]"
    if isinstance(value, Mapping):
        return json.dumps(value, ensure_ascii=False, sort_keys=True)
    return str(value).lower() if isinstance(value, bool) else str(value)
