"""What is done about findings: `Pass`, `Edit`, `Stop`, in that order of strength; the strongest of all rules wins."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pass:
    """The text goes on as it is; the record says that `rule` saw something (`flag`, or a rule in shadow mode)."""

    rule: str
    strength: int = 0


@dataclass(frozen=True, slots=True)
class Edit:
    """The finding's span is replaced by a placeholder. `restore`: the answer's reader gets the value back."""

    rule: str
    restore: bool = True
    strength: int = 1


@dataclass(frozen=True, slots=True)
class Stop:
    """Nothing at or after the finding goes on; the client gets the dialect's own refusal with `message`."""

    rule: str
    message: str = ""
    strength: int = 2


Decision = Pass | Edit | Stop
