"""TLS on both sides of a running proxy: certificates of clients, a private authority and a proxy on the way to the upstream,
and a certificate that is replaced under open streams."""

from __future__ import annotations

import asyncio
import json
import ssl
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import grpc
import openai
import pytest

from tests.e2e.rig import UNREAD, Proxy, serve
from tests.kit import processes
from tests.kit.certificates import DAY, Authority, Pair
from tests.kit.egress_proxy import egress_proxy
from tests.kit.scripted_model import Model, model

STREAMS = 50
UPSTREAM_KEY = "sk-of-the-upstream-0123456789"
PARTS = [
    b'data: {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [{"index": 0, "delta": '
    b'{"role": "assistant", "content": "%s "}, "finish_reason": null}]}\n\n' % word
    for word in (b"begun", b"ended")
]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
END = (
    PARTS[0].replace(b'"role": "assistant", "content": "begun "', b"").replace(b"null", b'"stop"') + b"data: [DONE]\n\n"
)


def client(proxy: Proxy, authority: Authority, pair: Pair | None, key: str = "unused") -> openai.AsyncOpenAI:
    """An SDK that shows a certificate."""
    trusting = ssl.create_default_context(cafile=authority.file)
    if pair:
        trusting.load_cert_chain(*pair)
    transport = openai.DefaultAsyncHttpxClient(verify=trusting)
    url = f"https://localhost:{proxy.port}/v1"
    return openai.AsyncOpenAI(api_key=key, base_url=url, max_retries=0, http_client=transport)


def admin(proxy: Proxy, path: str) -> str:
    with urllib.request.urlopen(f"{proxy.admin_url}/{path}", timeout=30) as response:
        return str(response.read().decode())


async def until_ready_says(ask: Callable[[str], str], words: str) -> str:
    """What `/readyz` says, once it says these words; without words, once it has no warning. `ask`: asks the admin port."""
    async with asyncio.timeout(60):
        while True:
            said = await asyncio.to_thread(ask, "readyz")
            if words in said if words else said == "ready\n":
                return said
            await asyncio.sleep(0.1)


@asynccontextmanager
async def running(
    folder: Path, go_on: asyncio.Event
) -> AsyncIterator[tuple[Proxy, Authority, Pair, list[str], list[str]]]:
    """A proxy with TLS on both sides, and a tunnel to its upstream. Gives it with the authority, its own pair, and the heads
    that the upstream and the proxy on the way got."""
    authority, heads = Authority(folder), list[str]()
    pair, own = authority.pair("server", host="localhost"), authority.pair("guardproxy")
    context = authority.server("llm.example")
    context.load_verify_locations(authority.file)
    context.verify_mode = ssl.CERT_REQUIRED

    async def stream(asked: Model) -> None:
        head, _ = await asked.request()
        heads.append(head)
        await asked.say(HEAD + PARTS[0])
        await go_on.wait()
        await asked.say(PARTS[1] + END)

    for_proxy = authority.server("localhost")
    async with egress_proxy(context=for_proxy) as way, model([stream] * (STREAMS + 20), context) as (url, _):
        options = (
            *("--tls-cert", str(pair.cert), "--tls-key", str(pair.key), "--tls-client-ca", str(authority.file)),
            *("--upstream-key", f"default={UPSTREAM_KEY}", "--upstream-ca", f"default={authority.file}"),
            *("--upstream-cert", f"default={own.cert}", "--upstream-cert-key", str(own.key)),
            *("--upstream-proxy", way.url, "--upstream-ca", f"upstream_proxy={authority.file}", "--reload-s", "0.2"),
        )
        address = f"https://llm.example:{url.rpartition(':')[2]}"
        proxy = await asyncio.to_thread(serve, address, folder / "run", UNREAD, *options)
        try:
            yield proxy, authority, pair, heads, way.heads
        finally:
            go_on.set()
            assert await asyncio.to_thread(proxy.stop) == 0


