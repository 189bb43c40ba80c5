"""Reads bearer tokens (JWT) that an identity provider signs, with the library PyJWT (the extra `jwt`).

In: the public keys of the provider (a JWK Set), then the token of each request. Out: the client that the token names.
Kept: clients by the digests of the tokens that were accepted last, because a signature takes longer to check than the rest of
a request.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from guardproxy.errors import ConfigError, DownstreamError, ErrorCode
from guardproxy.gateway.clients.clients import KnownClient

# Signatures with a public key. A symmetric algorithm is never accepted: the "public" key would be a secret of both sides.
ALGORITHMS = frozenset(
    ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
)
LEEWAY_S = 30.0  # clocks differ
LATEST_S = 2**40  # also keeps out NaN and infinity, which JSON of some libraries has
LIMIT_KEYS = 100
LIMIT_BYTES = 1024 * 1024  # of a JWK Set
# Keys without a `kid` are all tried, and anybody can send a token without a `kid`: a signature takes a tenth of a millisecond.
LIMIT_UNNAMED = 4
REMEMBERED = 4096
_TOKEN = re.compile(r"eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


def is_token(secret: str) -> bool:
    """Whether a credential has the form of a token."""
    return _TOKEN.fullmatch(secret) is not None


class Tokens:
    """Reads the tokens of one issuer. `key_set`: the text of its JWK Set; `where`: its file or URL, for messages. `issuer`,
    `audience`: what tokens must name. `tenant`: the claim with the name of the tenant; empty: tokens name no tenant. A set
    without a key that can be used accepts no token (`has_keys`). Raises `ConfigError` if the text is no set, or PyJWT is not
    installed."""

    def __init__(self, key_set: bytes, where: str, issuer: str, audience: Sequence[str], tenant: str = "") -> None:
        self._keys = _read_keys(key_set, where)
        self._issuer, self._audience, self._tenant = issuer, list(audience), tenant
        self._accepted: OrderedDict[bytes, tuple[KnownClient, float]] = OrderedDict()

    @property
    def has_keys(self) -> bool:
        """Whether there is a key. A provider that withdraws all of its keys wants no token to be accepted."""
        return bool(self._keys)

    def remembered(self, token: str, unix_s: float) -> KnownClient | None:
        """Returns the client of a token that was accepted before and has not expired; `None` for any other token."""
        known = self._accepted.get(_digest(token))
        return known[0] if known and unix_s < known[1] else None

    def client(self, token: str, unix_s: float) -> KnownClient | None:
        """Returns the client of a token; `None` if the token is not valid. Raises `DownstreamError` (401) for a token that
        was valid and has expired."""
        claims = self._claims(token)
        if claims is None:
            return None
        end_s, begin_s = _number(claims.get("exp")), _number(claims.get("nbf", 0))
        subject, tenant = claims.get("sub"), claims.get(self._tenant, "") if self._tenant else ""
        if end_s is None or begin_s is None or not isinstance(subject, str) or not subject:
            return None
        if self._tenant and not (isinstance(tenant, str) and _TENANT.fullmatch(tenant)):
            return None
        if unix_s >= end_s + LEEWAY_S:
            raise DownstreamError(ErrorCode.EXPIRED_CREDENTIAL, "the token has expired")
        if unix_s < begin_s - LEEWAY_S:
            return None
        client = KnownClient(identity=f"token:{self._issuer}:{subject}", tenant=str(tenant))
        self._accepted[_digest(token)] = client, end_s + LEEWAY_S
        if len(self._accepted) > REMEMBERED:
            self._accepted.popitem(last=False)
        return client

    def _claims(self, token: str) -> Mapping[str, Any] | None:
        """Returns the claims of a token with a valid signature, issuer and audience; `None` if it is not valid."""
        import jwt  # noqa: PLC0415

        try:
            keys = self._keys_for(jwt.get_unverified_header(token).get("kid"))
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            return None
        # The times are compared with the time of the request: this module has no clock.
        no_clock: Any = {"verify_exp": False, "verify_nbf": False, "verify_iat": False}
        for key in keys:
            try:
                # The algorithm of the key, not of the header: the sender chooses the header (RFC 8725, 3.1).
                return jwt.decode(
                    token, key, [key.algorithm_name], no_clock, audience=self._audience, issuer=self._issuer
                )
            except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
                continue  # whatever is wrong with it, the client learns only that the token is not valid
        return None

    def _keys_for(self, kid: str | None) -> Sequence[Any]:
        """Returns the keys that may have signed a token with this `kid`."""
        if kid is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(kid, ())


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _number(value: object) -> float | None:
    """Returns a time of a claim in seconds; `None` for anything but a number that can be a time."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < LATEST_S:
        return None
    return float(value)


def _read_keys(text: bytes, where: str) -> dict[str | None, list[Any]]:
    """Returns the keys of a JWK Set that can check signatures, by their `kid`. Raises `ConfigError`."""
    try:
        import jwt  # noqa: PLC0415
    except ImportError:
        raise ConfigError("tokens need the package PyJWT: pip install 'guardproxy[jwt]'") from None
    try:
        tree = json.loads(text) if len(text) <= LIMIT_BYTES else None
        found = tree["keys"] if isinstance(tree, dict) else None
    except (ValueError, KeyError, RecursionError):
        found = None
    if not isinstance(found, list) or len(found) > LIMIT_KEYS:
        raise ConfigError(f"{where}: not a JWK Set with at most {LIMIT_KEYS} keys")
    keys: dict[str | None, list[Any]] = {}
    for described in found:
        if not isinstance(described, dict) or described.get("use", "sig") != "sig":
            continue
        if not isinstance(described.get("kid"), str | None):
            continue  # no token can name it
        try:
            key = jwt.PyJWK(described)
        except (jwt.PyJWTError, ValueError, TypeError, AttributeError):
            continue  # a provider may have keys of kinds that this library does not know
        # `d` is a private key: a set that publishes one lets everybody sign.
        if key.algorithm_name not in ALGORITHMS or "d" in described:
            continue
        # Of two keys with one `kid` the first counts. Keys without one are different keys, such as before and after a rotation.
        if key.key_id is None or key.key_id not in keys:
            keys.setdefault(key.key_id, []).append(key)
    if len(keys.get(None, ())) > LIMIT_UNNAMED:
        raise ConfigError(f"{where}: more than {LIMIT_UNNAMED} keys have no `kid`")
    return keys
