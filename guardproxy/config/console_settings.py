"""The settings of the reviewers' console."""

# ruff: noqa: RUF009 - `setting` returns a dataclass field

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from guardproxy.config.declaration import AllowedValues, setting, split_address

CONSOLE_ROLES = ("viewer", "reviewer", "operator", "auditor")


def is_console_url(entry: str) -> bool:
    parts = split_address(entry)
    is_plain = not (parts.query or parts.fragment or parts.username or parts.password)
    return not entry or (parts.scheme in ("http", "https") and bool(parts.hostname) and is_plain)


def is_issuer(entry: str) -> bool:
    parts = split_address(entry)
    is_near = parts.hostname in ("127.0.0.1", "::1", "localhost")
    is_plain = not (parts.query or parts.fragment or parts.username or parts.password)
    return not entry or (
        is_plain and bool(parts.hostname) and (parts.scheme == "https" or (parts.scheme == "http" and is_near))
    )


def is_role_pair(entry: str) -> bool:
    value, _, role = entry.rpartition("=")
    return bool(value) and role in CONSOLE_ROLES


@dataclass(frozen=True, slots=True)
class ConsoleSettings:
    """The settings of the reviewers' console."""

    mode: str = setting(
        "console",
        "off",
        "Whether the admin port has the reviewers' console at /console/. `read`: nothing can be changed. `write`: people with "
        "the role can change policies and keys. Needs the extra `console`.",
        AllowedValues(choices=("off", "read", "write")),
        flag="--console",
    )
    logins: Path | None = setting(
        "console_logins", None, "The file of the console's logins, which `guardproxy console login add` writes."
    )
    url: str = setting(
        "console_url",
        "",
        "The address at which people open the console, if it is not the admin port itself. The admin port also answers for its "
        "host. With https, as with TLS on the admin port, cookies are for HTTPS alone.",
        AllowedValues(form="like https://guard.example", is_right=is_console_url),
    )

    oidc_issuer: str = setting(
        "console_oidc_issuer",
        "",
        "The identity provider (OpenID Connect) at which people may sign in, instead of with a token. Needs `console_url`, "
        "whose path /console/oidc/callback is the address to register there, and the extra `jwt`.",
        AllowedValues(form="like https://login.example, or http://127.0.0.1:8090", is_right=is_issuer),
    )
    oidc_client: str = setting("console_oidc_client", "", "The identifier of the console at the provider.")
    oidc_secret: str = setting(
        "console_oidc_secret", "", "The secret of the console at the provider, if it has one.", is_secret=True
    )
    oidc_claim: str = setting(
        "console_oidc_claim", "groups", "The claim of the provider's token that decides the role of a person."
    )
    oidc_role: tuple[str, ...] = setting(
        "console_oidc_role",
        (),
        "`VALUE=ROLE`: the role of people whose claim has this value. The first that fits counts; others cannot sign in.",
        AllowedValues(
            form="like security-team=auditor, with viewer, reviewer, operator or auditor", is_right=is_role_pair
        ),
    )
    oidc_scope: tuple[str, ...] = setting(
        "console_oidc_scope", ("openid", "email"), "A scope to ask the provider for. `openid` must be among them."
    )
    oidc_session_s: float = setting(
        "console_oidc_session_s",
        3600.0,
        "Seconds after which a person who signed in at the provider signs in there again, so that a role that is lost there is "
        "lost here.",
        AllowedValues(least=60, most=43_200),
    )

    @property
    def is_on(self) -> bool:
        """Whether there is a console."""
        return self.mode != "off"

    @property
    def hosts(self) -> tuple[str, ...]:
        """Returns the host of `url`, if it is given."""
        host = split_address(self.url).hostname
        return (host,) if host else ()

    @property
    def oidc_roles(self) -> tuple[tuple[str, str], ...]:
        """Returns the values of the claim with their roles, in order."""
        return tuple((entry.rpartition("=")[0], entry.rpartition("=")[2]) for entry in self.oidc_role)
