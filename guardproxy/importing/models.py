"""The models of a LiteLLM configuration: `model_list`, aliases and fallbacks become upstreams and policies with `route`.

In: the source. Out: parts of the draft, notes. LiteLLM's deployments of one `model_name` are destinations of one policy, whose
`match` names the model.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from guardproxy.importing.draft import DraftUpstream, ImportDraft, is_name, plain_name, variable_of
from guardproxy.importing.providers import DEFAULT, PROVIDERS, TRANSLATED, Provider
from guardproxy.importing.report import ImportReport
from guardproxy.importing.source import ImportSource

LIMIT_DESTINATIONS = 32
LIMIT_PRIORITY = 100
LIMIT_ATTEMPTS = 10
MILLION = 1_000_000
WEIGHTS = ("weight", "rpm", "tpm")
MOST_WEIGHT = 10**12
_URL = re.compile(r"https?://[A-Za-z0-9.\[\]:/_~-]+", re.ASCII)
_FALLBACKS = ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks")
_SECTIONS = ("router_settings", "litellm_settings")


@dataclass(frozen=True, slots=True)
class Deployment:
    """A deployment of a model. `weight`: its share; `order`: the lowest comes first."""

    upstream: str
    model: str
    weight: int
    order: int


def convert_models(source: ImportSource, draft: ImportDraft, report: ImportReport) -> None:
    """Converts the deployments, their prices, aliases and fallbacks."""
    groups: dict[str, list[Deployment]] = {}
    weights = _weighing(source)
    for index in range(source.count("model_list")):
        name = source.get("model_list", index, "model_name")
        if not is_name(name):
            report.impossible("the model has no name that can be matched", "model_list", index)
            continue
        deployment = _deployment(source, draft, report, name, ("model_list", index), weights[name][index])
        if deployment is not None:
            groups.setdefault(name, []).append(deployment)
    for by_index in weights.values():
        _note_weights(source, report, list(by_index))
    aliases = _aliases(source, report, groups)
    chains = _fallbacks(source, report, groups)
    attempts = _attempts(source, report)
    for name, deployments in groups.items():
        names = [name, *(alias for alias, group in aliases.items() if group == name)]
        further = [groups[group] for group in chains.get(name, ())]
        draft.policy(policy_of(name), _policy(names, deployments, further, attempts))


def policy_of(model: str) -> str:
    """Returns the name of the policy of a model. Where several policies route a request, the first name decides, so those with
    `*` come last."""
    return f"{'wildcard' if '*' in model else 'route'}-{plain_name(model)}"


def _policy(
    names: list[str], deployments: list[Deployment], further: list[list[Deployment]], attempts: int
) -> dict[str, Any]:
    """The policy of a model. `further`: the deployments of the models to fall back to, in order."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    least = min(deployment.order for deployment in deployments)
    stages = [(deployment, min(deployment.order - least, LIMIT_PRIORITY)) for deployment in deployments]
    for group in further:
        after = max(stage for _, stage in stages) + 1
        stages += [(deployment, min(after, LIMIT_PRIORITY)) for deployment in group]
    for deployment, stage in stages:
        row: dict[str, Any] = {"upstream": deployment.upstream}
        if "*" not in deployment.model:
            row["model"] = deployment.model
        row |= {"weight": deployment.weight} if deployment.weight > 1 else {}
        row |= {"priority": stage} if stage else {}
        rows.setdefault((deployment.upstream, deployment.model), row)
    destinations = list(rows.values())[:LIMIT_DESTINATIONS]
    route: dict[str, Any] = {"upstreams": destinations, "sticky": "none"}
    if len(destinations) > 1:
        route["fallback"] = {"on": ["error", "timeout", 429], "attempts": min(attempts, len(destinations) - 1)}
    return {"match": {"models": names}, "route": route}


