"""The settings of clients: which belong together, and which key an upstream gets."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.config import Config, load
from guardproxy.errors import ConfigError

PLAIN: dict[str, Any] = {"upstream": ("https://a.example",), "client_keys": "keys"}
TOKENS = {"jwt_keys": "jwks.json", "jwt_issuer": "https://i.example", "jwt_audience": ("a",)}
DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"jwt_keys": "jwks.json"}, "belong together"),
        ({"jwt_issuer": "https://i.example", "jwt_audience": ("a",)}, "belong together"),
        (TOKENS | {"jwt_audience": ()}, "belong together"),
        (TOKENS | {"jwt_keys": "http://i.example/keys"}, "must be a file, or an address with https"),
        (TOKENS | {"jwt_keys": "ftp://i.example/keys"}, "must be a file, or an address with https"),
        (TOKENS | {"jwt_keys": "http:///keys"}, "must be a file, or an address with https"),
        ({"tenants": (f"acme={DIGEST}",)}, "give each client its tenant with `guardproxy keys create --tenant NAME`"),
        ({"upstream": ("default=https://a.example",)}, "cannot be called `default`"),
        ({"upstream_key": ("other=sk",)}, "must be like backup=KEY"),
        ({"upstream": ("openai=https://a.example",), "upstream_key": ("default=sk",)}, "must be like backup=KEY"),
        ({"client_keys": None, "upstream_key": ("default=sk",)}, "must be like backup=KEY"),
        ({"client_keys": None, "unknown_tenant": "refuse"}, "without a tenant refuses everything"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(PLAIN | values, {})


@pytest.mark.parametrize(
    "values",
    [
        {},
        TOKENS,
        TOKENS | {"client_keys": None},
        TOKENS | {"jwt_keys": "https://i.example/keys"},
        TOKENS | {"jwt_keys": "http://localhost:1/keys"},
        TOKENS | {"jwt_keys": "http://127.0.0.1:1/keys"},
        {"unknown_tenant": "refuse"},
    ],
)
def test_settings_that_belong_together_are_accepted(values: dict[str, Any]) -> None:
    assert load(PLAIN | values, {}).clients.has_credentials


def test_each_upstream_has_its_key() -> None:
    upstreams = ("https://a.example/v1", "anthropic=https://b.example/")
    config = load(PLAIN | {"upstream": upstreams, "upstream_key": ("default=ka", "anthropic=kb")}, {})
    names = [config.upstreams.name_for(provider) for provider in ("openai", "anthropic")]
    assert names == ["default", "anthropic"]
    assert [config.upstreams.key_for(name) for name in names] == ["ka", "kb"]
    assert [config.upstreams.url_for(provider) for provider in ("openai", "anthropic")] == [
        "https://a.example",
        "https://b.example",
    ]
    named = load(PLAIN | {"upstream": upstreams[1:]}, {})
    assert (named.upstreams.name_for("openai"), named.upstreams.url_for("openai")) == ("anthropic", "https://b.example")
    assert not load({"upstream": upstreams}, {}).clients.has_credentials


def test_the_urls_of_all_upstreams_are_without_their_names() -> None:
    assert Config.of(upstream=("https://a.example", "b=http://b.example/v1?x=y")).upstreams.urls == (
        "https://a.example",
        "http://b.example/v1?x=y",
    )
