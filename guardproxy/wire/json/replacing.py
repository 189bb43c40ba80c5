"""Puts changed texts back into a JSON tree, each at the place where the walk found it.

In: a tree, and pairs of a leaf and its new text. Out: a copy of the tree. The cost is linear in the tree and the pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from guardproxy.events import Path
from guardproxy.wire.json.numbers import SpelledFloat, SpelledInt
from guardproxy.wire.json.walk import TreeLeaf, reach


def edited(tree: Any, texts: Sequence[tuple[TreeLeaf, str]], *, keeps_spelling: bool = True) -> Any:
    """Returns a copy of `tree` in which changed texts replace the leaves' texts: rows of numbers first, then values, then
    keys, the deepest first. `keeps_spelling`: whether numbers stay as they were spelled; otherwise their values are the same,
    without digits that no check reads."""
    copy = _copy(tree) if keeps_spelling else plain(tree)
    # Rows of numbers first: their parts are leaves of their own too, whose edits must win.
    changed = [(leaf, replacement) for leaf, replacement in texts if leaf.text != replacement]
    for leaf, replacement in changed:
        if leaf.parts:
            _put_row(copy, leaf, replacement)
    for leaf, replacement in changed:
        if not leaf.key and not leaf.parts:
            parent = reach(copy, leaf.path[:-1])
            if leaf.number:
                parent[leaf.path[-1]] = _number(replacement)
            else:
                parent[leaf.path[-1]] = leaf.encode(replacement) if leaf.encode else replacement
    # Keys come last and the deepest first, as the path of a leaf names keys by what they were.
    keys: dict[Path, list[tuple[str, str]]] = {}
    for leaf, replacement in changed:
        if leaf.key:
            keys.setdefault(leaf.path[:-1], []).append((str(leaf.path[-1]), replacement))
    for path, renames in sorted(keys.items(), key=lambda item: -len(item[0])):
        _rename(reach(copy, path), renames)
    return copy


def _put_row(copy: Any, leaf: TreeLeaf, replacement: str) -> None:
    """Puts the numbers of an edited row back. A stop may have cut the row off."""
    old, new = leaf.text.split(" "), replacement.split(" ")
    for index, path in enumerate(leaf.parts):
        part = new[index] if index < len(new) else ""
        if part != old[index]:
            parent = reach(copy, path[:-1])
            parent[path[-1]] = part if isinstance(parent[path[-1]], str) else _number(part)


def _rename(node: dict[str, Any], renames: Sequence[tuple[str, str]]) -> None:
    """Renames keys one after the other, each in its place. If the object already has the new key, only the later of the two
    values stays, at the place of the earlier key."""
    at = {key: number for number, key in enumerate(node)}
    entries: list[tuple[str, Any] | None] = list(node.items())
    for old, new in renames:
        number = at.pop(old, None)
        if number is None or (entry := entries[number]) is None:
            continue
        other = at.get(new)
        value = entry[1]
        if other is not None and (clash := entries[other]) is not None:
            value = value if number > other else clash[1]
            first, second = sorted((number, other))
            entries[second] = None
            number = first
        entries[number] = (new, value)
        at[new] = number
    node.clear()
    node.update(entry for entry in entries if entry is not None)


def _number(digits: str) -> int:
    """Returns the rest of a number. A stop may have cut it off before or after its sign."""
    return int(digits) if digits.strip("-") else 0


def plain(node: Any) -> Any:
    """Returns a copy of a tree whose numbers are not spelled in a certain way."""
    if isinstance(node, dict):
        return {key: plain(child) for key, child in node.items()}
    if isinstance(node, list):
        return [plain(child) for child in node]
    return +node if isinstance(node, (SpelledInt, SpelledFloat)) else node


def _copy(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _copy(child) for key, child in node.items()}
    if isinstance(node, list):
        return [_copy(child) for child in node]
    return node
