"""The two spellings of field names. Google's servers read `systemInstruction` and `system_instruction` alike.

Maps name both, so each is read. A request that has one field in both spellings is refused, as servers could read either.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.wire.json import MapFields, dotted

_CAPITAL = re.compile(r"[A-Z]")
_LOW = re.compile(r"_([a-z])")
# Below these fields all names are chosen by a user or a model.
_FREE = frozenset(
    (
        *("args", "response", "parameters", "parametersJsonSchema", "responseJsonSchema", "responseSchema", "schema"),
        *("partMetadata", "labels", "customConfigs", "headers"),
    )
)


@cache
def snake(name: str) -> str:
    """Returns the spelling with underscores of a field's name."""
    return _CAPITAL.sub(lambda match: f"_{match[0].lower()}", name)


def camel(name: str) -> str:
    """Returns the spelling with capitals of a field's name."""
    return _LOW.sub(lambda match: match[1].upper(), name)


def both(fields: MapFields) -> MapFields:
    """Returns the map of an object that names each field in both spellings."""
    return {**fields, **{snake(name): value for name, value in fields.items() if isinstance(name, str)}}


def value(node: Any, name: str) -> Any:
    """Returns the field of an object in either spelling; `None` if it is missing."""
    if not isinstance(node, dict):
        return None
    found = node.get(name)
    return node.get(snake(name)) if found is None else found


def check(tree: Mapping[str, Any]) -> None:
    """Raises `DownstreamError`, which names the field, if an object of a request has a field in both spellings."""
    waiting: list[tuple[Any, tuple[str | int, ...]]] = [(tree, ())]
    while waiting:
        node, path = waiting.pop()
        if isinstance(node, list):
            waiting += [(item, (*path, at)) for at, item in enumerate(node) if isinstance(item, (dict, list))]
            continue
        for name, child in node.items():
            wide = camel(name) if "_" in name else name
            if wide != name and wide in node:
                field = dotted((*path, wide))
                message = f"`{field}` is in the request twice, as `{wide}` and as `{name}`"
                raise DownstreamError(ErrorCode.INVALID_VALUE, message, field)
            if isinstance(child, (dict, list)) and wide not in _FREE:
                waiting.append((child, (*path, name)))
