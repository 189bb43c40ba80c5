"""The settings of the console: what belongs together, and what follows from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from guardproxy.config import ConsoleSettings, load
from guardproxy.config.console_settings import CONSOLE_ROLES
from guardproxy.console import ROLES
from guardproxy.errors import ConfigError

BASE = {"upstream": "https://api.example.com"}
PROVIDER = {
    "console": "read",
    "console_oidc_issuer": "https://login.example",
    "console_oidc_client": "guardproxy",
    "console_oidc_role": "security=auditor",
    "console_url": "https://guard.example",
}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"console": "read"}, "guardproxy console login add NAME"),
        ({"console": "write"}, "also on this machine"),
        ({**PROVIDER, "console_url": ""}, "needs `console_url`"),
        ({**PROVIDER, "console_oidc_client": ""}, "needs `console_oidc_client`"),
        ({**PROVIDER, "console_oidc_role": ""}, "needs `console_oidc_role`"),
        ({**PROVIDER, "console_oidc_scope": "email"}, "must have `openid`"),
        ({**PROVIDER, "console_oidc_session_s": "86400"}, "at most 43200"),
        ({**PROVIDER, "console_oidc_issuer": "http://login.example"}, "must be like https://login.example"),
        ({**PROVIDER, "console_oidc_role": "security=boss"}, "must be like security-team=auditor"),
        ({**PROVIDER, "console_oidc_role": "=auditor"}, "must be like security-team=auditor"),
        ({**PROVIDER, "console_url": "https://guard.example?x=1"}, "must be like https://guard.example"),
    ],
)
def test_settings_that_cannot_be_together_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load({**BASE, **settings}, {})
    assert said in str(caught.value)


def test_logins_or_a_provider_are_enough() -> None:
    for settings in ({"console": "write", "console_logins": Path("logins.json")}, PROVIDER):
        assert load({**BASE, **settings}, {}).console.is_on
    assert not load(BASE, {}).console.is_on
    near = {**BASE, **PROVIDER, "console_oidc_issuer": "http://127.0.0.1:8090"}
    assert load(near, {}).console.oidc_issuer == "http://127.0.0.1:8090"


def test_what_follows_from_them() -> None:
    settings = ConsoleSettings(url="https://guard.example:8443", oidc_role=("a=b=auditor", "c=viewer"))
    assert settings.hosts == ("guard.example",)
    assert ConsoleSettings().hosts == ()
    assert settings.oidc_roles == (("a=b", "auditor"), ("c", "viewer"))
    assert CONSOLE_ROLES == ROLES
