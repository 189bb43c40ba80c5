"""Turns the credential of a request into its tenant.

In: the setting `tenants` (`acme=sha256:HEX`), then credentials. Out: a pseudonym of the credential, which keys
placeholders, and the tenant's name, for `match.tenants`, `tenants:` and `tenant.name`. Kept: digests, never a
credential.

A client is a credential, or a client of the file of keys; a tenant is a name that several clients can have. What clients may
share has a scope (`holder_of`). Placeholders belong to a client, always.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Literal

from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.gateway.clients.credentials import digest, read_credential
from guardproxy.gateway.duties.duty import Duty, Head

Scope = Literal["client", "tenant", "all"]


def holder_of(scope: Scope, client: str, tenant: str) -> str:
    """Returns a text that those requests have in common that share something. `client`: the pseudonym of the client; `tenant`:
    the name of its tenant. A client without a tenant shares with nobody but itself, unless all share."""
    if scope == "all":
        return "all"
    return f"tenant={tenant}" if scope == "tenant" and tenant else client  # no pseudonym has such a form


class TenantNames:
    """The names of tenants in the settings. A tenant may have several credentials."""

    def __init__(self, entries: Iterable[str]) -> None:
        pairs = (entry.partition("=")[::2] for entry in entries)
        self._names = {wanted.lower(): name for name, wanted in pairs}

    def name(self, secret: str) -> str:
        """Returns the name of the tenant with this credential; empty if it has no name."""
        return self._names.get(digest(secret), "") if secret and self._names else ""


class Tenancy(Duty):
    """Sets the tenant of a request. `names`: of tenants by credential. `seal`: returns a keyed digest."""

    name = "tenants"

    def __init__(self, names: TenantNames, seal: Callable[[bytes], str]) -> None:
        self._names = names
        self._seal = seal

    def admit(self, head: Head) -> Head:
        """Returns the head with its tenant. Raises `DownstreamError` (400) for an ambiguous credential."""
        credential = read_credential(head.headers)
        secret = credential.secret
        # The pseudonym keys placeholders, so those of other tenants cannot be restored.
        tenant = self._seal(b"tenant:" + secret.encode())[:16] if secret else ""
        return head.changed(tenant=tenant, tenant_name=self._names.name(secret), credential=credential)


class KnownTenants(Duty):
    """Refuses credentials that have no name in the settings (`--unknown-tenant refuse`). `open_routes`: those that need
    none."""

    name = "known-tenants"

    def __init__(self, open_routes: Collection[str] = ()) -> None:
        self._open_routes = frozenset(open_routes)

    def admit(self, head: Head) -> Head:
        """Returns the head unchanged. Raises `DownstreamError` (401)."""
        if not head.tenant_name and head.route not in self._open_routes:
            raise DownstreamError(ErrorCode.UNKNOWN_CREDENTIAL)
        return head
