"""The formats that are installed: shipped ones by their folders, those of other packages held to the contract."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from guardproxy.errors import PluginError, PolicyError
from guardproxy.library import load
from guardproxy.wire import formats
from guardproxy.wire.contract.codec import Codec
from guardproxy.wire.contract.headers import Remaining
from guardproxy.wire.registry import codecs, installed
from tests.kit.play import CHAT, MESSAGES
from tests.kit.plugins import Install


def test_every_folder_is_listed() -> None:
    folders = {path.parent.name for path in Path(formats.__file__).parent.glob("*/codec.py")}
    assert set(formats.NAMES) == folders
    assert [codec.name for codec in codecs()] == list(formats.NAMES)


def test_a_route_is_found_by_path_and_by_pattern(install: Install) -> None:
    codec = foreign(routes=("POST /acme/{model}:write",))
    install("guardproxy.wire", "foreign", codec)
    found = installed().served("POST /acme/m:write")
    assert found is not None
    assert (found.codec, found.route.text, found.route.match("POST /acme/m:write")) == (
        codec,
        "POST /acme/{model}:write",
        {"model": "m"},
    )
    assert installed().codec_for("POST /acme/{model}:write") is codec
    assert installed().served("POST /acme/{model}:write") is None
    assert installed().codec_for("POST /acme/m:read") is None


def test_a_client_is_answered_in_its_own_format() -> None:
    assert installed().codec_of_client("/v1/messages/batches", {}).name == "anthropic_messages"
    assert installed().codec_of_client("/v1/models", {"Anthropic-Version": "2023-06-01"}).name == "anthropic_messages"
    assert installed().codec_of_client("/v1/completions/x", {}).name == "openai_completions"
    assert installed().codec_of_client("/v1/images/generations", {}) is installed().codec_for(CHAT)
    assert installed().codec_for(MESSAGES) is not installed().codec_for(CHAT)


def foreign(**changes: Any) -> Any:
    """A wire format of another package: chat completions on a route of its own."""
    own = installed().codec_for(CHAT)
    members = {name: getattr(own, name) for name in vars(Codec) if not name.startswith("_")}
    return SimpleNamespace(**{**members, "name": "foreign", "provider": "acme", "routes": ("POST /acme",), **changes})


def test_another_package_may_bring_a_format(install: Install) -> None:
    codec = foreign()
    install("guardproxy.wire", "foreign", codec)
    assert installed().codec_for("POST /acme") is codec
    assert [one.name for one in codecs()] == [*formats.NAMES, "foreign"]


def incomplete() -> Any:
    codec = foreign()
    del codec.cut, codec.provider
    return codec


def without_contract() -> Any:
    codec = foreign()
    del codec.contract
    return codec


@pytest.mark.parametrize(
    ("codec", "said"),
    [
        (incomplete(), "of acme 1.0 is not a wire format: it has no provider, cut"),
        (without_contract(), "of acme 1.0 is not a wire format: it has no contract"),
        (foreign(contract={"carries": {}}), "its `contract` is not a guardproxy.wire.Contract"),
        (
            foreign(turns=SimpleNamespace(further=1)),
            "it has no turns.first_words, turns.with_model, turns.system_of, turns.with_system",
        ),
        (foreign(routes=()), "its `routes` is empty"),
        (foreign(routes=("POST acme",)), "of acme 1.0 is not a wire format: `POST acme` is not a route"),
        (foreign(routes=("POST /a/{x}", "POST /a/b")), "reads the route `POST /a/b`, which .* reads as `POST /a/{x}`"),
        (
            foreign(routes=("POST /v1/{x}",)),
            "reads the route `POST /v1/{x}`, which guardproxy reads as `POST /v1/messages`",
        ),
        (
            foreign(contract=replace(installed().codec_for(CHAT).contract, unanswered=frozenset(("POST /b",)))),  # type: ignore[union-attr]
            "`contract.unanswered` names an unknown route: POST /b",
        ),
        (foreign(routes=(CHAT,)), "of acme 1.0 reads the route `POST /v1/chat/completions`, which guardproxy reads"),
        (ImportError("x"), "of acme 1.0 cannot be loaded: ImportError: x"),
    ],
)
def test_a_format_that_cannot_be_used_is_refused_with_its_package(codec: Any, said: str, install: Install) -> None:
    install("guardproxy.wire", "foreign", codec)
    with pytest.raises(PluginError, match=said):
        codecs()


def test_two_formats_for_one_route_are_refused(install: Install) -> None:
    install("guardproxy.wire", "foreign", foreign())
    install("guardproxy.wire", "other", foreign(name="other"), "zeta 0.1")
    with pytest.raises(
        PluginError, match=r"`other` .* of zeta 0.1 reads the route `POST /acme`, which `foreign` .* reads"
    ):
        codecs()


def test_a_start_and_a_reload_find_what_is_broken(install: Install) -> None:
    install("guardproxy.wire", "foreign", incomplete())
    with pytest.raises(PolicyError, match="is not a wire format"):
        load(None)


def test_what_is_stored_is_found_by_its_path() -> None:
    (codec,) = (codec for codec in codecs() if codec.contract.stored is not None)
    assert installed().stored_at("/v1/responses/resp_1") is codec.contract.stored
    assert installed().stored_at("/v1/chat/completions") is None


def test_a_format_is_found_by_its_name() -> None:
    assert [installed().named(codec.name) for codec in codecs()] == list(codecs())
    assert installed().named("none") is None


def test_headers_of_limits_begin_as_their_format_says() -> None:
    """The server drops those of the upstream, which are about another key, where it writes its own."""
    left = [Remaining(unit, 9, 8, 1.0) for unit in ("requests", "tokens")]
    told = [
        (codec, name) for codec in codecs() for limit in left for name in codec.contract.limit_headers.write(limit, 0.0)
    ]
    assert {codec.provider for codec, _ in told} == {"openai", "anthropic"}
    assert all(name.startswith(codec.contract.limit_headers.prefix) for codec, name in told)
    assert installed().limit_prefixes == ("x-ratelimit-", "anthropic-ratelimit-")
