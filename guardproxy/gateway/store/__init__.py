"""Stores: where duties keep values between requests. A port (`Store`), and one file for each kind of store.

A duty sends a list of calls and gets the list of their answers, so that a remote store needs one round trip for a
list. The calls of a list run in order and atomically: no call of another request runs between them.
"""

from __future__ import annotations

from guardproxy.gateway.store.calls import (
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
)
from guardproxy.gateway.store.failover import Down, Failover
from guardproxy.gateway.store.map_calls import ChangeMap, ClaimMember, GetMap, PutMember
from guardproxy.gateway.store.memory import MemoryStore
from guardproxy.gateway.store.redis import RedisStore

__all__ = [
    "Add",
    "Answer",
    "Call",
    "ChangeMap",
    "ClaimMember",
    "Down",
    "Drop",
    "Failover",
    "Get",
    "GetMap",
    "Lease",
    "MemoryStore",
    "Put",
    "PutMember",
    "RedisStore",
    "Renew",
    "Settle",
    "Store",
    "Take",
    "lease_of",
]
