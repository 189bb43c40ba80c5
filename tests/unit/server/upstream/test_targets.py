"""Where an exchange may be sent: keys go only where they belong, and who cannot be asked now."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import formatdate

import pytest
from multidict import CIMultiDict

from guardproxy.config import Config
from guardproxy.errors import ErrorCode, UpstreamError
from guardproxy.server.upstream import targets as module
from guardproxy.server.upstream.targets import LIMIT_REST_S, LIMIT_RESTS, Availability, FoundUpstream, Targets, rest_of
from guardproxy.server.upstream.upstream import Breakers
from guardproxy.wire import installed

URLS = {name: f"http://{name}.example" for name in ("main", "spare")}
CHAT = installed().codec_for("POST /v1/chat/completions")


def find(name: str) -> FoundUpstream:
    return FoundUpstream(name, URLS[name], f"key-of-{name}")


def targets(availability: Availability | None = None, holder: str = "t1") -> Targets:
    assert CHAT
    headers = CIMultiDict({"Authorization": "Bearer of-the-client", "X-Team": "3", "Accept": "application/json"})
    own, key_header = find("main"), CHAT.contract.key_header
    return Targets(find, availability or Availability(), own, "/v1/chat?x=1", headers, key_header, holder)


@pytest.mark.parametrize("name", ["", "main"])
def test_the_own_upstream_gets_the_request_as_it_would_without_a_route(name: str) -> None:
    url, headers = targets().ask(name)
    assert url == "http://main.example/v1/chat?x=1"
    assert dict(headers) == {"Authorization": "Bearer of-the-client", "X-Team": "3", "Accept": "application/json"}


def test_another_upstream_gets_the_key_of_the_proxy_and_no_header_of_the_account() -> None:
    url, headers = targets().ask("spare")
    assert url == "http://spare.example/v1/chat?x=1"
    assert headers["Authorization"] == "Bearer key-of-spare"
    assert "X-Team" not in headers


@pytest.mark.parametrize(
    ("headers", "rest_s"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"retry-after-ms": "250", "Retry-After": "7"}, 0.25),
        ({"Retry-After": "99999999"}, LIMIT_REST_S),
        ({"Retry-After": formatdate(1_000_030, usegmt=True)}, 30.0),
        ({"Retry-After": formatdate(999_000, usegmt=True)}, 0.0),
        ({"Retry-After": "soon"}, 0.0),
        ({"Retry-After": "-5"}, 0.0),
        ({"Retry-After": "nan"}, 0.0),
        ({"Retry-After": "1e9"}, 0.0),
        ({"Retry-After": "١"}, 0.0),
        ({"Retry-After": "9" * 5000}, 0.0),
        ({"Retry-After": f"Mon, 01 Jan {'9' * 20} 00:00:00 GMT"}, 0.0),
        ({}, 0.0),
    ],
)
def test_how_long_an_upstream_rests(headers: Mapping[str, str], rest_s: float) -> None:
    assert rest_of(CIMultiDict(headers), 1_000_000.0) == rest_s


def test_an_upstream_rests_after_429_and_its_breaker_stays_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """voidllm#184: a 429 fails over, and must not count as a fault of the upstream."""
    now_s = [100.0]
    monkeypatch.setattr(module, "_clock", lambda: now_s[0])
    breakers = Breakers(Config.of(upstream=tuple(f"{name}={url}" for name, url in URLS.items())))
    availability = Availability(breakers)
    asked = targets(availability)
    assert asked.unavailable(("main", "spare")) == ()
    asked.ask("spare")
    asked.note(429, {"Retry-After": "7"})
    assert targets(availability, "t2").unavailable(("main", "spare")) == ("spare",)
    assert set(breakers.states().values()) == {"closed"}
    now_s[0] += 7
    assert asked.unavailable(("main", "spare")) == ()


def test_the_limit_of_a_client_concerns_this_client_only() -> None:
    availability = Availability()
    asked = targets(availability, "t1")
    asked.note(429, {"Retry-After": "7"})
    assert asked.unavailable(("", "main", "spare")) == ("", "main")
    assert targets(availability, "t2").unavailable(("main",)) == ()


@pytest.mark.parametrize(("status", "header"), [(503, "7"), (429, "0"), (404, "7")])
def test_other_answers_do_not_make_an_upstream_rest(status: int, header: str) -> None:
    asked = targets()
    asked.note(status, {"Retry-After": header})
    assert asked.unavailable(("main",)) == ()


def test_an_open_breaker_makes_an_upstream_unavailable() -> None:
    breakers = Breakers(Config.of(upstream=tuple(f"{name}={url}" for name, url in URLS.items()), breaker_failures=1))
    breaker = breakers.of(URLS["spare"])
    ticket = breaker.enter(module._clock())
    assert ticket
    breaker.leave(ticket, "failed", module._clock())
    assert targets(Availability(breakers)).unavailable(("main", "spare")) == ("spare",)


def test_rests_are_bounded_and_those_that_are_over_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [0.0]
    monkeypatch.setattr(module, "_clock", lambda: now_s[0])
    availability = Availability()
    for number in range(LIMIT_RESTS + 1):
        availability.note("http://a", f"t{number}", {"Retry-After": "5"})
    assert availability.is_resting("http://a", "t0")
    assert not availability.is_resting("http://a", f"t{LIMIT_RESTS}")
    now_s[0] = 6.0
    availability.note("http://a", "new", {"Retry-After": "5"})
    assert availability.is_resting("http://a", "new")
    assert not availability.is_resting("http://a", "t0")


@pytest.mark.parametrize("status", [401, 403])
def test_what_an_upstream_says_of_the_proxys_key_stays_here(status: int) -> None:
    asked = targets()
    asked.ask("main")
    asked.note(status, {})
    asked.ask("spare")
    with pytest.raises(UpstreamError, match=f"refused the key of the proxy with status {status}") as raised:
        asked.note(status, {})
    assert raised.value.code == ErrorCode.UPSTREAM_KEY_REFUSED


def test_a_header_for_every_upstream_reaches_every_upstream() -> None:
    asked = targets()
    asked.add("traceparent", "00-1")
    assert [asked.ask(name)[1]["traceparent"] for name in ("", "spare")] == ["00-1", "00-1"]
