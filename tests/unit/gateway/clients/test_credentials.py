"""Credentials: one normal form, and nothing that two readers could read in two ways."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from guardproxy.errors import DownstreamError
from guardproxy.gateway.clients.credentials import (
    digest,
    moved_from_query,
    read_credential,
    read_secret,
    refuse_in_query,
)
from guardproxy.gateway.duties.tenants import TenantNames
from guardproxy.wire import installed


@pytest.mark.parametrize(
    ("sent", "secret", "onward"),
    [
        ([], "", {}),
        ([("Authorization", "Bearer k")], "k", {"authorization": "Bearer k"}),
        ([("AUTHORIZATION", "bearer   k")], "k", {"authorization": "Bearer k"}),
        ([("authorization", "Basic dTpw")], "Basic dTpw", {"authorization": "Basic dTpw"}),
        ([("authorization", "BASIC dTpw")], "Basic dTpw", {"authorization": "Basic dTpw"}),
        ([("X-Api-Key", "k")], "k", {"x-api-key": "k"}),
        ([("api-key", "k")], "k", {"api-key": "k"}),
        ([("x-goog-api-key", "k")], "k", {"x-goog-api-key": "k"}),
        ([("authorization", "Bearer k"), ("x-api-key", "k")], "k", {"authorization": "Bearer k", "x-api-key": "k"}),
        ([("authorization", ""), ("x-api-key", "k")], "k", {"x-api-key": "k"}),
        ([("authorization", "Bearer"), ("x-api-key", " ")], "", {}),
        ([("cookie", "k"), ("proxy-authorization", "Bearer k")], "", {}),
    ],
)
def test_a_credential_has_one_normal_form(sent: list[tuple[str, str]], secret: str, onward: dict[str, str]) -> None:
    read = read_credential(CIMultiDict(sent))
    assert (read.secret, dict(read.headers)) == (secret, onward)


@pytest.mark.parametrize("name", installed().headers.credentials)
@pytest.mark.parametrize("second", ["Bearer b", "Bearer a", "", " "])
def test_a_repeated_header_is_refused(name: str, second: str) -> None:
    for pair in (("Bearer a", second), (second, "Bearer a")):
        with pytest.raises(DownstreamError) as caught:
            read_credential(CIMultiDict([(name, value) for value in pair]))
        assert (caught.value.status, caught.value.code) == (400, "repeated_credential")


@pytest.mark.parametrize(
    "sent",
    [
        {"authorization": "Bearer a", "x-api-key": "b"},
        {"x-goog-api-key": "a", "api-key": "b"},
        {"authorization": "Basic dTpw", "x-api-key": "dTpw"},
        *({"authorization": value} for value in (
            "Bearer\ta", "Bearer a b", "Bearer a, Bearer b", "Bearer a,b", "Bearer Bearer a", "a", "Token a", "Digest a=b",
            'Bearer "a"', "Bearer a;b", "Bearer,a", "Bearer:a", "Basic a", "Basic dTpw=", "Basic dTpx", "Basic", "Bearer \ta",
            "Bearera b", "AWS4-HMAC-SHA256 Credential=a", "Bearer \xa0a", "Bearer a\x0b", "Bearer\u2003a",
        ) if value != "Basic dTpx"),
        *({"x-api-key": value} for value in ("a b", "a, b", "a,b", "Bearer a", "a\tb", '"a"', "a;b", "<a>")),
    ],
)  # fmt: skip
def test_what_can_be_read_in_two_ways_is_refused(sent: dict[str, str]) -> None:
    with pytest.raises(DownstreamError) as caught:
        read_credential(CIMultiDict(sent))
    assert caught.value.status == 400
    assert "a b" not in str(caught.value)


@pytest.mark.parametrize("query", ["key=a", "KEY=a", "%6bey=a", "alt=sse&key=a", "api-key=a", "access_token=", "token"])
def test_a_credential_in_the_query_is_refused(query: str) -> None:
    with pytest.raises(DownstreamError, match="header"):
        refuse_in_query(query)
    refuse_in_query("limit=20&after=x&api-version=2024-10-21&monkey=1")
    refuse_in_query("")


@pytest.mark.parametrize("written", ["sk-a\n", "Bearer sk-a", "bearer sk-a\r\n"])
def test_a_digest_names_a_credential_however_it_is_sent(written: str) -> None:
    named = digest(read_secret(written))
    tenants = TenantNames([f"acme={named.upper().replace('SHA256', 'sha256')}"])
    for header, value in (("authorization", "Bearer sk-a"), ("x-api-key", "sk-a"), ("x-goog-api-key", "sk-a")):
        assert tenants.name(read_credential(CIMultiDict({header: value})).secret) == "acme"
    assert tenants.name("sk-b") == tenants.name("") == TenantNames([]).name("sk-a") == ""


@pytest.mark.parametrize(
    ("query", "moved"),
    [
        ("key=AIza-1_x&alt=sse", ("AIza-1_x", "alt=sse")),
        ("alt=sse&key=a", ("a", "alt=sse")),
        ("key=a", ("a", "")),
        ("alt=sse", ("", "alt=sse")),
        ("key=a&key=a", ("", "key=a&key=a")),
        ("key=", ("", "key=")),
        ("key=a%20b", ("", "key=a%20b")),
        ("Key=a", ("", "Key=a")),
    ],
)
def test_a_key_is_moved_out_of_the_query(query: str, moved: tuple[str, str]) -> None:
    assert moved_from_query(query, "key") == moved
    assert moved_from_query(query, "") == ("", query)