def _deployment(
    source: ImportSource, draft: ImportDraft, report: ImportReport, name: str, path: tuple[str | int, ...], weight: int
) -> Deployment | None:
    """The deployment at a path; `None` if it cannot be taken."""
    params = (*path, "litellm_params")
    full = source.get(*params, "model")
    provider, model = _split(str(full), source.get(*params, "custom_llm_provider"))
    if not (is_name(full) and is_name(model)):
        report.impossible("`litellm_params.model` is missing", *path)
        return None
    known = PROVIDERS.get(provider)
    if known is None:
        why = (
            "in a format of its own, which guardproxy does not translate" if provider in TRANSLATED else "unknown here"
        )
        report.impossible(f"the provider `{plain_name(provider)}` is {why}", *path)
        return None
    base, key = source.get(*params, "api_base") or source.get(*params, "base_url"), source.get(*params, "api_key")
    upstream = _upstream(draft, base, key, known, provider)
    if upstream is None:
        report.impossible("`api_base` is missing, or is no plain URL", *path)
        return None
    where = draft.upstream(provider.replace("_", "-"), upstream)
    order = source.get(*params, "order")
    report.taken(f"the match of the policy `{policy_of(name)}`", *path, "model_name")
    report.taken(f"a destination at the upstream `{where}`", *params, "model")
    for part in ("custom_llm_provider", "order"):
        report.taken("the destination", *params, part)
    for part in ("api_base", "base_url"):
        report.taken(f"the URL of the upstream `{where}`", *params, part)
    _note_key(source, report, key, upstream, (*params, "api_key"))
    if known.remark:
        report.changed(f"the upstream `{where}`: {known.remark}", *params, "model")
        report.changed("not needed by the v1 API of Azure", *params, "api_version")
    if "*" in model and model != name.rpartition("/")[2]:
        report.changed("the model that the client names goes upstream unchanged", *params, "model")
    _price(source, draft, report, path, model)
    return Deployment(where, model, weight, order if isinstance(order, int) and order > 0 else 1)


def _split(full: str, provider: object) -> tuple[str, str]:
    """The provider and the model of `provider/model`."""
    first, mark, rest = full.partition("/")
    if isinstance(provider, str) and provider:
        return provider, rest if mark and first == provider else full
    if mark and (first in PROVIDERS or first in TRANSLATED):
        return first, rest
    return (first if mark else DEFAULT), rest or full


def _upstream(draft: ImportDraft, base: object, key: object, known: Provider, provider: str) -> DraftUpstream | None:
    """The upstream of a deployment; `None` if its address is not known. `base`, `key`: as the file has them."""
    variable, url = variable_of(base), known.url
    if base is not None and not variable:
        url = base if isinstance(base, str) and _URL.fullmatch(base) else ""
    # A path cannot be added to an address that only a variable holds.
    if (not url and not variable) or (variable and known.below):
        return None
    named = variable_of(key)
    if key is not None and not named:
        named = draft.variable_for(str(key), f"{provider.upper()}_API_KEY".replace("-", "_"))
    return DraftUpstream("" if variable else _base(url, known.below), variable, named)


def _base(url: str, below: str) -> str:
    """The base URL of an upstream, without `/v1`. `below`: the path that the provider has below its address."""
    return url.rstrip("/").removesuffix("/v1").removesuffix(below) + below


def _note_key(
    source: ImportSource, report: ImportReport, key: object, upstream: DraftUpstream, path: tuple[str | int, ...]
) -> None:
    if variable_of(key):
        report.taken(f"environment.sh takes the key from {upstream.key_variable}", *path)
    elif key is not None:
        report.changed(f"a key in the file is not copied: set {upstream.key_variable}", *path)


def _weighing(source: ImportSource) -> dict[str, dict[int, int]]:
    """Returns the weights of deployments, by model and index. LiteLLM weighs all deployments of a model by one key: `weight`,
    or else `rpm`, or else `tpm`. The least weight becomes at least 1."""
    groups: dict[str, list[int]] = {}
    for index in range(source.count("model_list")):
        name = source.get("model_list", index, "model_name")
        if is_name(name):
            groups.setdefault(name, []).append(index)
    return {name: _weights(source, indexes) for name, indexes in groups.items()}


def _weights(source: ImportSource, indexes: list[int]) -> dict[int, int]:
    values = _by_key(source, indexes, _key_of(source, indexes))
    unit = min((1.0, *values.values()))
    return {index: round(min(MILLION, max(1.0, values.get(index, 1.0) / unit))) for index in indexes}


def _key_of(source: ImportSource, indexes: list[int]) -> str:
    """Returns the key that weighs these deployments; empty if there is none."""
    return next((key for key in WEIGHTS if _by_key(source, indexes, key)), "") if len(indexes) > 1 else ""


def _by_key(source: ImportSource, indexes: list[int], key: str) -> dict[int, float]:
    """Returns the positive values of a key, by index."""
    found = ((index, source.get("model_list", index, "litellm_params", key)) for index in indexes if key)
    return {
        index: float(value)
        for index, value in found
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < MOST_WEIGHT
    }


