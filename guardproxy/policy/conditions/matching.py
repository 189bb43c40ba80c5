"""Reads the `match` of a policy and decides whether the policy applies to a request.

In: the `match` of a file; then the `About` of each request. Out: a frozen `Match`, and its verdict.

Decisions:
- docs/decisions/0024-a-condition-that-fails-applies-its-policy.md
- docs/decisions/0025-records-keep-verdicts-not-header-values.md
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product
from typing import Literal

from guardproxy.concurrency import lazy
from guardproxy.conditions import fits, in_lower_case, pattern_of
from guardproxy.conditions.canonical_names import glob_readings, model_readings, value_readings
from guardproxy.policy.conditions.cel import Cel, CelError, compile_cel, is_credential
from guardproxy.policy.conditions.request_context import About
from guardproxy.policy.yaml.reading import FileReading
from guardproxy.policy.yaml.tree import FilePlace, YamlNode
from guardproxy.wire.request import route_spellings

MatchVerdict = Literal["yes", "no", "failed", "unknown"]
"""`failed`: a condition could not be evaluated, or the request lacks a readable value for it (no model, no header, an
unreadable name). `unknown`: a condition reads headers or the tenant's name, and the record does not hold them. The
policy applies in both cases, because a further policy can only make a decision stronger, never weaker."""

KEYS = ("routes", "models", "tenants", "headers", "when")
_TENANT = "tenant.name"
_ROUTE = re.compile(r"([A-Z]+|\*) /\S*")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


@dataclass(frozen=True)
class Match:
    """The conditions of a policy, all of which must hold; `None` fits any value. `routes` (`POST /v1/messages`),
    `models`, `tenants` and the values of `headers` are globs: `*` is any text, `?` any character. `when`: a condition
    in CEL. `places`: the places of `when` and of each entry of `tenants` (`tenants[0]`).

    A client writes its model and its headers. They are compared as written and in normal form
    (`guardproxy/conditions/canonical_names.py`). If a request has no model or header, or an unreadable value, every glob
    fits. The tenant's name follows from the credential. A client without a name fits the globs that match the empty text
    (`*`).
    """

    routes: tuple[str, ...] | None = None
    models: tuple[str, ...] | None = None
    tenants: tuple[str, ...] | None = None
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    when: Cel | None = None
    places: Mapping[str, FilePlace] = field(default_factory=dict, compare=False, repr=False)

    def verdict(self, about: About) -> MatchVerdict:
        """Returns whether the conditions hold for this request."""
        if not self.digest:
            return "yes"
        verdicts: list[MatchVerdict] = ["yes" if is_route(self.routes, about.route) else "no", self._model(about)]
        verdicts += [self._tenant(about), *self._headers_and_when(about)]
        if "no" in verdicts:
            return "no"
        return next((verdict for verdict in ("unknown", "failed") if verdict in verdicts), "yes")

    def _model(self, about: About) -> MatchVerdict:
        if self.models is None:
            return "yes"
        spellings = about.model_spellings()
        if spellings is None:
            return "failed"
        return "yes" if fits(self.models, spellings) else "no"

    def _tenant(self, about: About) -> MatchVerdict:
        if self.tenants is not None and about.tenant is None:
            return "unknown"
        return "yes" if self.tenants is None or fits(self.tenants, (about.tenant or "",)) else "no"

    def _headers_and_when(self, about: About) -> Iterator[MatchVerdict]:
        """Yields the verdicts on the headers and on `when`."""
        if (about.headers is None and self.asks) or (about.tenant is None and self.when and _TENANT in self.when.names):
            yield "unknown"
            return
        for name, globs in self.headers.items():
            value = (about.headers or {}).get(name)
            if value is None:
                yield "failed"
            else:
                yield "yes" if fits(globs, (value, *value_readings(value))) else "no"
        if self.when is not None:
            holds = self.when.holds(about)
            yield "failed" if holds is None else "yes" if holds else "no"

    def holds(self, about: About) -> bool:
        """Whether the policy applies."""
        return self.verdict(about) != "no"

    @lazy
    def asks(self) -> frozenset[str]:
        """Returns the names of the headers that the conditions read."""
        return frozenset((*self.headers, *(self.when.headers if self.when else ())))

    @lazy
    def digest(self) -> str:
        """Returns the name of this condition in records; empty for a condition that always holds."""
        parts = [self.routes, self.models, self.tenants, sorted(self.headers.items()), self.when and self.when.text]
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:12] if any(parts) else ""


def is_any(globs: tuple[str, ...] | None, value: str) -> bool:
    """Whether a glob matches; true if `globs` is `None`."""
    return globs is None or pattern_of(globs).match(value) is not None


def is_route(globs: tuple[str, ...] | None, route: str) -> bool:
    """Whether a glob matches a route, or the route of OpenAI or Anthropic that it stands for at another host; true if `globs`
    is `None`."""
    return globs is None or any(is_any(globs, spelling) for spelling in route_spellings(route))


def may_share_a_name(first: tuple[str, ...] | None, second: tuple[str, ...] | None) -> bool:
    """Whether a name can match a glob of both lists, ignoring case."""
    return (
        first is None
        or second is None
        or any(_meet(glob, other) for glob, other in product(in_lower_case(first), in_lower_case(second)))
    )


@lru_cache(maxsize=1 << 16)  # of pairs
def may_share_a_model(first: tuple[str, ...] | None, second: tuple[str, ...] | None) -> bool:
    """Whether a model can match a glob of both lists, by the readings of its name. Names that nobody can read do not count."""
    if first is None or second is None:
        return True
    return any(
        may_share_a_name(_readings_of(globs), others)
        or any(readings is None or fits(others, readings) for readings in _examples(globs))
        for globs, others in ((first, second), (second, first))
    )


@lru_cache(maxsize=4096)
def _readings_of(globs: tuple[str, ...]) -> tuple[str, ...]:
    """Returns globs for the readings of the models that match one of these."""
    return tuple(dict.fromkeys(form for glob in in_lower_case(globs) for form in glob_readings(glob)))


@lru_cache(maxsize=4096)
def _examples(globs: tuple[str, ...]) -> tuple[tuple[str, ...] | None, ...]:
    """Returns the readings of models that match one of the globs: an asterisk at the end becomes a version, other signs a
    letter."""
    names = []
    for parts in map(_WILD.findall, in_lower_case(globs)):
        plain = "".join("x" if part in "*?" else part[:2].strip("[") if len(part) > 1 else part for part in parts)
        names += [plain[:-1] + end for end in _ENDS] if parts and parts[-1] == "*" else [plain]
    return tuple(map(model_readings, names))


_WILD = re.compile(r"\*|\?|\[!?\]?[^\]]*\]|(?s:.)")
_LITERAL = re.compile(r"[^*?\[]*")
_ENDS = ("", "-latest", "-2025-01-01", "2025-01-01", "latest", ":x")


def _meet(first: str, second: str) -> bool:
    """Whether some text matches both globs. Two sets of characters are taken to share one."""
    if not _is_glob(first) or not _is_glob(second):
        return is_any((first,), second) if _is_glob(first) else is_any((second,), first)
    begin, other_begin = _LITERAL.match(first)[0], _LITERAL.match(second)[0]  # type: ignore[index]  # it matches any text
    if not begin.startswith(other_begin) and not other_begin.startswith(begin):
        return False
    left, right = _WILD.findall(first), _WILD.findall(second)
    # Both globs are walked at once. A state is how far each of them is read, so there are at most as many as the product of
    # their lengths, whatever stars they have.
    seen, states = set[tuple[int, int]](), [(0, 0)]
    while states:
        state = states.pop()
        if state in seen:
            continue
        seen.add(state)
        one, other = state
        if state == (len(left), len(right)):
            return True
        sign = left[one] if one < len(left) else ""
        mark = right[other] if other < len(right) else ""
        if sign == "*":
            states += [(one + 1, other), *([(one, other + 1)] if mark else [])]
        if mark == "*":
            states += [(one, other + 1), *([(one + 1, other)] if sign else [])]
        if "*" not in (sign, mark) and sign and mark and _share_a_character(sign, mark):
            states.append((one + 1, other + 1))
    return False


def _share_a_character(sign: str, mark: str) -> bool:
    if _is_glob(sign) and _is_glob(mark):
        return True
    return is_any((sign,), mark) if _is_glob(sign) else is_any((mark,), sign)


def _is_glob(text: str) -> bool:
    return any(char in text for char in "*?[")


def read_match(reading: FileReading, node: YamlNode | None) -> Match:
    """Reads the `match` of a policy. Without a `match`, or with `{}`, the policy applies to every request."""
    if node is None:
        return Match()
    keys = reading.entries(node, "a mapping", KEYS, place="match")
    globs: dict[str, tuple[str, ...]] = {}
    for key in ("routes", "models", "tenants"):
        if key not in keys:
            continue
        if keys[key].value == ():
            reading.fail(keys[key].place, f"an empty list matches nothing; leave `{key}` out to match everything")
        globs[key] = reading.words(keys[key])
    if "routes" in keys and isinstance(keys["routes"].value, tuple):
        for item in keys["routes"].value:
            if isinstance(item.value, str) and item.value and not _ROUTE.fullmatch(item.value):
                reading.fail(item.place, "a route is a method and a path, like `POST /v1/chat/completions`")
    headers = _headers(reading, keys.get("headers"))
    when = read_condition(reading, keys.get("when"))
    places = {"when": keys["when"].place} if "when" in keys else {}
    if "tenants" in keys and isinstance(keys["tenants"].value, tuple):
        places |= {f"tenants[{number}]": item.place for number, item in enumerate(keys["tenants"].value)}
    return Match(globs.get("routes"), globs.get("models"), globs.get("tenants"), headers, when, places)


def _headers(reading: FileReading, node: YamlNode | None) -> dict[str, tuple[str, ...]]:
    if node is None:
        return {}
    entries = reading.mapping(node, 'a mapping from names of headers to values, like `{x-team: "red-*"}`') or {}
    if node.value == {}:
        reading.fail(node.place, "an empty mapping names no header; leave `headers` out")
    headers: dict[str, tuple[str, ...]] = {}
    for name, value in entries.items():
        if not _HEADER.fullmatch(name):
            reading.fail(value.key, f"`{name}` is not the name of a header")
        elif is_credential(name):
            reading.fail(value.key, f"`{name.lower()}` holds a credential; tell clients apart by `tenants`")
        elif name.lower() in headers:
            reading.fail(value.key, f"duplicate header `{name.lower()}`: case is ignored in names of headers")
        globs = reading.word_or_words(value)
        if value.value == ():
            reading.fail(value.place, 'an empty list matches nothing; `"*"` matches any value')
        headers[name.lower()] = globs
    return headers


def read_condition(reading: FileReading, node: YamlNode | None) -> Cel | None:
    """Reads a condition in CEL."""
    text = reading.word(node, 'a condition in CEL, like `request.model.startsWith("gpt-")`, written as words')
    if node is None or text is None:
        return None
    try:
        return compile_cel(text)
    except* CelError as group:
        for error in _leaves(group):
            column = 0 if node.lead is None else node.lead + error.column - 1
            reading.fail(FilePlace(node.place.line, node.place.column + column, node.place.path), error.message)
    return None


def _leaves(group: ExceptionGroup[CelError]) -> list[CelError]:
    return [error for error in group.exceptions if isinstance(error, CelError)]
