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
Point = str | float
"""An operating point of the model that compares questions: its name, or the lowest probability that counts."""
DEFAULT_POINT: Point = 0.8
"""Lower than the point `same` of the model, as particulars refuse most before the model is asked."""
LIMIT_POINT = (0.5, 1.0)

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
        "point": {
            "description": "How sure the model must be, with `mode: semantic`, that two questions ask the same: the name of an "
            "operating point of the model, or a probability.",
            "anyOf": [
                {"type": "string", "minLength": 1},
                {"type": "number", "minimum": LIMIT_POINT[0], "maximum": LIMIT_POINT[1]},
            ],
        },
    },
    "if": {"required": ["mode"], "properties": {"mode": {"const": "semantic"}}},
    "then": {"properties": {"scope": {"not": {"const": "all"}}}},
}


@dataclass(frozen=True, slots=True)
class CacheSection:
    """What a policy lets the cache do. `ttl_s`: seconds for which an answer is given again. `tools`: whether
    answers that call tools are given again. `scope`: who gets an answer again. `points`: the operating points that two
    questions must all reach; the default one if it is empty."""

    mode: CacheMode
    ttl_s: float = DEFAULT_TTL_S
    tools: bool = False
    scope: CacheScope = "client"
    points: tuple[Point, ...] = ()

    @property
    def every_point(self) -> tuple[Point, ...]:
        """The operating points, with the default one if the policy names none."""
        return self.points or (DEFAULT_POINT,)


def merge_caches(sections: Sequence[CacheSection]) -> CacheSection | None:
    """Returns the most careful parts of several sections; `None` if there is none, or if one of them turns the cache off."""
    if not sections or any(section.mode == "none" for section in sections):
        return None
    return CacheSection(
        min((section.mode for section in sections), key=MODES.index),
        min(section.ttl_s for section in sections),
        all(section.tools for section in sections),
        min((section.scope for section in sections), key=SCOPES.index),
        _points_of(sections),
    )


def _points_of(sections: Sequence[CacheSection]) -> tuple[Point, ...]:
    """The points of all sections, as which of them is the strictest is known with the model. A section without one has the
    default."""
    points = {point for section in sections for point in section.every_point}
    return () if points == {DEFAULT_POINT} else tuple(sorted(points, key=str))


def _read(reading: FileReading, node: YamlNode) -> CacheSection | None:
    keys = reading.entries(node, "a mapping like {mode: exact}", tuple(_SCHEMA["properties"]), ("mode",), "cache")
    mode = reading.choice(keys.get("mode"), MODES, place="cache mode")
    ttl_s = reading.number(keys.get("ttl_s"), *LIMIT_TTL_S)
    tools = reading.boolean(keys.get("tools"))
    scope = reading.choice(keys.get("scope"), SCOPES) or "client"
    points = _read_point(reading, keys.get("point"))
    if mode == "semantic" and scope == "all":
        message = (
            "`all` is for `mode: exact` only: other clients would get the answer to a question that they did not ask"
        )
        reading.fail(keys["scope"].place, message)
    if mode is None:
        return None
    return CacheSection(mode, DEFAULT_TTL_S if ttl_s is None else ttl_s, bool(tools), scope, points)


def _read_point(reading: FileReading, node: YamlNode | None) -> tuple[Point, ...]:
    if node is None or isinstance(node.value, str):
        point: Point | None = reading.word(node)
    else:
        point = reading.number(node, *LIMIT_POINT)
    return () if point is None else (point,)


def _order(old: CacheSection, new: CacheSection) -> Order:
    """Compares what two sections let the cache do."""
    careful = ((-MODES.index(part.mode), -part.ttl_s, -part.tools, -SCOPES.index(part.scope)) for part in (old, new))
    orders = [_compared(was, now) for was, now in zip(*careful, strict=True)]
    return together((*orders, _order_of_points(old.every_point, new.every_point)))


def _compared(was: float, now: float) -> Order:
    return "same" if was == now else "tighter" if now > was else "looser"


def _order_of_points(old: tuple[Point, ...], new: tuple[Point, ...]) -> Order:
    """Compares points. What a name means is known with the model only."""
    if old == new:
        return "same"
    single = [points[0] for points in (old, new) if len(points) == 1]
    numbers = [point for point in single if not isinstance(point, str)]
    return _compared(*numbers) if len(numbers) == 2 else "unclear"


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
