"""Which requests a policy is for: its `match`, read, and asked of a request.

In: the `match` of a file; then `About` of each request. Out: a frozen `Match`, and a verdict of it. Kept: nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import translate
from functools import cached_property, lru_cache
from typing import Literal

from guardproxy.policy.cel import CREDENTIALS, About, Cel, CelError, compile_cel
from guardproxy.policy.reading import Reading
from guardproxy.policy.tree import Node, Place

Verdict = Literal["yes", "no", "failed", "unknown"]
"""`failed`: a condition could not be evaluated; `unknown`: it asks for headers, and a record holds none. The policy applies in
both cases: a policy that applies can only make a decision stronger, never weaker."""

KEYS = ("routes", "models", "tenants", "headers", "when")
_ROUTE = re.compile(r"([A-Z]+|\*) /\S*")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


@dataclass(frozen=True)
class Match:
    """`None` is any. `routes` (`POST /v1/messages`), `models`, `tenants` and the values of `headers` are globs: `*` is any
    text, `?` any character. `headers`: each must be there. `when`: a condition in CEL. All of them must hold."""

    routes: tuple[str, ...] | None = None
    models: tuple[str, ...] | None = None
    tenants: tuple[str, ...] | None = None
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    when: Cel | None = None

    def verdict(self, about: About) -> Verdict:
        """Whether the policy is for this request. An unknown model or tenant is the empty text, which only `*` matches."""
        if not self.digest:
            return "yes"
        simple = (
            is_any(self.routes, about.route) and is_any(self.models, about.model) and is_any(self.tenants, about.tenant)
        )
        if not simple:
            return "no"
        if about.headers is None and self.asks:
            return "unknown"
        for name, globs in self.headers.items():
            value = (about.headers or {}).get(name)
            if value is None or not is_any(globs, value):
                return "no"
        if self.when is None:
            return "yes"
        holds = self.when.holds(about)
        return "failed" if holds is None else "yes" if holds else "no"

    def holds(self, about: About) -> bool:
        """Whether the policy applies."""
        return self.verdict(about) != "no"

    @cached_property
    def asks(self) -> frozenset[str]:
        """The names of the headers whose values decide."""
        return frozenset((*self.headers, *(self.when.headers if self.when else ())))

    @cached_property
    def digest(self) -> str:
        """What a record calls this condition by; empty for one that always holds."""
        said = [self.routes, self.models, self.tenants, sorted(self.headers.items()), self.when and self.when.text]
        return hashlib.sha256(repr(said).encode()).hexdigest()[:12] if any(said) else ""


def is_any(globs: tuple[str, ...] | None, value: str) -> bool:
    """Whether one of the globs, or none being asked for, matches."""
    return globs is None or _pattern(globs).match(value) is not None


@lru_cache(maxsize=4096)
def _pattern(globs: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(translate, globs)) or r"(?!)")


def read_match(reading: Reading, node: Node | None) -> Match:
    """The `match` of a policy; `{}` and none at all are every request."""
    if node is None:
        return Match()
    keys = reading.entries(node, "a mapping", KEYS)
    found: dict[str, tuple[str, ...]] = {}
    for key in ("routes", "models", "tenants"):
        if key not in keys:
            continue
        if keys[key].value == ():
            reading.fail(keys[key].place, f"an empty list matches nothing; leave `{key}` out to match everything")
        found[key] = reading.words(keys[key])
    if "routes" in keys and isinstance(keys["routes"].value, tuple):
        for item in keys["routes"].value:
            if isinstance(item.value, str) and item.value and not _ROUTE.fullmatch(item.value):
                reading.fail(item.place, "a route is a method and a path, like `POST /v1/chat/completions`")
    headers = _headers(reading, keys.get("headers"))
    when = read_condition(reading, keys.get("when"))
    return Match(found.get("routes"), found.get("models"), found.get("tenants"), headers, when)


def _headers(reading: Reading, node: Node | None) -> dict[str, tuple[str, ...]]:
    if node is None:
        return {}
    entries = reading.mapping(node, 'a mapping from names of headers to values, like `{x-team: "red-*"}`') or {}
    if node.value == {}:
        reading.fail(node.place, "an empty mapping asks for no header; leave `headers` out")
    found: dict[str, tuple[str, ...]] = {}
    for name, value in entries.items():
        if not _HEADER.fullmatch(name):
            reading.fail(value.key, f"`{name}` is not the name of a header")
        elif name.lower() in CREDENTIALS:
            reading.fail(value.key, f"`{name.lower()}` holds a credential; tell clients apart by `tenants`")
        elif name.lower() in found:
            reading.fail(value.key, f"`{name.lower()}` stands here twice: the case of a header's name says nothing")
        globs = reading.word_or_words(value)
        if value.value == ():
            reading.fail(value.place, 'an empty list matches nothing; `"*"` matches any value')
        found[name.lower()] = globs
    return found


def read_condition(reading: Reading, node: Node | None) -> Cel | None:
    """A condition in CEL."""
    text = reading.word(node, 'a condition in CEL, like `request.model.startsWith("gpt-")`, written as words')
    if node is None or text is None:
        return None
    try:
        return compile_cel(text)
    except* CelError as group:
        for error in _leaves(group):
            column = 0 if node.lead is None else node.lead + error.column - 1
            reading.fail(Place(node.place.line, node.place.column + column, node.place.path), error.message)
    return None


def _leaves(group: ExceptionGroup[CelError]) -> list[CelError]:
    return [error for error in group.exceptions if isinstance(error, CelError)]
