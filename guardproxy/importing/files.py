"""The files of an import: settings in TOML, policies in YAML, limits in TOML, and a script that names variables.

In: an `ImportDraft`. Out: the text of each file, by its path. No file holds a secret: the script takes each from the variable
that held it before.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from guardproxy.importing.draft import ImportDraft

MADE = "# Made by `guardproxy import`."
SETTINGS, LIMITS, VARIABLES = "guardproxy.toml", "limits.toml", "environment.sh"


def files_of(draft: ImportDraft) -> dict[str, str]:
    """Returns the texts of all files, by path."""
    files = {SETTINGS: f"{MADE}\n{_settings(draft)}"}
    for name, tree in draft.policies.items():
        shown = yaml.safe_dump(_plain(tree), sort_keys=False, default_flow_style=None, allow_unicode=True, width=120)
        files[f"policies/{name}.yaml"] = f"{MADE}\n{shown}"
    if draft.limits or draft.prices:
        files[LIMITS] = "\n".join((MADE, *_limits(draft)))
    if lines := list(_exports(draft)):
        files[VARIABLES] = "\n".join(("# Source this file before the start: . ./environment.sh", *lines, ""))
    return files


def _plain(value: Any) -> Any:
    """Returns a part of a policy in which every text stands for itself: `${` would begin the name of a variable."""
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value.replace("${", "$${") if isinstance(value, str) else value


def _settings(draft: ImportDraft) -> str:
    lines = []
    if draft.upstreams and not _urls_by_variable(draft):
        urls = [f"{name}={upstream.url}" for name, upstream in draft.upstreams.items()]
        lines.append(f"upstream = {_toml(urls)}")
    lines += [f"{name} = {_toml(value)}" for name, value in draft.settings.items()]
    return "\n".join((*lines, ""))


def _limits(draft: ImportDraft) -> Iterator[str]:
    for limit in draft.limits:
        yield "[[limit]]"
        yield from (f"{name} = {_toml(value)}" for name, value in limit.items())
        yield ""
    for model, (asked, answered) in draft.prices.items():
        yield f"[price.{_toml(model)}]"
        yield f"input = {_toml(asked)}"
        yield f"output = {_toml(answered)}"
        yield ""


def _exports(draft: ImportDraft) -> Iterator[str]:
    if _urls_by_variable(draft):
        urls = (
            f"{name}={upstream.url or f'${{{upstream.url_variable}}}'}" for name, upstream in draft.upstreams.items()
        )
        yield f'export GUARDPROXY_UPSTREAM="{",".join(urls)}"'
    keys = [f"{name}=${{{up.key_variable}}}" for name, up in draft.upstreams.items() if up.key_variable]
    if keys:
        yield f'export GUARDPROXY_UPSTREAM_KEY="{",".join(keys)}"'
    for setting, value in draft.variables.items():
        yield f'export GUARDPROXY_{setting.upper()}="{value}"'


def _urls_by_variable(draft: ImportDraft) -> bool:
    return any(upstream.url_variable for upstream in draft.upstreams.values())


def _toml(value: Any) -> str:
    """Returns a value in TOML. Its strings are those of JSON, if all characters are printable."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)
