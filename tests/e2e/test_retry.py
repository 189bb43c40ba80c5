"""Structured output through the official SDKs, in front of a model that is wrong 0, 1, 2 and n times."""

from __future__ import annotations

import json
import socket
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any, Literal

import anthropic
import openai
import pytest
from pydantic import BaseModel, ConfigDict

from guardproxy.demo.script import ScriptedReply
from guardproxy.library import load
from guardproxy.wire.contract.turns import Call
from tests.e2e.answers import Answers, arguments
from tests.e2e.rig import Proxy, serve
from tests.kit.records import replay

RETRY = """\
policy: shapes
checks:
  word: {use: pattern, words: [no-such-word]}
  shape: {use: json_schema, schema: from_request}
  card: {use: pii, entities: [CREDIT_CARD]}
rules:
  - {id: watch, on: request, when: word, action: flag}
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
def test_claude_is_corrected(model: Answers, claude: anthropic.Anthropic, stream: bool, wrong: int) -> None:
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
        parsed = events.get_final_completion().choices[0].message.tool_calls or []
        return [(call.function.name, call.function.arguments) for call in parsed]


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
    "unknown tool": Call("weather", arguments(city="Oslo")),
    "invented argument": Call("forecast", arguments(city="Oslo", unit="C")),
    "wrong type": Call("forecast", arguments(city=7)),
    "missing": Call("forecast", arguments(days=3)),
    "no argument at all": Call("forecast", "{}"),
    "over the limit": Call("forecast", arguments(city="Oslo", days=9)),
}
GOOD_CALL = ScriptedReply(calls=(Call("forecast", arguments(city="Oslo", days=3)),))


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("bad", BAD_CALLS)
def test_a_wrong_tool_call_is_corrected(model: Answers, chat: openai.OpenAI, stream: bool, bad: str) -> None:
    model.will_say(ScriptedReply(calls=(BAD_CALLS[bad],)), GOOD_CALL)
    assert call_chat(chat, stream=stream) == [("forecast", arguments(city="Oslo", days=3))]
    assert len(model.bodies) == 2


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("bad", BAD_CALLS)
def test_a_wrong_tool_call_of_claude_is_corrected(
    model: Answers, claude: anthropic.Anthropic, stream: bool, bad: str
) -> None:
    model.will_say(ScriptedReply(calls=(BAD_CALLS[bad],)), GOOD_CALL)
    assert call_claude(claude, stream=stream) == [("forecast", {"city": "Oslo", "days": 3})]
    assert len(model.bodies) == 2


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_wrong_tool_call_never_arrives(model: Answers, chat: openai.OpenAI, stream: bool) -> None:
    model.will_say(ScriptedReply(calls=(BAD_CALLS["wrong type"],)))
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


SHAPED = """\
policy: shaped
checks:
  word: {use: pattern, words: [no-such-word]}
  shape: {use: json_schema, schema: from_request}
rules:
  - {id: watch, on: request, when: word, action: flag}
"""
EARLY = SHAPED + "  - {id: right-shape, on: response, when: shape, action: retry, attempts: 1, early: true}\n"
FLAGGED = SHAPED + "  - {id: right-shape, on: response, when: shape, action: retry, attempts: 1, then: pass_flagged}\n"
REPAIR = """\
policy: repair
checks:
  word: {use: pattern, words: [no-such-word]}
  shape: {use: json_schema, schema: from_request, repair: true}
  mail: {use: pii, entities: [EMAIL_ADDRESS]}
rules:
  - {id: watch, on: request, when: word, action: flag}
  - {id: right-shape, on: response, when: shape, action: retry, attempts: 1}
  - {id: no-mail, on: response, when: mail, action: redact}
"""
FALLBACK = """\
policy: fallback
checks:
  word: {use: pattern, words: [no-such-word]}
  shape: {use: json_schema, schema: from_request}
rules:
  - {id: watch, on: request, when: word, action: flag}
  - id: right-shape
    on: response
    when: shape
    action: retry
    attempts: 1
    then: fallback
    fallback: {model: bigger, upstream: backup}
"""
BLOCK = """\
policy: block
checks:
  word: {use: pattern, words: [no-such-word]}
  shape: {use: json_schema, schema: from_request}
rules:
  - {id: watch, on: request, when: word, action: flag}
  - {id: right-shape, on: response, when: shape, action: block}
