"""Headers: what a request is by HTTP, and what changes in the headers that Envoy has."""

from __future__ import annotations

from guardproxy.ext_proc.headers import answer_change, first, of_request, of_whole, request_change
from guardproxy.ext_proc.messages import Mutation

BEFORE = [
    (":method", "POST"),
    (":path", "/v1/x"),
    (":authority", "api.example"),
    ("host", "other.example"),
    ("content-length", "7"),
    ("transfer-encoding", "chunked"),
    ("x-envoy-internal", "true"),
    ("cookie", "a=b"),
    ("accept", "a"),
    ("accept", "b"),
    ("user-agent", "me"),
]


def test_the_first_value_of_a_header() -> None:
    assert first(BEFORE, "accept") == "a"
    assert first(BEFORE, "none") == ""


def test_a_request_by_http() -> None:
    own = of_request([*BEFORE, ("expect", "100-continue")])
    assert own[0] == ("Host", "api.example")
    assert [name for name, _ in own].count("host") == 0
    assert not [name for name, _ in own if name.startswith(":") or name == "expect"]
    assert of_request([("host", "a")]) == [("Host", "a")]


def test_a_request_gets_the_headers_that_are_wanted() -> None:
    wanted = [("User-Agent", "me"), ("Accept", "c"), ("Authorization", "Bearer k"), ("Content-Length", "9")]
    assert request_change(BEFORE, "/v1/x", wanted) == Mutation(
        [("accept", "c"), ("authorization", "Bearer k")], ["cookie"]
    )
    assert request_change(BEFORE, "/v1/y?a=b", [("accept", "a"), ("accept", "b"), ("user-agent", "me")]) == Mutation(
        [(":path", "/v1/y?a=b")], ["cookie"]
    )


def test_a_header_with_several_values_gets_all_of_them() -> None:
    change = request_change(BEFORE, "/v1/x", [("accept", "a"), ("accept", "z")])
    assert change.setting == [("accept", "a"), ("accept", "z")]


def test_headers_of_envoy_stay_with_the_form_that_it_writes() -> None:
    right = [("x-forwarded-for", "192.0.2.1, 2001:db8::1"), ("x-forwarded-proto", "https")]
    assert request_change([(":path", "/"), *right], "/", []).removing == []
    wrong = [("x-forwarded-for", "a text"), ("x-forwarded-proto", "a text"), ("x-forwarded-host", "a")]
    assert request_change([(":path", "/"), *wrong], "/", []).removing == [name for name, _ in wrong]
    both = [("x-forwarded-for", "192.0.2.1"), ("x-forwarded-for", "a text")]
    assert request_change([(":path", "/"), *both], "/", []).removing == ["x-forwarded-for"]


def test_an_answer_gets_the_headers_that_are_wanted() -> None:
    before = [
        (":status", "200"),
        ("content-length", "7"),
        ("date", "now"),
        ("set-cookie", "a"),
        ("content-type", "a/b"),
    ]
    wanted = [("Content-Type", "a/b"), ("x-guardproxy-id", "7"), ("Transfer-Encoding", "chunked")]
    assert answer_change(before, 200, wanted) == Mutation([("x-guardproxy-id", "7")], ["set-cookie", "content-length"])
    assert answer_change(before[:1], 502, []) == Mutation([(":status", "502")], [])


def test_an_answer_of_the_proxy_has_no_headers_of_a_connection() -> None:
    assert of_whole([("Content-Type", "a/b"), ("Content-Length", "7"), ("Connection", "close")]) == [
        ("content-type", "a/b")
    ]
