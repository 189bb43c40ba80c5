"""The settings of adapters."""

from __future__ import annotations

import pytest

from guardproxy.config import AdapterSettings, Config
from guardproxy.config.settings import SETTINGS
from guardproxy.errors import ConfigError


@pytest.mark.parametrize(
    ("place", "host", "port"),
    [
        ("", "127.0.0.1", None),
        ("8090", "127.0.0.1", 8090),
        ("0", "127.0.0.1", 0),
        ("0.0.0.0:8090", "0.0.0.0", 8090),
        ("[::1]:8090", "::1", 8090),
        ("guard:0", "guard", 0),
    ],
)
def test_a_place_is_a_port_or_a_host_and_a_port(place: str, host: str, port: int | None) -> None:
    read = SETTINGS["adapters"].read(place, "here")
    settings = AdapterSettings(address=read, grpc_address=read)
    assert (settings.host, settings.port) == (settings.grpc_host, settings.grpc_port) == (host, port)


@pytest.mark.parametrize("place", ["x", "host:", ":8090", "70000", "-1", "host:70000", "a b:80", "\u0661"])
def test_another_place_is_refused(place: str) -> None:
    with pytest.raises(ConfigError, match="a port, or a host and a port"):
        SETTINGS["adapters"].read(place, "here")


@pytest.mark.parametrize(
    "entry", ["litellm=short", "litellm", "=a-token-of-16-characters", "litellm=with a space in it"]
)
def test_a_token_has_a_form(entry: str) -> None:
    with pytest.raises(ConfigError, match="with 16 characters or more"):
        SETTINGS["adapter_token"].read([entry], "here")


def test_a_token_is_not_shown() -> None:
    token = "a-token-of-16-characters"
    assert token not in repr(Config.of(adapter_token=(f"litellm={token}",)))
