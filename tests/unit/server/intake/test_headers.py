"""Headers: what of a client's goes to another upstream, and which of an answer's go on: known names whose values hold no
text, and none that repeats what was found."""

from __future__ import annotations

from contextlib import nullcontext
from ipaddress import ip_network
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import HttpVersion11
from multidict import CIMultiDict

from guardproxy.config import Config, load
from guardproxy.errors import ConfigError, DownstreamError, ErrorCode
from guardproxy.server.intake.headers import (
    check_head,
    check_passed_query,
    condition_headers,
    downstream_headers,
    is_trusted,
    named,
)
from guardproxy.server.upstream.request_headers import fallback_headers
from guardproxy.wire.contract import KeyHeader
from guardproxy.wire.formats.anthropic_messages.contract import CONTRACT as MESSAGES
from guardproxy.wire.formats.openai_chat.contract import CONTRACT as CHAT

USUAL = {
    "Content-Type": "application/json; charset=utf-8",
    "x-request-id": "req_011CSHoEeqs5C35K2UUqR7Fy",
    "request-id": "1b2c-3d",
    "retry-after": "12.5",
    "retry-after-ms": "900",
    "x-should-retry": "false",
    "openai-processing-ms": "512",
    "openai-version": "2020-10-01",
    "x-ratelimit-limit-requests": "10000",
    "x-ratelimit-reset-tokens": "6m0.5s",
    "anthropic-ratelimit-input-tokens-remaining": "80000",
    "anthropic-ratelimit-requests-reset": "2026-11-25T10:00:00Z",
}


@pytest.mark.parametrize(
    ("path", "says_slash"),
    [("//v1/chat/completions", True), ("/v1//models", True), ("/v1/../x", False), ("/v1/a b", False)],
)
def test_a_base_url_that_ends_with_a_slash_is_said(path: str, says_slash: bool) -> None:
    with pytest.raises(DownstreamError) as refused:
        check_head(asked(path), path, "")
    assert refused.value.code == ErrorCode.INVALID_PATH
    assert ("leave the slash at the end of the client's base URL out" in str(refused.value)) == says_slash


@pytest.mark.parametrize("header", [CHAT.key_header, MESSAGES.key_header])
def test_the_key_of_a_client_never_reaches_another_upstream(header: KeyHeader) -> None:
    sent = CIMultiDict(
        {"Authorization": "Bearer mine", "X-Api-Key": "mine", "api-key": "mine", "x-stainless-lang": "python"}
    )
    assert dict(fallback_headers(sent, header, "")) == {"x-stainless-lang": "python", "Accept-Encoding": "identity"}
    own = fallback_headers(sent, header, "theirs")
    assert "mine" not in str(own)
    assert own[header.name] == f"{header.prefix}theirs"
    assert sent["authorization"] == "Bearer mine"


def test_a_key_belongs_to_a_named_upstream() -> None:
    config = load({"upstream": ("https://a.example", "backup=https://b.example"), "upstream_key": ("backup=k=1",)}, {})
    assert config.upstreams.key_for("backup") == "k=1"
    assert config.upstreams.key_for("other") == ""
    assert config.upstreams.url_for("backup") == "https://b.example"
    assert "k=1" not in repr(config)
    for wrong in ("other=k", "backup=", "backup"):
        with pytest.raises(ConfigError, match="like backup=KEY"):
            load({"upstream": ("backup=https://b.example",), "upstream_key": (wrong,)}, {})


def test_a_client_is_not_flooded_with_signs_of_life() -> None:
    assert Config().timeouts.quiet_s == 10.0
    with pytest.raises(ConfigError, match="at least"):
        load({"upstream": ("https://a.example",), "quiet_s": 0.0}, {})


def kept(**headers: str) -> dict[str, str]:
    return dict(downstream_headers(CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})))


def test_what_clients_use_goes_on() -> None:
    assert dict(downstream_headers(CIMultiDict(USUAL))) == USUAL


