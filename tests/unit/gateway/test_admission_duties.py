"""Today's admission as duties: each refuses what it is there for, and lets everything else through unchanged."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import pytest
from multidict import CIMultiDict

from guardproxy.errors import DownstreamError
from guardproxy.gateway import (
    UNKNOWN,
    BodyHeaders,
    Capacity,
    Duty,
    Head,
    KnownTenants,
    Readiness,
    Routes,
    Tenancy,
    TenantNames,
    holder_of,
    rerun,
)
from guardproxy.gateway.clients import digest
from guardproxy.wire.contract import MediaTypes
from tests.kit.form_chat import FORM, FormChat
from tests.kit.plugins import Install

JSON = CIMultiDict({"Content-Type": "application/json"})
HEAD = Head("1", "POST", "/v1/messages", headers=JSON, route="POST /v1/messages")


def refusal(duty: Duty, head: Head) -> tuple[int, str]:
    with pytest.raises(DownstreamError) as refused:
        rerun([duty], head, [])
    return refused.value.status, refused.value.code


class Slots:
    draining = False

    def __init__(self, left: int) -> None:
        self.left = left

    def is_full(self) -> bool:
        return self.left == 0

    def take(self) -> bool:
        self.left -= not self.is_full()
        return self.left >= 0 and not self.is_full()


def test_readiness() -> None:
    assert rerun([Readiness(lambda: False, lambda: True)], HEAD, []) == HEAD
    assert refusal(Readiness(lambda: True, lambda: False), HEAD) == (503, "shutting_down")
    assert refusal(Readiness(lambda: False, lambda: False), HEAD) == (503, "audit_unavailable")


def test_routes() -> None:
    routes = Routes(["GET /v1/models"])
    for method, path in (("POST", "/v1/messages"), ("GET", "/v1/models")):
        head = Head("1", method, path, route=routes.route_of(method, path))
        assert rerun([routes], head, []).route == f"{method} {path}"
    for method, path, wanted in (
        ("GET", "/v1/messages", (405, "method_not_allowed")),
        ("POST", "/v1/models", (405, "method_not_allowed")),
        ("POST", "/v1/other", (404, "unknown_route")),
    ):
        head = Head("1", method, path, route=routes.route_of(method, path))
        assert head.route == UNKNOWN
        assert refusal(routes, head) == wanted


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/responses/resp_0123456789abcdef"),
        ("DELETE", "/v1/responses/resp_1"),
        ("POST", "/v1/responses/resp_1/cancel"),
        ("GET", "/v1/responses/resp_0123456789abcdef/input_items"),
        ("POST", "/v1/conversations"),
    ],
)
def test_a_route_that_a_format_refuses_says_what_to_do(method: str, path: str) -> None:
    routes = Routes([])
    head = Head("1", method, path, route=routes.route_of(method, path))
    with pytest.raises(DownstreamError, match="keep the answer of POST /v1/responses") as caught:
        rerun([routes], head, [])
    assert (caught.value.status, caught.value.code) == (404, "unknown_route")
    let_through = Routes([f"{method} {path}"])
    passed = Head("1", method, path, route=let_through.route_of(method, path))
    assert rerun([let_through], passed, []).route == f"{method} {path}"


def test_the_credential_becomes_a_tenant() -> None:
    tenancy = Tenancy(TenantNames([f"acme={digest('k-1')}"]), lambda data: hashlib.sha256(data).hexdigest())
    named = rerun([tenancy], HEAD.changed(headers={"Authorization": "Bearer k-1"}), [])
    other = rerun([tenancy], HEAD.changed(headers={"x-api-key": "k-2"}), [])
    without = rerun([tenancy], HEAD, [])
    assert (named.tenant_name, other.tenant_name, without.tenant_name) == ("acme", "", "")
    assert len({named.tenant, other.tenant, without.tenant}) == 3
    assert without.tenant == ""
    assert "k-1" not in named.tenant
    contradictory = HEAD.changed(headers={"Authorization": "Bearer k-1", "x-api-key": "k-2"})
    assert refusal(tenancy, contradictory) == (400, "two_credentials")
    assert rerun([KnownTenants()], named, []) == named
    assert refusal(KnownTenants(), other) == (401, "unknown_credential")
    open_head = other.changed(route="GET /.well-known/x")
    assert rerun([KnownTenants(["GET /.well-known/x"])], open_head, []) == open_head


def test_those_who_share_something_have_one_holder() -> None:
    clients = [("1", "acme"), ("2", "acme"), ("3", "globex"), ("4", ""), ("", "")]
    acme, globex = "tenant=acme", "tenant=globex"
    assert [holder_of("client", *client) for client in clients] == ["1", "2", "3", "4", ""]
    assert [holder_of("tenant", *client) for client in clients] == [acme, acme, globex, "4", ""]
    assert {holder_of("all", *client) for client in clients} == {"all"}


def test_capacity() -> None:
    slots = Slots(2)
    capacity = Capacity(slots)
    assert rerun([capacity], HEAD, []) == HEAD
    capacity.take()
    slots.left = 0
    assert refusal(capacity, HEAD) == (503, "no_capacity")
    with pytest.raises(DownstreamError, match="too many requests are in progress"):
        capacity.take()


@pytest.mark.parametrize(
    ("headers", "length_bytes", "wanted"),
    [
        ({"Content-Type": "application/json; charset=UTF-8"}, 100, None),
        ({"Content-Type": "application/json", "Content-Encoding": "gzip"}, None, None),
        ({"Content-Type": "text/plain"}, 1, (415, "unsupported_media_type")),
        ({"Content-Type": "application/json; charset=latin-1"}, 1, (415, "unsupported_media_type")),
        ({"Content-Type": "application/json", "Content-Encoding": "br"}, 1, (415, "unsupported_encoding")),
        ({"Content-Type": "application/json", "Content-Encoding": "gzip, gzip"}, 1, (415, "unsupported_encoding")),
        ({"Content-Type": "application/json"}, 101, (413, "request_too_large")),
    ],
)
def test_bodies(headers: dict[str, str], length_bytes: int | None, wanted: tuple[int, str] | None) -> None:
    mappings: Sequence[CIMultiDict[str] | dict[str, str]] = (headers, CIMultiDict(headers))
    for mapping in mappings:
        head = HEAD.changed(headers=mapping, length_bytes=length_bytes)
        if wanted:
            assert refusal(BodyHeaders(100), head) == wanted
        else:
            assert rerun([BodyHeaders(100)], head, []) == head


def test_a_route_that_goes_on_unread_may_have_any_body_of_that_size() -> None:
    head = Head("1", route="GET /v1/models", headers={"Content-Type": "text/plain"}, length_bytes=100)
    assert rerun([BodyHeaders(100)], head, []) == head
    assert refusal(BodyHeaders(100), head.changed(length_bytes=101)) == (413, "request_too_large")


def test_a_request_without_a_body_needs_no_content_type() -> None:
    for method in ("GET", "DELETE"):
        head = Head("1", method, route=f"{method} /mcp/{{server}}")
        assert rerun([BodyHeaders(100)], head, []) == head
    head = Head("1", "POST", route="POST /mcp/{server}")
    assert refusal(BodyHeaders(100), head) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("accepted", "content_type", "is_accepted"),
    [
        (FORM, FORM, True),
        (FORM, f"{FORM}; charset=utf-8", True),
        (FORM, f"{FORM}; boundary=x", False),
        (FORM, "application/json", False),
        ("multipart/form-data", "Multipart/Form-Data; boundary=aZ9-", True),
        ("multipart/form-data", 'multipart/form-data; boundary="a b"', False),
        ("multipart/form-data", "multipart/form-data; charset=latin-1", False),
    ],
)
def test_a_format_declares_the_bodies_that_it_reads(
    install: Install, accepted: str, content_type: str, is_accepted: bool
) -> None:
    media = MediaTypes("application/json", "text/event-stream", (accepted,))
    codec = FormChat()
    codec.contract = replace(codec.contract, media=media)
    install("guardproxy.wire", "form_chat", codec)
    head = Head("1", route="POST /models/m/chat", headers={"Content-Type": content_type}, length_bytes=1)
    if is_accepted:
        assert rerun([BodyHeaders(100)], head, []) == head
    else:
        assert refusal(BodyHeaders(100), head) == (415, "unsupported_media_type")
