"""Headers for another upstream than the client's."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from guardproxy.config import Config, load
from guardproxy.errors import ConfigError
from guardproxy.server.headers import fallback_headers


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_the_key_of_a_client_never_reaches_another_upstream(provider: str) -> None:
    sent = CIMultiDict(
        {"Authorization": "Bearer mine", "X-Api-Key": "mine", "api-key": "mine", "x-stainless-lang": "python"}
    )
    assert dict(fallback_headers(sent, provider, "")) == {"x-stainless-lang": "python"}
    own = fallback_headers(sent, provider, "theirs")
    assert "mine" not in str(own)
    assert own["x-api-key" if provider == "anthropic" else "authorization"].endswith("theirs")
    assert sent["authorization"] == "Bearer mine"


def test_a_key_belongs_to_a_named_upstream() -> None:
    config = load({"upstream": ("https://a.example", "backup=https://b.example"), "upstream_key": ("backup=k=1",)}, {})
    assert config.key_for("backup") == "k=1"
    assert config.key_for("other") == ""
    assert config.upstream_for("backup") == "https://b.example"
    assert "k=1" not in repr(config)
    for wrong in ("other=k", "backup=", "backup"):
        with pytest.raises(ConfigError, match="like backup=KEY"):
            load({"upstream": ("backup=https://b.example",), "upstream_key": (wrong,)}, {})


def test_a_client_is_not_flooded_with_signs_of_life() -> None:
    assert Config().quiet_s == 10.0
    with pytest.raises(ConfigError, match="at least"):
        load({"upstream": ("https://a.example",), "quiet_s": 0.0}, {})
