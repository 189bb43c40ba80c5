"""The duty that admits clients: by keys, by tokens, within their scope, and not after many wrong keys."""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.errors import ConfigError, DownstreamError
from guardproxy.events import Frame
from guardproxy.gateway import ClientKeys, Head, KnownClients, Refusal
from guardproxy.gateway.clients import (
    NO_CLIENT,
    ClientFile,
    Clients,
    Guesses,
    KnownClient,
    StoredClient,
    Tokens,
    new_key,
)
from guardproxy.gateway.clients import tokens as tokens_module
from guardproxy.gateway.clients.client_file import with_new_client
from guardproxy.gateway.clients.credentials import Credential
from guardproxy.gateway.clients.guesses import WINDOW_S
from guardproxy.wire import Request

NOW_S = 1_900_000_000.0
NOW = datetime.fromtimestamp(NOW_S, UTC)
ISSUER, AUDIENCE = "https://login.example", "guardproxy"
CHAT = "POST /v1/chat/completions"


def key(number: int) -> str:
    return new_key(f"{number:012x}", f"{number:043d}")


def seal(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def clients() -> Clients:
    file = ClientFile()
    for number, client in enumerate(
        (
            StoredClient("ann", "acme"),
            StoredClient("small", "beta", models=("gpt-4*", "o3")),
            StoredClient("strict", "beta", policies=("strict",)),
        ),
        start=1,
    ):
        file = with_new_client(file, client, key(number), NOW, datetime.fromtimestamp(NOW_S + 100, UTC))
    return Clients(file)


@cache
def signing(kind: str = "EdDSA") -> Any:
    if kind == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(65537, 2048) if kind == "RS256" else ec.generate_private_key(ec.SECP256R1())


def public(kind: str = "EdDSA", **members: Any) -> dict[str, Any]:
    """The public key in the form of a JWK."""
    algorithm = jwt.algorithms.get_default_algorithms()[kind]
    return {**json.loads(algorithm.to_jwk(signing(kind).public_key())), "kid": kind, **members}


def token(kind: str = "EdDSA", kid: str | None = "", **claims: Any) -> str:
    given = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "exp": NOW_S + 100, "team": "red", **claims}
    headers = {} if kid is None else {"kid": kid or kind}
    return jwt.encode({name: value for name, value in given.items() if value is not None}, signing(kind), kind, headers)


def tokens(*keys: dict[str, Any], tenant: str = "") -> Tokens:
    text = json.dumps({"keys": keys or [public()]}).encode()
    return Tokens(text, "jwks", ISSUER, [AUDIENCE], tenant)


class Desk:
    """The duty, with what it knows."""

    def __init__(
        self, known: KnownClients | None = None, limit: int = 3, policies: tuple[str, ...] = ("strict",)
    ) -> None:
        self.known = known or KnownClients(clients())
        self.guesses = Guesses(limit)
        self.duty = ClientKeys(lambda: self.known, self.guesses, seal, lambda: policies)

    def admit(self, secret: str, unix_s: float = NOW_S, **members: Any) -> Head:
        sent = {"route": CHAT, "method": "POST", "address": "10.0.0.1", **members}
        head = Head("x", credential=Credential(secret, {"x-api-key": secret}), unix_s=unix_s, **sent)
        admitted = self.duty.admit(head)
        assert isinstance(admitted, Head)
        return admitted

    def refusal(self, secret: str, unix_s: float = NOW_S, **members: Any) -> tuple[int, str]:
        with pytest.raises(DownstreamError) as refused:
            self.admit(secret, unix_s, **members)
        assert len(secret) < 20 or secret[16:] not in str(refused.value)
        return refused.value.status, refused.value.code


def test_a_key_becomes_its_client_and_does_not_go_on() -> None:
    desk = Desk()
    head = desk.admit(key(1))
    assert (head.client.name, head.tenant_name, head.credential.secret) == ("ann", "acme", "")
    assert dict(head.credential.headers) == {}
    assert head.tenant == seal(b"client:key:ann")[:16]
    assert desk.admit(key(2)).tenant != desk.admit(key(3)).tenant, "clients of a tenant keep placeholders of their own"


