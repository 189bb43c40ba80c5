"""Sign-in at an identity provider: a small one in this process, and what a wrong one may try."""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.asymmetric import ec

from guardproxy.config import ConsoleSettings
from guardproxy.console.access import oidc
from guardproxy.console.access.oidc import BEGUN_S, SignIn, SignInError, sign_in_of
from guardproxy.console.access.people import Login
from guardproxy.console.application import BINDER
from tests.kit.console import ConsoleSite, console_site

NOW_S = 1_900_000_000.0
URL = "https://guard.example"


def public(key: ec.EllipticCurvePrivateKey, kid: str) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
    return {**tree, "kid": kid, "use": "sig", "alg": "ES256"}


@dataclass
class TestProvider:
    """A provider. `claims`: replaced in the next tokens; `codes`: the sign-ins that wait for their token."""

    __test__ = False
    issuer: str = ""
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    kid: str = "first"
    claims: dict[str, Any] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    token: object = None
    more: list[dict[str, Any]] = field(default_factory=list)
    is_named: bool = True
    asked: list[str] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=count)

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/.well-known/openid-configuration", self.describe)
        app.router.add_get("/keys", self.keys)
        app.router.add_post("/token", self.redeem)
        return app

    async def describe(self, _: web.Request) -> web.Response:
        self.asked.append("describe")
        places = {"authorization_endpoint": "/authorize", "token_endpoint": "/token", "jwks_uri": "/keys"}
        about = {"issuer": self.issuer, **{name: self.issuer + path for name, path in places.items()}, **self.about}
        return web.json_response(about)

    async def keys(self, _: web.Request) -> web.Response:
        odd = [{"kty": "new"}, 7, {**public(self.key, "enc"), "use": "enc"}, {"kty": "oct", "k": "AAAA", "kid": "oct"}]
        own = public(self.key, self.kid)
        if not self.is_named:
            del own["kid"]
        return web.json_response({"keys": [*odd, *self.more[:1], own, *self.more[1:]]})

    def visit(self, address: str) -> dict[str, str]:
        """A person signs in. Returns the query with which the browser is sent back."""
        assert address.startswith(f"{self.issuer}/authorize?")
        query = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        assert query["response_type"] == "code"
        assert query["redirect_uri"] == f"{URL}/console/oidc/callback"
        code = f"code-{next(self.numbers)}"
        self.codes[code] = query
        return {"code": code, "state": query["state"], "iss": self.issuer}

    async def redeem(self, request: web.Request) -> web.Response:
        form = await request.post()
        query = self.codes.pop(str(form["code"]), None)
        challenge = (
            urlsafe_b64encode(hashlib.sha256(str(form["code_verifier"]).encode()).digest()).rstrip(b"=").decode()
        )
        is_known = request.headers.get("Authorization") == f"Basic {b64encode(b'guardproxy:s3cret').decode()}"
        if query is None or challenge != query["code_challenge"] or not is_known:
            return web.json_response({"error": "invalid_grant"}, status=400)
        claims = {
            "iss": self.issuer,
            "aud": "guardproxy",
            "sub": "u-17",
            "exp": NOW_S + 60,
            "nonce": query["nonce"],
            "groups": ["staff", "security"],
            **self.claims,
        }
        kept = {name: value for name, value in claims.items() if value is not None}
        headers = {"kid": self.kid} if self.is_named else {}
        token = self.token or jwt.encode(kept, self.key, "ES256", headers=headers)
        return web.json_response({"id_token": token})


@dataclass
class Clock:
    now_s: float = 1000.0

    def __call__(self) -> float:
        return self.now_s


@asynccontextmanager
async def provided() -> AsyncIterator[tuple[TestProvider, SignIn, Clock]]:
    provider = TestProvider()
    async with TestServer(provider.app()) as server:
        provider.issuer = f"http://127.0.0.1:{server.port}"
        clock = Clock()
        settings = ConsoleSettings(
            url=URL,
            oidc_issuer=provider.issuer,
            oidc_client="guardproxy",
            oidc_secret="s3cret",
            oidc_role=("security=auditor", "staff=viewer"),
        )
        yield provider, SignIn(settings, clock, lambda: NOW_S), clock


async def test_a_person_comes_in_with_the_role_of_a_claim() -> None:
    async with provided() as (provider, sign_in, _):
        address, binder = await sign_in.begin("/console/review")
        login, target = await sign_in.finish(provider.visit(address), binder)
        assert (login, target) == (Login("u-17", "auditor"), "/console/review")
        provider.claims = {"groups": "staff", "email": "ann@example.com", "email_verified": True}
        address, binder = await sign_in.begin("/console/")
        assert (await sign_in.finish(provider.visit(address), binder))[0] == Login("ann@example.com", "viewer")
        assert provider.asked == ["describe"]
        assert sign_in.title == "127.0.0.1"


