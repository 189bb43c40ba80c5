"""Routes: the shares of destinations, what stays together, models, simple requests, and what the record says."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardproxy.conditions import FEATURES, RequestFeatures
from guardproxy.decisions import UNPLANNED, Plan
from guardproxy.exchange import DataReceived, RequestReceived, ResponseEnded, ResponseStarted, SendUpstream
from guardproxy.exchange.routes.routing import Asked, RouteChoice, choose, measured, rank
from guardproxy.policy import About
from guardproxy.policy.file.load import parse
from guardproxy.policy.sections import BoundSection, Destination, RouteSection
from guardproxy.wire import installed, statement_of
from tests.kit.play import CHAT, MESSAGES, Play, chat_frames, policy_set
from tests.kit.records import replay
from tests.kit.retry import whole

MEASURES = {"chars": 10, "messages": 1, "tools": 0, "code": 0, "media": 0}
WATCH = """
checks:
  word: {use: pattern, words: [falcon]}
rules:
  - {id: words, when: word, action: redact, restore: true}
"""
SIMPLE = "simple: {upstream: cheap, model: nano, chars: 20, saves: {input: 1, output: 10}}"


def route_of(text: str) -> RouteSection:
    route: RouteSection = parse(f"policy: p\nroute:\n{text}", "p.yaml").sections["route"]
    return route


def asked(conversation: str = "c", **more: Any) -> Asked:
    about: dict[str, Any] = {"exchange": "x", "client": "t", "model": "m", "plan": UNPLANNED}
    about |= {"measures": lambda most_chars, asks: MEASURES, "about": lambda: About(model="m", max_tokens=9)}
    return Asked(**{"conversation": conversation, **about, **more})


def chosen(route: RouteSection, facts: Asked | None = None) -> RouteChoice:
    (choice,) = choose([BoundSection("p", route, enforced=True)], facts or asked())
    return choice


def upstreams(route: RouteSection, facts: Asked | None = None) -> list[str]:
    return [plan.upstream for plan in chosen(route, facts).plans]


PNG = "data:image/png;base64,iVBORw0KGgo="
CANARY = route_of("  upstreams: [{upstream: main, weight: 9}, {upstream: canary}, {upstream: spare, priority: 1}]\n")


@given(st.lists(st.integers(1, 50), min_size=1, max_size=6), st.integers(0, 2**32))
@settings(max_examples=30)
def test_each_destination_gets_its_share_of_the_conversations(weights: list[int], seed: int) -> None:
    places = tuple(Destination(f"u{number}", weight=weight) for number, weight in enumerate(weights))
    chance, asks = random.Random(seed), 1500
    got = Counter(upstreams(RouteSection(places), asked(f"{chance.random()}"))[0] for _ in range(asks))
    for place in places:
        share = place.weight / sum(weights)
        assert abs(got[place.upstream] / asks - share) <= 5 * (share * (1 - share) / asks) ** 0.5 + 1e-9


@given(st.permutations(range(5)), st.text(max_size=20))
@settings(max_examples=20)
def test_the_order_of_the_list_does_not_matter(order: list[int], conversation: str) -> None:
    places = [Destination(f"u{number}", weight=1 + number, priority=number // 3) for number in range(5)]
    expected = upstreams(RouteSection(tuple(places)), asked(conversation))
    assert upstreams(RouteSection(tuple(places[number] for number in order)), asked(conversation)) == expected
    assert sorted(expected[:3]) == ["u0", "u1", "u2"], "priority 0 comes first"


@given(st.lists(st.text(max_size=8), min_size=1, max_size=30), st.integers(1, 9))
@settings(max_examples=30)
def test_a_further_destination_moves_conversations_only_to_itself(conversations: list[str], weight: int) -> None:
    before = (Destination("a"), Destination("b", weight=3))
    after = (*before, Destination("new", weight=weight))
    for conversation in conversations:
        new = upstreams(RouteSection(after), asked(conversation))[0]
        assert new in ("new", upstreams(RouteSection(before), asked(conversation))[0])


@pytest.mark.parametrize("sticky", ["conversation", "client", "none"])
def test_what_stays_at_an_upstream(sticky: Any) -> None:
    route = RouteSection(tuple(Destination(f"u{number}") for number in range(8)), sticky)
    names = {"conversation": "conversation", "client": "client", "none": "exchange"}
    for name in names.values():
        got = {upstreams(route, asked(**{name: f"{number}"}))[0] for number in range(40)}
        assert (len(got) > 4) == (name == names[sticky])


def test_a_rank_is_finite_and_positive_whatever_the_key_is() -> None:
    assert all(0 <= rank(key, Destination("\ud800", "m", 10**6)) < 1 for key in ("", "\ud800", "a" * 10_000))


def test_an_upstream_that_cannot_be_asked_comes_last() -> None:
    assert upstreams(CANARY, asked())[0] == "main"
    choice = chosen(CANARY, asked(unavailable=("main", "other")))
    assert [plan.upstream for plan in choice.plans] == ["canary", "spare", "main"]
    assert choice.passed_over == ("main",)
    assert upstreams(CANARY, asked(unavailable=("main", "canary", "spare"))) == ["main", "canary", "spare"]


@pytest.mark.parametrize(
    ("asks", "gets"),
    [
        *(("fast", "small"), ("gpt-4o", "gpt-5"), ("gpt-4", "four"), ("other", ""), ("", "")),
        *(("FAST", "small"), ("openai/GPT-4o", "gpt-5"), ("models/gpt-4", "four"), ("gpt%2D4", "four")),
    ],
)
def test_an_alias_stands_for_a_model(asks: str, gets: str) -> None:
    route = route_of('  models: {"gpt-*": gpt-5, fast: small, gpt-4: four}\n')
    assert [(plan.upstream, plan.model) for plan in chosen(route, asked(model=asks)).plans] == [("", gets)]


def test_a_destination_without_a_model_gets_the_model_of_the_request_back() -> None:
    route = route_of("  upstreams: [{model: new}, {upstream: spare, priority: 1}]\n")
    assert [(plan.upstream, plan.model) for plan in chosen(route).plans] == [("", "new"), ("spare", "m")]


def test_a_duty_decides_before_a_route() -> None:
    plan = Plan("eu", parameters={"n": 1}, reason="budget", priority=3)
    (first,) = chosen(CANARY, asked(plan=plan)).plans
    assert (first.upstream, first.parameters, first.reason) == ("eu", {"n": 1}, "budget; route of the policy `p`")
    models = {plan.model for plan in chosen(route_of("  models: {m: x}\n"), asked(plan=Plan(model="y"))).plans}
    assert models == {"y"}


@pytest.mark.parametrize(
    ("more", "measures", "is_simple"),
    [
        ("", {}, True),
        ("", {"chars": 2001}, False),
        ("", {"messages": 5}, False),
        ("", {"tools": 1}, False),
        (", tools: true", {"tools": 1}, True),
        ("", {"code": 1}, False),
        ("", {"chars": 2000}, True),
        (", code: true", {"code": 1}, True),
        ("", {"media": 1}, False),
        (", when: request.max_tokens < 10", {}, True),
        (", when: request.max_tokens < 9", {}, False),
        (", messages: 9, chars: 9", {"messages": 9, "chars": 9}, True),
    ],
)
def test_which_requests_are_simple(more: str, measures: dict[str, int], is_simple: bool) -> None:
    route = route_of(f"  upstreams: [{{upstream: main}}]\n  simple: {{upstream: cheap{more}}}\n")
    choice = chosen(route, asked(measures=lambda most_chars, asks: MEASURES | measures))
    assert choice.is_simple is is_simple
    assert [plan.upstream for plan in choice.plans] == (["cheap", "main"] if is_simple else ["main"])


PROVE = RequestFeatures(["prove"], bytes([100, *[0] * (FEATURES - 1)]), (-2.0, 0.05, *[0.0] * (FEATURES - 1)))
HARD = {f"feature_{number}": 100_000 if number == 1 else 0 for number in range(1, FEATURES + 1)}
TURNED = f", difficulty: {{most: 0.5, weights: [2, {', '.join(['-0.05', *['0'] * (FEATURES - 1)])}]}}"


@pytest.mark.parametrize(
    ("more", "measures", "model", "is_simple"),
    [
        (", difficulty: 0.5", HARD, PROVE, False),
        (", difficulty: 0.5", dict.fromkeys(HARD, 0), PROVE, True),
        (", difficulty: 0.1", dict.fromkeys(HARD, 0), PROVE, False),
        (", difficulty: 0.99", HARD, PROVE, True),
        (", difficulty: 0.99", {}, PROVE, False),
        (", difficulty: 0.99", HARD, None, False),
        (", difficulty: 1", HARD, None, True),
        (TURNED, HARD, PROVE, True),
        (TURNED, dict.fromkeys(HARD, 0), PROVE, False),
        (", difficulty: 0.5", dict.fromkeys(HARD, 0) | {"chars": 49_999}, PROVE, True),
        (", difficulty: 0.5, chars: 9", dict.fromkeys(HARD, 0), PROVE, False),
    ],
)
def test_the_difficulty_decides_by_the_words(
    more: str, measures: dict[str, int], model: RequestFeatures | None, is_simple: bool
) -> None:
    route = route_of(f"  upstreams: [{{upstream: main}}]\n  simple: {{upstream: cheap{more}}}\n")
    asks: list[bool] = []

    def measure(most_chars: int, is_asked: bool) -> dict[str, int]:
        asks.append(is_asked)
        return MEASURES | measures

    assert chosen(route, asked(measures=measure, difficulty=model)).is_simple is is_simple
    assert asks == [True]


@pytest.mark.parametrize(
    ("messages", "word"),
    [
        ([{"role": "user", "content": "prove"}], True),
        (
            [
                {"role": "user", "content": "prove"},
                {"role": "assistant", "content": "a"},
                {"role": "user", "content": "b"},
            ],
            False,
        ),
        ([{"role": "system", "content": "prove"}, {"role": "user", "content": "b"}], False),
        ([{"role": "user", "content": [{"type": "text", "text": "prove"}, {"type": "text", "text": "prove"}]}], True),
        ([{"role": "user", "content": "b"}, {"role": "assistant", "content": "prove"}], None),
    ],
)
def test_what_the_user_said_last_is_what_is_asked(messages: list[dict[str, Any]], word: bool | None) -> None:
    codec = installed().codec_for(CHAT)
    assert codec
    request = codec.read_request("/v1/chat/completions", "", json.dumps({"model": "m", "messages": messages}).encode())
    statement = statement_of(request.frame.tree, codec.contract.statements)
    found = measured(request.events(), statement, 99, PROVE)
    assert {name: found[name] for name in found if name in HARD} == (
        {} if word is None else HARD if word else dict.fromkeys(HARD, 0)
    )
    assert HARD.keys().isdisjoint(measured(request.events(), statement, 99)), "no model, no features"
    assert HARD.keys().isdisjoint(measured(request.events(), statement, 0, PROVE)), "it cannot be simple"


def test_a_simple_request_goes_elsewhere_if_its_destination_cannot_be_asked() -> None:
    route = route_of("  upstreams: [{upstream: main}, {upstream: cheap, priority: 1}]\n  simple: {upstream: cheap}\n")
    assert upstreams(route) == ["cheap", "main"], "each destination once"
    choice = chosen(route, asked(unavailable=("cheap",)))
    assert ([plan.upstream for plan in choice.plans], choice.is_simple) == (["main", "cheap"], False)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"messages": [{"role": "user", "content": "hello"}]}, MEASURES | {"chars": 5}),
        ({"messages": [{"role": "user", "content": "a\n  import os"}]}, MEASURES | {"chars": 13, "code": 1}),
        (
            {
                "messages": [{"role": "system", "content": "be"}, {"role": "user", "content": "so"}],
                "tools": [{"type": "function", "function": {"name": "f", "description": "long " * 9}}],
            },
            MEASURES | {"chars": 4, "messages": 2, "tools": 1},
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": PNG}}]}]},
            MEASURES | {"chars": 0, "media": 1},
        ),
    ],
)
def test_what_a_request_measures(body: dict[str, Any], expected: dict[str, int]) -> None:
    codec = installed().codec_for(CHAT)
    assert codec
    request = codec.read_request("/v1/chat/completions", "", json.dumps({"model": "m", **body}).encode())
    statement = statement_of(request.frame.tree, codec.contract.statements)
    assert measured(request.events(), statement, 99) == expected
    if expected["chars"]:
        unsearched = {name: count for name, count in expected.items() if name != "code"}
        assert measured(request.events(), statement, expected["chars"] - 1) == unsearched


# In the exchange.


def play(route: str, *plans: Plan, text: str = "a falcon", where: str = CHAT, watch: str = WATCH, **more: Any) -> Play:
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": text}]}
    played = Play(policy_set(f"policy: p{watch}route:\n{route}"), where)
    played.tell(RequestReceived(json.dumps(body).encode(), plans=plans, **more))
    played.scan()
    return played


def sent(played: Play) -> list[SendUpstream]:
    return [command for command in played.done if isinstance(command, SendUpstream)]


@pytest.mark.parametrize("where", [CHAT, MESSAGES])
def test_a_request_goes_where_the_route_says(where: str) -> None:
    played = play("  {upstreams: [{upstream: eu, model: small}]}\n", where=where)
    assert (sent(played)[0].target, played.upstream["model"]) == ("eu", "small")
    assert "falcon" not in str(played.upstream), "edits are in the routed body"


@pytest.mark.parametrize("watch", [WATCH, "\n"], ids=["read", "unread"])
def test_a_simple_request_is_recorded_with_what_it_saved(watch: str) -> None:
    route = f"  {{models: {{m: big}}, {SIMPLE}}}\n"
    played = play(route, text="hi", watch=watch)
    assert (sent(played)[0].target, played.upstream["model"]) == ("cheap", "nano")
    (route_seen,) = answered(played, whole("hello", usage=(100, 50))).record["routing"]
    assert route_seen == {
        **{"policy": "p", "mode": "enforce", "upstream": "cheap", "model": "nano", "next": ["- big"], "simple": True},
        **{"measures": MEASURES | {"chars": 2}, "saved": (100 * 1 + 50 * 10) / 1e6},
    }
    assert played.record["plan"]["reason"] == "route of the policy `p`: a simple request"


def answered(played: Play, data: bytes, status: int = 200) -> Play:
    for event in (ResponseStarted(status, "application/json"), DataReceived(data), ResponseEnded()):
        played.tell(event)
        played.scan()
    return played


@pytest.mark.parametrize(("text", "upstream"), [("a falcon", "cheap"), ("prove it, falcon", "")])
def test_the_record_keeps_the_features_and_a_replay_takes_them(text: str, upstream: str) -> None:
    route = "  {models: {m: big}, simple: {upstream: cheap, difficulty: 0.5}}\n"
    policies = replace(policy_set(f"policy: p{WATCH}route:\n{route}"), difficulty=PROVE)
    played = Play(policies, CHAT).ask({"model": "m", "messages": [{"role": "user", "content": text}]})
    played.scan()
    assert sent(played)[0].target == upstream
    record = answered(played, whole("hello")).record
    assert HARD.keys() <= record["routing"][0]["measures"].keys()
    assert not replay(record, policies).differences
    masked = replace(policies, difficulty=RequestFeatures(["it"], bytes(FEATURES), PROVE.weights))
    assert not replay(record, masked).differences, "the features come from the record"


@pytest.mark.parametrize("status", [200, 400])
def test_only_an_answer_saves(status: int) -> None:
    played = answered(play(f"  {{{SIMPLE}}}\n", text="hi"), whole("hello"), status)
    assert ("saved" in played.record["routing"][0]) is (status == 200)


def test_a_route_in_shadow_mode_is_recorded_and_changes_nothing() -> None:
    played = play(f"  {{{SIMPLE}}}\nmode: shadow\n", text="hi")
    assert (sent(played)[0].target, played.upstream["model"]) == ("", "m")
    record = answered(played, whole("hello", usage=(1, 1))).record
    (route,) = record["routing"]
    assert (route["mode"], route["upstream"], route["saved"], "plan" in record) == ("shadow", "cheap", 11e-6, False)


def test_the_first_enforced_route_decides_in_the_order_of_the_names_of_policies() -> None:
    texts = [
        f"policy: {name}\nmode: {mode}\nroute: {{upstreams: [{{upstream: {name}}}]}}\n"
        for name, mode in (("d", "enforce"), ("c", "shadow"), ("b", "enforce"), ("a", "shadow"))
    ]
    played = Play(policy_set(*texts)).ask({"model": "m", "messages": [{"role": "user", "content": "hi"}]})
    assert sent(played)[0].target == "b"
    record = answered(played, whole("hello")).record
    assert [(route["policy"], route["mode"]) for route in record["routing"]] == [
        ("a", "shadow"),
        ("b", "enforce"),
        ("c", "shadow"),
    ]


@pytest.mark.parametrize("plan", [UNPLANNED, Plan(model="own", reason="duty")])
def test_a_record_replays_to_the_same_route(plan: Plan) -> None:
    """The value is longer than its placeholder, so the request is simple only by what the record says of it."""
    rules = WATCH.replace("[falcon]", f"[{'falcon' * 9}]")
    route = f"  {{upstreams: [{{upstream: a}}, {{upstream: b}}], sticky: none, {SIMPLE.replace('20', '40')}}}\n"
    text, policies = f"a {'falcon' * 9}", policy_set(f"policy: p{rules}route:\n{route}")
    played = answered(play(route, plan, text=text, watch=rules, unavailable=("a",)), whole("hello"))
    record = played.finish.record
    assert (record.routing[0].simple, record.routing[0].upstream) == (False, "b")
    assert replay(record, policies).verdict == "identical"
    other = policy_set(f"policy: p{rules}route: {{upstreams: [{{upstream: c}}]}}\n")
    assert any(line.startswith("routes: p (enforce) to b") for line in replay(record, other).differences)
    gone = replay(record, policy_set(f"policy: p{rules}"))
    assert [line for line in gone.differences if line.startswith("routes")]


def test_conditions_of_a_policy_select_its_route() -> None:
    match = "\nmatch: {models: [other]}" + WATCH
    assert sent(play("  {upstreams: [{upstream: eu}]}\n", watch=match))[0].target == ""
    assert sent(play("  {upstreams: [{upstream: eu}]}\n", watch=match.replace("other", "m")))[0].target == "eu"


def test_a_stream_goes_where_the_route_says() -> None:
    played = play("  {upstreams: [{upstream: eu}]}\n")
    record = played.stream(chat_frames([{"content": "a falcon"}])).record
    assert (record["plan"]["upstream"], record["outcome"]) == ("eu", "answered")