def test_a_request_without_a_right_key_is_refused() -> None:
    desk = Desk(limit=0)
    assert desk.refusal("") == (401, "missing_credential")
    wrong = [key(9), key(1)[:-1] + "9", key(1)[:-1], key(1).upper(), "sk-1", f"Basic {key(1)}", "eyJh.eyJh.c2ln", "é"]
    for secret in wrong:
        assert desk.refusal(secret) == (401, "unknown_credential"), secret
    assert desk.refusal(key(1), NOW_S + 100) == (401, "expired_credential")
    assert desk.admit(key(1), NOW_S + 99.9).client.name == "ann"


def test_keys_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[int, int]] = []
    real = hmac.compare_digest

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return real(one, other)

    monkeypatch.setattr("guardproxy.gateway.clients.clients.hmac.compare_digest", compare)
    known = clients()
    for secret in (key(1), key(9), key(1)[:-1] + "9", "sk-1", ""):
        known.client(secret, NOW_S)
    assert compared == [(32, 32)] * 5, "whatever the key, one comparison of two digests"
    compared.clear()
    monkeypatch.setattr(
        "guardproxy.gateway.clients.clients.hashlib.sha256",
        lambda data: type("D", (), {"digest": lambda self: bytes(32)})(),
    )
    assert known.client("sk-1", NOW_S) is None, "what an unknown key is compared with belongs to nobody"


@given(st.integers(0, 58), st.characters(codec="ascii"))
def test_a_key_with_another_character_is_another_key(at: int, character: str) -> None:
    changed = key(1)[:at] + character + key(1)[at + 1 :]
    client = clients().client(changed, NOW_S)
    assert (client is not None) == (changed == key(1))


def test_a_demanded_policy_must_be_in_force() -> None:
    assert Desk().admit(key(3)).client.policies == ("strict",)
    assert Desk(policies=("other",)).refusal(key(3)) == (403, "out_of_scope")


@pytest.mark.parametrize(
    ("model", "body", "is_allowed"),
    [
        ("gpt-4o", {"model": "gpt-4o"}, True),
        ("models/gpt-4o", {"model": "models/gpt-4o"}, True),
        ("o3", {"model": "o3", "models": ["gpt-4", "o3"]}, True),
        ("gpt-4o", {}, True),
        ("o30", {"model": "o30"}, False),
        ("GPT-4o", {"model": "GPT-4o"}, False),
        ("gpt-4o", {"model": "gpt-4o", "models": ["gpt-5"]}, False),
        ("gpt-4o", {"model": "gpt-5"}, False),
        ("gpt-4o", {"model": "gpt-4o", "fallback_model": {"x": 1}}, False),
        ("gpt-4o", {"model": "gpt-4o", "models": [f"gpt-4o-{at}" for at in range(17)]}, False),
        ("", {}, False),
        ("", {"model": ""}, False),
    ],
)
def test_a_key_allows_its_models_however_they_are_named(model: str, body: dict[str, Any], is_allowed: bool) -> None:
    desk = Desk()
    head = desk.admit(key(2))
    request = Request(model, False, Frame(b"", tree=body), list)
    assert desk.duty.plans(head)
    if is_allowed:
        assert desk.duty.plan(head, request) is None
    else:
        with pytest.raises(DownstreamError) as refused:
            desk.duty.plan(head, request)
        assert (refused.value.status, refused.value.code, refused.value.field) == (403, "out_of_scope", "model")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"moderation": {"model": "gpt-5"}}, "model"),
        ({"data_sources": [{"parameters": {"embedding_dependency": {"deployment_name": "x"}}}]}, "model"),
        ({"context_window_fallback_dict": {"gpt-4o": "gpt-5"}}, "model"),
        ({"plugins": [{"id": "web"}]}, "plugins"),
        ({"extra_body": {"model": "gpt-4o"}}, "extra_body"),
        ({"route": "fallback"}, "route"),
    ],
)
def test_a_key_for_certain_models_cannot_name_others_in_fields_of_gateways(body: dict[str, Any], field: str) -> None:
    desk = Desk()
    request = Request("gpt-4o", False, Frame(b"", tree={"model": "gpt-4o", "seed": 1, "x_new": 1, **body}), list)
    with pytest.raises(DownstreamError) as refused:
        desk.duty.plan(desk.admit(key(2)), request)
    assert (refused.value.code, refused.value.field) == ("out_of_scope", field)
    assert field in str(refused.value)
    assert desk.duty.plan(desk.admit(key(1)), request) is None


