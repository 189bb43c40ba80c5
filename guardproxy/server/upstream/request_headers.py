"""Chooses the headers of a request that are forwarded to an upstream.

In: the headers of a request, its credential, the names that settings add. Out: the headers to send. No check reads a header, so
a known header is forwarded if its value has the right form, and an unknown header only if its value is a small number or a
switch. With a value of another form, a header that changes the behaviour of the upstream (`anthropic-version`) refuses the
request, and a header that only describes the client (`user-agent`) is left out. Each format declares its own headers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache

from multidict import CIMultiDict

from guardproxy.config import NetworkSettings
from guardproxy.errors import ConfigError, DownstreamError, ErrorCode
from guardproxy.harmless import is_harmless
from guardproxy.server.intake.headers import NEVER_DOWNSTREAM
from guardproxy.wire import installed
from guardproxy.wire.contract import PRODUCTS, VERSION, HeaderForm, KeyHeader, header_form

AGENT = "guardproxy"
NEVER = frozenset(
    (
        *("connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization", "te", "trailer"),
        *("transfer-encoding", "upgrade", "host", "content-length", "content-encoding", "accept-encoding", "expect"),
        *("cookie", "cookie2", "forwarded", "x-real-ip", "x-original-url", "x-rewrite-url", "origin", "referer"),
        *("x-http-method", "x-method-override", "x-http-method-override"),
    )
)
"""Headers that no setting can allow, because they belong to a connection or to guardproxy; credentials join them."""
NEVER_BEGINS = ("x-forwarded-", "x-guardproxy-", "proxy-", "sec-")
LIMIT_CHARS = 512
LIMIT_ENTRIES = 32

Accepts = Callable[[str], bool]


def _accepts(form: HeaderForm) -> Accepts:
    """Returns whether a value has the form and holds no number of a card and no key."""

    def accepts(value: str) -> bool:
        return len(value) <= LIMIT_CHARS and form.pattern.fullmatch(value) is not None and is_harmless(value)

    if not form.is_list:
        return accepts
    return lambda value: value.count(",") < LIMIT_ENTRIES and all(accepts(part.strip()) for part in value.split(","))


_MEDIA = r"(?:[a-z]{1,20}|\*)/(?:[a-z][a-z0-9.+-]{0,60}|\*)(?:; ?(?:q=[01](?:\.\d{1,3})?|charset=[A-Za-z0-9-]{1,16}))*"
_UUID = r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"
# Headers of every format. `content-type` changes how a server answers: a value of another form refuses the request.
_CONTENT_TYPE = header_form(
    r"[A-Za-z]{1,20}/[A-Za-z][A-Za-z0-9.+-]{0,60}"
    r"(?: ?; ?(?:charset=\"?[A-Za-z0-9-]{1,16}\"?|boundary=\"?[A-Za-z0-9'()+_,./:=?-]{1,70}\"?)){0,2}"
)
# Those that only describe the client, or for which every upstream has a default. A value of another form is dropped.
_CLIENT: Mapping[str, HeaderForm] = {
    "accept": header_form(_MEDIA, is_list=True),
    "accept-language": header_form(
        r"(?:\*|[A-Za-z]{2,3}(?:-[A-Za-z]{2,4})?)(?:; ?q=[01](?:\.\d{1,3})?)?", is_list=True
    ),
    "content-language": header_form(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,4}){0,2}"),
    "user-agent": header_form(PRODUCTS),
    "traceparent": header_form(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[0-3]"),
}
_STAINLESS = re.compile(r"x-stainless-[a-z-]{1,40}", re.ASCII)
_STAINLESS_VALUE = _accepts(
    header_form(
        rf"{VERSION}|\d{{1,6}}(?:\.\d{{1,3}})?|async:[a-z]{{1,12}}"
        r"|(?:[Oo]ther:)?[A-Za-z](?!\w*\d{4})[A-Za-z0-9_.]{0,39}"
    )
)
# Identifiers that an upstream only compares. A value that is not a UUID is replaced with a digest, so equal values stay equal.
_OPAQUE = frozenset(("idempotency-key", "x-idempotency-key", "x-request-id", "x-client-request-id"))
_OPAQUE_VALUE = _accepts(header_form(rf"(?:[a-z][a-z-]{{0,40}}-)?{_UUID}"))
_UNKNOWN = re.compile(r"x(?:-[a-z]{1,20}){1,4}", re.ASCII)  # a name can contain a text too
_SMALL = re.compile(r"\d{1,4}|true|false|on|off", re.ASCII)


@dataclass(frozen=True, slots=True)
class RequestHeaders:
    """The known headers of requests. `never`: no setting can allow them; `meaning` and `client`: what their values must be
    (`FormatHeaders`); `fallback`: those that go to a fallback upstream as well."""

    never: frozenset[str]
    meaning: Mapping[str, Accepts]
    client: Mapping[str, Accepts]
    fallback: frozenset[str]


@cache
def _known() -> RequestHeaders:
    declared = installed().headers
    meaning = {"content-type": _CONTENT_TYPE, **declared.meaning}
    client = {**declared.client, **declared.account, **_CLIENT}
    return RequestHeaders(
        NEVER.union(declared.credentials),
        {name: _accepts(form) for name, form in meaning.items()},
        {name: _accepts(form) for name, form in client.items()},
        frozenset((*meaning, "accept", "accept-language", "content-language", "user-agent")),
    )


def upstream_headers(
    headers: Iterable[tuple[str, str]],
    named: str,
    credential: Mapping[str, str],
    seal: Callable[[bytes], str],
    more: Collection[str] = (),
) -> CIMultiDict[str]:
    """The headers for the upstream that the credential is for. `named`: the value of `Connection`, whose names are dropped;
    `seal(data)`: a keyed digest; `more`: names that settings allow. Raises `DownstreamError` (400)."""
    drop = {name.strip().lower() for name in named.split(",")} if named else ()
    if drop and (
        wrong := sorted(
            drop & {*installed().headers.credentials, "content-type", "content-encoding", "content-length", "host"}
        )
    ):
        message = f"the header `connection` names `{wrong[0]}`, which is not about the connection"
        raise DownstreamError(ErrorCode.INVALID_HEADER, message, "connection")
    known = _known()
    forwarded: CIMultiDict[str] = CIMultiDict()
    for name, value in headers:
        low = name.lower()
        if not value or low in drop or low in known.never or low.startswith(NEVER_BEGINS):
            continue
        if low in more:
            forwarded.add(name, value)
        elif low in _OPAQUE:
            forwarded.add(name, value if _OPAQUE_VALUE(value) else seal(f"{low}:{value}".encode()))
        elif _goes_on(low, value):
            forwarded.add(name, value)
    forwarded.setdefault("User-Agent", AGENT)
    forwarded.extend(credential)
    # Checks read the answer, and the proxy decompresses none (`check_answer_head`).
    forwarded["Accept-Encoding"] = "identity"
    return forwarded


def refuse_names(settings: NetworkSettings) -> None:
    """Raises `ConfigError` if a setting allows a header that belongs to a connection, a credential or guardproxy."""
    for setting, never in (("request_header", _known().never), ("answer_header", NEVER_DOWNSTREAM)):
        for name in getattr(settings, setting):
            if name.lower() in never or name.lower().startswith(NEVER_BEGINS):
                raise ConfigError(f"`{setting}` cannot let `{name}` through")


@lru_cache(maxsize=256)
def _goes_on(name: str, value: str) -> bool:
    """Whether a header is forwarded. Raises `DownstreamError` (400) for a header that must not be dropped silently."""
    known = _known()
    if (accepts := known.meaning.get(name)) is not None:
        if not accepts(value):
            message = (
                f"the header `{name}` has a form that is not known; --request-header {name} lets any value through"
            )
            raise DownstreamError(ErrorCode.INVALID_HEADER, message, name)
        return True
    accepts = known.client.get(name) or (_STAINLESS_VALUE if _STAINLESS.fullmatch(name) else None)
    if accepts is not None:
        return accepts(value)
    return _UNKNOWN.fullmatch(name) is not None and _SMALL.fullmatch(value) is not None


def fallback_headers(headers: CIMultiDict[str], key_header: KeyHeader, key: str) -> CIMultiDict[str]:
    """The headers for a fallback upstream: those that change how a server answers, and the key of that upstream. No header
    that identifies the account of the client."""
    fallback = _known().fallback
    own: CIMultiDict[str] = CIMultiDict()
    for name, value in headers.items():
        low = name.lower()
        if low in fallback or _STAINLESS.fullmatch(low):
            own.add(name, value)
    own["Accept-Encoding"] = "identity"
    if key:
        own[key_header.name] = key_header.prefix + key
    return own


def use_own_key(headers: CIMultiDict[str], key_header: KeyHeader, key: str, more: Collection[str] = ()) -> None:
    """Puts the proxy's key of an upstream into the headers for it; empty: the upstream needs none. Removes the headers by which
    a client would choose among the accounts of that key, but for those that settings allow (`more`)."""
    for name in installed().headers.account:
        if name not in more:
            headers.popall(name, None)
    if key:
        headers[key_header.name] = key_header.prefix + key
