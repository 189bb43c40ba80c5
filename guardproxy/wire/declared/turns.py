"""Further turns of a request in a declared format: the last text of the user goes on with the answer and the feedback."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from guardproxy.wire.declared.declaration import DeclaredFormat
from guardproxy.wire.declared.pointers import put, value
from guardproxy.wire.json import UNMAPPED, TreeLeaf, edited, read, walk, write
from guardproxy.wire.turns import ModelTurn


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
        copy: dict[str, Any] = read(write(tree))
        if value(copy, self._of.request.model) != model:
            put(copy, self._of.request.model, model)
        return path, copy
