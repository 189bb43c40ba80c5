"""Statements of a request about itself: models, limits of tokens, numbers of messages, tools.

In: the tree of a request, and the fields to read. Out: numbers and names for conditions of policies, scopes of keys, limits and
routes. If a request states the same fact in two fields that different servers read, both values are returned. The names of
models come from the map of the format: each place that the map calls a model is read.

Duties of the gateway ask for them on the event loop, so the work is bounded for every tree. What is beyond a limit makes the
fact unclear, and an unclear fact counts as any value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from guardproxy.wire.json import (
    OTHERS,
    UNMAPPED,
    Map,
    MapFields,
    dotted,
    first_naming_places,
    names_below,
    naming,
    text,
)

LARGEST = 2**63 - 1
LIMIT_MODELS = 16
LIMIT_NAMES = 512
LIMIT_MESSAGES = 10_000  # messages that are looked at for tools
LIMIT_KEYS = 10_000  # keys and items of fields that the format does not know
LIMIT_STEPS = 2048  # values that are looked at for names of models, far above what honest requests have
_NUMBER_CHARS = 32
_UNREAD = False  # no list of tools
_CARRIERS = frozenset(("function", "custom", "tool", "namespace"))  # types that do not tell what a tool does
_NAMES = ("name", "server_label", "mcp_server_name", "connector_id")
_NESTED = ("tools", "functionDeclarations", "function_declarations")
_OBJECT = (dict, Mapping)  # asking for `dict` first is a tenth of the work
_INSIDE = ("function", "custom", "tool", "mcp", "mcp_server")


MODEL_FIELDS: MapFields = dict.fromkeys(
    ("model", "models", "fallback_model", "fallback_models", "fallbacks", "engine", "deployment_id", "model_id"),
    naming("model", UNMAPPED),
)
"""Fields by which some server of some API chooses a model."""


def calls_nothing(tree: Mapping[str, Any]) -> tuple[str, ...]:
    """`Fields.called` of a format whose requests offer tools to a model, and call none."""
    return ()


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of a request to read: limits of tokens, lists of messages (or one text), lists of tools. A name with dots,
    such as `generationConfig.maxOutputTokens`, leads through objects. `models`: the map of a request, whose leaves say what
    names a model.

    For what limits reserve: `answers`, the number of answers that the client asks for; `prompts`, lists of prompts each of
    which is answered; `lengths`, further limits of tokens, which conditions do not read; `binding`, the limits of tokens that
    the format has, or all of them if it says nothing about them. A server of the format ignores the others.

    `called`: returns the names of the tools that a request itself calls.
    """

    tokens: tuple[str, ...]
    models: MapFields
    messages: tuple[str, ...]
    tools: tuple[str, ...]
    answers: tuple[str, ...]
    prompts: tuple[str, ...]
    lengths: tuple[str, ...]
    called: Callable[[Mapping[str, Any]], tuple[str, ...]] = calls_nothing
    binding: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        own = self.models
        object.__setattr__(self, "models", {**MODEL_FIELDS, **own})
        every = (*self.tokens, *self.lengths)
        known = tuple(name for name in every if name.partition(".")[0] in own)
        object.__setattr__(self, "binding", known or every)

    def of(self, request: MapFields) -> Fields:
        """Returns the fields of a format. `request`: the map of its requests."""
        return replace(self, models=request)


# Servers read fields of each other's APIs. A condition of a policy must hold for every field that the upstream may read.
EVERY_SERVER = Fields(
    tokens=("max_completion_tokens", "max_output_tokens", "max_tokens", "max_new_tokens", "max_tokens_to_sample"),
    models={OTHERS: text("user")},
    messages=("messages", "input", "contents", "prompt"),
    tools=("tools", "functions", "mcp_servers", "toolsets", "additional_tools"),
    answers=("n", "best_of", "num_return_sequences", "candidateCount", "candidate_count"),
    prompts=(),
    lengths=(),
)


USER_FIELDS = (("safety_identifier",), ("user",), ("metadata", "user_id"))
"""The fields in which clients of some API name the end user. Gateways pass them on in every format."""


