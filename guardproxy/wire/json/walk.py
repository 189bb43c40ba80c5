"""Walks a JSON tree by a map of its format: every leaf is text of a kind, a known word, opaque, or unmapped.

A map is made of: `MapLeaf`s; dicts (known keys of an object); one-element lists (every item of an array); functions that
choose a map by the value (a block's type, a message's role). Places that the map does not know are walked as `unmapped` text,
or by the dict's `OTHERS`: a new field is never skipped. A place of structure passes the words of `identifiers.py`; an
opaque place passes content that looks opaque (`opaque.py`). Any other string at these places is text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from functools import cache
from typing import Any, Literal, TypeAlias, final

from msgspec import Struct

from guardproxy.concurrency import stop_point
from guardproxy.events import Path
from guardproxy.findings import Kind
from guardproxy.wire.json.identifiers import is_known, is_padding, is_short, undated
from guardproxy.wire.json.numbers import NUMBER_LIMIT, digits_of, is_row, part_of
from guardproxy.wire.json.opaque import NOT_KEPT, inspect, inspect_url_safe
from guardproxy.wire.json.vocabulary import SHARED, Vocabulary

__all__ = ["NUMBER_LIMIT"]

How = Literal["text", "json", "structure", "name", "time", "padding", "opaque", "tokens", "token_ids", "secret"]
Named = Literal["", "model", "router", "answer", "item", "echo"]


@final
@dataclass(frozen=True, slots=True)
class MapLeaf:
    """How to read a place. `text`: text of `kind`, with all strings, long numbers and keys below it, except for words.
    `json`: the same, written as JSON in a string. `structure`: a word of the protocol; an unknown word is scanned. `name`:
    the same, but every word is scanned. `time`: a moment (RFC 3339) or nanoseconds that a server's clock writes; any other
    value is read as `structure`. `padding`: random characters that hide the length of a text; what could hold a number or a key
    is read as `structure`. `opaque`: content of the kind `media` that no check can read; it is text if it does
    not look like that kind; `declared` is the media type beside it. `tokens`: everything below it is token data of an answer
    and not text. `token_ids`: integers that stand for text; anything else there has the kind `not_token_ids`. `secret`: a
    string here is a credential, or the name of content of the kind `media` that the upstream holds: no check reads it, and no
    record shows it.

    `unmapped`: the format does not know the place, whatever the kind. `fixed`: an edit would break the protocol. `url_safe`:
    an opaque place that takes base64 in the alphabet of URLs as well.

    `joins`: the text is a part: the texts at this place of all items of a list are one text to a model or client.

    `names`: what a value here names, however it is read (`named.py`): a `model` that may answer; a `router`, by which the
    provider chooses the model; a stored `answer` or conversation; a stored `item` of one. `echo`: it names nothing, but holds
    token data of an answer that a client sends back; it is removed from the request (`request/requests.py`).
    """

    how: How
    kind: Kind = "unmapped"
    media: str = ""
    declared: str | None = None
    unmapped: bool = False
    fixed: bool = False
    url_safe: bool = False
    joins: bool = False
    names: Named = ""


def conversation(choose: MapChoice) -> MapChoice:
    """Marks the map of a message or of its content, in which no place names anything. `choose`: gives the map of a value."""
    vars(choose)["is_conversation"] = True
    return choose


def is_conversation(how: Map) -> bool:
    """Whether a map is marked as that of a conversation."""
    return getattr(how, "is_conversation", False) is True


class Rest(Enum):
    """The keys of a map that are no names of fields. `OTHERS`: all other fields; `KEYS`: the names of those fields, which are
    text too. Without `KEYS`, the names are read as `OTHERS` says."""

    OTHERS = "others"
    KEYS = "keys"

    __hash__ = object.__hash__  # a step of the hot path; that of `Enum` is written in Python


MapKey: TypeAlias = str | Rest
MapFields: TypeAlias = "dict[MapKey, Map]"
"""The map of an object."""
MapChoice: TypeAlias = "Callable[[Any], Map]"
"""Chooses the map of a value."""
Map: TypeAlias = "MapLeaf | MapFields | list[Map] | MapChoice"
OTHERS = Rest.OTHERS
KEYS = Rest.KEYS
UNMAPPED = MapLeaf("text", "unmapped", unmapped=True)
STRUCTURE = MapLeaf("structure")
NAME = MapLeaf("name", names="model")
TIME = MapLeaf("time")
PADDING = MapLeaf("padding")
TOKENS = MapLeaf("tokens")
TOKEN_IDS = MapLeaf("token_ids")
NOT_TOKEN_IDS = MapLeaf("token_ids", media="not_token_ids")
SECRET = MapLeaf("secret", media="secret")
_FIXED = MapLeaf("text", "metadata", fixed=True)

# Identifiers, model names, enum words. Spaces, @ and most punctuation make a "word" text.
_WORD = re.compile(r"[A-Za-z0-9_.:/+=-]{0,256}", re.ASCII)
_MOMENT = re.compile(r"2\d{3}-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-6]\d(?:\.\d{1,9})?(?:Z|[+-][01]\d:[0-5]\d)", re.ASCII)
_MOST_NANOSECONDS = 10**13  # almost three hours; card numbers are longer
_PLAIN_KEY = re.compile(r"[A-Za-z_$-]{1,40}", re.ASCII)
_NUMBERS = (int, float)
_FEW_NUMBERS = 8  # a longer array of numbers at an unknown place may be token ids
# Fields in which servers take token ids instead of a text.
_TOKEN_FIELDS = frozenset(
    (
        "prompt_token_ids",
        "input_ids",
        "token_ids",
        "prompt_tokens_ids",
        "input_token_ids",
        "context",
        "prompt",
        "content",
    )
)
# Kinds of texts that are data and not said to a model.
_NO_TOKENS: frozenset[Kind] = frozenset(("tool_arguments", "tool_definition", "metadata", "error"))


class TreeLeaf(Struct, frozen=True):
    """One leaf of a tree. `number`: the text is a number's digits. `parts`: the places of the short numbers of a row, whose
    digits are the text. `encode`: writes an edited text in the form that the tree needs."""

    path: Path
    text: str
    leaf: MapLeaf
    key: bool = False
    number: bool = False
    parts: tuple[Path, ...] = ()
    encode: Callable[[str], str] | None = None


@cache
def text(kind: Kind) -> MapLeaf:
    return MapLeaf("text", kind)


@cache
def part_text(kind: Kind, *, unmapped: bool = False) -> MapLeaf:
    """Returns the map of the text of a part. `unmapped`: whether the format does not know such parts."""
    return MapLeaf("text", kind, unmapped=unmapped, joins=True)


@cache
def unknown(kind: Kind) -> MapLeaf:
    """Returns the map of a text of this kind at a place that the format does not know."""
    return MapLeaf("text", kind, unmapped=True)


@cache
def naming(names: Named, leaf: MapLeaf = STRUCTURE) -> MapLeaf:
    """Returns the map of a place that is read as `leaf` says and whose value names something."""
    return replace(leaf, names=names)


def opaque(media: str, kind: Kind, declared: str | None = None, *, url_safe: bool = False) -> MapLeaf:
    return MapLeaf("opaque", kind, media, declared, url_safe=url_safe)


def is_word(text: str) -> bool:
    """Whether a string has the shape of a protocol's word."""
    return _WORD.fullmatch(text) is not None


