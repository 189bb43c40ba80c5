"""Maps of a conversation that formats share: of a content, which is a text or a list of parts, and of a message by its role."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from guardproxy.findings import Kind
from guardproxy.wire.json import (
    OTHERS,
    TOKEN_IDS,
    UNMAPPED,
    Map,
    MapChoice,
    MapFields,
    MapLeaf,
    conversation,
    part_text,
    text,
    unknown,
)

Part = Callable[[Kind, MapLeaf], Map]
"""Returns the map of a part of a content. In: the kind of its text, and the map of fields and parts of unknown types."""


def content(part: Part, kind: Kind, others: MapLeaf = UNMAPPED) -> MapChoice:
    """Returns the map of a content of this kind. `others`: the map of parts of unknown types."""

    def choose(value: Any) -> Map:
        if not isinstance(value, list):
            return text(kind)
        if any(isinstance(item, dict) for item in value):
            return [part(kind, others)]
        numbers = any(not isinstance(item, str) and item is not None for item in value)
        return TOKEN_IDS if numbers else part_text(kind, unmapped=True)

    return choose


def message(roles: Mapping[str, Kind], part: Part, fields: Callable[[Kind, Map], MapFields]) -> MapChoice:
    """Returns the map of a message. `roles`: the kinds of the texts of each known role; `fields`: the fields of a message whose
    texts have this kind and whose content has this map. An unknown role may be any role: its texts count as the user's, and as
    unmapped."""

    @cache
    def of(known: Kind | None) -> Map:
        kind = known or "user"
        mapped = content(part, kind, unknown(kind)) if known else unknown(kind)
        return {**fields(kind, mapped), OTHERS: unknown(kind)}

    def choose(value: Any) -> Map:
        role = value.get("role") if isinstance(value, dict) else None
        return of(roles.get(role) if isinstance(role, str) else None)

    return conversation(choose)
