"""A session belongs to the client that began it, at the server that began it."""

from __future__ import annotations

import base64
import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.errors import DownstreamError
from guardproxy.server.upstream.mcp.sessions import Sessions, holder_of_sessions

IDS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=80)


def seal(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16, key=b"k").hexdigest()


def token(**claims: object) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"e30.{payload}.signature"


@given(IDS)
def test_the_holder_gets_its_session_back(name: str) -> None:
    sessions = Sessions(seal, "tenant:a", "files")
    sealed = sessions.sealed(name)
    assert sealed.isascii()
    assert sealed.isprintable()
    assert " " not in sealed
    assert sessions.opened(sealed) == name


@pytest.mark.parametrize(("holder", "server"), [("tenant:b", "files"), ("tenant:a", "mail"), ("", "files")])
def test_another_client_or_server_has_no_such_session(holder: str, server: str) -> None:
    sealed = Sessions(seal, "tenant:a", "files").sealed("abc")
    with pytest.raises(DownstreamError) as caught:
        Sessions(seal, holder, server).opened(sealed)
    assert caught.value.status == 404


@given(IDS)
def test_an_id_that_was_made_up_is_unknown(name: str) -> None:
    with pytest.raises(DownstreamError):
        Sessions(seal, "tenant:a", "files").opened(name)


def test_what_no_header_can_hold_is_no_session() -> None:
    sessions = Sessions(seal, "tenant:a", "files")
    assert sessions.sealed("a b") == sessions.sealed("") == sessions.sealed("é") == sessions.sealed("x" * 513) == ""


def test_a_renewed_token_has_the_sessions_of_the_one_before() -> None:
    first, second = token(iss="i", sub="mara", exp=1), token(iss="i", sub="mara", exp=2)
    assert holder_of_sessions(first, "t1") == holder_of_sessions(second, "t2")


@pytest.mark.parametrize(
    "other",
    [
        token(iss="i", sub="jo"),
        token(iss="j", sub="mara"),
        token(iss="i", sub="mara", client_id="c"),
        token(iss="i"),
        token(sub=7),
        "opaque",
        "a.b.c",
        "a.W10.c",
        "a.!.c",
        "",
    ],
)
def test_another_subject_has_other_sessions(other: str) -> None:
    assert holder_of_sessions(other, "t") != holder_of_sessions(token(iss="i", sub="mara"), "t")
    assert holder_of_sessions(other, "t") in (f"tenant:{'t'}", holder_of_sessions(other, "another"))
