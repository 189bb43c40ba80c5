"""Reads `operators:` of a rule: `{CREDIT_CARD: {type: mask, chars_to_mask: 12}, DEFAULT: redact}`.

In: the node. Out: frozen `Operators`; errors are added to the `FileReading` like all others of the file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from guardproxy.policy.yaml.reading import FileReading, join
from guardproxy.policy.yaml.tree import YamlNode
from guardproxy.redaction import (
    DEFAULT,
    HASH_TYPES,
    KINDS,
    PLACEHOLDER_OPERATOR,
    PLACEHOLDERS,
    Kind,
    Operator,
    Operators,
)

_PARAMETERS: Mapping[Kind, tuple[str, ...]] = {
    "redact": (),
    "replace": ("new_value",),
    "hash": ("hash_type",),
    "placeholder": (),
    "mask": ("masking_char", "chars_to_mask", "from_end"),
    "neutralise": (),
}
_OF_PRESIDIO = ("encrypt", "decrypt", "keep", "custom")
_LABEL = re.compile(r"[A-Z][A-Z0-9_]*")
_WANTED = "an operator, like `hash` or `{type: mask, chars_to_mask: 12}`"


def read_operators(reading: FileReading, node: YamlNode | None) -> Operators:
    """Returns the operators of a rule; placeholders if the rule has no `operators`."""
    if node is None:
        return PLACEHOLDERS
    entries = reading.mapping(node, "a mapping from labels to operators, like `{CREDIT_CARD: mask, DEFAULT: hash}`")
    if node.value == {}:
        reading.fail(node.place, f"an empty mapping has no effect; name a label, or `{DEFAULT}` for all labels")
    by_label: dict[str, Operator] = {}
    for label, value in (entries or {}).items():
        if not _LABEL.fullmatch(label):
            hint = f"; did you mean `{DEFAULT}`?" if label.upper() == DEFAULT else ""
            reading.fail(value.key, f"`{label}` is not a label: labels are written like CREDIT_CARD{hint}")
        if operator := _operator(reading, value):
            by_label[label] = operator
    return Operators(by_label.pop(DEFAULT, PLACEHOLDER_OPERATOR), by_label)


def unrestorable(operators: Operators) -> str:
    """Returns the first operator whose replacement cannot be restored to the value, or an empty text."""
    of = {**operators.by_label, DEFAULT: operators.default}
    return next(
        (f"`{operator.type}` for {label}" for label, operator in of.items() if operator.type != "placeholder"), ""
    )


def _operator(reading: FileReading, node: YamlNode) -> Operator | None:
    if isinstance(node.value, str):
        kind = _kind(reading, node)
        return _build(reading, kind, {}, node) if kind else None
    entries = reading.mapping(node, _WANTED)
    if entries is None:
        return None
    if "type" not in entries:
        reading.fail(node.place, f"`type` is missing; use one of {join(KINDS)}")
        return None
    kind = _kind(reading, entries["type"])
    if kind is None:
        return None
    return _build(reading, kind, reading.entries(node, "a mapping", ("type", *_PARAMETERS[kind])), node)


def _kind(reading: FileReading, node: YamlNode) -> Kind | None:
    if node.value in _OF_PRESIDIO:
        reading.fail(node.place, f"the operator `{node.value}` is not available here; use one of {join(KINDS)}")
        return None
    return reading.choice(node, KINDS, place="operator")


def _build(reading: FileReading, kind: Kind, keys: Mapping[str, YamlNode], node: YamlNode) -> Operator | None:
    if kind == "replace" and "new_value" not in keys:
        reading.fail(node.place, "`replace` needs a replacement, like `{type: replace, new_value: REMOVED}`")
        return None
    char = reading.word(keys.get("masking_char"), "one character") or "*"
    if len(char) != 1:
        reading.fail(keys["masking_char"].place, "expected one character, found a longer text")
    return Operator(
        type=kind,
        new_value=reading.word(keys.get("new_value"), "a text, written as words") or "",
        masking_char=char,
        chars_to_mask=_count(reading, keys.get("chars_to_mask")),
        from_end=reading.boolean(keys.get("from_end")) or False,
        hash_type=reading.choice(keys.get("hash_type"), HASH_TYPES) or "sha256",
    )


def _count(reading: FileReading, node: YamlNode | None) -> int | None:
    if node is None:
        return None
    if isinstance(node.value, bool) or not isinstance(node.value, int):
        reading.unexpected(node, "a number of characters")
        return None
    if node.value < 1:
        hint = f"found {node.value}; leave it out to mask the whole value"
        reading.fail(node.place, f"expected a number of at least 1, {hint}")
        return None
    return node.value
