"""Rules that are enforced for a part of all conversations (`enforce: 10 %`), and watch the rest in shadow mode.

In: a share, a policy's name, a conversation's pseudonym. Out: whether the rule is enforced there. Kept: nothing. Which
conversations are in follows from a hash, so every turn, every replica and every replay agree, and those that are in at 10 %
are in at 20 %. The rules of one policy take the same conversations, for they belong together; those of another take others.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

from guardproxy.policy.reading import Reading
from guardproxy.policy.tree import Node

if TYPE_CHECKING:
    from guardproxy.policy.document import Rule

WHOLE = 1_000_000
"""A share is so many of a million conversations."""
_SHARE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,4})?) ?%", re.ASCII)
_WANTED = "a share of all conversations, from 0 % to 100 %, like `10 %`"


def read_share(reading: Reading, node: Node | None) -> int | None:
    """The share that a file asks for, or `None`."""
    if node is None:
        return None
    match = _SHARE.fullmatch(node.value.strip()) if isinstance(node.value, str) else None
    share = int(Decimal(match[1]) * WHOLE / 100) if match else WHOLE + 1
    if share > WHOLE:
        reading.fail(node.place, f"expected {_WANTED}")
        return None
    return share


def shared(rules: Sequence[Rule], share: int | None) -> tuple[Rule, ...]:
    """The rules of a policy that is itself rolled out: those without a share of their own have the policy's."""
    if share is None:
        return tuple(rules)
    return tuple(
        replace(rule, share=share) if rule.share is None and rule.mode == "enforce" else rule for rule in rules
    )


def shares(rules: Sequence[Rule]) -> tuple[int, ...]:
    """The shares that occur, smallest first."""
    return tuple(sorted({rule.share for rule in rules if rule.share is not None}))


def reached(found: Sequence[int], policy: str, conversation: str) -> int:
    """The largest of the policy's shares that leaves the conversation out, or -1. An unknown conversation is left out of none:
    texts that are tried (`policy test`, `scan`) are to show what the rules do."""
    if not found or not conversation:
        return -1
    place = place_of(policy, conversation)
    return max((share for share in found if share <= place), default=-1)


def reach(rule: Rule) -> int:
    """Of how many conversations in a million the rule is enforced."""
    return 0 if rule.mode == "shadow" else WHOLE if rule.share is None else rule.share


def place_of(policy: str, conversation: str) -> int:
    """Where a conversation stands among a million, for a policy."""
    digest = hashlib.blake2b(f"{policy}\0{conversation}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") * WHOLE >> 64
