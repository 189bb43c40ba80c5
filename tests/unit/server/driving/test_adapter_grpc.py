"""Adapters whose gateways call by gRPC: the same verdicts as by HTTP, and clear statuses."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from guardproxy.adapters import ADAPTERS, GrpcAdapter
from guardproxy.config import Config
from guardproxy.errors import ConfigError
from guardproxy.server.driving import adapter_grpc, adapter_port
from guardproxy.server.driving.adapter_port import tokens_of
from guardproxy.server.driving.offload import SHORT_BYTES
from tests.unit.adapters.agentgateway_mcp.test_messages import TYPES, written
from tests.unit.server.driving.test_adapter_port import TOKEN, opened, records

(ADAPTER,) = (adapter for adapter in ADAPTERS if isinstance(adapter, GrpcAdapter))
SECRET = b'{"name":"send","arguments":{"text":"the account is ACME-12345"}}'


@asynccontextmanager
async def listening(folder: Path, **settings: Any) -> AsyncIterator[Any]:
    """A channel to a server in this process."""
    async with opened(folder, adapters_grpc="0", **settings) as rig:
        calls = rig.server.grpc_calls()
        assert calls is not None
        port = await calls.start("127.0.0.1", 0)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
        await calls.stop(0)


async def check(channel: Any, method: str, data: bytes, token: str = TOKEN) -> Any:
    """What agentgateway reads of the answer."""
    call = channel.unary_unary(f"/{ADAPTER.service}/{method}")
    result = await call(data, metadata=(("authorization", f"Bearer {token}"), ("trace-bin", b"\xff")))
    return TYPES["McpRequestResult"].FromString(result)


async def test_a_gateway_gets_verdicts(tmp_path: Path) -> None:
    async with listening(tmp_path) as channel:
        passed = await check(channel, "CheckRequest", written(["mail"], "tools/list", None, {}))
        assert passed.HasField("pass")
        asked = await check(channel, "CheckRequest", written(["mail"], "tools/call", SECRET, {"call": "a"}))
        assert b"ACME-12345" not in asked.mutated
        token = asked.mutated.decode().partition("account is ")[2].partition('"')[0]
        said = b'{"content":[{"type":"text","text":"%s"}]}' % token.encode()
        answered = await check(channel, "CheckResponse", written(["mail"], "tools/call", said, {"call": "a"}))
        assert b"ACME-12345" in answered.mutated
        bad = b'{"content":[{"type":"text","text":"umbrella-corp it is"}]}'
        blocked = await check(channel, "CheckResponse", written(["mail"], "tools/call", bad, {}))
        assert blocked.error.code == 1
        assert blocked.error.reason
    assert {record["path"] for record in records(tmp_path)} == {"/mcp/mail"}
    assert len(records(tmp_path)) == 4


@pytest.mark.parametrize(
    ("data", "token", "status"),
    [
        (b"\x12", TOKEN, grpc.StatusCode.INVALID_ARGUMENT),
        (written([], "m", b"{", {}), TOKEN, grpc.StatusCode.INVALID_ARGUMENT),
        (b"", "another-token", grpc.StatusCode.UNAUTHENTICATED),
        (b"", "", grpc.StatusCode.UNAUTHENTICATED),
    ],
)
async def test_a_call_that_cannot_be_judged_has_a_status(
    data: bytes, token: str, status: grpc.StatusCode, tmp_path: Path
) -> None:
    async with listening(tmp_path) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await check(channel, "CheckRequest", data, token)
        assert raised.value.code() is status
        assert TOKEN not in str(raised.value)


async def test_no_verdict_is_not_a_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening(tmp_path) as channel:
        monkeypatch.setattr("guardproxy.server.driving.recorder.Recorder.healthy", property(lambda recorder: False))
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await check(channel, "CheckRequest", written([], "tools/list", None, {}))
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_an_address_that_is_not_this_machine_is_named(tmp_path: Path) -> None:
    async with opened(tmp_path, adapters_grpc="0") as rig:
        calls = rig.server.grpc_calls()
        assert calls is not None
        with pytest.raises(ConfigError, match=r"cannot listen on no\.such\.host:1"):
            await calls.start("no.such.host", 1)
        await calls.stop(0)


def test_grpcio_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter_port, "find_spec", lambda name: None)
    config = Config.of(adapters="0", adapters_grpc="0", adapter_token=(f"agentgateway-mcp={TOKEN}",))
    with pytest.raises(ConfigError, match=r"guardproxy\[agentgateway\]"):
        tokens_of(config)


async def test_a_large_call_is_read_beside_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As by HTTP: the loop serves others meanwhile."""
    threads: dict[str, threading.Thread] = {}

    def noting(name: str) -> None:
        kept = getattr(type(ADAPTER), name)

        def noted(self: Any, *arguments: Any) -> Any:
            threads[name] = threading.current_thread()
            return kept(self, *arguments)

        monkeypatch.setattr(type(ADAPTER), name, noted)

    for name in ("decode", "read", "write", "encode"):
        noting(name)
    async with listening(tmp_path) as channel:
        text = b'{"name":"send","arguments":{"text":"%s"}}' % (b"word " * SHORT_BYTES)
        await check(channel, "CheckRequest", written(["mail"], "tools/call", text, {}))
    assert set(threads) == {"decode", "read", "write", "encode"}
    assert threading.main_thread() not in threads.values()


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:192.0.2.1:4711", "192.0.2.1"),
        ("ipv6:%5B2001:db8::1%5D:4711", "2001:db8::1"),
        ("ipv6:[2001:db8::1]:4711", "2001:db8::1"),
        ("unix:/run/x.sock", ""),
    ],
)
def test_the_address_of_a_peer_is_one_whose_network_is_known(peer: str, address: str) -> None:
    assert adapter_grpc._address_of(peer) == address
