"""What the decoders of both formats share."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardproxy.events import End, Event, Fault, Frame, Opaque, RunEnd, Text
from guardproxy.wire import formats
from guardproxy.wire.decoding.decoding import (
    LeafPlace,
    StreamDecoder,
    counts,
    edited_frame,
    events_of,
    indexed,
    is_delta,
)
from guardproxy.wire.formats.openai_chat.codec import ChatDecoder
from guardproxy.wire.json.walk import TOKENS, UNMAPPED, MapFields, MapLeaf, TreeLeaf, opaque, part_text, text, walk
from guardproxy.wire.registry import codecs, installed
from tests.kit.media import PNG
from tests.kit.play import CHAT, MESSAGES, sse
from tests.kit.responses import RESPONSES


def shape(events: list[Event]) -> list[str]:
    """Events in one line each; `=` is a text that is said again."""
    out = []
    for event in events:
        match event:
            case Text():
                marks = "=" * event.again + "{" * event.encoded + "#" * event.number
                out.append(f"{marks}{event.channel.kind} {event.channel.path}: {event.text}")
            case End():
                out.append(f"end {event.channel.path}")
            case Opaque():
                out.append("opaque " + ",".join(".".join(map(str, path)) for path in event.uninspected))
            case Fault():
                out.append(f"fault {event.code}")
    return out


def chat(*chunks: dict[str, Any]) -> list[list[str]]:
    decoder = ChatDecoder(10**6)
    return [shape(decoder.feed(sse(chunk))) for chunk in chunks]


def choice(index: int | None = 0, **delta: Any) -> dict[str, Any]:
    return {"choices": [{**({} if index is None else {"index": index}), "delta": delta}]}


def test_whole_bodies_give_each_text_and_its_end() -> None:
    tree = {"a": {"b": "x"}, "a.b": "y", "n": 4111222233334444, "j": "{}", "o": PNG}
    how: MapFields = {"j": MapLeaf("json", "tool_arguments"), "o": opaque("image", "user")}
    assert shape(events_of(list(walk(tree, how)), Frame(b"", tree), "request")) == [
        "unmapped a#key: a",
        "end a#key",
        "unmapped a.b#key: b",
        "end a.b#key",
        "unmapped a.b: x",
        "end a.b",
        "unmapped a.b#key: a.b",
        "end a.b#key",
        "unmapped a.b: y",
        "end a.b",
        "unmapped n#key: n",
        "end n#key",
        "#unmapped n: 4111222233334444",
        "end n",
        "{tool_arguments j: {}",
        "end j",
        "opaque o",
    ]
    assert shape(events_of([], Frame(b""), "request")) == ["opaque "]


def test_parts_of_one_list_have_a_run() -> None:
    tree = {"a": [{"t": "x"}, "y", {"t": "z"}, {"u": "v"}], "b": [{"t": "x"}], "t": "x"}
    part: MapFields = {"t": part_text("user"), "u": part_text("user")}
    how: MapFields = {
        "a": [lambda item: part if isinstance(item, dict) else part_text("user")],
        "b": [part],
        "t": part_text("user"),
    }
    events = events_of(walk(tree, how), Frame(b"", tree), "request")
    runs = {event.channel.path: event.run for event in events if isinstance(event, Text) and not event.key}
    run = runs.pop("a[0].t")
    assert run
    assert runs == {"a[1]": "", "a[2].t": run, "a[3].u": "", "b[0].t": "", "t": ""}


def parts_of(*frames: list[Event]) -> list[list[str]]:
    """The parts that begin and end in frames, with their runs, and the runs that end."""
    out = []
    for events in frames:
        row = [f"{event.channel.path} {event.run}".strip() for event in events if isinstance(event, Text)]
        row += [f"end {event.channel.path}" for event in events if isinstance(event, End)]
        out.append(row + [f"over {event.run}" for event in events if isinstance(event, RunEnd)])
    return out


def said(*parts: str) -> bytes:
    return sse(choice(content=[{"type": "text", "text": part} for part in parts]))


def test_parts_of_a_stream_have_a_run_which_ends_with_what_holds_them() -> None:
    run, (first, second) = (
        "choices[0].message.content[*].text assistant text",
        ["choices[0].message.content[0].text"] * 2,
    )
    second = "choices[0].message.content[1].text"
    decoder = ChatDecoder(10**6)
    end = sse({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    assert parts_of(decoder.feed(said("a")), decoder.feed(said("b", "c")), decoder.feed(end)) == [
        [f"{first} {run}"],
        [first, f"{second} {run}", f"end {first}"],
        [f"end {second}", f"over {run}"],
    ]


def test_a_part_without_a_number_of_its_own_follows_the_one_before_it() -> None:
    """Numbered parts may take turns."""
    first, second = (f"choices[0].message.content[{number}].text" for number in range(2))
    run = "choices[0].message.content[*].text assistant text"
    decoder = ChatDecoder(10**6)
    numbered = [{"type": "text", "text": "a", "index": number} for number in range(2)]
    assert parts_of(decoder.feed(sse(choice(content=numbered)))) == [[f"{first} {run}", f"{second} {run}"]]
    assert parts_of(decoder.end()) == [[]], "the answer is not complete"


def test_another_text_that_flows_ends_the_wait_for_a_part() -> None:
    run, texts = "content[*].text assistant text", installed().codec_for(MESSAGES)
    assert texts

    def frames(*blocks: dict[str, Any]) -> list[list[str]]:
        decoder = texts.decoder(streamed=True, failed=False, limit_bytes=10**6)
        events = [
            event
            for number, block in enumerate(blocks)
            for event in (
                {"type": "content_block_start", "index": number, "content_block": block},
                {"type": "content_block_stop", "index": number},
            )
        ]
        return [row for row in parts_of(*(decoder.feed(sse(event, str(event["type"]))) for event in events)) if row]

    first, after = {"type": "text", "text": "a"}, {"type": "text", "text": "b"}
    begun = [[f"content[0].text {run}"], ["end content[0].text"]]
    assert frames(first, after) == [*begun, [f"content[1].text {run}"], ["end content[1].text"]]
    thought = {"type": "thinking", "thinking": "t"}
    thoughts = "content[*].thinking reasoning text"
    assert frames(first, thought) == [
        *begun,
        [f"content[1].thinking {thoughts}", f"over {run}"],
        ["end content[1].thinking"],
    ]


def test_json_in_parts_is_one_channel() -> None:
    tree = {"a": [{"t": '{"b'}, {"t": '": '}, {"t": "1}"}]}
    how: MapFields = {"a": [{"t": MapLeaf("json", "assistant", joins=True)}]}
    assert shape(events_of(walk(tree, how), Frame(b"", tree), "response")) == [
        '{assistant a[0].t: {"b',
        '{assistant a[0].t: ": ',
        "{assistant a[0].t: 1}",
        "end a[0].t",
    ]


def test_texts_in_a_list_at_a_place_without_a_map_of_its_own_are_parts() -> None:
    tree = {
        "r": {"c": [{"type": "text", "text": "x"}, {"text": "y"}], "text": "z"},
        "j": [{"text": "x"}, {"text": "y"}],
    }
    how: MapFields = {"r": text("tool_result"), "j": text("tool_arguments")}
    events = events_of(walk(tree, how), Frame(b"", tree), "request")
    runs = [bool(event.run) for event in events if isinstance(event, Text) and not event.key]
    assert runs == [False, True, True, False, False, False]


def test_texts_of_one_place_are_one_channel_however_many_frames() -> None:
    assert chat(choice(content="a"), choice(content="b"), choice(1, content="c")) == [
        ["assistant choices[0].message.content: a"],
        ["assistant choices[0].message.content: b"],
        ["assistant choices[1].message.content: c"],
    ]
    assert chat({"choices": [{"index": 4, "delta": {"content": "a"}}, {"delta": {"content": "b"}}]}) == [
        ["assistant choices[4].message.content: a", "assistant choices[1].message.content: b"],
    ]


def test_reasoning_ends_where_the_run_goes_on_with_something_else() -> None:
    assert chat(choice(reasoning="a"), choice(1, content="x"), choice(reasoning="b"), choice(content="c")) == [
        ["reasoning choices[0].message.reasoning: a"],
        ["assistant choices[1].message.content: x"],
        ["reasoning choices[0].message.reasoning: b"],
        ["end choices[0].message.reasoning", "assistant choices[0].message.content: c"],
    ]


def test_what_does_not_flow_is_complete_and_said_again_as_it_was() -> None:
    news = {"news": "a b", "choices": []}
    assert chat(news, news, {**news, "news": "c"}, news) == [
        ["unmapped news#key: news", "end news#key", "unmapped news: a b", "end news"],
        ["=unmapped news#key: news", "=unmapped news: a b"],
        ["=unmapped news#key: news", "unmapped news: c", "end news"],
        ["=unmapped news#key: news", "unmapped news: a b", "end news"],
    ]


def test_keys_and_numbers_do_not_flow() -> None:
    tree = choice(**{"x y": 4111222233334444})
    assert chat(tree, tree) == [
        [
            "assistant choices[0].message.x y#key: x y".replace("assistant", "unmapped"),
            "end choices[0].message.x y#key",
            "#unmapped choices[0].message.x y: 4111222233334444",
            "end choices[0].message.x y",
        ],
        ["=unmapped choices[0].message.x y#key: x y", "=#unmapped choices[0].message.x y: 4111222233334444"],
    ]


def test_a_complete_text_does_not_join_one_that_flows() -> None:
    """The same name for a part of a delta and for what a later frame says of the whole."""
    flowing = {"choices": [{"index": 0, "delta": {"news": "a"}}]}
    complete = {"choices": [{"index": 0, "message": {"news": "b"}}]}
    assert chat(flowing, complete, flowing) == [
        [
            "unmapped choices[0].message.news#key: news",
            "end choices[0].message.news#key",
            "unmapped choices[0].message.news: a",
        ],
        [
            "=unmapped choices[0].message.news#key: news",
            "end choices[0].message.news",
            "unmapped choices[0].message.news: b",
            "end choices[0].message.news",
        ],
        ["=unmapped choices[0].message.news#key: news", "unmapped choices[0].message.news: a"],
    ]


def test_what_belongs_to_a_delta() -> None:
    assert is_delta(("choices", 0, "delta", "content"), "")
    assert is_delta(("new_delta", "text"), "")
    assert is_delta(("news",), "content_block_delta")
    assert not is_delta(("choices", 0, "delta", "role"), "")
    assert not is_delta(("type",), "content_block_delta")
    assert not is_delta(("choices", 0, "text"), "")


def test_list_positions_become_the_items_own_index() -> None:
    tree = {"a": [{"index": 7, "b": ["x"]}, {"index": True, "b": "y"}, "z"]}
    assert indexed(tree, ("a", 0, "b", 0)) == ("a", 7, "b", 0)
    assert indexed(tree, ("a", 1, "b")) == ("a", 1, "b")
    assert indexed(tree, ("a", 2)) == ("a", 2)


def test_usage_is_numbers() -> None:
    usage = {"input_tokens": 5, "cost": 0.25, "text": "text", "x y": 1, "mara": 1, "error": 10**8, "status": None}
    more = {"cost_details": {"output_tokens": 7, "items": [1]}}
    assert counts({**usage, **more}) == {"input_tokens": 5, "cost": 0.25, "cost_details": {"output_tokens": 7}}


def test_a_stream_is_over_after_a_fault() -> None:
    decoder = ChatDecoder(100)
    assert shape(decoder.feed(b'data: {"id": "c"}\n\ndata: 5\n\ndata: {}\n\n')) == [
        "opaque ",
        "fault upstream_invalid_json",
    ]
    assert decoder.feed(b"data: {}\n\n") == decoder.end() == []
    decoder = ChatDecoder(20)
    assert shape(decoder.feed(b"data: {}\n\ndata: " + b"x" * 20)) == ["opaque ", "fault upstream_event_too_large"]
    assert decoder.feed(b"data: {}\n\n") == []
    assert shape(ChatDecoder(20).feed(b"data: [DONE]\n\ndata: " + b"x" * 20)) == ["opaque "], "nobody reads it"


def test_data_of_several_lines_goes_on_in_one() -> None:
    (event,) = ChatDecoder(100).feed(b'data: {"id":\ndata: "c"}\n\n')
    assert isinstance(event, Opaque)
    assert event.frame.data == b'data: {"id":"c"}\n\n'
    (event,) = ChatDecoder(100).feed(b'id: 7\nevent: message\ndata: {"id": "c"}\nretry: 1\n\n')
    assert isinstance(event, Opaque)
    assert event.frame.data == b'data: {"id": "c"}\n\n', "what was not understood does not go on"


def test_a_frame_is_framed_as_before() -> None:
    assert edited_frame(Frame(b"", {}, "x", streamed=True), {"a": 1}) == b'event: x\ndata: {"a":1}\n\n'
    assert edited_frame(Frame(b"", {}), {"a": 1}) == b'{"a":1}'


def test_a_format_says_what_its_frames_mean() -> None:
    bare = StreamDecoder(100)
    for ask in (lambda: bare.how({}), lambda: bare.place({}, next(walk({"a": "b"}, {}))), lambda: bare.after({})):
        with pytest.raises(NotImplementedError):
            ask()
    assert bare.ends({}) is False
    assert bare.special(None) is None  # type: ignore[arg-type]
    bare.sent(Frame(b""))


def test_the_formats_and_their_routes() -> None:
    assert [codec.name for codec in codecs()] == list(formats.NAMES)
    for route, provider in (
        (CHAT, "openai"),
        (MESSAGES, "anthropic"),
        (MESSAGES + "/count_tokens", "anthropic"),
        (RESPONSES, "openai"),
        (RESPONSES + "/compact", "openai"),
        (RESPONSES + "/input_tokens", "openai"),
    ):
        codec = installed().codec_for(route)
        assert codec
        assert codec.provider == provider
        assert route in codec.routes
    assert installed().codec_for("POST /v9/none") is None
    assert installed().codec_for("GET /v1/messages") is None


@pytest.mark.parametrize("route", [CHAT, MESSAGES, RESPONSES])
def test_every_decoder_keeps_to_the_protocol(route: str) -> None:
    codec = installed().codec_for(route)
    assert codec
    for streamed in (True, False):
        for failed in (True, False):
            decoder = codec.decoder(streamed=streamed, failed=failed, limit_bytes=100)
            assert decoder.feed(b"") == []
            assert len(shape(decoder.end())) == 1
            assert decoder.end() == [] or not streamed
            assert json.dumps(decoder.seen.usage) == "{}"


def test_a_format_need_not_know_schemas_or_places() -> None:
    decoder = StreamDecoder(10)
    assert decoder.shape_of({}, TreeLeaf(("a",), "x", UNMAPPED), LeafPlace("unmapped", "a", "a", flows=False)) is None
    assert decoder.counts_of({}) == ()


@pytest.mark.parametrize("guarded", [False, True])
def test_token_data_is_listed_or_withheld(guarded: bool) -> None:
    """Of a whole body and of a stream: where a rule may edit it is taken out, where none does it goes on unread."""
    tree = {"choices": [{"index": 0, "delta": {"content": "a"}, "logprobs": {"content": [{"token": "b"}]}}]}
    codec = installed().codec_for(CHAT)
    assert codec
    whole_body = codec.decoder(streamed=False, failed=False, limit_bytes=1000, guarded=guarded)
    stream = codec.decoder(streamed=True, failed=False, limit_bytes=1000, guarded=guarded)
    assert whole_body.feed(json.dumps(tree).encode()) == []
    for decoder, found in ((whole_body, whole_body.end()), (stream, stream.feed(sse(tree)))):
        listed = [path for event in found if isinstance(event, Opaque) for path in event.uninspected]
        assert listed == ([] if guarded else [("choices", 0, "logprobs")])
        assert list(decoder.seen.withheld) == (["logprobs"] if guarded else [])
        (frame,) = {event.frame for event in found if isinstance(event, (Text, Opaque))}
        assert (b'"b"' in frame.data) != guarded
    proven = {"choices": [{"delta": {"content": "b"}, "logprobs": {"content": [{"token": "b"}]}}]}
    again = codec.decoder(streamed=True, failed=False, limit_bytes=1000, guarded=True).feed(sse(proven))
    assert shape(again) == ["assistant choices[0].message.content: b"]
    assert [one.leaf for one in walk({"a": {"b": 1}, "c": []}, {"a": TOKENS, "c": TOKENS})] == [TOKENS]
