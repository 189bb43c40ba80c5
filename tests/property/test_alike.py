"""A frame that is like a remembered frame gives the events that reading it again gives, in every format.

`python -m pytest tests/property/test_alike.py`. The frames are those of each format's author, with strings of all kinds put in
the places of their strings, so that types, roles and unknown words change too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct, structs

from guardproxy.events import Text
from guardproxy.wire import NOT_KEPT, Codec, Prompt, codecs
from guardproxy.wire.decoding.decoding import StreamDecoder
from guardproxy.wire.decoding.frame_cache import _OTHER, Alike
from guardproxy.wire.formats.gemini_generate.codec import ARRAYS
from guardproxy.wire.json import read
from tests.kit.codec_cost import is_answered
from tests.kit.play import Play, policy_set
from tests.kit.provider_frames import PROVIDERS, provider_frames

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')
_COUNT = re.compile(rb"(?<=[:,\[ ])\d+(?=[,}\]])")
NUMBERS = st.sampled_from(
    [b"0", b"7", b"12", b"99999999", b"123456789", b"4111111111111111", b"1.5", b"1e3", b"-3", b"01"]
)
_WORDS: tuple[str, ...] = (
    "4111",
    "1111 1111",
    NOT_KEPT,
    "text_delta",
    "content_block_delta",
    "response.output_text.delta",
    "assistant",
)
_WORDS += (
    "thinking_delta",
    "stop",
    "data:image/png;base64,iVBORw0KGgo=",
    "two words",
    "aB3dE9",
    "AKIAIOSFODNN7EXAMPLE",
    "4111111111111111",
    "2025-10-01T12:00:00.5Z",
    "[DONE]",
    "\ue000 another text \ue000",
)
_BYTES = (
    b'"',
    b"\\",
    b"{",
    b"}",
    b"[",
    b",",
    b":",
    b"0",
    b"-",
    b".",
    b" ",
    b"\0",
    b"\xff",
    b"\xc3",
    b"\\ud83d",
    b"\\u0041",
)
PIECES = st.sampled_from((*_BYTES, b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\\n", b"\t", b"4111", b'"text":"x",', b""))
TEXTS = st.one_of(st.sampled_from(_WORDS), st.text(st.characters(codec="utf-8"), max_size=6), st.just("word "))
SPACES = st.sampled_from((b"", b"\n", b" \n\t\n"))
KINDS = ("assistant", "reasoning", "tool_arguments")
ANSWERED = {codec.name: codec for codec in codecs() if is_answered(codec)}


def shown(event: Any) -> tuple[Any, ...]:
    """All members of an event and of its frame, as values that compare."""
    members = structs.asdict(event) if isinstance(event, Struct) else {"fault": event}
    frame = members.pop("frame", None)
    return type(event).__name__, members, structs.asdict(frame) if frame else {}


@contextmanager
def remembering(kind: Any, *, remembers: bool) -> Iterator[None]:
    """Whether the decoders of a class remember frames."""
    saved = kind.remembers
    kind.remembers = remembers
    try:
        yield
    finally:
        kind.remembers = saved


def decoded(codec: Codec, data: list[bytes], *, remembers: bool) -> list[tuple[Any, ...]]:
    decoder: Any = codec.decoder(streamed=True, failed=False, limit_bytes=1 << 20, guarded=True)
    with remembering(type(decoder), remembers=remembers):
        found = [shown(event) for frame in [*data, b""] for event in (decoder.feed(frame) if frame else decoder.end())]
    for _, _, frame in found:
        if frame.get("tree") is not None:
            sent = frame["data"].partition(b"data: ")[2] or frame["data"].lstrip(b"[,")
            assert read(sent) == frame["tree"], "the tree is that of the bytes"
    return found


def laid_out(frame: bytes, spaces: bytes) -> bytes:
    """A frame with spaces and ends of lines in its JSON, where its framing has any."""
    lines = spaces.replace(b"\n", b"\ndata: ")
    return frame.replace(b"data: {", b"data: {" + lines, 1) if frame.startswith((b"data: ", b"event: ")) else frame


def counted(frame: bytes, number: int, digits: bytes) -> bytes:
    """A frame with another number instead of one of its numbers."""
    places = list(_COUNT.finditer(frame))
    if not places:
        return frame
    at = places[number % len(places)]
    return frame[: at.start()] + digits + frame[at.end() :]


def put(frame: bytes, number: int, word: str, *, escaped: bool) -> bytes:
    """A frame with another string instead of one of its strings."""
    places = list(_STRING.finditer(frame))
    if not places:
        return frame
    at = places[number % len(places)]
    return frame[: at.start()] + json.dumps(word, ensure_ascii=escaped).encode() + frame[at.end() :]


@pytest.mark.parametrize("name", ANSWERED)
@given(data=st.data())
def test_remembered_frames_give_the_same_events(name: str, data: st.DataObject) -> None:
    codec = ANSWERED[name]
    kind: Any = data.draw(st.sampled_from(KINDS))
    texts = data.draw(st.lists(TEXTS.filter(bool), min_size=1, max_size=8))
    frames = list(codec.author.frames_with(kind, texts) or codec.author.frames_with("assistant", texts) or ())
    changes = st.tuples(st.integers(0, 40), st.integers(0, 20), TEXTS, st.booleans())
    for at, number, word, escaped in data.draw(st.lists(changes, max_size=4)):
        frames.insert(at % len(frames), put(frames[at % len(frames)], number, word, escaped=escaped))
    spaces = data.draw(SPACES)
    frames = [laid_out(frame, spaces) for frame in frames]
    assert decoded(codec, frames, remembers=True) == decoded(codec, frames, remembers=False)


@pytest.mark.parametrize("provider", PROVIDERS)
@given(data=st.data())
def test_frames_of_providers_give_the_same_events(provider: str, data: st.DataObject) -> None:
    codec = ANSWERED[provider.split(maxsplit=1)[0]]
    texts = data.draw(st.lists(TEXTS.filter(bool), min_size=2, max_size=8))
    frames = provider_frames(provider, texts, data.draw(st.integers(0, 9)))
    changes = st.tuples(st.integers(0, 40), st.integers(0, 20), TEXTS, NUMBERS, st.booleans())
    for at, number, word, digits, is_number in data.draw(st.lists(changes, max_size=4)):
        frame = frames[at % len(frames)]
        changed = counted(frame, number, digits) if is_number else put(frame, number, word, escaped=False)
        frames.insert(at % len(frames), changed)
    spaces = data.draw(SPACES)
    frames = [laid_out(frame, spaces) for frame in frames]
    piece, at = data.draw(PIECES), data.draw(st.integers(6, len(frames[0]) - 2))
    frames.append(frames[0][:at] + piece + frames[0][at + data.draw(st.integers(0, 2)) :])  # any bytes, perhaps no JSON
    assert decoded(codec, frames, remembers=True) == decoded(codec, frames, remembers=False)


GUARD = """\
policy: guard
checks:
  word: {use: pattern, words: [falcon]}
