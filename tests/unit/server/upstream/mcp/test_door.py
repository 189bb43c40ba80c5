"""The door of a server: origins, the headers of both directions, and where its authorization is described."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from multidict import CIMultiDict

from guardproxy.config import Config
from guardproxy.errors import DownstreamError
from guardproxy.gateway import Head
from guardproxy.gateway.clients.credentials import Credential
from guardproxy.server.upstream.mcp.challenges import METADATA_ROUTE, metadata_path
from guardproxy.server.upstream.mcp.door import McpDoor, McpDoors
from guardproxy.server.upstream.mcp.tokens import bearer_tokens

ISSUER = "https://login.example"
TOKENS = {"jwt_keys": "keys.json", "jwt_issuer": ISSUER, "jwt_audience": ("guard",)}


def seal(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def doors(**settings: Any) -> McpDoors:
    config = Config.of(mcp=("files=https://up.example/base/mcp/",), **settings)
    return McpDoors(config, seal, bearer_tokens(config))


def head(tenant: str = "t", **headers: str) -> Head:
    sent = CIMultiDict({"Host": "proxy:8080", **{name.replace("_", "-"): value for name, value in headers.items()}})
    return Head("1", "POST", "/mcp/files", headers=sent, route="POST /mcp/{server}", tenant=tenant)


def door(opened: McpDoors, about: Head | None = None) -> McpDoor:
    found = opened.door("mcp/files", about or head())
    assert found
    return found


def test_other_formats_have_no_door() -> None:
    assert doors().door("openai", head()) is None


@pytest.mark.parametrize(
    ("settings", "base"),
    [
        ({}, "http://proxy:8080"),
        ({"tls_cert": ("cert.pem",)}, "https://proxy:8080"),
        ({"mcp_address": "https://guard.example/", "tls_cert": ("cert.pem",)}, "https://guard.example"),
    ],
)
def test_a_refusal_names_the_address_by_which_the_client_came(settings: dict[str, Any], base: str) -> None:
    assert f'resource_metadata="{base}/' in door(doors(**TOKENS, **settings)).refusal()["WWW-Authenticate"]


@pytest.mark.parametrize(("name", "url"), [("files", "https://up.example/base/mcp/"), ("none", "")])
def test_a_server_is_the_upstream_of_its_name(name: str, url: str) -> None:
    opened = doors()
    found = opened.door(f"mcp/{name}", head())
    assert found
    assert opened.upstream(found) == (f"mcp/{name}", url, "", True)


@pytest.mark.parametrize("origin", ["https://app.example", "http://localhost:3000", "http://[::1]", None])
def test_known_pages_may_call(origin: str | None) -> None:
    doors(mcp_origin=("https://app.example",)).check_origin({} if origin is None else {"Origin": origin})


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "",
        "http://localhost.evil.example",
        "https://app.example.evil",
        "http://localhost:",
    ],
)
def test_other_pages_may_not(origin: str) -> None:
    with pytest.raises(DownstreamError) as caught:
        doors(mcp_origin=("https://app.example",)).check_origin({"Origin": origin})
    assert caught.value.status == 403


def test_a_session_and_an_event_reach_the_server_as_it_gave_them() -> None:
    first, answer = door(doors()), CIMultiDict[str]()
    assert first.pass_on(head(), CIMultiDict()) == ""
    first.amend(answer, {"Mcp-Session-Id": "abc", "Mcp-Other": "x"})
    sealed = answer["mcp-session-id"]
    headers = CIMultiDict({"Mcp-Session-Id": "raw", "Last-Event-ID": "raw"})
    assert door(doors()).pass_on(head(Mcp_Session_Id=sealed, Last_Event_ID="s_1"), headers) == "abc"
    assert dict(headers) == {"Mcp-Session-Id": "abc", "Last-Event-ID": "s_1"}
    with pytest.raises(DownstreamError):
        door(doors()).pass_on(head("another", Mcp_Session_Id=sealed), CIMultiDict())


@pytest.mark.parametrize("event", ["a b", "x" * 129, "4111111111111111", "mara@example.com", "é"])
def test_what_no_server_gave_is_no_event(event: str) -> None:
    with pytest.raises(DownstreamError) as caught:
        door(doors()).pass_on(head(Last_Event_ID=event), CIMultiDict())
    assert caught.value.status == 400


def test_metadata_is_asked_for_without_words_of_the_client() -> None:
    about = head(Mcp_Session_Id="x", Last_Event_ID="y").changed(route=METADATA_ROUTE, path="/.well-known/x/mcp/files")
    opened = doors(mcp_token=("files=secret",))
    found = opened.door("openai", about)
    assert found
    assert found.asks_metadata
    headers = CIMultiDict[str]()
    assert found.pass_on(about, headers) == ""
    assert (dict(headers), opened.upstream(found).key) == ({}, "")


def test_a_challenge_leads_to_the_proxy_and_the_proxy_to_the_server() -> None:
    opened = doors()
    told, answer = door(opened), CIMultiDict[str]()
    places = ("/base/mcp", "/mcp/files", "")
    standard = tuple(f"/.well-known/oauth-protected-resource{place}" for place in places)
    assert told.metadata_paths("/base/mcp/") == standard
    told.amend(answer, {"WWW-Authenticate": 'Bearer resource_metadata="https://evil.example/.well-known/of/me"'})
    own = "http://proxy:8080/.well-known/oauth-protected-resource/mcp/files"
    assert answer["www-authenticate"] == f'Bearer resource_metadata="{own}"'
    assert door(opened).metadata_paths("/base/mcp/") == (
        "/.well-known/of/me",
        *standard,
    )  # of the server, not of others


@pytest.mark.parametrize(
    "url", ["https://h/x", "https://h/.well-known/../a", "https://h/.well-known/a?b", "/.well-known/", ""]
)
def test_metadata_is_at_a_well_known_place(url: str) -> None:
    expected = "/.well-known/a" if url.endswith("a?b") else ""
    assert metadata_path(f'Bearer resource_metadata="{url}"') == expected


def test_authorization_that_ends_here_is_described_here() -> None:
    ending = door(doors(**TOKENS, mcp_address="https://guard.example/"))
    assert json.loads(ending.own_metadata) == {
        "resource": "https://guard.example/mcp/files",
        "authorization_servers": [ISSUER],
        "bearer_methods_supported": ["header"],
    }
    metadata = "https://guard.example/.well-known/oauth-protected-resource/mcp/files"
    assert ending.refusal() == {"WWW-Authenticate": f'Bearer resource_metadata="{metadata}"'}
    answer = CIMultiDict[str]()
    ending.amend(answer, {"WWW-Authenticate": "Bearer"})
    assert not answer
    assert door(doors(**TOKENS, client_keys_mode="shadow")).own_metadata == b""
    assert door(doors(client_keys=Path("keys"))).refusal() == {"WWW-Authenticate": "Bearer"}


def test_a_renewed_token_of_the_client_keeps_its_session() -> None:
    def of(end: int) -> Credential:
        payload = json.dumps({"iss": "i", "sub": "mara", "exp": end}).encode()
        import base64

        return Credential(f"e30.{base64.urlsafe_b64encode(payload).rstrip(b'=').decode()}.s{end}", {})

    first, answer = door(doors()), CIMultiDict[str]()
    first.pass_on(head("t1").changed(credential=of(1)), CIMultiDict())
    first.amend(answer, {"Mcp-Session-Id": "abc"})
    again = head("t2", Mcp_Session_Id=answer["mcp-session-id"]).changed(credential=of(2))
    assert door(doors()).pass_on(again, CIMultiDict()) == "abc"