def test_a_key_for_certain_models_may_call_tools() -> None:
    desk = Desk()
    request = Request("", False, Frame(b"", tree={"method": "tools/call"}), list, server="mail")
    assert desk.duty.plan(desk.admit(key(2), route="POST /mcp/{server}"), request) is None


def test_a_key_without_a_scope_may_name_every_model() -> None:
    desk = Desk()
    head = desk.admit(key(1))
    request = Request("any", False, Frame(b"", tree={"model": "any"}), list)
    assert not desk.duty.plans(head)
    assert desk.duty.plan(head, request) is None
    assert NO_CLIENT.may_name("any")


def test_a_name_with_an_escape_fits_no_glob() -> None:
    client = KnownClient(models=("gpt-5*", "my model", "openrouter/*"))
    for model in ("gpt-5-mini", "my model", "openrouter/auto", "gpt-5#deployment", "gpt-5@2025-01-01"):
        assert client.may_name(model)
    for model in (
        "gpt-5%2F..%2Fgpt-9",
        "gpt-5/../gpt-9",
        "gpt-5\\..\\gpt-9",
        "gpt-5?model=gpt-9",
        "gpt-5,gpt-9",
        "gpt-5 ",
        "gpt-5\n",
        "GPT-5",
    ):
        assert not client.may_name(model)
    assert KnownClient(models=("*",)).may_name("any%20thing")


def test_a_key_for_certain_models_cannot_use_routes_whose_model_is_not_read() -> None:
    desk = Desk()
    unread: dict[str, Any] = {"route": "POST /v1/audio/speech"}
    assert desk.refusal(key(2), **unread) == (403, "out_of_scope")
    assert desk.admit(key(1), **unread).client.name == "ann"
    listing = desk.admit(key(2), route="GET /v1/models", method="GET")
    assert listing.client.name == "small"
    request = Request("gpt-5", False, Frame(b"", tree={"model": "gpt-5"}), list)
    assert desk.duty.plan(listing, request) is None, "a route that no format reads has no request"


# Wrong keys.


def test_an_address_with_many_wrong_keys_waits_and_its_right_keys_do_not() -> None:
    desk = Desk()
    for _ in range(3):
        assert desk.refusal(key(9)) == (401, "unknown_credential")
    with pytest.raises(DownstreamError) as refused:
        desk.admit(key(9), NOW_S + 0.5)
    assert (refused.value.code, refused.value.retry_s) == ("too_many_wrong_keys", 60)
    assert desk.admit(key(1)).client.name == "ann"
    assert desk.refusal(key(9), address="10.0.0.2") == (401, "unknown_credential")
    assert desk.refusal(key(9), NOW_S + WINDOW_S) == (401, "unknown_credential")
    assert desk.refusal("") == (401, "missing_credential"), "a request without a key guesses nothing"


def test_a_network_of_ipv6_counts_as_one_address() -> None:
    guesses = Guesses(1)
    guesses.add("2001:db8::1", NOW_S)
    assert guesses.wait_s("2001:db8::ffff:2%eth0", NOW_S) == 60
    assert guesses.wait_s("2001:db8:0:1::1", NOW_S) == 0
    guesses.add("::ffff:10.0.0.1", NOW_S)
    assert guesses.wait_s("10.0.0.1", NOW_S) == 60
    guesses.add("", NOW_S)
    assert guesses.wait_s("", NOW_S) == 60, "a socket without an address"


@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from("abc")), max_size=60), st.integers(0, 3))
def test_guesses_are_counted_as_a_plain_list_counts_them(steps: list[tuple[int, str]], limit: int) -> None:
    guesses, windows, now_s = Guesses(limit), dict[str, tuple[float, int]](), NOW_S
    for passed_s, address in steps:
        now_s += passed_s
        end_s, count = windows.get(address, (0.0, 0))
        wanted = math.ceil(end_s - now_s) if limit and count >= limit and end_s > now_s else 0
        assert guesses.wait_s(address, now_s) == wanted
        guesses.add(address, now_s)
        windows[address] = (end_s, count + 1) if end_s > now_s else (now_s + WINDOW_S, 1)


