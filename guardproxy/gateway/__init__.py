"""The gateway: the tasks for every request besides checking its texts.

A duty (`duties/duty.py`) admits a request by its head, plans where it goes, and records its usage at the end. Duties run in a
configured order (`duties/order.py`). They keep their values in a store (`store/`). The store's answers are inputs of the
exchange: they are recorded, and a replay uses them again. Each duty is a file of `duties/`:

    readiness.py    refuses requests while the proxy shuts down or cannot keep records
    routes.py       refuses routes that are neither guarded nor passed through
    tenants.py      turns the credential into a tenant
    client_keys.py  admits clients by keys of the proxy or by tokens (see `clients/`)
    limits.py       limits and budgets (`duties/limit_file.py`, `prices/`)
    owned_ids.py    seals the ids of exchanges with their tenants
    capacity.py     refuses requests while the maximum number of exchanges is open
    bodies.py       refuses bodies that are not JSON or too large, by their headers

Another package adds a duty by an entry point of the group `guardproxy.duties`; the setting `--duty NAME` enables it.
"""

from __future__ import annotations

from guardproxy.gateway.clients.client_file import (
    FILE_NAME,
    ClientFile,
    StoredClient,
    StoredKey,
    new_key,
    read_client_file,
    with_new_client,
    write_client_file,
)
from guardproxy.gateway.clients.clients import NO_CLIENT, Clients, KnownClient
from guardproxy.gateway.clients.credentials import (
    Credential,
    digest,
    moved_from_query,
    read_secret,
    refuse_in_query,
)
from guardproxy.gateway.clients.guesses import Guesses
from guardproxy.gateway.clients.key_folder import KeyFolder
from guardproxy.gateway.clients.tokens import ALGORITHMS, Tokens
from guardproxy.gateway.duties.bodies import BodyHeaders
from guardproxy.gateway.duties.capacity import Capacity, Slots
from guardproxy.gateway.duties.client_keys import ClientKeys, KnownClients
from guardproxy.gateway.duties.duty import Duty, Head, Refusal, Steps, StoreAnswered
from guardproxy.gateway.duties.limit_file import LimitSet, limit_schema, read_limits
from guardproxy.gateway.duties.limits import UsageLimits, about_of, conversation_of, limits_of
from guardproxy.gateway.duties.order import Duties, Trail, load_duties, rerun
from guardproxy.gateway.duties.owned_ids import OwnedIds, is_owned
from guardproxy.gateway.duties.readiness import Readiness
from guardproxy.gateway.duties.routes import UNKNOWN, Routes
from guardproxy.gateway.duties.tenants import KnownTenants, Tenancy, TenantNames, holder_of
from guardproxy.gateway.prices.price_table import maintained_prices
from guardproxy.gateway.prices.prices import NO_PRICES, Prices, priced, prices_of
from guardproxy.gateway.store import (
    Add,
    Answer,
    Call,
    Drop,
    Get,
    Lease,
    Put,
    Renew,
    Settle,
    Store,
    Take,
    lease_of,
    map_calls,
)
from guardproxy.gateway.store.failover import Down, Failover
from guardproxy.gateway.store.memory import MemoryStore
from guardproxy.gateway.store.redis import RedisStore

__all__ = [
    "ALGORITHMS",
    "FILE_NAME",
    "NO_CLIENT",
    "NO_PRICES",
    "UNKNOWN",
    "Add",
    "Answer",
    "BodyHeaders",
    "Call",
    "Capacity",
    "ClientFile",
    "ClientKeys",
    "Clients",
    "Credential",
    "Down",
    "Drop",
    "Duties",
    "Duty",
    "Failover",
    "Get",
    "Guesses",
    "Head",
    "KeyFolder",
    "KnownClient",
    "KnownClients",
    "KnownTenants",
    "Lease",
    "LimitSet",
    "MemoryStore",
    "OwnedIds",
    "Prices",
    "Put",
    "Readiness",
    "RedisStore",
    "Refusal",
    "Renew",
    "Routes",
    "Settle",
    "Slots",
    "Steps",
    "Store",
    "StoreAnswered",
    "StoredClient",
    "StoredKey",
    "Take",
    "Tenancy",
    "TenantNames",
    "Tokens",
    "Trail",
    "UsageLimits",
    "about_of",
    "conversation_of",
    "digest",
    "holder_of",
    "is_owned",
    "lease_of",
    "limit_schema",
    "limits_of",
    "load_duties",
    "maintained_prices",
    "map_calls",
    "moved_from_query",
    "new_key",
    "priced",
    "prices_of",
    "read_client_file",
    "read_limits",
    "read_secret",
    "refuse_in_query",
    "rerun",
    "with_new_client",
    "write_client_file",
]