async def test_certificates_are_replaced_under_open_streams(tmp_path: Path) -> None:
    go_on = asyncio.Event()
    async with asyncio.timeout(120), running(tmp_path, go_on) as (proxy, authority, pair, heads, tunnels):
        billing = authority.pair("billing", [("O", "acme"), ("CN", "billing")])
        messages: list[openai.types.chat.ChatCompletionMessageParam] = [{"role": "user", "content": "hello"}]

        async def begin(sdk: openai.AsyncOpenAI) -> openai.AsyncStream[openai.types.chat.ChatCompletionChunk]:
            return await sdk.chat.completions.create(model="m", messages=messages, stream=True)

        async with client(proxy, authority, billing) as sdk:
            streams = await asyncio.gather(*(begin(sdk) for _ in range(STREAMS)))
            assert [(await anext(stream)).choices[0].delta.content for stream in streams] == ["begun "] * STREAMS
            assert len(heads) == STREAMS
            assert all(f"authorization: bearer {UPSTREAM_KEY}" in head.lower() for head in heads)
            assert "unused" not in "".join(heads)
            assert {head.split()[0] for head in tunnels} == {"CONNECT"}
            # A pair that does not belong together: the old one stays, and open streams too.
            stranger = authority.pair("stranger")
            await asyncio.to_thread(pair.become, Pair(stranger.cert, pair.key))
            said = await until_ready_says(partial(admin, proxy), "the key does not belong to the certificate")
            assert said.startswith("ready\n`tls_cert`")
            assert "guardproxy_certificates_reload_failing 1.0" in await asyncio.to_thread(admin, proxy, "metrics")
            # A right one, which ends soon.
            new = authority.pair("new", [("CN", "new")], host="localhost", ends_in=3 * DAY)
            await asyncio.to_thread(pair.become, new)
            said = await until_ready_says(partial(admin, proxy), "ends in 2 days")
            assert "belong" not in said
            trusting = ssl.create_default_context(cafile=authority.file)
            trusting.load_cert_chain(*billing)
            _, writer = await asyncio.open_connection("localhost", proxy.port, ssl=trusting)
            assert writer.get_extra_info("peercert")["subject"] == ((("commonName", "new"),),)
            writer.transport.abort()
            go_on.set()
            rest = await asyncio.gather(*(collected(stream) for stream in streams))
            assert rest == ["ended "] * STREAMS
        records = proxy.records()
        assert len(records) == STREAMS
        assert {(record["client"], record["tenant_name"], record["outcome"]) for record in records} == {
            ("billing", "acme", "answered")
        }
        for name, subject, error in (
            ("hostile", [("O", "acme"), ("CN", "a\N{RIGHT-TO-LEFT OVERRIDE}b\n<b>")], openai.AuthenticationError),
            ("nobody", [("CN", "billing")], openai.AuthenticationError),
        ):
            async with client(proxy, authority, authority.pair(name, subject)) as sdk:
                with pytest.raises(error, match="does not name one client"):
                    await begin(sdk)
        other = tmp_path / "other"
        other.mkdir()
        forged = Authority(other).pair("billing", [("O", "acme"), ("CN", "billing")])
        for wrong in (forged, None):
            async with client(proxy, authority, wrong) as sdk:
                with pytest.raises(openai.APIConnectionError):
                    await begin(sdk)
        log = proxy.log.read_text("utf-8")
        assert "<b>" not in log
        assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in log


@dataclass(slots=True)
class Held:
    """A connection that is open to a port. `name`: in the certificate that it was shown; `ask`: whether it answers."""

    name: str
    ask: Callable[[], Awaitable[bool]]
    close: Callable[[], Awaitable[None]]