def is_moment(text: str) -> bool:
    """Whether a string is a moment in the form of RFC 3339."""
    return _MOMENT.fullmatch(text) is not None


_SHAPES: dict[str, Callable[[str], bool]] = {"time": is_moment, "padding": is_padding}  # beside words, at a place


def is_plain_key(key: str) -> bool:
    """Whether an object's key has the shape of a field name. A plain field name does not count as unmapped text."""
    return _PLAIN_KEY.fullmatch(key) is not None


def walk(value: Any, how: Map, path: Path = (), words: Vocabulary = SHARED) -> Iterator[TreeLeaf]:
    """Yields every leaf below `value` that is text or opaque, in document order. A row of short numbers comes after its last
    number. `words`: the vocabulary of the format."""
    out: list[TreeLeaf | None] = []
    row = _Row(out, words)
    _walk(value, how, path, out, row)
    row.end()
    return (leaf for leaf in out if leaf is not None)


def _walk(value: Any, how: Map, path: Path, out: list[TreeLeaf | None], row: _Row) -> None:
    while callable(how):
        how = how(value)
    if isinstance(how, dict):
        if isinstance(value, dict):
            _object(value, how, path, out, row)
            return
        others = how.get(OTHERS, UNMAPPED)
        how = others if isinstance(others, MapLeaf) else UNMAPPED
    elif isinstance(how, list):
        item = how[0]
        if isinstance(value, list) and _fits(value, item):
            for index, child in enumerate(value):
                _walk(child, item, (*path, index), out, row)
            return
        how = _scalar_map(item) if isinstance(value, list) else UNMAPPED
    _below(value, how, path, out, row)


