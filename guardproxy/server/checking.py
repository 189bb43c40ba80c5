"""Checks whether a process could start, for `guardproxy serve --check`: what it reads at its start, and nothing that it opens.

In: settings. Out: a result for each part of the start. No port and no connection is opened, no command of the operator runs,
and nothing is written: folders and files are asked whether they could be.

A part is checked by the code that the start runs, so both say the same of a fault.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from guardproxy import plugins
from guardproxy.audit import numbers, path_of, reason
from guardproxy.audit.proof import Copies
from guardproxy.audit.shipping import sink_opener
from guardproxy.config import Config
from guardproxy.errors import ConfigError, GuardproxyError
from guardproxy.gateway import NO_PRICES, Routes, load_duties
from guardproxy.inference import DescribedModels, Models, Remotes
from guardproxy.server.app import Doors, no_doors, settings
from guardproxy.server.driving.adapter_port import tokens_of
from guardproxy.server.driving.asking.models import AskedModels
from guardproxy.server.driving.recorder import log_of, signing_of
from guardproxy.server.observing.companions import CompanionOf, no_companion
from guardproxy.server.observing.tracing import collector_export
from guardproxy.server.opening import addresses_of
from guardproxy.server.policy_requirements import question_models, usable_policies
from guardproxy.server.state import SharedState
from guardproxy.server.trust.certificates import Certificates
from guardproxy.server.trust.clients import ClientSource
from guardproxy.server.upstream.egress import Egress
from guardproxy.server.upstream.request_headers import refuse_names


@dataclass(frozen=True, slots=True)
class CheckedPart:
    """The result for a part of the start. `text`: what was found; if not `is_right`, a line for each fault."""

    name: str
    is_right: bool
    text: str


def check(
    config: Config, doors_of: Doors = no_doors, companion_of: CompanionOf = no_companion
) -> Iterator[CheckedPart]:
    """Yields the result for each part of a start with these settings. `doors_of`, `companion_of`: see
    `processes/running.py`."""
    clients: list[ClientSource] = []

    def read_clients() -> str:
        clients.append(ClientSource(config.clients))
        return _client_words(config, clients[0])

    yield _tried("network", lambda: _network(config, doors_of))
    yield _tried("clients", read_clients)
    yield _tried("policies", lambda: _policies(config, clients[0] if clients else None))
    yield _tried("plug-ins", lambda: _plugins(config))
    yield _tried("audit log", lambda: _audit(config))
    yield _tried("monitoring", lambda: _monitoring(config))
    if config.console.is_on:
        yield _tried("console", lambda: _console(config, companion_of))


def _tried(name: str, run: Callable[[], str]) -> CheckedPart:
    try:
        return CheckedPart(name, True, run())
    except GuardproxyError as error:
        return CheckedPart(name, False, str(error))
    except OSError as error:
        return CheckedPart(name, False, f"{error.filename}: {reason(error)}" if error.filename else reason(error))


def _network(config: Config, doors_of: Doors) -> str:
    refuse_names(config.network)
    addresses_of(config)
    doors_of(config, 0)
    Routes(config.network.pass_through)
    tokens = tokens_of(config)
    adapters = f", adapters at {config.adapters.address}" if tokens else ""
    entries = (*config.upstreams.entries, *map("=".join, config.mcp.upstreams.items()))
    upstreams = ", ".join(entry.partition("?")[0] for entry in entries)
    port = f"{config.network.host} port {config.network.port}{adapters}, upstream {upstreams}; neither is tried"
    port += _encryption(config)
    if not config.network.ext_proc:
        return port
    return f"Envoy asks at {config.network.ext_proc}, which is not tried{'; ' + port if config.has_client_port else ''}"


def _encryption(config: Config) -> str:
    """Reads the files of certificates, and the variables of a proxy if the settings want them. Returns what to say of them."""
    certificates, proxy = Certificates(config), Egress(config.upstreams, os.environ).proxy
    said = [f"TLS: {', '.join(config.tls.ports)}"] if config.tls.ports else []
    said += [f"upstreams are asked through {proxy}"] if proxy else []
    return "".join(f"; {part}" for part in (*said, *certificates.warnings))


def _client_words(config: Config, source: ClientSource) -> str:
    """Reads nothing more: what the clients' files hold."""
    SharedState(config.clients)  # says whether its package is there and its address can be read
    limits = len(source.limits.early) + len(source.limits.late)
    shared = "counted in a server, which is not asked" if config.clients.state else "counted by each worker"
    tenants = _many(len(source.known.clients.tenants), "tenant")
    has_own = config.clients.has_credentials
    who = f"keys, tokens or certificates are needed, of {tenants}" if has_own else "no keys of the proxy's own"
    prices = (
        "of the file of limits" if source.limits.prices and config.clients.prices == "none" else config.clients.prices
    )
    return f"{who}; {_many(limits, 'limit')} for all policies, {shared}; prices: {prices}"


