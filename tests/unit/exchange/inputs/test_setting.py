"""The input of an exchange: the address of the request, the tenant's keys, the identity for the log."""

from __future__ import annotations

import pytest

from guardproxy.exchange.inputs.setting import Address, ExchangeLimits, Keys, unsealed
from guardproxy.wire import BOUNDS
from tests.kit.play import policy_set, setting

EMPTY = policy_set()
PATTERN = "POST /models/{model}:talk"


@pytest.mark.parametrize(
    ("address", "sent"),
    [
        (Address("POST /v1/messages", "/v1/messages", "beta=true"), ("/v1/messages", "beta=true")),
        (Address(PATTERN, "/models/m:talk"), ("/models/m:talk", "")),
        (Address("POST /v1/messages"), ("/v1/messages", "")),
        (Address(PATTERN), ("/models/model:talk", "")),
    ],
)
def test_an_address_without_a_path_has_one_that_matches_its_route(address: Address, sent: tuple[str, str]) -> None:
    assert address.sent == sent


def test_keys_depend_on_the_tenant_and_on_the_key() -> None:
    keys = Keys.of(b"k" * 32, "red", bytes.hex)
    same, other = Keys.of(b"k" * 32, "red", bytes.hex), Keys.of(b"k" * 32, "blue", bytes.hex)
    secret = Keys.of(b"j" * 32, "red", bytes.hex)
    assert keys.mint("EMAIL", "jo@ab.io") == same.mint("EMAIL", "jo@ab.io")
    placeholders = {each.mint("EMAIL", "jo@ab.io") for each in (keys, other, secret)}
    assert len(placeholders) == 3
    assert all(placeholder.startswith("[EMAIL_") for placeholder in placeholders)
    assert keys.hashed("sha256", "jo@ab.io") == same.hashed("sha256", "jo@ab.io")
    assert len({each.hashed("sha256", "jo@ab.io") for each in (keys, other, secret)}) == 3
    assert keys.seal(b"\x01") == other.seal(b"\x01") == "01", "a seal does not depend on the tenant"
    assert unsealed(b"text") == ""


@pytest.mark.parametrize(("route", "recorded"), [(PATTERN, "/models/m:talk"), ("POST /models/m:talk", "")])
def test_the_identity_names_a_path_only_if_the_route_has_parameters(route: str, recorded: str) -> None:
    origin = setting(EMPTY, route, "/models/m:talk", tenant="t", tenant_name="red", engine="1.0").origin
    assert (origin.route, origin.path) == (route, recorded)
    assert (origin.id, origin.tenant, origin.tenant_name, origin.engine) == ("id", "t", "red", "1.0")
    assert (origin.codec, origin.policies) == ("openai_chat", EMPTY.digest)


def test_a_setting_is_live_and_bounded_unless_it_says_otherwise() -> None:
    about = setting(EMPTY)
    assert about.limits == ExchangeLimits()
    assert about.limits.bounds is BOUNDS
    assert about.history.conversation == ""
    assert not about.receipts
    with pytest.raises(AttributeError, match="immutable"):
        about.id = "other"  # type: ignore[misc]
