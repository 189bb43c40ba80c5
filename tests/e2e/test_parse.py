"""What a program parses with the SDKs' own helpers stays parsable when a rule takes a value out of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any, Literal
from uuid import UUID

import anthropic
import openai
import pytest
from pydantic import AfterValidator, AnyUrl, BaseModel, Field, WithJsonSchema

from tests.e2e.rig import KEY, MAIL, Proxy, Upstream

OpenAIs = Callable[[str], openai.OpenAI]
Anthropics = Callable[[str], anthropic.Anthropic]


def _address(text: str) -> str:
    """Raises `ValueError` for what is not an address, as validators of addresses do."""
    name, _, host = text.partition("@")
    if not name.isalnum() or host.count(".") != 1 or not host.replace(".", "").isalnum():
        raise ValueError("not an address")
    return text


Address = Annotated[str, AfterValidator(_address), WithJsonSchema({"type": "string", "format": "email"})]


class Plain(BaseModel):
    """What Anthropic's helper takes: it sends no patterns, so no proxy can keep to them."""

    owner: Address
    key: str
    site: AnyUrl
    id: UUID
    kind: Literal["a", "b"]
    size: int
    others: list[Address]
    note: str


class Account(Plain):
    key: Annotated[str, Field(pattern="^AK[A-Z0-9]{18}$")]


SAID = {
    "owner": KEY,
    "key": KEY,
    "site": f"https://k.example/{KEY}",
    "id": "12345678-1234-4234-8234-123456789abc",
    "kind": "b",
    "size": 7,
    "others": [KEY, "me@example.com"],
    "note": f"the key is {KEY}",
}


def assert_sound(account: Plain | None) -> None:
    assert account
    assert KEY not in account.model_dump_json()
    assert (account.kind, account.size, account.others[1]) == ("b", 7, "me@example.com")
    assert str(account.id) == SAID["id"]
    assert account.owner.endswith("@redacted.example")
    assert account.note.startswith("the key is [")


def user(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


def test_openai_parses_an_answer(upstream: Upstream, guarding: Proxy, openai_at: OpenAIs) -> None:
    client = openai_at(guarding.url).chat.completions
    asked: dict[str, Any] = {
        "model": "scripted",
        "messages": user("echo: " + json.dumps(SAID)),
        "response_format": Account,
    }
    assert_sound(client.parse(**asked).choices[0].message.parsed)
    with client.stream(**asked) as stream:
        assert_sound(stream.get_final_completion().choices[0].message.parsed)


def test_openai_parses_tool_arguments(upstream: Upstream, guarding: Proxy, openai_at: OpenAIs) -> None:
    client = openai_at(guarding.url).chat.completions
    text = "call tool: Account " + json.dumps(SAID)
    asked: dict[str, Any] = {
        "model": "scripted",
        "messages": user(text),
        "tools": [openai.pydantic_function_tool(Account)],
    }
    calls = client.parse(**asked).choices[0].message.tool_calls or []
    assert_sound(calls[0].function.parsed_arguments)  # type: ignore[arg-type]
    with client.stream(**asked) as stream:
        calls = stream.get_final_completion().choices[0].message.tool_calls or []
    assert_sound(calls[0].function.parsed_arguments)  # type: ignore[arg-type]


def test_anthropic_parses_an_answer_and_tool_arguments(
    upstream: Upstream, guarding: Proxy, anthropic_at: Anthropics
) -> None:
    client = anthropic_at(guarding.url).messages
    asked: dict[str, Any] = {"model": "scripted", "max_tokens": 2000, "messages": user("echo: " + json.dumps(SAID))}
    assert_sound(client.parse(**asked, output_format=Plain).parsed_output)
    tools = [{"name": "Account", "description": "x", "input_schema": Account.model_json_schema()}]
    asked |= {"messages": user("call tool: Account " + json.dumps(SAID)), "tools": tools}
    assert_sound(Account.model_validate(client.create(**asked).content[0].input))
    with client.stream(**asked) as stream:
        assert_sound(Account.model_validate(stream.get_final_message().content[0].input))  # type: ignore[union-attr]


def test_where_nothing_can_stand_the_answer_is_a_refusal(
    upstream: Upstream, guarding: Proxy, openai_at: OpenAIs
) -> None:
    schema = {"type": "object", "properties": {"key": {"enum": [KEY, "none"]}}}
    asked: dict[str, Any] = {"model": "scripted", "messages": user('echo: {"key": "' + KEY + '"}')}
    asked["response_format"] = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    client = openai_at(guarding.url).chat.completions
    with pytest.raises(openai.BadRequestError, match="schema") as caught:
        client.create(**asked)
    assert KEY not in str(caught.value)
    with client.create(**asked, stream=True) as stream:
        chunks = list(stream)
    assert KEY not in str(chunks)
    assert chunks[-1].choices[0].finish_reason == "content_filter"


def test_what_a_past_call_held_is_called_with_again(
    upstream: Upstream, guarding: Proxy, anthropic_at: Anthropics
) -> None:
    """The model sees an address of the right form instead of the one that the client's tool was called with."""
    client = anthropic_at(guarding.url).messages
    tools: list[Any] = [{"name": "send", "input_schema": {"type": "object", "properties": {"to": {"format": "email"}}}}]
    history: list[Any] = [
        *user("please write"),
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "send", "input": {"to": MAIL}}]},
    ]
    result: Any = {"type": "tool_result", "tool_use_id": "t", "content": "sent"}
    client.create(
        model="scripted", max_tokens=99, tools=tools, messages=[*history, {"role": "user", "content": [result]}]
    )
    sent = json.loads(upstream.journal.all()[-1].body)["messages"][1]["content"][0]["input"]["to"]
    assert _address(sent) != MAIL
    again = "call tool: send " + json.dumps({"to": sent})
    told = client.create(model="scripted", max_tokens=99, tools=tools, messages=[*history, *user(again)])
    assert told.content[0].input == {"to": MAIL}  # type: ignore[union-attr]
