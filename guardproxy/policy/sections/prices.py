"""The section `prices`: prices of models for the requests to which the policy applies.

They win over the operator's prices and the maintained table; of the prices of several policies, the highest counts. Limits of
`cost` and the cost in records follow them.
"""

from __future__ import annotations

import msgspec

from guardproxy.policy.sections.section import Section
from guardproxy.policy.usage.pricing import Price, PriceList
from guardproxy.policy.usage.usage_limits import MICRO
from guardproxy.policy.yaml.reading import FileReading
from guardproxy.policy.yaml.tree import YamlNode

_KEYS = Price.__struct_fields__
_WANTED = 'a mapping from models to prices, like `{"gpt-5*": {input: 1.25, output: 10}}`'
_PRICE = {"type": "number", "minimum": 0, "exclusiveMaximum": MICRO}
_DOCS = {
    "input": "The price of a million tokens of requests.",
    "output": "The price of a million tokens of answers.",
    "cached": "The price of a million tokens of requests that come from the provider's cache.",
    "written": "The price of a million tokens of requests that the provider writes to its cache.",
}


def _read(reading: FileReading, node: YamlNode) -> PriceList:
    entries = reading.mapping(node, _WANTED) or {}
    if node.value == {}:
        reading.fail(node.place, "an empty mapping prices nothing; leave `prices` out")
    prices = []
    for glob, entry in entries.items():
        before = len(reading.errors)
        keys = reading.entries(entry, "prices like `{input: 1.25, output: 10}`", _KEYS, needed=("input", "output"))
        values = {key: reading.number(keys.get(key), 0, MICRO - 1) for key in _KEYS}
        if not glob:
            reading.fail(entry.key, "the glob of a model is empty")
        if len(reading.errors) == before:
            prices.append((glob, msgspec.convert(values, Price).rates))
    return PriceList(tuple(prices))


PRICES = Section(
    "prices",
    "Prices of models, for limits of `cost` and the cost in records.",
    {
        "type": "object",
        "minProperties": 1,
        "propertyNames": {"minLength": 1},
        "additionalProperties": {
            "type": "object",
            "additionalProperties": False,
            "required": ["input", "output"],
            "properties": {key: {"description": doc, **_PRICE} for key, doc in _DOCS.items()},
        },
    },
    _read,
)
