"""Which conditions can never hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.policy.conditions.cel import compile_cel
from guardproxy.policy.conditions.condition_probe import ProbeResult, probe
from guardproxy.policy.conditions.matching import Match
from guardproxy.policy.conditions.request_context import About

ROUTES = ("POST /v1/chat/completions", "POST /v1/messages")


def when(text: str, **more: tuple[str, ...]) -> Match:
    return Match(when=compile_cel(text), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "match",
    [
        Match(),
        Match(models=("gpt-*",), tenants=("a?", "b")),
        Match(routes=("POST /v1/m*",), headers={"x-a": ("red-*",), "x-b": ("1",)}),
        when('request.model == "a" || request.model == "b"'),
        when('request.model.startsWith("gpt-") && request.model.endsWith("-mini") && !request.model.contains("nano")'),
        when('request.model.contains("a") && request.model.contains("b") && request.model.contains("c")'),
        when('tenant.name in ["a", "b"] && tenant.name != "a"'),
        when("request.max_tokens > 100 && request.max_tokens < 102 && request.messages == 7 && request.stream"),
        when('request.tools.exists(t, t == "a") && !request.tools.all(t, t == "a")'),
        when("size(request.model) == 5 && size(request.tools) == 0"),
        when('request.path == "/v1/messages" && request.method == "POST"'),
        when('"x-a" in request.headers && request.headers["x-a"] == "red"'),
        when('!("x-a" in request.headers)'),
        when('request.model.startsWith("gpt-5")', models=("gpt-*",)),
    ],
)
def test_a_condition_that_can_hold_is_found_to(match: Match) -> None:
    assert probe(match, ROUTES) == ProbeResult(True, False)


@pytest.mark.parametrize(
    "match",
    [
        Match(routes=("POST /v1/message",)),
        Match(routes=("GET *",)),
        when('request.model == "a" && request.model == "b"'),
        when('request.model.startsWith("gpt-")', models=("claude-*",)),
        when('tenant.name == "b"', tenants=("a",)),
        when("request.max_tokens > 5 && request.max_tokens < 3"),
        when('request.path == "/v1/message"'),
        when('request.path == "/v1/messages"', routes=("POST /v1/chat/*",)),
        when("request.stream && !request.stream"),
        when('!("x-a" in request.headers) && has(request.headers.team) && !has(request.headers.team)'),
        when("false"),
    ],
)
def test_a_condition_that_can_never_hold_is_found_out(match: Match) -> None:
    assert probe(match, ROUTES).holds is False


@pytest.mark.parametrize(
    "text",
    [
        'request.model.matches("^x{300}$")',
        "request.max_tokens * 7 == 77777",
        "string(request.max_tokens) == 'x'",
        "request.max_tokens > 0x10 && false",
        "&& ".join(f'request.model != "m{at}" && tenant.name != "t{at}" ' for at in range(40)) + "&& false",
    ],
)
def test_nothing_is_said_of_what_cannot_be_told(text: str) -> None:
    assert probe(when(text), ROUTES).holds is None


def test_a_header_that_may_be_missing_is_found() -> None:
    assert probe(when('request.headers["x-a"] == "red"'), ROUTES) == ProbeResult(True, True)
    assert probe(when('request.headers["x-a"] == "red" && false'), ROUTES) == ProbeResult(False, False)
    only = when('request.headers["x-a"] == "red" && request.headers["x-a"] == "blue"')
    assert probe(only, ROUTES) == ProbeResult(True, True), "for a request without the header it applies"


TEXTS = st.sampled_from(["a", "b", "ab", "gpt-"])
ATOMS = st.one_of(
    st.tuples(st.sampled_from(["request.model", "tenant.name"]), st.sampled_from(["==", "!="]), TEXTS).map(
        lambda t: f'{t[0]} {t[1]} "{t[2]}"'
    ),
    st.tuples(st.sampled_from(["startsWith", "endsWith", "contains"]), TEXTS).map(
        lambda t: f'request.model.{t[0]}("{t[1]}")'
    ),
    st.tuples(st.sampled_from(["<", ">", "=="]), st.integers(0, 3)).map(lambda t: f"request.messages {t[0]} {t[1]}"),
)
CONDITIONS = st.recursive(
    ATOMS,
    lambda inner: (
        st.tuples(inner, st.sampled_from(["&&", "||"]), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})")
        | inner.map(lambda one: f"!({one})")
    ),
    max_leaves=5,
)
ABOUTS = st.builds(
    About,
    route=st.just(ROUTES[0]),
    model=st.text("abgpt-", min_size=1, max_size=6),
    tenant=st.text("ab", max_size=2),
    messages=st.integers(0, 5),
)


@given(CONDITIONS, st.lists(ABOUTS, min_size=1, max_size=20))
def test_no_request_fits_what_is_said_never_to_hold(text: str, requests: list[About]) -> None:
    match = when(text)
    if probe(match, ROUTES).holds is False:
        assert not any(match.holds(about) for about in requests)