def test_memory_of_guesses_is_bounded_and_a_clock_that_goes_back_locks_nobody_out() -> None:
    guesses = Guesses(1, capacity=10)
    for number in range(1000):
        guesses.add(f"10.0.{number // 250}.{number % 250}", NOW_S)
    assert len(guesses) == 10
    assert guesses.wait_s("10.0.3.249", NOW_S) == 60
    assert guesses.wait_s("10.0.3.249", NOW_S - 10_000) == 60
    guesses.add("10.0.3.249", NOW_S - 10_000)
    assert guesses.wait_s("10.0.3.249", NOW_S) == 0


# Tokens.


def known_tokens(*keys: dict[str, Any], tenant: str = "") -> KnownClients:
    return KnownClients(clients(), tokens(*keys, tenant=tenant), has_tokens=True)


@pytest.mark.parametrize("kind", ["EdDSA", "RS256", "ES256"])
def test_a_token_of_the_issuer_is_admitted(kind: str) -> None:
    desk = Desk(known_tokens(public(kind), tenant="team"))
    head = desk.admit(token(kind))
    assert (head.client.name, head.tenant_name, head.credential.secret) == ("", "red", "")
    assert head.tenant == seal(f"client:token:{ISSUER}:ann".encode())[:16]
    assert desk.admit(token(kind, sub="bob")).tenant != head.tenant
    assert desk.admit(key(1)).client.name == "ann", "keys still get in"


def forged(**header: Any) -> str:
    """A token that is signed with the public key as a secret, or not at all."""
    encoded = token().split(".")
    head = jwt.utils.base64url_encode(json.dumps(header).encode()).decode()
    signed = f"{head}.{encoded[1]}"
    mac = hmac.new(json.dumps(public()).encode(), signed.encode(), "sha256").digest()
    return f"{signed}.{jwt.utils.base64url_encode(mac).decode()}"


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: token(kid="other"),
        lambda: token(iss="https://login.example/"),
        lambda: token(iss=None),
        lambda: token(aud="other"),
        lambda: token(aud=None),
        lambda: token(sub=None),
        lambda: token(sub=""),
        lambda: token(exp=None),
        lambda: token(exp=True),
        lambda: token(exp=2**60),
        lambda: token(exp=float("inf")),
        lambda: token(exp=float("nan")),
        lambda: token(nbf=NOW_S + 31),
        lambda: token(nbf="soon"),
        lambda: token(team=None),
        lambda: token(team="a/b"),
        lambda: token(team=["red"]),
        lambda: token("ES256", kid="EdDSA"),
        lambda: token()[:-4] + "AAAA",
        lambda: forged(alg="HS256", kid="EdDSA"),
        lambda: forged(alg="none", kid="EdDSA"),
        lambda: forged(alg="EdDSA", kid=7),
        lambda: forged(alg="EdDSA", kid="EdDSA", crit=["x"], x=1),
        lambda: forged(alg="EdDSA", kid="EdDSA", b64=False),
        lambda: forged(kid="EdDSA"),
        lambda: "eyJh.eyJh.c2ln",
    ],
)
def test_any_other_token_is_refused(wrong: Callable[[], str]) -> None:
    desk = Desk(known_tokens(tenant="team"))
    assert desk.refusal(wrong()) == (401, "unknown_credential")
    assert len(desk.guesses) == 1


def test_a_token_ends_and_clocks_may_differ() -> None:
    desk = Desk(known_tokens())
    assert desk.admit(token(exp=NOW_S - 29, nbf=NOW_S + 29)).tenant_name == ""
    assert desk.refusal(token(exp=NOW_S - 30)) == (401, "expired_credential")
    sent = token(exp=NOW_S + 10)
    assert desk.admit(sent).tenant
    assert desk.refusal(sent, NOW_S + 40) == (401, "expired_credential"), "also where it was accepted before"


def test_an_accepted_token_is_not_checked_again_and_passes_from_an_address_that_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = Desk(known_tokens(), limit=1)
    sent, later = token(), token(sub="later")
    desk.admit(sent)
    assert desk.refusal(key(9)) == (401, "unknown_credential")
    monkeypatch.setattr(jwt, "decode", lambda *_: pytest.fail("a signature is checked"))
    assert desk.admit(sent).tenant
    assert desk.refusal(later) == (429, "too_many_wrong_keys")
    monkeypatch.undo()
    assert desk.admit(later, address="10.0.0.2").tenant