def _policies(config: Config, clients: ClientSource | None) -> str:
    """Loads the policies and their models. Models that another machine runs are read only."""
    folders = (config.models.folder,) if config.models.folder else ()
    runtime = (
        DescribedModels(folders, config.models.url)
        if config.models.url
        else Models(folders, replace(settings(config), socket=None))
    )
    remotes = Remotes(config.policies.remote_check_host)
    asking = AskedModels(config, lambda: clients.limits.prices if clients else NO_PRICES)
    policies = usable_policies(config, runtime, remotes, clients, asking)
    _, fault = question_models(policies, runtime)
    models = ", ".join(f"{name} ({where})" for name, where in sorted(runtime.providers().items())) or "none that judge"
    names = ", ".join(policy.name for policy in policies.policies)
    return f"{names} ({policies.digest}); models: {models}{f'; {fault}' if fault else ''}"


def _plugins(config: Config) -> str:
    load_duties(config.tenants.duty)
    for name in config.audit.sink:
        sink_opener(name)
    installed = [str(plugin) for group in plugins.GROUPS for plugin in plugins.installed_plugins(group)]
    return ", ".join(installed) or "none installed"


def _audit(config: Config) -> str:
    _require_writable(config.audit.folder)
    for worker in range(config.workers.count):
        log = log_of(worker)
        _require_writable(path_of(config.audit.folder, log, max(numbers(config.audit.folder, log), default=0)))
    signing = signing_of(config.audit)
    for target in config.audit.copy:
        if "://" not in target and target != "stdout":
            _require_writable(Path(target))
    Copies.open(config.audit.copy, config.audit.copy_header)
    if config.audit.seal_key:
        from guardproxy.audit.sealing import read_key  # noqa: PLC0415 - few servers seal

        for source in config.audit.seal_key:
            read_key(source, config.audit.folder)
        _require_writable(config.audit.seal_store or config.audit.folder)
    signed = f"signed by {signing.signer.public.name}" if signing else "not signed"
    return f"{config.audit.folder} can be written; checkpoints are {signed}"


def _monitoring(config: Config) -> str:
    if not config.observability.otel_endpoint:
        return "no collector"
    collector_export()
    return f"{config.observability.otel_endpoint}, which is not asked"


def _console(config: Config, companion_of: CompanionOf) -> str:
    companion_of(config)
    return f"at /console/ of the admin port, to {config.console.mode}; logins of {config.console.logins} can be read"


def _require_writable(path: Path) -> None:
    """Raises `ConfigError` if a file or folder cannot be written, or made where it is missing."""
    there = path.absolute()
    while not there.exists() and there != there.parent:
        there = there.parent
    if there != path.absolute() and not there.is_dir():
        raise ConfigError(f"{path}: {there} is not a folder")
    if not os.access(there, os.W_OK | (os.X_OK if there.is_dir() else 0)):
        raise ConfigError(f"{path}: cannot be written{'' if there == path.absolute() else f', as {there} cannot'}")


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