class RequestStatement(msgspec.Struct, frozen=True):
    """The statements of one request.

    `max_tokens`: the first limit of tokens, 0 if there is none; `limits`: all limits. `messages`: the number of messages;
    `counts`: the number in each field that can hold messages. `tools`: their names, or kinds if they have no name; `offered`:
    every name and kind of every tool, in every field that can hold tools. `models`: every model that it names. `unclear`: the
    facts (`model`, `max_tokens`, `messages`, `tools`) that could not be read completely: a part has another type, there are too
    many parts, or the provider chooses the model. `foreign`: the first place that the format does not know; a server could read
    the name of a model there.
    """

    max_tokens: int = 0
    messages: int = 0
    tools: tuple[str, ...] = ()
    limits: tuple[int, ...] = ()
    counts: tuple[int, ...] = ()
    offered: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    unclear: frozenset[str] = frozenset()
    foreign: str = ""


class AskedAnswers(NamedTuple):
    """The answers that a request asks for: their number, and the tokens that each may take, 0 if it sets no limit. A number
    that cannot be read is `LARGEST`. `is_bound`: whether the limit is one that a server of the format reads."""

    number: int
    longest: int
    is_bound: bool

    def tokens(self, assumed: int) -> int:
        """Returns the tokens that all answers may take. `assumed`: the length of an answer that nothing limits."""
        return self.number * (self.longest if self.is_bound else max(self.longest, assumed))


def statement_of(tree: Any, fields: Fields = EVERY_SERVER) -> RequestStatement:
    """Reads the statements of a request from these fields."""
    if not isinstance(tree, _OBJECT):
        return RequestStatement()
    unclear: set[str] = set()
    limits = tuple(dict.fromkeys(_limits(tree, fields.tokens, unclear)))
    counts = tuple(dict.fromkeys(_counts(tree, fields.messages, unclear)))
    models, foreign = _models(tree, fields.models, unclear)
    tools = tree.get("tools")
    names = (_name(tool) for tool in tools[:LIMIT_NAMES]) if isinstance(tools, list) else ()
    return RequestStatement(
        max_tokens=limits[0] if limits else 0,
        messages=counts[0] if counts else 0,
        tools=(*(name for name in names if name), *fields.called(tree)),
        limits=limits,
        counts=counts,
        offered=tuple(dict.fromkeys(_offered(tree, fields, unclear))),
        models=models,
        unclear=frozenset(unclear),
        foreign=foreign,
    )


def brief_statement_of(tree: Any, fields: Fields) -> RequestStatement:
    """Reads the models and the limits of tokens of a request, and leaves out its messages and tools."""
    if not isinstance(tree, _OBJECT):
        return RequestStatement()
    unclear: set[str] = set()
    limits = tuple(dict.fromkeys(_limits(tree, fields.tokens, unclear)))
    models, foreign = _models(tree, fields.models, unclear)
    return RequestStatement(
        max_tokens=limits[0] if limits else 0,
        limits=limits,
        models=models,
        unclear=frozenset(unclear),
        foreign=foreign,
    )


def _at(tree: Any, name: str) -> Any:
    """Returns the field of a name; `None` if it is missing."""
    if "." not in name:
        return tree.get(name) if isinstance(tree, _OBJECT) else None
    for step in name.split("."):
        tree = tree.get(step) if isinstance(tree, _OBJECT) else None
    return tree


def _limits(tree: Mapping[str, Any], keys: tuple[str, ...], unclear: set[str]) -> Iterator[int]:
    for key in keys:
        value = _at(tree, key)
        if isinstance(value, int) and not isinstance(value, bool):
            yield max(0, min(+value, LARGEST))
        elif value is not None:
            unclear.add("max_tokens")


def answers_of(tree: Any, fields: Fields) -> AskedAnswers:
    """Reads how many answers a request asks for, and how long they may be: the largest numbers that a server may read."""
    number = max((1, *(_number(_at(tree, key)) for key in fields.answers)))
    for key in fields.prompts:
        prompts = _at(tree, key)
        # A list of integers is a single prompt, given as tokens.
        if isinstance(prompts, list) and not all(isinstance(token, int) for token in prompts):
            number *= max(1, len(prompts))
    longest = max((0, *(_number(_at(tree, key)) for key in (*fields.tokens, *fields.lengths))))
    is_bound = longest > 0 and any(_number(_at(tree, key)) > 0 for key in fields.binding)
    return AskedAnswers(min(number, LARGEST), longest, is_bound)


def _number(value: Any) -> int:
    """Returns what a server may read as a number, rounded up: servers differ in the types that they take. It is 0 for a value
    that is missing, and `LARGEST` for one that cannot be read."""
    if value is None or value == "":
        return 0
    if not isinstance(value, (int, float, str)) or (isinstance(value, str) and len(value) > _NUMBER_CHARS):
        return LARGEST
    try:
        return min(math.ceil(float(value)), LARGEST)
    except (ValueError, OverflowError):
        return LARGEST


