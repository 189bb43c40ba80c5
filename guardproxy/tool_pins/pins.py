"""Pins of tools: what their definitions were when a person approved them.

In: definitions of tools, and the pins of a file. Out: how a definition differs from its pin, whether it is a near copy of a
pinned tool under another name, and whether its name is that of a tool of another server. A pin holds digests and no text of a
definition.

A fingerprint covers the name, the description, the schema and all other members of a definition, exactly: an invisible
character is a change. Copies are found by the letters of the name and by sketches (MinHash) of the words of the description
and the schema, folded, so that case, width, accents and invisible characters hide nothing. The cost is linear in the
definition: few sketches are compared, whatever the number of pins."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from guardproxy.concurrency import lazy

VERSION = 1
PinLabel = Literal["CHANGED", "SHADOWED", "NEAR_COPY", "NEW"]
LABELS: tuple[PinLabel, ...] = ("CHANGED", "SHADOWED", "NEAR_COPY", "NEW")
LIMIT_PINS = 20_000
_SCHEMAS = ("inputSchema", "input_schema", "parameters", "parametersJsonSchema", "parameters_json_schema")
_INSIDE = ("function", "custom")
_IGNORED = frozenset(("cache_control", "_meta", "icons", "defer_loading", "strict"))
_CARRIERS = _INSIDE  # types that say only how an API writes the definition; any other says which tool it is
_WORDS = 2000  # words of a definition that count for its sketch
_ROWS = 3  # hashes of a band: two sketches with an equal band are compared
_ALIKE = 0.6  # the share of equal hashes from which two definitions are copies
_LEAST_WORDS = 6  # a sketch of fewer words says nothing
_SEEDS = 8  # half of the hashes of a sketch
_WORD = re.compile(r"\w+")
_LOOKS = str.maketrans("01345l", "oieasi")


@dataclass(frozen=True, slots=True)
class ToolDefinition:
    """A definition of a tool as a request or a server offers it. `tree`: the entry. `server`: that offers it, empty if it is a
    client. `twin`: the pin of another one before it in the same list, whose name reads the same."""

    name: str
    server: str
    tree: Any
    twin: ToolPin | None = None

    @property
    def digest(self) -> str:
        """Identifies the definition, whatever the API that it is written for."""
        return "sha256:" + hashlib.sha256(_canonical(_parts(self))).hexdigest()

    @property
    def sketch(self) -> tuple[int, ...]:
        """The sketch of its words; empty if they are too few."""
        parts = _parts(self)
        words = _folded_words([parts["description"], parts["schema"]])
        if len(words) < _LEAST_WORDS:
            return ()
        shingles = {" ".join(words[at : at + 2]) for at in range(len(words) - 1)}
        hashes = [hashlib.blake2b(each.encode(), digest_size=8 * _SEEDS).digest() for each in shingles]
        return tuple(
            min(int.from_bytes(digest[seed * 8 : seed * 8 + 4], "big") for digest in hashes) for seed in range(_SEEDS)
        ) + tuple(
            min(int.from_bytes(digest[seed * 8 + 4 : seed * 8 + 8], "big") for digest in hashes)
            for seed in range(_SEEDS)
        )


def _parts(definition: ToolDefinition) -> dict[str, Any]:
    tree = definition.tree if isinstance(definition.tree, Mapping) else {"value": definition.tree}
    # Readers of a definition that has a name of its own need not look into such a member, and it is one of many then.
    inside = next((key for key in _INSIDE if isinstance(tree.get(key), Mapping) and "name" not in tree), "")
    inner = tree[inside] if inside else tree
    schema = next((key for key in _SCHEMAS if key in inner), "")
    known = {schema, "name", "description"}
    more = {key: value for key, value in _telling(inner) if key not in known}
    beside = {key: value for key, value in _telling(tree) if inside and key != inside}
    if beside:
        more["beside"] = [beside, more.get("beside")]
    return {"name": definition.name, "description": inner.get("description"), "schema": inner.get(schema), "more": more}


def _telling(tree: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yields the members that say what a tool is."""
    for key, value in tree.items():
        if key not in _IGNORED and not (key == "type" and value in _CARRIERS):
            yield key, value


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str).encode("utf-8", "surrogatepass")


def _folded_words(values: list[Any]) -> list[str]:
    """Returns the words of strings and keys in these values, folded."""
    words: list[str] = []
    waiting = list(reversed(values))
    while waiting and len(words) < _WORDS:
        node = waiting.pop()
        if isinstance(node, str):
            words += _WORD.findall(_folded(node[: 20 * _WORDS]))
        elif isinstance(node, Mapping):
            for key, value in sorted(node.items(), key=lambda item: str(item[0]), reverse=True):
                waiting += value, str(key)
        elif isinstance(node, list):
            waiting += reversed(node)
    return words[:_WORDS]


def _folded(text: str) -> str:
    if text.isascii():
        return text.lower()
    apart = unicodedata.normalize("NFKD", text).casefold()
    return "".join(char for char in apart if unicodedata.category(char) not in ("Mn", "Cf", "Cc"))


def name_key(name: str) -> str:
    """Returns the letters and digits of a name, folded: tools with equal keys are taken for each other."""
    return "".join(char for char in _folded(name).translate(_LOOKS) if char.isalnum())


@dataclass(frozen=True, slots=True)
class ToolPin:
    """What was approved of a definition."""

    server: str
    name: str
    digest: str
    sketch: tuple[int, ...] = ()


