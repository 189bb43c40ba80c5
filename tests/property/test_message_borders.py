"""A value that begins in one message of a request and goes on in the next is found, in every format and in every text of
messages that the map of its fields knows, and again in the replay of its record."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.events import Text
from guardproxy.exchange.gate.borders import SIDE_CHARS, may_cross
from guardproxy.wire import Codec, Prompt, codecs
from guardproxy.wire.contract.turns import ModelTurn
from tests.kit.play import CHAT, Play, policy_set
from tests.kit.records import replay
from tests.property.test_message_parts import ANSWERS, VALUES, answered

POLICY = """
policy: borders
checks:
  pii: {use: pii, entities: [EMAIL_ADDRESS, CREDIT_CARD, US_SSN, IBAN_CODE, PHONE_NUMBER]}
  secrets: {use: secrets}
rules: [{id: gone, on: request, when: pii or secrets, action: redact, restore: true}]
"""
POLICIES = policy_set(POLICY)
KINDS = ("user", "assistant", "tool_result")
MARK = "a text to find"
FORMATS = {
    codec.name: codec for codec in codecs() if codec.contract.serves_models and codec.contract.limits["messages"]
}


def read(codec: Codec, path: str, tree: Any) -> list[Text]:
    """The texts of a request."""
    events = codec.read_request(path, "", codec.write_body(tree)).events()
    return [event for event in events if isinstance(event, Text)]


def two_messages(codec: Codec, kind: Any) -> Any:
    """A request with two messages that have a text of a kind, `\\0` and `\\1`; `None` if the format has no list of such
    messages, or if they have further texts. The place of the text comes from the map of the format."""
    tree: Any = codec.author.request_with(kind, MARK)
    path = codec.author.ROUTE.partition(" ")[2]
    place = next((text.path for text in read(codec, path, tree) if text.text == MARK and not text.encoded), ())
    at = next((at for at, step in enumerate(place) if isinstance(step, int)), None)
    if at is None:
        return None
    number = int(place[at])
    holder: Any = tree
    for step in place[:at]:
        holder = holder[step]
    first = holder[number]
    second = copy.deepcopy(first)
    for item, mark in ((first, "\0"), (second, "\1")):
        node = item
        for step in place[at + 1 : -1]:
            node = node[step]
        if len(place) > at + 1:
            node[place[-1]] = mark
    if len(place) == at + 1:
        first, second = "\0", "\1"
        holder[number] = first
    holder.insert(number + 1, second)
    texts = [text.text for text in read(codec, path, tree) if text.channel.kind in KINDS]
    return tree if texts[texts.index("\0") + 1] == "\1" else None


def filled(tree: Any, texts: Sequence[str]) -> Any:
    """The request with other texts."""
    body = json.dumps(tree)
    for mark, text in zip(("\\u0000", "\\u0001"), texts, strict=True):
        body = body.replace(mark, json.dumps(text)[1:-1])
    return json.loads(body)


def places() -> Iterator[tuple[str, str, Any]]:
    for name, codec in FORMATS.items():
        for kind in KINDS:
            if kind in codec.contract.carries["request"] and (tree := two_messages(codec, kind)) is not None:
                yield name, kind, tree


PLACES = {f"{name} {kind}": (FORMATS[name], tree) for name, kind, tree in places()}


def asked(codec: Codec, tree: Any) -> Play:
    route = codec.author.ROUTE
    pattern = next(
        text for text in codec.routes if text == route or text.partition("{")[0] == route[: len(text.partition("{")[0])]
    )
    return Play(POLICIES, pattern, path=route.partition(" ")[2]).ask(json.dumps(tree).encode())


def halves(value: str, at: int) -> tuple[str, str]:
    cut = 1 + at % (len(value) - 1)
    return f"it is {value[:cut]}", f"{value[cut:]} and go on"


def leaked(play: Play, value: str) -> bool:
    """Whether more than a few characters of a value went upstream."""
    sent = "".join(json.dumps(play.upstream, ensure_ascii=False).split())
    whole = "".join(value.split())
    return any(whole[start : start + 5] in sent for start in range(len(whole) - 4))


def test_every_format_with_messages_is_tried() -> None:
    assert {codec.name for codec, _ in PLACES.values()} == FORMATS.keys()
    assert {place.partition(" ")[2] for place in PLACES} == set(KINDS)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", VALUES)
def test_a_word_beside_a_whole_value_stays(place: str, name: str) -> None:
    codec, tree = PLACES[place]
    value = VALUES[name]
    for word, texts in {
        "Thanks": (f"it is {value}", "Thanks for it"),
        "contact": ("my contact", f"{value} is it"),
    }.items():
        sent = json.dumps(asked(codec, filled(tree, texts)).upstream)
        assert value not in sent
        assert word in sent


def test_a_sentence_before_a_decorator_is_no_address() -> None:
    assert not may_cross("Write it for the new technology.", "@pytest.mark.asyncio\nasync def test(): ...")
    assert may_cross("Write to jane.doe", "@example.com, please")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", VALUES)
def test_a_value_that_two_messages_share_does_not_go_upstream(place: str, name: str) -> None:
    codec, tree = PLACES[place]
    value = VALUES[name]
    play = asked(codec, filled(tree, halves(value, len(value) // 2)))
    assert not leaked(play, value)
    assert play.upstream is not None


@pytest.mark.parametrize("name", FORMATS)
def test_an_answer_that_begins_a_value_does_not_go_upstream_with_its_rest(name: str) -> None:
    codec = FORMATS[name]
    if not any(map(codec.contract.is_answered, codec.routes)) or name in ("openai_completions", "ollama_generate"):
        return
    before, after = halves(VALUES["card"], 10)
    tree = codec.turns.further(codec.author.request(Prompt("m", "hi")), ModelTurn(before), after)
    assert not leaked(asked(codec, tree), VALUES["card"])


@given(st.sampled_from(sorted(VALUES)), st.integers(0, 40), st.sampled_from(["", " ", "\n"]))
def test_wherever_it_is_split_and_in_the_replay(name: str, at: int, gap: str) -> None:
    value = VALUES[name]
    before, after = halves(value, at)
    roles = ("user", "assistant", "user")
    texts = ("hi", before, gap + after)
    body = {
        "model": "m",
        "messages": [{"role": role, "content": text} for role, text in zip(roles, texts, strict=True)],
    }
    play = Play(POLICIES, CHAT).ask(body)
    alone = [Play(POLICIES, CHAT).ask({"model": "m", "messages": [{"role": "user", "content": before + gap + after}]})]
    if not leaked(alone[0], value):
        assert not leaked(play, value)
    answered(play, ANSWERS["chat"][1](["ok"]))
    assert replay(play.finish.record, POLICIES).verdict == "identical"


@given(st.sampled_from(sorted(VALUES)), st.integers(0, 40))
def test_each_message_gets_its_part_back(name: str, at: int) -> None:
    before, after = halves(VALUES[name], at)
    body = {"model": "m", "messages": [{"role": "user", "content": text} for text in (before, after)]}
    play = Play(POLICIES, CHAT).ask(body)
    told = [message["content"] for message in play.upstream["messages"]]
    answered(play, ANSWERS["chat"][1]([" | ".join(told)]))
    assert before in play.client.decode()
    assert after in play.client.decode()
    assert replay(play.finish.record, POLICIES).verdict == "identical"


def test_values_of_two_lists_and_of_parts_between_which_a_text_lies_are_apart() -> None:
    messages = [{"role": "user", "content": "it is 4111 1111"}, {"role": "user", "content": "well"}]
    play = Play(POLICIES, CHAT).ask({"model": "m", "messages": [*messages, {"role": "user", "content": "1111 1111"}]})
    assert "4111 1111" in json.dumps(play.upstream)


def test_rules_of_each_side_decide_about_its_part() -> None:
    rules = POLICY.replace("on: request", "on: [user]")
    body = {
        "model": "m",
        "messages": [{"role": "assistant", "content": "4111 1111 "}, {"role": "user", "content": "1111 1111"}],
    }
    assert Play(policy_set(rules), CHAT).ask(body).upstream == body  # nothing reads the first side


@pytest.mark.parametrize("count", [50, 100])
def test_the_cost_is_linear_in_the_number_of_messages(count: int) -> None:
    messages = [{"role": "user", "content": "12 " + "word " * 500 + "34"}] * count
    play = Play(POLICIES, CHAT).ask({"model": "m", "messages": messages})
    windows = [len(job.window.text) for command in play.done for job in getattr(command, "jobs", ())]
    across = [size for size in windows if size <= 2 * SIDE_CHARS + 1]
    assert sum(across) <= 2 * 2 * (count - 1) * (2 * SIDE_CHARS + 1)
    assert len(windows) - len(across) == 2 * count


@pytest.mark.parametrize(
    ("before", "after", "crosses"),
    [
        ("my card is 4111 1111", "1111 1111", True),
        ("4111-", "1111-1111-1111", True),
        ("mail ali", "ce@example.com", True),
        ("mail alice@exam", "ple.com", True),
        ("password:", "hunter2", True),
        ("in 2024", "7 days", True),
        ("[CARD_a1b2c3d4e5]", "[CARD_a1b2c3d4e5] and go on", False),
        ("How are you?", "Fine.", False),
        ("see 12)", "34", False),
        ("at 12   ", "34", False),
        ("", "34", False),
        ("12", "", False),
        ("it is 12", '{"id": 34}', False),
    ],
)
def test_only_a_border_that_a_value_may_cross_is_read(before: str, after: str, crosses: bool) -> None:
    assert may_cross(before, after) is crosses
