"""Sign-in at an identity provider: OpenID Connect, authorization code with PKCE.

    start --redirect--> provider --code--> callback --code, verifier--> provider --ID token--> a name and a role

In: settings, and the two requests of a browser. Out: an address of the provider, then a login. Kept: sign-ins that were begun,
for `BEGUN_S`, and the keys of the provider.

A sign-in ends in the browser that began it (a cookie), once, with a token that the provider signed for this client and this
sign-in (`nonce`). The role comes from a claim, by the map of the settings; who has none of its values stays outside.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from base64 import b64encode, urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import aiohttp

from guardproxy.config import ConsoleSettings
from guardproxy.console.access.people import Login, role_of
from guardproxy.errors import ConfigError

BEGUN_S = 600.0
LIMIT_BEGUN = 1000
KEPT_S = 3600.0  # what the provider says of itself
AGAIN_S = 30.0  # the least time between two looks for a key that is not known
LIMIT_BYTES = 1024 * 1024
ASK_S = 10.0
LEEWAY_S = 30.0
LIMIT_NAME_CHARS = 128
# Signatures with a public key. With a symmetric algorithm, the "public" key would be a secret of both sides.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")


class SignInError(Exception):
    """A sign-in that does not lead in. The message is for the person."""


@dataclass(frozen=True, slots=True)
class BegunSignIn:
    """A sign-in that was begun. `binder`: the digest of the cookie of its browser; `target`: where the person wanted to go."""

    binder: bytes
    nonce: str
    verifier: str
    target: str
    until_s: float


@dataclass(frozen=True, slots=True)
class IdentityProvider:
    """What the provider says of itself."""

    authorization: str
    token: str
    keys: Any = field(repr=False)
    at_s: float = 0.0


class SignIn:
    """Sign-in at one provider. `url`: where people open the console."""

    def __init__(
        self,
        settings: ConsoleSettings,
        clock: Callable[[], float] = time.monotonic,
        unix_s: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._issuer = settings.oidc_issuer
        self._clock = clock
        self._unix_s = unix_s
        self._begun: OrderedDict[str, BegunSignIn] = OrderedDict()
        self._provider: IdentityProvider | None = None
        self._redirect = f"{settings.url.rstrip('/').removesuffix('/console')}/console/oidc/callback"

    @property
    def title(self) -> str:
        """Returns the name of the provider, for people."""
        return urlsplit(self._issuer).hostname or ""

    @property
    def session_s(self) -> float:
        """Returns the seconds after which a person signs in again, so that a role that is lost at the provider is lost here."""
        return self._settings.oidc_session_s

    async def begin(self, target: str) -> tuple[str, str]:
        """Begins a sign-in. Returns the address of the provider to go to, and the value of a cookie. Raises `SignInError`."""
        provider = await self._described()
        state, nonce, binder, verifier = (secrets.token_urlsafe(32) for _ in range(4))
        self._begun[state] = BegunSignIn(_digest(binder), nonce, verifier, target, self._clock() + BEGUN_S)
        if len(self._begun) > LIMIT_BEGUN:
            self._begun.popitem(last=False)
        challenge = urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        query = {
            "response_type": "code",
            "client_id": self._settings.oidc_client,
            "redirect_uri": self._redirect,
            "scope": " ".join(self._settings.oidc_scope),
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return f"{provider.authorization}{'&' if '?' in provider.authorization else '?'}{urlencode(query)}", binder

    async def finish(self, query: Mapping[str, str], binder: str) -> tuple[Login, str]:
        """Ends a sign-in. `query`: what the provider sent with the browser; `binder`: the cookie. Returns the login, and where
        the person wanted to go. Raises `SignInError`."""
        # Taken out whatever follows: a `state` that could be tried twice would let somebody search for the binder.
        begun = self._begun.pop(query.get("state", ""), None)
        if begun is None or begun.until_s <= self._clock() or not hmac.compare_digest(begun.binder, _digest(binder)):
            raise SignInError("This sign-in was not begun here, or it took too long. Begin again.")
        # RFC 9207: a client of several providers could otherwise be made to send a code to the wrong one.
        if query.get("iss", self._issuer) != self._issuer:
            raise SignInError("Another provider answered.")
        if "error" in query or not query.get("code"):
            raise SignInError("The provider refused to sign you in.")
        claims = await self._claims(query["code"], begun)
        return self._login(claims), begun.target

    def _login(self, claims: Mapping[str, Any]) -> Login:
        values = claims.get(self._settings.oidc_claim, ())
        has = {values} if isinstance(values, str) else {value for value in values if isinstance(value, str)}
        role = next((role for value, role in self._settings.oidc_roles if value in has), None)
        if role is None:
            raise SignInError("The provider knows you, but you have no role here. Ask those who run the proxy.")
        # A name that people choose for themselves would let them sign as somebody else.
        mail, subject = claims.get("email"), str(claims["sub"])
        name = mail if isinstance(mail, str) and mail and claims.get("email_verified") is True else subject
        if len(name) > LIMIT_NAME_CHARS or not name.isprintable():
            raise SignInError("The provider gave a name that cannot be used.")
        return Login(name, role_of(role))

    async def _claims(self, code: str, begun: BegunSignIn) -> Mapping[str, Any]:
        """Returns the claims of the ID token for a code. Raises `SignInError`."""
        import jwt  # noqa: PLC0415 - an extra

        provider, settings = await self._described(), self._settings
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect,
            "client_id": settings.oidc_client,
            "code_verifier": begun.verifier,
        }
        answer = await _asked("POST", provider.token, form, _authorization(settings))
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise SignInError("The provider gave no token.")
        try:
            keys = await self._keys(provider, jwt.get_unverified_header(token).get("kid"))
            claims = _signed_claims(token, keys, settings.oidc_client, self._issuer)
            # A token for several audiences names in `azp` the client that it was made for (OpenID Connect Core, 3.1.3.7).
            is_mine = claims.get("azp", settings.oidc_client) == settings.oidc_client
            is_this = isinstance(claims.get("nonce"), str) and hmac.compare_digest(claims["nonce"], begun.nonce)
            is_fresh = float(claims["exp"]) > self._unix_s() - LEEWAY_S
            if not (is_mine and is_this and is_fresh and isinstance(claims.get("sub"), str) and claims["sub"]):
                raise ValueError
        except (jwt.PyJWTError, KeyError, ValueError, TypeError, RecursionError):
            raise SignInError("The token of the provider is not valid.") from None
        return claims

    async def _keys(self, provider: IdentityProvider, kid: object) -> Sequence[Any]:
        """Returns the keys that may have signed a token. Raises `KeyError` if the provider has none of this name."""
        if kid not in provider.keys and self._clock() - provider.at_s >= AGAIN_S:  # it may have a new one
            self._provider = None
            provider = await self._described()
        if kid is None and len(provider.keys) == 1:
            return tuple(next(iter(provider.keys.values())))
        return tuple(provider.keys[kid])

    async def _described(self) -> IdentityProvider:
        """Returns what the provider says of itself, asked anew after `KEPT_S`."""
        if self._provider is None or self._clock() - self._provider.at_s >= KEPT_S:
            about = await _asked("GET", f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
            # OpenID Connect Discovery, 4.3: the names must be the same, or one provider could speak for another.
            if about.get("issuer") != self._issuer:
                raise SignInError("The provider has another name than the settings say.")
            authorization, token, keys_url = (_place(about.get(name), self._issuer) for name in _PLACES)
            keys = _keys(await _asked("GET", keys_url))
            self._provider = IdentityProvider(authorization, token, keys, self._clock())
        return self._provider


_PLACES = ("authorization_endpoint", "token_endpoint", "jwks_uri")


def sign_in_of(settings: ConsoleSettings) -> SignIn | None:
    """Returns the sign-in of the settings; `None` without a provider. Raises `ConfigError` if PyJWT is not installed."""
    if not settings.oidc_issuer:
        return None
    try:
        import jwt  # noqa: F401, PLC0415
    except ModuleNotFoundError:
        raise ConfigError("sign-in at a provider needs the package PyJWT: pip install 'guardproxy[jwt]'") from None
    return SignIn(settings)


def _place(url: object, issuer: str) -> str:
    """Returns an address of the provider. It uses HTTPS where the issuer does."""
    if not isinstance(url, str) or urlsplit(url).scheme != urlsplit(issuer).scheme or not urlsplit(url).hostname:
        raise SignInError("The provider describes itself in a way that cannot be used.")
    return url


def _signed_claims(token: str, keys: Sequence[Any], audience: str, issuer: str) -> dict[str, Any]:
    """Returns the claims of a token that one of the keys signed. Raises `jwt.PyJWTError` and `ValueError`."""
    import jwt  # noqa: PLC0415 - an extra

    times: Any = {
        "verify_exp": False,
        "verify_nbf": False,
        "verify_iat": False,
    }  # compared by the caller, with its clock
    for key in keys:
        with suppress(jwt.InvalidSignatureError, jwt.InvalidAlgorithmError):
            # The algorithm of the key, not of the header: the sender chooses the header (RFC 8725, 3.1).
            claims: dict[str, Any] = jwt.decode(
                token, key, [key.algorithm_name], times, audience=audience, issuer=issuer
            )
            return claims
    raise ValueError("no key signed it")


def _keys(tree: Mapping[str, Any]) -> dict[object, list[Any]]:
    """Returns the public keys of a JWK Set that can check signatures, by their `kid`. Several may have none."""
    import jwt  # noqa: PLC0415 - an extra

    found: dict[object, list[Any]] = {}
    rows = tree.get("keys")
    for row in rows if isinstance(rows, list) else ():
        try:
            if isinstance(row, dict) and row.get("use", "sig") == "sig" and "d" not in row:
                key = jwt.PyJWK(row)
                if key.algorithm_name in ALGORITHMS and (key.key_id is None or key.key_id not in found):
                    found.setdefault(key.key_id, []).append(key)
        except (jwt.PyJWTError, ValueError, TypeError, AttributeError):
            continue  # of a kind that the library does not know
    return found


async def _asked(
    method: str, url: str, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
) -> Mapping[str, Any]:
    """Asks the provider. Returns an object. Raises `SignInError`."""
    timeout = aiohttp.ClientTimeout(total=ASK_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session,
            # A redirect would take the code and the secret of the client to an address that no setting names.
            session.request(method, url, data=form, headers=headers, allow_redirects=False) as answer,
        ):
            text = b""
            while (part := await answer.content.readany()) and len(text) <= LIMIT_BYTES:
                text += part
            if answer.status != 200 or len(text) > LIMIT_BYTES:
                raise SignInError("The provider did not answer as it should.")
    except (aiohttp.ClientError, OSError, TimeoutError):
        raise SignInError("The provider cannot be reached.") from None
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError):
        tree = None
    if not isinstance(tree, dict):
        raise SignInError("The provider did not answer as it should.")
    return tree


def _authorization(settings: ConsoleSettings) -> dict[str, str]:
    """Returns how the console shows the provider that it is the one that was registered."""
    if not settings.oidc_secret:
        return {}
    pair = f"{quote(settings.oidc_client, safe='')}:{quote(settings.oidc_secret, safe='')}"
    return {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}


def _digest(binder: str) -> bytes:
    return hashlib.sha256(binder.encode("utf-8", "surrogatepass")).digest()
