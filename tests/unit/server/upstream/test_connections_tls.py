"""Connections over TLS: which servers are trusted, and answers that end with their connection."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import aiohttp
import pytest

from tests.kit.certificates import Authority
from tests.kit.scripted_model import LARGE, OK, Model, answering, ask, give_up, model, opened

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """An authority that connections trust. The process reads the file that SSL_CERT_FILE names when it starts."""
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", ssl.create_default_context())
    return authority


async def test_a_server_of_a_trusted_authority_is_asked(authority: Authority) -> None:
    async with model([answering(OK, OK)], authority.server("localhost")) as (url, models), opened() as connections:
        for body in (b"{}", LARGE):
            answer = await ask(connections, url, body=body)
            assert (answer.status, await answer.content.read()) == (200, b"{}")
        assert len(models) == 1


async def test_a_server_with_another_name_is_refused(authority: Authority) -> None:
    async with model([], authority.server("other.example")) as (url, models), opened() as connections:
        with pytest.raises(aiohttp.ClientConnectorCertificateError, match="localhost"):
            await ask(connections, url)
        assert not models


async def test_a_server_of_an_unknown_authority_is_refused(tmp_path: Path) -> None:
    async with model([], Authority(tmp_path).server("localhost")) as (url, models), opened() as connections:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await ask(connections, url)
        assert not models


async def test_an_answer_that_is_cut_off_is_an_error(authority: Authority) -> None:
    """TLS is not ended properly either."""
    go_on = asyncio.Event()

    async def cutting(model: Model) -> None:
        await model.request()
        await model.say(HEAD + b"abc")
        await go_on.wait()
        model.writer.transport.abort()

    async with model([cutting], authority.server("localhost")) as (url, _), opened() as connections:
        answer = await ask(connections, url)
        assert await answer.content.readany() == b"abc"
        go_on.set()
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.content.readany()
        answer.close()


async def test_a_request_that_is_given_up_leaves_no_connection(authority: Authority) -> None:
    async def silent(model: Model) -> None:
        await model.head()
        await asyncio.get_running_loop().create_future()

    async with model([silent], authority.server("localhost")) as (url, models), opened() as connections:
        await give_up(connections, url, models, LARGE)
        assert not connections._connector._acquired
