"""Gradual rollout: rules that are enforced for a share of all conversations (`enforce: 10 %`) and watch the rest in shadow
mode.

In: a share, the name of a policy, the pseudonym of a conversation. Out: whether the rule is enforced. Kept: nothing. A hash
selects the conversations, so every turn, every replica and every replay agree, and the conversations of 10 % are among those
of 20 %. The rules of a policy belong together and take the same conversations; each policy takes different ones.

Decision: docs/decisions/0027-a-rollout-follows-conversations.md
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

from guardproxy.policy.reading import FileReading
from guardproxy.policy.tree import YamlNode

if TYPE_CHECKING:
    from guardproxy.policy.document import Rule

WHOLE = 1_000_000
"""A share is the number of conversations in a million."""
_SHARE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,4})?) ?%", re.ASCII)
_WANTED = "a share of all conversations, from 0 % to 100 %, like `10 %`"


def read_share(reading: FileReading, node: YamlNode | None) -> int | None:
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
    """The rules of a policy, in which an enforced rule without a share gets the share of the policy."""
    if share is None:
        return tuple(rules)
    return tuple(
        replace(rule, share=share) if rule.share is None and rule.mode == "enforce" else rule for rule in rules
    )


def shares(rules: Sequence[Rule]) -> tuple[int, ...]:
    """The distinct shares of the rules, smallest first."""
    return tuple(sorted({rule.share for rule in rules if rule.share is not None}))


def reached(policy_shares: Sequence[int], policy: str, conversation: str) -> int:
    """The largest share of the policy that leaves the conversation out, or -1. No share leaves an unknown conversation out,
    so `policy test` and `scan` show what the rules do."""
    if not policy_shares or not conversation:
        return -1
    place = place_of(policy, conversation)
    return max((share for share in policy_shares if share <= place), default=-1)


def reach(rule: Rule) -> int:
    """The number of conversations in a million for which the rule is enforced."""
    return 0 if rule.mode == "shadow" else WHOLE if rule.share is None else rule.share


def place_of(policy: str, conversation: str) -> int:
    """The place of a conversation among a million, for a policy."""
    digest = hashlib.blake2b(f"{policy}\0{conversation}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") * WHOLE >> 64
