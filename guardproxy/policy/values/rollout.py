"""Gradual rollout: rules that are enforced for a share of all conversations (`enforce: 10 %`) and are in shadow mode
for the rest.

In: a share, the name of a policy, the pseudonym of a conversation. Out: whether the rule is enforced. A hash selects the
conversations, so every turn, every replica and every replay agree, and the conversations of 10 % are a part of those of 20 %.
All rules of a policy are enforced for the same conversations; other policies select others.

Decision: docs/decisions/0027-a-rollout-follows-conversations.md
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

from guardproxy.policy.yaml.reading import FileReading
from guardproxy.policy.yaml.tree import YamlNode

if TYPE_CHECKING:
    from guardproxy.policy.values.document import Rule

WHOLE = 1_000_000
"""The number of conversations in a share of 100 %: shares are counted in millionths."""
_SHARE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,4})?) ?%", re.ASCII)
_WANTED = "a share of all conversations, from 0 % to 100 %, like `10 %`"


def read_share(reading: FileReading, node: YamlNode | None) -> int | None:
    """Reads the share in a file, or `None`."""
    if node is None:
        return None
    match = _SHARE.fullmatch(node.value.strip()) if isinstance(node.value, str) else None
    share = int(Decimal(match[1]) * WHOLE / 100) if match else WHOLE + 1
    if share > WHOLE:
        reading.fail(node.place, f"expected {_WANTED}")
        return None
    return share


def with_share(rules: Sequence[Rule], share: int | None) -> tuple[Rule, ...]:
    """Returns the rules of a policy; an enforced rule without a share gets the share of the policy."""
    if share is None:
        return tuple(rules)
    return tuple(
        replace(rule, share=share) if rule.share is None and rule.mode == "enforce" else rule for rule in rules
    )


def shares(rules: Sequence[Rule], of_policy: int | None = None) -> tuple[int, ...]:
    """Returns the distinct shares of the rules, smallest first. `of_policy`: that of the policy, which its other
    parts share."""
    every = (of_policy, *(rule.share for rule in rules))
    return tuple(sorted({share for share in every if share is not None}))


def excluding_share(policy_shares: Sequence[int], policy: str, conversation: str) -> int:
    """Returns the largest share of the policy that excludes the conversation, or -1. No share excludes an unknown
    conversation, so that `policy test` and `scan` show what the rules do."""
    if not policy_shares or not conversation:
        return -1
    position = position_of(policy, conversation)
    return max((share for share in policy_shares if share <= position), default=-1)


def reach(rule: Rule) -> int:
    """Returns the number of conversations in a million for which the rule is enforced."""
    return 0 if rule.mode == "shadow" else WHOLE if rule.share is None else rule.share


def position_of(policy: str, conversation: str) -> int:
    """Returns the position of a conversation among a million, for a policy."""
    digest = hashlib.blake2b(f"{policy}\0{conversation}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") * WHOLE >> 64
