"""Finds out whether a `match` can hold at all, by generated requests that use the values of its conditions.

In: a `Match`, and all routes. Out: whether a request matches, and whether a missing header makes the condition fail.
The result is unknown for conditions that do more than compare with literals.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

from guardproxy.conditions.canonical_names import model_readings
from guardproxy.policy.conditions.cel import NAMES, literal, tokens_of
from guardproxy.policy.conditions.matching import Match, is_any, is_route
from guardproxy.policy.conditions.request_context import About

LIMIT_REQUESTS = 20_000
_WORDS = frozenset(
    (
        *("true", "false", "in", "has", "size", "startsWith", "endsWith", "contains", "exists", "exists_one", "all"),
        *(part for name in NAMES for part in name.split(".")),
    )
)
_MARKS = frozenset("()[],.!?:") | {"&&", "||", "==", "!=", "<", ">", "<=", ">="}
_OTHER = "something-else"


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """The result of a probe. `holds`: whether the match holds for some request; `None` if it is not known. `fails`:
    whether it cannot be evaluated for some request."""

    holds: bool | None
    fails: bool


def probe(match: Match, routes: Iterable[str]) -> ProbeResult:
    """Evaluates the match for requests to these routes."""
    fitting = [route for route in routes if is_route(match.routes, route)]
    if not fitting:
        return ProbeResult(False, False)
    tokens = list(tokens_of(match.when.text)) if match.when else []
    texts = list(dict.fromkeys(literal(token) for token in tokens if token.kind == "text"))
    numbers = sorted({int(token.text) for token in tokens if token.kind == "number" and token.text.isdigit()})
    bound = {
        after.text
        for before, mark, after in zip(tokens, tokens[1:], tokens[2:], strict=False)
        if mark.text == "(" and before.text in ("exists", "exists_one", "all")
    }
    sure = all(
        token.kind == "text"
        or (token.kind == "word" and (token.text in _WORDS or token.text in bound or token.text in match.asks))
        or (token.kind == "number" and token.text.isdigit())
        or token.text in _MARKS
        for token in tokens
    )
    fails = False
    requests = _requests(match, fitting, _values(texts, numbers), texts, numbers)
    if requests is None:
        return ProbeResult(None, False)
    for about in requests:
        verdict = match.verdict(about)
        if verdict == "yes":
            return ProbeResult(True, fails)
        fails = fails or verdict == "failed"
    return ProbeResult(True if fails else False if sure else None, fails)


def _values(texts: Sequence[str], numbers: Sequence[int]) -> list[str]:
    """Returns texts that begin with, end with or contain the texts of the condition."""
    joined = [first + second for first, second in product(texts, texts) if len(texts) <= 6]
    sized = ["x" * number for number in numbers if number <= 1000]
    around = [variant for text in texts for variant in (text, text + "x", "x" + text)]
    return list(dict.fromkeys([_OTHER, "", *around, *joined, "".join(texts), *sized]))


def _requests(
    match: Match, routes: Sequence[str], values: Sequence[str], texts: Sequence[str], numbers: Sequence[int]
) -> Iterator[About] | None:
    condition = match.when.text if match.when else ""
    counts = sorted({0, 1, *(n + step for n in numbers for step in (-1, 0, 1) if n + step >= 0)})
    headers: list[list[str | None]] = [
        [*(value for glob in match.headers[name] for value in _of_glob(glob, values))]
        if name in match.headers
        else [None, *values]
        for name in sorted(match.asks)
    ]
    routes_to_try = (
        routes if any(f"request.{name}" in condition for name in ("route", "method", "path")) else routes[:1]
    )
    models = [
        model
        for model in _fitting(match.models, values if "request.model" in condition else [_OTHER])
        if model_readings(model)
    ]
    tenants = _fitting(match.tenants, values if "tenant.name" in condition else [_OTHER])
    streams = (False, True) if "request.stream" in condition else (False,)
    tokens = counts if "request.max_tokens" in condition else [0]
    messages = counts if "request.messages" in condition else [1]
    tools = [(), (_OTHER,), *((text,) for text in texts), (*texts, _OTHER), tuple(texts)]
    offered = tools if "request.tools" in condition else tools[:1]
    servers, operations = (values if f"request.{name}" in condition else [""] for name in ("server", "operation"))
    choices = (routes_to_try, models, tenants, streams, tokens, messages, offered, servers, operations)
    if prod(map(len, (*choices, *headers))) > LIMIT_REQUESTS:
        return None
    names = sorted(match.asks)
    return (
        About(
            route,
            model,
            tenant,
            _present(names, chosen),
            stream,
            most,
            count,
            names_of_tools,
            limits=(most,),
            server=server,
            operation=operation,
        )
        for route, model, tenant, stream, most, count, names_of_tools, server, operation in product(*choices)
        for chosen in product(*headers)
    )


def _present(names: Sequence[str], values: Sequence[str | None]) -> dict[str, str]:
    return {name: value for name, value in zip(names, values, strict=True) if value is not None}


def _fitting(globs: tuple[str, ...] | None, values: Sequence[str]) -> list[str]:
    if globs is None:
        return list(values)
    candidates = [value for glob in globs for value in _of_glob(glob, values)]
    return [value for value in dict.fromkeys(candidates) if is_any(globs, value)]


def _of_glob(glob: str, values: Sequence[str]) -> list[str]:
    """Returns texts that a glob matches: each value instead of its `*`, and each value that it matches."""
    plain = glob.replace("?", "x")
    candidates = [plain.replace("*", value) for value in values] if "*" in plain else [plain]
    return [value for value in dict.fromkeys([*candidates, *values]) if is_any((glob,), value)]
