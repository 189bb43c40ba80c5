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

from guardproxy.gateway.duties.bodies import BodyHeaders
from guardproxy.gateway.duties.capacity import Capacity, Slots
from guardproxy.gateway.duties.client_keys import ClientKeys, KnownClients
from guardproxy.gateway.duties.duty import Duty, Head, Refusal, Steps, StoreAnswered
from guardproxy.gateway.duties.limit_file import LimitSet, limit_schema, read_limits
from guardproxy.gateway.duties.limits import UsageLimits, about_of, conversation_of
from guardproxy.gateway.duties.order import Duties, Trail, load_duties, rerun
from guardproxy.gateway.duties.owned_ids import OwnedIds, is_owned
from guardproxy.gateway.duties.readiness import Readiness
from guardproxy.gateway.duties.routes import UNKNOWN, Routes
from guardproxy.gateway.duties.tenants import KnownTenants, Tenancy, TenantNames, holder_of
from guardproxy.gateway.prices.price_table import maintained_prices
from guardproxy.gateway.prices.prices import NO_PRICES, Prices, priced, prices_of

__all__ = [
    "NO_PRICES",
    "UNKNOWN",
    "BodyHeaders",
    "Capacity",
    "ClientKeys",
    "Duties",
    "Duty",
    "Head",
    "KnownClients",
    "KnownTenants",
    "LimitSet",
    "OwnedIds",
    "Prices",
    "Readiness",
    "Refusal",
    "Routes",
    "Slots",
    "Steps",
    "StoreAnswered",
    "Tenancy",
    "TenantNames",
    "Trail",
    "UsageLimits",
    "about_of",
    "conversation_of",
    "holder_of",
    "is_owned",
    "limit_schema",
    "load_duties",
    "maintained_prices",
    "priced",
    "prices_of",
    "read_limits",
    "rerun",
]
