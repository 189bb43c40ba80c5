"""The state that duties count in: in memory, or in a server that several processes share.

In: settings. Out: a store. Kept: its connections.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import cast

from guardproxy.config import Config
from guardproxy.gateway import Down, Failover, MemoryStore, RedisStore, Store, UsageLimits
from guardproxy.policy import PolicySet
from guardproxy.server.admission import Further
from guardproxy.server.answer_cache import MemoryAnswers, SharedAnswers
from guardproxy.server.caching import Caches
from guardproxy.server.clients import ClientSource
from guardproxy.server.status import Metrics

_log = logging.getLogger(__name__)


LONGEST_S = 86_400.0  # an exchange without a time limit
HOLD_MORE_S = 60.0


class SharedState:
    """The store of the settings. Raises `ConfigError`. `server`: the shared store itself, if there is one.
    `trouble`: why it cannot be reached; empty if it can."""

    def __init__(self, config: Config) -> None:
        self.trouble: tuple[str, ...] = ()
        self.server = RedisStore(config.state) if config.state else None
        self.store: Store = MemoryStore()
        if self.server:
            self.store = Failover(self.server, cast(Down, config.state_down), time.monotonic, self._note)

    def _note(self, trouble: str) -> None:
        self.trouble = (trouble,) if trouble else ()
        if trouble:
            _log.error("state not reached", extra={"error": trouble})
        else:
            _log.info("state reached again")

    async def close(self) -> None:
        """Closes the connections."""
        if self.server:
            await self.server.close()


def further_of(
    config: Config, source: ClientSource, state: SharedState, metrics: Metrics, policies: Callable[[], PolicySet]
) -> Further:
    """Returns what the settings add to admission: clients with keys, limits, and the store. A reservation of a limit outlives
    every exchange."""
    duties: tuple[UsageLimits, ...] = ()
    if config.limits:
        hold_s = (config.timeout_total_s or LONGEST_S) + config.drain_s + HOLD_MORE_S
        notice = lambda limit, mode: metrics.limit_refusals.labels(limit, mode).inc()  # noqa: E731
        duties = (UsageLimits(lambda: source.limits, hold_s, notice, lambda: policies().formats),)
    return Further((lambda: source.known) if source.is_on else None, duties, state.store)


def caches_of(config: Config, state: SharedState, metrics: Metrics) -> Caches:
    """Returns the caches of answers that the settings describe: in memory, and in the shared state for exact matches. While the
    shared state cannot be reached, the upstream answers."""
    memory = MemoryAnswers(config.limit_cache_bytes, time.monotonic)
    shared = None
    if state.server is not None:
        store = Failover(state.server, "closed", time.monotonic, lambda trouble: None)
        shared = SharedAnswers(store, memory.largest_bytes)
    return Caches(memory, shared, metrics)
