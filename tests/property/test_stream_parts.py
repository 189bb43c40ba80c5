"""A stream whose text is split into the parts of a message is treated like the plain answer with these parts: in every format
whose answers have parts, however the stream is cut, and again in the replay of its record."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.exchange.gate.joining import FILLER
from guardproxy.redaction.placeholders import PLACEHOLDER
from guardproxy.wire.formats.gemini_generate.writer import author as gemini_author
from tests.kit.gemini import chunk, gemini_texts
from tests.kit.play import Play, chat_frames, events, message_frames, sse
from tests.kit.records import replay
from tests.kit.responses import response_texts, stream
from tests.property.test_message_parts import (
    ANSWERS,
    CHAT,
    GEMINI,
    MESSAGES,
    QUESTIONS,
    RESPONSES,
    VALUES,
    answered,
    asked,
    policies,
    rules_of,
    split,
    texts,
    wants_json,
)

Parts = Sequence[Sequence[str]]
"""The parts of a message, each in its deltas."""


def anthropic(parts: Parts) -> list[bytes]:
    return message_frames([("text", deltas) for deltas in parts])


def read_anthropic(data: bytes) -> Iterator[tuple[int, str]]:
    for name, tree in events(data):
        if name == "content_block_delta":
            yield tree["index"], tree["delta"]["text"]


def thinking(parts: Parts) -> list[bytes]:
    return message_frames([*(("thinking", deltas) for deltas in parts), ("text", ["done"])])


def read_thinking(data: bytes) -> Iterator[tuple[int, str]]:
    for name, tree in events(data):
        if name == "content_block_delta" and "thinking" in tree["delta"]:
            yield tree["index"], tree["delta"]["thinking"]


def _item(parts: Parts, kind: str, **more: Any) -> Iterator[dict[str, Any]]:
    """The events of an item with several parts."""
    holder, base, part = {
        "text": ("content", "response.output_text", "content_part"),
        "summary": ("summary", "response.reasoning_summary_text", "reasoning_summary_part"),
    }[kind]
    typed = {"text": "output_text", "summary": "summary_text"}[kind]
    item = {"id": "msg_0", "type": "message", "role": "assistant", "content": [], **more}
    whole = [{"type": typed, "text": "".join(deltas)} for deltas in parts]
    yield {"type": "response.output_item.added", "output_index": 0, "item": {**item, holder: []}}
    for number, deltas in enumerate(parts):
        where = {"output_index": 0, "item_id": "msg_0", f"{holder}_index": number}
        yield {"type": f"response.{part}.added", **where, "part": {"type": typed, "text": ""}}
        for delta in deltas:
            yield {"type": f"{base}.delta", **where, "delta": delta}
        yield {"type": f"{base}.done", **where, "text": whole[number]["text"]}
        yield {"type": f"response.{part}.done", **where, "part": whole[number]}
    yield {"type": "response.output_item.done", "output_index": 0, "item": {**item, holder: whole}}


def responses(parts: Parts) -> list[bytes]:
    return stream(_item(parts, "text"))


def summaries(parts: Parts) -> list[bytes]:
    return stream(_item(parts, "summary", type="reasoning"))


def read_responses(data: bytes) -> Iterator[tuple[int, str]]:
    response_texts(data)  # all events agree
    for name, tree in events(data):
        if name and name.endswith(".delta"):
            yield tree.get("content_index", tree.get("summary_index")), tree["delta"]


def chat(parts: Parts) -> list[bytes]:
    """Each frame has the next delta of every part that is not over, as new parts of a list."""
    rows = [{"content": [{"type": "text", "text": delta}]} for deltas in parts for delta in deltas]
    return chat_frames(rows)


def chat_at_once(parts: Parts) -> list[bytes]:
    rows = [{"content": [{"type": "text", "text": "".join(deltas)} for deltas in parts]}]
    return chat_frames(rows)


def read_chat(data: bytes) -> Iterator[tuple[int, str]]:
    for _, tree in events(data):
        for choice in tree["choices"] if tree != "[DONE]" else ():
            for number, part in enumerate(choice["delta"].get("content") or ()):
                yield number, part["text"]


@dataclass(frozen=True)
class Way:
    """A way to stream parts. `plain`: the plain answer with the same parts."""

    route: str
    plain: str
    write: Callable[[Parts], list[bytes]]
    read: Callable[[bytes], Iterator[tuple[int, str]]]


WAYS: Mapping[str, Way] = {
    "messages": Way(MESSAGES, "messages", anthropic, read_anthropic),
    "thinking": Way(MESSAGES, "", thinking, read_thinking),
    "responses": Way(RESPONSES, "responses", responses, read_responses),
    "summaries": Way(RESPONSES, "", summaries, read_responses),
    "chat": Way(CHAT, "", chat, read_chat),
    "chat at once": Way(CHAT, "chat", chat_at_once, read_chat),
}
deltas = st.lists(st.integers(1, 30), max_size=4)
cuts = st.lists(st.integers(1, 80), min_size=1, max_size=5)


def streamed(way: Way, parts: Parts, frames: Sequence[bytes] | None = None, waits: Sequence[bool] = ()) -> Play:
    play = asked(way.route, {**QUESTIONS[way.route](["hi"]), "stream": True})
    return play.stream(way.write(parts) if frames is None else frames, waits)


def said(way: Way, play: Play) -> list[str]:
    """What the client has of each part."""
    out: dict[int, str] = {}
    for number, text in way.read(play.client):
        out[number] = out.get(number, "") + text
    return [out[number] for number in sorted(out)]


def in_deltas(parts: Sequence[str], at: Sequence[int]) -> list[list[str]]:
    return [split(part, at) for part in parts]


def findings(play: Play) -> list[Any]:
    return [(text["text"], text["findings"], text["edits"]) for text in play.record["response"]["texts"]]


@pytest.mark.parametrize("name", WAYS)
@given(texts, cuts, deltas)
def test_a_split_stream_is_treated_like_the_whole(
    name: str, text: tuple[str, str], at: list[int], pieces: list[int]
) -> None:
    way, (whole, value) = WAYS[name], text
    parts = split(whole, at)
    play = streamed(way, in_deltas(parts, pieces))
    assert rules_of(play) == {"gone"}
    left = "".join(said(way, play))
    assert "".join(value.split()) not in "".join(left.split())
    assert PLACEHOLDER.search(left)
    assert replay(play.finish.record, policies()).verdict == "identical"
    if way.plain:
        plain = answered(asked(way.route, QUESTIONS[way.route](["hi"])), ANSWERS[way.plain][1](parts))
        assert findings(play) == findings(plain)


@pytest.mark.parametrize("name", WAYS)
@given(texts, cuts, deltas, st.lists(st.integers(1, 4000), max_size=30), st.lists(st.booleans(), max_size=31))
def test_a_split_stream_does_not_depend_on_its_chunks(
    name: str, text: tuple[str, str], at: list[int], pieces: list[int], chunks: list[int], waits: list[bool]
) -> None:
    way, (whole, _) = WAYS[name], text
    parts = in_deltas(split(whole, at), pieces)
    once = streamed(way, parts)
    data = b"".join(way.write(parts))
    places = sorted({0, len(data), *(place for place in chunks if place < len(data))})
    again = streamed(way, parts, [data[start:end] for start, end in pairwise(places)], waits)
    assert again.client == once.client
    assert again.record == once.record


def with_news(node: Any) -> Any:
    """A copy of a frame with an unknown text in front of what is new in it."""
    if isinstance(node, list):
        return [with_news(child) for child in node]
    if not isinstance(node, dict):
        return node
    news = {key: {"novelty": "n", **child} for key, child in node.items() if key == "delta" and isinstance(child, dict)}
    return {key: news.get(key) or with_news(child) for key, child in node.items()}


@pytest.mark.parametrize("is_apart", [False, True])
@pytest.mark.parametrize("name", ["messages", "thinking", "chat", "chat at once"])
def test_unknown_fields_between_parts_hide_no_value(name: str, is_apart: bool) -> None:
    """They come in the frames of the texts, or in frames of their own (`is_apart`)."""
    way, value = WAYS[name], VALUES["mail"]
    news = sse({"type": "novelty", "delta": {"novelty": "n"}, "choices": []}, "novelty")
    for at in range(1, len(value)):
        frames = way.write([[f"to {value[:at]}"], [f"{value[at:]}, please"]])
        trees = events(b"".join(frames))
        told = [sse(with_news(tree), event) if tree != "[DONE]" else frames[-1] for event, tree in trees]
        play = streamed(way, [], [each for frame in frames for each in (news, frame)] if is_apart else told)
        assert rules_of(play) == {"gone"}
        assert value not in "".join(said(way, play))
        assert replay(play.finish.record, policies()).verdict == "identical"


def gemini(parts: Sequence[str]) -> list[bytes]:
    """Parts between which an empty thought lies."""
    told = [piece for part in parts for piece in ({"text": "", "thought": True}, {"text": part})]
    return [gemini_author.event(chunk(piece)) for piece in told] + [gemini_author.event(chunk(finish="STOP"))]


@pytest.mark.parametrize("name", ["messages", "gemini"])
def test_a_split_stream_of_json_is_treated_like_the_whole(name: str) -> None:
    value = VALUES["mail"]
    whole = json.dumps({"to": value})
    for at in range(1, len(whole)):
        parts = [whole[:at], whole[at:]]
        is_gemini = name == "gemini"
        route, frames = (GEMINI, gemini(parts)) if is_gemini else (MESSAGES, anthropic([[part] for part in parts]))
        play = asked(route, wants_json(route, stream=True)).stream(frames)
        left = gemini_texts(play.client)["text"] if is_gemini else "".join(said(WAYS[name], play))
        assert rules_of(play) == {"gone"}
        assert PLACEHOLDER.fullmatch(json.loads(left)["to"])
        assert replay(play.finish.record, policies()).verdict == "identical"


@pytest.mark.parametrize("name", WAYS)
@given(cuts, deltas)
def test_a_split_word_blocks_a_stream(name: str, at: list[int], pieces: list[int]) -> None:
    way = WAYS[name]
    play = streamed(way, in_deltas(split("about the quokka project now", at), pieces))
    assert (rules_of(play), play.finish.outcome) == ({"stop"}, "blocked_response")
    assert "quokkaproject" not in "".join("".join(said(way, play)).split())
    assert replay(play.finish.record, policies()).verdict == "identical"


@pytest.mark.parametrize("name", WAYS)
@given(texts, cuts, deltas)
def test_a_value_comes_back_in_a_stream_that_splits_it(
    name: str, text: tuple[str, str], at: list[int], pieces: list[int]
) -> None:
    way, (whole, value) = WAYS[name], text
    play = asked(way.route, {**QUESTIONS[way.route]([whole]), "stream": True})
    found = PLACEHOLDER.search(json.dumps(play.upstream))
    assert found
    play.stream(way.write(in_deltas(split(f"see {found[0]} there", at), pieces)))
    assert "".join(said(way, play)).replace(FILLER, "") == f"see {value} there".replace(FILLER, "")
    assert replay(play.finish.record, policies()).verdict == "identical"
