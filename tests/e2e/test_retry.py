"""Structured output through the official SDKs, in front of a model that is wrong 0, 1, 2 and n times."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import anthropic
import openai
import pytest
from pydantic import BaseModel, ConfigDict

from guardproxy.demo.script import Reply, ToolCall
from tests.e2e.answers import Answers, arguments
from tests.e2e.rig import Proxy, serve

RETRY = """\
policy: shapes
checks:
  shape: {use: json_schema, schema: from_request}
  card: {use: pii, entities: [CREDIT_CARD]}
rules:
  - {id: right-shape, on: response, when: shape, action: retry, attempts: 2, then: block, message: no usable answer}
  - id: no-cards
    on: response
    when: card
    action: retry
    attempts: 1
    template: Your answer contained a card number; answer again without it.
"""
CARD = "4111 1111 " + "1111 1111"


class Person(BaseModel):
    """What the model is asked for."""

    model_config = ConfigDict(extra="forbid")
    name: str
    age: int
    mood: Literal["calm", "cross"]


RIGHT = '{"name": "Mara", "age": 41, "mood": "calm"}'
WRONG = [
    'Sure! {"name": "Mara"}',
    '{"name": "Mara", "age": "41", "mood": "calm"}',
    '{"name": "Mara", "age": 41, "mood": "calm", "height": 5}',
    '{"name": "Mara", "age": 41, "mood": "sad"}',
    '{"name": "Mara", "age": 41}',
    '{"name": "Mara", "age": 4',
]
TOOL = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "maximum": 7}},
    "required": ["city"],
    "additionalProperties": False,
}
ASK: Any = [{"role": "user", "content": "Who lives there?"}]


@pytest.fixture(scope="module")
def model() -> Iterator[Answers]:
    running = Answers()
    yield running
    running.close()


@pytest.fixture(scope="module")
def proxy(model: Answers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    proxy = serve(model.url, tmp_path_factory.mktemp("retry"), RETRY)
    yield proxy
    proxy.stop()


@pytest.fixture
def chat(proxy: Proxy, openai_at: Callable[[str], openai.OpenAI]) -> openai.OpenAI:
    return openai_at(proxy.url)


@pytest.fixture
def claude(proxy: Proxy, anthropic_at: Callable[[str], anthropic.Anthropic]) -> anthropic.Anthropic:
    return anthropic_at(proxy.url)


def parsed(client: openai.OpenAI, *, stream: bool) -> Person | None:
    """A person by the SDK's helper."""
    if not stream:
        said = client.chat.completions.parse(model="m", messages=ASK, response_format=Person)
        return said.choices[0].message.parsed
    with client.chat.completions.stream(model="m", messages=ASK, response_format=Person) as events:
        for _ in events:
            pass
        return events.get_final_completion().choices[0].message.parsed


def parsed_by_claude(client: anthropic.Anthropic, *, stream: bool) -> Person | None:
    if not stream:
        said = client.messages.parse(model="m", max_tokens=200, messages=ASK, output_format=Person)
        return said.parsed_output
    with client.messages.stream(model="m", max_tokens=200, messages=ASK, output_format=Person) as events:
        for _ in events:
            pass
        return events.get_final_message().parsed_output


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("wrong", [0, 1, 2])
@pytest.mark.parametrize("first", range(len(WRONG)))
def test_a_wrong_answer_is_corrected(
    model: Answers, chat: openai.OpenAI, proxy: Proxy, stream: bool, wrong: int, first: int
) -> None:
    before = WRONG[first:] + WRONG[:first]
    model.will_say(*before[:wrong], RIGHT)
    assert parsed(chat, stream=stream) == Person(name="Mara", age=41, mood="calm")
    assert len(model.bodies) == wrong + 1
    record = proxy.records()[-1]
    assert record["outcome"] == "answered"
    assert [one["decision"] for one in record.get("attempts", [])] == ["retry"] * wrong + ["answered"] * bool(wrong)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("wrong", [0, 1, 2])
def test_claude_is_corrected(
    model: Answers, claude: anthropic.Anthropic, stream: bool, wrong: int
) -> None:
    model.will_say(*WRONG[:wrong], RIGHT)
    assert parsed_by_claude(claude, stream=stream) == Person(name="Mara", age=41, mood="calm")
    assert len(model.bodies) == wrong + 1


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_an_answer_that_is_always_wrong_never_arrives(model: Answers, chat: openai.OpenAI, stream: bool) -> None:
    model.will_say(WRONG[1])
    with pytest.raises(openai.BadRequestError) as caught:
        parsed(chat, stream=stream)
    assert caught.value.code == "content_filter"
    assert len(model.bodies) == 3


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_claude_is_always_wrong(model: Answers, claude: anthropic.Anthropic, stream: bool) -> None:
    model.will_say(WRONG[3])
    with pytest.raises(anthropic.BadRequestError, match="no usable answer"):
        parsed_by_claude(claude, stream=stream)
    assert len(model.bodies) == 3


