"""The facts of a request that decide which policies apply, and the ways to read them.

In: the facts of one request. Out: `readings`, the values for which a condition in CEL is evaluated. A client writes most of
these facts, and servers read them differently (`gpt-4`, `GPT-4`, `openai/gpt-4`; two limits of tokens). So a condition is
evaluated for every reading, as written and in normal form. It holds if it holds for any reading.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from math import prod
from typing import Any

import msgspec

from guardproxy.conditions.canonical_names import fold, model_readings, tool_readings, value_readings
from guardproxy.wire.contract import LARGEST
from guardproxy.wire.request import route_spellings

LIMIT_READINGS = 256
_LANGUAGE = re.compile(r"\s*([A-Za-z]{2,3})(?=[\s,;-]|\Z)", re.ASCII)
_ABSENT: Any = object()  # marks a fact that is not known


def first_language(value: str) -> str:
    """Returns the first language of a `Content-Language` header (RFC 9110, 8.5) in lower case, or an empty string."""
    match = _LANGUAGE.match(value)
    return match[1].lower() if match else ""


class About(msgspec.Struct, frozen=True):
    """The facts of a request.

    `model`: empty if the request names no model; `models`: further models that it names. `tenant`: the name of the
    client, empty if it has no name, `None` if the name is not known (a record that was written before names were
    kept). `headers`: by lower-case name; `None` if they are not known (a record holds no headers). `max_tokens`: 0 if
    the request sets no limit; `limits`: every limit that it sets. `messages`: their number; `counts`: the number of
    messages in every field that holds messages. `tools`: their names; `offered`: every name and kind of every tool.
    `unclear`: the facts whose type cannot be read. `server`: the server of tools that the path names, and `operation`: the
    method of a message to it, as the proxy and the server read them; both are empty in a request to a model.
    """

    route: str = ""
    model: str = ""
    tenant: str | None = ""
    headers: Mapping[str, str] | None = msgspec.field(default_factory=dict)
    stream: bool = False
    max_tokens: int = 0
    messages: int = 0
    tools: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    limits: tuple[int, ...] = ()
    counts: tuple[int, ...] = ()
    offered: tuple[str, ...] = ()
    unclear: frozenset[str] = frozenset()
    server: str = ""
    operation: str = ""

    @property
    def named_models(self) -> tuple[str, ...]:
        """Returns every model that may answer, as the request spells it."""
        return tuple(dict.fromkeys(name for name in (self.model, *self.models) if name))

    def model_spellings(self) -> tuple[str, ...] | None:
        """Returns every model that may answer, as spelled and in normal form; `None` if a model is not known."""
        spellings = [model_readings(name) for name in self.named_models]
        if not spellings or "model" in self.unclear or None in spellings:
            return None
        return (*self.named_models, *(reading for readings in spellings for reading in readings or ()))

    def readings(self, names: Iterable[str], headers: Sequence[str]) -> Iterator[tuple[bool, Mapping[str, Any]]]:
        """Yields the values for which an expression that uses `names` and `headers` is evaluated, by name, and whether
        they are in normal form. A name without a value is not known."""
        wanted = frozenset(names)
        for normal in (False, True):
            choices = {name: self._values(name, normal) for name in sorted(wanted & _CHOICES)}
            header_values = {name: self._header(name, normal) for name in headers if name in (self.headers or {})}
            # Without these values the condition cannot be evaluated, and then its policy applies.
            if prod(map(len, (*choices.values(), *header_values.values()))) > LIMIT_READINGS:
                yield normal, {key: value for key, value in self._plain().items() if key not in wanted}
                continue
            for choice in product(*choices.values(), *header_values.values()):
                values = self._plain() | dict(zip(choices, choice, strict=False))
                values["request.headers"] = dict(zip(header_values, choice[len(choices) :], strict=True))
                yield normal, {key: value for key, value in values.items() if value is not _ABSENT}

    def _plain(self) -> dict[str, Any]:
        method, _, path = self.route.partition(" ")
        of = {"route": self.route, "method": method, "path": path, "model": self.model, "stream": self.stream}
        of |= {"max_tokens": self.max_tokens, "messages": self.messages, "tools": list(self.tools), "headers": {}}
        of |= {"server": self.server, "operation": self.operation}
        tenant = _ABSENT if self.tenant is None else self.tenant
        return {f"request.{name}": value for name, value in of.items()} | {"tenant.name": tenant}

    def _values(self, name: str, normal: bool) -> list[Any]:
        match name:
            case "request.model":
                spellings = self.model_spellings()
                unsure = [_ABSENT] if spellings is None else []
                return [*(spellings or ("",)), *unsure] if normal else [*(self.named_models or ("",)), *unsure]
            case "request.route":
                return list(route_spellings(self.route))
            case "request.path":
                return [route.partition(" ")[2] for route in route_spellings(self.route)]
            case "request.max_tokens":
                limits = self.limits or ((self.max_tokens,) if self.max_tokens else (0, LARGEST))
                return [*limits, *self._unsure("max_tokens")]
            case "request.messages":
                return [*(self.counts or (self.messages,)), *self._unsure("messages")]
            case "request.tools":
                return self._tools(normal)
            case "request.server":
                return [fold(self.server) if normal else self.server]
            case "request.operation":
                return [fold(self.operation) if normal else self.operation]
        return [_ABSENT if self.tenant is None else fold(self.tenant) if normal else self.tenant]

    def _tools(self, normal: bool) -> list[Any]:
        offered = self.offered or self.tools
        readings_by_name = [(name, tool_readings(name)) for name in offered]
        unsure = [_ABSENT] if any(readings is None for _, readings in readings_by_name) else self._unsure("tools")
        if not normal:
            return [list(self.tools), *([list(offered)] if offered != self.tools else []), *unsure]
        every = list(dict.fromkeys(reading for _, readings in readings_by_name for reading in readings or ()))
        own = [fold(name) for name in self.tools]
        return [own, *([every] if every != own else []), *unsure]

    def _unsure(self, fact: str) -> list[Any]:
        return [_ABSENT] if fact in self.unclear else []

    def _header(self, name: str, normal: bool) -> list[Any]:
        value = (self.headers or {})[name]
        return list(value_readings(value)) if normal else [value]


_CHOICES = frozenset(
    (
        "request.route",
        "request.path",
        "request.model",
        "request.max_tokens",
        "request.messages",
        "request.tools",
        "request.server",
        "request.operation",
        "tenant.name",
    )
)
