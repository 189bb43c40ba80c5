"""The input of a new exchange: the tenant, the policies, the limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from guardproxy import redaction
from guardproxy.exchange.inputs.sealed_ids import SealedIds
from guardproxy.exchange.record.recording import Origin
from guardproxy.exchange.routes.replay_source import LIVE, History
from guardproxy.gateway import Prices
from guardproxy.gateway.clients import NO_CLIENT, KnownClient
from guardproxy.policy import PolicySet
from guardproxy.wire import BOUNDS, Bounds, Codec


@dataclass(frozen=True, slots=True)
class ExchangeLimits:
    """Sizes and times that bound one exchange, and the prices by which its cost is counted."""

    held_chars: int = 2_000_000
    """Text that one answer may hold back."""
    answer_bytes: int = 64 * 1024 * 1024
    """A whole answer, or one event of a stream."""
    quiet_s: float = 10.0
    """How long a stream may be silent while its answer is held back."""
    bounds: Bounds = BOUNDS
    """What one body may hold."""
    request_bounds: Bounds | None = None
    """What the body of a request may hold, if that is less than `bounds` allow."""
    prices: Prices | None = None
    """The prices of models; `None`: the record holds no cost."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The functions of an exchange that depend on the proxy's key and on the tenant."""

    mint: Callable[[str, str], str]
    """`mint(label, value)` returns the placeholder of a value."""
    hashed: Callable[[str, str], str]
    """`hashed(hash_type, value)` returns the keyed hash of a value."""
    seal: Callable[[bytes], str]
    """`seal(data)` returns a keyed digest of bytes."""
    ids: SealedIds | None = None
    """Seals the ids of stored answers, if the settings want it and the format has such ids."""

    @classmethod
    def of(cls, key: bytes, tenant: str, seal: Callable[[bytes], str]) -> Keys:
        """The functions for a tenant and a key. `seal` is a parameter, as it does not depend on the tenant."""
        return cls(
            mint=lambda label, value: redaction.mint(key, tenant, label, value),
            hashed=lambda kind, value: redaction.keyed_hash(key, tenant, kind, value),
            seal=seal,
        )


def unsealed(data: bytes) -> str:
    """The seal of an exchange without a kept record: empty."""
    return ""


class Address(msgspec.Struct, frozen=True):
    """The address of a request: the route pattern that matched it, and the path and the query as the client sent them."""

    route: str
    path: str = ""
    query: str = ""

    @property
    def method(self) -> str:
        """The method of the request."""
        return self.route.partition(" ")[0]

    @property
    def sent(self) -> tuple[str, str]:
        """The path and the query of the request. If `path` is empty, a path that matches `route`."""
        return self.path or self.route.partition(" ")[2].replace("{", "").replace("}", ""), self.query


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """The input of a new exchange."""

    id: str
    address: Address
    tenant: str
    """The pseudonym of the credential."""
    tenant_name: str | None = ""
    """The tenant's name in policies: empty if the tenant has no name, `None` if the name is not known."""
    client: KnownClient = NO_CLIENT
    """The client that the key of the request belongs to, with its scope."""
    codec: Codec
    policies: PolicySet
    keys: Keys
    limits: ExchangeLimits = ExchangeLimits()
    engine: str = ""
    """The version of guardproxy, for the record."""
    receipts: bool = False
    """Whether the client gets a receipt."""
    history: History = LIVE
    """The source of recorded values, in a replay."""

    @property
    def origin(self) -> Origin:
        """The identity of this exchange for its log entries."""
        return Origin(
            id=self.id,
            engine=self.engine,
            tenant=self.tenant,
            tenant_name=self.tenant_name,
            client=self.client.name,
            demanded=self.client.policies,
            route=self.address.route,
            path=self.address.path if "{" in self.address.route else "",  # a replay reads the parameters of the route
            codec=self.codec.name,
            policies=self.policies.digest,
        )
