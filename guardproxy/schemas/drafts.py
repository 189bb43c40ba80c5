"""The drafts of JSON Schema: for each a validator class of `jsonschema` that counts its steps.

The keywords are those of the library, with four exceptions: `pattern`, `patternProperties` and `additionalProperties`
search with RE2, and `uniqueItems` hashes each item instead of comparing all pairs. Each evaluation of a keyword is a
step, and a search takes steps for each character and for the size of its pattern. A validation that exceeds the steps of
its `Budget` raises `CostError`, so that no schema and no value keeps a thread busy for long. Steps visit the stop point of
the scan.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Any

from guardproxy.concurrency import stop_point
from guardproxy.schemas.patterns import search_steps, searcher

STEPS = 100_000
STEPS_A_CHAR = 40
MOST_STEPS = 2_000_000
_STOP_BITS = 7  # so many steps, as a power of two, take about half a millisecond
# A step takes about five microseconds; these keywords cost several steps.
_WEIGHTS = {"$ref": 25, "$dynamicRef": 25, "$recursiveRef": 25, "not": 5, "if": 5}
_BRANCHES = frozenset(("anyOf", "oneOf", "allOf"))
_NAMES = {
    "https://json-schema.org/draft/2020-12/schema": "2020-12",
    "https://json-schema.org/draft/2019-09/schema": "2019-09",
    "http://json-schema.org/draft-07/schema": "7",
    "http://json-schema.org/draft-06/schema": "6",
    "http://json-schema.org/draft-04/schema": "4",
}
DRAFTS = tuple(_NAMES.values())
LATEST = DRAFTS[0]


def allowed_steps(chars: int) -> int:
    """Returns the number of steps that judging a value of `chars` characters may take."""
    return min(STEPS + STEPS_A_CHAR * chars, MOST_STEPS)


class CostError(Exception):
    """Judging the value by its schema takes too many steps."""


@dataclass(slots=True)
class Budget:
    """The number of steps that are left for a validation."""

    steps: int


_budget: ContextVar[Budget] = ContextVar("budget")


@contextmanager
def spending_from(budget: Budget) -> Iterator[None]:
    """Opens a context in which validations take their steps from `budget`. Raises `CostError` when it is used up."""
    token = _budget.set(budget)
    try:
        yield
    except RecursionError:
        raise CostError("the schema and the value are nested too deep together") from None
    finally:
        _budget.reset(token)


def limit_steps(steps: int) -> AbstractContextManager[None]:
    """Opens a context in which all validations together take at most `steps` steps. Raises `CostError`."""
    return spending_from(Budget(steps))


def spend(steps: int) -> None:
    """Takes steps from the budget of the current context. Raises `CostError` when it is used up."""
    budget = _budget.get()
    before = budget.steps
    budget.steps = left = before - steps
    if left < 0:
        raise CostError("judging the value by this schema takes too many steps")
    if left >> _STOP_BITS != before >> _STOP_BITS:
        stop_point()


def matches(pattern: str, text: str) -> bool:
    """Whether a pattern of a schema matches anywhere in a text. Raises `CostError`."""
    spend(search_steps(pattern, len(text)))
    return searcher(pattern)(text)


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """A draft. `validator`: the library's class. `ref_alone`: whether keywords beside `$ref` are ignored."""

    name: str
    validator: Any
    specification: Any
    ref_alone: bool

    def knows(self, keyword: str) -> bool:
        return keyword in self.validator.VALIDATORS


def draft_name(uri: str) -> str | None:
    """Returns the name of the draft in a `$schema`, or `None`."""
    return _NAMES.get(uri.removesuffix("#"))


@cache
def draft(name: str) -> Draft:
    """Returns the draft with this name of `DRAFTS`."""
    import jsonschema  # noqa: PLC0415 - loaded only where there is a schema
    from referencing import jsonschema as specifications  # noqa: PLC0415

    number = name.replace("-", "")
    base = getattr(jsonschema, f"Draft{number}Validator")
    own = {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional,
        "uniqueItems": _unique,
    }
    keywords = {word: _count_steps(word, own.get(word, function)) for word, function in base.VALIDATORS.items()}
    validator = jsonschema.validators.extend(base, keywords)  # type: ignore[no-untyped-call]
    return Draft(name, validator, getattr(specifications, f"DRAFT{number}"), name in ("4", "6", "7"))


Keyword = Callable[[Any, Any, Any, Mapping[str, Any]], Any]


def _count_steps(word: str, keyword: Keyword) -> Keyword:
    def count(validator: Any, value: Any, instance: Any, schema: Mapping[str, Any]) -> Any:
        steps = _WEIGHTS.get(word, 1)
        if isinstance(instance, (str, list, dict)):
            steps += len(instance) >> 6
        if isinstance(value, (list, dict)):
            steps += len(value) << 1 if word in _BRANCHES else len(value) >> 2
        if word == "unevaluatedProperties" and isinstance(instance, dict):
            steps += sum(len(key) ** 2 for key in instance) >> 6  # here the library backtracks to search patterns
        spend(steps)
        return keyword(validator, value, instance, schema)

    return count


def _pattern(validator: Any, pattern: str, instance: Any, schema: Mapping[str, Any]) -> Iterator[Any]:
    from jsonschema import ValidationError  # noqa: PLC0415

    if validator.is_type(instance, "string") and not matches(pattern, instance):
        yield ValidationError("does not match the pattern")


def _pattern_properties(validator: Any, patterns: Any, instance: Any, schema: Mapping[str, Any]) -> Iterator[Any]:
    if validator.is_type(instance, "object"):
        for pattern, inner in patterns.items():
            for key, value in instance.items():
                if matches(pattern, key):
                    yield from validator.descend(value, inner, path=key, schema_path=pattern)


def _additional(validator: Any, inner: Any, instance: Any, schema: Mapping[str, Any]) -> Iterator[Any]:
    from jsonschema import ValidationError  # noqa: PLC0415

    if not validator.is_type(instance, "object"):
        return
    properties = schema.get("properties", {})
    patterns = schema.get("patternProperties", ())
    extras = [
        key for key in instance if key not in properties and not any(matches(pattern, key) for pattern in patterns)
    ]
    if validator.is_type(inner, "object"):
        for key in extras:
            yield from validator.descend(instance[key], inner, path=key)
    elif not inner and extras:
        yield ValidationError("has keys that are not allowed")


def _unique(validator: Any, unique: bool, instance: Any, schema: Mapping[str, Any]) -> Iterator[Any]:
    from jsonschema import ValidationError  # noqa: PLC0415

    if unique and validator.is_type(instance, "array") and len(set(map(hashable, instance))) < len(instance):
        yield ValidationError("has equal items")


def hashable(value: Any) -> Any:
    """Returns a key that is equal for equal JSON values: `1` equals `1.0`, but not `true`."""
    spend(1)
    match value:
        case dict():
            return "object", frozenset((key, hashable(inner)) for key, inner in value.items())
        case list():
            return "array", tuple(map(hashable, value))
        case bool():
            return "boolean", value
        case _:
            return value


_REPEATED_GROUP = re.compile(r"(?<!\\)\)[*+{]")
_UNBOUNDED = re.compile(r"(?<!\\)(?:[*+]|\{\d+,\})")


def is_tame(pattern: str) -> bool:
    """Whether a backtracking search, as `unevaluatedProperties` uses it, takes at most quadratic time."""
    few = len(_UNBOUNDED.findall(pattern)) <= (2 if pattern.startswith("^") else 1)
    return few and not _REPEATED_GROUP.search(pattern)
