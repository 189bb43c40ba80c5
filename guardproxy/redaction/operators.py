"""Operators: how a redact rule replaces a value.

Names, parameters and meaning are Presidio's, with three exceptions. `placeholder` is the default and the only operator
whose value can be restored. `hash` is keyed, because a plain hash of a phone or card number can be reversed by trying
all numbers. `neutralise` keeps a text that acts on its reader readable, and takes its effect away (`escaping.py`).

Decision: docs/decisions/0037-a-neutral-text-is-an-operator.md
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from guardproxy.redaction.escaping import neutral

Kind = Literal["redact", "replace", "hash", "placeholder", "mask", "neutralise"]
HashType = Literal["sha256", "sha512"]

KINDS: tuple[Kind, ...] = get_args(Kind)  # ordered by how much of a value they show, least first
HASH_TYPES: tuple[HashType, ...] = get_args(HashType)
DEFAULT = "DEFAULT"  # the key in a policy for every label without its own key


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator with its parameters. `chars_to_mask`: `None` masks the whole value, whatever its length."""

    type: Kind = "placeholder"
    new_value: str = ""
    masking_char: str = "*"
    chars_to_mask: int | None = None
    from_end: bool = False
    hash_type: HashType = "sha256"

    @property
    def shows(self) -> bool:
        """Whether the replacement may hold characters of the value."""
        return self.type == "neutralise" or (self.type == "mask" and self.chars_to_mask is not None)

    @property
    def joins(self) -> bool:
        """Whether the replacement of overlapping values is that of the text that they cover together."""
        return self.type == "neutralise"

    def apply(self, value: str, placeholder: str, keyed_hash: Callable[[str, str], str]) -> str:
        """Returns the replacement of `value`. `keyed_hash(hash_type, value)` returns its keyed hash in hexadecimal
        digits."""
        match self.type:
            case "redact":
                return ""
            case "replace":
                return self.new_value
            case "hash":
                return keyed_hash(self.hash_type, value)
            case "placeholder":
                return placeholder
            case "neutralise":  # a value that an encoding hides has no neutral form
                shown = neutral(value)
                return shown if shown != value else placeholder
        count = len(value) if self.chars_to_mask is None else min(self.chars_to_mask, len(value))
        veil = self.masking_char * count
        return value[: len(value) - count] + veil if self.from_end else veil + value[count:]


PLACEHOLDER_OPERATOR = Operator()
MASK_ALL = Operator("mask")
REMOVAL = Operator("redact")


@dataclass(frozen=True, slots=True)
class Operators:
    """The operators of a rule, by label."""

    default: Operator = PLACEHOLDER_OPERATOR
    by_label: Mapping[str, Operator] = field(default_factory=dict)

    def of(self, label: str) -> Operator:
        return self.by_label.get(label, self.default)


PLACEHOLDERS = Operators()


def strictest(operators: Sequence[Operator]) -> Operator:
    """Returns the operator that shows least of a value. Two different masks become a mask of the whole value."""
    first, *others = sorted(operators, key=lambda operator: (KINDS.index(operator.type), repr(operator)))
    differ = first.type == "mask" and any(other != first for other in others)
    return MASK_ALL if differ else first
