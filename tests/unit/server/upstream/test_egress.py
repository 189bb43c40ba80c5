"""The way to an upstream: with certificates of its own, and through a proxy that may refuse, lie or keep silent."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from multidict import CIMultiDict
from yarl import URL

from guardproxy.config import load
from guardproxy.errors import ConfigError, UpstreamError
from guardproxy.server.trust.certificates import Certificates
from guardproxy.server.upstream.connections import Connections
from guardproxy.server.upstream.deadlines import Deadlines
from guardproxy.server.upstream.drain import Leftovers
from guardproxy.server.upstream.egress import DIRECT, Egress
from guardproxy.server.upstream.upstream import Breakers, Upstream
from tests.kit.certificates import Authority
from tests.kit.egress_proxy import REFUSED, EgressProxy, egress_proxy
from tests.kit.scripted_model import LARGE, OK, answering, ask, model, opened

PROXY = "http://proxy.example:3128"
SHORT_S = 0.05


def egress(environ: Mapping[str, str] | None = None, **values: Any) -> Egress:
    return Egress(load({"upstream": ("https://llm.example",), **values}, {}).upstreams, environ or {})


def proxied(found: Egress, url: str) -> bool:
    return found.way(URL(url)).proxy is not None


def test_without_the_setting_the_environment_is_ignored() -> None:
    found = egress({"HTTPS_PROXY": PROXY})
    assert (found.way(URL("https://llm.example")), found.proxy) == (DIRECT, "")


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy"])
def test_the_environment_names_the_proxy_and_its_exceptions(name: str) -> None:
    given = {name: PROXY, "NO_PROXY": " localhost,10.0.0.0/8  .svc.cluster.local, [fd00::1]:8443,,"}
    found = egress(given, upstream_proxy="environment", upstream_no_proxy=("own.example",))
    assert found.proxy == "proxy.example:3128"
    addresses = {
        "https://llm.example": True,
        "http://llm.example": False,
        "https://own.example": False,
        "https://a.own.example": False,
        "https://10.9.8.7": False,
        "https://llm.ns.svc.cluster.local": False,
        "https://[fd00::1]:8443": False,
        "https://[fd00::1]": True,
        "https://localhost:8443": False,
        "https://127.0.0.2": False,
        "https://[::1]": False,
        "https://LOCALHOST.": False,
        "https://localhost.evil.example": True,
    }
    assert {url: proxied(found, url) for url in addresses} == addresses


def test_the_small_variable_counts_first_as_in_curl() -> None:
    given = {
        "HTTPS_PROXY": "http://large:1",
        "https_proxy": "small:2",
        "no_proxy": "a.example",
        "NO_PROXY": "b.example",
    }
    found = egress(given, upstream_proxy="environment")
    assert (found.proxy, proxied(found, "https://a.example"), proxied(found, "https://b.example")) == (
        *("small:2", False, True),
    )
    assert egress({}, upstream_proxy="environment").proxy == ""


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"HTTPS_PROXY": "socks5://user:hunter2@proxy:1080"}, "must be like http://proxy:3128"),
        ({"HTTPS_PROXY": "http://user:hunter2@proxy:port"}, "cannot be read"),
        ({"HTTPS_PROXY": "http://us%0aer:hunter2@proxy:1"}, "cannot be sent"),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "a.example,10.*"}, r"NO_PROXY: `10\.\*` must be a host"),
    ],
)
def test_variables_that_cannot_be_used_are_refused(environ: Mapping[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        egress(environ, upstream_proxy="environment")
    assert "hunter2" not in str(caught.value)


@asynccontextmanager
async def through(
    proxy: EgressProxy, folder: Path, connect_s: float = 5.0, **values: Any
) -> AsyncIterator[tuple[str, Connections, Authority]]:
    """An upstream that only the proxy can find, and connections to it."""
    authority = Authority(folder)
    async with model([answering(OK, OK, OK)] * 3, authority.server("llm.example")) as (url, _):
        address = f"https://llm.example:{url.rpartition(':')[2]}"
        given = {"upstream": (address,), "upstream_ca": (f"default={authority.file}",), "upstream_proxy": proxy.url}
        config = load({**given, **values}, {})
        ways = Egress(config.upstreams, {}, Certificates(config).context_of)
        async with opened(way_of=ways.way, connect_s=connect_s) as connections:
            yield address, connections, authority


async def test_requests_go_through_one_tunnel_and_the_proxy_sees_a_name(tmp_path: Path) -> None:
    async with egress_proxy() as proxy, through(proxy, tmp_path) as (url, connections, _):
        for body in (b"{}", LARGE, b"{}"):
            answer = await ask(connections, url, body=body, **{"Authorization": "Bearer sk-secret"})
            assert (answer.status, await answer.content.read()) == (200, b"{}")
        (head,) = proxy.heads
        place = url.removeprefix("https://")
        assert head.startswith(f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n")
        assert "secret" not in head
        assert "Proxy-Authorization" not in head


async def test_the_proxy_itself_is_asked_over_tls(tmp_path: Path) -> None:
    """With authorities of its own, and with a certificate that is for it."""
    own = tmp_path / "own"
    own.mkdir()
    of_proxy = Authority(own, "of-proxy")
    context, pair = of_proxy.server("localhost"), of_proxy.pair("guardproxy")
    context.load_verify_locations(of_proxy.file)
    context.verify_mode = ssl.CERT_REQUIRED
    async with egress_proxy(context=context) as proxy:
        trusted = (f"default={tmp_path / 'authority.pem'}", f"upstream_proxy={of_proxy.file}")
        shown = {"upstream_cert": f"upstream_proxy={pair.cert}", "upstream_cert_key": f"upstream_proxy={pair.key}"}
        given: dict[str, Any] = {"upstream_ca": trusted, **shown}
        async with through(proxy, tmp_path, **given) as (url, connections, _):
            for body in (b"{}", LARGE, b"{}"):
                answer = await ask(connections, url, body=body, **{"Authorization": "Bearer sk-secret"})
                assert (answer.status, await answer.content.read()) == (200, b"{}")
    (head,) = proxy.heads
    assert head.startswith(f"CONNECT {url.removeprefix('https://')} HTTP/1.1\r\n")
    assert "secret" not in head
    assert proxy.shown == ["guardproxy"]


@pytest.mark.parametrize("kind", ["a stranger", "another name", "no TLS", "that of an upstream alone"])
async def test_a_proxy_with_tls_that_cannot_be_trusted_is_the_cause(kind: str, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    of_proxy = Authority(own, "of-proxy")
    trusted = [f"default={tmp_path / 'authority.pem'}", f"upstream_proxy={of_proxy.file}"]
    context: ssl.SSLContext | None = of_proxy.server("other.example" if kind == "another name" else "localhost")
    if kind == "a stranger":
        stranger = tmp_path / "stranger"
        stranger.mkdir()
        context = Authority(stranger, "stranger").server("localhost")
    elif kind == "that of an upstream alone":  # the system does not know it, and nothing says that the proxy may use it
        trusted = [f"default={of_proxy.file}"]
    elif kind == "no TLS":  # it waits for the end of a head
        context = None
    limit_s = 5.0 if context else SHORT_S
    async with egress_proxy(context=context) as proxy:
        url_of_proxy = proxy.url.replace("http://", "https://")
        settings: dict[str, Any] = {"upstream_ca": tuple(trusted), "upstream_proxy": url_of_proxy}
        async with through(proxy, tmp_path, limit_s, **settings) as (url, connections, _):
            error = await failure(url, connections)
    assert error.cause == ("proxy" if context else "proxy_timeout")
    assert proxy.heads == []


def test_the_way_to_a_proxy_with_tls_has_its_port_and_its_trust(tmp_path: Path) -> None:
    assert egress(upstream_proxy="https://proxy.example").proxy == "proxy.example:443"
    assert (
        egress({"https_proxy": "https://proxy.example:3129"}, upstream_proxy="environment").proxy
        == "proxy.example:3129"
    )
    authority = Authority(tmp_path)
    given = {"upstream": ("https://llm.example",), "upstream_proxy": "https://proxy.example"}
    for entries, is_own in (((), False), ((f"default={authority.file}",), False), ((str(authority.file),), True)):
        config = load({**given, "upstream_ca": entries}, {})
        way = Egress(config.upstreams, {}, Certificates(config).context_of).way(URL("https://llm.example"))
        assert isinstance(way.proxy_context, ssl.SSLContext) == is_own, entries
    with pytest.raises(ConfigError, match="cannot be called `upstream_proxy`"):
        load({**given, "upstream": ("upstream_proxy=https://llm.example",)}, {})


async def test_the_password_goes_to_the_proxy_and_nowhere_else(tmp_path: Path) -> None:
    seen: list[str] = []
    authority = Authority(tmp_path)

    async def looking(asked: Any) -> None:
        seen.append(await asked.head())
        await asked.say(OK)

    async with egress_proxy() as proxy, model([looking], authority.server("llm.example")) as (url, _):
        address = f"https://llm.example:{url.rpartition(':')[2]}"
        named = proxy.url.replace("//", "//us%20er:p%C3%A4ss@")
        config = load({"upstream": (address,), "upstream_ca": (str(authority.file),), "upstream_proxy": named}, {})
        ways = Egress(config.upstreams, {}, Certificates(config).context_of)
        assert "ss" not in ways.proxy
        async with opened(way_of=ways.way) as connections:
            answer = await ask(connections, address)
            assert await answer.content.read() == b"{}"
        pair = base64.b64encode("us er:p\N{LATIN SMALL LETTER A WITH DIAERESIS}ss".encode()).decode()
        assert f"\r\nProxy-Authorization: Basic {pair}\r\n" in proxy.heads[0]
        assert "proxy-authorization" not in seen[0].lower()


async def failure(url: str, connections: Connections) -> UpstreamError:
    """The error of a request to an upstream."""
    config, leftovers, deadlines = load({"upstream": (url,)}, {}), Leftovers(), Deadlines()
    asked = Upstream(connections, Breakers(config), deadlines, leftovers, 5.0, has_own_key=False)
    try:
        asked.begin("POST", f"{url}/v1/x", CIMultiDict(), b"{}")
        with pytest.raises(UpstreamError) as caught:
            await asked.head()
    finally:
        asked.close()
        deadlines.close()
        await leftovers.close()
    assert not connections._connector._acquired
    return caught.value


@pytest.mark.parametrize(
    ("answer", "code", "cause", "message"),
    [
        (REFUSED, "upstream_unreachable", "proxy", "the proxy on the way to the upstream answered with status 407"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://evil\r\n\r\n", "upstream_unreachable", "proxy", "status 302"),
        (b"garbage\r\n\r\n", "upstream_failed", "proxy", ""),
        (b"", "upstream_timeout", "proxy_timeout", "did not make a tunnel in time"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 20, "upstream_timeout", "proxy_timeout", "did not make a tunnel in time"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "upstream_timeout", "tls_timeout", "did not end the TLS handshake in time"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "upstream_timeout", "tls_timeout", ""),
    ],
)
async def test_a_proxy_that_makes_no_tunnel_is_the_cause(
    answer: bytes, code: str, cause: str, message: str, tmp_path: Path
) -> None:
    limit_s = SHORT_S if code.endswith("timeout") else 5.0
    async with egress_proxy(answer) as proxy, through(proxy, tmp_path, connect_s=limit_s) as (url, connections, _):
        error = await failure(url, connections)
    assert (error.code, error.cause) == (code, cause)
    assert message in str(error)
    assert "evil" not in str(error)


async def test_a_proxy_that_is_away_is_the_cause(tmp_path: Path) -> None:
    async with egress_proxy() as proxy:
        pass
    async with through(proxy, tmp_path) as (url, connections, _):
        error = await failure(url, connections)
    assert (error.code, error.cause) == ("upstream_unreachable", "proxy")
    async with through(EgressProxy(), tmp_path, upstream_proxy="http://no-such-host.invalid:1") as (
        url,
        connections,
        _,
    ):
        error = await failure(url, connections)
    assert (error.code, error.cause) == ("upstream_unreachable", "proxy")


async def test_a_proxy_cannot_pass_itself_off_as_the_upstream(tmp_path: Path) -> None:
    """The certificate is that of the upstream's name, and of its own authority."""
    other = tmp_path / "other"
    other.mkdir()
    stranger = Authority(other, "stranger")
    async with egress_proxy() as proxy, model([], stranger.server("llm.example")) as (url, models):
        address = f"https://llm.example:{url.rpartition(':')[2]}"
        authority = Authority(tmp_path)
        given = {"upstream": (address,), "upstream_ca": (f"default={authority.file}",), "upstream_proxy": proxy.url}
        config = load(given, {})
        ways = Egress(config.upstreams, {}, Certificates(config).context_of)
        async with opened(way_of=ways.way) as connections:
            error = await failure(address, connections)
    assert (error.code, error.cause, models) == ("upstream_unreachable", "certificate", [])