"""
PLACEHOLDERS = """\
policy: placeholders
checks:
  word: {use: pattern, words: [no-such-word]}
  shape: {use: json_schema, schema: from_request}
  mail: {use: pii, entities: [EMAIL_ADDRESS]}
rules:
  - {id: no-mail, on: request, when: mail, action: redact, restore: true}
  - {id: right-shape, on: response, when: shape, action: retry}
"""


@pytest.fixture
def start(tmp_path: Any, model: Answers) -> Iterator[Callable[..., Proxy]]:
    started: list[Proxy] = []

    def begin(policy: str, *options: str, upstream: str = "") -> Proxy:
        started.append(serve(upstream or model.url, tmp_path / str(len(started)), policy, *options))
        return started[-1]

    yield begin
    for proxy in started:
        proxy.stop()
    for number, proxy in enumerate(started):
        assert_replays(proxy, number, tmp_path)


def assert_replays(proxy: Proxy, number: int, folder: Any) -> None:
    """Every record of the proxy gives the same when it is run again."""
    policies = load(folder / str(number) / "policies")
    for record in proxy.records():
        assert replay(record, policies).differences == ()


def test_records_with_attempts_replay(proxy: Proxy, tmp_path: Any) -> None:
    (tmp_path / "policy.yaml").write_text(RETRY, encoding="utf-8")
    records = [record for record in proxy.records() if record.get("attempts")]
    assert records
    policies = load(tmp_path)
    for record in records:
        assert replay(record, policies).verdict == "identical", (replay(record, policies), record)


def test_the_proven_part_streams_early(model: Answers, start: Any, openai_at: Callable[[str], openai.OpenAI]) -> None:
    client = openai_at(start(EARLY).url)
    model.will_say('{"name": "Mara", "age": "old"}')
    seen: list[str] = []

    def read() -> None:
        shape = type_to_format(Person)
        chunks = client.chat.completions.create(model="m", messages=ASK, stream=True, response_format=shape)
        seen.extend(chunk.choices[0].delta.content or "" for chunk in chunks)

    with pytest.raises(openai.APIError) as caught:
        read()
    assert "".join(seen) == '{"name": "Mara", "age": '
    assert caught.value.code == "invalid_answer"
    assert len(model.bodies) == 1


def test_a_fault_at_the_first_character_is_corrected_even_so(
    model: Answers, start: Any, openai_at: Callable[[str], openai.OpenAI]
) -> None:
    model.will_say("Sure!", RIGHT)
    assert parsed(openai_at(start(EARLY).url), stream=True) == Person(name="Mara", age=41, mood="calm")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_what_cannot_be_corrected_passes_flagged(
    model: Answers, start: Any, openai_at: Callable[[str], openai.OpenAI], stream: bool
) -> None:
    proxy = start(FLAGGED)
    wrong = '{"name": "Mara", "age": "41", "mood": "calm"}'
    model.will_say(wrong)
    said = answer(openai_at(proxy.url), stream=stream)
    assert said == wrong
    assert len(model.bodies) == 2
    record = proxy.records()[-1]
    assert record["outcome"] == "answered"
    assert record["rules"] == ["right-shape"]


def answer(client: openai.OpenAI, *, stream: bool) -> str:
    """The text of an answer that should be a person."""
    shape = type_to_format(Person)
    if not stream:
        said = client.chat.completions.create(model="m", messages=ASK, response_format=shape)
        return said.choices[0].message.content or ""
    chunks = client.chat.completions.create(model="m", messages=ASK, response_format=shape, stream=True)
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def type_to_format(model: type[BaseModel]) -> Any:
    schema = {**model.model_json_schema()}
    return {"type": "json_schema", "json_schema": {"name": "it", "schema": schema}}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_repaired_answer_needs_no_further_attempt(
    model: Answers, start: Any, openai_at: Callable[[str], openai.OpenAI], stream: bool
) -> None:
    proxy = start(REPAIR)
    model.will_say('Here you are:\n```json\n{"name": "mara@example.com", "age": 41, "mood": "calm",}\n```')
    said = answer(openai_at(proxy.url), stream=stream)
    assert "mara@example.com" not in said
    assert Person.model_validate_json(said).age == 41
    assert len(model.bodies) == 1
    assert [one["decision"] for one in proxy.records()[-1]["attempts"]] == ["repair", "answered"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_what_cannot_be_repaired_is_asked_again(
    model: Answers, start: Any, openai_at: Callable[[str], openai.OpenAI], stream: bool
) -> None:
    model.will_say('{"name": "Mara", "age": 41, "mood": "sad",}', RIGHT)
    assert answer(openai_at(start(REPAIR).url), stream=stream) == RIGHT
    assert len(model.bodies) == 2


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_another_model_is_asked_in_the_end(
    model: Answers, start: Any, openai_at: Callable[[str], openai.OpenAI], stream: bool
) -> None:
    other = Answers()
    try:
        proxy = start(FALLBACK, "--upstream", f"backup={other.url}", "--upstream-key", "backup=sk-of-the-backup-only")
        model.will_say(WRONG[1])
        other.will_say(RIGHT)
        assert answer(openai_at(proxy.url), stream=stream) == RIGHT
        assert (len(model.bodies), len(other.bodies)) == (2, 1)
        assert other.bodies[0]["model"] == "bigger"
        assert other.bodies[0]["messages"] == ASK
        assert other.headers[0]["authorization"] == "Bearer sk-of-the-backup-only"
        assert [one["decision"] for one in proxy.records()[-1]["attempts"]] == ["retry", "fallback", "answered"]
        other.will_say(WRONG[1])
        with pytest.raises(openai.BadRequestError):
            answer(openai_at(proxy.url), stream=stream)
        model.will_say(WRONG[1], ScriptedReply(status=500, text="no"))
        other.will_say(RIGHT)
        assert answer(openai_at(proxy.url), stream=stream) == RIGHT
    finally:
        other.close()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_blocked_shape_never_arrives_in_part(
    model: Answers, start: Any, openai_at: Callable[[str], openai.OpenAI], stream: bool
) -> None:
    client = openai_at(start(BLOCK).url)
    model.will_say('{"name": "Mara", "age": 41}')
    with pytest.raises(openai.BadRequestError):
        answer(client, stream=stream)
    model.will_say(RIGHT)
    assert answer(client, stream=stream) == RIGHT


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_placeholders_survive_a_retry(
    model: Answers, start: Any, openai_at: Callable[[str], openai.OpenAI], stream: bool
) -> None:
    client = openai_at(start(PLACEHOLDERS).url)
    model.will_say("first, to learn the placeholder")
    asked: Any = [{"role": "user", "content": "Who is mara@example.com?"}]
    client.chat.completions.create(model="m", messages=asked)
    sent = model.bodies[0]["messages"][0]["content"]
    placeholder = sent.removeprefix("Who is ").removesuffix("?")
    shape = type_to_format(Person)
    wrong = f'{{"name": "{placeholder}", "age": "41", "mood": "calm"}}'
    model.will_say(wrong, f'{{"name": "{placeholder}", "age": 41, "mood": "calm"}}')
    options: Any = {"model": "m", "messages": asked, "response_format": shape}
    if stream:
        chunks = client.chat.completions.create(stream=True, **options)
        said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    else:
        said = client.chat.completions.create(**options).choices[0].message.content
    assert Person.model_validate_json(said).name == "mara@example.com"
    assert model.bodies[1]["messages"][0]["content"] == sent
    assert placeholder in model.bodies[1]["messages"][1]["content"]
    assert "mara@example.com" not in str(model.bodies)


def test_a_quiet_stream_shows_signs_of_life(start: Any, model: Answers) -> None:
    for path, body, sign in (
        ("/v1/chat/completions", {"response_format": type_to_format(Person)}, b":\n\n"),
        (
            "/v1/messages",
            {"max_tokens": 9, "output_config": {"format": {"type": "json_schema", "schema": {}}}},
            b'event: ping\ndata: {"type":"ping"}\n\n',
        ),
    ):
        model.will_say(ScriptedReply(text=RIGHT, fault="hang"))
        proxy = start(RETRY, "--quiet-s", "0.1", upstream=model.url)
        asked = {"model": "m", "messages": ASK, "stream": True, **body}
        assert RIGHT in joined(read_on_after(sign * 2, model, proxy.url + path, asked))
    model.will_say(ScriptedReply(text='{"name": "Mara", "age": 41, "mood": "sad"}', fault="hang"))
    shape = {"output_config": {"format": {"type": "json_schema", "schema": Person.model_json_schema()}}}
    asked = {"model": "m", "messages": ASK, "stream": True, "max_tokens": 9, **shape}
    told = read_on_after(sign, model, proxy.url + path, asked)
    assert b'"stop_reason":"refusal"' in told
    assert told.index(b"event: message_start") < told.index(b"event: message_delta")


def read_on_after(signs: bytes, model: Answers, url: str, body: Any) -> bytes:
    """An answer of a model that hangs until `signs`, with which the answer must begin, have come."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        assert response.read(len(signs)) == signs
        model.go_on()
        return signs + bytes(response.read())