def test_few_tokens_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens_module, "REMEMBERED", 2)
    read = tokens()
    sent = [token(sub=str(number)) for number in range(3)]
    for one in sent:
        assert read.client(one, NOW_S)
    assert [read.remembered(one, NOW_S) is not None for one in sent] == [False, True, True]
    assert read.remembered(sent[2], NOW_S + 200) is None


def test_tokens_wait_for_the_keys_of_their_issuer() -> None:
    desk = Desk(KnownClients(clients(), None, has_tokens=True))
    assert desk.refusal(token()) == (503, "keys_unavailable")
    assert desk.refusal("sk-1") == (401, "unknown_credential")
    assert desk.admit(key(1)).client.name == "ann"


def test_a_token_without_the_name_of_a_key_needs_a_set_of_one() -> None:
    assert tokens().client(token(kid=None), NOW_S)
    assert tokens(public(), public("ES256")).client(token(kid=None), NOW_S) is None


@pytest.mark.parametrize("signer", ["EdDSA", "ES256"])
def test_each_of_several_keys_without_a_name_is_tried(signer: str) -> None:
    unnamed = [public(kind, kid=None) for kind in ("EdDSA", "RS256", "ES256")]
    for keys in (unnamed, unnamed[::-1]):
        assert tokens(*keys).client(token(signer, kid=None), NOW_S)
        assert tokens(*keys, public("EdDSA", kid="other")).client(token(signer, kid=None), NOW_S)
    assert tokens(public("RS256", kid=None), public("RS256", kid=None)).client(token(signer, kid=None), NOW_S) is None


def test_two_keys_of_a_kind_without_a_name_are_both_tried() -> None:
    older = ed25519.Ed25519PrivateKey.generate()
    described = json.loads(jwt.algorithms.OKPAlgorithm.to_jwk(older.public_key()))
    assert tokens(public(kid=None), described).client(token(kid=None), NOW_S)
    assert tokens(described, public(kid=None)).client(token(kid=None), NOW_S)


def test_the_keys_that_a_token_may_try_are_few() -> None:
    unnamed = [public("ES256", kid=None)] * 4
    assert tokens(*unnamed).has_keys
    with pytest.raises(ConfigError, match="jwks: more than 4 keys have no `kid`"):
        tokens(*unnamed, public(kid=None))


SYMMETRIC = {"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", "kid": "s"}


@pytest.mark.parametrize(
    "keys",
    [
        [SYMMETRIC],
        [{**public(), "use": "enc"}],
        [{**public(), "d": "AAAA"}],
        [7],
        [{"kty": "none"}],
        [{"kty": "RSA", "n": 1}],
        [],
    ],
)
def test_a_set_without_a_public_key_for_signatures_accepts_no_token(keys: list[Any]) -> None:
    read = Tokens(json.dumps({"keys": keys}).encode(), "jwks", ISSUER, [AUDIENCE])
    assert not read.has_keys
    assert read.client(token(), NOW_S) is None


@pytest.mark.parametrize(
    "text",
    [
        *(b"{", b"[]", b'{"keys": 7}', b"{}", b"[" * 100_000, b" " * (1024 * 1024 + 1)),
        json.dumps({"keys": [public()] * 101}).encode(),
    ],
)
def test_a_text_that_is_no_set_of_keys_is_an_error(text: bytes) -> None:
    with pytest.raises(ConfigError, match="jwks: not a JWK Set with at most 100 keys"):
        Tokens(text, "jwks", ISSUER, [AUDIENCE])


def test_keys_that_cannot_be_used_do_not_stop_the_others() -> None:
    read = tokens(
        {"kty": "new-kind"},
        {**public("RS256"), "alg": "RSA-OAEP"},
        {**public("RS256"), "kid": ["RS256"]},
        public("RS256"),
        {**public("ES256"), "kid": "RS256"},
    )
    assert read.client(token("RS256"), NOW_S)