async def held_http(port: int, authority: Authority, line: str, status: bytes) -> Held:
    """An open connection of HTTP. `line`: the first one of requests."""
    trusting = ssl.create_default_context(cafile=authority.file)
    reader, writer = await asyncio.open_connection("localhost", port, ssl=trusting)
    (((_, name),),) = writer.get_extra_info("peercert")["subject"]

    async def ask() -> bool:
        writer.write(f"{line}\r\nHost: localhost\r\n\r\n".encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length: "))
        await reader.readexactly(int(length.partition(b" ")[2]))
        return answer.startswith(b"HTTP/1.1 " + status)

    async def close() -> None:
        writer.transport.abort()

    return Held(name, ask, close)


async def held_grpc(port: int, authority: Authority) -> Held:
    """An open call of Envoy, whose first message says what is no head."""
    trusting = ssl.create_default_context(cafile=authority.file)
    trusting.set_alpn_protocols(["h2"])
    _, writer = await asyncio.open_connection("localhost", port, ssl=trusting)
    (((_, name),),) = writer.get_extra_info("peercert")["subject"]
    writer.transport.abort()
    trusted = grpc.ssl_channel_credentials(authority.file.read_bytes())
    channel = grpc.aio.secure_channel(f"localhost:{port}", trusted, options=[("grpc.use_local_subchannel_pool", 1)])
    call = channel.stream_stream("/envoy.service.ext_proc.v3.ExternalProcessor/Process")()
    await call.wait_for_connection()

    async def ask() -> bool:
        await call.write(b"no head")
        return bool(await call.code() is grpc.StatusCode.FAILED_PRECONDITION)

    async def close() -> None:
        await channel.close()

    return Held(name, ask, close)


async def test_each_port_has_a_certificate_which_is_replaced_under_open_connections(tmp_path: Path) -> None:
    """One certificate for clients and the admin port, and one for other gateways; probes and scrapes go over TLS."""
    authority = Authority(tmp_path)
    outer, inner = (authority.pair(name, [("CN", name)], host="localhost") for name in ("outer", "inner"))
    (tmp_path / "token").write_text("a-token-of-the-test-0123")
    options = (
        *("--tls-cert", str(outer.cert), "--tls-key", str(outer.key), "--tls-port", "admin"),
        *("--tls-cert", f"inner={inner.cert}", "--tls-key", f"inner={inner.key}"),
        *("--tls-port", "adapters=inner", "--tls-port", "ext_proc=inner"),
        *("--adapters", "0", "--adapter-token", f"litellm=file:{tmp_path / 'token'}", "--ext-proc", "127.0.0.1:0"),
    )
    proxy = await asyncio.to_thread(serve, "http://127.0.0.1:9", tmp_path / "run", UNREAD, *options)
    trusting = ssl.create_default_context(cafile=authority.file)

    def shown(path: str) -> str:
        url = f"https://localhost:{proxy.admin_port}/{path}"
        with urllib.request.urlopen(url, timeout=30, context=trusting) as said:
            return str(said.read().decode())

    async def opened() -> list[Held]:
        said = proxy.wait_for("listening")
        gateway, envoy = said["adapters_port"], int(said["ext_proc"].rpartition(":")[2])
        return [
            await held_http(proxy.port, authority, "GET /no-such-route HTTP/1.1", b"404"),
            await held_http(proxy.admin_port, authority, "GET /readyz HTTP/1.1", b"200"),
            await held_http(gateway, authority, "GET /no-such-route HTTP/1.1", b"404"),
            await held_grpc(envoy, authority),
        ]

    async with asyncio.timeout(120):
        try:
            before = await opened()
            assert [held.name for held in before] == ["outer", "outer", "inner", "inner"]
            assert (await asyncio.to_thread(shown, "readyz")) == "ready\n"
            for pair, name in ((outer, "outer-2"), (inner, "inner-2")):
                new = authority.pair(name, [("CN", name)], host="localhost", ends_in=3 * DAY)
                await asyncio.to_thread(pair.become, new)
            for words in ("`tls_cert`: a certificate", "`tls_cert` of `inner`: a certificate"):
                await until_ready_says(shown, words)
            after = await opened()
            assert [held.name for held in after] == ["outer-2", "outer-2", "inner-2", "inner-2"]
            for held in (*before, *after):
                assert await held.ask()
                await held.close()
            metrics = await asyncio.to_thread(shown, "metrics")
            for name in ("", "inner"):
                assert f'guardproxy_certificate_expiry_timestamp_seconds{{name="{name}",setting="tls_cert"}}' in metrics
        finally:
            assert await asyncio.to_thread(proxy.stop) == 0
    assert "further ports with TLS: adapters, admin, ext_proc" in proxy.log.read_text("utf-8")


async def collected(stream: openai.AsyncStream[openai.types.chat.ChatCompletionChunk]) -> str:
    return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])


def test_a_start_names_what_is_wrong_with_a_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair, old = authority.pair("server"), authority.pair("old", ends_in=-DAY / 2)
    words = (
        "--upstream",
        "https://llm.example",
        "--port",
        "0",
        "--admin-port",
        "0",
        "--audit",
        str(tmp_path / "audit"),
    )
    for options, message in (
        (("--tls-cert", old.cert, "--tls-key", old.key), "the certificate has expired"),
        (("--tls-cert", pair.cert, "--tls-key", old.key), "the key does not belong to the certificate"),
        (("--tls-cert", pair.cert, "--tls-key", tmp_path / "absent"), "no such file"),
        (("--upstream-ca", tmp_path / "absent"), "no such file"),
        (("--upstream-proxy", "socks5://proxy:1080"), "like http://proxy:3128"),
    ):
        ran = processes.run("serve", *words, *map(str, options))
        assert ran.returncode == 2, ran.stderr
        assert message in ran.stderr
    checked = processes.run("serve", *words, "--tls-cert", str(pair.cert), "--tls-key", str(pair.key), "--check")
    assert checked.returncode == 0, checked.stderr
    assert "TLS: clients" in checked.stdout + checked.stderr
    assert json.dumps("hunter2") not in checked.stdout