def joined(stream: bytes) -> str:
    """The text of a stream of either dialect."""
    out = ""
    for row in stream.decode().splitlines():
        if row.startswith("data: {"):
            tree = json.loads(row.removeprefix("data: "))
            deltas = [choice["delta"].get("content") for choice in tree.get("choices", [])]
            out += "".join(filter(None, [*deltas, tree.get("delta", {}).get("text")]))
    return out


def test_a_schema_that_cannot_be_used_is_refused(chat: openai.OpenAI, model: Answers) -> None:
    model.will_say(RIGHT)
    for schema in (
        {"$ref": "https://example.com/schema.json"},
        {"$ref": "#"},
        {"type": "string", "pattern": "(?<=a)b"},
        {"type": "nothing"},
    ):
        shape: Any = {"type": "json_schema", "json_schema": {"name": "it", "schema": schema}}
        with pytest.raises(openai.BadRequestError) as caught:
            chat.chat.completions.create(model="m", messages=ASK, response_format=shape)
        assert caught.value.code == "schema_refused"
        assert "the schema of the answer" in str(caught.value)
    assert not model.bodies


LATE = RETRY.replace("attempts: 2, then: block", "attempts: 2, total_s: 3")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_further_attempt_that_takes_too_long_is_given_up(
    start: Any, model: Answers, openai_at: Callable[[str], openai.OpenAI], stream: bool
) -> None:
    proxy = start(LATE, upstream=model.url)
    model.will_say("Sure!", ScriptedReply(text=RIGHT, fault="hang"))
    with pytest.raises(openai.BadRequestError):
        answer(openai_at(proxy.url), stream=stream)
    assert proxy.records()[-1]["attempts"][-1]["decision"] == "late"


