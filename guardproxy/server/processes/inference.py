"""The process that runs the models for all workers of the proxy, and its own admin port.

In: settings, the path of a socket, and a pipe. Out: answers on the socket until the pipe closes, which happens when the last
worker has ended. Kept: the models. It ignores signals, because a draining worker still needs it.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import signal
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import cast

from guardproxy.config import ADMIN, Config
from guardproxy.inference import ModelPairJudge, Models, ModelScorer, Registry, Serving
from guardproxy.server.app import engine, settings
from guardproxy.server.observing.metrics import Metrics
from guardproxy.server.observing.process_metrics import Siblings
from guardproxy.server.observing.status import AdminHosts, LoopLag, admin_app
from guardproxy.server.opening import admin_address, bound, listen
from guardproxy.server.processes.probes import AdminPort, AdminTls
from guardproxy.server.trust.certificates import Certificates

_log = logging.getLogger(__name__)


class _ModelsState:
    """The models of this process, and its state for the admin port."""

    def __init__(self, config: Config) -> None:
        self.metrics = Metrics()
        self.loop_lag = LoopLag(self.metrics)
        folders = (config.models.folder,) if config.models.folder else ()
        self.models = Models(folders, settings(config), Registry(self.metrics.registry))
        self._stall_s = config.observability.livez_stall_s
        self.certificates = Certificates(config, ports=(ADMIN,), has_upstreams=False)
        self.certificates.renewed = lambda what: self.certificates.show(self.metrics.certificates_end)
        self.certificates.show(self.metrics.certificates_end)
        self.metrics.certificates_failing.set_function(lambda: not self.certificates.is_fine)

    def liveness_errors(self) -> list[str]:
        stalled_s = self.loop_lag.stalled_s()
        return [f"the event loop has not run for {stalled_s:.0f} s"] if stalled_s > self._stall_s else []

    def readiness_errors(self) -> list[str]:
        return []

    def readiness_warnings(self) -> list[str]:
        return self.certificates.warnings

    async def reload(self) -> dict[str, object]:
        """Does nothing: the workers ask for models when they load policies."""
        return {
            "ok": False,
            "error": "this process has no policies: POST to a worker's admin port, or SIGHUP the first",
        }

    def version(self) -> dict[str, object]:
        return {"engine": engine(), "models": self.models.providers()}


async def serve(config: Config, path: Path, ready: Callable[[], None], alive: int, siblings: Siblings) -> None:
    """Serves on the socket `path` until the pipe `alive` closes. `ready()` is called when it listens. `siblings`: all
    processes of the server."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    state = _ModelsState(config)
    own = state.models  # models of this process, as its settings name no socket
    server = await Serving(
        lambda name: cast(ModelScorer, own.scorer(name)), lambda name: cast(ModelPairJudge, own.pairs(name))
    ).start(path)
    admins = admin_address(config, config.workers.count)
    hosts = AdminHosts(config.network.admin_host, config.network.admin_allowed_host)
    with ExitStack() as unused:
        sockets = bound(admins, unused)
        listen(sockets, admins)
        unused.pop_all()
    tls = AdminTls.of(config, state.certificates, state.metrics)
    admin = AdminPort(admin_app(state, siblings=siblings, hosts=hosts), sockets, siblings.socket, tls)
    _log.info("models are served", extra={"admin_port": admin.port})
    loop = asyncio.get_running_loop()
    state.loop_lag.start(loop)
    watching = asyncio.create_task(state.certificates.run(), name="certificates")
    over = asyncio.Event()
    loop.add_reader(alive, over.set)  # no data is ever written to it
    ready()
    await over.wait()
    loop.remove_reader(alive)
    watching.cancel()
    state.loop_lag.stop()
    server.close()
    admin.close()
    # A parent that was killed leaves the folder behind, and killed workers their sockets.
    shutil.rmtree(path.parent, ignore_errors=True)
