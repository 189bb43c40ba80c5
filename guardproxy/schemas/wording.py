"""Words the errors of a value: its place, the expectation and the finding, so that a model can correct it.

Nothing here repeats a value of the text, which may be personal data; the expectation comes from the schema.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from guardproxy.findings import Detail
from guardproxy.schemas.node import kind_of

LIMIT_DETAILS = 3
_LIMIT_WORD = 60
_LIMIT_WORDS = 12
_WITH_ARTICLE = {
    "object": "an object",
    "array": "an array",
    "string": "a string",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "null": "null",
}
_AT_LEAST = {
    "minimum": "a number of at least {}",
    "maximum": "a number of at most {}",
    "exclusiveMinimum": "a number greater than {}",
    "exclusiveMaximum": "a number less than {}",
    "multipleOf": "a multiple of {}",
    "minLength": "a string of at least {} characters",
    "maxLength": "a string of at most {} characters",
    "minItems": "an array of at least {} items",
    "maxItems": "an array of at most {} items",
    "minProperties": "an object with at least {} keys",
    "maxProperties": "an object with at most {} keys",
    "minContains": "at least {} items of the kind that the schema asks for",
    "maxContains": "at most {} items of the kind that the schema asks for",
}
_PLAIN = {
    "pattern": "a string of another pattern",
    "uniqueItems": "an array without equal items",
    "anyOf": "a value that fits one of the shapes in the schema",
    "oneOf": "a value that fits exactly one of the shapes in the schema",
    "not": "a value of another shape",
    "contains": "an item of the kind that the schema asks for",
    "additionalProperties": "only keys that the schema names",
    "unevaluatedProperties": "only keys that the schema names",
    "unevaluatedItems": "only items that the schema names",
}


def kinds(words: Iterable[str]) -> str:
    """Returns names of kinds with their articles: `an object or null`."""
    return " or ".join(_WITH_ARTICLE[word] for word in words)


def describe(value: Any) -> str:
    """Describes a value without quoting it."""
    kind = kind_of(value)
    match kind:
        case "string":
            return f"a string of {len(value)} characters"
        case "array":
            return f"an array of {len(value)} items"
        case "object":
            return f"an object with {len(value)} keys"
        case _:
            return _WITH_ARTICLE[kind]


def words(values: Sequence[Any], none: str = "one of the values in the schema") -> str:
    """Returns the values that the schema allows, without long or escaped ones; `none` if no value is left."""
    quoted = [json.dumps(value, ensure_ascii=False) for value in values[:_LIMIT_WORDS]]
    short = [word for word in quoted if len(word) <= _LIMIT_WORD and "\\" not in word]
    if not short:
        return none
    more = " or another value in the schema" if len(short) < len(values) else ""
    return ", ".join(short) + more


def keys(names: Iterable[str]) -> str:
    """Describes the keys that an object may have."""
    listed = sorted(names)
    return f"no keys but {words(listed, 'those in the schema')}" if listed else "no keys"


def details(errors: Iterable[Any], place: tuple[str, str], known: Collection[str]) -> tuple[Detail, ...]:
    """Returns the first few errors of the validator, ordered by place.

    `place`: where the value is in the text. `known`: the keys that are in the schema.
    """
    out: dict[Detail, None] = {}
    for error in sorted(errors, key=lambda error: [str(step) for step in error.absolute_path]):
        path = shown = ""
        for step in error.absolute_path:
            path += f"[{step}]" if isinstance(step, int) else f".{step}"
            shown += f"[{step}]" if isinstance(step, int) else f".{step}" if step in known else ".*"
        found, expected = _expected(error)
        detail = Detail((place[0] + path).lstrip("."), (place[1] + shown).lstrip("."), expected, found)
        out[detail] = None
        if len(out) == LIMIT_DETAILS:
            break
    return tuple(out)


def _expected(error: Any) -> tuple[str, str]:
    """Returns a description of the value and of what the schema expects."""
    word, wanted, value = error.validator, error.validator_value, error.instance
    match word:
        case "type":
            return describe(value), kinds(wanted if isinstance(wanted, list) else [wanted])
        case "enum":
            return "another value", f"one of {words(wanted)}"
        case "const":
            return "another value", words([wanted])
        case "required" | "dependentRequired" | "dependencies":
            missing = _missing_key(word, wanted, value)
            return "it is missing" if missing else describe(value), f"the key {missing}" if missing else _general(word)
        case None:
            return describe(value), "nothing here"
        case _ if word in _AT_LEAST:
            return describe(value), _AT_LEAST[word].format(wanted)
    return describe(value), _PLAIN.get(word) or _general(word)


def _general(word: str) -> str:
    return f"a value that fits `{word}` of the schema"


def _missing_key(word: str, wanted: Any, value: Any) -> str:
    groups = [wanted] if isinstance(wanted, list) else [keys for key, keys in wanted.items() if key in value]
    missing = [key for keys in groups if isinstance(keys, list) for key in keys if key not in value]
    return words(missing[:1]) if missing else ""