@pytest.mark.parametrize(
    "claims",
    [
        {"groups": ["strangers"]},
        {"groups": None},
        {"groups": [1, {}]},
        {"nonce": "another"},
        {"nonce": None},
        {"aud": "another"},
        {"aud": ["guardproxy", "another"], "azp": "another"},
        {"iss": "https://evil.example"},
        {"exp": NOW_S - 60},
        {"exp": None},
        {"exp": "soon"},
        {"sub": None},
        {"sub": ""},
        {"sub": "x" * 129},
        {"sub": "a\u202eb"},
    ],
    ids="-".join,
)
async def test_a_token_that_is_not_for_this_sign_in_lets_nobody_in(claims: dict[str, Any]) -> None:
    async with provided() as (provider, sign_in, _):
        provider.claims = claims
        address, binder = await sign_in.begin("/console/")
        with pytest.raises(SignInError):
            await sign_in.finish(provider.visit(address), binder)


async def test_a_mail_that_the_provider_did_not_verify_is_no_name() -> None:
    async with provided() as (provider, sign_in, _):
        provider.claims = {"email": "ceo@example.com", "email_verified": "true", "preferred_username": "ceo"}
        address, binder = await sign_in.begin("/console/")
        assert (await sign_in.finish(provider.visit(address), binder))[0].name == "u-17"


@pytest.mark.parametrize("kind", ["none", "HS256", "text", "number", "other key", "absent key"])
async def test_a_token_with_another_signature_lets_nobody_in(kind: str) -> None:
    async with provided() as (provider, sign_in, _):
        address, binder = await sign_in.begin("/console/")
        query = provider.visit(address)
        nonce = provider.codes[query["code"]]["nonce"]
        claims = {"iss": provider.issuer, "aud": "guardproxy", "sub": "u", "exp": NOW_S + 60, "nonce": nonce}
        other = ec.generate_private_key(ec.SECP256R1())
        provider.token = {
            "none": jwt.encode(claims, "", "none", headers={"kid": "first"}),
            "HS256": jwt.encode(claims, "k" * 32, "HS256", headers={"kid": "first"}),
            "text": "a.b.c",
            "number": 7,
            "other key": jwt.encode(claims, other, "ES256", headers={"kid": "first"}),
            "absent key": jwt.encode(claims, other, "ES256", headers={"kid": "oct"}),
        }[kind]
        with pytest.raises(SignInError):
            await sign_in.finish(query, binder)


async def test_a_sign_in_ends_once_in_its_browser_and_in_time() -> None:
    async with provided() as (provider, sign_in, clock):
        address, binder = await sign_in.begin("/console/")
        query = provider.visit(address)
        for wrong, cookie in ((query, "another"), ({}, binder), ({**query, "state": "x"}, binder)):
            with pytest.raises(SignInError, match="not begun here"):
                await sign_in.finish(wrong, cookie)
        with pytest.raises(SignInError, match="not begun here"):  # it was tried with a wrong cookie
            await sign_in.finish(query, binder)
        for change in ({"iss": "https://evil.example"}, {"error": "access_denied"}, {"code": ""}, {"code": "unknown"}):
            address, binder = await sign_in.begin("/console/")
            with pytest.raises(SignInError):
                await sign_in.finish({**provider.visit(address), **change}, binder)
        address, binder = await sign_in.begin("/console/")
        clock.now_s += BEGUN_S
        with pytest.raises(SignInError, match="too long"):
            await sign_in.finish(provider.visit(address), binder)


async def test_begun_sign_ins_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oidc, "LIMIT_BEGUN", 2)
    async with provided() as (provider, sign_in, _):
        begun = [await sign_in.begin("/console/") for _ in range(3)]
        with pytest.raises(SignInError):
            await sign_in.finish(provider.visit(begun[0][0]), begun[0][1])
        assert (await sign_in.finish(provider.visit(begun[2][0]), begun[2][1]))[0].role == "auditor"


