"""Rules of policies about fields of a request, by the name of the field: `allow_fields`, `set`, `strip` and `refuse`.

In: those keys of a file; then the rules of all policies that apply to a request. Out: the fields that are allowed, the fields
that are refused, and the tree of the request after `set` and `strip`. The order of policies does not matter: two policies that
would change a field in different ways are refused when they are loaded.

Decision: docs/decisions/0035-policies-set-strip-and-refuse-fields.md
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from guardproxy.errors import DownstreamError
from guardproxy.events import Path
from guardproxy.policy.values.strictness import same
from guardproxy.policy.yaml.reading import FileReading
from guardproxy.policy.yaml.tree import FilePlace, YamlNode
from guardproxy.wire import FieldPath
from guardproxy.wire.contract import is_on
from guardproxy.wire.json import dotted, reach

FieldAction = Literal["set", "strip", "refuse"]
FIELD_KEYS = ("allow_fields", "set", "strip", "refuse")
# The way in which an answer is read, the destination, and the texts that checks read depend on these fields.
FIXED_FIELDS: Mapping[str, str] = {
    "stream": "it decides how the answer is read",
    "model": "a duty or the fallback of a rule selects the model",
    **dict.fromkeys(("messages", "input", "contents", "prompt"), "it holds the texts that the checks read"),
}
_LIST = "a list of fields, like `[logprobs, stream_options.include_usage]`"
_MAPPING = "a mapping from fields to values, like `{store: false}`"


@dataclass(frozen=True, slots=True)
class FieldRules:
    """The rules of a policy about fields. `allow`: the names of fields that formats refuse by default. `values`: the values to
    set, by path. `strip`, `refuse`: paths. `places`: the places of the paths in the file, by key and path."""

    allow: frozenset[str] = frozenset()
    values: Mapping[str, Any] = field(default_factory=dict)
    strip: frozenset[str] = frozenset()
    refuse: frozenset[str] = frozenset()
    places: Mapping[tuple[str, str], FilePlace] = field(default_factory=dict, compare=False)

    def paths(self) -> Iterator[tuple[FieldAction, str]]:
        """Yields every path with its action."""
        yield from (("set", text) for text in sorted(self.values))
        yield from (("strip", text) for text in sorted(self.strip))
        yield from (("refuse", text) for text in sorted(self.refuse))


NO_FIELD_RULES = FieldRules()


@dataclass(frozen=True, slots=True, order=True)
class FieldChange:
    """An action on a field of a request. `place`: the place of the field in the body."""

    place: str
    action: FieldAction
    policy: str
    enforced: bool


@dataclass(frozen=True, slots=True)
class _BoundField:
    """A rule about a field. `value`: the value to set."""

    path: FieldPath
    action: FieldAction
    policy: str
    enforced: bool
    value: Any = None


@dataclass(frozen=True, slots=True)
class BoundFields:
    """The rules about fields of all policies that apply to a request. `allowed`: the names that each of them allows."""

    allowed: frozenset[str] = frozenset()
    rules: tuple[_BoundField, ...] = ()
    changes: bool = field(init=False)
    """Whether a rule may change a request."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "changes", any(rule.action != "refuse" for rule in self.rules))

    def refused(self, tree: Mapping[str, Any]) -> Iterator[FieldChange]:
        """Yields the fields of a request that a policy refuses. A field that is `null` or `false` is not refused."""
        for rule in self.rules:
            if rule.action == "refuse":
                for place in rule.path.places(tree):
                    if is_on(reach(tree, place)):
                        yield FieldChange(dotted(place), rule.action, rule.policy, rule.enforced)

    def changed(self, tree: Any, can_have: Callable[[FieldPath], bool]) -> tuple[Any, list[FieldChange]]:
        """Returns the tree of a request after `set` and `strip`, and all changes, including those that are only recorded. A
        field that has its value already is not changed. `can_have`: whether the request can have a field; one that it cannot
        have is removed instead of set. Raises `DownstreamError` (400) if a field cannot be set."""
        new, changes = tree, []
        for rule in self.rules:
            if rule.action == "refuse":
                continue
            is_written = rule.action == "set" and can_have(rule.path)
            places = _written(rule, tree) if is_written else [(place, "strip") for place in rule.path.places(tree)]
            changes += [FieldChange(dotted(place), action, rule.policy, rule.enforced) for place, action in places]
            if rule.enforced and places:
                new = rule.path.written(new, rule.value) if is_written else rule.path.without(new)
        return new, sorted(changes)