def pin_of(definition: ToolDefinition) -> ToolPin:
    """Returns the pin of a definition."""
    return ToolPin(definition.server, definition.name, definition.digest, definition.sketch)


class PinFileError(ValueError):
    """A file of pins that cannot be read."""


@dataclass(frozen=True)
class ToolPins:
    """The pins of a file."""

    pins: tuple[ToolPin, ...] = ()

    @lazy
    def by_name(self) -> Mapping[tuple[str, str], ToolPin]:
        """The pins by server and name."""
        return {(pin.server, pin.name): pin for pin in self.pins}

    @lazy
    def _by_key(self) -> Mapping[str, tuple[ToolPin, ...]]:
        found: dict[str, list[ToolPin]] = {}
        for pin in self.pins:
            found.setdefault(name_key(pin.name), []).append(pin)
        return {key: tuple(pins) for key, pins in found.items()}

    @lazy
    def _by_band(self) -> Mapping[tuple[int, tuple[int, ...]], ToolPin]:
        """A pin for each band of a sketch: the first that has it."""
        found: dict[tuple[int, tuple[int, ...]], ToolPin] = {}
        for pin in self.pins:
            for band in _bands(pin.sketch):
                found.setdefault(band, pin)
        return found

    def judge(self, definition: ToolDefinition) -> tuple[PinLabel, ToolPin | None] | None:
        """Returns how a definition differs from what was approved, and the pin that it is compared with; `None` if it is as it
        was approved."""
        own = self.by_name.get((definition.server, definition.name))
        if own is not None:
            return None if own.digest == definition.digest else ("CHANGED", own)
        alike = self._by_key.get(name_key(definition.name), ())
        if alike:
            same = next((pin for pin in alike if pin.server == definition.server), None)
            return ("NEAR_COPY", same) if same is not None else ("SHADOWED", alike[0])
        if definition.twin is not None:  # some clients call the one, others the other
            return "NEAR_COPY", definition.twin
        sketch = definition.sketch
        for band in _bands(sketch):
            pin = self._by_band.get(band)
            if pin is not None and _share(pin.sketch, sketch) >= _ALIKE:
                return "NEAR_COPY", pin
        return "NEW", None

    def with_pins(self, pins: Iterable[ToolPin]) -> ToolPins:
        """Returns these pins with others, which replace those of the same server and name."""
        merged = {**self.by_name, **{(pin.server, pin.name): pin for pin in pins}}
        return ToolPins(tuple(merged[key] for key in sorted(merged)))

    def without(self, server: str, name: str) -> ToolPins:
        """Returns these pins without one."""
        return ToolPins(tuple(pin for pin in self.pins if (pin.server, pin.name) != (server, name)))

    def written(self) -> bytes:
        """Returns the bytes of a file. Equal pins give equal bytes, a line for each."""
        lines = [
            json.dumps({"server": pin.server, "name": pin.name, "digest": pin.digest, "sketch": list(pin.sketch)})
            for pin in sorted(self.pins, key=lambda pin: (pin.server, pin.name))
        ]
        return (f'{{"version": {VERSION}, "tools": [\n' + ",\n".join(lines) + "\n]}\n").encode()


def without_comments(content: bytes) -> bytes:
    """Returns JSON without the comments before it: lines that begin with `#`."""
    return re.sub(rb"\A(?:[ \t]*#[^\n]*\n|\s*\n)+", b"", content)


def read_pins(content: bytes) -> ToolPins:
    """Reads a file of pins. Raises `PinFileError`."""
    try:
        tree = json.loads(without_comments(content))
        if not isinstance(tree, dict) or tree.get("version") != VERSION or not isinstance(tree.get("tools"), list):
            raise PinFileError("not a file of pins; `guardproxy tools pin` writes one")
        pins = tuple(map(_pin, tree["tools"]))
    except (ValueError, RecursionError) as error:
        raise error if isinstance(error, PinFileError) else PinFileError("the file of pins is not JSON") from None
    if len(pins) > LIMIT_PINS:
        raise PinFileError(f"more than {LIMIT_PINS:,} pins")
    if len({(pin.server, pin.name) for pin in pins}) < len(pins):
        raise PinFileError("a tool is pinned twice")
    return ToolPins(pins)


def _pin(entry: Any) -> ToolPin:
    if not isinstance(entry, dict):
        raise PinFileError("a pin needs `server`, `name` and `digest`")
    server, name, digest, sketch = (entry.get(key) for key in ("server", "name", "digest", "sketch"))
    if not (isinstance(server, str) and isinstance(name, str) and isinstance(digest, str)):
        raise PinFileError("a pin needs `server`, `name` and `digest`")
    parts: list[Any] = sketch if isinstance(sketch, list) else [] if sketch is None else [""]
    if not all(isinstance(part, int) for part in parts) or len(parts) not in (0, 2 * _SEEDS):
        raise PinFileError("a pin has a sketch that cannot be read")
    return ToolPin(server, name, digest, tuple(parts))


def _bands(sketch: Sequence[int]) -> Iterator[tuple[int, tuple[int, ...]]]:
    for at in range(len(sketch) - _ROWS + 1 if sketch else 0):
        yield at, tuple(sketch[at : at + _ROWS])


def _share(first: Sequence[int], second: Sequence[int]) -> float:
    return sum(own == other for own, other in zip(first, second, strict=True)) / len(first)
