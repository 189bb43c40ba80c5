"""Declarations of settings: types, bounds, and what an error says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from guardproxy.config import SETTINGS
from guardproxy.config.declaration import AllowedValues
from guardproxy.errors import ConfigError


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("port", "8081", 8081),
        ("quiet_s", 3, 3.0),
        ("allow_code", True, True),
        ("allow_code", "Yes", True),
        ("audit", "/var/log", Path("/var/log")),
        ("request_header", "x-a, x-b,", ("x-a", "x-b")),
        ("request_header", "", ()),
        ("request_header", ["x-a"], ("x-a",)),
        ("tenants", {"acme": "sha256:" + "0" * 64}, ("acme=sha256:" + "0" * 64,)),
        ("supervisor_url", "", ""),
        ("reload_s", "0", 0.0),
    ],
)
def test_a_value_gets_the_type_of_its_setting(name: str, value: Any, read: Any) -> None:
    found = SETTINGS[name].read(value, "here")
    assert (found, type(found)) == (read, type(read))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("port", "many", "here: `port` must be a whole number, at least 0 and at most 65535"),
        ("port", 70_000, "here: `port` must be at least 0 and at most 65535"),
        ("port", 1.5, "here: `port` must be a whole number, at least 0 and at most 65535"),
        ("port", True, "here: `port` must be a whole number, at least 0 and at most 65535"),
        ("breaker_share", "nan", "here: `breaker_share` must be above 0 and at most 1"),
        ("breaker_share", 0, "here: `breaker_share` must be above 0 and at most 1"),
        ("allow_code", "perhaps", "here: `allow_code` must be true or false"),
        ("receipts", "maybe", "here: `receipts` must be on or off"),
        ("key", "short", "here: `key` must be at least 16 characters long"),
        (
            "upstream",
            "ftp://x",
            "here: `upstream` must be like https://api.openai.com or anthropic=https://api.anthropic.com",
        ),
        ("upstream", 7, "here: `upstream` must be like https://api.openai.com or anthropic=https://api.anthropic.com"),
        ("duty", 7, "here: `duty` must be a list"),
        ("host", ["a"], "here: `host` must be a text"),
        ("host", "a\0b", "here: `host` must be a text"),
        ("pass_through", "models", "here: `pass_through` must be a method and a path, like `GET /v1/models`"),
        ("trusted_hop", "10.0.0.0/99", "here: `trusted_hop` must be an address or a network, like 10.0.0.0/8"),
        ("request_header", "x team", "here: `request_header` must be the name of a header, like x-team"),
        ("reload_s", "0.01", "here: `reload_s` must be at least 0.1, or 0 to reload only on request"),
        ("upstream_key", "backup=", "here: `upstream_key` must be like backup=KEY"),
    ],
)
def test_a_wrong_value_is_refused_with_what_is_right(name: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        SETTINGS[name].read(value, "here")
    assert str(refused.value) == message


def test_a_value_without_bounds_accepts_everything() -> None:
    assert AllowedValues().accepts("x")
    assert AllowedValues().accepts(-1)
    assert str(AllowedValues()) == ""


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("limit_body_bytes", "32 MiB"),
        ("limit_texts", "100,000"),
        ("port", "8080"),
        ("breaker_share", "0.5"),
        ("allow_code", "false"),
        (
            "pass_through",
            "GET /v1/models, GET /v1/models/{model}, GET /openai/v1/models, GET /openai/v1/models/{model}, "
            "GET /v1beta/models, GET /v1beta/models/{model}, GET /api/tags, GET /api/version, GET /api/ps",
        ),
        ("key", ""),
        ("policies", ""),
    ],
)
def test_a_default_is_shown_for_people(name: str, shown: str) -> None:
    assert SETTINGS[name].shown_default == shown