@pytest.mark.parametrize(
    "name",
    ["set-cookie", "server", "date", "etag", "content-length", "transfer-encoding", "location", "x-echo", "x-prompt",
     "warning", "x-ratelimit-note", "openai-debug"],
)  # fmt: skip
def test_every_other_name_stays_behind(name: str) -> None:
    assert kept(**{name: "1"}) == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-request-id", "jane@corp.example"),
        ("x-request-id", "two words"),
        ("x-request-id", "x" * 129),
        ("x-request-id", ""),
        ("content-type", "text/html; jane doe"),
        ("x-ratelimit-limit-requests", "jane"),
        ("x-should-retry", "maybe"),
        ("retry-after", "-1"),
        ("retry-after", "999999999"),
        ("retry-after", "1.5.5"),
        ("retry-after-ms", "99999999"),
    ],
)
def test_a_value_of_another_shape_stays_behind(name: str, value: str) -> None:
    assert kept(**{name: value}) == {}


def test_what_the_connection_names_stays_behind() -> None:
    assert kept(connection="x-request-id", x_request_id="a") == {}


def test_what_repeats_a_value_that_was_found_stays_behind() -> None:
    headers = CIMultiDict({"x-request-id": "for-MARA-1", "request-id": "for-jo", "cf-ray": "%6Aane".replace("%", "x")})
    assert dict(downstream_headers(headers, ["mara", ""])) == {"request-id": "for-jo", "cf-ray": "x6Aane"}


def test_the_conversation_that_a_client_names_stays_here() -> None:
    headers = CIMultiDict({"x-guardproxy-conversation": "c-1", "content-language": "de", "x-other": "a"})
    assert named(headers) == ("de", "c-1")
    assert named(CIMultiDict()) == ("", "")


def test_only_the_headers_that_policies_ask_for_are_taken() -> None:
    headers = CIMultiDict([("X-Team", "red"), ("Authorization", "Bearer secret"), ("x-other", "1")])
    assert condition_headers(headers, ["x-team", "x-none"]) == {"x-team": "red"}
    assert condition_headers(headers, []) == {}


def test_a_header_that_decides_stands_there_once() -> None:
    headers = CIMultiDict([("X-Team", "red"), ("x-team", "blue")])
    with pytest.raises(DownstreamError, match="twice"):
        condition_headers(headers, ["x-team"])
    assert condition_headers(headers, ["x-other"]) == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("anthropic-ratelimit-unified-status", "allowed_warning"),
        ("anthropic-ratelimit-unified-5h-reset", "1760000000"),
        ("anthropic-ratelimit-unified-7d-utilization", "0.23"),
        ("anthropic-ratelimit-unified-representative-claim", "five_hour"),
        ("anthropic-ratelimit-unified-overage-disabled-reason", "out_of_credits"),
        ("x-ratelimit-limit-project-tokens", "150000000"),
        ("x-ratelimit-remaining-project-requests", "12"),
        ("x-ratelimit-reset-project-tokens", "6m0s"),
        ("apim-request-id", "0d8f0c4e-6f3c-4b7e-9a53-0a2f4f1f3b11"),
        ("x-ms-region", "East US 2"),
        ("x-ms-rai-invoked", "true"),
        ("x-ms-deployment-name", "gpt-4o-mini"),
        ("azureml-model-session", "d060-20250101"),
        ("x-envoy-upstream-service-time", "512"),
        ("x-request-id", "1c4f41111111111111118f0c4e6f3c4b"),
    ],
)
def test_the_families_that_providers_send_go_on(name: str, value: str) -> None:
    assert kept(**{name: value}) == {name: value}


CARD, TELEPHONE, ADDRESS = "4111-1111-1111-1111", "555-123-4567", "jane@corp.example"


