"""The section `limits`: limits and budgets of the requests to which the policy applies.

Each entry has the keys of a limit in the operator's file of limits (`limiting.py`), and the same meaning. The duty `limits`
of the gateway carries them out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from guardproxy.policy.limiting import LimitFault, LimitRule, StoredLimit, limit_rule
from guardproxy.policy.matching import read_match
from guardproxy.policy.reading import FileReading
from guardproxy.policy.sections.section import Section
from guardproxy.policy.tree import YamlNode

_KEYS = StoredLimit.__struct_fields__
_MATCH = ("routes", "models", "tenants", "when")
_WANTED = "a limit, like `{name: tokens, unit: tokens, rate: 100000/1m, per: [client]}`"
_GLOBS = {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1}
_FORMS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "name": ("Its name in messages, metrics and records.", {"type": "string", "minLength": 1, "maxLength": 64}),
    "unit": ("What it counts.", {"enum": ["requests", "tokens", "cost", "parallel"]}),
    "rate": ("An amount and a period, as in `600/1m`.", {"type": "string", "minLength": 1}),
    "burst": ("What may come at once, if it differs from the amount of `rate`.", {"type": "integer", "minimum": 1}),
    "budget": ("An amount for each day or month in UTC, as in `50.00/day`.", {"type": "string", "minLength": 1}),
    "most": ("For `parallel`: the number of requests at the same time.", {"type": "integer", "minimum": 0}),
    "per": (
        "Who has a limit of its own. Without it, all share one.",
        {"type": "array", "items": {"enum": ["client", "tenant", "model"]}, "uniqueItems": True},
    ),
    "routes": ("Globs of the routes that count.", _GLOBS),
    "models": ("Globs of the models that count.", _GLOBS),
    "tenants": ("Globs of the tenants that count.", _GLOBS),
    "when": ("A condition in CEL for the requests that count.", {"type": "string", "minLength": 1}),
    "mode": ("`shadow` refuses nothing.", {"enum": ["enforce", "shadow"]}),
    "answer_tokens": (
        "The tokens that an answer is assumed to take if the request sets no limit.",
        {"type": "integer", "minimum": 0},
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
    keys = reading.entries(node, _WANTED, _KEYS, needed=("name", "unit"))
    conditions = {key: keys[key] for key in _MATCH if key in keys}
    match = read_match(reading, YamlNode(conditions, node.place, node.key) if conditions else None)
    try:
        stored = msgspec.convert({key: value.plain() for key, value in keys.items()}, StoredLimit)
        return limit_rule(stored, match) if len(reading.errors) == before else None
    except msgspec.ValidationError as error:
        if len(reading.errors) == before:
            message, _, path = str(error).partition(" - at `$.")
            key = path.rstrip("`").partition("[")[0]
            reading.fail(_place(keys, key, node), f"`{key}`: {message[:1].lower()}{message[1:]}")
    except LimitFault as fault:
        reading.fail(_place(keys, fault.key, node), str(fault))
    return None


def _place(keys: Mapping[str, YamlNode], key: str, node: YamlNode) -> Any:
    return keys[key].place if key in keys else node.place


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
            "properties": {key: {"description": doc, **form} for key, (doc, form) in _FORMS.items()},
        },
    },
    _read,
)
