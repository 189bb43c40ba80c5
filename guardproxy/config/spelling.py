"""Names that somebody wrote and that are no settings: which of them are misspelled, and which are nobody's mistake.

In: names of variables and keys. Out: what to say of them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

PREFIX = "GUARDPROXY_"
NEAR_EDITS = 2
"""A name within this distance of a setting is a misspelled setting."""
FURTHER = frozenset(
    f"{PREFIX}{name}"
    for name in ("SHIP_TOKEN", "PROGRESS", "DATA", "CLIENTS", "GATEWAYS", "KILLS", "KILLS_FIRST", "PICTURES")
)
"""Variables that other commands, benchmarks and tests read."""
# Kubernetes gives every container variables for each Service of its namespace. Those of a Service that is called `guardproxy`
# begin like ours: GUARDPROXY_SERVICE_HOST, GUARDPROXY_PORT=tcp://10.0.0.1:80, GUARDPROXY_PORT_80_TCP_ADDR.
_SERVICE = re.compile(rf"{PREFIX}(?:.+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_.+)?|PORT_\d+_.+)")
_ADDRESS = re.compile(r"(?:tcp|udp|sctp)://")


def is_injected(name: str, value: str, is_setting: bool) -> bool:
    """Whether Kubernetes made a variable for a Service. A setting is taken for one only if it is a port, as only those names
    can be a Service's: `GUARDPROXY_STATE=tcp://host` is a mistake that must not be passed over."""
    has_address = _ADDRESS.match(value) is not None
    return _SERVICE.fullmatch(name) is not None or (has_address and (not is_setting or name.endswith("_PORT")))


def unknown_variables(environ: Mapping[str, str], known: Collection[str]) -> tuple[list[str], list[str]]:
    """Returns what is wrong with the variables that begin like settings and are none: an error for each that is nearly a
    setting, and at most one warning for all others. `known`: the variables of the settings."""
    errors: list[str] = []
    others: list[str] = []
    for name, value in environ.items():
        if not name.upper().startswith(PREFIX) or name in known or name in FURTHER or is_injected(name, value, False):
            continue
        # A difference of lengths takes as many edits; the start of a proxy must not wait for the names of others.
        like = (variable for variable in known if abs(len(variable) - len(name)) <= NEAR_EDITS)
        word = name.upper().removeprefix(PREFIX)
        near = [(edits(word, variable.removeprefix(PREFIX)), variable) for variable in like]
        distance, variable = min(near, default=(NEAR_EDITS + 1, ""))
        if distance <= NEAR_EDITS:
            errors.append(f"{name} is not a setting; did you mean {variable}?")
        else:
            others.append(name)
    if not others:
        return errors, []
    return errors, [f"{', '.join(others)}: no such settings, so without effect; `guardproxy serve --help` lists all"]


def unknown_key(name: str, is_table: bool, known: Collection[str]) -> str:
    """Returns what is wrong with a key of the file that is not a setting. `is_table`: whether it is a section."""
    if is_table:
        return f"there is no section `{name}`: settings stand at the top of the file, before every `[section]`"
    near = nearest(name.lower().replace("-", "_"), known)
    hint = f"did you mean `{near}`?" if near else "`guardproxy serve --help` lists all"
    return f"unknown setting `{name}`; {hint}"


def nearest(name: str, known: Collection[str]) -> str:
    """Returns the known name that is most like a name; empty if none is like it."""
    from difflib import get_close_matches  # noqa: PLC0415 - only for a mistake

    return next(iter(get_close_matches(name, known, 1)), "")


def edits(left: str, right: str) -> int:
    """Returns how many characters must be inserted, removed, replaced, or swapped with their neighbour to turn a word into
    another."""
    before: list[int] = []
    row = list(range(len(right) + 1))
    for at, letter in enumerate(left, 1):
        earlier, before, row = before, row, [at]
        for to, other in enumerate(right, 1):
            least = min(before[to] + 1, row[-1] + 1, before[to - 1] + (letter != other))
            if at > 1 and to > 1 and letter == right[to - 2] and left[at - 2] == other:
                least = min(least, earlier[to - 2] + 1)
            row.append(least)
    return row[-1]