def _object(value: dict[str, Any], how: MapFields, path: Path, out: list[TreeLeaf | None], row: _Row) -> None:
    stop_point()
    others = how.get(OTHERS, UNMAPPED)
    named = how.get(KEYS, others)
    its = named if isinstance(named, MapLeaf) else UNMAPPED
    for key, child in value.items():
        if key not in how:
            # A model reads a key that the format does not have like any other text.
            if key not in row.words.keys:
                out.append(TreeLeaf((*path, key), key, its, key=True))
            if key in _TOKEN_FIELDS and _holds_tokens(child):
                out.append(TreeLeaf((*path, key), "", _ids_at(child, TOKEN_IDS)))
                continue
        its_how = how.get(key, others)
        if type(its_how) is not MapLeaf:
            _walk(child, its_how, (*path, key), out, row)
        elif child is not None:  # most places are leaves
            _below(child, its_how, (*path, key), out, row)


def _fits(value: list[Any], item: Map) -> bool:
    """Whether an array holds items that the map expects: words or objects, not numbers."""
    if isinstance(item, MapLeaf):
        return not any(part_of(child) or isinstance(child, list) for child in value)
    return any(isinstance(child, dict) for child in value)


def _scalar_map(item: Map) -> MapLeaf:
    """Returns the map of the items of an array that should hold objects but holds none."""
    while callable(item):
        item = item("")
    leaf = item.get(OTHERS, UNMAPPED) if isinstance(item, dict) else item
    return leaf if isinstance(leaf, MapLeaf) and leaf.how == "text" else UNMAPPED


class _Row:
    """Collects short numbers that follow each other. Keys, `null`, `true` and `false` between them do not end a row. `words`:
    of the walk."""

    __slots__ = ("_digits", "_keyed", "_leaf", "_out", "_own", "_parts", "words")

    def __init__(self, out: list[TreeLeaf | None], words: Vocabulary) -> None:
        self.words = words
        self._out = out
        self._leaf = UNMAPPED
        self._parts: list[tuple[Path, str]] = []
        self._own: list[int] = []  # where in `out` the parts are leaves of their own
        self._digits = 0
        self._keyed = False

    def see(self, value: Any, leaf: MapLeaf, path: Path) -> None:
        """Takes the next scalar, before it is added to `out` as a leaf of its own."""
        part = part_of(value)
        if not part:
            self.end()
            return
        if not self._parts:
            self._leaf = leaf
        if isinstance(value, str):
            self._own.append(len(self._out))
        self._keyed = self._keyed or isinstance(path[-1] if path else "", str)
        self._digits += len(part)
        self._parts.append((path, part))

    def end(self) -> None:
        """Ends the row, as a value that is not a scalar follows."""
        if self._parts:
            if is_row(self._digits, len(self._parts), keyed=self._keyed):
                for index in self._own:
                    self._out[index] = None
                digits = " ".join(part for _, part in self._parts)
                parts = tuple(path for path, _ in self._parts)
                self._out.append(TreeLeaf(parts[0], digits, self._leaf, number=True, parts=parts))
            self._parts, self._own, self._digits, self._keyed = [], [], 0, False


def _below(value: Any, leaf: MapLeaf, path: Path, out: list[TreeLeaf | None], row: _Row) -> None:
    if leaf.how in ("tokens", "token_ids"):
        if value:
            out.append(TreeLeaf(path, "", leaf if leaf.how == "tokens" else _ids_at(value, leaf)))
    elif value is None or value is True or value is False:
        pass
    elif isinstance(value, str):
        if leaf.how == "text":
            if value:
                row.end() if leaf.joins else row.see(value, leaf, path)
                out.append(TreeLeaf(path, value, leaf))
        else:
            row.end()
            _string(value, leaf, path, out, row.words)
    elif isinstance(value, dict):
        leaf = _inside(leaf)
        is_said = leaf.kind not in _NO_TOKENS
        is_part = is_said and bool(path) and type(path[-1]) is int
        for key, child in value.items():
            if key and key not in row.words.keys:
                out.append(TreeLeaf((*path, key), key, leaf, key=True))
            if is_said and key in _TOKEN_FIELDS and _holds_tokens(child):
                out.append(TreeLeaf((*path, key), "", _ids_at(child, TOKEN_IDS)))
            elif is_part and key == "text" and isinstance(child, str):  # a list of parts, as contents have it
                _below(child, part_text(leaf.kind, unmapped=leaf.unmapped), (*path, key), out, row)
            else:
                _below(child, leaf, (*path, key), out, row)
    elif isinstance(value, list):
        leaf = _inside(leaf)
        if leaf.kind not in _NO_TOKENS and _are_tokens(value):
            out.append(TreeLeaf(path, "", _ids_at(value, TOKEN_IDS)))
            return
        for index, child in enumerate(value):
            _below(child, leaf, (*path, index), out, row)
    else:
        _number_at(value, leaf, path, out, row)