rules:
  - {id: words, on: response, when: word, action: redact}
"""
POLICIES = policy_set(GUARD)
HIDDEN = st.sampled_from(("falcon", "a falcon", "f\u200balcon", "FALCON", "fal", "con", *_WORDS))


def answered(codec: Codec, frames: list[bytes], *, remembers: bool) -> tuple[bytes, dict[str, Any]]:
    """What the client gets of a stream, and its record."""
    kind: Any = codec
    with remembering(kind.stream, remembers=remembers):
        exchange = Play(POLICIES, codec.routes[0])
        exchange.ask(codec.write_body(codec.author.request(Prompt("a-model", "hi")))).stream(frames)
    return exchange.client, exchange.record


@pytest.mark.parametrize("provider", PROVIDERS)
@settings(max_examples=30)
@given(data=st.data())
def test_an_upstream_cannot_hide_a_value_behind_harmless_frames(provider: str, data: st.DataObject) -> None:
    """A frame is remembered; later ones have the value at any place, with a member that no map knows as well."""
    codec = ANSWERED[provider.split(maxsplit=1)[0]]
    first, second = data.draw(TEXTS.filter(bool)), data.draw(st.sampled_from(("aB3", "hello ", "x" * 48)))
    frames = provider_frames(provider, [first, "there ", *data.draw(st.lists(HIDDEN, max_size=2))])
    known = data.draw(st.sampled_from(("new", "content", "obfuscation", "p", "created_at", "metadata")))
    frames = [frame.replace(b"{", b'{"%b":{"p":"%b"},' % (known.encode(), second.encode()), 1) for frame in frames]
    changes = st.tuples(st.integers(0, 9), st.integers(0, 40), HIDDEN, st.booleans())
    for at, number, word, escaped in data.draw(st.lists(changes, min_size=1, max_size=4)):
        frames.append(put(frames[at % len(frames)], number, word, escaped=escaped))
    assert answered(codec, frames, remembers=True) == answered(codec, frames, remembers=False)


@pytest.mark.parametrize("before", ["", '"', "\n"])
@pytest.mark.parametrize("provider", PROVIDERS)
def test_most_frames_of_a_stream_are_alike(provider: str, before: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if each text is written with escapes, as the arguments of a call are."""
    frames = provider_frames(provider, [f"{before}word{number}-a " for number in range(40)])
    found: list[bool] = []
    find = Alike.find

    def counting(self: Alike, data: bytes) -> Any:
        found.append((answer := find(self, data)) is not None)
        return answer

    monkeypatch.setattr(Alike, "find", counting)
    assert frames
    events = decoded(ANSWERED[provider.split(maxsplit=1)[0]], frames, remembers=True)
    assert len(events) >= 40
    assert sum(found) >= 38


