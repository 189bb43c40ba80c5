"""The names of tenants: which credential is whose, and which names policies may use.

In: the setting `tenants` (`acme=sha256:HEX`), then credentials. Out: the name that `match.tenants`, `tenants:` and
`tenant.name` are compared with; empty for a credential without one. Kept: digests, never a credential.
"""

from __future__ import annotations

from collections.abc import Iterable

from guardproxy.server.credentials import digest


class Tenants:
    """The names that the settings give. A tenant may have several credentials."""

    def __init__(self, entries: Iterable[str]) -> None:
        pairs = (entry.partition("=")[::2] for entry in entries)
        self._names = {wanted.lower(): name for name, wanted in pairs}

    def name(self, secret: str) -> str:
        """Whose credential it is; empty where it has no name."""
        return self._names.get(digest(secret), "") if secret and self._names else ""
