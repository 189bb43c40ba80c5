"""Tells what stands for a span that a rule replaced, from the rules of the exchange and, if they were unsealed, the values.

In: a text of a record and a span. Out: the replacement, or that the record does not tell it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from guardproxy.audit.record import RecordedText
from guardproxy.console.pages.exchanges.seen import read_text
from guardproxy.console.pages.exchanges.texts import Replacement, Replacing, is_restored
from guardproxy.findings import Channel, Direction, Finding, Kind
from guardproxy.policy import BoundRules
from guardproxy.redaction import PLACEHOLDER, Operator


def replacing_of(
    direction: Direction, bound: BoundRules | None, placeholders: Mapping[str, str], *, shows_values: bool
) -> Replacing:
    """Returns what tells the replacements in a direction. `bound`: the rules of the exchange, if they are known;
    `placeholders`: value -> placeholder, for a record that shows values; `shows_values`: whether it does."""

    def replacing(text: RecordedText, start: int, end: int) -> Replacement:
        value = (read_text(text) or "")[max(0, start) : max(0, end)]
        if any(is_restored(found) and (found.start, found.end) == (start, end) for found in text.findings):
            return Replacement(value if shows_values else None, f"the client got the value of {value}")
        found = [each for each in text.findings if start <= each.start and each.end <= end]
        if bound is None or not found:
            return Replacement(None, "replaced, and the record does not tell by what")
        channel = Channel(direction, cast(Kind, text.kind), text.path)
        for each in found:
            finding = Finding(each.start, each.end, each.check, each.label, each.score)
            edit = bound.edit(channel, finding)
            if edit is not None:
                return _by(edit.operators.of(each.label), value, placeholders, edit.rule, shows_values=shows_values)
        return Replacement("", f"{found[0].check}: cut out")

    return replacing


def _by(
    operator: Operator, value: str, placeholders: Mapping[str, str], rule: str, *, shows_values: bool
) -> Replacement:
    """Returns what an operator puts in the place of a value. Without the value, the record shows its placeholder."""
    name = f"replaced by rule {rule} ({operator.type})"
    token = placeholders.get(value, "") if shows_values else value
    if operator.type == "redact":
        return Replacement("", name)
    if operator.type == "replace":
        return Replacement(operator.new_value, name)
    if operator.type == "placeholder":
        return Replacement(token, name) if PLACEHOLDER.fullmatch(token) else Replacement(None, name)
    if operator.type == "hash" or not shows_values:
        return Replacement(None, name)
    return Replacement(operator.apply(value, token, lambda kind, text: ""), name)
