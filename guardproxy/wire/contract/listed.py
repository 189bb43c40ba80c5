"""Lists in answers whose entries stand for themselves, such as the tools of a server: an entry can be left out.

In: the path of a text, or the tree of a frame. Out: the place of the entry that holds the text, and a tree without entries. A
rule that blocks a text of an entry leaves out the entry, and not the whole answer.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from guardproxy.events import Path

_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class ListedEntries:
    """The lists of a format. `place`: matches the beginning of the path of each text of an entry, which is the place of the
    entry."""

    place: re.Pattern[str]

    def entry_of(self, path: str) -> str:
        """Returns the place of the entry that a text belongs to; empty if it belongs to none."""
        match = self.place.match(path)
        return match[0] if match else ""


def without_entries(tree: Any, places: Collection[str]) -> Any:
    """Returns a tree without the items of lists at these places, such as `result.tools[2]`."""
    by_list: dict[Path, set[int]] = {}
    for place in places:
        steps = [int(match[2]) if match[2] else match[1] for match in _STEP.finditer(place)]
        by_list.setdefault(tuple(steps[:-1]), set()).add(int(steps[-1]))
    for path, numbers in by_list.items():
        tree = _without(tree, path, numbers)
    return tree


def _without(node: Any, path: Path, numbers: Collection[int]) -> Any:
    if not path:
        return [item for number, item in enumerate(node) if number not in numbers]
    copy = list(node) if isinstance(node, list) else dict(node)
    copy[path[0]] = _without(node[path[0]], path[1:], numbers)  # type: ignore[index]
    return copy
