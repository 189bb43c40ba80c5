"""Names, addresses, tokens and origins of MCP servers have the form that routes and headers can carry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from guardproxy.config import SETTINGS, Config, load, needs_no_port
from guardproxy.config.mcp_settings import is_address, is_server, is_token
from guardproxy.errors import ConfigError

SERVER = ["files=http://127.0.0.1:8000/mcp"]


@pytest.mark.parametrize(
    "entry", ["files=http://127.0.0.1/mcp", "a.b_c-1=https://host.example", "x=http://[::1]:8000/", "y=https://h/a/b/"]
)
def test_a_server_has_a_name_and_an_address(entry: str) -> None:
    assert is_server(entry)


@pytest.mark.parametrize(
    "entry",
    [
        "http://127.0.0.1/mcp",
        "=http://h/mcp",
        "a/b=http://h/mcp",
        "-a=http://h/mcp",
        "n1234567=http://h/mcp",
        "files=ftp://h/mcp",
        "files=http:///mcp",
        "files=http://user:word@h/mcp",
        "files=http://h/mcp?key=1",
        "files=http://h/mcp#x",
        "files=",
    ],
)
def test_what_no_request_can_use_is_refused(entry: str) -> None:
    assert not is_server(entry)
    with pytest.raises(ConfigError):
        load({"mcp": [entry]}, {})


@pytest.mark.parametrize(
    ("entry", "is_right"), [("a=b", True), ("a=@f", True), ("a=", False), ("a=@", False), ("=b", False)]
)
def test_a_token_is_a_text_or_a_file(entry: str, is_right: bool) -> None:
    assert is_token(entry) == is_right


@pytest.mark.parametrize(
    ("entry", "is_right"),
    [("", True), ("https://guard.example", True), ("guard.example", False), ("http://", False), ("http://u@h", False)],
)
def test_the_address_of_the_proxy_is_one_of_http(entry: str, is_right: bool) -> None:
    assert is_address(entry) == is_right


def test_servers_are_found_by_their_names() -> None:
    config = load({"mcp": [*SERVER, "mail=https://mail.example/mcp"]}, {})
    assert config.mcp.upstreams == {"mcp/files": "http://127.0.0.1:8000/mcp", "mcp/mail": "https://mail.example/mcp"}
    assert config.upstreams.url_for("any") == ""


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({}, "--mcp NAME=URL"),
        ({"mcp": [*SERVER, "files=http://other/mcp"]}, "two servers the name `files`"),
        ({"mcp": SERVER, "mcp_token": ["mail=x"], "client_keys": Path("keys")}, "for a server given as --mcp"),
        ({"mcp": SERVER, "mcp_token": ["files=x"]}, "everyone could use"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(flags: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load(flags, {})


def test_settings_of_ports_and_clients_are_not_those_of_a_process_without_a_port() -> None:
    known = {name for name, setting in SETTINGS.items() if needs_no_port(setting)}
    assert {"policies", "audit", "limits", "state", "log_level", "models"} <= known
    assert known.isdisjoint({"port", "upstream", "mcp", "client_keys", "jwt_keys", "tenants", "workers", "adapters"})
    assert Config().mcp.servers == {}
