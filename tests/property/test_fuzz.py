"""Hostile bytes break no promise of a framing or a format. `make fuzz` runs the same targets for minutes, over new seeds."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import anthropic._streaming
import httpx
import httpx_sse
import openai._streaming
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.events import Event, Fault, Text
from guardproxy.wire import Codec, Decoder, codecs
from guardproxy.wire.framing import sse
from tools import fuzzing
from tools.fuzzing import CORPORA, FRAMINGS, MARK, TARGETS, Kept, Target, kept

SEEDS = st.integers(0, (1 << 32) - 1)
EVERY_CASE = [case for name in CORPORA for case in kept(name)]
CODECS = [pytest.param(codec, id=codec.name) for codec in codecs()]


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.__name__)
@pytest.mark.parametrize("codec", CODECS)
@given(seed=SEEDS)
def test_formats(codec: Codec, target: Target, seed: int) -> None:
    target(codec, random.Random(seed))


@pytest.mark.parametrize("name", FRAMINGS)
@given(seed=SEEDS)
def test_framings(name: str, seed: int) -> None:
    fuzzing.fuzz_framing(FRAMINGS[name], random.Random(seed))


@given(seed=SEEDS)
def test_json(seed: int) -> None:
    fuzzing.fuzz_json(random.Random(seed))


# The corpora.


@pytest.mark.parametrize("name", FRAMINGS)
def test_kept_streams(name: str) -> None:
    for case in EVERY_CASE:
        for seed in range(10):
            fuzzing.check_framing(FRAMINGS[name], case.data, random.Random(seed))


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("case", EVERY_CASE, ids=lambda case: case.why)
def test_kept_bytes(case: Kept, codec: Codec) -> None:
    """Each format reads all corpora, as a request, as a plain answer and as a stream."""
    source = random.Random(0)
    fuzzing.check_json(case.data)
    fuzzing.check_request(codec, case.data)
    fuzzing.check_answer(codec, case.data, source, streamed=False)
    if fuzzing.is_answered(codec):
        for data in (case.data, b"data: " + case.data + b"\n\n", case.data + b"\n"):
            fuzzing.check_answer(codec, data, source, streamed=True)


def test_each_case_has_a_reason_of_its_own() -> None:
    assert all(case.why and case.data for case in EVERY_CASE)
    whys, data = {case.why for case in EVERY_CASE}, {case.data for case in EVERY_CASE}
    assert len(whys) == len(data) == len(EVERY_CASE) > 70


# The parsers of SDKs.


def openai_events(data: bytes) -> Iterator[Any]:
    return openai._streaming.SSEDecoder().iter_bytes(iter([data]))


def anthropic_events(data: bytes) -> Iterator[Any]:
    return anthropic._streaming.SSEDecoder().iter_bytes(iter([data]))


def httpx_events(data: bytes) -> Iterator[Any]:
    response = httpx.Response(200, headers={"content-type": "text/event-stream"}, content=data)
    return httpx_sse.EventSource(response).iter_sse()


PARSERS: dict[str, Callable[[bytes], Iterator[Any]]] = {
    "openai": openai_events,
    "anthropic": anthropic_events,
    "httpx-sse": httpx_events,
}


def named(events: Iterator[Any]) -> list[tuple[str, str]]:
    """The events with data. SDKs also give out events without data, which the standard does not have."""
    return [(event.event if event.event != "message" else "", event.data) for event in events if event.data]


@pytest.mark.parametrize("parser", PARSERS)
@given(seed=SEEDS)
def test_the_same_events_as_a_client_reads(parser: str, seed: int) -> None:
    """The bytes are valid UTF-8 without a byte order mark: SDKs refuse other bytes and lose the field behind a mark."""
    lines = fuzzing.odd_lines(random.Random(seed))
    data = lines.decode("utf-8", "replace").replace("\ufeff", "").encode()
    events = sse.cutter(10_000).feed(data)
    ours = [(event.event or "", event.data.decode()) for event in events if event.data]
    assert ours == [(name or "", text) for name, text in named(PARSERS[parser](data))]


# The fuzzer itself.


def with_members(codec: Codec, **changes: Any) -> Any:
    members = {name: getattr(codec, name) for name in vars(Codec) if not name.startswith("_")}
    return SimpleNamespace(**{**members, **changes})


def changed(codec: Codec, change: Callable[[list[Event]], list[Event]]) -> Any:
    """A codec whose decoder's events are changed."""

    class Changed:
        def __init__(self, inner: Decoder) -> None:
            self.inner, self.sent, self.seen = inner, inner.sent, inner.seen

        def feed(self, data: bytes) -> list[Event]:
            return change(self.inner.feed(data))

        def end(self) -> list[Event]:
            return change(self.inner.end())

    return with_members(codec, decoder=lambda **options: Changed(codec.decoder(**options)))


def unread(events: list[Event]) -> list[Event]:
    """Without the texts of new fields."""
    return [event for event in events if not (isinstance(event, Text) and event.unmapped)]


def crashing(events: list[Event]) -> list[Event]:
    if any(isinstance(event, Fault) for event in events):
        raise KeyError("a defect")
    return events


@pytest.mark.parametrize(
    ("change", "error"),
    [(unread, "neither read nor reported"), (crashing, "a defect")],
    ids=["unread", "crashing"],
)
@pytest.mark.parametrize("target", [fuzzing.fuzz_answer, fuzzing.fuzz_stream], ids=lambda target: target.__name__)
def test_a_defect_is_found(target: Target, change: Callable[[list[Event]], list[Event]], error: str) -> None:
    codec = changed(codecs()[0], change)

    def run() -> None:
        for seed in range(300):
            target(codec, random.Random(seed))

    with pytest.raises((AssertionError, KeyError), match=error):
        run()


def test_every_format_is_fuzzed_with_a_mark_that_is_read() -> None:
    """The material is not refused at once: of each format, requests and answers with the mark are read."""
    for codec in codecs():
        for target in (fuzzing.fuzz_request, fuzzing.fuzz_answer, fuzzing.fuzz_stream):
            if target is fuzzing.fuzz_stream and not fuzzing.is_answered(codec):
                continue
            edits: list[str] = []

            def edited(frame: Any, texts: Any, codec: Codec = codec, edits: list[str] = edits) -> bytes:
                edits.append(MARK)
                return codec.edited(frame, texts)

            watched = with_members(codec, edited=edited)
            for seed in range(100):
                target(watched, random.Random(seed))
            assert len(edits) > 4, f"{codec.name}: {target.__name__} edits {len(edits)} frames"
