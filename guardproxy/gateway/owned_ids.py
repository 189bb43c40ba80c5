"""Seals the id of each exchange with its tenant, so that a later request about the exchange proves whose it was.

An id is 24 random hexadecimal digits. With this duty, 16 digits follow that only this proxy's key can compute for this tenant
and this id. No store is needed, a restart changes nothing, and every worker and replica with the same key can check it.
"""

from __future__ import annotations

from collections.abc import Callable
from hmac import compare_digest

from guardproxy.gateway.duty import Duty, Head

_RANDOM_CHARS = 24
_SEAL_CHARS = 16


class OwnedIds(Duty):
    """Adds the seal to the id of an exchange. Runs when the tenant is known, and before duties that count by the id. `seal`:
    returns a keyed digest."""

    name = "owned-ids"

    def __init__(self, seal: Callable[[bytes], str]) -> None:
        self._seal = seal

    def admit(self, head: Head) -> Head:
        """Returns the head with the sealed id."""
        return head.changed(id=head.id + _seal_of(head.id, head.tenant, self._seal))


def is_owned(exchange_id: str, tenant: str, seal: Callable[[bytes], str]) -> bool:
    """Whether this proxy gave the id to an exchange of the tenant. `tenant`: its pseudonym, empty without a credential."""
    random, own = exchange_id[:_RANDOM_CHARS], exchange_id[_RANDOM_CHARS:]
    return compare_digest(own.encode(), _seal_of(random, tenant, seal).encode())


def _seal_of(random: str, tenant: str, seal: Callable[[bytes], str]) -> str:
    return seal(f"exchange:{tenant}:{random}".encode())[:_SEAL_CHARS]
