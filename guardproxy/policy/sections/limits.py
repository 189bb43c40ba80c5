"""The section `limits`: limits and budgets of the requests to which the policy applies.

Each entry has the keys of a limit in the operator's file of limits (`usage/usage_limits.py`), and the same meaning. The duty
`limits` of the gateway carries them out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from guardproxy.policy.conditions.matching import read_match
from guardproxy.policy.sections.section import Section
from guardproxy.policy.usage.usage_limits import (
    BUDGET_FORM,
    LARGEST,
    MODES,
    NAME_FORM,
    OVER,
    RATE_FORM,
    UNITS,
    WHOSE,
    LimitFault,
    LimitRule,
    StoredLimit,
    limit_rule,
)
from guardproxy.policy.yaml.reading import FileReading
from guardproxy.policy.yaml.tree import FilePlace, YamlNode

_KEYS = StoredLimit.__struct_fields__
_MATCH = ("routes", "models", "tenants", "when")
_WANTED = "a limit, like `{name: tokens, unit: tokens, rate: 100000/1m, per: [client]}`"
_GLOBS = {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1}


def _text(form: str) -> Mapping[str, Any]:
    """Returns the schema of a text of this form, or with a variable."""
    return {"type": "string", "pattern": rf"^(?:{form})$|\$\{{"}


_FORMS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "name": ("Its name in messages, metrics and records.", _text(NAME_FORM)),
    "unit": ("What it counts.", {"enum": list(UNITS)}),
    "rate": ("An amount and a period, as in `600/1m`.", _text(RATE_FORM)),
    "burst": ("What may come at once, if it differs from the amount of `rate`.", {"type": "integer", "minimum": 1}),
    "budget": ("An amount for each day or month in UTC, as in `50.00/day`.", _text(BUDGET_FORM)),
    "most": ("For `parallel`: the number of requests at the same time.", {"type": "integer", "minimum": 0}),
    "per": (
        "Who has a limit of its own. Without it, all share one.",
        {"type": "array", "items": {"enum": list(WHOSE)}, "uniqueItems": True},
    ),
    "routes": ("Globs of the routes that count.", _GLOBS),
    "models": ("Globs of the models that count.", _GLOBS),
    "tenants": ("Globs of the tenants that count.", _GLOBS),
    "when": ("A condition in CEL for the requests that count.", {"type": "string", "minLength": 1}),
    "mode": ("`shadow` refuses nothing.", {"enum": list(MODES)}),
    "answer_tokens": (
        "The tokens that an answer is assumed to take if the request sets no limit.",
        {"type": "integer", "minimum": 0},
    ),
    "over": (
        "What happens to a request that wants more than the whole limit: it waits until nothing is taken, or is refused.",
        {"enum": list(OVER)},
    ),
}


def _read(reading: FileReading, node: YamlNode) -> tuple[LimitRule, ...]:
    rules: list[LimitRule] = []
    items = reading.items(node, "a list of limits")
    if isinstance(node.value, tuple) and not items:
        reading.fail(node.place, "an empty list limits nothing; leave `limits` out")
    for item in items:
        rule = _limit(reading, item)
        if rule is None:
            continue
        if any(rule.name == other.name for other in rules):
            reading.fail(item.place, f"the policy has another limit `{rule.name}`")
        rules.append(rule)
    return tuple(rules)


def _limit(reading: FileReading, node: YamlNode) -> LimitRule | None:
    before = len(reading.errors)
    keys = reading.entries(node, _WANTED, _KEYS, needed=("name", "unit"), place="limit")
    conditions = {key: keys[key] for key in _MATCH if key in keys}
    match = read_match(reading, YamlNode(conditions, node.place, node.key) if conditions else None)
    values: dict[str, Any] = {
        "name": reading.word(keys.get("name"), "a name"),
        "unit": reading.choice(keys.get("unit"), UNITS, place="unit"),
        "rate": reading.word(keys.get("rate"), "a rate in words, like 600/1m"),
        "budget": reading.word(keys.get("budget"), "a budget in words, like 50.00/day"),
        "mode": reading.choice(keys.get("mode"), MODES, place="mode"),
        "over": reading.choice(keys.get("over"), OVER),
    }
    if "per" in keys:
        values["per"] = tuple(
            reading.choice(item, WHOSE, place="per")
            for item in reading.items(keys["per"], "a list of client, tenant and model")
        )
    for key in ("burst", "most", "answer_tokens"):
        number = reading.number(keys.get(key), 0, LARGEST, whole=True)
        values[key] = None if number is None else int(number)
    if len(reading.errors) > before:
        return None
    try:
        return limit_rule(StoredLimit(**{key: value for key, value in values.items() if value is not None}), match)
    except LimitFault as fault:
        reading.fail(_place(keys, fault.key, node), str(fault))
    return None


def _place(keys: Mapping[str, YamlNode], key: str, node: YamlNode) -> FilePlace:
    return keys[key].place if key in keys else node.place


def _way(key: str, without: tuple[str, ...]) -> Mapping[str, Any]:
    """Returns the schema of limits that say how much by this key. A limit with an unknown key may have misspelt it."""
    known = {"propertyNames": {"enum": list(_FORMS)}}
    return {"properties": dict.fromkeys(without, False), "if": known, "then": {"required": [key]}}


LIMITS = Section(
    "limits",
    "Limits and budgets of the requests to which the policy applies.",
    {
        "type": "array",
        "minItems": 1,
        "items": {
            "type": "object",
            "additionalProperties": False,
            "required": ["name", "unit"],
            "if": {"required": ["unit"], "properties": {"unit": {"const": "parallel"}}},
            "then": _way("most", without=("rate", "budget")),
            "else": {
                "if": {"required": ["unit"], "properties": {"unit": {"enum": list(UNITS)}}},
                "then": {
                    "if": {"required": ["budget"]},
                    "then": {"properties": {"rate": False, "most": False}},
                    "else": _way("rate", without=("most",)),
                },
            },
            "properties": {key: {"description": doc, **form} for key, (doc, form) in _FORMS.items()},
        },
    },
    _read,
)
