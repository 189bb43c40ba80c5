"""JSON pointers (RFC 6901) with `*` for every item of a list, and what follows from them: maps, reads and writes.

In: `/messages/*/content`. Out: a tuple of steps, maps for the walk over a tree, and trees with a value at a pointer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache, partial
from typing import Any, Literal

from guardproxy.events import Path
from guardproxy.findings import Kind
from guardproxy.wire.json import OTHERS, STRUCTURE, Map, MapFields, MapLeaf, part_text, text, unknown

EACH: Literal["*"] = "*"
"""The step to every item of a list."""
Pointer = tuple[str, ...]

ROLES: Mapping[str, Kind] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "model": "assistant",
    "tool": "tool_result",
    "function": "tool_result",
}
"""The kinds of texts that the roles of a message stand for. Any other role may be any of them."""
LeafOf = Callable[[Kind], MapLeaf]
"""Returns the map of a text whose kind the role of its message decides."""
_Leaves = Mapping[Pointer, MapLeaf | LeafOf]


class PointerError(ValueError):
    """A pointer that cannot be used. `pointers`: those that are wrong, the last one first."""

    def __init__(self, message: str, *pointers: Pointer) -> None:
        super().__init__(message)
        self.pointers = pointers


def pointer(written: str) -> Pointer:
    """Returns the steps of a pointer. Raises `PointerError`."""
    if not written.startswith("/") or written == "/":
        raise PointerError("a pointer begins with `/` and names a field, like `/messages/*/content`")
    steps = tuple(_step(part) for part in written[1:].split("/"))
    if steps[0] == EACH:
        raise PointerError("a body is an object: a pointer begins with the name of a field, not with `*`")
    if "" in steps:
        raise PointerError("a pointer has an empty step; remove the second `/`")
    if any(step.isdigit() for step in steps):
        raise PointerError("a pointer names all items of a list, as `*`, never a single one by its number")
    return steps


def _step(part: str) -> str:
    if part.replace("~0", "").replace("~1", "").count("~"):
        raise PointerError("`~` is written as `~0`, and `/` in a name as `~1`")
    # In this order (RFC 6901): `~01` means `~1`, and not `/`.
    return part.replace("~1", "/").replace("~0", "~")


def written(pointer: Pointer) -> str:
    """Returns a pointer as text."""
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in pointer)


def map_of(leaves: _Leaves, role: str = "") -> MapFields:
    """Returns the map with these leaves. A function as a leaf takes the kind that the field `role` of its message names; the
    message is the first list item on the way. Raises `PointerError` if two pointers contradict each other."""
    return _fields(_grouped(leaves, 0), 0, role, None)


def _inner(leaves: _Leaves, depth: int, role: str, kind: Kind | None) -> Map:
    """`depth`: the number of steps that all these pointers share. `kind`: that of the message around, once it is known."""
    below = _grouped(leaves, depth)
    if EACH in below and len(below) > 1:
        raise PointerError("a place is a list for one pointer and an object for another", *reversed(list(leaves)))
    if EACH not in below:
        return _fields(below, depth, role, kind)
    items = below[EACH]
    if kind is None and any(callable(leaf) for leaf in items.values()):
        return [_message(items, depth + 1, role)]
    if kind is None and any(isinstance(leaf, MapLeaf) and leaf.joins for leaf in items.values()):
        return [_item(items, depth + 1, role)]
    return [_child(items, depth + 1, role, kind)]


def _grouped(leaves: _Leaves, depth: int) -> Mapping[str, _Leaves]:
    """Returns the leaves by the step of their pointers at this depth."""
    groups: dict[str, dict[Pointer, MapLeaf | LeafOf]] = {}
    for pointer, leaf in leaves.items():
        groups.setdefault(pointer[depth], {})[pointer] = leaf
    return groups


def _fields(groups: Mapping[str, _Leaves], depth: int, role: str, kind: Kind | None) -> MapFields:
    return {step: _child(group, depth + 1, role, kind) for step, group in groups.items()}


def _child(group: _Leaves, depth: int, role: str, kind: Kind | None) -> Map:
    ends = [pointer for pointer in group if len(pointer) == depth]
    if not ends:
        return _inner(group, depth, role, kind)
    if len(group) > 1:
        raise PointerError(
            "a text is declared as a whole and in parts; keep one of the pointers", *reversed(list(group))
        )
    leaf = group[ends[0]]
    if isinstance(leaf, MapLeaf):
        return leaf
    if kind is None:
        raise PointerError("a kind by role needs a list of messages on the way, like `/messages/*/content`", *ends)
    return leaf(kind)


def _message(items: _Leaves, depth: int, role: str) -> Map:
    """Returns the map of a message: a function that chooses by its role."""

    @cache
    def of(known: Kind | None) -> Map:
        kind: Kind = known or "user"
        leaves = items if known else {pointer: _strange(leaf) for pointer, leaf in items.items()}
        inner = _child(leaves, depth, role, kind)
        return {role: STRUCTURE, **inner, OTHERS: unknown(kind)} if isinstance(inner, dict) else inner

    of("user")  # a contradiction shows when the file is read, not when a request comes

    def choose(value: Any) -> Map:
        name = value.get(role) if isinstance(value, dict) else None
        return of(ROLES.get(name) if isinstance(name, str) else None)

    return choose


def _item(items: _Leaves, depth: int, role: str) -> Map:
    """Returns the map of an item of the first list: a message if it has a role, otherwise a part."""
    alone = {
        pointer: replace(leaf, joins=False) if isinstance(leaf, MapLeaf) and pointer.count(EACH) == 1 else leaf
        for pointer, leaf in items.items()
    }
    message, part = _child(alone, depth, role, None), _child(items, depth, role, None)
    return lambda value: message if isinstance(value, dict) and role in value else part


def _strange(leaf: MapLeaf | LeafOf) -> MapLeaf | LeafOf:
    """The leaf of a message of an unknown role: its texts count as the user's, and as unmapped."""
    if isinstance(leaf, MapLeaf):
        return leaf
    return partial(part_text, unmapped=True) if leaf is by_role_in_parts else unknown


