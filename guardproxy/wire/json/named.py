"""Finds the places of a tree whose values name something: the model that answers, a stored answer, a stored item.

In: a tree and the map of its format (`walk.py`), whose leaves say what their values name. Out: those places, and the places
that the map does not list by name, at which another server could read a name. The cost is linear in the tree.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from guardproxy.events import Path
from guardproxy.wire.json.walk import OTHERS, STRUCTURE, UNMAPPED, Map, MapLeaf, is_conversation

_CONVERSATION = frozenset(
    ("system", "user", "assistant", "tool_result", "tool_arguments", "document", "reasoning", "refusal", "error")
)
"""The kinds of texts of a conversation. No server reads the name of a model in them."""
_NO_KINDS: frozenset[str] = frozenset()
_WORDS = frozenset(("structure", "name", "time", "padding"))
_NAMING = re.compile(r".*(?:model|deployment|fallback)(?:s|id|ids|name|names|list|dict|group)?|engine(?:id|name)?")
_HOLDERS = (dict, list)
_CAN_NAME = (str, dict, list)
_WITH_MODEL: Map = {"model": STRUCTURE}
"""The map of an object in place of the name of a model."""


@dataclass(frozen=True, slots=True)
class NamingPlace:
    """A value at a place. `leaf`: the map of the place; `is_listed`: whether the map lists the place by its name."""

    path: Path
    value: Any
    leaf: MapLeaf
    is_listed: bool

    @property
    def is_foreign(self) -> bool:
        """Whether the format does not know the place and the value can say anything: it is or holds a text, or an object
        with any key. Numbers alone name nothing."""
        return not self.is_listed and self.leaf.kind == "unmapped" and _says_something(self.value)

    def names_below(self) -> Iterator[Any]:
        """Yields the values at and below a place that the map does not list, under keys that could name a model. Each is a
        name, or holds names."""
        waiting = [{self.path[-1]: self.value}] if self.path else [self.value]
        for node in waiting:
            if isinstance(node, dict):
                for key, child in node.items():
                    if not isinstance(child, _CAN_NAME):
                        continue
                    if isinstance(key, str) and may_name_model(key):
                        yield child
                    waiting.append(child)
            elif isinstance(node, list):
                waiting += node


def may_name_model(key: str) -> bool:
    """Whether a field with this name could name a model: `model`, `base_model`, `modelId`, `deployment_name`, `fallbacks`."""
    return _NAMING.fullmatch(key.replace("_", "").replace("-", "").casefold()) is not None


def _says_something(value: Any) -> bool:
    waiting = [value]
    for node in waiting:
        if isinstance(node, list):
            waiting += node
        elif node and isinstance(node, (str, dict)):
            return True
    return False


def naming_places(tree: Any, how: Map, *, in_conversations: bool = False) -> list[NamingPlace]:
    """Returns the places whose values name something, and those that the map does not list by name, in document order.
    Places without a value (`null`) are left out. `in_conversations`: whether to look at the messages too."""
    places: list[NamingPlace] = []
    _look(tree, how, (), places, _NO_KINDS if in_conversations else _CONVERSATION, is_listed=True)
    return places


def _look(
    value: Any, how: Map, path: Path, places: list[NamingPlace], skipped: frozenset[str], *, is_listed: bool
) -> None:
    """`skipped`: the kinds of texts at which nothing is looked for."""
    while type(how) is not dict and callable(how):
        if skipped and is_conversation(how):
            return
        how = how(value)
    if type(how) is dict:
        if type(value) is dict:
            others = how.get(OTHERS, UNMAPPED)
            for key, child in value.items():
                if child is not None:
                    its = how.get(key)
                    if its is None:
                        _look(child, others, (*path, key), places, skipped, is_listed=False)
                    elif type(its) is not MapLeaf:
                        _look(child, its, (*path, key), places, skipped, is_listed=True)
                    elif its.names or (its.kind == "unmapped" and (its.how == "text" or type(child) in _HOLDERS)):
                        _see(child, its, (*path, key), places, skipped, is_listed=True)
            return
        others = how.get(OTHERS, UNMAPPED)
        how, is_listed = others if type(others) is MapLeaf else UNMAPPED, False
    elif type(how) is list:
        item = how[0]
        if skipped and is_conversation(item):
            return
        if type(value) is list:
            for at, child in enumerate(value):
                _look(child, item, (*path, at), places, skipped, is_listed=is_listed)
            return
        how, is_listed = (item, is_listed) if type(item) is MapLeaf and item.names else (UNMAPPED, False)
    _see(value, how, path, places, skipped, is_listed=is_listed)


def _see(
    value: Any, leaf: MapLeaf, path: Path, places: list[NamingPlace], skipped: frozenset[str], *, is_listed: bool
) -> None:
    """Notes a value at a leaf of the map, unless it can name nothing."""
    if value is None:
        return
    if leaf.names:
        places.append(NamingPlace(path, value, leaf, is_listed=True))
        if leaf.names == "model" and type(value) in _HOLDERS:
            _look_beside_model(value, path, places, skipped)
    elif leaf.how in _WORDS and type(value) in _HOLDERS:  # the map expects a word
        places.append(NamingPlace(path, value, UNMAPPED, is_listed=False))
    elif leaf.how == "text" and leaf.kind not in skipped and not (is_listed and leaf.kind != "unmapped"):
        places.append(NamingPlace(path, value, leaf, is_listed=False))


def _look_beside_model(value: Any, path: Path, places: list[NamingPlace], skipped: frozenset[str]) -> None:
    """Notes what objects at the place of a model say beside the `model`: a server could read further names there."""
    items = [((*path, at), item) for at, item in enumerate(value)] if type(value) is list else [(path, value)]
    for item_path, item in items:
        if type(item) is dict:
            _look(item, _WITH_MODEL, item_path, places, skipped, is_listed=True)
