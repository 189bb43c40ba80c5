"""Chooses the headers of a request that are forwarded to an upstream.

In: the headers of a request, its credential, the names that settings add. Out: the headers to send. No check reads a header,
so a known header is forwarded if its value has the right shape, and an unknown header only if its value is a small number or
a switch. With a value of another shape, a header that changes the behaviour of the upstream (`anthropic-version`) refuses the
request, and a header that only describes the client (`user-agent`) is left out. Kept: nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import lru_cache

from multidict import CIMultiDict

from guardproxy.config import Config
from guardproxy.errors import ConfigError, DownstreamError, ErrorCode
from guardproxy.gateway import CREDENTIAL_HEADERS
from guardproxy.server.headers import NEVER_DOWNSTREAM
from guardproxy.server.shapes import is_harmless
from guardproxy.wire import KeyHeader

AGENT = "guardproxy"
NEVER = frozenset(
    (
        *("connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization", "te", "trailer"),
        *("transfer-encoding", "upgrade", "host", "content-length", "content-encoding", "accept-encoding", "expect"),
        *("cookie", "cookie2", "forwarded", "x-real-ip", "x-original-url", "x-rewrite-url", "origin", "referer"),
        *("x-http-method", "x-method-override", "x-http-method-override", *CREDENTIAL_HEADERS),
    )
)
"""Headers that no setting can allow, because they belong to a connection or to guardproxy."""
NEVER_BEGINS = ("x-forwarded-", "x-guardproxy-", "proxy-", "sec-")
LIMIT_CHARS = 512
LIMIT_ENTRIES = 32

Shape = Callable[[str], bool]


def _like(pattern: str) -> Shape:
    found = re.compile(pattern, re.ASCII)
    return lambda value: len(value) <= LIMIT_CHARS and found.fullmatch(value) is not None and is_harmless(value)


def _each(shape: Shape) -> Shape:
    """A list whose entries all have the shape."""
    return lambda value: value.count(",") < LIMIT_ENTRIES and all(shape(part.strip()) for part in value.split(","))


_DATE = r"20\d\d-?[01]\d-?[0-3]\d"
_WORD = r"[A-Za-z][A-Za-z.-]{0,40}"
_VERSION = r"v?\d{1,4}(?:\.\d{1,5}){0,3}(?:[.+-]?(?:a|b|rc|alpha|beta|dev|post|canary|next|preview)\.?\d{0,4})?"
_MEDIA = r"(?:[a-z]{1,20}|\*)/(?:[a-z][a-z0-9.+-]{0,60}|\*)(?:; ?(?:q=[01](?:\.\d{1,3})?|charset=[A-Za-z0-9-]{1,16}))*"
_UUID = r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"
# `OpenAI/Python 1.68.0`, `Anthropic/JS 0.52.0`, `python-httpx/0.28.1`, `Mozilla/5.0 (X11; Linux x86_64)`
_PRODUCT = rf"{_WORD}(?:/(?:{_VERSION}|{_WORD}))?"
_NOTE = r"\((?:[A-Za-z](?!\w*\d{4})[A-Za-z0-9_.-]{0,20}+|\d{1,3}(?:[._]\d{1,3}){0,2}+|[ ;,:/])*+\)"
_ITEM = rf"(?:{_PRODUCT}|{_VERSION}|{_NOTE})"

# Headers that change how a server answers. A value of another shape refuses the request.
_MEANT: Mapping[str, Shape] = {
    "content-type": _like(
        r"[A-Za-z]{1,20}/[A-Za-z][A-Za-z0-9.+-]{0,60}"
        r"(?: ?; ?(?:charset=\"?[A-Za-z0-9-]{1,16}\"?|boundary=\"?[A-Za-z0-9'()+_,./:=?-]{1,70}\"?)){0,2}"
    ),
    "anthropic-version": _like(_DATE),
    # The name of a feature has up to three digits beside its date: `max-tokens-3-5-sonnet-2024-07-15`.
    "anthropic-beta": _each(_like(rf"(?!(?:\D*\d){{12}})[a-z][a-z0-9-]{{0,60}}-{_DATE}|[a-z][a-z-]{{0,60}}")),
    "openai-beta": _each(_like(rf"[a-z][a-z_-]{{0,40}}(?:=(?:v\d{{1,2}}|[a-z]{{1,20}}|{_DATE}))?")),
    "anthropic-dangerous-direct-browser-access": _like(r"true|false"),
}
# Headers that only describe the client, or for which every upstream has a default. A value of another shape is dropped.
_SAID: Mapping[str, Shape] = {
    "accept": _each(_like(_MEDIA)),
    "accept-language": _each(_like(r"(?:\*|[A-Za-z]{2,3}(?:-[A-Za-z]{2,4})?)(?:; ?q=[01](?:\.\d{1,3})?)?")),
    "content-language": _each(_like(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,4}){0,2}")),
    "user-agent": _like(rf"{_ITEM}(?: {_ITEM}){{0,11}}"),
    "x-goog-api-client": _like(rf"{_ITEM}(?: {_ITEM}){{0,11}}"),
    "x-app": _like(_WORD),
    "originator": _like(r"[a-z][a-z_-]{0,30}"),
    "traceparent": _like(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[0-3]"),
}
_STAINLESS = re.compile(r"x-stainless-[a-z-]{1,40}", re.ASCII)
_STAINLESS_VALUE = _like(
    rf"{_VERSION}|\d{{1,6}}(?:\.\d{{1,3}})?|async:[a-z]{{1,12}}|(?:[Oo]ther:)?[A-Za-z](?!\w*\d{{4}})[A-Za-z0-9_.]{{0,39}}"
)
# Headers that identify an account. They go only to the upstream of the credential.
_ACCOUNT: Mapping[str, Shape] = {
    "openai-organization": _like(r"org-(?!.*\d{7})[A-Za-z0-9]{1,40}"),
    "openai-project": _like(r"proj_(?!.*\d{7})[A-Za-z0-9_]{1,64}"),
}
# Identifiers that an upstream only compares. A value that is not a UUID is replaced with a digest, so equal values stay equal.
_OPAQUE = frozenset(("idempotency-key", "x-idempotency-key", "x-request-id", "x-client-request-id"))
_OPAQUE_VALUE = _like(rf"(?:[a-z][a-z-]{{0,40}}-)?{_UUID}")
_UNKNOWN = re.compile(r"x(?:-[a-z]{1,20}){1,4}", re.ASCII)  # a name can contain a text too
_SMALL = re.compile(r"\d{1,4}|true|false|on|off", re.ASCII)
_FALLBACK = frozenset((*_MEANT, "accept", "accept-language", "content-language", "user-agent"))


def upstream_headers(
    headers: Iterable[tuple[str, str]],
    named: str,
    credential: Mapping[str, str],
    seal: Callable[[bytes], str],
    more: Collection[str] = (),
) -> CIMultiDict[str]:
    """The headers for the upstream that the credential is for. `named`: the value of `Connection`, whose names are dropped;
    `seal(data)`: a keyed digest; `more`: names that settings allow. Raises `DownstreamError` (400)."""
    drop = {name.strip().lower() for name in named.split(",")}
    if wrong := sorted(drop & {*CREDENTIAL_HEADERS, "content-type", "content-encoding", "content-length", "host"}):
        message = f"the header `connection` names `{wrong[0]}`, which is not about the connection"
        raise DownstreamError(ErrorCode.INVALID_HEADER, message, "connection")
    forwarded: CIMultiDict[str] = CIMultiDict()
    for name, value in headers:
        low = name.lower()
        if not value or low in drop or low in NEVER or low.startswith(NEVER_BEGINS):
            continue
        if low in more:
            forwarded.add(name, value)
        elif low in _OPAQUE:
            forwarded.add(name, value if _OPAQUE_VALUE(value) else seal(f"{low}:{value}".encode()))
        elif _goes_on(low, value):
            forwarded.add(name, value)
    forwarded.setdefault("User-Agent", AGENT)
    forwarded.extend(credential)
    forwarded["Accept-Encoding"] = "identity"
    return forwarded


def refuse_names(config: Config) -> None:
    """Raises `ConfigError` if a setting allows a header that belongs to a connection, a credential or guardproxy."""
    for setting, never in (("request_header", NEVER), ("answer_header", NEVER_DOWNSTREAM)):
        for name in getattr(config, setting):
            if name.lower() in never or name.lower().startswith(NEVER_BEGINS):
                raise ConfigError(f"`{setting}` cannot let `{name}` through")


@lru_cache(maxsize=256)
def _goes_on(name: str, value: str) -> bool:
    """Whether a header is forwarded. Raises `DownstreamError` (400) for a header that must not be dropped silently."""
    if (shape := _MEANT.get(name)) is not None:
        if not shape(value):
            message = (
                f"the header `{name}` has a form that is not known; --request-header {name} lets any value through"
            )
            raise DownstreamError(ErrorCode.INVALID_HEADER, message, name)
        return True
    known = _SAID.get(name) or _ACCOUNT.get(name) or (_STAINLESS_VALUE if _STAINLESS.fullmatch(name) else None)
    if known is not None:
        return known(value)
    return _UNKNOWN.fullmatch(name) is not None and _SMALL.fullmatch(value) is not None


def fallback_headers(headers: CIMultiDict[str], key_header: KeyHeader, key: str) -> CIMultiDict[str]:
    """The headers for a fallback upstream: those that change how a server answers, and the key of that upstream. No header
    that identifies the account of the client."""
    own: CIMultiDict[str] = CIMultiDict()
    for name, value in headers.items():
        low = name.lower()
        if low in _FALLBACK or _STAINLESS.fullmatch(low):
            own.add(name, value)
    own["Accept-Encoding"] = "identity"
    if key:
        own[key_header.name] = key_header.prefix + key
    return own
