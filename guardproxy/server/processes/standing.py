"""What the admin port shows of a process as JSON, for the console: `/status` and `/limits`.

In: the server. Out: JSON objects. `/status`: what is wrong with the settings that mend it, counts of what goes wrong, how much
is under way, the upstreams, and where things are. `/limits`: what limits and budgets leave. Kept: nothing. Nothing of it is on
the path of an exchange.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from guardproxy.checks import Supervisor
from guardproxy.errors import StoreError
from guardproxy.gateway import UsageLimits
from guardproxy.gateway.clients import KnownClient
from guardproxy.inference import Models
from guardproxy.policy import About, PolicySet
from guardproxy.policy.usage import LimitRule, limit_words
from guardproxy.policy.values import Match, Policy
from guardproxy.server.observing.status import Reading, on_loop
from guardproxy.wire import default_route

if TYPE_CHECKING:
    from guardproxy.server.app import Server

LIMIT_CLIENTS = 100  # of a question for what limits leave
LIMIT_MODELS = 20
CALLS_AT_ONCE = 50
"""Calls of the store without a pause for the loop: about half a millisecond of a store in memory."""

_GAUGES = ("open", "scans_waiting", "connections", "memory_unwritten")


class LimitHolder(NamedTuple):
    """Whose level is looked at. `pseudonym`: of a client, or empty. `tenant`, `client`, `model`: names, or empty."""

    pseudonym: str = ""
    tenant: str = ""
    client: str = ""
    model: str = ""


def status_of(server: Server, port: int) -> dict[str, Any]:
    """Returns what a process is like now. `port`: for clients; 0 if there is none. Any thread may call it."""
    metrics = server.metrics
    gauges = {name: next(iter(getattr(metrics, name).collect())).samples[0].value for name in _GAUGES}
    return {
        "troubles": [asdict(trouble) for trouble in server.troubles()],
        "counts": [asdict(count) for count in metrics.troubles()],
        "gauges": gauges,
        "upstreams": dict(server.upstreams),
        "checkpoint_at": server.checkpoint_at,
        "is_shared": bool(server.config.clients.state),
        **{"url": "", **server.about(port)},
        **server.version(),
        "guards": [_guard(policy) for policy in server.policies.policies],
        "folders": {name: str(folder) for name, folder in server.models.in_use().items()},
        "scorers": _scorers(server.policies, server.models),
    }


def _guard(policy: Policy) -> dict[str, Any]:
    """Returns what a policy is for, and its rules."""
    return {
        "policy": policy.name,
        "description": policy.description,
        "mode": policy.mode,
        "rules": [
            {
                "id": rule.id,
                "action": rule.action,
                "mode": rule.mode,
                "severity": rule.severity or "",
                "message": rule.message,
            }
            for rule in policy.rules
        ],
    }


def _scorers(policies: PolicySet, models: Models) -> list[dict[str, Any]]:
    """Returns the checks that give scores with a model: its name, and for each label the least score of a finding."""
    found: dict[str, dict[str, Any]] = {}
    for (policy, _), check in policies.checks.items():
        if not isinstance(check, Supervisor):
            continue
        least: dict[str, float] = {}
        for wanted in check.wanted.values():
            for label in wanted:
                for score in label.thresholds.values():
                    least[label.label] = min(score, least.get(label.label, 1.0))
        name = models.name_of(check.scorer.digest)
        shown = found.setdefault(check.name, {"check": check.name, "model": name, "least": least, "policies": []})
        shown["policies"] = sorted({*shown["policies"], policy})
    return list(found.values())


async def limits_of(
    server: Server, query: Sequence[tuple[str, str]], clock: Callable[[], float] = time.time
) -> dict[str, Any]:
    """Returns what limits and budgets leave now. `query`: pairs with `client`, the name of a client with a key, `tenant`
    and `model`, each several times. `clock`: returns Unix time. It runs on the loop of the server."""
    clients = _clients(server, [value for key, value in query if key == "client"][:LIMIT_CLIENTS])
    models = list(dict.fromkeys(value for key, value in query if key == "model"))[:LIMIT_MODELS]
    tenants = list(dict.fromkeys(value for key, value in query if key == "tenant"))[:LIMIT_CLIENTS]
    bound = UsageLimits.in_force(server.clients.limits, server.policies)
    rules = [rule for rule, _ in bound]
    asked = [
        (rule, holder)
        for rule, matches in bound
        for holder in _holders(rule, clients, tenants, models)
        if all(_holds(match, holder) for match in matches)
    ]
    now_s = clock()
    rows: list[dict[str, Any]] = []
    try:
        for start in range(0, len(asked), CALLS_AT_ONCE):
            part = asked[start : start + CALLS_AT_ONCE]
            looks = [
                UsageLimits.look(rule, now_s, holder.pseudonym, holder.tenant, holder.model) for rule, holder in part
            ]
            levels = await server.state.store.perform(looks)
            rows += [
                _row(rule, holder, level, now_s)
                for (rule, holder), level in zip(part, levels, strict=True)
                if isinstance(level, int)
            ]
            await asyncio.sleep(0)  # exchanges go on
    except StoreError as error:
        return {"ok": False, "error": str(error), "limits": [_words(rule) for rule in rules], "left": []}
    return {"ok": True, "limits": [_words(rule) for rule in rules], "left": rows}


def _clients(server: Server, names: Sequence[str]) -> list[LimitHolder]:
    """Returns the clients of these names that have a key in force."""
    known: Mapping[str, KnownClient] = server.clients.known.clients.by_name
    found = (known[name] for name in dict.fromkeys(names) if name in known)
    return [LimitHolder(server.pseudonym_of(client), client.tenant, client.name) for client in found]


def _holders(
    rule: LimitRule, clients: Sequence[LimitHolder], tenants: Sequence[str], models: Sequence[str]
) -> list[LimitHolder]:
    """Returns those who have a level of their own of a limit, as far as they are asked for."""
    whose = [LimitHolder()]
    if "client" in rule.per:
        whose = list(clients)
    elif "tenant" in rule.per:
        names = dict.fromkeys((*(client.tenant for client in clients), *tenants))
        whose = [LimitHolder(tenant=tenant) for tenant in names]
    if "model" in rule.per:
        whose = [holder._replace(model=model) for holder in whose for model in models]
    return whose


def _holds(match: Match, holder: LimitHolder) -> bool:
    """Whether the condition allows the tenant and the model. What else it reads differs from request to request."""
    about = About(default_route(), holder.model, holder.tenant or None)
    return Match(models=match.models if holder.model else None, tenants=match.tenants).holds(about)


def _words(rule: LimitRule) -> dict[str, Any]:
    return {"limit": rule.label, "words": limit_words(rule), "unit": rule.unit, "is_shadow": rule.is_shadow}


def _row(rule: LimitRule, holder: LimitHolder, level: int, now_s: float) -> dict[str, Any]:
    left = UsageLimits.left(rule, level, now_s)
    whose = {"client": holder.client, "tenant": holder.tenant, "model": holder.model}
    return {
        "limit": rule.label,
        "unit": rule.unit,
        "is_shadow": rule.is_shadow,
        "most": left.limit,
        "left": left.remaining,
        "reset_s": left.reset_s,
        **{name: whose[name] if name in rule.per or name == "tenant" else "" for name in whose},
    }


def readings(server: Server, port: int, loop: asyncio.AbstractEventLoop) -> dict[str, Reading]:
    """Returns what the admin port shows as JSON, by its path. `loop`: that of the server."""

    async def status(_: list[tuple[str, str]]) -> dict[str, object]:
        return status_of(server, port)

    return {"/status": status, "/limits": on_loop(loop, partial(limits_of, server))}