def _counts(tree: Mapping[str, Any], keys: tuple[str, ...], unclear: set[str]) -> Iterator[int]:
    for key in keys:
        value = _at(tree, key)
        if isinstance(value, list):
            yield len(value)
        elif isinstance(value, str):
            yield 1
        elif value is not None:
            unclear.add("messages")


def _models(tree: Mapping[str, Any], how: Map, unclear: set[str]) -> tuple[tuple[str, ...], str]:
    """Returns every model that a request names, and the first place that the format does not know."""
    names: dict[str, None] = {}
    foreign = ""
    places, is_whole = first_naming_places(tree, how, LIMIT_STEPS)
    if not is_whole:
        unclear.add("model")
    unlisted = []
    for place in places:
        if place.leaf.names == "router":
            unclear.add("model")
        elif place.leaf.names == "model":
            _read_names(place.value, names, unclear)
        elif not place.is_listed:
            foreign = foreign or (dotted(place.path) if place.is_foreign else "")
            unlisted.append(place)
    for value in names_below(unlisted, LIMIT_KEYS):
        _read_names(value, names, unclear)
    if len(names) > LIMIT_MODELS:
        unclear.add("model")
    return tuple(islice(names, LIMIT_MODELS)), foreign


def _read_names(value: Any, names: dict[str, None], unclear: set[str]) -> None:
    """Adds the names at a place: a name, a list of names, or objects that have a `model`."""
    items = value if isinstance(value, list) else [value]
    if len(items) > LIMIT_NAMES:
        unclear.add("model")
    for item in items[:LIMIT_NAMES]:
        name = item.get("model") if isinstance(item, _OBJECT) else item
        if isinstance(name, str) and name:
            names[name] = None
        elif item is not None:
            unclear.add("model")


def _name(tool: Any) -> str:
    if not isinstance(tool, _OBJECT):
        return ""
    inner = (tool.get(key) for key in ("function", "custom"))
    places = (tool.get("name"), *(value.get("name") for value in inner if isinstance(value, Mapping)), tool.get("type"))
    return next((place for place in places if isinstance(place, str)), "")


def _lists_of_tools(tree: Mapping[str, Any], fields: Fields) -> Iterator[Any]:
    """Yields the lists of tools of a request, and those that its messages bring; `_UNREAD` for messages that are too many."""
    yield from (_at(tree, key) for key in fields.tools)
    for key in fields.messages:
        messages = _at(tree, key)
        if not isinstance(messages, list):
            continue
        for message in messages[:LIMIT_MESSAGES]:
            if isinstance(message, _OBJECT):
                yield message.get("tools")
        if len(messages) > LIMIT_MESSAGES:
            yield _UNREAD


def _offered(tree: Mapping[str, Any], fields: Fields, unclear: set[str]) -> Iterator[str]:
    count = 0
    yield from fields.called(tree)
    for tools in _lists_of_tools(tree, fields):
        if tools is not None and not isinstance(tools, list):
            unclear.add("tools")
            continue
        for tool in tools or ():
            is_named = False
            for name in _names_of(tool):
                is_named = True
                count += 1
                if count > LIMIT_NAMES:
                    unclear.add("tools")
                    return
                yield name
            if not is_named:
                unclear.add("tools")
                count += 1  # entries without a name take as long
                if count > LIMIT_NAMES:
                    return


def _names_of(tool: Any) -> Iterator[str]:
    """Yields every name in one entry: its own, its kind's, and those of the tools that a server or a namespace brings."""
    if isinstance(tool, str) and tool:
        yield tool
    if not isinstance(tool, _OBJECT):
        return
    for source in (tool, *(tool.get(key) for key in _INSIDE)):
        if isinstance(source, Mapping):
            yield from _own_names(source)
            allowed = source.get("allowed_tools")
            yield from _texts(allowed.get("tool_names") if isinstance(allowed, Mapping) else allowed)
            for key in _NESTED:
                nested = source.get(key)
                for entry in nested if isinstance(nested, list) else ():
                    if isinstance(entry, Mapping):
                        yield from _own_names(entry)
    kind = tool.get("type")
    if isinstance(kind, str) and kind and kind not in _CARRIERS:
        yield kind


def _own_names(tool: Mapping[str, Any]) -> Iterator[str]:
    return _texts([tool.get(key) for key in _NAMES])


def _texts(values: Any) -> Iterator[str]:
    for value in values if isinstance(values, list) else ():
        if isinstance(value, str) and value:
            yield value