def test_the_model_is_told_its_own_answer_and_what_is_wrong(model: Answers, chat: openai.OpenAI) -> None:
    model.will_say('{"name": "Mara", "age": "41", "mood": "sad"}', RIGHT)
    parsed(chat, stream=False)
    first, own, told = model.bodies[1]["messages"]
    assert [first] == ASK
    assert own == {"role": "assistant", "content": '{"name": "Mara", "age": "41", "mood": "sad"}'}
    assert told["role"] == "user"
    assert "at `age`: expected a whole number, found a string of 2 characters" in told["content"]
    assert 'at `mood`: expected one of "calm", "cross", found another value' in told["content"]


def call_chat(client: openai.OpenAI, *, stream: bool) -> list[tuple[str, str]]:
    tools: Any = [{"type": "function", "function": {"name": "forecast", "parameters": TOOL}}]
    if not stream:
        said = client.chat.completions.create(model="m", messages=ASK, tools=tools)
        calls = said.choices[0].message.tool_calls or []
        return [(call.function.name, call.function.arguments) for call in calls]  # type: ignore[union-attr]
    with client.chat.completions.stream(model="m", messages=ASK, tools=tools) as events:
        for _ in events:
            pass
        calls = events.get_final_completion().choices[0].message.tool_calls or []
        return [(call.function.name, call.function.arguments) for call in calls]


def call_claude(client: anthropic.Anthropic, *, stream: bool) -> list[tuple[str, Any]]:
    tools: Any = [{"name": "forecast", "input_schema": TOOL}]
    if not stream:
        said: Any = client.messages.create(model="m", max_tokens=200, messages=ASK, tools=tools)
    else:
        with client.messages.stream(model="m", max_tokens=200, messages=ASK, tools=tools) as events:
            for _ in events:
                pass
            said = events.get_final_message()
    return [(block.name, block.input) for block in said.content if block.type == "tool_use"]


BAD_CALLS = {
    "unknown tool": ToolCall("weather", arguments(city="Oslo")),
    "invented argument": ToolCall("forecast", arguments(city="Oslo", unit="C")),
    "wrong type": ToolCall("forecast", arguments(city=7)),
    "missing": ToolCall("forecast", arguments(days=3)),
    "over the limit": ToolCall("forecast", arguments(city="Oslo", days=9)),
}
GOOD_CALL = Reply(calls=(ToolCall("forecast", arguments(city="Oslo", days=3)),))


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("bad", BAD_CALLS)
def test_a_wrong_tool_call_is_corrected(model: Answers, chat: openai.OpenAI, stream: bool, bad: str) -> None:
    model.will_say(Reply(calls=(BAD_CALLS[bad],)), GOOD_CALL)
    assert call_chat(chat, stream=stream) == [("forecast", arguments(city="Oslo", days=3))]
    assert len(model.bodies) == 2


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("bad", BAD_CALLS)
def test_a_wrong_tool_call_of_claude_is_corrected(
    model: Answers, claude: anthropic.Anthropic, stream: bool, bad: str
) -> None:
    model.will_say(Reply(calls=(BAD_CALLS[bad],)), GOOD_CALL)
    assert call_claude(claude, stream=stream) == [("forecast", {"city": "Oslo", "days": 3})]
    assert len(model.bodies) == 2


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_wrong_tool_call_never_arrives(model: Answers, chat: openai.OpenAI, stream: bool) -> None:
    model.will_say(Reply(calls=(BAD_CALLS["wrong type"],)))
    with pytest.raises(openai.BadRequestError):
        call_chat(chat, stream=stream)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_any_check_can_ask_again(model: Answers, chat: openai.OpenAI, proxy: Proxy, stream: bool) -> None:
    model.will_say(f"The card is {CARD}, as you said.", "I cannot tell you that.")
    if stream:
        chunks = chat.chat.completions.create(model="m", messages=ASK, stream=True)
        said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    else:
        said = chat.chat.completions.create(model="m", messages=ASK).choices[0].message.content or ""
    assert said == "I cannot tell you that."
    assert CARD not in str(model.bodies[1])
    assert model.bodies[1]["messages"][-1]["content"] == "Your answer contained a card number; answer again without it."
    assert CARD not in str(proxy.records()[-1])
