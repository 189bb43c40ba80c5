"""Seals the id of each exchange with its tenant, so that a later request about the exchange proves whose it was.

With this duty an id has 32 hexadecimal digits: 20 are random, and only the key of this proxy can compute the other 12 for this
tenant. No store is needed, a restart changes nothing, and every worker and replica with the same key can check an id.

No id has nine decimal digits in a row. A client sends it back in a body, and there it must not look like a personal number.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from hmac import compare_digest

from guardproxy.gateway.duties.duty import Duty, Head

_RANDOM_CHARS = 20
_SEAL_CHARS = 12
_NUMBER = re.compile("[0-9]{9}")


class OwnedIds(Duty):
    """Seals the id of an exchange. Runs when the tenant is known, and before duties that count by the id. `seal`:
    returns a keyed digest."""

    name = "owned-ids"

    def __init__(self, seal: Callable[[bytes], str]) -> None:
        self._seal = seal

    def admit(self, head: Head) -> Head:
        """Returns the head with the sealed id."""
        number = 0
        while _NUMBER.search(name := self._name(head, number)):  # every third id has such a row by chance
            number += 1
        return head.changed(id=name)

    def _name(self, head: Head, number: int) -> str:
        random = self._seal(f"id:{head.id}:{number}".encode())[:_RANDOM_CHARS]
        return random + _seal_of(random, head.tenant, self._seal)


def is_owned(exchange_id: str, tenant: str, seal: Callable[[bytes], str]) -> bool:
    """Whether this proxy gave the id to an exchange of the tenant. `tenant`: its pseudonym, empty without a credential."""
    random, own = exchange_id[:_RANDOM_CHARS], exchange_id[_RANDOM_CHARS:]
    return compare_digest(own.encode(), _seal_of(random, tenant, seal).encode())


def _seal_of(random: str, tenant: str, seal: Callable[[bytes], str]) -> str:
    return seal(f"exchange:{tenant}:{random}".encode())[:_SEAL_CHARS]