def test_tokens_need_their_library(monkeypatch: pytest.MonkeyPatch) -> None:
    text = json.dumps({"keys": [public()]}).encode()
    monkeypatch.setitem(sys.modules, "jwt", None)
    with pytest.raises(ConfigError, match=r"pip install 'guardproxy\[jwt\]'"):
        Tokens(text, "jwks", ISSUER, [AUDIENCE])


# Shadow mode.


def shadow(noticed: list[tuple[str, str]], limit_wrong_keys: int = 0) -> ClientKeys:
    notice = lambda code, mode: noticed.append((code, mode))  # noqa: E731
    known = KnownClients(clients())
    return ClientKeys(lambda: known, Guesses(limit_wrong_keys), seal, lambda: ("base",), is_shadow=True, notice=notice)


@pytest.mark.parametrize(
    ("credential", "code"),
    [("", "missing_credential"), ("gp-unknown", "unknown_credential"), ("sk-of-the-upstream", "unknown_credential")],
)
def test_in_shadow_mode_a_stranger_passes_with_its_own_credential(credential: str, code: str) -> None:
    noticed: list[tuple[str, str]] = []
    duty = shadow(noticed)
    head = Head("x", "POST", route=CHAT, unix_s=NOW_S, tenant="t", credential=Credential(credential, {}))
    assert duty.admit(head) == head
    assert duty.refusals(head) == (Refusal("client-keys", code, enforced=False),)
    assert duty.refusals(head) == ()
    assert noticed == [(code, "shadow")]


def test_in_shadow_mode_a_known_client_is_a_client_and_its_scope_is_noted() -> None:
    duty = shadow([])
    admitted = duty.admit(Head("x", "POST", route=CHAT, unix_s=NOW_S, credential=Credential(key(2), {})))
    assert (admitted.client.name, admitted.credential.secret) == ("small", "")
    assert duty.plan(admitted, Request("gpt-5", False, Frame(b"", tree={"model": "gpt-5"}), list)) is None
    assert duty.refusals(admitted) == (Refusal("client-keys", "out_of_scope", enforced=False),)
    assert duty.plan(admitted, Request("gpt-4", False, Frame(b"", tree={"model": "gpt-4"}), list)) is None
    assert duty.refusals(admitted) == ()


def test_what_is_refused_is_noted_for_the_record_too() -> None:
    noticed: list[tuple[str, str]] = []
    known = KnownClients(clients())
    notice = lambda code, mode: noticed.append((code, mode))  # noqa: E731
    duty = ClientKeys(lambda: known, Guesses(0), seal, lambda: ("base",), notice=notice)
    head = Head("x", "POST", route=CHAT, unix_s=NOW_S)
    with pytest.raises(DownstreamError):
        duty.admit(head)
    assert duty.refusals(head) == (Refusal("client-keys", "missing_credential"),)
    assert noticed == [("missing_credential", "enforce")]


def test_an_open_route_needs_no_key_and_no_key_goes_on() -> None:
    known = KnownClients(clients())
    duty = ClientKeys(lambda: known, Guesses(0), seal, lambda: (), open_routes=["GET /.well-known/x"])
    credential = Credential("secret", {"Authorization": "Bearer secret"})
    head = duty.admit(Head("x", "GET", route="GET /.well-known/x", credential=credential, unix_s=NOW_S))
    assert isinstance(head, Head)
    assert (head.client, head.credential.headers) == (NO_CLIENT, {})


def test_refusals_that_nobody_asks_for_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guardproxy.gateway.duties.client_keys.LIMIT_OPEN", 3)
    duty = shadow([])
    for number in range(9):
        duty.admit(Head(f"x{number}", "POST", route=CHAT, unix_s=NOW_S))
    assert len(duty._refused) == 3


def subject(*parts: tuple[str, str]) -> list[list[tuple[str, str]]]:
    """A subject as the module `ssl` gives it."""
    return [[part] for part in parts]


O, OU, CN = "organizationName", "organizationalUnitName", "commonName"  # noqa: E741
CERTIFICATE = KnownClient.of_certificate(subject((O, "acme"), (CN, "billing")), "O", NOW_S + 100)