def _number_at(value: float, leaf: MapLeaf, path: Path, out: list[TreeLeaf | None], row: _Row) -> None:
    if leaf.how == "time" and isinstance(value, int) and 0 <= value < _MOST_NANOSECONDS:
        row.end()
        return
    is_text = leaf.how in ("text", "json", "secret")
    if is_text:
        row.see(value, _inside(leaf), path)
    else:
        row.end()
    digits = digits_of(value)
    if digits and (is_text or not _is_plain_number(value)):
        out.append(TreeLeaf(path, digits, _inside(leaf) if is_text else _FIXED, number=True))


def _is_plain_number(value: float) -> bool:
    """Whether a long number at a place of structure is a time of this century in seconds."""
    return isinstance(value, int) and 10**9 <= value < 2**32


def _string(value: str, leaf: MapLeaf, path: Path, out: list[TreeLeaf | None], words: Vocabulary) -> None:
    """Reads a string at a place that is not plain text."""
    match leaf.how:
        case "name":
            if not is_short(value):
                out.append(TreeLeaf(path, undated(value), _FIXED if is_word(value) else UNMAPPED))
        case "structure" | "time" | "padding":
            if is_known(value, words.values) or (leaf.how in _SHAPES and _SHAPES[leaf.how](value)):
                return
            # An edit of a string that cannot be a word breaks nothing.
            out.append(TreeLeaf(path, value, _FIXED if is_word(value) else UNMAPPED))
        case "secret" if value:
            out.append(TreeLeaf(path, "", leaf))
        case "opaque" if value:
            look = (inspect_url_safe if leaf.url_safe else inspect)(value, leaf.media, leaf.declared)
            if look.media:
                out.append(TreeLeaf(path, "", replace(leaf, media=look.media)))
            else:
                scanned = value if look.text is None else look.text
                if scanned:
                    its = MapLeaf("text", leaf.kind, fixed=look.fixed)
                    out.append(TreeLeaf(path, scanned, its, encode=look.encode))
        case _ if value:
            out.append(TreeLeaf(path, value, leaf))


def _holds_tokens(value: Any) -> bool:
    """Whether a field of token ids holds token ids, and not only text."""
    if isinstance(value, str):
        return value == NOT_KEPT
    if isinstance(value, list):
        # A few items tell. No list has to be read to its end for this.
        inner = (item[: _FEW_NUMBERS + 1] if isinstance(item, list) else (item,) for item in value)
        return any(_is_number(number) for items in inner for number in items)
    return False


def _ids_at(value: Any, leaf: MapLeaf) -> MapLeaf:
    """Returns how to list a place for token ids. What is not a token id, such as a text between them, has a kind of its own."""
    return leaf if _are_ids(value) else NOT_TOKEN_IDS


def _are_ids(value: Any) -> bool:
    """Whether a value is a token id, or lists of token ids: integers that are too small to hold anything else."""
    if type(value) is list:
        if not {int}.issuperset(map(type, value)):
            return all(map(_are_ids, value))
        return not value or (min(value) >= 0 and max(value) < NUMBER_LIMIT)
    return (type(value) is int and 0 <= value < NUMBER_LIMIT) or value == NOT_KEPT


def _are_tokens(value: list[Any]) -> bool:
    """Whether an array at an unknown place can hold token ids: it, or an array in it, has more than a few numbers."""
    count = 0
    for item in value:
        if _is_number(item):
            count += 1
        elif isinstance(item, list):
            count += sum(1 for inner in item[: _FEW_NUMBERS + 1] if _is_number(inner))
        if count > _FEW_NUMBERS:
            return True
    return False


def _is_number(value: Any) -> bool:
    return isinstance(value, _NUMBERS) and not isinstance(value, bool)


def _inside(leaf: MapLeaf) -> MapLeaf:
    """Returns the map of the items of an array or object at a place for a string."""
    if leaf.how == "text":
        return leaf
    return MapLeaf("text", leaf.kind) if leaf.how == "json" else UNMAPPED


def members(value: Any) -> dict[str, Any]:
    """Returns an object; empty if the value is not an object."""
    return value if isinstance(value, dict) else {}


def objects(value: Any) -> list[dict[str, Any]]:
    """Returns the objects of a list; empty if the value is not a list."""
    if type(value) is list and len(value) == 1 and type(value[0]) is dict:
        return value  # a step of the hot path
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def listed(tree: Any, key: str) -> list[Any]:
    """Returns the list `tree[key]`; empty if there is none."""
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
