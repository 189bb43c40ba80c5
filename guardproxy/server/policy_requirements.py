"""Loads policies, and says what they need of the settings: addresses of upstreams, the operator's key, and prices.

In: settings, and what runs models. Out: policies, or errors at their places in the files.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from urllib.parse import urlsplit

from guardproxy.config import Config
from guardproxy.decisions import Confirm
from guardproxy.errors import ConfigError, PolicyError
from guardproxy.inference import Models, Remotes, origin, origin_of
from guardproxy.library import load
from guardproxy.policy import FilePlace, PolicySet
from guardproxy.policy.file import PolicyErrors
from guardproxy.policy.sections import CACHE, JUDGE, SECTIONS
from guardproxy.policy.tools import refuse_strangers, refuse_unpriced
from guardproxy.policy.values import Policy, decides
from guardproxy.server.driving.asking.models import AskedModels
from guardproxy.server.driving.asking.upstreams import is_own
from guardproxy.server.driving.similar.comparing import QuestionModels
from guardproxy.server.trust.clients import ClientSource

_log = logging.getLogger(__name__)


def usable_policies(
    config: Config,
    models: Models,
    remotes: Remotes,
    clients: ClientSource | None = None,
    asking: AskedModels | None = None,
) -> PolicySet:
    """Loads the policies of the settings. `asking`: the models at upstreams that checks may ask. `clients`: the clients and
    limits of the settings; `None`: not known, so no name of a tenant and no limit in a policy is refused. Raises
    `PolicyError` if they are wrong or need a setting that is missing, and `ConfigError` if the folder of models is missing:
    a shipped model would take the place of one that the operator means."""
    if config.models.folder and not config.models.folder.is_dir():
        raise ConfigError(f"`models`: {config.models.folder} is not a folder")
    code = config.policies.allow_code
    policies = load(config.policies.folder, config.models.folder, models, remotes, code=code, asking=asking)
    check_policies(policies, config)
    if clients is not None and not clients.limits.prices:
        refuse_unpriced(policies)
    names_any = config.clients.jwt_tenant or config.clients.tls_client_ca  # tokens and certificates may name any tenant
    if clients is not None and not names_any:
        refuse_strangers(policies, (*config.tenants.names, *clients.known.clients.tenants))
    return policies


def check_policies(policies: PolicySet, config: Config) -> None:
    """Raises `PolicyErrors` if a policy needs a setting that is missing."""
    errors = [
        PolicyError(message, place.path or policy.source, place.line, place.column)
        for policy in policies.policies
        for message, place in _missing(policies, policy, config)
    ]
    if errors:
        raise PolicyErrors(errors)


def question_models(policies: PolicySet, models: Models) -> tuple[QuestionModels | None, str]:
    """Loads the models that compare questions, if a policy has a semantic cache. Returns them, or why they cannot be used: the
    cache then compares words alone, which is a miss more often. Raises `PolicyErrors` for an operating point that they do not
    have."""
    sections = [(policy, CACHE.of(policy.sections)) for policy in policies.policies]
    semantic = [(policy, section) for policy, section in sections if section is not None and section.mode == "semantic"]
    if not semantic:
        return None, ""
    try:
        found = QuestionModels(models.embedder(), models.pairs())
    except (ConfigError, ImportError) as error:
        _log.warning("the semantic cache compares words alone", extra={"error": str(error)})
        return None, f"questions are compared by words alone: {error}"
    errors = []
    for policy, section in semantic:
        try:
            found.point(section)
        except ConfigError as error:
            place = policy.places.get(CACHE.name, policy.place)
            errors.append(PolicyError(str(error), place.path or policy.source, place.line, place.column))
    if errors:
        raise PolicyErrors(errors)
    return found, ""


def _missing(policies: PolicySet, policy: Policy, config: Config) -> Iterator[tuple[str, FilePlace]]:
    """Yields what is missing, and where the policy needs it."""
    for why, name, place in _upstreams(policy):
        if name and name not in config.upstreams.named:
            yield f"{why} the upstream `{name}`: give --upstream {name}=URL", place
    judge = JUDGE.of(policy.sections)
    if judge is not None and is_own(config, judge.upstream):
        place = policy.places.get(JUDGE.name, policy.place)
        yield (
            f"the upstream `{judge.upstream}` of the judge is this proxy, whose answers the judge would judge again",
            place,
        )
    if config.network.ext_proc:
        yield from _second_attempts(policy)
    allowed = set(map(origin, config.observability.alert_host))
    for rule in policy.rules:
        if rule.alert and origin_of(rule.alert.webhook) not in allowed:
            parts = urlsplit(rule.alert.webhook)
            host = parts.netloc if parts.scheme == "https" else f"http://{parts.netloc}"
            yield (
                f"the rule `{rule.id}` sends alerts to `{host}`, which the operator does not allow: give --alert-host {host}",
                rule.places.get("alert", rule.place),
            )
        if (
            decides(rule.action, Confirm)
            and config.workers.count > 1
            and not config.clients.state
            and policies.may_apply(policy, to_tools=bool(config.mcp.entries))
        ):
            yield (
                f"the rule `{rule.id}` asks a person about calls, and several workers do not share the answers: give --state",
                rule.places.get("action", rule.place),
            )
    if policy.keep == "sealed" and not config.audit.seal_key:
        yield "`keep: sealed` needs the operator's key: give --seal-key", policy.places.get("audit", policy.place)


def _second_attempts(policy: Policy) -> Iterator[tuple[str, FilePlace]]:
    """Yields what a policy asks for that a server of `ext_proc` cannot do, and where: Envoy sends a request once, to an
    upstream of its own choice."""
    for rule in policy.rules:
        if rule.retry:
            yield (
                f"the rule `{rule.id}` asks for a second answer, and with `ext_proc` Envoy sends a request once: use another "
                "action, or serve this policy in a process without `ext_proc`",
                rule.place,
            )
    for key, value in policy.sections.items():
        for needed in SECTIONS[key].needs(value):
            if not needed.gets_request or not (needed.name or needed.may_be_second):
                continue
            what = f"sends requests to the upstream `{needed.name}`" if needed.name else "may send a request twice"
            yield (
                f"`{key}` {what}, and with `ext_proc` Envoy sends each request once, to an upstream of its own choice: leave "
                "that to Envoy, or serve this policy in a process without `ext_proc`",
                needed.place or policy.places.get(key, policy.place),
            )


def _upstreams(policy: Policy) -> Iterator[tuple[str, str, FilePlace]]:
    """Yields the upstreams that a policy names: why, the name (empty: that of the request), and the place."""
    for rule in policy.rules:
        if rule.retry:
            yield "a policy falls back to", rule.retry.upstream, rule.place
    for key, value in policy.sections.items():
        for needed in SECTIONS[key].needs(value):
            yield needed.why, needed.name, needed.place or policy.places.get(key, policy.place)
