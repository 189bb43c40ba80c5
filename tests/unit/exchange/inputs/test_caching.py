"""What an exchange looks for in the cache, and which of its answers may be stored."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardproxy.decisions import Plan
from guardproxy.exchange import Exchange, Keys, RequestReceived, ResponseEnded, ResponseStarted, caching
from guardproxy.exchange.inputs.caching import CachedQuestion, _without
from guardproxy.exchange.inputs.transcript import DataReceived
from guardproxy.policy import PolicySet
from guardproxy.policy.sections import CacheSection
from tests.kit.play import CHAT, KEYS, Play, chat_frames, chat_texts, policy_set, setting

CACHE = "policy: saving\ncache: {mode: exact}\n"
GUARD = """\
policy: guard
checks:
  word: {use: pattern, words: [falcon]}
  bad: {use: pattern, words: [forbidden]}
rules:
  - {id: words, on: request, when: word, action: redact, restore: true}
  - {id: bad, on: response, when: bad, action: retry, attempts: 1}
  - {id: watch, on: response, when: word, action: flag}
"""
SEALED = Keys(KEYS.mint, KEYS.hashed, lambda data: data.decode("utf-8", "replace"))


def body(text: str = "hi", **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": text}], **more}


def exchange(policies: PolicySet, tree: Any, *plans: Plan, route: str = CHAT, **more: Any) -> Exchange:
    """An exchange whose request was sent."""
    asked = Exchange(setting(policies, route, keys=SEALED, **more))
    play = Play(policies)
    play.exchange = asked
    play.ask(tree, *plans)
    return asked


def query(tree: Any, *policies: str, plans: tuple[Plan, ...] = (), **more: Any) -> caching.CacheQuery | None:
    return exchange(policy_set(*policies or (CACHE, GUARD)), tree, *plans, **more).cache


def key(tree: Any, *policies: str, plans: tuple[Plan, ...] = (), **more: Any) -> str:
    found = query(tree, *policies, plans=plans, **more)
    assert found is not None
    return found.key


def test_a_query_says_what_policies_allow() -> None:
    found = query(body())
    assert found is not None
    assert (found.match, found.section) == ("exact", CacheSection("exact"))
    assert (found.policies, found.is_enforced, found.is_streamed) == (("saving",), True, False)
    assert (found.offers_tools, found.media_type) == (False, "application/json")
    streamed = query(body(stream=True, tools=[{"type": "function", "function": {"name": "look"}}]))
    assert streamed is not None
    assert (streamed.is_streamed, streamed.offers_tools, streamed.media_type) == (True, True, "text/event-stream")


def test_the_key_is_of_the_request_as_it_goes_upstream() -> None:
    assert key(body()) == key(body(stream=True))
    assert "falcon" not in key(body("a falcon"))
    keys = [
        key(body()),
        key(body("hi.")),
        key(body(seed=1)),
        key(body(stream=True, stream_options={"include_usage": True})),
        key(body(), tenant="other"),
        key(body(), plans=(Plan("backup"),)),
        key(body(), plans=(Plan(model="n"),)),
        key(body(), CACHE, GUARD, "policy: set\nset: {seed: 7}\n"),
        key(body(), route="POST /openai/v1/chat/completions"),
        key(body(), query="api-version=2024-10-21"),
        key(body("a falcon")),
    ]
    assert len(set(keys)) == len(keys)


A, B, C, LONE, OTHER = (
    dict[str, Any](tenant=client, tenant_name=name)
    for client, name in (("a", "acme"), ("b", "acme"), ("c", "globex"), ("d", ""), ("e", ""))
)


@pytest.mark.parametrize(
    ("scope", "sharing"),
    [
        ("", [A, B, C, LONE, OTHER]),
        (", scope: client", [A, B, C, LONE, OTHER]),
        (", scope: tenant", [A, C, LONE, OTHER]),
        (", scope: all", [A]),
    ],
)
def test_clients_share_answers_as_far_as_the_scope_says(scope: str, sharing: list[dict[str, Any]]) -> None:
    """Each of the first clients has a place of its own. Two tenants share only with `all`."""
    cache = f"policy: saving\ncache: {{mode: exact{scope}}}\n"
    keys = [key(body(), cache, **client) for client in (A, B, C, LONE, OTHER)]
    assert len(set(keys)) == len(sharing)
    assert len({key(body(), cache, **client) for client in sharing}) == len(sharing)
    assert (keys[0] == keys[1]) == (scope in (", scope: tenant", ", scope: all"))


def test_the_place_of_an_answer_for_a_client_is_that_of_earlier_releases() -> None:
    assert key(body(), CACHE, **A).startswith('["cache", "exact", "a", ')
    assert key(body(), CACHE, tenant="").startswith('["cache", "exact", "", ')


def test_similar_questions_of_a_tenant_share_an_answer() -> None:
    cache = "policy: saving\ncache: {mode: semantic, scope: tenant}\n"
    asked = [
        key(body(text), cache, GUARD, **client) for text, client in (("Hello, what is it?", A), ("what is it?", B))
    ]
    assert asked[0] == asked[1] != key(body("what is it?"), cache, GUARD, **C)


@pytest.mark.parametrize(
    ("route", "members", "is_shared"),
    [
        (CHAT, {}, True),
        (CHAT, {"store": False}, True),
        (CHAT, {"store": True}, False),
        ("POST /v1/responses", {}, False),
        ("POST /v1/responses", {"store": None}, False),
        ("POST /openai/v1/responses", {}, False),
        ("POST /v1/responses", {"store": False}, True),
    ],
)
def test_an_answer_that_the_provider_stores_stays_with_its_client(
    route: str, members: dict[str, Any], is_shared: bool
) -> None:
    cache = "policy: saving\ncache: {mode: exact, scope: all}\n"
    tree = body(**members) if route == CHAT else {"model": "m", "input": "hi", **members}
    assert (key(tree, cache, route=route, **A) == key(tree, cache, route=route, **C)) is is_shared


def test_policies_in_shadow_mode_only_look() -> None:
    shadow = CACHE + "mode: shadow\n"
    found = query(body(), shadow)
    assert found is not None
    assert not found.is_enforced
    both = query(body(), CACHE, "policy: also\nmode: shadow\ncache: {mode: none}\n")
    assert both is not None
    assert (both.is_enforced, both.policies) == (True, ("saving",))
    assert query(body(), shadow, "policy: also\ncache: {mode: none}\n") is None
    assert query(body(), GUARD) is None


def test_a_request_whose_provider_keeps_its_state_is_not_looked_for() -> None:
    assert query({"model": "m", "input": "hi", "conversation": "conv_1"}, route="POST /v1/responses") is None
    assert query({"model": "m", "input": "hi", "conversation": None}, route="POST /v1/responses") is not None
    asked = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}], "container": "c1"}
    assert query(asked, route="POST /v1/messages") is None


def test_requests_that_no_model_answers_are_looked_for_too() -> None:
    found = query({"model": "m", "input": "hi"}, "policy: p\ncache: {mode: semantic}\n", route="POST /v1/embeddings")
    assert found is not None
    assert found.match == "exact"


SEMANTIC = "policy: saving\ncache: {mode: semantic}\n"


def test_the_last_question_may_be_worded_differently() -> None:
    def worded(text: str, *earlier: str, policies: tuple[str, ...] = (SEMANTIC, GUARD)) -> str:
        messages = [{"role": "user", "content": words} for words in (*earlier, text)]
        found = query({"model": "m", "messages": messages}, *policies)
        assert found is not None
        assert found.match == ("semantic" if policies[0] == SEMANTIC else "exact")
        return found.key

    first = worded("What is the capital of Kenya?")
    assert first == worded("Hello, can you tell me what the capital of Kenya is?")
    assert first != worded("What is the capital of Ghana?")
    assert first != worded("What is the capital of Kenya?", policies=(CACHE, GUARD))
    assert worded("Why?", "Rain falls.") == worded("why?", "Rain falls.")
    assert worded("Why?", "Rain falls.") != worded("Why?", "rain falls.")
    assert worded("Who is falcon?") == worded("who is falcon?")
    assert "falcon" not in worded("Who is falcon?")


def question(text: str = "How do I get a refund?", *policies: str, **more: Any) -> CachedQuestion | None:
    """The question of a request that models may compare with others. `members`: of the body."""
    members = more.pop("members", {})
    found = query(body(text, **members), *policies or (SEMANTIC, GUARD), **more)
    assert found is not None
    return found.question


def test_questions_are_compared_where_all_else_is_equal() -> None:
    first, second = question(), question("What is the way to get a refund?")
    assert first is not None
    assert second is not None
    assert (first.partition, first.holder) == (second.partition, second.holder)
    assert first.text != second.text
    is_same = first.particulars(lambda word, other: 0.0)
    assert is_same(second)
    assert not is_same(first.worded("How do I get no refund?"))
    assert not is_same(first.worded("How do I get a discount?"))
    assert first.particulars(lambda word, other: 1.0)(first.worded("How do I get a discount?"))
    assert first.worded("Hello, how do I get it? Thanks!").asked == "how do I get it?"
    streamed = question(members={"stream": True})
    assert streamed is not None
    assert streamed.partition == first.partition
    others = [
        question("How do I get 2 refunds?"),
        question("How do I get no refund?"),
        question(members={"temperature": 0.5}),
        question(members={"tools": []}),
        question(members={"model": "other"}),
        question(tenant="other"),
        question(plans=(Plan("backup"),)),
        question(query="api-version=2024-10-21"),
    ]
    places = [found.partition for found in others if found is not None]
    assert len({first.partition, *places}) == len(others) + 1


def test_earlier_turns_and_the_system_prompt_are_of_the_partition() -> None:
    def partition(*messages: tuple[str, str]) -> str:
        turns = [{"role": role, "content": text} for role, text in messages]
        found = query({"model": "m", "messages": turns}, SEMANTIC, GUARD)
        assert found is not None
        assert found.question is not None
        return found.question.partition

    last = ("user", "How do I get it back?")
    told = [
        partition(last),
        partition(("system", "be kind"), last),
        partition(("system", "be rude"), last),
        partition(("user", "I lost it"), last),
        partition(("user", "I lost it"), ("assistant", "oh"), last),
    ]
    assert len(set(told)) == len(told)
    assert told[1] == partition(("system", "be kind"), ("user", "Can you tell me how to get it back?"))


def test_the_question_is_that_which_goes_upstream() -> None:
    found = question("How do I get a falcon back?")
    assert found is not None
    assert "falcon" not in found.text
    assert "falcon" not in found.partition


@pytest.mark.parametrize(
    "text", ["Wie bekomme ich mein Geld zurück?", "How do you say it in German?", "refund", "a `b` is it"]
)
def test_other_texts_are_compared_by_words_alone(text: str) -> None:
    assert question(text) is None


def test_an_exact_cache_compares_no_questions() -> None:
    assert question("How do I get a refund?", CACHE, GUARD) is None


def test_clients_compare_with_the_questions_of_their_scope() -> None:
    shared = "policy: saving\ncache: {mode: semantic, scope: tenant}\n"
    found = {
        scope: [question("How do I get it?", policy, GUARD, **client) for client in (A, B, C)]
        for scope, policy in (("client", SEMANTIC), ("tenant", shared))
    }
    places = {
        scope: [asked.partition for asked in questions if asked is not None] for scope, questions in found.items()
    }
    assert len(set(places["client"])) == 3
    assert places["tenant"][0] == places["tenant"][1] != places["tenant"][2]


def test_a_query_names_the_owner_whose_texts_policies_seal() -> None:
    sealing = GUARD + "audit: {keep: sealed, subject: user}\n"
    found = query(body(user="ann"), SEMANTIC, sealing)
    assert found is not None
    assert found.owner is not None
    assert (found.owner.kind, found.owner.name) == ("subject", "ann")
    plain = query(body(user="ann"), SEMANTIC, GUARD)
    assert plain is not None
    assert plain.owner is None


@pytest.mark.parametrize(
    ("tree", "policies"),
    [
        pytest.param(body(), (SEMANTIC,), id="no rule reads it"),
        pytest.param(
            {"model": "m", "messages": [{"role": "system", "content": "be kind"}]}, (SEMANTIC, GUARD), id="none"
        ),
        pytest.param(body(), (SEMANTIC, GUARD, "policy: set\nset: {messages.*.content: hm}\n"), id="set by a policy"),
    ],
)
def test_a_request_without_a_last_question_is_compared_exactly(tree: Any, policies: tuple[str, ...]) -> None:
    found = query(tree, *policies)
    assert found is not None
    assert found.match == "exact"


def test_a_text_that_a_policy_removed_is_no_question() -> None:
    asked = {"model": "m", "input": "hi", "instructions": "be kind", "metadata": {"note": "x"}}
    found = query(asked, SEMANTIC, GUARD, route="POST /v1/responses")
    assert found is not None
    assert found.match == "semantic"
    assert _without({"a": [{"b": 1}]}, ("a", 0, "b")) is None
    assert _without({"a": []}, ("a", 0)) is None
    assert _without({"a": ["x", "y"]}, ("a", 1)) == ("y", {"a": ["x", ""]})


ANSWER = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}]}


def answered(tree: Any, answer: Any, *policies: str, status: int = 200, **more: Any) -> Play:
    play = Play(policy_set(*policies or (CACHE, GUARD)))
    play.exchange = Exchange(setting(play.policies, keys=SEALED, **more))
    play.ask(tree)
    if isinstance(answer, list):
        return play.stream(answer)
    for event in (
        ResponseStarted(status, "application/json"),
        DataReceived(json.dumps(answer).encode()),
        ResponseEnded(),
    ):
        play.tell(event)
        play.scan()
    return play


def is_stored(play: Play) -> bool:
    return play.exchange.stored_answer(b"bytes", 5.0) is not None


def with_finish(reason: str | None) -> dict[str, Any]:
    (choice,) = ANSWER["choices"]
    return {"choices": [{**choice, "finish_reason": reason}]}


def test_a_whole_answer_is_stored_as_the_upstream_gave_it() -> None:
    stored = answered(body(), ANSWER).exchange.stored_answer(b"bytes", 5.0)
    assert stored is not None
    assert (stored.source, stored.body, stored.at_s) == ("id", b"bytes", 5.0)
    assert (stored.streamed, stored.media_type) == (False, "application/json")
    streamed = answered(body(stream=True), chat_frames([{"content": "yes"}])).exchange.stored_answer(b"", 5.0)
    assert streamed is not None
    assert (streamed.streamed, streamed.media_type) == (True, "text/event-stream")


@pytest.mark.parametrize("reason", ["length", "content_filter", None])
def test_an_answer_that_the_model_did_not_end_is_not_stored(reason: str | None) -> None:
    assert not is_stored(answered(body(), with_finish(reason)))


def test_answers_of_another_status_and_without_a_section_are_not_stored() -> None:
    assert not is_stored(answered(body(), {"error": {"message": "no"}}, status=500))
    assert not is_stored(answered(body(), ANSWER, GUARD))
    assert is_stored(answered(body(), ANSWER))


def said(text: str) -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]}


def test_a_rule_that_only_flags_lets_an_answer_be_stored() -> None:
    assert is_stored(answered(body(), said("a falcon")))
    hides = GUARD + "  - {id: hide, on: response, when: word, action: redact}\n"
    assert not is_stored(answered(body(), said("a falcon"), CACHE, hides))
    assert is_stored(answered(body(), said("an eagle"), CACHE, hides))
    assert is_stored(answered(body(), said("a falcon"), CACHE, hides + "mode: shadow\n"))


def test_the_answer_of_a_second_attempt_is_not_stored() -> None:
    play = answered(body(), said("forbidden"))
    assert play.exchange.attempt == 1
    assert not is_stored(play)
    play.tell(ResponseStarted(200, "application/json"))
    play.tell(DataReceived(json.dumps(ANSWER).encode()))
    play.tell(ResponseEnded())
    play.scan()
    assert play.finish.outcome == "answered"
    assert not is_stored(play)


CALL = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
CALLING = {
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": None, "tool_calls": [CALL]},
            "finish_reason": "tool_calls",
        }
    ]
}


def test_calls_of_tools_are_stored_only_if_asked_for() -> None:
    tools = [{"type": "function", "function": {"name": "look"}}]
    assert not is_stored(answered(body(tools=tools), CALLING))
    assert is_stored(answered(body(tools=tools), ANSWER))
    assert is_stored(answered(body(tools=tools), CALLING, CACHE.replace("exact", "exact, tools: true"), GUARD))
    assert not is_stored(answered(body(tools=tools), ANSWER, CACHE)), "no rule reads it"
    assert is_stored(answered(body(), ANSWER, CACHE))


def test_what_a_tool_of_the_provider_found_is_stored_only_if_asked_for() -> None:
    part = {"type": "output_text", "text": "yes", "annotations": []}
    said = {"status": "completed", "output": [{"type": "message", "role": "assistant", "content": [part]}]}
    searching = {"model": "m", "input": "hi", "tools": [{"type": "web_search"}]}
    responses = "POST /v1/responses"
    assert is_stored(answered({"model": "m", "input": "hi"}, said, route=responses))
    assert not is_stored(answered(searching, said, route=responses))
    assert is_stored(answered(searching, said, CACHE.replace("exact", "exact, tools: true"), GUARD, route=responses))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(("a ", "fal", "con", "forbid", "den", " eagle")), max_size=6), st.data())
def test_a_warm_exchange_says_and_decides_what_a_cold_one_did(pieces: list[str], data: st.DataObject) -> None:
    """However the answer came the first time, and though it comes in one piece the second time."""
    frames = chat_frames([{"content": piece} for piece in pieces])
    whole = b"".join(frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    chunks = [whole[low:high] for low, high in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    policies = policy_set(CACHE, GUARD.replace("action: retry, attempts: 1", "action: block"))

    def played(parts: list[bytes]) -> Play:
        play = Play(policies)
        play.exchange = Exchange(setting(policies, keys=SEALED, engine="test"))
        return play.ask(body("a falcon", stream=True)).stream(parts)

    cold = played(chunks)
    stored = cold.exchange.stored_answer(whole, 1.0)
    assert (stored is not None) == (cold.finish.outcome == "answered")
    warm = played([whole])
    assert chat_texts(warm.client) == chat_texts(cold.client)
    assert warm.record == cold.record


def test_what_the_cache_had_is_recorded() -> None:
    from guardproxy.audit.record import RecordedCache

    told = RecordedCache(result="miss", match="exact", mode="enforce", policies=("saving",))
    play = Play(policy_set(CACHE))
    play.tell(RequestReceived(json.dumps(body()).encode()))
    play.tell(ResponseStarted(200, "application/json", 0.0, told))
    play.tell(DataReceived(json.dumps(ANSWER).encode()))
    play.tell(ResponseEnded())
    assert play.finish.record.cache == told
    assert not play.finish.record.is_from_cache
