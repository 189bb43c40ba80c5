"""Readers that the formats' request decoders share: the strict body, and type checks that name the field."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.events import Path
from guardproxy.wire.json import JsonFault, Map, MapLeaf, dotted, reach, read

_NAMES = {str: "a string", bool: "true or false", int: "a whole number", list: "a list", dict: "an object"}


def _name(types: type | tuple[type, ...]) -> str:
    return " or ".join(_NAMES[type_] for type_ in (types if isinstance(types, tuple) else (types,)))


def read_body(body: bytes) -> dict[str, Any]:
    """Reads the body as an object. Raises `DownstreamError` (400)."""
    try:
        tree = read(body)
    except JsonFault as fault:
        raise DownstreamError(fault.code, f"the request body: {fault}") from None
    if not isinstance(tree, dict):
        raise DownstreamError(ErrorCode.INVALID_TYPE, "the request body must be a JSON object")
    return tree


@lru_cache(maxsize=1024)
def _folded(names: tuple[object, ...]) -> dict[str, str]:
    """Returns the names of fields that have capitals, by the same names without."""
    return {name.casefold(): name for name in names if isinstance(name, str) and name.casefold() != name}


def refuse_other_case(tree: Any, how: Map) -> list[Path]:
    """Raises `DownstreamError` (400) for a field that has the name of a known field in other letters (`Prompt` for `prompt`).
    Some servers read both as one field, and the last one counts. `how`: the map of the tree. Returns the places with token
    data of an answer (`echo`), for `drop_echoes`."""
    echoes: list[Path] = []
    waiting: list[tuple[Map, Any, Path]] = [(how, tree, ())]
    # The list grows while it is gone through. Recursion would cost a call for each node, and has a limit of depth.
    for inner, node, path in waiting:
        while type(inner) is not dict and callable(inner):
            inner = inner(node)  # noqa: PLW2901
        if type(inner) is MapLeaf:
            if inner.names == "echo" and node:
                echoes.append(path)
        elif type(node) is list:
            if type(inner) is list:
                item_how = inner[0]
                for at, item in enumerate(node):
                    if type(item) is dict or type(item) is list:
                        waiting += ((item_how, item, (*path, at)),)
        elif type(node) is dict and (type(inner) is dict or isinstance(inner, dict)):
            for key, child in node.items():
                if key in inner:
                    if type(child) is dict or type(child) is list:
                        waiting += ((inner[key], child, (*path, key)),)
                elif known := key.casefold() if key.casefold() in inner else _folded(tuple(inner)).get(key.casefold()):
                    place = dotted((*path, key))
                    message = f"`{place}` must be written as `{known}`, as a server may read both as one field"
                    raise DownstreamError(ErrorCode.INVALID_VALUE, message, place)
    return echoes


def drop_echoes(tree: Any, echoes: Sequence[Path]) -> None:
    """Empties the places with token data of an answer. Changes the tree."""
    for path in echoes:
        reach(tree, path[:-1])[path[-1]] = []


def expect_type(
    tree: Any, key: str, types: type | tuple[type, ...], where: str = "", *, required: bool = False
) -> None:
    """Raises `DownstreamError` (400) if `tree[key]` has another type. Absent and null are allowed unless `required`."""
    if type(tree) is not dict:
        raise DownstreamError(ErrorCode.INVALID_TYPE, f"`{where}` must be an object", where)
    value = tree[key] if key in tree else None  # noqa: SIM401 - a step of the hot path
    if type(value) is types or (value is None and not required):
        return
    field = f"{where}.{key}" if where else key
    is_wrong_bool = (value is True or value is False) and types is not bool  # `True` is also an `int`
    if not isinstance(value, types) or is_wrong_bool:
        problem = "is missing" if value is None else f"must be {_name(types)}"
        raise DownstreamError(ErrorCode.INVALID_TYPE, f"`{field}` {problem}", field)


def expect_list(tree: Any, key: str, *, required: bool = False) -> None:
    """Raises `DownstreamError` (400) unless `tree[key]` is a list of objects. `required`: the list may not be empty."""
    if not required and type(tree) is dict and key not in tree:
        return
    expect_type(tree, key, list, required=required)
    items = tree[key] if key in tree else None  # noqa: SIM401 - a step of the hot path
    items = items or []
    if required and not items:
        raise DownstreamError(ErrorCode.INVALID_VALUE, f"`{key}` must not be empty", key)
    for number, item in enumerate(items):
        if type(item) is not dict:
            raise DownstreamError(ErrorCode.INVALID_TYPE, f"`{key}[{number}]` must be an object", f"{key}[{number}]")
