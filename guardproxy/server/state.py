"""The state that duties count in: in memory, or in a server that several processes share.

In: settings. Out: a store. Kept: its connections.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import cast

from guardproxy.audit import Owner
from guardproxy.config import ClientSettings, Config
from guardproxy.errors import StoreError
from guardproxy.gateway import UsageLimits
from guardproxy.gateway.store import Down, Drop, Failover, Lease, MemoryStore, RedisStore, Store, lease_of
from guardproxy.policy import PolicySet
from guardproxy.server.admission import Further
from guardproxy.server.driving.answer_cache import MemoryAnswers, SharedAnswers
from guardproxy.server.driving.caching import Caches
from guardproxy.server.driving.earlier import EarlierValues, MemoryTurns, TurnStore
from guardproxy.server.driving.memories import Memories
from guardproxy.server.driving.similar.comparing import SimilarQuestions
from guardproxy.server.driving.similar.shared import SharedQuestions
from guardproxy.server.driving.store_cipher import OwnerKeys, Owners, StoreCipher
from guardproxy.server.observing.metrics import Metrics
from guardproxy.server.trust.clients import ClientSource

_log = logging.getLogger(__name__)


LONGEST_S = 86_400.0  # an exchange without a time limit
LARGEST_SHARED_BYTES = 1024 * 1024  # a call of the store holds the event loop
HOLD_MORE_S = 60.0


class SharedState:
    """The store of the settings. Raises `ConfigError`. `server`: the shared store itself, if there is one. `fault`: why it
    cannot be reached; empty if it can. `lease`: of this process there."""

    def __init__(self, settings: ClientSettings) -> None:
        self.lease = Lease(os.urandom(8).hex())
        self.fault: tuple[str, ...] = ()
        self.server = RedisStore(settings.state) if settings.state else None
        self._failover: Failover | None = None
        self._lost = 0  # what the log has told
        if self.server:
            self._failover = Failover(
                self.server, cast(Down, settings.state_down), time.monotonic, self._note, self.lease
            )
        self.store: Store = self._failover or MemoryStore()

    def _note(self, fault: str) -> None:
        self.fault = (fault,) if fault else ()
        if fault:
            _log.error("state not reached", extra={"error": fault})
        else:
            _log.info("state reached again")

    async def run(self) -> None:
        """Renews the lease of this process for ever, so that what it reserved stays reserved, and soon after the store was
        away."""
        while self._failover:
            await self._renew(self._failover)
            self._tell_lost(self._failover.lost)
            await asyncio.sleep(self._failover.renew_in_s)

    @staticmethod
    async def _renew(failover: Failover) -> None:
        if given_back := await failover.renew():
            _log.warning("reservations without an exchange given back", extra={"count": given_back})

    def _tell_lost(self, lost: int) -> None:
        if lost > self._lost:
            _log.error("usage of exchanges is lost and not counted", extra={"count": lost - self._lost})
        self._lost = lost

    async def close(self) -> None:
        """Sends what is not settled yet, ends the lease, and closes the connections."""
        if self.server and self._failover:
            await self._renew(self._failover)
            self._tell_lost(self._failover.lost + self._failover.unsettled)
            with suppress(StoreError):
                await self.server.perform((Drop(lease_of(self.lease.owner)),))
            await self.server.close()


def further_of(
    config: Config, source: ClientSource, state: SharedState, metrics: Metrics, policies: Callable[[], PolicySet]
) -> Further:
    """Returns what the settings add to admission: clients with keys, limits, prices, and the store. A reservation of a limit
    outlives every exchange."""
    hold_s = (config.timeouts.total_s or LONGEST_S) + config.timeouts.drain_s + HOLD_MORE_S

    def limits(seal: Callable[[bytes], str]) -> UsageLimits:
        notice = lambda limit, mode: metrics.limit_refusals.labels(limit, mode).inc()  # noqa: E731
        return UsageLimits(lambda: source.limits, hold_s, notice, policies, seal, state.lease)

    return Further(
        (lambda: source.known) if source.is_on else None,
        lambda code, mode: metrics.key_refusals.labels(code, mode).inc(),
        limits,
        config.clients.limits is not None,
        (lambda: source.limits.prices) if config.clients.limits or config.clients.prices != "none" else None,
        state.store,
    )


def caches_of(config: Config, key: bytes, state: SharedState, metrics: Metrics, keys: OwnerKeys | None) -> Caches:
    """Returns the caches of answers that the settings describe: in memory, or in the shared state. While that cannot be
    reached, the upstream answers. `key`: of the proxy; `keys`: the data keys of owners, `None` if no text is sealed."""
    memory = MemoryAnswers(config.limits.cache_bytes, time.monotonic)
    shared, server, cipher = None, state.server, StoreCipher(key, "question")
    owners = Owners(cipher, keys)
    similar = SimilarQuestions(cipher, owners, metrics)
    if server is not None:
        store = Failover(server, "closed", time.monotonic, lambda fault: None)
        largest_bytes = min(memory.largest_bytes, LARGEST_SHARED_BYTES)
        shared = SharedAnswers(store, largest_bytes, StoreCipher(key, "answer"), owners)
        similar.share(
            lambda embedder: SharedQuestions(
                server,
                embedder.digest,
                embedder.dimensions,
                lambda partition: cipher.digest("vectors", partition).encode(),
                similar.in_thread,
            )
        )
    return Caches(memory, shared, metrics, similar, owners)


def earlier_of(config: Config, key: bytes, state: SharedState, metrics: Metrics) -> EarlierValues:
    """Returns what keeps the values of stored turns: in memory, or in the shared state. `key`: of the proxy."""
    memory = MemoryTurns(config.limits.turns_bytes, time.monotonic)
    metrics.turn_bytes.set_function(lambda: memory.used_bytes)
    metrics.turns_evicted.set_function(lambda: memory.evicted)
    store: TurnStore = memory
    if state.server is not None:
        store = Failover(state.server, "closed", time.monotonic, lambda fault: None)
    return EarlierValues(key, config.clients.keep_turns_s, store, metrics)


def memories_of(
    config: Config, key: bytes, state: SharedState, metrics: Metrics, secret_of: Callable[[Owner], bytes] | None
) -> Memories:
    """Returns the memory of earlier exchanges: in this process, or in the shared state. `key`: of the proxy; `secret_of`:
    returns the data key of an owner, `None` if no text is sealed."""
    if state.server is not None:
        store: Store = Failover(state.server, "closed", time.monotonic, lambda fault: None)
    else:
        store = memory = MemoryStore(map_bytes=config.limits.memory_bytes)
        metrics.memory_bytes.set_function(lambda: memory.maps.used_bytes)
        metrics.memory_evicted.set_function(lambda: memory.maps.evicted)
    return Memories(key, store, cast(Down, config.clients.state_down), metrics, secret_of=secret_of)
