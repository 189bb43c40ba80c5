"""Credentials of a request: the headers that carry them, their normal form, and the headers to send upstream.

In: the headers of a request. Out: the client's secret and the headers that carry it upstream, rebuilt so that guardproxy and
the upstream read the same credential. An ambiguous credential is refused. Settings refer to a credential by its `digest`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from urllib.parse import unquote

import msgspec
from multidict import CIMultiDict, CIMultiDictProxy

from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.wire import installed

_QUERY = frozenset(
    ("key", "api_key", "api-key", "apikey", "access_token", "token", "subscription-key", "authorization")
)
_SECRET = re.compile(r"[!#$%&'*+./0-9:=?@A-Z^_`a-z|~-]{1,8192}", re.ASCII)  # no space, comma, quote or bracket
_SIGNED = "aws4-hmac-sha256"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9-]{0,30})(?: +(.*))?", re.ASCII)


class Credential(msgspec.Struct, frozen=True):
    """A credential. `secret`: empty if the request has none. `headers`: the headers to send upstream, in normal
    form."""

    secret: str
    headers: Mapping[str, str]


NO_CREDENTIAL = Credential("", {})


def read_credential(headers: Mapping[str, str]) -> Credential:
    """Returns the client's credential. An empty header counts as absent. Raises `DownstreamError` (400) for a
    credential that is repeated, contradictory or in a form that the upstream could read differently."""
    every = headers if isinstance(headers, (CIMultiDictProxy, CIMultiDict)) else CIMultiDict(headers)
    sent: dict[str, str] = {}
    found, has_two = "", False
    for name in installed().headers.credentials:
        if name not in every:
            continue
        values = every.getall(name)
        if len(values) > 1:
            raise DownstreamError(
                ErrorCode.REPEATED_CREDENTIAL, f"the request has the header `{name}` more than once", name
            )
        value = values[0].strip(" \t")
        if name == "authorization":
            secret, value = _authorization(value)
        else:
            secret = _check_secret(value, name) if value else ""
        if secret:
            # The same key in two headers is what some SDKs send. Two different keys would be two clients, and the
            # upstream chooses.
            has_two = has_two or found not in ("", secret)
            found = secret
            sent[name] = value
    if has_two:
        raise DownstreamError(ErrorCode.TWO_CREDENTIALS)
    return Credential(found, sent)


def _authorization(value: str) -> tuple[str, str]:
    """Returns the secret and the normal form of an `Authorization` header."""
    if not value:
        return "", ""
    match = _SCHEME.fullmatch(value)
    scheme, rest = (match[1].lower(), match[2] or "") if match else ("", "")
    if scheme == "bearer":
        return (token := _check_secret(rest, "authorization") if rest else ""), f"Bearer {token}"
    if scheme == "basic" and rest:
        pair = _basic(rest)
        return f"Basic {pair}", f"Basic {pair}"
    if scheme == _SIGNED:
        message = (
            "the request is signed (AWS Signature Version 4). The signature covers the body, which policies may edit; use a "
            "Bedrock API key as `Authorization: Bearer KEY`"
        )
        raise DownstreamError(ErrorCode.INVALID_CREDENTIAL, message, "authorization")
    message = "the header `authorization` must be `Bearer KEY` or `Basic PAIR`, with spaces between the words"
    raise DownstreamError(ErrorCode.INVALID_CREDENTIAL, message, "authorization")


def _basic(value: str) -> str:
    """Returns user and password in canonical base64."""
    try:
        plain = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        plain = b""
    # Another spelling of the same bytes would be another client here, and the same one for the upstream.
    if not plain or (canonical := base64.b64encode(plain).decode()) != value:
        message = "the header `authorization` does not hold canonical base64 of a user and a password"
        raise DownstreamError(ErrorCode.INVALID_CREDENTIAL, message, "authorization")
    return canonical


def _check_secret(value: str, name: str) -> str:
    if not _SECRET.fullmatch(value):
        message = f"the header `{name}` must hold one key, without spaces, tabs, commas, quotes or brackets"
        raise DownstreamError(ErrorCode.INVALID_CREDENTIAL, message, name)
    return value


def refuse_in_query(query: str) -> None:
    """Raises `DownstreamError` (400) if a query holds a credential: URLs end up in logs, and the credential would
    select an account that policies do not know."""
    if not query:
        return
    for part in query.split("&"):
        name = unquote(part.partition("=")[0]).strip().lower()
        if name in _QUERY:
            names = ", ".join(installed().headers.credentials)
            message = f"a credential belongs in a header (one of {names}), not in the query"
            raise DownstreamError(ErrorCode.CREDENTIAL_IN_QUERY, message, "query")


def moved_from_query(query: str, parameter: str) -> tuple[str, str]:
    """Takes the key that the one parameter of this name in a query holds. Returns the key, and the query without it; an empty
    key, and the query as it is, if there is no such parameter, several, or no plain key in it."""
    if not query or not parameter:
        return "", query
    parts = query.split("&")
    # Not decoded first: `%6bey=` would be the parameter for a server that decodes names, and is refused with the query.
    keys = [part for part in parts if part.startswith(f"{parameter}=")]
    secret = keys[0].partition("=")[2] if len(keys) == 1 else ""
    # An escape is one character for the upstream, and three of the key here.
    if not _SECRET.fullmatch(secret) or "%" in secret:
        return "", query
    return secret, "&".join(part for part in parts if part and part != keys[0])


def digest(secret: str) -> str:
    """Returns the name of a credential in settings: `sha256:` and the digest of its characters."""
    return f"sha256:{hashlib.sha256(secret.encode()).hexdigest()}"


def read_secret(text: str) -> str:
    """Parses a secret from a command's input: a bare key, or the whole value of an `Authorization` header. Raises
    `DownstreamError` like `read_credential`."""
    value = text.strip()
    return _authorization(value)[0] if " " in value else _check_secret(value, "authorization")
