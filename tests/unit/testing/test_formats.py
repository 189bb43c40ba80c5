"""Every shipped format keeps the promises of the conformance suite, and the suite notices what is broken."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec import structs

from guardproxy import testing
from guardproxy.events import End, Event, Fault, Frame, Text
from guardproxy.findings import Direction, Kind
from guardproxy.testing import PROMISES, formats
from guardproxy.testing.formats import OF_MODELS, Promise
from guardproxy.wire.contract.calls import NO_CALLS
from guardproxy.wire.contract.codec import Codec, Decoder, Request
from guardproxy.wire.contract.contract import NO_DEMAND
from guardproxy.wire.registry import codecs
from tests.kit.form_chat import CODEC as FORM_CHAT


@pytest.mark.parametrize(
    ("codec", "promise"),
    [
        pytest.param(codec, promise, id=f"{codec.name} {promise.__name__}")
        for codec in [*codecs(), FORM_CHAT]
        for promise in testing.promises(codec)
    ],
)
def test_a_format_keeps_a_promise(codec: Codec, promise: Promise) -> None:
    promise(codec)


CHAT = codecs()[0]


def broken(**changes: Any) -> Any:
    """The first format with other members."""
    members = {name: getattr(CHAT, name) for name in vars(Codec) if not name.startswith("_")}
    return SimpleNamespace(**{**members, **changes})


def declaring(**changes: Any) -> Any:
    """The first format with another contract."""
    return broken(contract=replace(CHAT.contract, **changes))


def decoding(change: Callable[[list[Event]], list[Event]], *, at_end: bool = False) -> Any:
    """The first format with a decoder whose events are changed: those of each piece, or those of the end."""

    class Changed:
        def __init__(self, inner: Decoder) -> None:
            self.inner, self.sent, self.seen = inner, inner.sent, inner.seen

        def feed(self, data: bytes) -> list[Event]:
            events = self.inner.feed(data)
            return events if at_end else change(events)

        def end(self) -> list[Event]:
            return change(self.inner.end())

    return broken(decoder=lambda **options: Changed(CHAT.decoder(**options)))


def reading(change: Callable[[list[Event]], list[Event]]) -> Any:
    """The first format with requests whose events are changed."""

    def read_request(path: str, query: str, body: bytes) -> Request:
        request = CHAT.read_request(path, query, body)
        return structs.replace(request, events=lambda: change(request.events()))

    return broken(read_request=read_request)


def known(events: list[Event]) -> list[Event]:
    """Without the texts of fields that the format does not have."""
    return [event for event in events if not (isinstance(event, Text) and event.unmapped)]


def closing(events: list[Event]) -> list[Event]:
    """Every text is closed with its piece."""
    return [*events, *(End(event.channel) for event in events if isinstance(event, Text))]


def faultless(events: list[Event]) -> list[Event]:
    """Without faults."""
    return [event for event in events if not isinstance(event, Fault)]


def without(direction: Direction, kind: Kind) -> dict[Direction, frozenset[Kind]]:
    """The kinds that the first format carries, without one."""
    carries = CHAT.contract.carries
    return {**carries, direction: carries[direction] - {kind}}


def unedited(frame: Frame, texts: Sequence[tuple[Text, str]]) -> bytes:
    """A frame as it came."""
    return frame.data


NOTHING = re.compile("(?!)")


@pytest.mark.parametrize(
    ("promise", "codec"),
    [
        ("knows_its_fields", declaring(denied={"x_unknown": "does it"})),
        ("knows_its_fields", broken(has_field=lambda path: False)),
        ("knows_its_fields", broken(has_field=lambda path: True)),
        ("declares", broken(routes=("POST /v1/{x}", "POST /v1/{y}"))),
        ("declares", broken(routes=())),
        ("declares", broken(contract=None)),
        ("declares", declaring(parts={"answer": None, "tool": None, "input": None})),
        ("declares", declaring(unanswered=frozenset(("POST /nowhere",)))),
        ("reads_requests", declaring(carries=without("request", "user"))),
        ("reads_requests", broken(edited=unedited)),
        ("reads_requests", reading(lambda events: [])),
        ("reads_new_fields_of_requests", reading(known)),
        ("reads_answers", declaring(carries=without("response", "metadata"))),
        ("reads_answers", decoding(lambda events: [])),
        ("is_invariant", decoding(closing)),
        ("reads_new_fields_of_answers", decoding(known, at_end=True)),
        ("reads_new_frames", decoding(known)),
        ("notices_truncated_bodies", decoding(faultless, at_end=True)),
        ("notices_truncation", decoding(faultless, at_end=True)),
        ("ends_once", declaring(terminal=(b"data: {}\n\n",))),
        ("writes_errors_in_streams", broken(error_event=lambda code, message, decoder: b"")),
        ("writes_errors", broken(error=lambda *words: b'{"error": {"message": ""}}')),
        ("writes_endings", broken(filtered=lambda decoder, message: b"")),
        ("writes_endings", broken(keep_alive=lambda: b'data: {"x": "y"}\n\n')),
        ("edits_requests", broken(edited=unedited)),
        ("reads_other_models", broken(turns=SimpleNamespace(with_model=lambda path, tree, model: (path, tree)))),
        ("changes_system_prompts", broken(turns=SimpleNamespace(system_of=str, with_system=lambda tree, change: tree))),
        ("restores", broken(edited=unedited)),
        ("edits_answers", broken(edited=unedited)),
        ("edits_answers", broken(filtered=lambda decoder, message: b"")),
        ("edits_answers", broken(cut=unedited)),
        ("applies_schemas", declaring(parts={**CHAT.contract.parts, "answer": NOTHING})),
        ("applies_schemas", declaring(parts={**CHAT.contract.parts, "tool": NOTHING})),
        ("applies_schemas", declaring(parts={**CHAT.contract.parts, "input": NOTHING})),
        ("applies_schemas", declaring(demand=lambda tree: NO_DEMAND)),
        ("judges_calls", declaring(calls=NO_CALLS)),
        ("judges_calls", declaring(calls=replace(CHAT.contract.calls, made="request"))),
        ("asks_again", broken(turns=SimpleNamespace(further=lambda tree, *words: tree, first_words=str))),
        ("limits_lists", declaring(limits={"messages": ("turns",), "tools": ()})),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_broken_format_is_noticed(promise: str, codec: Codec) -> None:
    (check,) = [each for each in PROMISES if each.__name__ == promise]
    with pytest.raises(AssertionError):
        check(codec)


def test_one_call_holds_a_format_to_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(formats, "PROMISES", tuple(lambda codec, name=name: seen.append(name) for name in "ab"))
    testing.codec(CHAT)
    assert seen == ["a", "b"]


def test_promises_about_models_apply_where_a_model_answers() -> None:
    assert testing.promises(CHAT) == PROMISES
    unanswered = declaring(unanswered=frozenset(CHAT.routes))
    applied = testing.promises(unanswered)
    assert {promise for promise in PROMISES if promise not in applied} == OF_MODELS
    assert {"declares", "reads_requests", "reads_answers", "edits_requests"} <= {
        promise.__name__ for promise in applied
    }
    with pytest.raises(AssertionError, match="needs a model"):
        formats.reads_requests(unanswered)
