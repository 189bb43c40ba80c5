"""Restores the order in which the members of a recorded request were sent.

The log sorts the keys of every object, but a rule with `and` decides at the last of its texts. The record lists the
texts of a request in their order of arrival, so the order of the members follows from their paths.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from guardproxy.wire.json import dotted

_KEY = "#key"  # ends the path of a text that is the name of a member


def in_order(tree: Any, paths: Iterable[str]) -> Any:
    """Returns a copy of `tree` whose objects list their members in the order of the texts in them. `paths`: the paths
    of all texts, in order. A member without a text comes after the members with texts."""
    ranks: dict[str, int] = {}
    for rank, path in enumerate(paths):
        ranks.setdefault(path, rank)
    return _order(tree, (), ranks, len(ranks))[0]


def _order(node: Any, path: tuple[str | int, ...], ranks: dict[str, int], last: int) -> tuple[Any, int]:
    """Returns the node in order, and the rank of its first text."""
    name = dotted(path)
    first = min(ranks.get(name, last), ranks.get(name + _KEY, last))
    if isinstance(node, dict):
        members = {key: _order(child, (*path, key), ranks, last) for key, child in node.items()}
        ranked = sorted(members.items(), key=lambda member: member[1][1])
        return {key: child for key, (child, _) in ranked}, min([first, *(rank for _, (_, rank) in ranked)])
    if isinstance(node, list):
        items = [_order(child, (*path, index), ranks, last) for index, child in enumerate(node)]
        return [child for child, _ in items], min([first, *(rank for _, rank in items)])
    return node, first