def test_elements_of_an_array_are_alike() -> None:
    """Google's servers write them over several lines."""
    texts = ["one ", "two ", "\u2028", "four "]
    trees = [json.loads(frame[6:]) for frame in provider_frames("gemini_generate", texts)]
    data = [json.dumps(trees, indent=1, ensure_ascii=False).encode()]
    found = decoded(ARRAYS, data, remembers=True)
    assert [it["text"] for name, it, _ in found if name == Text.__name__ and it["channel"].kind == "assistant"] == texts
    assert found == decoded(ARRAYS, data, remembers=False)


_SAID = "secret word"
TOKENS: dict[str, Callable[[str, str], dict[str, Any]]] = {
    "openai_chat": lambda text, token: {
        "choices": [
            {"index": 0, "delta": {"content": text}, "logprobs": {"content": [{"token": token, "logprob": 0}]}},
        ]
    },
    "openai_completions": lambda text, token: {
        "choices": [{"index": 0, "text": text, "logprobs": {"tokens": [token], "token_logprobs": [0]}}]
    },
    "openai_responses": lambda text, token: {
        "type": "response.output_text.delta",
        "delta": text,
        "logprobs": [{"token": token, "logprob": 0}],
    },
    "gemini_generate": lambda text, token: {
        "candidates": [
            {
                "content": {"parts": [{"text": text}], "role": "model"},
                "logprobsResult": {"chosenCandidates": [{"token": token, "logProbability": -1}]},
            }
        ]
    },
    "ollama_chat": lambda text, token: {"message": {"content": text}, "logprobs": [{"token": token, "logprob": 0}]},
    "ollama_generate": lambda text, token: {"response": text, "logprobs": [{"token": token, "logprob": 0}]},
}
"""Frames with a text and the token data of a text."""


@pytest.mark.parametrize("said", [_SAID, _OTHER, ""])
@pytest.mark.parametrize("name", TOKENS)
def test_withheld_fields_are_withheld_from_every_frame(name: str, said: str) -> None:
    """A frame whose token data no longer says its text is read as a whole. `_OTHER` is the text that is tried."""
    codec: Any = ANSWERED[name]
    for texts in ((_SAID, "other", _OTHER, _SAID), (_OTHER, "other", _SAID, _OTHER), ("other", _OTHER, _SAID)):
        lines = [json.dumps(TOKENS[name](text, said)).encode() for text in texts]
        frames = [codec.stream.framing.frame(line) for line in lines]
        events = decoded(codec, frames, remembers=True)
        assert events == decoded(codec, frames, remembers=False)
        sent = [json.dumps(values["tree"]) for event, _, values in events if event == Text.__name__]
        for tree, text in zip(sent, texts, strict=True):
            assert not said or tree.count(json.dumps(said)) == (2 if text == said else 0)


def test_a_format_says_itself_that_frames_are_remembered() -> None:
    assert StreamDecoder.remembers is False
