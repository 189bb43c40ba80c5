"""The state that duties count in: in memory, or in a server that several processes share.

In: settings. Out: a store. Kept: its connections.
"""

from __future__ import annotations

import logging
import time
from typing import cast

from guardproxy.config import Config
from guardproxy.gateway import Down, Failover, MemoryStore, RedisStore, Store

_log = logging.getLogger(__name__)


class SharedState:
    """The store of the settings. Raises `ConfigError`. `trouble`: why the server cannot be reached; empty if it can."""

    def __init__(self, config: Config) -> None:
        self.trouble = ""
        self._server = RedisStore(config.state) if config.state else None
        self.store: Store = MemoryStore()
        if self._server:
            self.store = Failover(self._server, cast(Down, config.state_down), time.monotonic, self._note)

    def _note(self, trouble: str) -> None:
        self.trouble = trouble
        if trouble:
            _log.error("state not reached", extra={"error": trouble})
        else:
            _log.info("state reached again")

    async def close(self) -> None:
        """Closes the connections."""
        if self._server:
            await self._server.close()
