"""The settings of the reviewers' console."""

# ruff: noqa: RUF009 - `setting` returns a dataclass field

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from guardproxy.config.declaration import AllowedValues, setting, split_address


def is_console_url(entry: str) -> bool:
    parts = split_address(entry)
    is_plain = not (parts.query or parts.fragment or parts.username or parts.password)
    return not entry or (parts.scheme in ("http", "https") and bool(parts.hostname) and is_plain)


@dataclass(frozen=True, slots=True)
class ConsoleSettings:
    """The settings of the reviewers' console."""

    mode: str = setting(
        "console",
        "off",
        "Whether the admin port has the reviewers' console at /console/. `read`: it shows; `write`: people with the role can "
        "also change policies and keys. Needs the extra `console`.",
        AllowedValues(choices=("off", "read", "write")),
        flag="--console",
    )
    logins: Path | None = setting(
        "console_logins", None, "The file of the console's logins, which `guardproxy console login add` writes."
    )
    url: str = setting(
        "console_url",
        "",
        "The address at which people open the console, if it is not the admin port itself. With https, cookies are for HTTPS "
        "alone. The admin port answers for its host.",
        AllowedValues(form="like https://guard.example", is_right=is_console_url),
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
