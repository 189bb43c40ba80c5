"""The line that sends the first request is one that the proxy reads, and that an upstream answers."""

from __future__ import annotations

import json
import shlex
from typing import Any
from urllib.parse import urlsplit

import pytest

from guardproxy.config import Config
from guardproxy.console.pages.now.first_request import first_request
from guardproxy.wire import installed


@pytest.mark.parametrize(
    ("settings", "url", "address", "header"),
    [
        ({}, "", "http://127.0.0.1:8080/v1/chat/completions", "Authorization: Bearer $YOUR_API_KEY"),
        ({"port": 1234}, "", "http://127.0.0.1:1234/v1/chat/completions", ""),
        ({"upstream": ("http://x",)}, "http://[::1]:99", "http://[::1]:99/v1/chat/completions", ""),
        ({"upstream": ("anthropic=https://a",)}, "http://h:1", "http://h:1/v1/messages", "x-api-key: $YOUR_API_KEY"),
        ({"upstream": ("https://b", "anthropic=https://a")}, "http://h:1", "http://h:1/v1/chat/completions", ""),
        ({"jwt_keys": "https://idp"}, "", "", "Authorization: Bearer $GUARDPROXY_KEY"),
        ({"upstream": ("backup=https://b",)}, "", "http://127.0.0.1:8080/v1/chat/completions", ""),
    ],
)
def test_the_line_fits_the_settings(settings: dict[str, Any], url: str, address: str, header: str) -> None:
    words = shlex.split(first_request(url, Config.of(**settings)))
    assert words[0] == "curl"
    assert words[1].startswith(address)
    assert any(word.startswith(header) for word in words)
    assert installed().served(f"POST {urlsplit(words[1]).path}") is not None
    assert isinstance(json.loads(words[-1]), dict)