@pytest.mark.parametrize("value", [CARD, CARD.replace("-", ""), TELEPHONE, ADDRESS, "jane roe lives here", "x" * 200])
@pytest.mark.parametrize(
    "name",
    ["x-request-id", "anthropic-ratelimit-unified-status", "x-ratelimit-limit-tokens", "x-ms-note", "azureml-model-note",
     "x-envoy-note", "x-ms-region", "apim-request-id", "retry-after"],
)  # fmt: skip
def test_no_family_carries_a_text(name: str, value: str) -> None:
    assert (value in ("jane roe lives here",) and name == "x-ms-region") or kept(**{name: value}) == {}


def test_a_setting_lets_more_names_of_answers_through() -> None:
    headers = CIMultiDict({"x-mine": "a b", "x-other": "1", "set-cookie": "a", "X-Card": CARD})
    assert dict(downstream_headers(headers, (), {"x-mine", "set-cookie", "x-card"})) == {"x-mine": "a b"}
    assert dict(downstream_headers(headers, ["A B"], {"x-mine"})) == {}


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [
        (("10.1.2.3", 5), True),
        (("::ffff:10.1.2.3", 5, 0, 0), True),
        (("11.1.2.3", 5), False),
        (("fe80::1%eth0", 5, 0, 0), True),
        ("", False),
        (None, False),
        (("name", 1), False),
    ],
)
def test_only_a_named_network_is_trusted(peer: object, trusted: bool) -> None:
    assert is_trusted(peer, [ip_network("10.0.0.0/8"), ip_network("fe80::/10")]) is trusted
    assert not is_trusted(peer, [])


NAMES = frozenset(("limit", "after", "include[]"))


@pytest.mark.parametrize("query", ["", "limit=20", "limit=20&after=model-4.1_b~x", "include%5B%5D=a,b", "limit="])
def test_a_route_that_is_passed_through_takes_the_parameters_that_settings_name(query: str) -> None:
    check_passed_query(query, NAMES)


@pytest.mark.parametrize(
    "query",
    [
        *("text=hello", "limit=20&text=hello", "limit=1&limit=2", "limit=a%20b", "limit=a+b", "hello", "&", "limit=1&"),
        *("Limit=1", "limit=" + "9" * 257, "limit=%41", "=1", "after=%E2%80%8B", "lim%69t=1&limit=1", "limit=1;text=x"),
    ],
)
def test_any_other_query_of_such_a_route_is_refused(query: str) -> None:
    with pytest.raises(DownstreamError, match="`pass_through_query`") as caught:
        check_passed_query(query, NAMES)
    assert caught.value.code == "invalid_query"


def asked(path: str, *headers: tuple[str, str]) -> Any:
    """A request as far as its head is checked."""
    about = {"is_spoken": True, "version": HttpVersion11, "headers": CIMultiDict(headers)}
    return SimpleNamespace(path=path, **about)


@pytest.mark.parametrize("names", [("Host", "Host"), ("host", "Host"), ("mcp-session-id", "Mcp-Session-Id")])
def test_a_header_that_must_stand_once_is_refused_in_any_case(names: tuple[str, str]) -> None:
    """In any release of multidict: some of them give a name once, however often it stands there."""
    request = asked("/v1/messages", *((name, "a.example") for name in names))
    with pytest.raises(DownstreamError, match="twice"):
        check_head(request, "/v1/messages", "")


def test_other_headers_may_stand_twice() -> None:
    check_head(asked("/x", ("Host", "a.example"), ("Accept", "text/plain"), ("accept", "text/html")), "/x", "")


@pytest.mark.parametrize(
    ("path", "is_right"),
    [
        ("/.well-known/oauth-protected-resource/mcp/a", True),
        ("/.well-known/../v1/messages", False),
        ("/.well-known/.hidden", False),
        ("/a/.well-known/b", False),
        ("/.wellknown", False),
        ("/.well-known", False),
    ],
)
def test_only_the_well_known_folder_begins_with_a_dot(path: str, is_right: bool) -> None:
    with nullcontext() if is_right else pytest.raises(DownstreamError):
        check_head(asked(path, ("Host", "a.example")), path, "")