NO_BOUND_FIELDS = BoundFields()


def _written(rule: _BoundField, before: Any) -> list[tuple[Path, FieldAction]]:
    """Returns the places of a field that a rule removes, as they are in another spelling or body, and those that it writes
    and that have another value now. Raises `DownstreamError` (400) if the rule is enforced and cannot be carried out."""
    path = rule.path
    try:
        after = path.written(before, rule.value)
    except DownstreamError:
        if rule.enforced:
            raise
        return [((path.text,), "set")]
    values = {place: reach(before, place) for place in path.places(before)}
    written = {place: reach(after, place) for place in path.places(after)}
    gone: list[tuple[Path, FieldAction]] = [(place, "strip") for place in values if place not in written]
    return gone + [
        (place, "set") for place, value in written.items() if place not in values or not same(values[place], value)
    ]


def bound_fields(rules: Mapping[str, tuple[FieldRules, bool]]) -> BoundFields:
    """Combines the rules of policies, by the name of the policy, each with whether its rules are enforced. A policy in shadow
    mode refuses no field that the others allow."""
    allowed = [fields.allow for fields, is_enforced in rules.values() if is_enforced]
    allowed = allowed or [fields.allow for fields, _ in rules.values()]
    bound: list[_BoundField] = []
    for name, (fields, is_enforced) in rules.items():
        for action, text in fields.paths():
            value = fields.values.get(text) if action == "set" else None
            bound.append(_BoundField(FieldPath(text), action, name, is_enforced, value))
    bound.sort(key=lambda rule: (rule.path.text, rule.action, rule.policy))
    return BoundFields(frozenset.intersection(*allowed) if allowed else frozenset(), tuple(bound))


# Files.


def read_fields(reading: FileReading, keys: Mapping[str, YamlNode]) -> FieldRules:
    """Reads the rules about fields of a policy."""
    places: dict[tuple[str, str], FilePlace] = {}
    lists = {
        key: frozenset(_paths(reading, key, keys[key], places)) if key in keys else frozenset[str]()
        for key in ("allow_fields", "strip", "refuse")
    }
    values = _values(reading, keys["set"], places) if "set" in keys else {}
    for path in sorted(lists["allow_fields"]):
        if not path.isidentifier():
            reading.fail(places["allow_fields", path], "`allow_fields` takes names of fields at the top of a request")
    return FieldRules(lists["allow_fields"], values, lists["strip"], lists["refuse"], places)


def _paths(reading: FileReading, key: str, node: YamlNode, places: dict[tuple[str, str], FilePlace]) -> Iterator[str]:
    items = reading.items(node, _LIST)
    if isinstance(node.value, tuple) and not items:
        reading.fail(node.place, f"expected {_LIST}, found an empty list")
    for item in items:
        word = reading.word(item, "the name of a field")
        if word is not None and _is_right(reading, key, word, item.place):
            places[key, word] = item.place
            yield word


def _values(reading: FileReading, node: YamlNode, places: dict[tuple[str, str], FilePlace]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for text, value in (reading.mapping(node, _MAPPING) or {}).items():
        if not _is_right(reading, "set", text, value.key):
            continue
        plain = value.plain()
        if plain is None:
            reading.fail(value.place, f"a field cannot be set to nothing; `strip: [{text}]` removes it")
        elif not _is_json(plain):
            reading.fail(value.place, "JSON has no such number")
        else:
            values[text] = plain
            places["set", text] = value.key
    return values


def _is_right(reading: FileReading, key: str, text: str, place: FilePlace) -> bool:
    """Whether a text is a path that the key may name. Adds an error if it is not."""
    try:
        path = FieldPath(text)
    except ValueError as error:
        reading.fail(place, str(error))
        return False
    reasons = (reason for name, reason in FIXED_FIELDS.items() if path.is_field(name))
    why = next(reasons, None) if key in ("set", "strip") else None
    if why:
        reading.fail(place, f"`{key}` cannot change `{text}`: {why}")
    return not why


def _is_json(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(map(_is_json, value.values()))
    if isinstance(value, list):
        return all(map(_is_json, value))
    return not isinstance(value, float) or math.isfinite(value)
