"""Further turns of a request in a declared format: the last text of the user goes on with the answer and the feedback."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from guardproxy.wire.contract.turns import ModelTurn
from guardproxy.wire.declared.declaration import BY_ROLE, DeclaredFormat
from guardproxy.wire.declared.pointers import EACH, Pointer, put, value
from guardproxy.wire.json import UNMAPPED, TreeLeaf, edited, read, walk, write
from guardproxy.wire.request.system import SystemChange, changed_messages, text_of_messages


class DeclaredTurns:
    """The turns. `request_map`: the map of requests."""

    def __init__(self, declaration: DeclaredFormat, request_map: Any) -> None:
        self._of = declaration
        self._request_map = request_map

    def _asked(self, tree: Any) -> list[TreeLeaf]:
        """The texts of the user."""
        leaves = walk(tree, self._request_map)
        return [
            leaf for leaf in leaves if leaf.leaf.kind == "user" and not (leaf.key or leaf.number or leaf.leaf.unmapped)
        ]

    def further(self, tree: Mapping[str, Any], turn: ModelTurn, feedback: str) -> dict[str, Any]:
        """Returns the request with the model's answer and `feedback` behind the last text of the user; unchanged if there is
        no such text."""
        copy: dict[str, Any] = dict(tree)
        asked = self._asked(tree)
        if not asked:
            return copy
        last = asked[-1]
        more = f"{last.text}\n\n{turn.in_words()}\n\n{feedback}"
        changed: dict[str, Any] = edited(copy, [(TreeLeaf(last.path, last.text, UNMAPPED), more)])
        return changed

    def first_words(self, tree: Any) -> str:
        """Returns the first text of the user."""
        return next((leaf.text for leaf in self._asked(tree)), "") if isinstance(tree, dict) else ""

    def with_model(self, path: str, tree: Mapping[str, Any], model: str) -> tuple[str, dict[str, Any]]:
        """Returns the request for another model; unchanged if requests of the format name no model."""
        if self._of.request.model is None:
            return path, dict(tree)
        # `put` changes its tree in place.
        copy: dict[str, Any] = read(write(tree))
        if value(copy, self._of.request.model) != model:
            put(copy, self._of.request.model, model)
        return path, copy

    def _system(self) -> Pointer | None:
        """The place of the system prompt: a text of the kind `system`, or the texts of messages by their role."""
        places = self._of.request.texts
        own = next((place for place, kind in places if kind == "system" and EACH not in place), None)
        spoken = (place for place, kind in places if kind == BY_ROLE and place[-2] == EACH and place.count(EACH) == 1)
        return own or next(spoken, None)

    def system_of(self, tree: Any) -> str | None:
        """Returns the system prompt of a request; `None` if the declaration names no place for it."""
        place = self._system()
        if place is None or not isinstance(tree, dict):
            return None
        if EACH in place:
            messages = value(tree, place[:-2])
            return text_of_messages(messages, self._of.request.role, place[-1]) if isinstance(messages, list) else None
        if place[1:] and not isinstance(value(tree, place[:-1]), dict):
            return None
        given = value(tree, place)
        return given if isinstance(given, str) else "" if given is None else None

    def with_system(self, tree: Mapping[str, Any], change: SystemChange) -> dict[str, Any]:
        """Returns the request with a changed system prompt."""
        copy: dict[str, Any] = read(write(tree))
        place = self._system()
        assert place is not None  # noqa: S101 - asked by `system_of`
        if EACH in place:
            role = self._of.request.role
            put(copy, place[:-2], changed_messages(value(copy, place[:-2]), change, {}, role, place[-1]))
        else:
            put(copy, place, change.text(value(copy, place) or ""))
        return copy