def test_a_client_that_goes_away_between_attempts_ends_them(start: Any, model: Answers) -> None:
    proxy = start(RETRY, upstream=model.url)
    model.will_say("Sure!", ScriptedReply(text=RIGHT, fault="hang"))
    body = json.dumps({"model": "m", "messages": ASK, "stream": True, "response_format": type_to_format(Person)})
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=60) as wire:
        wire.sendall(
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n\r\n{body}".encode()
        )
        model.wait_for(2)
    model.wait_gone()
    assert proxy.stop() == 0  # which waits for the record: nobody else waits for that of a client that is gone
    (record,) = proxy.records()
    assert record["outcome"] == "client_closed"
    assert record["attempts"][0]["decision"] == "retry"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "falls back to the upstream `backup`: give --upstream backup=URL"),
        (("--upstream-key", "other=k"), "must be like backup=KEY, for an upstream given as backup=URL"),
    ],
)
def test_an_upstream_without_an_address_is_noticed_at_the_start(
    tmp_path: Any, model: Answers, options: tuple[str, ...], message: str
) -> None:
    with pytest.raises(RuntimeError, match="exit code 2"):
        serve(model.url, tmp_path / "p", FALLBACK, *options)
    assert message in (tmp_path / "p" / "output.txt").read_text(encoding="utf-8")


def test_what_was_discarded_and_saved_is_counted(model: Answers, proxy: Proxy, chat: openai.OpenAI) -> None:
    model.will_say(WRONG[0], WRONG[2], RIGHT)  # the second is longer than what was read of the first
    parsed(chat, stream=True)
    with urllib.request.urlopen(f"{proxy.admin_url}/metrics", timeout=60) as response:
        told = response.read().decode()
    counted = 'guardproxy_discarded_answers_total{decision="retry",route="POST /v1/chat/completions"} '
    assert float(told.split(counted)[1].split("\n")[0]) >= 1
    assert float(told.split("\nguardproxy_saved_tokens_total ")[1].split("\n")[0]) > 0
