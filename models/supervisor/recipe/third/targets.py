"""What a row says of `injection`, and what own rows of the third generation leave to be concluded.

In: targets of `second/outputs.py` and the channel. Out: 1, 0 or unknown.
"""

from __future__ import annotations

from models.supervisor.recipe.second.outputs import HOW, JAILBREAK, KINDS, Targets

ATTACKS = (JAILBREAK, "override", "extraction", "order")
"""Any of these makes a text an attack."""


def injection(found: Targets) -> int | None:
    """Whether a text is an attack: any kind of attack is known, or all kinds are ruled out. `None`: unknown."""
    if any(found.get(name) == 1 for name in ATTACKS):
        return 1
    return 0 if found.get(JAILBREAK) == 0 and found.get("order") == 0 else None


def conclude(found: Targets, channel: str) -> Targets:
    """The targets with what follows from them by `definition.md`.

    `jailbreak` follows from its parts where these are known. A text in a user's message, or of the operator, that is no
    jailbreak gives no order of a third person. A kind of harm makes a text harmful; a harmless text is of no kind.
    """
    told = dict(found)
    if any(told.get(kind) == 1 for kind in KINDS):
        told.setdefault("harmful", 1)
    if told.get("harmful") == 0:
        told = dict.fromkeys(KINDS, 0) | told
    if JAILBREAK not in told:
        ways = [told.get("override"), told.get("extraction")]
        ways += [_both(told.get(manner), told.get("harmful")) for manner in ("wrapper", "obfuscation")]
        if 1 in ways:
            told[JAILBREAK] = 1
        elif None not in ways:
            told[JAILBREAK] = 0
    if channel != "tool_result" and told.get(JAILBREAK) == 0:
        told.setdefault("order", 0)
    return told


def _both(one: int | None, other: int | None) -> int | None:
    if 0 in (one, other):
        return 0
    return None if None in (one, other) else 1


def of_label(label: int, channel: str) -> Targets:
    """The targets of a row that says no more than whether it is an attack: a document's order, or a message's attack."""
    if label:
        return {"order": 1} if channel == "tool_result" else {JAILBREAK: 1}
    return dict.fromkeys((*HOW, *KINDS, "harmful", JAILBREAK), 0)
