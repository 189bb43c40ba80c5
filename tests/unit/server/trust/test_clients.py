"""The clients in force: read at the start, read again, and kept where the new ones cannot be used."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import jwt
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from guardproxy.config import load
from guardproxy.errors import ConfigError
from guardproxy.gateway.clients import ClientFile, StoredClient, new_key, write_client_file
from guardproxy.gateway.clients.client_file import with_new_client
from guardproxy.server.trust import clients as module
from guardproxy.server.trust.clients import LIMIT_FETCH_BYTES, ClientSource, fetch

NOW = datetime(2030, 1, 1, tzinfo=UTC)
KEY = new_key("0" * 12, "0" * 43)
FILE = write_client_file(with_new_client(ClientFile(), StoredClient("ann", "acme"), KEY, NOW, None))
EMPTY = write_client_file(ClientFile())
SIGNING = Ed25519PrivateKey.generate()
KEY_SET = json.dumps({"keys": [json.loads(jwt.algorithms.OKPAlgorithm.to_jwk(SIGNING.public_key()))]}).encode()
TOKENS = {"jwt_issuer": "https://i.example", "jwt_audience": ("a",)}


def source(**values: Any) -> ClientSource:
    return ClientSource(load({"upstream": ("https://a.example",), **values}, {}).clients)


async def given(content: bytes) -> bytes:
    return content


async def until(look: Callable[[], bool]) -> None:
    while not look():  # noqa: ASYNC110 - what is waited for sets no event
        await asyncio.sleep(0)


def test_without_settings_nothing_is_read() -> None:
    assert not source().is_on
    asyncio.run(source().run())


@pytest.mark.parametrize(
    ("content", "message"), [(None, "`guardproxy keys create` makes the file"), (b"{", "Input data was truncated")]
)
def test_a_start_needs_a_file_that_can_be_read(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "keys.json").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        source(client_keys=tmp_path)


def test_a_start_needs_keys_of_tokens(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*/none\.json: no such file or directory$"):
        source(jwt_keys=str(tmp_path / "none.json"), **TOKENS)
    (tmp_path / "jwks.json").write_bytes(KEY_SET)
    found = source(jwt_keys=str(tmp_path / "jwks.json"), **TOKENS)
    assert found.is_on
    assert found.known.has_tokens
    assert found.known.tokens is not None


def test_a_start_with_a_set_without_keys_is_refused(tmp_path: Path) -> None:
    (tmp_path / "jwks.json").write_bytes(b'{"keys": []}')
    with pytest.raises(ConfigError, match=r"`jwt_keys` .*: the JWK Set has no public key for signatures"):
        source(jwt_keys=str(tmp_path / "jwks.json"), **TOKENS)


def test_keys_that_are_withdrawn_are_dropped_at_once(tmp_path: Path) -> None:
    """However the provider says it: no keys, or no key that can be used."""
    path = tmp_path / "jwks.json"
    path.write_bytes(KEY_SET)
    found = source(jwt_keys=str(path), **TOKENS)
    for content in (b'{"keys": []}', b'{"keys": [{"kty": "none"}]}'):
        asyncio.run(found.step(str(path), partial(given, content)))
        assert found.known.tokens is not None
        assert not found.known.tokens.has_keys
        assert found.fault == [f"tokens are not accepted: {path}: {module.NO_KEYS}"]
        asyncio.run(found.step(str(path), partial(given, b"<html>")))
        assert [fault.startswith("tokens are not accepted: ") for fault in found.fault] == [True], "still not"
    asyncio.run(found.step(str(path), partial(given, KEY_SET)))
    assert found.known.tokens is not None
    assert found.known.tokens.has_keys
    assert found.fault == []


@pytest.mark.parametrize("is_broken", [False, True])
def test_keys_that_cannot_be_read_stay_for_a_bounded_time(is_broken: bool, tmp_path: Path) -> None:
    now_s = [0.0]
    path = tmp_path / "jwks.json"
    path.write_bytes(KEY_SET)
    settings: dict[str, Any] = {"jwt_keys": str(path), "jwt_keep_s": 100.0, **TOKENS}
    found = ClientSource(load({"upstream": ("https://a.example",), **settings}, {}).clients, lambda: now_s[0])

    async def away() -> bytes:
        if is_broken:
            return b"<html>"
        raise ConfigError("away")

    for at_s, content in ((90.0, None), (95.0, KEY_SET), (194.0, None), (196.0, None), (197.0, None)):
        now_s[0] = at_s
        asyncio.run(found.step(str(path), away if content is None else partial(given, content)))
        assert (found.known.tokens is None) == (at_s > 195.0), at_s
        stays = "what was read before stays in force: " if at_s < 195.0 else "tokens are not accepted: "
        assert [fault.startswith(stays) for fault in found.fault] == [True] * (content is None)
    asyncio.run(found.step(str(path), partial(given, KEY_SET)))
    assert found.known.tokens is not None, "the same content as before"
    assert found.fault == []


def test_new_content_is_used_and_broken_content_is_not(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(FILE)
    found = source(client_keys=tmp_path)
    before = found.known
    asyncio.run(found.step(str(path), partial(given, FILE)))
    assert found.known is before, "the same content is used once"
    for _ in range(2):
        asyncio.run(found.step(str(path), partial(given, FILE[:-9])))
    assert found.known is before
    assert found.fault == [f"what was read before stays in force: {path}: Input data was truncated"]
    assert [record.message for record in caplog.records] == ["clients not reloaded"], "told once"
    asyncio.run(found.step(str(path), partial(given, EMPTY)))
    assert found.fault == []
    assert found.known.clients.client(KEY, 0) is None


def test_files_are_polled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL_S", 0.001)
    path = tmp_path / "keys.json"
    path.write_bytes(FILE)
    found = source(client_keys=tmp_path)

    async def changed() -> None:
        polling = asyncio.create_task(found.run())
        path.write_bytes(EMPTY)
        await until(lambda: found.known.clients.client(KEY, 0) is None)
        path.unlink()
        await until(lambda: bool(found.fault))
        polling.cancel()

    asyncio.run(asyncio.wait_for(changed(), 60))
    assert "cannot read" in found.fault[0]


@pytest.fixture
async def server() -> AsyncIterator[TestServer]:
    async def answer(request: web.Request) -> web.StreamResponse:
        match request.path:
            case "/keys":
                return web.Response(body=KEY_SET)
            case "/moved":
                return web.Response(status=302, headers={"Location": "/keys"})
            case "/pieces":
                response = web.StreamResponse()
                await response.prepare(request)
                for at in range(0, len(KEY_SET), 9):
                    await response.write(KEY_SET[at : at + 9])
                return response
        return web.Response(body=b" " * (LIMIT_FETCH_BYTES + 1))

    app = web.Application()
    app.router.add_get("/{name}", answer)
    running = TestServer(app)
    async with running:
        yield running


async def test_an_address_is_read(server: TestServer) -> None:
    assert await fetch(str(server.make_url("/keys"))) == KEY_SET
    assert await fetch(str(server.make_url("/pieces"))) == KEY_SET


@pytest.mark.parametrize(
    ("path", "message"), [("/moved", "answered with status 302"), ("/large", "answered with more than 1048576 bytes")]
)
async def test_an_address_that_answers_otherwise_is_refused(server: TestServer, path: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        await fetch(str(server.make_url(path)))


async def test_an_address_that_does_not_answer_is_asked_again(server: TestServer) -> None:
    url = str(server.make_url("/keys"))
    found = source(jwt_keys=url, **TOKENS)
    assert found.known.tokens is None
    with pytest.raises(ConfigError, match="cannot be reached: ClientConnectorError"):
        await fetch("http://127.0.0.1:9/keys")

    async def away() -> bytes:
        raise ConfigError("away")

    await found.step(url, away)
    assert (found.known.tokens, found.fault) == (None, ["tokens are not accepted: away"])
    polling = asyncio.create_task(found.run())
    await until(lambda: found.known.tokens is not None)
    polling.cancel()
    assert found.fault == []