async def test_a_request_that_is_given_up_ends_its_tunnel(tmp_path: Path) -> None:
    async with egress_proxy(b"") as proxy, through(proxy, tmp_path) as (url, connections, _):
        asking = asyncio.create_task(ask(connections, url))
        while not proxy.heads:  # noqa: ASYNC110 - the proxy tells nobody
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        assert not connections._connector._acquired


async def test_an_upstream_gets_the_certificate_that_is_meant_for_it(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    own, new = authority.pair("proxy-1"), authority.pair("proxy-2")
    context = authority.server("localhost")
    context.load_verify_locations(authority.file)
    context.verify_mode = ssl.CERT_REQUIRED
    shown: list[str] = []

    async def looking(asked: Any) -> None:
        subject = asked.writer.get_extra_info("ssl_object").getpeercert()["subject"]
        shown.append(dict(part for parts in subject for part in parts)["commonName"])
        await answering(OK, OK)(asked)

    async with model([looking] * 3, context) as (url, _):
        given = {"upstream": (url,), "upstream_ca": (f"default={authority.file}",)}
        config = load({**given, "upstream_cert": (str(own.cert),), "upstream_cert_key": (str(own.key),)}, {})
        certificates = Certificates(config)
        async with opened(way_of=Egress(config.upstreams, {}, certificates.context_of).way) as connections:
            certificates.renewed = lambda what: connections.renew()
            kept = await ask(connections, url)
            own.become(new)
            await certificates.step()
            await certificates.step()
            assert await kept.content.read() == b"{}", "what is open goes on"
            answer = await ask(connections, url)
            assert await answer.content.read() == b"{}"
        assert shown == ["proxy-1", "proxy-2"]
        nobody = load(given, {})
        ways = Egress(nobody.upstreams, {}, Certificates(nobody).context_of)
        async with opened(way_of=ways.way) as connections:
            with pytest.raises((aiohttp.ClientError, OSError)):
                await ask(connections, url)