def test_the_subject_of_a_certificate_names_a_client_and_its_tenant() -> None:
    assert KnownClient("billing", "certificate:acme/billing", "acme", until_s=NOW_S + 100) == CERTIFICATE
    parts = subject((O, "acme"), (OU, "red"), (CN, "billing"))
    tenants = {part: KnownClient.of_certificate(parts, part, 0.0).tenant for part in ("O", "OU", "CN")}
    assert tenants == {"O": "acme", "OU": "red", "CN": "billing"}


@pytest.mark.parametrize(
    "parts",
    [
        (),
        ((CN, "billing"),),
        ((O, "acme"),),
        ((O, "acme"), (CN, "billing"), (CN, "admin")),
        ((O, "acme"), (O, "other"), (CN, "billing")),
        ((O, "acme"), (CN, "")),
        ((O, "acme"), (CN, "bill ing")),
        ((O, "acme"), (CN, "billing\n")),
        ((O, "acme"), (CN, "billing\0.evil")),
        ((O, "acme"), (CN, "bill\N{RIGHT-TO-LEFT OVERRIDE}ing")),
        ((O, "acme"), (CN, "b\N{CYRILLIC SMALL LETTER I}lling")),
        ((O, "acme"), (CN, "<script>")),
        ((O, "acme/other"), (CN, "billing")),
        ((O, "acme"), (CN, "x" * 65)),
        ((O, "acme"), (CN, "../billing")),
    ],
)
def test_a_subject_that_names_none_or_several_is_nobody(parts: tuple[tuple[str, str], ...]) -> None:
    nobody = KnownClient.of_certificate(subject(*parts), "O", NOW_S + 100)
    assert not nobody.identity
    with pytest.raises(DownstreamError, match="does not name one client") as caught:
        duty().admit(certified("", nobody))
    assert caught.value.code == "unknown_credential"


def certified(secret: str, certificate: KnownClient | None = CERTIFICATE, now_s: float = NOW_S) -> Head:
    credential = Credential(secret, {"authorization": f"Bearer {secret}"} if secret else {})
    return Head(id="x", method="POST", route=CHAT, unix_s=now_s, credential=credential, certificate=certificate)


def duty(known: KnownClients | None = None) -> ClientKeys:
    known = known or KnownClients(clients(), has_tokens=True)
    return ClientKeys(lambda: known, Guesses(0), seal, lambda: ["strict"])


@pytest.mark.parametrize("secret", ["", "sk-that-an-sdk-insists-on", "gp-unused"])
def test_a_certificate_is_a_credential(secret: str) -> None:
    head = duty().admit(certified(secret))
    assert isinstance(head, Head)
    assert (head.client, head.tenant_name) == (CERTIFICATE, "acme")
    assert head.tenant == seal(b"client:certificate:acme/billing")[:16]
    assert not head.credential.secret, "what an SDK sends beside it does not go upstream"


def test_a_key_counts_before_the_certificate() -> None:
    head = duty().admit(certified(key(2)))
    assert isinstance(head, Head)
    assert (head.client.name, head.tenant_name) == ("small", "beta")
    for wrong in (key(9), "eyJh.eyJh.aaaa"):
        with pytest.raises(DownstreamError) as caught:
            duty().admit(certified(wrong))
        assert caught.value.code in ("unknown_credential", "keys_unavailable")


def test_a_certificate_that_ended_while_its_connection_is_open_is_refused() -> None:
    with pytest.raises(DownstreamError) as caught:
        duty().admit(certified("", now_s=NOW_S + 100))
    assert caught.value.code == "expired_credential"
    with pytest.raises(DownstreamError) as caught:
        duty().admit(certified("", None))
    assert caught.value.code == "missing_credential"


def test_a_certificate_has_the_scope_of_the_client_of_its_name() -> None:
    def of(name: str, tenant: str) -> KnownClient:
        return KnownClient.of_certificate(subject((O, tenant), (CN, name)), "O", NOW_S + 100)

    head = duty().admit(certified("", of("small", "beta")))
    assert isinstance(head, Head)
    assert head.client.models == ("gpt-4*", "o3")
    assert head.client.identity == "key:small", "the placeholders of its key"
    for name, tenant in (("small", "acme"), ("Small", "beta")):
        with pytest.raises(DownstreamError, match="that may be used"):
            duty().admit(certified("", of(name, tenant)))
