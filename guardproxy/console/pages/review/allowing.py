"""Which line of a policy allows a value that a rule wrongly held for. Pure.

In: a check as the policy describes it, and a value. Out: the option that takes the value, and the value in the form that the
option wants. The options are those that checks declare; a check that declares no such list has another way, which is said in
words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from guardproxy.checks import ALLOW, options

LIMIT_CHARS = 1000
_OPAQUE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?![/0-9])")  # `mailto:`, but not a host with a port
OTHER_WAYS = {
    "words": "put a phrase in which the name is meant otherwise under `unless`",
    "threshold": "raise its `threshold`, or take the kind of text out of `on` of the rule",
}


@dataclass(frozen=True, slots=True)
class AllowedValue:
    """A value for a list of a check. `option`: its name; `value`: as the list wants it; `advice`: what to do instead, if the
    check has no list of values."""

    check: str
    option: str = ""
    value: str = ""
    advice: str = ""

    @property
    def is_possible(self) -> bool:
        """Whether the check has a list for the value."""
        return bool(self.option)


def allowed_value(check: str, use: str, value: str) -> AllowedValue:
    """Returns where to put a value. `check`: its name in the policy; `use`: what it is; `value`: as the text has it."""
    declared = options(use)
    text = value.strip()[:LIMIT_CHARS]
    if (option := declared.get("allow")) is not None:
        if option is ALLOW["allow"]:
            return AllowedValue(check, "allow", text)
        if _takes_hosts(option) and (host := _host(text)):
            return AllowedValue(check, "allow", host)
    if "unless" in declared:
        return AllowedValue(check, "unless", text)
    way = OTHER_WAYS["threshold"] if "threshold" in declared else "take the kind of text out of `on` of the rule"
    return AllowedValue(check, advice=f"The check `{check}` has no list of allowed values: {way}.")


def _takes_hosts(option: Any) -> bool:
    """Whether a list takes names of hosts, as its declared form of an item says."""
    items = option.schema.get("items", {}) if isinstance(option.schema, dict) else {}
    pattern = str(items.get("pattern", ""))
    return "A-Za-z0-9.-" in pattern


def _host(text: str) -> str:
    """Returns the host of an address; empty if it has none."""
    if _OPAQUE.match(text):
        return ""
    try:
        return (urlsplit(text if "//" in text else f"//{text}").hostname or "").strip(".")
    except ValueError:
        return ""
