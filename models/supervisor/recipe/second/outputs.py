"""The parts that the network judges, the outputs composed of them, and what a training row says of both.

In: what a text asks for and how it asks. Out: targets, a mapping from a part or an output to 0 or 1. A name that is missing
is unknown and costs nothing in training. `definition.md` says in words what each part means.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

KINDS = ("hate", "harassment", "sexual", "violence", "self_harm", "illicit")
"""Kinds of harm."""
WHAT = ("harmful", *KINDS)
"""What is asked for or said: harm of any kind, then each kind."""
HOW = ("override", "wrapper", "extraction", "obfuscation", "order")
"""How it is asked: `wrapper` and `obfuscation` are no attacks by themselves."""
PARTS = (*WHAT, *HOW)
"""The columns of the network, in order."""
JAILBREAK = "jailbreak"
OUTPUTS = (JAILBREAK, "embedded_instruction", *KINDS, "harmful")
"""The columns of the exported graph: `jailbreak` is composed of parts, `embedded_instruction` is the part `order`."""
CHANNELS = ("user", "tool_result", "system", "assistant")
"""What a text is, given to the network as its first token."""

Row = dict[str, Any]
Targets = dict[str, int]


def targets(how: Iterable[str] = (), what: Iterable[str] = ()) -> Targets:
    """The targets of a text of which everything is known. Other kinds of harm stay open where one kind is named."""
    parts, kinds = set(how), set(what)
    if unknown := (parts - set(HOW)) | (kinds - set(KINDS)):
        raise ValueError(f"unknown parts: {', '.join(sorted(unknown))}")
    found = {name: int(name in parts) for name in HOW}
    found |= dict.fromkeys(sorted(kinds), 1) if kinds else dict.fromkeys(KINDS, 0)
    found["harmful"] = int(bool(kinds))
    hidden = bool(kinds) and bool(parts & {"wrapper", "obfuscation"})
    return found | {JAILBREAK: int(bool(parts & {"override", "extraction"}) or hidden)}


def make_row(text: str, found: Targets, source: str, channel: str = "user", span: list[int] | None = None) -> Row:
    """Returns a training row. `span`: where the attack stands in a longer text."""
    return {"text": text, "targets": found, "source": source, "channel": channel, "span": span}


def to_parts(old: Targets) -> Targets:
    """The targets of the first generation's rows in terms of parts: how an attack is made is left open."""
    found: Targets = {}
    kinds = {name: old[name] for name in KINDS if name in old}
    found |= kinds
    if any(kinds.values()):
        found["harmful"] = 1
    elif len(kinds) == len(KINDS):
        found["harmful"] = 0
    if "harmful" in old:
        found["harmful"] = old["harmful"]
    if JAILBREAK in old:
        found[JAILBREAK] = old[JAILBREAK]
        if not old[JAILBREAK]:
            found |= {"override": 0, "extraction": 0}
    if "embedded_instruction" in old:
        found["order"] = old["embedded_instruction"]
    return found
