"""The server: the parts of one process, and the handling of a request.

One configuration, one policy set, built checks, one pool of connections, one recorder. `admission.py` makes an exchange of a
request, `driving/driver.py` drives it, `processes/running.py` starts and ends the process.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Protocol
from urllib.parse import urlsplit

from aiohttp import web

from guardproxy import plugins
from guardproxy.audit import NO_SEALING, Rotation, Sealing
from guardproxy.audit.shipping import open_sink
from guardproxy.config import CLIENTS, Config
from guardproxy.errors import ErrorCode
from guardproxy.exchange import Exchange
from guardproxy.gateway import UNKNOWN
from guardproxy.gateway.clients import KnownClient
from guardproxy.inference import Models, Registry, Remotes, Settings, cores
from guardproxy.library import folder_of
from guardproxy.policy import PolicySet
from guardproxy.server.admission import Admission, AdmittedRequest
from guardproxy.server.aiohttp_parts import HttpRequest
from guardproxy.server.driving.adapter_grpc import GrpcCalls
from guardproxy.server.driving.adapter_port import AdapterPort, tokens_of
from guardproxy.server.driving.asking.judges import Judges
from guardproxy.server.driving.asking.models import AskedModels
from guardproxy.server.driving.asking.upstreams import Asking, mark_of
from guardproxy.server.driving.direct import DirectDriver
from guardproxy.server.driving.driver import Driver
from guardproxy.server.driving.memories import UsedMemory
from guardproxy.server.driving.offload import Steps
from guardproxy.server.driving.recorder import Recorder, key_of, log_of, sealer_of, signing_of
from guardproxy.server.driving.reviews import CallReviews
from guardproxy.server.intake.body import BodyAccount
from guardproxy.server.intake.feedback import OwnUpstream
from guardproxy.server.intake.listener import Listener, sender_of
from guardproxy.server.intake.pressure import Pressure
from guardproxy.server.observing.alerts import AlertObserver
from guardproxy.server.observing.confirming import ConfirmObserver
from guardproxy.server.observing.metrics import Metrics
from guardproxy.server.observing.observers import FanOut, LogObserver, MetricsObserver, Observer, Observers
from guardproxy.server.observing.shippers import close_all, shippers_of
from guardproxy.server.observing.status import LoopLag
from guardproxy.server.observing.tracing import tracing_of
from guardproxy.server.observing.troubles import Trouble
from guardproxy.server.opening import naming
from guardproxy.server.policy_requirements import question_models, usable_policies
from guardproxy.server.reload import Reload
from guardproxy.server.scanning.scanner import Scanner, TimeLimits
from guardproxy.server.state import SharedState, caches_of, earlier_of, further_of, memories_of
from guardproxy.server.trust.certificates import Certificates
from guardproxy.server.trust.clients import ClientSource
from guardproxy.server.upstream.connections import Connections
from guardproxy.server.upstream.deadlines import Deadlines
from guardproxy.server.upstream.drain import Leftovers
from guardproxy.server.upstream.egress import Egress
from guardproxy.server.upstream.mcp.metadata import Metadata
from guardproxy.server.upstream.mcp.tokens import bearer_tokens
from guardproxy.server.upstream.upstream import Answering, Breakers, Upstream
from guardproxy.wire import FEEDBACK

_log = logging.getLogger(__name__)
END_S = 5.0  # after `drain_s`, in which the process must end
MOST_HASTE_S = 0.1


def engine() -> str:
    """The version of guardproxy that records name."""
    try:
        return f"guardproxy {version('guardproxy')}"
    except PackageNotFoundError:
        return "guardproxy dev"


def settings(config: Config) -> Settings:
    """The settings for running models. A worker with its own models uses its share of the cores."""
    alone = config.workers.count == 1 or config.models.has_own_process
    workers = config.models.workers or max(1, cores() // (1 if alone else config.workers.count))
    return Settings(
        threads=config.models.threads,
        workers=workers,
        queue=config.models.queue,
        wait_s=config.limits.scan_wait_s,
        remembered=config.models.remembered,
        url=config.models.url,
        timeout_s=config.timeouts.scan_s,
        socket=config.models.socket,
        device=config.models.device,
    )


class Server:
    """The parts of one process, and the handling of its requests. `certificates`: those of the settings, if they are read
    already."""

    def __init__(self, config: Config, worker: int = 0, certificates: Certificates | None = None) -> None:
        self.config = config
        self.metrics = Metrics()
        self._remotes = Remotes(
            config.policies.remote_check_host, dict(entry.split("=", 1) for entry in config.policies.remote_check_key)
        )
        self._models = Models(
            (config.models.folder,) if config.models.folder else (), settings(config), Registry(self.metrics.registry)
        )
        self.certificates = certificates or Certificates(config)
        self._egress = Egress(config.upstreams, os.environ, self.certificates.context_of)
        self.clients = ClientSource(config.clients, way_of=self._egress.way)
        self._asked_models = AskedModels(config, lambda: self.clients.limits.prices, self.metrics)
        self.state = SharedState(config.clients)
        # Only the first worker opens the port of the adapters.
        tokens = tokens_of(config) if not worker else None
        mcp_tokens = bearer_tokens(config)
        # What is read quickly comes before the policies, which load models.
        with naming("audit"):
            config.audit.folder.mkdir(parents=True, exist_ok=True)
            key = key_of(config.audit.folder, config.audit.placeholder_key)
        self.earlier = earlier_of(config, key, self.state, self.metrics)
        signing, sealer = signing_of(config.audit), sealer_of(config.audit)
        sealing: Sealing = sealer or NO_SEALING
        secret_of = sealer.secret_of if sealer else None
        self.memories = memories_of(config, key, self.state, self.metrics, secret_of)
        self.caches = caches_of(config, key, self.state, self.metrics, sealer)
        time_limits = TimeLimits(config.timeouts.scan_s, config.timeouts.scan_s_per_million, config.limits.scan_wait_s)
        self._scanner = Scanner(config.workers.scan_threads, time_limits, meters=self.metrics.scanner)
        self.reloading = Reload(folder_of(config.policies.folder), self._load, self.metrics)
        self._engine = engine()
        alerts = AlertObserver(config.observability, lambda: self.policies, self.metrics)
        self.reviews = CallReviews(self.memories, self.metrics)
        observers: list[Observer] = [MetricsObserver(self.metrics), LogObserver(), alerts]
        if config.observability.confirm_webhook:
            observers.append(ConfirmObserver(config.observability, self.reviews, asyncio.get_running_loop()))
        self._observers = Observers(observers, self.metrics)
        self._tracing = tracing_of(config, self._engine.partition(" ")[2], worker, self.metrics)
        self._fan_out = FanOut({name: open_sink(name, log_of(worker)) for name in config.audit.sink}, self.metrics)
        rotation = Rotation(config.audit.rotate_bytes, config.audit.rotate_s)
        self._recorder = Recorder(
            config.audit.folder,
            worker,
            self._engine,
            self._fan_out.durable,
            signing=signing,
            rotation=rotation,
            sealing=sealing,
        )
        self.pressure = Pressure(self._scanner.load, config.limits.scan_wait_s / 2)
        self._steps = Steps()
        self._connections = Connections(config.timeouts.connect_s, config.timeouts.idle_s, self._egress.way)
        self.certificates.renewed = self._renewed
        self._breakers = Breakers(config, lambda name, cause: self.metrics.upstream_failures.labels(name, cause).inc())
        self._leftovers = Leftovers()
        mark = mark_of(key)
        asking = self._asked_models.asking = Asking(config, self._connections, self._breakers, self._leftovers, mark)
        self.judges = Judges(asking, self._recorder, self.metrics, self._engine, lambda: self.clients.limits.prices)
        self.loop_lag = LoopLag(self.metrics)
        self._open: dict[asyncio.Task[Any], Driver | None] = {}
        self._slots: set[asyncio.Task[Any]] = set()
        self._limit_exchanges = config.limits.exchanges
        self._look_s = min(config.timeouts.first_byte_s, config.timeouts.write_s)
        self.draining = False
        self._end_s = 0.0  # the time of the loop at which the process ends; known once it ends
        self._shippers = shippers_of(config.audit, worker)
        further = further_of(config, self.clients, self.state, self.metrics, lambda: self.policies)
        in_force, recorder = self.reloading, self._recorder
        self._admission = Admission(
            config,
            policies=lambda: in_force.policies,
            is_recording=lambda: recorder.healthy,
            slots=self,
            key=key,
            engine=self._engine,
            further=further,
            breakers=self._breakers,
            mark=mark,
            mcp_tokens=mcp_tokens,
        )
        self.adapters: AdapterPort | None = None
        if tokens is not None:
            self.adapters = AdapterPort(config, tokens, self._admission, self._direct_driver, self._call_finished)
        self.hang_up: Callable[[], None] = lambda: None
        self._show()

    def _show(self) -> None:
        """Lets metrics read the state of the parts."""
        metrics, recorder = self.metrics, self._recorder
        metrics.unknown.inc(recorder.unknown)
        metrics.audit_writable.set_function(lambda: recorder.healthy)
        metrics.audit_recoveries.set_function(lambda: recorder.recoveries)
        metrics.audit_checkpoint.set_function(lambda: recorder.checkpoint_at)
        metrics.open.set_function(lambda: len(self._open))
        show_breakers(self._breakers, metrics)
        metrics.certificates_failing.set_function(lambda: not self.certificates.is_fine)
        self.certificates.show(metrics.certificates_end)

    def _load(self) -> PolicySet:
        """Loads the policies from their folder. Raises `PolicyError`."""
        policies = usable_policies(self.config, self._models, self._remotes, self.clients, self._asked_models)
        models, fault = question_models(policies, self._models)
        self.caches.similar.use(models, fault)
        self._scanner.warm_up(policies.checks.values())
        return policies

    def readiness_errors(self) -> list[str]:
        """Reasons for `/readyz` to fail."""
        return [trouble.text for trouble in self._unready()]

    def _unready(self) -> list[Trouble]:
        reasons = self._audit_faults()
        states = self._breakers.states() if self.config.observability.readyz_upstreams else {}
        if states and all(state == "open" for state in states.values()):
            causes = dict.fromkeys(cause or "unknown" for _, cause in self._breakers.open().values())
            reasons.append(Trouble.of(f"no upstream answers ({', '.join(causes)})", ErrorCode.UPSTREAM_UNAVAILABLE))
        return [*reasons, *([Trouble.of("draining", ErrorCode.SHUTTING_DOWN)] if self.draining else [])]

    def liveness_errors(self) -> list[str]:
        """Reasons for `/livez` to fail."""
        return [trouble.text for trouble in self._stuck()]

    def _stuck(self) -> list[Trouble]:
        stalled_s = self.loop_lag.stalled_s()
        is_stuck = stalled_s > self.config.observability.livez_stall_s
        text = f"the event loop has not run for {stalled_s:.0f} s"
        return [Trouble(text, ("livez_stall_s", "workers"), is_serious=True)] if is_stuck else []

    def troubles(self) -> list[Trouble]:
        """Everything that is wrong now and that `/livez` or `/readyz` names, the worst first."""
        return [*self._stuck(), *self._unready(), *self._remarks()]

    def refusal(self, path: str) -> bytes:
        """The body of a refusal of a request of which only the head is known."""
        return self._admission.refusal(path)

    def _renewed(self, what: str) -> None:
        """Uses certificates that were replaced. What is open goes on with those that it has."""
        self.certificates.show(self.metrics.certificates_end)
        if what == "upstreams":
            self._connections.renew()
        elif what == "authorities":  # a client may have become a stranger
            self.hang_up()

    def watch(self, listener: Listener) -> None:
        """Shows the connections of `listener` in the metrics."""
        self.hang_up = listener.hang_up
        self.metrics.connections.set_function(lambda: listener.shares.used)
        self.metrics.refused_connections.set_function(lambda: listener.refused)
        self.metrics.refused_requests.set_function(lambda: self.pressure.refused)
        self.metrics.body_bytes.set_function(lambda: self._admission.bodies.by_address.used)

    def liveness_warnings(self) -> list[str]:
        """Faults that `/livez` names without failing: a restart would not help, because the log recovers by itself."""
        failing_s = self._recorder.failing_s
        return [f"{trouble.text} (for {failing_s:.0f} s)" for trouble in self._audit_faults()]

    def _audit_faults(self) -> list[Trouble]:
        """Reasons why no record can be kept."""
        fault = self._recorder.fault
        return [Trouble.of(f"the audit {fault.removeprefix('the ')}", ErrorCode.AUDIT_UNAVAILABLE)] if fault else []

    @property
    def policies(self) -> PolicySet:
        """The policies in force. An exchange takes them once and keeps them to its end."""
        return self.reloading.policies

    def readiness_warnings(self) -> list[str]:
        """Warnings that do not fail `/readyz`."""
        return [trouble.text for trouble in self._remarks()]

    def _remarks(self) -> list[Trouble]:
        down = [
            Trouble(
                f"the upstream `{name}` is not asked: its circuit breaker is {state.replace('_', '-')} ({cause or 'unknown'})",
                cause.settings if cause else ErrorCode.UPSTREAM_UNAVAILABLE.settings,
                ErrorCode.UPSTREAM_UNAVAILABLE,
                meaning=cause.meaning if cause else "",
            )
            for name, (state, cause) in self._breakers.open().items()
        ]
        unshipped = [Trouble(shipper.fault, ("audit_ship",)) for shipper in self._shippers if shipper.fault]
        remarks = [
            *(Trouble(text, ("audit",)) for text in self._recorder.log_warnings),
            *(Trouble(text, ("audit_key", "audit_copy")) for text in self._recorder.checkpoint_warnings),
            *unshipped,
            *down,
            *(Trouble(text, (setting,)) for text, setting in self.clients.faults),
            *(Trouble(text, settings) for text, settings in self.certificates.remarks),
            *(Trouble(text, ("state", "state_down"), ErrorCode.STORE_UNAVAILABLE) for text in self.state.fault),
            *(Trouble(text, ("models", "state")) for text in self.caches.similar.warnings),
        ]
        if not self.reloading.errors:
            return remarks
        stays = f"the policies' folder cannot be used; {self.policies.digest} stays in force:"
        said = (stays, *(str(error) for error in self.reloading.errors))
        return [*remarks, *(Trouble(text, ("policies",)) for text in said)]

    @property
    def models(self) -> Models:
        """The models of this process."""
        return self._models

    @property
    def upstreams(self) -> Mapping[str, str]:
        """The state of each upstream's circuit breaker, by the name of the upstream."""
        return self._breakers.states()

    @property
    def checkpoint_at(self) -> float:
        """The time of the newest checkpoint of the audit log: Unix time in seconds; 0 without checkpoints."""
        return self._recorder.checkpoint_at

    def pseudonym_of(self, client: KnownClient) -> str:
        """Returns the pseudonym of a client with a key."""
        return client.pseudonym(self._admission.digest)

    async def reload(self) -> dict[str, object]:
        """Loads the policies again, for the admin port."""
        ok = await self.reloading.now()
        errors = [
            {"file": error.path, "line": error.line, "column": error.column, "message": error.message}
            for error in self.reloading.errors
        ]
        return {"ok": ok, "policies": self.policies.digest, "errors": errors}

    async def purge(self) -> dict[str, object]:
        """Drops all answers of the cache, for the admin port."""
        return await self.caches.purge()

    def version(self) -> dict[str, object]:
        checks = {check.name: check.digest for check in self.policies.checks.values()}
        brought = [str(plugin) for group in plugins.GROUPS for plugin in plugins.installed_plugins(group)]
        return {
            "engine": self._engine,
            "policies": self.policies.digest,
            "checks": checks,
            "models": self._models.providers(),
            "plugins": brought,
        }

    def about(self, port: int) -> dict[str, object]:
        """What an operator needs first: the addresses for clients, the policies, the log, and what is encrypted. `port`: 0 if
        there is none for clients."""
        host = "127.0.0.1" if self.config.network.host in ("0.0.0.0", "::", "") else self.config.network.host  # noqa: S104 - compared
        is_encrypted, others = self.config.tls.speaks(CLIENTS), self.config.tls.ports.keys() - {CLIENTS}
        url = f"http{'s' if is_encrypted else ''}://{f'[{host}]' if ':' in host else host}:{port}"
        urls = map(urlsplit, (*self.config.upstreams.urls, *self.config.mcp.servers.values()))
        plain = [url.hostname or "" for url in urls if url.scheme != "https"]
        upstreams = f"not encrypted to {', '.join(plain)}" if plain else "encrypted"
        upstreams += f" (through the proxy {self._egress.proxy})" if self._egress.proxy else ""
        clients = "encrypted" if is_encrypted else "not encrypted (put TLS in front of it, or give `tls_cert`)"
        further = f"; further ports with TLS: {', '.join(sorted(others))}" if others else ""
        own = (
            {"url": url, "base_url": f"{url}/v1 for OpenAI's SDKs, {url} for Anthropic's and Google's"} if port else {}
        )
        return {
            **own,
            "policy_names": sorted(policy.name for policy in self.policies.policies),
            "audit": str(self.config.audit.folder.absolute()),
            "traffic": f"from clients: {clients}; to upstreams: {upstreams}{further}",
        }

    def is_full(self) -> bool:
        """Whether the limit of open exchanges is reached."""
        return len(self._slots) >= self._limit_exchanges

    def take(self) -> bool:
        """Takes a slot for the exchange of the current task. Returns false if no slot is free."""
        task = asyncio.current_task()
        if task is None or self.is_full():
            return False
        self._slots.add(task)
        return True

    async def handle(self, request: HttpRequest) -> web.StreamResponse:
        """Handles a request to the end of its answer."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - aiohttp runs handlers in tasks
        self._open[task] = None
        began, owner = time.perf_counter(), request.owner
        sender = sender_of(request.headers, owner)
        self.pressure.begin(sender, task, began)
        route, admitted, driver, trace = UNKNOWN, None, None, None
        held = self._admission.bodies.hold(owner)
        try:
            admitted = await self._admission.admit(request, held)
            route = admitted.exchange.setting.address.route
            driver = self._driver(request, admitted, task)
            sent = partial(self.pressure.sent, task)
            driver.note_sent = partial(_note_sent, sent, held) if held.texts else sent
            trace = self._tracing and self._tracing.begin(admitted.head.id, request, admitted.targets)
            self._open[task] = driver
            return await driver.run(admitted.first)
        finally:
            held.release()
            self.pressure.end(sender, task)
            del self._open[task]
            self._slots.discard(task)
            if admitted and driver and driver.finished:
                self.metrics.duration.labels(route).observe(time.perf_counter() - began)
                self._observers.finished(driver.finished.record)
                if driver.finished.record.judges:
                    self.judges.finished(driver)
                if self._tracing and trace:
                    self._tracing.finished(driver.finished.record, trace, driver.url)
                if admitted.duties.is_settling:
                    self._admission.settling.settle(admitted, driver.finished.record)
            elif admitted:  # a fault of this program, so there is no record
                self._admission.settling.abandon(admitted.duties, admitted.head)

    def _driver(self, request: HttpRequest, admitted: AdmittedRequest, task: asyncio.Task[object]) -> Driver:
        deadlines = Deadlines(task, self._look_s)
        answering: Answering
        if request.upstream is not None:
            answering = request.upstream
        elif admitted.exchange.setting.codec is FEEDBACK:
            answering = OwnUpstream()
        elif request.upstream_of is not None:
            answering = request.upstream_of(deadlines, bool(admitted.head.client.identity))
        else:
            answering = Upstream(
                self._connections,
                self._breakers,
                deadlines,
                self._leftovers,
                self.config.timeouts.first_byte_s,
                bool(admitted.head.client.identity),
                admitted.head.client.identity or admitted.head.tenant or admitted.head.address,
            )
        if admitted.door and admitted.door.asks_metadata:
            answering = Metadata(answering, admitted.door)
        driver = Driver(
            admitted.exchange,
            request,
            answering,
            self._scanner,
            self._recorder,
            self.metrics,
            self.config,
            self._steps,
            deadlines,
        )
        driver.targets = admitted.targets
        driver.caches, driver.earlier, driver.memories = self.caches, self.earlier, self.memories
        driver.own_headers = admitted.own_headers
        if request.upstream is not None:
            driver.whole_bytes = sys.maxsize
        if admitted.door:
            driver.amend = admitted.door.amend
        return driver

    async def handle_call(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answers a call of another gateway."""
        assert type(request) is HttpRequest  # noqa: S101 - the listener makes them
        assert self.adapters is not None  # noqa: S101 - otherwise no port is open
        with self._counting():
            return await self.adapters.handle(request)

    def grpc_calls(self) -> GrpcCalls | None:
        """Returns what answers gateways that call by gRPC, if the settings want it. Raises `ConfigError`."""
        if self.adapters is None or self.config.adapters.grpc_port is None:
            return None
        with naming("adapters_grpc"):
            limits, timeouts = self.config.limits, self.config.timeouts
            return GrpcCalls(self.adapters, self._counting, limits.body_bytes, timeouts.head_s, self.certificates)

    @contextmanager
    def _counting(self) -> Iterator[None]:
        """Counts the current task as one that the end of the process waits for."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - servers run handlers in tasks
        self._open[task] = None
        try:
            yield
        finally:
            del self._open[task]
            self._slots.discard(task)

    def _direct_driver(self, exchange: Exchange) -> DirectDriver:
        return DirectDriver(exchange, self._scanner, self._recorder, self._steps, UsedMemory(self.memories))

    def _call_finished(self, driver: DirectDriver, duration_s: float) -> None:
        """Shows a finished exchange of an adapter to the observers."""
        if driver.finished is None:  # a fault of this program, so there is no record
            return
        record = driver.finished.record
        self.metrics.duration.labels(record.route).observe(duration_s)
        self._observers.finished(record)
        if record.judges:
            self.judges.finished(driver)

    def stop_coming(self) -> None:
        """Makes `/readyz` fail from now on, so that traffic goes to other servers."""
        _log.info("draining", extra={"open": len(self._open)})
        self.draining = True

    async def drain(self, hurry: asyncio.Event | None = None) -> None:
        """Waits for open exchanges. Those that are still open after `drain_s`, or when `hurry` is set, are cancelled."""
        self._end_s = asyncio.get_running_loop().time() + self.config.timeouts.drain_s + END_S
        for task, driver in list(self._open.items()):
            if driver and driver.exchange.is_listening:  # it would not end by itself, and its client comes back
                driver.abort()
                task.cancel()
        if self._open:
            ended = asyncio.create_task(asyncio.wait(list(self._open)))
            hurried = asyncio.create_task((hurry or asyncio.Event()).wait())
            await asyncio.wait(
                {ended, hurried}, timeout=self.config.timeouts.drain_s, return_when=asyncio.FIRST_COMPLETED
            )
            ended.cancel()
            hurried.cancel()
        for task, driver in list(self._open.items()):
            if driver:
                driver.abort()
            task.cancel()
        if self._open:
            await asyncio.wait(self._open, timeout=self._grace_s())

    def _grace_s(self) -> float:
        """The time for the next task of the end: half of what is left, so that the later ones get some too."""
        left_s = self._end_s - asyncio.get_running_loop().time()
        return min(self.config.timeouts.write_s, max(MOST_HASTE_S, left_s / 2))

    async def close(self) -> None:
        """Ends everything. The audit log comes before what may hang: threads in a library, and other machines."""
        self.pressure.close()
        self._scanner.close()
        await self._admission.settling.close(self._grace_s())
        await self.judges.close(self._grace_s())
        await self.caches.close(self._grace_s())
        await self.memories.close()
        await self.state.close()
        await self._leftovers.close()
        await self._connections.close()
        self._recorder.close()
        self._steps.close()
        self.reloading.close()
        self._remotes.close()
        await asyncio.to_thread(close_all, self._shippers)
        self._fan_out.close()
        self._observers.close()
        if self._tracing:
            await asyncio.to_thread(self._tracing.close)


class Door(Protocol):
    """A way for requests into a process, beside the port for clients."""

    def bind(self, certificates: Certificates) -> None:
        """Takes the address, before models are loaded. Raises `ConfigError`."""

    async def open(self, server: Server) -> Mapping[str, object]:
        """Takes requests from now on. Returns what the program's log says of the door."""

    async def stop(self) -> None:
        """Takes no more requests. Those under way go on."""

    async def close(self) -> None:
        """Ends what is left of them."""


Doors = Callable[[Config, int], Sequence[Door]]
"""Returns the doors of a process, for the settings and the number of its worker. Raises `ConfigError`."""


def no_doors(config: Config, worker: int) -> Sequence[Door]:
    """Returns the doors of a process that has only the port for clients."""
    return ()


def _note_sent(sent: Callable[[], None], held: BodyAccount) -> None:
    sent()
    held.release_texts()


def show_breakers(breakers: Breakers, metrics: Metrics) -> None:
    """Shows the state of each circuit breaker in the metrics."""
    for name in breakers.states():
        for state in ("closed", "open", "half_open"):
            metrics.breakers.labels(name, state).set_function(partial(_breaker_is, breakers, name, state))


def _breaker_is(breakers: Breakers, name: str, state: str) -> float:
    return float(breakers.states()[name] == state)
