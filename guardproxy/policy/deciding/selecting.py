"""Selects the policies that apply to a request.

In: policies, the facts of the request, recorded verdicts, and the policies that the client's key demands. Out: for each policy
its verdict, and the share of its rules that leaves the conversation out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from guardproxy.policy.conditions.matching import MatchVerdict
from guardproxy.policy.conditions.request_context import About
from guardproxy.policy.values import rollout
from guardproxy.policy.values.document import Policy

NOT_APPLYING = -2
"""In place of a share: the policy does not apply. -1 means that no share excludes the conversation."""

Selection = tuple[tuple[MatchVerdict, int], ...]


def select(
    policies: Sequence[Policy],
    shares: Sequence[tuple[int, ...]],
    about: About,
    conversation: str,
    known: Mapping[str, MatchVerdict],
    demanded: Collection[str],
) -> Selection:
    """Returns the verdict on each policy and the share that excludes the conversation, or `NOT_APPLYING`. `shares`: of the
    rules of each policy; `known`: recorded verdicts, by `Match.digest`; `demanded`: names of policies that apply whatever
    their `match`."""
    by_digest = dict(known)  # equal conditions are evaluated once
    selected: list[tuple[MatchVerdict, int]] = []
    for policy, own_shares in zip(policies, shares, strict=True):
        if (verdict := by_digest.get(digest := policy.match.digest)) is None:
            verdict = by_digest[digest] = policy.match.verdict(about)
        applies = verdict != "no" or (policy.file in demanded and policy.is_for(about.tenant))
        excluding = rollout.excluding_share(own_shares, policy.origin, conversation) if applies else NOT_APPLYING
        selected.append((verdict, excluding))
    return tuple(selected)
