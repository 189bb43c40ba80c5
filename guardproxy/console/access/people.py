"""The roles of people, and a person who may come in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from guardproxy.errors import ConfigError

Role = Literal["viewer", "reviewer", "operator", "auditor"]
ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True, slots=True)
class Login:
    """A person who may come in."""

    name: str
    role: Role


def role_of(text: str) -> Role:
    """Returns the role of a name. Raises `ConfigError`."""
    for role in ROLES:
        if role == text:
            return role
    raise ConfigError(f"`{text}` is no role: {', '.join(ROLES[:-1])} or {ROLES[-1]}")