async def test_new_keys_of_the_provider_are_found() -> None:
    async with provided() as (provider, sign_in, clock):
        address, binder = await sign_in.begin("/console/")
        provider.key, provider.kid = ec.generate_private_key(ec.SECP256R1()), "second"
        with pytest.raises(SignInError):  # the keys were just read
            await sign_in.finish(provider.visit(address), binder)
        clock.now_s += oidc.AGAIN_S
        address, binder = await sign_in.begin("/console/")
        assert (await sign_in.finish(provider.visit(address), binder))[0].role == "auditor"
        clock.now_s += oidc.KEPT_S
        await sign_in.begin("/console/")
        assert len(provider.asked) == 3


async def test_each_of_several_keys_without_a_name_is_tried() -> None:
    others = [public(ec.generate_private_key(ec.SECP256R1()), "") for _ in range(2)]
    async with provided() as (provider, sign_in, _):
        provider.is_named = False
        provider.more = [{name: value for name, value in other.items() if name != "kid"} for other in others]
        address, binder = await sign_in.begin("/console/")
        assert (await sign_in.finish(provider.visit(address), binder))[0].role == "auditor"
        address, binder = await sign_in.begin("/console/")
        provider.token = "eyJhbGciOiJFUzI1NiJ9.e30.AAAA"
        with pytest.raises(SignInError, match="not valid"):
            await sign_in.finish(provider.visit(address), binder)


@pytest.mark.parametrize(
    "about",
    [
        {"issuer": "https://evil.example"},
        {"token_endpoint": None},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"jwks_uri": "https://127.0.0.1/keys"},
        {"jwks_uri": "http://127.0.0.1:9/keys"},
        {"token_endpoint": "http://"},
    ],
    ids="-".join,
)
async def test_a_provider_that_describes_itself_wrongly_is_not_asked(about: dict[str, Any]) -> None:
    async with provided() as (provider, sign_in, _):
        provider.about = about
        with pytest.raises(SignInError):
            await sign_in.begin("/console/")


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"[" * 5000, b"x" * (oidc.LIMIT_BYTES + 1)], ids=len)
async def test_an_answer_that_is_none_lets_nobody_in(body: bytes) -> None:
    async def answer(_: web.Request) -> web.Response:
        response = web.Response(content_type="application/json")
        response.body = body
        return response

    app = web.Application()
    app.router.add_get("/{any:.*}", answer)
    async with TestServer(app) as server:
        settings = ConsoleSettings(url=URL, oidc_issuer=f"http://127.0.0.1:{server.port}", oidc_client="guardproxy")
        with pytest.raises(SignInError, match="did not answer"):
            await SignIn(settings).begin("/console/")


def test_without_a_provider_there_is_no_sign_in() -> None:
    assert sign_in_of(ConsoleSettings()) is None
    assert sign_in_of(ConsoleSettings(oidc_issuer="https://login.example")) is not None


async def cookies_of(site: ConsoleSite, path: str, cookie: str = "") -> tuple[int, str, list[str], str]:
    headers = {"Cookie": cookie, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    async with site.client.get(path, headers=headers, allow_redirects=False) as answer:
        cookies = answer.headers.getall("Set-Cookie", [])
        return answer.status, answer.headers.get("Location", ""), cookies, await answer.text()


async def test_the_whole_way_through_the_console() -> None:
    async with provided() as (provider, sign_in, _), console_site(sign_in=sign_in) as site:
        form = await site.get(None, "/console/login?next=/console/audit")
        assert "Sign in with 127.0.0.1" in form.text
        assert "/console/oidc/start?next=/console/audit" in form.text
        status, address, cookies, _text = await cookies_of(site, "/console/oidc/start?next=/console/audit")
        assert status == 303
        assert cookies[0].startswith(f"{BINDER}=")
        assert {"HttpOnly", "SameSite=Lax", "Path=/console/oidc"} <= set(cookies[0].split("; "))
        query = provider.visit(address)
        back = f"/console/oidc/callback?code={query['code']}&state={query['state']}"
        status, _, cookies, text = await cookies_of(site, back, cookies[0].partition(";")[0])
        assert status == 200
        assert 'content="0;url=/console/audit"' in text
        session = next(cookie for cookie in cookies if "SameSite=Strict" in cookie)
        assert "Max-Age=3600" in session, "a role that is lost at the provider is lost within an hour"
        page = await site.send("GET", None, "/console/audit", headers={"Cookie": session.partition(";")[0]})
        assert page.status == 200
        assert "u-17" in page.text
        status, _, cookies, text = await cookies_of(site, back)  # again, and in another browser
        assert (status, cookies) == (403, [])
        assert "not begun here" in text
        provider.issuer = "https://evil.example"
        sign_in._provider = None
        assert (await cookies_of(site, "/console/oidc/start"))[0] == 502