def _note_weights(source: ImportSource, report: ImportReport, indexes: list[int]) -> None:
    """Says what became of the keys that LiteLLM weighs deployments by."""
    chosen = _key_of(source, indexes)
    has_value = _by_key(source, indexes, chosen)
    for index in indexes:
        params = ("model_list", index, "litellm_params")
        for key in WEIGHTS:
            if key == chosen and index in has_value:
                if key == "weight":
                    report.taken("the weight of the destination", *params, key)
                else:
                    report.changed("the weight of the destination; it is no limit", *params, key)
            elif key == chosen:
                report.changed("no weight above 0, so it counts as 1", *params, key)
            elif chosen:
                report.changed(
                    f"the deployments of this model are weighed by `{chosen}` alone; it is no limit", *params, key
                )
            else:
                report.changed("no other deployment has this name, and it is no limit", *params, key)
        if chosen and index not in has_value and source.get(*params, chosen) is None:
            report.changed(f"a destination with the weight 1, as it has no `{chosen}`", *params, "model")


def _price(
    source: ImportSource, draft: ImportDraft, report: ImportReport, path: tuple[str | int, ...], model: str
) -> None:
    """The prices of a model, which LiteLLM gives for one token."""
    prices: dict[str, float] = {}
    for side in ("input", "output"):
        for section in ("model_info", "litellm_params"):
            value = source.get(*path, section, f"{side}_cost_per_token")
            if isinstance(value, int | float) and 0 <= value < 1:
                prices[side] = round(value * MILLION, 6)
                report.taken("a price in limits.toml", *path, section, f"{side}_cost_per_token")
    if prices and "*" not in model:
        asked, answered = draft.prices.get(model, (0.0, 0.0))  # of several deployments, the highest price counts
        draft.prices[model] = max(asked, prices.get("input", 0.0)), max(answered, prices.get("output", 0.0))


def _aliases(source: ImportSource, report: ImportReport, groups: Mapping[str, Any]) -> dict[str, str]:
    """Further names of models."""
    found: dict[str, str] = {}
    for section in _SECTIONS:
        for alias in source.keys(section, "model_group_alias"):
            value = source.get(section, "model_group_alias", alias)
            group = value.get("model") if isinstance(value, dict) else value
            if isinstance(group, str) and group in groups and is_name(alias):
                found[alias] = group
                report.taken("a further name in the match of the policy", section, "model_group_alias", alias)
            else:
                report.impossible("the model that it stands for was not taken", section, "model_group_alias", alias)
    return found


def _fallbacks(source: ImportSource, report: ImportReport, groups: Mapping[str, Any]) -> dict[str, list[str]]:
    """The models to fall back to, by model."""
    found: dict[str, list[str]] = {}
    for section in _SECTIONS:
        for kind in _FALLBACKS:
            for index in range(source.count(section, kind)):
                for name in source.keys(section, kind, index):
                    path = (section, kind, index, name)
                    further = list(_known(source.get(*path), groups))
                    if kind != "fallbacks":
                        report.impossible("a fallback depends on errors, time-outs and status codes only", *path)
                    elif name in groups and further:
                        found.setdefault(name, []).extend(model for model in further if model != name)
                        report.taken("destinations with a higher priority", *path)
                    else:
                        report.impossible("a model that it names was not taken", *path)
        further = list(_known(source.get(section, "default_fallbacks"), groups))
        if further:
            report.taken("destinations with a higher priority, for every model", section, "default_fallbacks")
        for name in groups if further else ():
            found.setdefault(name, []).extend(model for model in further if model != name)
    return {name: list(dict.fromkeys(models)) for name, models in found.items()}


def _known(value: object, groups: Mapping[str, Any]) -> Iterator[str]:
    items = value if isinstance(value, list) else [value]
    return (item for item in items if isinstance(item, str) and item in groups)


def _attempts(source: ImportSource, report: ImportReport) -> int:
    """How many further destinations are asked."""
    attempts = 2
    for section in _SECTIONS:
        value = source.get(section, "num_retries")
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            attempts = min(value, LIMIT_ATTEMPTS)
            report.changed("further destinations are asked; the same one is not asked again", section, "num_retries")
        if isinstance(source.get(section, "max_fallbacks"), int):
            report.changed("`attempts` of the policies", section, "max_fallbacks")
    return attempts
