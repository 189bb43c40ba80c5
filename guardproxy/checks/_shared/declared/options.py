"""The options of checks: each check declares its options in a table `OPTIONS` from name to `Option`.

The table is the only declaration of an option: `build` takes defaults from it and refuses single values that do not fit it,
`extends` and `policy diff` compare values by it (`policy/values/strictness.py`), `policy schema` derives completion for editors
from it, and the tables of `docs/policies/checks.md` are generated from it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import ge, gt, le
from typing import Any, Literal

from guardproxy.checks._shared.declared.foreign import hint
from guardproxy.errors import OptionError

Tighter = Literal["longer", "shorter", "lower"] | tuple[Any, ...] | None

SCORE: Mapping[str, Any] = {"type": "number", "minimum": 0, "maximum": 1}
_BOUNDS = (("minimum", "at least", ge), ("exclusiveMinimum", "above", gt), ("maximum", "at most", le))
TEXTS: Mapping[str, Any] = {"type": "array", "minItems": 1, "items": {"type": "string", "pattern": r"\S"}}


@dataclass(frozen=True, slots=True)
class Option:
    """An option of a check.

    `help`: its meaning in a sentence. `schema`: its type, as JSON Schema. `default`: the value if the option is left
    out. If the default is not a single value, `default` is `None` and `default_words` describes it; without words the
    option is required. `tighter`: which of two values finds more or shows less:

    - `longer`, `shorter`: the list that has more items than the other list, or fewer;
    - `lower`: the lower score or the higher operating point (`5%` finds more than `1%`), for each label if it is a
      mapping;
    - a tuple: its values from the loosest to the strictest;
    - `None`: two different values cannot be compared.

    `words`: returns the words that a list may have, for editors; a function, as they may come from a library that loads slowly.
    """

    help: str
    schema: Mapping[str, Any]
    default: Any = field(default=None, kw_only=True)
    default_words: str = field(default="", kw_only=True)
    tighter: Tighter = field(default=None, kw_only=True)
    words: Callable[[], Sequence[str]] | None = field(default=None, kw_only=True)


Options = Mapping[str, Option]


def with_defaults(options: Mapping[str, Any], declared: Options) -> dict[str, Any]:
    """Returns the value of every declared option. Raises `OptionError` for an option that is not declared, and for a value that
    is not what the schema says: a number, a switch, or one of some words. A text, a list or a mapping is read by the check.
    Nothing (`null`) stands for a default that is not a single value."""
    for key, value in options.items():
        if key not in declared:
            raise OptionError(key, f"unknown option `{key}`; {_hint(key, value, declared)}")
        wanted = "" if value is None is declared[key].default else _wanted(value, declared[key].schema)
        if wanted:
            raise OptionError(key, f"`{key}` must be {wanted}")
    return {key: options.get(key, option.default) for key, option in declared.items()}


def _wanted(value: Any, schema: Mapping[str, Any]) -> str:
    """Returns what a value must be, in words; empty if it is that."""
    if words := [str(word) for word in schema.get("enum", ())]:
        return "" if str(value) in words else f"one of {', '.join(words)}"
    kind = schema.get("type")
    if kind == "boolean":
        return "" if isinstance(value, bool) else "true or false"
    if kind not in ("integer", "number"):
        return ""
    bounds = [(word, schema[key], holds) for key, word, holds in _BOUNDS if key in schema]
    is_number = isinstance(value, int if kind == "integer" else (int, float)) and not isinstance(value, bool)
    if is_number and all(holds(value, bound) for _, bound, holds in bounds):
        return ""
    name = "a whole number" if kind == "integer" else "a number"
    if {"minimum", "maximum"} <= schema.keys():
        return f"{name} from {schema['minimum']} to {schema['maximum']}"
    told = " and ".join(f"{word} {bound}" for word, bound, _ in bounds)
    return f"{name}, {told}" if told else name


def _hint(key: str, value: Any, declared: Options) -> str:
    known = ", ".join(declared)
    near = hint(key, list(declared), "option", value).removeprefix("; ")
    return f"{near} (known options: {known})" if near else f"known options: {known}"


def chosen(values: Mapping[str, Any], key: str, known: Sequence[str]) -> list[str]:
    """Returns the list of words that an option holds. Raises `OptionError` unless each is one of `known`."""
    words = values[key]
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
        raise OptionError(key, f"`{key}` must be a non-empty list of words: {', '.join(known)}")
    for at, word in enumerate(words):
        if word not in known:
            near = hint(word, known) or f"; known: {', '.join(known)}"
            raise OptionError(key, f"unknown word `{word}` in `{key}`{near}", at)
    return words


def options_digest(use: str, version: int, options: Mapping[str, Any], *more: str) -> str:
    """Returns a digest of a check's name, code version and options, for `Check.digest`."""
    plain = json.dumps([use, version, options, more], sort_keys=True, default=str)
    return "sha256:" + hashlib.sha256(plain.encode()).hexdigest()
