"""Which requests a policy is for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.policy.conditions.cel import compile_cel
from guardproxy.policy.conditions.matching import Match, MatchVerdict, is_any, may_share_a_model, may_share_a_name
from guardproxy.policy.conditions.request_context import About
from guardproxy.wire.contract.request_facts import RequestStatement
from tests.kit.play import Play, policy_set

RED = About("POST /a", "m", "t", {"x-team": "red-1"})


@pytest.mark.parametrize(
    ("match", "about", "holds"),
    [
        (Match(), About("POST /a"), True),
        (Match(routes=("POST /a",)), About("POST /a", "m", "t"), True),
        (Match(routes=("POST /a",)), About("POST /ab", "m", "t"), False),
        (Match(routes=("POST /v1/*", "* /b")), About("PUT /b"), True),
        (Match(models=("gpt-*", "claude-?")), About("POST /a", "gpt-4"), True),
        (Match(models=("gpt-*", "claude-?")), About("POST /a", "claude-3"), True),
        (Match(models=("gpt-*",)), About("POST /a", "claude-3"), False),
        (Match(tenants=("acme",)), About("POST /a", "m", "acme"), True),
        (Match(tenants=("acme",)), About("POST /a", "m"), False),
        (Match(tenants=("*",)), About("POST /a", "m"), True),
        (Match(headers={"x-team": ("blue", "red-*")}), RED, True),
        (Match(headers={"x-team": ("blue",)}), RED, False),
        (Match(when=compile_cel('request.model == "m"')), RED, True),
        (Match(when=compile_cel('request.model == "n"')), RED, False),
        (Match(models=("n",), when=compile_cel('request.headers["x-other"] == "n"')), RED, False),
    ],
)
def test_all_of_a_match_must_hold(match: Match, about: About, holds: bool) -> None:
    assert match.holds(about) is holds
    assert match.verdict(about) == ("yes" if holds else "no")


@pytest.mark.parametrize(
    ("match", "verdict"),
    [
        (Match(when=compile_cel('request.headers["x-other"] == "red"')), "failed"),
        (Match(when=compile_cel("1 / request.max_tokens > 0")), "failed"),
        (Match(headers={"x-team": ("red",)}), "unknown"),
        (Match(headers={"x-other": ("*",)}), "failed"),
        (Match(when=compile_cel('"x-team" in request.headers')), "unknown"),
        (Match(models=("n",), headers={"x-team": ("red",)}), "no"),
    ],
)
def test_what_cannot_be_told_applies(match: Match, verdict: MatchVerdict) -> None:
    about = About("POST /a", "m", "t", None if verdict != "failed" else {})
    assert match.verdict(about) == verdict
    assert match.holds(about) is (verdict != "no")


def test_a_tenant_that_an_old_record_does_not_name_cannot_be_told() -> None:
    assert Match(tenants=("acme",)).verdict(About("POST /a", "m", None)) == "unknown"
    assert Match().verdict(About("POST /a", "m", None)) == "yes"


def test_a_condition_is_called_by_what_it_says() -> None:
    named = Match(headers={"x-team": ("red",)})
    assert named.digest == Match(headers={"x-team": ("red",)}).digest != Match(headers={"x-team": ("blue",)}).digest
    assert len(named.digest) == 12
    assert Match().digest == ""
    assert Match(when=compile_cel("true")).digest != Match(when=compile_cel("false")).digest


POLICY = """\
policy: {name}
match: {match}
checks: {{w: {{use: pattern, words: [falcon]}}}}
rules: [{{id: r-{name}, on: request, when: w, action: block}}]
"""


def policy(match: str, name: str = "p") -> str:
    return POLICY.format(match=match, name=name)


def body(**more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": "falcon"}], **more}


@pytest.mark.parametrize(
    ("match", "more", "blocked"),
    [
        ('{when: "request.stream"}', {"stream": True}, True),
        ('{when: "request.stream"}', {}, False),
        ('{when: "request.max_tokens > 10 && request.messages == 1"}', {"max_tokens": 11}, True),
        ("{when: 'request.tools.exists(t, t == \"shell\")'}", {}, False),
        ('{when: "1 / request.max_tokens == 1"}', {}, True),
    ],
)
def test_the_facts_of_a_request_decide(match: str, more: dict[str, Any], blocked: bool) -> None:
    play = Play(policy_set(policy(match))).ask(body(**more))
    assert (play.upstream is None) is blocked


def test_a_record_says_what_became_of_each_condition_and_no_value_of_a_header() -> None:
    texts = [policy(match, f"p{at}") for at, match in enumerate(("{models: [m]}", "{headers: {x-team: red}}", "{}"))]
    texts.append(policy('{when: \'request.headers["x-none"] == ""\'}', "p3"))
    it = policy_set(*texts)
    assert it.headers == {"x-team", "x-none"}
    bound = it.bind("POST /v1/chat/completions", "m", "t", about=About("", "m", "t", {"x-team": "a secret"}))
    digests = [one.match.digest for one in it.policies]
    assert bound.matched == {digests[0]: "yes", digests[1]: "no", digests[3]: "failed"}
    assert [one.name for one in bound.policies] == ["p0", "p2", "p3"]


def test_a_recorded_verdict_counts_instead_of_what_is_known_now() -> None:
    it = policy_set(policy("{headers: {x-team: red}}"))
    digest = it.policies[0].match.digest
    about = About("", "m", "t", None)
    assert it.bind("", "m", "t", about=about).matched == {digest: "unknown"}
    assert it.bind("", "m", "t", about=about, known={digest: "no"}).policies == ()
    assert it.bind("", "m", "t", about=about, known={digest: "yes"}).policies == it.policies


def test_nobody_counts_messages_where_no_condition_asks() -> None:
    assert not policy_set(policy("{tenants: [m]}")).asks_body
    assert policy_set(policy("{when: 'request.messages > 1'}")).asks_body
    assert RequestStatement().messages == 0


GLOB = st.text("ab*?[]!-", max_size=6)


@given(GLOB, GLOB, st.text("ab!-]", max_size=6))
def test_two_globs_that_match_a_name_share_it(first: str, second: str, name: str) -> None:
    if is_any((first,), name) and is_any((second,), name):
        assert may_share_a_name((first,), (second,))
        assert may_share_a_name((second,), ("x", first.upper()))


@pytest.mark.parametrize(
    ("first", "second", "is_shared"),
    [
        (("a*c",), ("*bc",), True),
        (("a*",), ("b*",), False),
        (("a?c",), ("ab",), False),
        (("a?c*",), ("ab*d",), True),
        (("[ab]*",), ("[c]*",), True),  # two sets are taken to share a character
        (("[ab]x*",), ("cx*",), False),
        (("[ab]x*",), ("bx*",), True),
        (("*a*",), ("*b",), True),
        (("a*b",), ("a*",), True),
        (("*x*y",), ("*z*w",), False),
        (("",), ("*",), True),
        (None, ("a",), True),
        (("a",), None, True),
        ((), ("a",), False),
    ],
)
def test_whether_a_name_can_match_two_lists(
    first: tuple[str, ...] | None, second: tuple[str, ...] | None, is_shared: bool
) -> None:
    assert may_share_a_name(first, second) is is_shared
    assert may_share_a_name(second, first) is is_shared


@pytest.mark.parametrize(
    ("first", "second", "is_shared"),
    [
        ("gpt-*", "claude-*", False),
        ("gpt-5", "gpt-5-mini", False),
        ("azure/gpt-5", "openai/gpt-5", False),
        ("gpt-5", "gpt-5-*", True),  # by `gpt-5-2025-01-01`
        ("gpt-5?[ab]", "gpt-5*", True),
        ("openai/*", "GPT-5", True),
        ("*-latest", "gpt-5", True),
        ("gpt-5", "openai/gpt-5:free", True),
        ("a b/\u0430", "gpt-5", True),  # nobody can read it, so every policy for a model applies
    ],
)
def test_whether_a_model_can_match_two_lists(first: str, second: str, is_shared: bool) -> None:
    assert may_share_a_model((first,), (second,)) is is_shared
    assert may_share_a_model((second,), (first,)) is is_shared
    assert may_share_a_model(None, (second,))
