"""Decisions about findings: `Pass`, `Edit`, `Retry`, `Stop`, from the weakest to the strongest.

The strongest decision of all rules wins; `policy/strictness.py` holds the order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from guardproxy.redaction import EVERYWHERE, PLACEHOLDERS, Operators, Restoration

Then = Literal["block", "pass_flagged", "fallback"]


@dataclass(frozen=True, slots=True)
class Pass:
    """The text goes on as it is; the record says that `rule` saw something (`flag`, or a rule in shadow mode)."""

    rule: str


@dataclass(frozen=True, slots=True)
class Edit:
    """The finding's span is replaced as `operators` say. `restore`: the answer's reader gets the value back, where a
    placeholder stood for it, in the texts that `restoration` names."""

    rule: str
    restore: bool = True
    operators: Operators = PLACEHOLDERS
    restoration: Restoration = EVERYWHERE


@dataclass(frozen=True, slots=True)
class Retry:
    """The answer is not sent: the model is told what is wrong and answers again.

    `attempts`: how many more answers it may give. `total_s`, `total_tokens`: no further attempt is made when the whole
    exchange has taken this many seconds or all attempts this many tokens. `then`: what happens after the last attempt.
    `template`: what the model is told, `{errors}` in it being the list of faults. `model`, `upstream`: the model and the
    upstream of a `fallback` (empty: unchanged). `price`: of a million tokens of output, for the count of what was saved.
    """

    rule: str
    attempts: int = 2
    total_s: float = 120.0
    total_tokens: int | None = None
    then: Then = "block"
    template: str = ""
    model: str = ""
    upstream: str = ""
    price: float = 0.0
    message: str = ""


@dataclass(frozen=True, slots=True)
class Stop:
    """Nothing at or after the finding goes on; the client gets the dialect's own refusal with `message`."""

    rule: str
    message: str = ""


Decision = Pass | Edit | Retry | Stop
