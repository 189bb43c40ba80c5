"""The walk over a JSON tree by a map of its format: every string leaf is text of a kind, structure, opaque, or unmapped.

A map is made of: `Leaf`s; dicts (known keys of an object); one-element lists (every item of an array); functions that
choose a map by the value (a block's type, a message's role). What the map does not know is walked as `unmapped` text, or
as the dict's `OTHERS` says: nothing is passed over because it is new.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from guardproxy.events import Path
from guardproxy.findings import Kind
from guardproxy.wire.words import WORDS

How = Literal["text", "json", "structure", "opaque", "tokens"]


@dataclass(frozen=True, slots=True)
class Leaf:
    """How a place is read. `text`: text of `kind`, with all strings, long numbers and keys below it, but for words. `json`: the
    same, written as JSON in a string. `structure`: a word of the protocol, not scanned, but held to a word's shape.
    `opaque`: a string that no check can read; counted, not changed. `tokens`: all below it is token data, of which none
    is a text."""

    how: How
    kind: Kind = "unmapped"


Map = Any  # Leaf | dict[str, Map] | list[Map] | Callable[[Any], Map]; a recursive alias that mypy cannot hold
OTHERS = object()  # in a dict: the map of the keys that it does not name; they themselves are text of `KEYS`
KEYS = object()
UNMAPPED = Leaf("text", "unmapped")
STRUCTURE = Leaf("structure")
OPAQUE = Leaf("opaque")
TOKENS = Leaf("tokens")

# Identifiers, model names, enum words. Spaces, @ and most punctuation make a "word" text, to be scanned.
_WORD = re.compile(r"[A-Za-z0-9_.:/+=-]{0,256}", re.ASCII)
_PLAIN_KEY = re.compile(r"[A-Za-z_$-]{1,40}", re.ASCII)
NUMBER_LIMIT = 10**8  # nine digits: shorter numbers cannot hold a card, an account or a social security number


@dataclass(frozen=True, slots=True)
class Found:
    """One leaf of a tree."""

    path: Path
    text: str
    leaf: Leaf
    key: bool = False
    number: bool = False


def text(kind: Kind) -> Leaf:
    return Leaf("text", kind)


def is_word(text: str) -> bool:
    """Whether a string has the shape of a protocol's word, which is all that a place of structure lets pass unscanned."""
    return _WORD.fullmatch(text) is not None


def is_plain_key(key: str) -> bool:
    """Whether an object's key has the shape of a field's name: nobody need be told of a field that is new."""
    return _PLAIN_KEY.fullmatch(key) is not None


def walk(value: Any, how: Map, path: Path = ()) -> Iterator[Found]:
    """Every leaf below `value` that is text or opaque, in document order."""
    while callable(how):
        how = how(value)
    if isinstance(how, dict):
        if isinstance(value, dict):
            others = how.get(OTHERS, UNMAPPED)
            for key, child in value.items():
                if key not in how and key not in WORDS:
                    yield Found((*path, key), key, how.get(KEYS, UNMAPPED), key=True)
                yield from walk(child, how.get(key, others), (*path, key))
            return
        how = UNMAPPED
    elif isinstance(how, list):
        if isinstance(value, list):
            for index, child in enumerate(value):
                yield from walk(child, how[0], (*path, index))
            return
        how = UNMAPPED
    yield from _below(value, how, path)


def _below(value: Any, leaf: Leaf, path: Path) -> Iterator[Found]:
    if leaf.how == "tokens":
        if value:
            yield Found(path, "", leaf)
    elif isinstance(value, str):
        if leaf.how == "structure":
            if not is_word(value):
                yield Found(path, value, UNMAPPED)
        elif value:
            yield Found(path, value, leaf)
    elif isinstance(value, dict):
        leaf = _inside(leaf)
        for key, child in value.items():
            if key and key not in WORDS:
                yield Found((*path, key), key, leaf, key=True)
            yield from _below(child, leaf, (*path, key))
    elif isinstance(value, list):
        leaf = _inside(leaf)
        for index, child in enumerate(value):
            yield from _below(child, leaf, (*path, index))
    elif leaf.how in ("text", "json") and isinstance(value, (int, float)) and abs(value) >= NUMBER_LIMIT:
        digits = str(value) if isinstance(value, int) else f"{value:.0f}"
        yield Found(path, digits, _inside(leaf), number=True)


def _inside(leaf: Leaf) -> Leaf:
    """How the parts of an array or object are read that stands where a string should."""
    if leaf.how == "text":
        return leaf
    return text(leaf.kind) if leaf.how == "json" else UNMAPPED


def edited(tree: Any, texts: Sequence[tuple[Found, str]]) -> Any:
    """A copy of `tree` with the leaves' texts replaced; values first, then keys, the deepest first."""
    copy = _copy(tree)
    keys: dict[Path, list[tuple[str, str]]] = {}
    for found, replacement in texts:
        if found.key:
            keys.setdefault(found.path[:-1], []).append((str(found.path[-1]), replacement))
        else:
            parent = reach(copy, found.path[:-1])
            parent[found.path[-1]] = _number(replacement) if found.number else replacement
    for path, renames in sorted(keys.items(), key=lambda item: -len(item[0])):
        _rename(reach(copy, path), renames)
    return copy


def _rename(node: dict[str, Any], renames: Sequence[tuple[str, str]]) -> None:
    """Renames keys one after the other, each in its place. A key that is renamed to one that the object has takes over its
    value: the later of the two in the object's order stays, where the earlier one stood."""
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
    """What is left of a number, which a stop may have cut off before or after its sign."""
    return int(digits) if digits.strip("-") else 0


def _copy(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _copy(child) for key, child in node.items()}
    if isinstance(node, list):
        return [_copy(child) for child in node]
    return node


def listed(tree: Any, key: str) -> list[Any]:
    """The list `tree[key]`; empty where there is none."""
    value = tree.get(key)
    return value if isinstance(value, list) else []


def reach(node: Any, path: Path) -> Any:
    for step in path:
        node = node[step]
    return node


def dotted(path: Path) -> str:
    """`("messages", 2, "content")` as `messages[2].content`."""
    out = ""
    for step in path:
        out += f"[{step}]" if isinstance(step, int) else f".{step}" if out else step
    return out