def by_role(kind: Kind) -> MapLeaf:
    """The leaf of a text whose kind the role of its message decides."""
    return text(kind)


def by_role_in_parts(kind: Kind) -> MapLeaf:
    """The same for the texts of the parts of a message."""
    return part_text(kind)


def is_of_part(pointer: Pointer, *, stands_alone: bool) -> bool:
    """Whether the texts at a pointer are those of the parts of a message: the last list on the way is that of the parts.
    `stands_alone`: whether the items of the first list are messages or answers. A single list of texts has no parts."""
    return pointer.count(EACH) > (stands_alone or pointer[-1] == EACH)


def moved(path: Path, old: Pointer, new: Pointer) -> Path | None:
    """Returns the path of a place at or below the pointer `old`, at the same place below `new`, which has as many `*`; `None`
    if the place is elsewhere."""
    if len(path) < len(old) or not all(map(_is_at, path, old)):
        return None
    numbers = iter([step for step in path[: len(old)] if isinstance(step, int)])
    return (*(next(numbers) if step == EACH else step for step in new), *path[len(old) :])


def _is_at(step: str | int, wanted: str) -> bool:
    return isinstance(step, int) if wanted == EACH else step == wanted


def values(tree: Any, pointer: Pointer) -> Iterator[Any]:
    """Yields every value at a pointer."""
    if not pointer:
        yield tree
    elif pointer[0] == EACH:
        for item in tree if isinstance(tree, list) else ():
            yield from values(item, pointer[1:])
    elif isinstance(tree, dict) and pointer[0] in tree:
        yield from values(tree[pointer[0]], pointer[1:])


def value(tree: Any, pointer: Pointer | None) -> Any:
    """Returns the first value at a pointer; `None` if there is none."""
    return None if pointer is None else next(values(tree, pointer), None)


def put(tree: dict[str, Any], pointer: Pointer, new: Any) -> dict[str, Any]:
    """Writes a value at a pointer into the tree, with the objects and lists on the way; returns the tree. `*`: the first
    item."""
    node: Any = tree
    for step, following in zip(pointer, (*pointer[1:], ""), strict=True):
        fresh: Any = new if following == "" else [] if following == EACH else {}
        if step == EACH:
            if not node:
                node.append(fresh)
            elif following == "":
                node[0] = fresh
            node = node[0]
        else:
            if following == "" or step not in node:
                node[step] = fresh
            node = node[step]
    return tree


def without(tree: Any, pointer: Pointer) -> Any:
    """Returns the tree without the field at a pointer that has no `*`."""
    if not isinstance(tree, dict) or pointer[0] not in tree:
        return tree
    if len(pointer) == 1:
        return {key: child for key, child in tree.items() if key != pointer[0]}
    return {**tree, pointer[0]: without(tree[pointer[0]], pointer[1:])}
