"""What is done about findings: `Pass`, `Edit`, `Stop`, in that order of strength; the strongest of all rules wins."""

from __future__ import annotations

from dataclasses import dataclass

from guardproxy.operators import PLACEHOLDERS, Operators


@dataclass(frozen=True, slots=True)
class Pass:
    """The text goes on as it is; the record says that `rule` saw something (`flag`, or a rule in shadow mode)."""

    rule: str
    strength: int = 0


@dataclass(frozen=True, slots=True)
class Edit:
    """The finding's span is replaced as `operators` say. `restore`: the answer's reader gets the value back, where a
    placeholder stood for it."""

    rule: str
    restore: bool = True
    operators: Operators = PLACEHOLDERS
    strength: int = 1


@dataclass(frozen=True, slots=True)
class Stop:
    """Nothing at or after the finding goes on; the client gets the dialect's own refusal with `message`."""

    rule: str
    message: str = ""
    strength: int = 2


Decision = Pass | Edit | Stop
