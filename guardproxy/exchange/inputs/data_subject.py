"""Names the owner of an exchange's texts: whose data key seals them, and so whose erasure makes them unreadable.

In: what policies say (`user`, `tenant`, `conversation`, `header:NAME`), and the request. Out: the owner.

A client names its user itself, so the owner is not a proof of who wrote a text. An owner belongs to one tenant: a name that
another tenant uses is another owner, with another key.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from guardproxy.audit import Owner
from guardproxy.policy.values import header_of


def owner_of(
    subjects: Sequence[str],
    user_fields: Sequence[Sequence[str]],
    tree: Any,
    headers: Mapping[str, str] | None,
    tenant: str,
    conversation: str,
) -> Owner:
    """Returns the first owner that the request names, or else its conversation. `user_fields`: of the format; `headers`: by
    lower-case name; `tenant`, `conversation`: their pseudonyms, `tenant` empty without a credential."""
    for subject in subjects:
        if subject == "tenant" and tenant:
            return Owner("tenant", tenant, "")
        if subject == "conversation":
            break
        name = next(_users(tree, user_fields), "") if subject == "user" else (headers or {}).get(header_of(subject), "")
        if name:
            return Owner("subject", tenant, name)
    return Owner("conversation", tenant, conversation)


def _users(tree: Any, fields: Sequence[Sequence[str]]) -> Iterator[str]:
    for path in fields:
        node = tree
        for key in path:
            node = node.get(key) if isinstance(node, dict) else None
        if isinstance(node, str) and node:
            yield node
