"""The section `route`: which upstream and which model get a request, and which come next if the upstream fails.

`exchange/routes/routing.py` carries it out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal, get_args

from guardproxy.conditions import FEATURES, model_key
from guardproxy.policy.conditions.cel import Cel
from guardproxy.policy.conditions.matching import read_condition
from guardproxy.policy.sections.section import NeededTexts, NeededUpstream, Section
from guardproxy.policy.yaml.reading import FileReading, did_you_mean, join
from guardproxy.policy.yaml.tree import FilePlace, YamlNode

Sticky = Literal["conversation", "client", "none"]
STICKY: tuple[Sticky, ...] = get_args(Sticky)
CAUSES = ("error", "timeout", "block")
_CLIENT_STATUSES = (401, 402, 403, 408, 409, 425, 429)
STATUSES = frozenset((*_CLIENT_STATUSES, *range(500, 600)))
"""The statuses that may lead to another upstream. The others say that the request itself is wrong."""
LIMIT_WEIGHT = 1_000_000
LIMIT_PRIORITY = 100
LIMIT_DESTINATIONS = 32
LIMIT_ATTEMPTS = 10
LIMIT_CHARS = 50_000
LIMIT_MESSAGES = 10_000
LIMIT_PRICE = 10**6
LIMIT_WEIGHT_OF_FEATURE = 1000
SIMPLE_CHARS = 2000
SIMPLE_MESSAGES = 4
_TARGET = "a mapping like {upstream: spare}"


@dataclass(frozen=True, slots=True)
class Destination:
    """An upstream, a model, or both. Empty members leave the request's own. `weight`: the share of the requests, in relation
    to the others of its `priority`. `priority`: the lowest number comes first."""

    upstream: str = ""
    model: str = ""
    weight: int = 1
    priority: int = 0
    place: FilePlace = field(default=FilePlace(), compare=False)


@dataclass(frozen=True, slots=True)
class Fallback:
    """When the next destination is asked. `on`: causes (`CAUSES`) and statuses, as words. `attempts`: how many further
    destinations are asked at most."""

    on: frozenset[str] = frozenset(("error", "timeout", "429"))
    attempts: int = 2


@dataclass(frozen=True, slots=True)
class Simple:
    """The destination of simple requests, and which requests are simple: all conditions must hold. `chars`, `messages`: at
    most. `tools`, `code`: whether requests with tools or with code may be simple. `difficulty`: the highest score of a simple
    request, 0 to 1; `None`: no model is asked. `weights`: of the model's features, instead of its own. `saves_input`,
    `saves_output`: what a million tokens cost less there."""

    destination: Destination
    chars: int = SIMPLE_CHARS
    messages: int = SIMPLE_MESSAGES
    tools: bool = False
    code: bool = False
    when: Cel | None = None
    saves_input: float = 0.0
    saves_output: float = 0.0
    difficulty: float | None = None
    weights: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class RouteSection:
    """The section. `destinations`: at least one; `models`: pairs of a glob for the model that a client names, and the model
    that it gets."""

    destinations: tuple[Destination, ...] = (Destination(),)
    sticky: Sticky = "conversation"
    models: tuple[tuple[str, str], ...] = ()
    fallback: Fallback = Fallback()
    simple: Simple | None = None

    def alias(self, model: str) -> str:
        """Returns the model that stands for a model that a client names; empty if no alias fits. An exact name comes before
        globs, and globs are tried in the order of the file. The name as written comes before its normal form."""
        exact = dict(self.models)
        for spelling in dict.fromkeys((model, model_key(model))):
            if found := exact.get(spelling) or next(
                (name for glob, name in self.models if fnmatchcase(spelling, glob)), ""
            ):
                return found
        return ""

    @property
    def every(self) -> tuple[Destination, ...]:
        """Returns all destinations, that of simple requests included."""
        return (*self.destinations, *((self.simple.destination,) if self.simple else ()))


def read_route(reading: FileReading, node: YamlNode) -> RouteSection | None:
    """Reads the section."""
    keys = reading.entries(node, "a mapping", ("upstreams", "sticky", "models", "fallback", "simple"))
    if isinstance(node.value, Mapping) and keys.keys().isdisjoint(("upstreams", "models", "simple")):
        reading.fail(node.place, "`route` needs `upstreams`, `models` or `simple`")
    destinations = tuple(_destinations(reading, keys.get("upstreams")))
    return RouteSection(
        destinations or (Destination(),),
        reading.choice(keys.get("sticky"), STICKY) or "conversation",
        tuple(_models(reading, keys.get("models"))),
        _fallback(reading, keys.get("fallback")),
        _simple(reading, keys.get("simple")),
    )


def _destinations(reading: FileReading, node: YamlNode | None) -> Iterator[Destination]:
    if node is None:
        return
    nodes = reading.items(node, "a list of upstreams, like [{upstream: main}, {upstream: spare, priority: 1}]")
    if node.value == () or len(nodes) > LIMIT_DESTINATIONS:
        reading.fail(node.place, f"`upstreams` needs 1 to {LIMIT_DESTINATIONS} entries")
    seen: dict[tuple[str, str], FilePlace] = {}
    for item in nodes:
        keys = reading.entries(item, _TARGET, ("upstream", "model", "weight", "priority"))
        upstream, model = _target(reading, item, keys)
        weight = reading.number(keys.get("weight"), 1, LIMIT_WEIGHT, whole=True)
        priority = reading.number(keys.get("priority"), 0, LIMIT_PRIORITY, whole=True)
        if (first := seen.setdefault((upstream, model), item.place)) is not item.place:
            reading.fail(item.place, f"the same upstream and model as in line {first.line}; give both in one entry")
        yield Destination(upstream, model, int(weight or 1), int(priority or 0), item.place)


def _target(reading: FileReading, node: YamlNode, keys: Mapping[str, YamlNode]) -> tuple[str, str]:
    if isinstance(node.value, Mapping) and keys.keys().isdisjoint(("upstream", "model")):
        reading.fail(node.place, "name an upstream, a model or both, like {upstream: spare}")
    upstream = reading.word(keys.get("upstream"), "the name of an upstream") or ""
    return upstream, reading.word(keys.get("model"), "the name of a model") or ""


def _models(reading: FileReading, node: YamlNode | None) -> Iterator[tuple[str, str]]:
    if node is None:
        return
    entries = reading.mapping(node, 'a mapping from names to models, like {fast: gpt-5-mini, "gpt-4*": gpt-5}') or {}
    if node.value == {}:
        reading.fail(node.place, "an empty mapping names no model; leave `models` out")
    for glob, value in entries.items():
        if not glob:
            reading.fail(value.key, "expected the name of a model, found an empty text")
        yield glob, reading.word(value, "the name of a model") or ""


def _fallback(reading: FileReading, node: YamlNode | None) -> Fallback:
    plain = Fallback()
    if node is None:
        return plain
    keys = reading.entries(node, "a mapping like {on: [error, timeout, 429], attempts: 2}", ("on", "attempts"))
    attempts = reading.number(keys.get("attempts"), 0, LIMIT_ATTEMPTS, whole=True)
    on = frozenset(_causes(reading, keys["on"])) if "on" in keys else plain.on
    return Fallback(on, plain.attempts if attempts is None else int(attempts))


def _causes(reading: FileReading, node: YamlNode) -> Iterator[str]:
    if node.value == ():
        reading.fail(node.place, "an empty list names no cause; `attempts: 0` switches the fallback off")
    for item in reading.items(node, "a list of causes, like [error, timeout, 429]"):
        value = item.value
        if isinstance(value, str) and value in CAUSES:
            yield value
        elif isinstance(value, int) and not isinstance(value, bool):
            if value not in STATUSES:
                reading.fail(item.place, f"status {value} is about the request, so no other upstream is asked for it")
            yield str(value)
        elif isinstance(value, str):
            hint = did_you_mean(value, CAUSES)
            reading.fail(item.place, f"unknown cause `{value}`{hint} (expected {join(CAUSES)} or a status like 429)")
        else:
            reading.unexpected(item, f"one of {join(CAUSES)} or a status like 429")


def _simple(reading: FileReading, node: YamlNode | None) -> Simple | None:
    if node is None:
        return None
    allowed = ("upstream", "model", "chars", "messages", "tools", "code", "difficulty", "when", "saves")
    keys = reading.entries(node, "a mapping like {model: gpt-5-nano, chars: 1000}", allowed)
    upstream, model = _target(reading, node, keys)
    chars = reading.number(keys.get("chars"), 1, LIMIT_CHARS, whole=True)
    messages = reading.number(keys.get("messages"), 1, LIMIT_MESSAGES, whole=True)
    when = read_condition(reading, keys.get("when"))
    if when is not None and when.headers:
        message = "`when` of `simple` cannot read headers: records hold none, so the decision could not be replayed"
        reading.fail(keys["when"].place, message)
    saves = (
        reading.entries(keys["saves"], "a mapping like {input: 1.2, output: 9.6}", _SAVES) if "saves" in keys else {}
    )
    saved_input, saved_output = (reading.number(saves.get(key), 0, LIMIT_PRICE) or 0.0 for key in _SAVES)
    difficulty, weights = _difficulty(reading, keys.get("difficulty"))
    # A model reads what is asked, so the length of what it is asked about says nothing more.
    most_chars = SIMPLE_CHARS if difficulty is None else LIMIT_CHARS
    return Simple(
        Destination(upstream, model, place=node.place),
        most_chars if chars is None else int(chars),
        SIMPLE_MESSAGES if messages is None else int(messages),
        bool(reading.boolean(keys.get("tools"))),
        bool(reading.boolean(keys.get("code"))),
        when,
        saved_input,
        saved_output,
        difficulty,
        weights,
    )


def _difficulty(reading: FileReading, node: YamlNode | None) -> tuple[float | None, tuple[float, ...]]:
    """The highest score of a simple request, and the weights of the features if the policy has its own."""
    if node is None or not isinstance(node.value, Mapping):
        return reading.number(node, 0, 1), ()
    keys = reading.entries(node, "a number like 0.5, or {most: 0.5, weights: [...]}", ("most", "weights"), ("most",))
    weights: list[float] = []
    if listed := keys.get("weights"):
        items = reading.items(listed, "a list of numbers, as `guardproxy model route --learn` prints it")
        weights = [
            number
            for item in items
            if (number := reading.number(item, -LIMIT_WEIGHT_OF_FEATURE, LIMIT_WEIGHT_OF_FEATURE)) is not None
        ]
        if isinstance(listed.value, tuple) and len(items) != FEATURES + 1:
            reading.fail(
                listed.place,
                f"expected {FEATURES + 1} numbers, found {len(items)}; `guardproxy model route --learn` prints them",
            )
    return reading.number(keys.get("most"), 0, 1), tuple(weights)


_SAVES = ("input", "output")
_TEXT = {"type": "string", "minLength": 1}


def _whole(least: int, most: int, description: str) -> dict[str, Any]:
    return {"type": "integer", "minimum": least, "maximum": most, "description": description}


def _object(properties: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": dict(properties), **more}


_UPSTREAM = {**_TEXT, "description": "The name of an upstream, as `--upstream NAME=URL` gives it."}
_MODEL = {**_TEXT, "description": "The name of a model."}
_TARGETS = [{"required": ["upstream"]}, {"required": ["model"]}]
_SHARE = {"type": "number", "minimum": 0, "maximum": 1}
_PRICE = {"type": "number", "minimum": 0, "maximum": LIMIT_PRICE}
_SCHEMA = _object(
    {
        "upstreams": {
            "type": "array",
            "minItems": 1,
            "maxItems": LIMIT_DESTINATIONS,
            "description": "Upstreams and models, each with a share of the requests.",
            "items": _object(
                {
                    "upstream": _UPSTREAM,
                    "model": _MODEL,
                    "weight": _whole(1, LIMIT_WEIGHT, "The share, in relation to the others of this priority."),
                    "priority": _whole(0, LIMIT_PRIORITY, "0 comes first; 1 is asked if those of 0 fail."),
                },
                anyOf=_TARGETS,
            ),
        },
        "sticky": {"enum": list(STICKY), "description": "What stays at the same upstream."},
        "models": {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": _MODEL,
            "description": "The models that stand for the models that clients name, by name or glob.",
        },
        "fallback": _object(
            {
                "on": {
                    "type": "array",
                    "minItems": 1,
                    "items": {"anyOf": [{"enum": [*CAUSES, *_CLIENT_STATUSES]}, _whole(500, 599, "A status.")]},
                    "description": "What leads to the next upstream.",
                },
                "attempts": _whole(0, LIMIT_ATTEMPTS, "The most further upstreams that one request asks."),
            },
            description="When the next upstream is asked, before the client has seen a byte.",
        ),
        "simple": _object(
            {
                "upstream": _UPSTREAM,
                "model": _MODEL,
                "chars": _whole(1, LIMIT_CHARS, "The most characters of a simple request."),
                "messages": _whole(1, LIMIT_MESSAGES, "The most messages of a simple request."),
                "tools": {"type": "boolean", "description": "Whether a request with tools can be simple."},
                "code": {"type": "boolean", "description": "Whether a request with code can be simple."},
                "difficulty": {
                    "anyOf": [
                        _SHARE,
                        _object(
                            {
                                "most": _SHARE,
                                "weights": {
                                    "type": "array",
                                    "items": {"type": "number"},
                                    "minItems": FEATURES + 1,
                                    "maxItems": FEATURES + 1,
                                    "description": "The weights that `guardproxy model route --learn` prints.",
                                },
                            },
                            required=["most"],
                        ),
                    ],
                    "description": "The highest difficulty of a simple request, 0 to 1, by the words of the question.",
                },
                "when": {**_TEXT, "description": "A further condition in CEL."},
                "saves": _object(dict.fromkeys(_SAVES, _PRICE), description="What a million tokens cost less there."),
            },
            anyOf=_TARGETS,
            description="Where simple requests go.",
        ),
    },
    anyOf=[{"required": [key]} for key in ("upstreams", "models", "simple")],
)


def _needs(route: RouteSection) -> Iterator[NeededUpstream]:
    may_be_second = len(route.every) > 1 and route.fallback.attempts > 0
    for destination in route.every:
        yield NeededUpstream("a policy routes to", destination.upstream, destination.place, may_be_second=may_be_second)


def _lacks(route: RouteSection) -> Iterator[NeededTexts]:
    """An error inside of a stream can lead to another destination only if the frames of answers are read."""
    if len(route.every) > 1 and route.fallback.attempts > 0 and not route.fallback.on.isdisjoint(("error", "block")):
        yield NeededTexts("response", "fallback-is-blind", _is_blind)


def _is_blind(unless: str) -> str:
    return (
        f"an error in the first frame of a stream goes to the client and not to the next upstream{unless}: the frames "
        "of answers are read only for a rule, like `{id: watch, on: response, when: some-check, action: flag}`"
    )


ROUTE = Section(
    "route",
    "Which upstream and model get a request, and which come next.",
    _SCHEMA,
    read_route,
    needs=_needs,
    lacks=_lacks,
)
