"""The section `cache`: answers that are given again for equal or similar requests.

If several policies have the section, the most careful part of each counts (`merge_caches`), so their order never matters.
`exchange/inputs/caching.py` carries it out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from guardproxy.policy.sections.section import NeededTexts, Section
from guardproxy.policy.values.strictness import Order, together
from guardproxy.policy.yaml.reading import FileReading
from guardproxy.policy.yaml.tree import YamlNode

CacheMode = Literal["none", "exact", "semantic"]
MODES: tuple[CacheMode, ...] = get_args(CacheMode)
"""Most careful first."""
CacheScope = Literal["client", "tenant", "all"]
SCOPES: tuple[CacheScope, ...] = get_args(CacheScope)
"""Most careful first."""
DEFAULT_TTL_S = 300.0
LIMIT_TTL_S = (1, 30 * 86_400)

_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["mode"],
    "properties": {
        "mode": {
            "enum": list(MODES),
            "description": "`exact`: for an equal request; `semantic`: also if the last question says the same in other words; "
            "`none`: no policy may use the cache.",
        },
        "ttl_s": {
            "type": "number",
            "minimum": LIMIT_TTL_S[0],
            "maximum": LIMIT_TTL_S[1],
            "description": "Seconds for which an answer is given again.",
        },
        "tools": {"type": "boolean", "description": "Whether answers that call tools are given again."},
        "scope": {
            "enum": list(SCOPES),
            "description": "Who gets an answer again: the `client` that asked, each client of its `tenant`, or `all` clients, "
            "which is for `mode: exact` only.",
        },
    },
    "if": {"required": ["mode"], "properties": {"mode": {"const": "semantic"}}},
    "then": {"properties": {"scope": {"not": {"const": "all"}}}},
}


@dataclass(frozen=True, slots=True)
class CacheSection:
    """What a policy lets the cache do. `ttl_s`: seconds for which an answer is given again. `tools`: whether
    answers that call tools are given again. `scope`: who gets an answer again."""

    mode: CacheMode
    ttl_s: float = DEFAULT_TTL_S
    tools: bool = False
    scope: CacheScope = "client"


def merge_caches(sections: Sequence[CacheSection]) -> CacheSection | None:
    """Returns the most careful parts of several sections; `None` if there is none, or if one of them turns the cache off."""
    if not sections or any(section.mode == "none" for section in sections):
        return None
    return CacheSection(
        min((section.mode for section in sections), key=MODES.index),
        min(section.ttl_s for section in sections),
        all(section.tools for section in sections),
        min((section.scope for section in sections), key=SCOPES.index),
    )


def _read(reading: FileReading, node: YamlNode) -> CacheSection | None:
    keys = reading.entries(node, "a mapping like {mode: exact}", tuple(_SCHEMA["properties"]), ("mode",), "cache")
    mode = reading.choice(keys.get("mode"), MODES, place="cache mode")
    ttl_s = reading.number(keys.get("ttl_s"), *LIMIT_TTL_S)
    tools = reading.boolean(keys.get("tools"))
    scope = reading.choice(keys.get("scope"), SCOPES) or "client"
    if mode == "semantic" and scope == "all":
        message = (
            "`all` is for `mode: exact` only: other clients would get the answer to a question that they did not ask"
        )
        reading.fail(keys["scope"].place, message)
    if mode is None:
        return None
    return CacheSection(mode, DEFAULT_TTL_S if ttl_s is None else ttl_s, bool(tools), scope)


def _order(old: CacheSection, new: CacheSection) -> Order:
    """Compares what two sections let the cache do."""
    careful = ((-MODES.index(part.mode), -part.ttl_s, -part.tools, -SCOPES.index(part.scope)) for part in (old, new))
    return together(
        "same" if was == now else "tighter" if now > was else "looser" for was, now in zip(*careful, strict=True)
    )


def _lacks(section: CacheSection) -> Iterator[NeededTexts]:
    if section.mode == "semantic":
        yield NeededTexts("request", "cache-is-exact", _is_exact, in_shadow=True)


def _is_exact(unless: str) -> str:
    return (
        f"the cache compares whole requests, as with `mode: exact`{unless}: `semantic` needs a rule that reads the "
        "texts of users, like `{id: watch, on: user, when: some-check, action: flag}`"
    )


CACHE = Section(
    "cache",
    "Answers that are given again for equal or similar requests.",
    _SCHEMA,
    _read,
    order=_order,
    merge=merge_caches,
    lacks=_lacks,
)
