"""The remote check, without a network: what it asks, what it takes for an answer, how it fails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.checks._shared.declared.contract import Resources, build
from guardproxy.errors import OptionError, RemoteError
from guardproxy.findings import Channel, Facts, Finding, Scan, Window
from tests.kit.checks import CHANNEL, assert_invariant, promise

URL = "https://dlp.example/check"


class Service:
    """Finds every `falcon`, or says what it is told to."""

    def __init__(self, says: Any = None) -> None:
        self.says = says
        self.asked: list[Mapping[str, Any]] = []

    def submit(self, queries: Sequence[Mapping[str, Any]]) -> Future[Any]:
        self.asked += queries
        future: Future[Any] = Future()
        if isinstance(self.says, Exception):
            future.set_exception(self.says)
        else:
            future.set_result(self.says if self.says is not None else [_judged(one["text"]) for one in queries])
        return future


def _judged(text: str) -> dict[str, Any]:
    starts = [at for at in range(len(text)) if text.startswith("falcon", at)]
    return {"findings": [{"start": at, "end": at + 6, "label": "BIRD"} for at in starts]}


def check(service: Service | None, **options: Any) -> Any:
    remote = (lambda url, timeout_s: service) if service else None
    return build("http", "dlp", {"url": URL, **options}, Resources(remote=remote))


def scan(service: Service | None, *windows: Window) -> list[Scan]:
    found: list[Scan] = check(service).scan(windows)
    return found


def test_a_whole_text_is_asked_once_and_what_is_found_comes_back() -> None:
    service = Service()
    window = Window(
        Channel("request", "user", "messages[0].content"), "a falcon", facts=Facts("POST /a", "m", language="de")
    )
    assert scan(service, window) == [Scan((Finding(2, 8, "dlp", "BIRD", 1.0),), 8, 0)]
    assert service.asked == [
        {
            "check": "dlp",
            "text": "a falcon",
            "direction": "request",
            "kind": "user",
            "route": "POST /a",
            "model": "m",
            "language": "de",
        }
    ]


def test_blank_texts_and_texts_that_go_on_are_not_asked() -> None:
    service = Service()
    found = scan(service, Window(CHANNEL, " \n"), Window(CHANNEL, "a falcon", last=False), Window(CHANNEL, "falcon"))
    assert found == [Scan((), 2, 0), Scan((), 0, 0), Scan((Finding(0, 6, "dlp", "BIRD", 1.0),), 6, 0)]
    assert len(service.asked) == 1
    assert scan(service, Window(CHANNEL, "", last=True)) == [Scan((), 0, 0)]
    assert len(service.asked) == 1


@promise
@given(st.text(st.sampled_from("falcon \u00e9\U0001f985"), max_size=40), st.lists(st.integers(0, 40), max_size=5))
def test_however_the_text_is_cut(text: str, cuts: list[int]) -> None:
    assert_invariant(check(Service()), text, [cut for cut in cuts if cut <= len(text)])


def finding(**changes: Any) -> list[Any]:
    return [{"findings": [{"start": 0, "end": 2, "label": "BIRD", "score": 0.5, **changes}]}]


@pytest.mark.parametrize(
    "says",
    [
        [],
        {},
        "no",
        [{}],
        [[]],
        [{"findings": {}}],
        [{"findings": [1]}],
        [{"findings": []}, {"findings": []}],
        finding(start=-1),
        finding(end=9),
        finding(start=2, end=2),
        finding(start=True),
        finding(end=2.0),
        finding(label="bird"),
        finding(label=None),
        finding(score=1.5),
        finding(score=float("nan")),
        finding(score="high"),
        [{"findings": [{"start": 0, "end": 1, "label": "A"}] * 1001}],
        RemoteError("the service did not answer"),
    ],
)
def test_what_is_no_answer_is_a_failure(says: Any) -> None:
    assert scan(Service(says), Window(CHANNEL, "falcon")) == [Scan((), 0, 0, "RemoteError")]


def test_a_failure_is_that_of_the_texts_that_were_asked() -> None:
    found = scan(Service([]), Window(CHANNEL, "falcon"), Window(CHANNEL, "fal", last=False))
    assert [one.error for one in found] == ["RemoteError", ""]


def test_an_answer_that_can_be_one() -> None:
    (found,) = scan(Service(finding(extra=1)), Window(CHANNEL, "falcon"))
    assert found.findings == (Finding(0, 2, "dlp", "BIRD", 0.5),)


def test_where_nobody_may_be_asked_it_fails() -> None:
    assert scan(None, Window(CHANNEL, "falcon")) == [Scan((), 0, 0, "RemoteError")]
    assert scan(None, Window(CHANNEL, " ")) == [Scan((), 1, 0)]


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"url": "dlp.example"}, "url"),
        ({"url": "ftp://dlp.example/"}, "url"),
        ({"url": "https://user@dlp.example/"}, "url"),
        ({"url": "https://dlp.example:port/"}, "url"),
        ({"url": "https:///check"}, "url"),
        ({"url": "https://dlp.example/#a"}, "url"),
        ({"url": 7}, "url"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"timeout_s": 61}, "timeout_s"),
        ({"timeout_s": True}, "timeout_s"),
        ({"timeout_s": "2"}, "timeout_s"),
        ({"sensitive": "no"}, "sensitive"),
        ({"revision": 2}, "revision"),
        ({"timeout": 2}, "timeout"),
    ],
)
def test_options_that_cannot_be_meant(options: dict[str, Any], key: str) -> None:
    with pytest.raises(OptionError) as caught:
        check(Service(), **options)
    assert caught.value.key == key


def test_the_digest_says_which_service_it_is_but_not_how_long_it_may_take() -> None:
    plain = check(Service()).digest
    assert check(Service(), timeout_s=5).digest == plain
    assert check(Service(), revision="2026-11").digest != plain
    assert check(Service(), url="https://other.example").digest != plain
    assert not check(Service(), sensitive=False).traits.is_sensitive


def test_the_service_is_looked_up_with_its_deadline() -> None:
    asked: list[tuple[str, float]] = []

    def remote(url: str, timeout_s: float) -> Service:
        asked.append((url, timeout_s))
        return Service()

    build("http", "dlp", {"url": URL, "timeout_s": 1}, Resources(remote=remote))
    assert asked == [(URL, 1.0)]
