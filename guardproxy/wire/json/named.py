"""Finds the places of a tree whose values name something: the model that answers, a stored answer, a stored item.

In: a tree and the map of its format (`walk.py`), whose leaves say what their values name. Out: those places, and the places
that the map does not list by name, at which another server could read a name. The cost is linear in the tree.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from guardproxy.events import Path
from guardproxy.wire.json.walk import OTHERS, STRUCTURE, UNMAPPED, Map, MapFields, MapLeaf, is_conversation

_CONVERSATION = frozenset(
    ("system", "user", "assistant", "tool_result", "tool_arguments", "document", "reasoning", "refusal", "error")
)
"""The kinds of texts of a conversation. No server reads the name of a model in them."""
_NO_KINDS: frozenset[str] = frozenset()
_WORDS = frozenset(("structure", "name", "time", "padding"))
_NAMING = re.compile(r".*(?:model|deployment|fallback)(?:s|id|ids|name|names|list|dict|group)?|engine(?:id|name)?")
_HOLDERS = (dict, list)
_MANY = 10_000
_CAN_NAME = (str, dict, list)
UNREAD = False
"""Stands for names that were not looked for. No server takes it for the name of a model."""
_WITH_MODEL: MapFields = {"model": STRUCTURE}
"""The map of an object instead of the name of a model."""


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


def may_name_model(key: str) -> bool:
    """Whether a field with this name could name a model: `model`, `base_model`, `modelId`, `deployment_name`, `fallbacks`."""
    return _NAMING.fullmatch(key.replace("_", "").replace("-", "").casefold()) is not None


def _says_something(value: Any) -> bool:
    """Whether a value is or holds a text or an object with a key. A value with many items counts as one that does."""
    waiting = [value]
    for node in waiting:
        if isinstance(node, list):
            waiting += node
            if len(waiting) > _MANY:
                return True
        elif node and isinstance(node, (str, dict)):
            return True
    return False


def names_below(places: Iterable[NamingPlace], most_steps: int) -> Iterator[Any]:
    """Yields the values at and below places that the map does not list, under keys that could name a model. Each is a name, or
    holds names. Places with more keys and items than `most_steps` yield `UNREAD` at the end."""
    waiting: list[Any] = [{place.path[-1]: place.value} if place.path else place.value for place in places]
    for node in waiting:
        if not isinstance(node, _HOLDERS):
            continue
        most_steps -= len(node)
        if most_steps < 0:
            yield UNREAD
            return
        if isinstance(node, list):
            waiting += node
            continue
        for key, child in node.items():
            if not isinstance(child, _CAN_NAME):
                continue
            if isinstance(key, str) and may_name_model(key):
                yield child
            waiting.append(child)


def naming_places(tree: Any, how: Map, *, in_conversations: bool = False) -> list[NamingPlace]:
    """Returns the places whose values name something, and those that the map does not list by name, in document order.
    Places without a value (`null`) are left out. `in_conversations`: whether to look at the messages too."""
    return first_naming_places(tree, how, sys.maxsize, in_conversations=in_conversations)[0]


def first_naming_places(
    tree: Any, how: Map, most_steps: int, *, in_conversations: bool = False
) -> tuple[list[NamingPlace], bool]:
    """Returns these places as far as they are found in `most_steps` steps, and whether they are all. A step looks at a value
    that could hold a place."""
    search = _Search(_NO_KINDS if in_conversations else _CONVERSATION, most_steps)
    search.look(tree, how, (), is_listed=True)
    return search.places, search.steps >= 0


class _Search:
    """A search for places. `skipped`: the kinds of texts at which nothing is looked for; `steps`: those that are left, below 0
    once the search has ended early."""

    __slots__ = ("places", "skipped", "steps")

    def __init__(self, skipped: frozenset[str], steps: int) -> None:
        self.places: list[NamingPlace] = []
        self.skipped = skipped
        self.steps = steps

    def look(self, value: Any, how: Map, path: Path, *, is_listed: bool) -> None:
        skipped = self.skipped
        while callable(how):
            if skipped and is_conversation(how):
                return
            how = how(value)
        if isinstance(how, dict):
            if type(value) is dict:
                self._look_at_fields(value, how, path)
                return
            others = how.get(OTHERS, UNMAPPED)
            how, is_listed = others if type(others) is MapLeaf else UNMAPPED, False
        elif isinstance(how, list):
            item = how[0]
            if skipped and is_conversation(item):
                return
            if type(value) is list:
                for at, child in enumerate(value):
                    self.steps -= 1
                    if self.steps < 0:
                        return
                    self.look(child, item, (*path, at), is_listed=is_listed)
                return
            how, is_listed = (item, is_listed) if type(item) is MapLeaf and item.names else (UNMAPPED, False)
        self._see(value, how, path, is_listed=is_listed)

    def _look_at_fields(self, value: dict[Any, Any], how: MapFields, path: Path) -> None:
        others = how.get(OTHERS, UNMAPPED)
        for key, child in value.items():
            if child is None:
                continue
            its = how.get(key)
            # Most members are leaves that name nothing, and these cost no step.
            if type(its) is MapLeaf and not (
                its.names or (its.kind == "unmapped" and (its.how == "text" or type(child) in _HOLDERS))
            ):
                continue
            self.steps -= 1
            if self.steps < 0:
                return
            if its is None:
                self.look(child, others, (*path, key), is_listed=False)
            elif type(its) is MapLeaf:
                self._see(child, its, (*path, key), is_listed=True)
            else:
                self.look(child, its, (*path, key), is_listed=True)

    def _see(self, value: Any, leaf: MapLeaf, path: Path, *, is_listed: bool) -> None:
        """Notes a value at a leaf of the map, unless it can name nothing."""
        if value is None:
            return
        if leaf.names:
            self.places.append(NamingPlace(path, value, leaf, is_listed=True))
            if leaf.names == "model":
                self._look_beside_model(value, path)
        elif leaf.how in _WORDS and type(value) in _HOLDERS:  # the map expects a word
            self.places.append(NamingPlace(path, value, UNMAPPED, is_listed=False))
        elif leaf.how == "text" and leaf.kind not in self.skipped and not (is_listed and leaf.kind != "unmapped"):
            self.places.append(NamingPlace(path, value, leaf, is_listed=False))

    def _look_beside_model(self, value: Any, path: Path) -> None:
        """Notes what objects at the place of a model say beside the `model`: a server could read further names there."""
        if type(value) is dict:
            self._look_at_fields(value, _WITH_MODEL, path)
        elif type(value) is list:
            for at, item in enumerate(value):
                self.steps -= 1
                if self.steps < 0:
                    return
                if type(item) is dict:
                    self._look_at_fields(item, _WITH_MODEL, (*path, at))
