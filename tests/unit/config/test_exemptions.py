"""Hosts that are asked without a proxy, in the spellings of `upstream_no_proxy` and NO_PROXY."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from guardproxy.config import Exemption, address_of, load
from guardproxy.errors import ConfigError


def means(entry: str, host: str, port: int = 443) -> bool:
    found = Exemption.read(entry)
    assert found is not None, entry
    return found.means(host, port)


@pytest.mark.parametrize(
    ("entry", "host", "port", "expected"),
    [
        ("*", "a.example", 443, True),
        ("*:8443", "a.example", 443, False),
        ("a.example", "a.example", 443, True),
        ("A.Example.", "a.example", 443, True),
        ("a.example", "a.example.", 443, True),
        ("a.example", "b.a.example", 443, True),
        (".a.example", "b.a.example", 443, True),
        (".a.example", "a.example", 443, True),
        ("*.a.example", "b.a.example", 443, True),
        ("a.example", "ba.example", 443, False),
        ("a.example", "a.example.evil.example", 443, False),
        ("a.example:8443", "a.example", 8443, True),
        ("a.example:8443", "a.example", 443, False),
        ("svc", "llm.ns.svc", 443, True),
        ("b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.example", "xn--bcher-kva.example", 443, True),
        ("10.0.0.0/8", "10.1.2.3", 443, True),
        ("10.0.0.1/8", "10.1.2.3", 443, True),
        ("10.0.0.0/8", "11.1.2.3", 443, False),
        ("10.0.0.0/8", "::ffff:10.1.2.3", 443, True),
        ("10.0.0.0/8", "a10.example", 443, False),
        ("10.1.2.3", "10.1.2.3", 443, True),
        ("10.1.2.3:443", "10.1.2.3", 443, True),
        ("10.1.2.3:80", "10.1.2.3", 443, False),
        ("fd00::/8", "fd00::1", 443, True),
        ("fd00::/8", "10.1.2.3", 443, False),
        ("::1", "::1", 443, True),
        ("[::1]", "::1", 443, True),
        ("[::1]:443", "0:0:0:0:0:0:0:1", 443, True),
        ("[::1]:80", "::1", 443, False),
        ("fe80::1", "fe80::1%eth0", 443, True),
        ("1.example", "1.example", 443, True),
    ],
)
def test_a_spelling_means_what_other_programs_take_it_for(entry: str, host: str, port: int, expected: bool) -> None:
    assert means(entry, host, port) is expected


@pytest.mark.parametrize(
    "entry",
    [
        *("", ".", "*.", "a..b", "-a.example", "a b", "http://a.example", "a.example/", "10.*", "999.1.1.1", "1.2.3"),
        *(":443", "a.example:", "a.example:0", "a.example:65536", "a.example:x", "a.example:1:2"),
        *(
            "[::1",
            "[::1]:",
            "[::1]443",
            "[a.example]",
            "[10.0.0.1]",
            "10.0.0.0/33",
            "10.0.0.0/8:443",
            "fd00::/8:443",
            "/8",
        ),
        *("a" * 300, "\N{HORIZONTAL ELLIPSIS}.example", "\N{LATIN SMALL LETTER U WITH DIAERESIS}" * 80),
    ],
)
def test_what_is_no_host_is_refused(entry: str) -> None:
    assert Exemption.read(entry) is None
    if entry:
        with pytest.raises(ConfigError, match="a host, like llm"):
            load({"upstream": ("https://a.example",), "upstream_no_proxy": (entry,)}, {})


@given(st.ip_addresses(), st.integers(1, 65535))
@example(ip_address("::ffff:1.2.3.4"), 1)
def test_an_address_is_exempt_in_every_spelling(address: Any, port: int) -> None:
    spelled = f"[{address}]" if address.version == 6 else str(address)
    if address.version == 4 or not address.ipv4_mapped:
        assert means(f"{spelled}:{port}", str(address), port)
    assert means(str(address), str(address), port)
    assert means(f"{address_of(str(address))}/{0}", str(address), port)


UPSTREAMS = ("https://a.example", "b=https://b.example", "plain=http://c.example")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"upstream_ca": ("stranger=ca.pem",)}, r"must name an upstream or an MCP server \(b, default, mcp/m, plain\)"),
        ({"upstream_cert_key": ("k.pem",)}, "`upstream_cert_key` .* needs `upstream_cert`"),
        ({"upstream_cert_key": ("b=k.pem",), "upstream_cert": ("default=c.pem",)}, "needs `upstream_cert`"),
        ({"upstream_ca": ("=b.pem",)}, "must be like /etc/tls/ca.pem"),
        ({"upstream_proxy": "socks5://proxy:1080"}, "must be like http://proxy:3128, https://proxy:3129"),
        ({"upstream_ca": ("upstream_proxy=ca.pem",)}, "must name an upstream"),
        ({"upstream": ("upstream_proxy=https://p.example",)}, "cannot be called `upstream_proxy`"),
        ({"upstream_proxy": "http://proxy:3128/path"}, "must be like http://proxy:3128"),
        ({"upstream_proxy": "proxy"}, "must be like http://proxy:3128"),
        ({"tls_client_tenant": "DC"}, "O or OU or CN"),
    ],
)
def test_settings_of_tls_that_contradict_each_other_are_refused(values: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load({"upstream": UPSTREAMS, "mcp": ("m=https://m.example/mcp",), **values}, {})


def test_each_upstream_has_its_files() -> None:
    given = {"upstream_ca": ("all.pem", "b=b.pem"), "upstream_cert": ("b=c=d.pem", "mcp/m=/m.pem")}
    upstreams = load({"upstream": UPSTREAMS, "mcp": ("m=https://m.example/mcp",), **given}, {}).upstreams
    of = {name: upstreams.file_for(upstreams.ca, name) for name in ("default", "b", "mcp/m")}
    assert {name: (str(path), is_own) for name, (path, is_own) in of.items()} == {
        "default": ("all.pem", False),
        "b": ("b.pem", True),
        "mcp/m": ("all.pem", False),
    }
    assert str(upstreams.file_for(upstreams.cert, "b")[0]) == "c=d.pem"
    assert upstreams.file_for(upstreams.cert, "default") == (None, False)
    assert str(upstreams.file_for(upstreams.cert, "mcp/m")[0]) == "/m.pem"


def test_an_address_of_a_proxy_is_a_secret() -> None:
    config = load({"upstream": UPSTREAMS, "upstream_proxy": "http://user:hunter2@proxy:3128"}, {})
    assert "hunter2" not in repr(config)
