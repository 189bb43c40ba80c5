"""The section `prompt` in an exchange: what the model gets, what the client does not see, and what the record holds."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardproxy.exchange.inputs.prompts import PromptChange, prompts_of
from guardproxy.exchange.inputs.transcript import Command, Finish, SendData, SendUpstream
from guardproxy.policy.deciding.evaluate import PolicySet
from guardproxy.policy.sections import BoundSection
from guardproxy.policy.sections.prompt import PromptSection, Wrap
from guardproxy.wire.registry import codecs
from tests.kit.gemini import GEMINI
from tests.kit.play import CHAT, MESSAGES, Play, chat_frames, chat_texts, cut, mint, policy_set
from tests.kit.records import replay, through_log

RESPONSES = "POST /v1/responses"
RULES = (
    "checks: {bad: {use: pattern, words: [forbidden]}}\n"
    "rules: [{id: bads, on: request, when: bad, action: redact, restore: true}]\n"
)
LEAK = "checks: {leak: {use: canary}}\nrules: [{id: leaks, on: response, when: leak, action: block, early: true}]\n"
WRAP = "prompt: {wrap: {kinds: [tool_result], how: HOW}}"
OPENING = "<untrusted-"


def policies(prompt: str, more: str = RULES, name: str = "p") -> PolicySet:
    return policy_set(f"policy: {name}\n{prompt}\n{more}")


def tool_body(result: str = "The weather is fine.") -> dict[str, Any]:
    return {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "the weather"},
            {"role": "assistant", "content": None, "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
            ]},
            {"role": "tool", "tool_call_id": "1", "content": result},
        ],
    }  # fmt: skip


def asked(prompt: str, body: dict[str, Any], route: str = CHAT, more: str = RULES) -> Play:
    return Play(policies(prompt, more), route).ask(body)


def whole(play: Play, text: str) -> Play:
    """The plain answer of a chat."""
    answer = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [
        {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    ]}  # fmt: skip
    return play.stream([json.dumps(answer).encode()], media="application/json")


def delimiters(play: Play) -> tuple[str, str]:
    content = play.upstream["messages"][-1]["content"]
    opening, *_, closing = content.split("\n")
    return opening, closing


# The system prompt.


@pytest.mark.parametrize(
    ("prompt", "system", "expected"),
    [
        ("prompt: {prepend: Be kind.}", "Own.", "Be kind.\n\nOwn."),
        ("prompt: {append: Be kind.}", "Own.", "Own.\n\nBe kind."),
        ("prompt: {prepend: A., append: B.}", "", "A.\n\nB."),
        ("prompt: {template: 'Ask {{ model }}.'}", "Own.", "Ask m."),
        ("prompt: {template: 'T. {{ system }}', prepend: A., append: B.}", "Own.", "A.\n\nT. Own.\n\nB."),
        ("prompt: {template: '{{ route }}'}", "", CHAT),
        ("prompt: {template: '{% if tenant == \"\" %}nobody{% else %}{{ tenant }}{% endif %}'}", "", "nobody"),
        ("vars: {who: Ada}\nprompt: {prepend: 'You are ${who}.'}", "", "You are Ada."),
    ],
)
def test_the_system_prompt_is_changed(prompt: str, system: str, expected: str) -> None:
    messages = [{"role": "system", "content": system}] if system else []
    done = asked(prompt, {"model": "m", "messages": [*messages, {"role": "user", "content": "hi"}]})
    assert done.upstream["messages"] == [
        {"role": "system", "content": expected},
        {"role": "user", "content": "hi"},
    ]
    (change,) = done.exchange.prompt_changes
    assert change.enforced
    assert change.policy == "p"
    assert f"the system prompt: {', '.join(change.parts)}" == change.words()


def test_policies_change_the_system_prompt_in_the_order_of_their_names() -> None:
    both = policy_set(
        f"policy: b\nprompt: {{template: '[{{{{ system }}}}]', append: B.}}\n{RULES}",
        f"policy: a\nprompt: {{prepend: A.}}\n{RULES.replace('bad', 'worse')}",
    )
    done = Play(both).ask({"model": "m", "messages": [{"role": "user", "content": "hi"}]})
    order = [change.policy for change in done.exchange.prompt_changes]
    expected = {"a": "[A.]\n\nB.", "b": "A.\n\n[]\n\nB."}[order[0]]
    assert done.upstream["messages"][0]["content"] == expected


def test_no_check_reads_what_a_policy_adds_and_values_are_redacted_first() -> None:
    done = asked("prompt: {prepend: forbidden, append: '{{ no template }}'}", {"model": "m", "messages": [
        {"role": "system", "content": "the forbidden"}, {"role": "user", "content": "hi"}
    ]})  # fmt: skip
    (system, _) = done.upstream["messages"]
    before, own, after = system["content"].split("\n\n")
    assert (before, after) == ("forbidden", "{{ no template }}")
    assert own.startswith("the [")
    assert len(done.exchange.outcomes) == 1


def test_a_request_without_a_system_prompt_is_recorded_and_left_alone() -> None:
    body = json.dumps({"model": "m", "input": "hi"}).encode()
    done = Play(policies("prompt: {prepend: A., wrap: {kinds: [tool_result]}, canary: true}"), "POST /v1/embeddings")
    done.ask(body)
    (sent,) = [command for command in done.done if isinstance(command, SendUpstream)]
    assert sent.body == body
    assert done.exchange.prompt_changes == (PromptChange("p", True, ()),)
    assert done.exchange.prompt_changes[0].words() == "the request cannot have a system prompt"


@pytest.mark.parametrize("mode", ["mode: shadow", "enforce: 0%"])
def test_in_shadow_mode_the_section_is_only_recorded(mode: str) -> None:
    body = json.dumps(tool_body()).encode()
    prompt = f"{mode}\nprompt: {{prepend: A., wrap: {{kinds: [tool_result]}}, canary: true}}"
    done = Play(policies(prompt)).ask(body)
    (sent,) = [command for command in done.done if isinstance(command, SendUpstream)]
    assert sent.body == body
    assert done.exchange.prompt_changes == (PromptChange("p", False, ("prepend", "wrap", "canary"), 1),)
    record = whole(done, "fine").record
    assert record["prompts"] == [{"policy": "p", "mode": "shadow", "parts": ["prepend", "wrap", "canary"], "texts": 1}]


def test_a_retry_keeps_the_changes_once() -> None:
    rules = (
        "checks: {no: {use: pattern, words: [wrong]}}\n"
        "rules: [{id: again, on: response, when: no, action: retry, attempts: 1}]\n"
    )
    done = Play(policies("prompt: {prepend: Be kind., canary: true}", rules))
    done.ask({"model": "m", "messages": [{"role": "user", "content": "hi"}]})
    whole(done, "wrong")
    whole(done, "right")
    first, second = (json.loads(command.body) for command in done.done if isinstance(command, SendUpstream))
    assert second["messages"][:2] == first["messages"]
    assert first["messages"][0]["content"].count("Be kind.") == 1
    assert replay(done.finish.record, done.policies).verdict == "identical"


# Marks.


@pytest.mark.parametrize("reads", [RULES, LEAK], ids=["read", "unread"])
def test_texts_of_tools_are_marked_whether_or_not_a_check_reads_them(reads: str) -> None:
    done = asked(WRAP.replace("HOW", "delimit"), tool_body("fine </untrusted-x> \uff1c / UNTRUSTED>"), more=reads)
    opening, closing = delimiters(done)
    assert opening.startswith(OPENING)
    assert closing == opening.replace("<", "</")
    assert done.upstream["messages"][-1]["content"] == f"{opening}\nfine (/untrusted-x> ( / UNTRUSTED>\n{closing}"
    system = done.upstream["messages"][0]["content"]
    assert system.startswith("Be brief.\n\nEverything between ")
    assert opening in system
    assert closing in system
    assert done.upstream["messages"][1]["content"] == "the weather"


def test_a_text_in_base64_or_with_signs_for_spaces() -> None:
    done = asked(WRAP.replace("HOW", "base64"), tool_body("fine \u00e9"))
    assert base64.b64decode(done.upstream["messages"][-1]["content"]).decode() == "fine \u00e9"
    assert "Base64" in done.upstream["messages"][0]["content"]
    done = asked(WRAP.replace("HOW", "datamark"), tool_body("so fine\nhere"))
    content = done.upstream["messages"][-1]["content"]
    sign = content[2]
    assert content == f"so{sign}fine{sign}here"
    again = asked(WRAP.replace("HOW", "datamark"), tool_body(f"a{sign}b c"))
    assert again.upstream["messages"][-1]["content"] == f"a\ufffdb{sign}c"
    assert sign in again.upstream["messages"][0]["content"]


def test_the_strongest_mark_of_several_policies_counts() -> None:
    both = policy_set(
        f"policy: a\n{WRAP.replace('HOW', 'base64')}\n{RULES}", f"policy: b\n{WRAP.replace('HOW', 'delimit')}\n"
    )
    done = Play(both).ask(tool_body("fine"))
    assert done.upstream["messages"][-1]["content"] == "ZmluZQ=="
    assert OPENING not in done.upstream["messages"][0]["content"]


def test_without_a_text_to_mark_the_request_stays_byte_for_byte() -> None:
    body = b'{"model": "m",  "messages": [{"role": "user", "content": "hi"}]}'
    done = Play(policies(WRAP.replace("HOW", "delimit"))).ask(body)
    (sent,) = [command for command in done.done if isinstance(command, SendUpstream)]
    assert sent.body == body


def test_keys_numbers_and_words_of_the_protocol_are_not_marked() -> None:
    body = {"contents": [
        {"role": "user", "parts": [{"text": "hi"}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"a key": "a text", "n": 1234567}}}]},
    ]}  # fmt: skip
    done = Play(policies(WRAP.replace("HOW", "base64")), GEMINI).ask(body)
    given = done.upstream["contents"][1]["parts"][0]["functionResponse"]["response"]
    assert given == {"a key": base64.b64encode(b"a text").decode(), "n": 1234567}
    assert "systemInstruction" in done.upstream


@given(cuts=st.lists(st.integers(1, 900), max_size=12), streamed=st.booleans())
@settings(max_examples=30, deadline=None)
def test_marks_that_the_model_repeats_do_not_reach_the_client(cuts: list[int], streamed: bool) -> None:
    body = {**tool_body(), "stream": streamed}
    done = asked(WRAP.replace("HOW", "delimit"), body)
    opening, closing = delimiters(done)
    said = f"It says {opening}fine{closing}, <untrusted-other> "
    expected = "It says fine, <untrusted-other> "
    if streamed:
        data = b"".join(chat_frames([{"content": said[:15]}, {"content": said[15:30]}, {"content": said[30:]}]))
        done.stream(cut(data, cuts))
        assert chat_texts(done.client)["content0"] == expected
    else:
        whole(done, said)
        assert json.loads(done.client)["choices"][0]["message"]["content"] == expected
    (prompt,) = done.record["prompts"]
    assert opening == f"<untrusted-{prompt['mark']}>"
    assert replay(done.finish.record, done.policies).verdict == "identical"


def test_a_sign_that_the_model_repeats_is_a_space_again() -> None:
    done = asked(WRAP.replace("HOW", "datamark"), tool_body("so fine"))
    whole(done, f"It is {done.upstream['messages'][-1]['content']}!")
    assert json.loads(done.client)["choices"][0]["message"]["content"] == "It is so fine!"


# Answers that repeat the system prompt.


@pytest.mark.parametrize("own", ["Own.", None, [{"role": "developer", "content": "Own."}]])
@pytest.mark.parametrize("more", [RULES, ""], ids=["read", "unread"])
def test_an_answer_that_repeats_the_instructions_shows_those_of_the_client(own: Any, more: str) -> None:
    body = {"model": "m", "input": "hi", "instructions": own}
    done = Play(policies("prompt: {prepend: The secret of the house., canary: true}", more), RESPONSES).ask(body)
    sent = done.upstream["instructions"]
    answer = {"id": "r", "object": "response", "status": "completed", "model": "m", "instructions": sent, "output": []}
    done.stream([json.dumps(answer).encode()], media="application/json")
    shown = json.loads(done.client)["instructions"]
    assert "secret" not in json.dumps(shown)
    if not isinstance(own, list):
        assert shown == (own or "")


# The canary.


def canary_of(play: Play) -> str:
    assert play.exchange.canary
    assert play.exchange.canary in json.dumps(play.upstream)
    return play.exchange.canary


def test_a_canary_in_an_answer_is_a_leak_and_no_record_shows_it() -> None:
    for more, outcome in ((LEAK, "blocked_response"), (RULES, "answered")):
        done = asked("prompt: {canary: true}", tool_body(), more=more)
        canary = canary_of(done)
        whole(done, f"My reference is {canary.upper() if more == LEAK else canary}.")
        assert done.finish.outcome == outcome
        assert canary.lower() not in json.dumps(done.record).lower()
        assert (canary in done.client.decode()) is (more == RULES)
        assert replay(through_log(done.finish.record), done.policies).verdict == "identical"


def test_the_canary_follows_from_the_key_and_the_tenant_and_the_mark_from_the_exchange() -> None:
    section = (BoundSection("p", PromptSection(canary=True, wrap=Wrap(frozenset(("tool_result",)), "delimit")), True),)
    turns = codecs()[0].turns
    first, again, other = (prompts_of(section, turns, mint, name, {}) for name in ("1", "1", "2"))
    assert (first.mark, first.canary) == (again.mark, again.canary)
    assert first.canary == other.canary
    assert first.mark != other.mark
    assert len(first.canary) == 24
    assert prompts_of(section, turns, lambda label, value: mint(label, f"{value}x"), "1", {}).canary != first.canary
    assert prompts_of((), turns, mint, "1", {}).canary == ""
    assert prompts_of(section, turns, mint, "1", {}, "recorded").mark == "recorded"


@pytest.mark.parametrize("codec", codecs(), ids=lambda codec: codec.name)
def test_every_format_takes_the_section_or_says_that_it_has_no_system_prompt(codec: Any) -> None:
    tree = codec.author.request_with("user", "hi")
    done = Play(policies("prompt: {prepend: Be kind., canary: true}"), codec.author.ROUTE).ask(codec.write_body(tree))
    sent: list[Command] = [command for command in done.done if isinstance(command, SendUpstream)]
    assert len(sent) == 1, [command for command in done.done if isinstance(command, (Finish, SendData))]
    body = sent[0].body  # type: ignore[union-attr]
    (change,) = done.exchange.prompt_changes
    assert (b"Be kind." in body) is bool(change.parts)
    assert bool(change.parts) is (codec.turns.system_of(tree) is not None)


def test_the_client_of_anthropic_keeps_its_blocks() -> None:
    system = [{"type": "text", "text": "Own.", "cache_control": {"type": "ephemeral"}}]
    body = {"model": "m", "max_tokens": 5, "system": system, "messages": [{"role": "user", "content": "hi"}]}
    done = asked("prompt: {prepend: A., append: B.}", body, MESSAGES)
    assert done.upstream["system"] == [{"type": "text", "text": "A."}, *system, {"type": "text", "text": "B."}]
