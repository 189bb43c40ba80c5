"""Chooses the headers of an answer that are forwarded, and refuses requests for their headers (RFC 9110 section 7.6.1, RFC
9112 section 6).


Decision: docs/decisions/0020-headers-of-an-answer-pass-by-an-allow-list.md
`upstream/request_headers.py` chooses the headers of a request, `gateway/clients/credentials.py` reads its credentials."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import unquote

from aiohttp import HttpVersion10, web
from multidict import CIMultiDict

from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.harmless import is_harmless, without_ids
from guardproxy.policy import first_language
from guardproxy.server.aiohttp_parts import HttpRequest
from guardproxy.wire import installed
from guardproxy.wire.contract import AMOUNT, IDENTIFIER, SWITCH, HeaderFamily, QuerySyntax, limits_family

# The headers of an answer that are forwarded, with the forms of their values. No check reads headers, so they must not hold
# a text. The table has what SDKs and operators use, and the formats declare their own. All other headers of an upstream are
# dropped.
_MEDIA = re.compile(r"[a-z]+/[a-z0-9.+-]+(?:; ?charset=[A-Za-z0-9-]+)?", re.ASCII | re.IGNORECASE)
_DOWNSTREAM: Mapping[str, re.Pattern[str]] = {
    "content-type": _MEDIA,
    **dict.fromkeys(("retry-after", "retry-after-ms"), AMOUNT),
    "x-should-retry": SWITCH,
    **dict.fromkeys(("x-request-id", "cf-ray", "traceparent"), IDENTIFIER),
}
_FAMILIES = (
    limits_family("x-ratelimit", "ratelimit"),
    HeaderFamily(re.compile(r"x-envoy-[a-z]+(?:-[a-z]+){0,6}", re.ASCII), (AMOUNT, SWITCH)),
)
NEVER_DOWNSTREAM = frozenset(
    (
        *("connection", "keep-alive", "proxy-connection", "proxy-authenticate", "te", "trailer", "transfer-encoding"),
        *(
            "upgrade",
            "content-length",
            "content-encoding",
            "content-type",
            "set-cookie",
            "set-cookie2",
            "location",
            "server",
        ),
        *("date", "cache-control", "x-accel-buffering", "access-control-allow-credentials"),
    )
)
"""Headers that no setting can allow, because they belong to a connection or to guardproxy."""
_LIMIT_VALUE = 256
_PASSED_VALUE = re.compile(r"[A-Za-z0-9._~:=,-]{0,256}", re.ASCII)
_NO_NAMES: frozenset[str] = frozenset()
_ONCE = ("Host", "Content-Type", "Content-Length", "x-guardproxy-conversation", "Content-Language")
_HOST = re.compile(
    r"(?:(?P<name>[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,253}[A-Za-z0-9.])?)|\[(?P<address>[0-9A-Fa-f:.]{2,45})\])(?::(?P<port>[0-9]{1,5}))?",
    re.ASCII,
)
_LAST_PORT = 65535
_RETRY_LIMIT_S = 3600.0
_BAD_VALUE = re.compile(r"[^\t\x20-\x7e]")
# A colon in the name of a model is sent as `%3A`; no guarded route matches it, so that the client gets advice.
_PATH = re.compile(r"/(?:[A-Za-z0-9_.~:/@-]|%3[Aa])*", re.ASCII)
_WELL_KNOWN = "/.well-known/"  # RFC 8615
_QUERY = re.compile(r"[A-Za-z0-9_.~=&%:,+-]{0,2000}", re.ASCII)


def downstream_headers(
    headers: Mapping[str, str], known: Collection[str] = (), more: Collection[str] = ()
) -> CIMultiDict[str]:
    """The headers of the answer to forward. `known`: values that were found in the exchange; a header that contains such a
    value is dropped. `more`: names that settings allow."""
    drop: frozenset[str] | set[str] = _NO_NAMES
    if "Connection" in headers:
        named = CIMultiDict(headers).getall("Connection")
        # RFC 9110, 7.6.1: these are about the upstream's connection, and would be taken for words about the client's.
        drop = {name.strip().lower() for value in named for name in value.split(",")}
    values = [value.lower() for value in known if value] if known else ()
    forwarded: CIMultiDict[str] = CIMultiDict()
    for name, value in headers.items():
        low = name.lower()
        if low in drop or not (
            _has_form(low, value) or (low in more and low not in NEVER_DOWNSTREAM and _is_plain(value))
        ):
            continue
        if values and any(known_value in unquote(value).lower() for known_value in values):
            continue
        if low in ("retry-after", "retry-after-ms") and not _sane_delay(value, 1000 if low.endswith("ms") else 1):
            continue
        forwarded.add(name, value)
    return forwarded


@lru_cache(maxsize=256)
def _has_form(name: str, value: str) -> bool:
    """Whether a header is known and has a value that holds no text."""
    for form in _forms_of(name):
        if form.fullmatch(value):
            return is_harmless(without_ids(value))
    return False


@lru_cache(maxsize=512)
def _forms_of(name: str) -> tuple[re.Pattern[str], ...]:
    """The forms that a value of a header may have; empty for an unknown header."""
    declared = installed().headers
    if form := _DOWNSTREAM.get(name) or declared.answer.get(name):
        return (form,)
    families = (*_FAMILIES, *declared.families)
    return next((family.values for family in families if family.names.fullmatch(name)), ())


def _is_plain(value: str) -> bool:
    return len(value) <= _LIMIT_VALUE and not _BAD_VALUE.search(value) and is_harmless(value)


def _sane_delay(value: str, unit: int) -> bool:
    try:
        delay = float(value)
    except ValueError:
        return False  # a date, whose clock may differ: SDKs fall back to their own delay
    return math.isfinite(delay) and 0 <= delay <= _RETRY_LIMIT_S * unit


def named(headers: Mapping[str, str]) -> tuple[str, str]:
    """The language and the conversation that the headers of a request name; empty if they are missing."""
    return first_language(headers.get("Content-Language", "")), headers.get("x-guardproxy-conversation", "")


def is_trusted(peer: object, hops: Collection[IPv4Network | IPv6Network]) -> bool:
    """Whether a connection comes from a hop that may name conversations and languages. `peer`: its address, as the transport
    gives it."""
    if not hops:
        return False
    try:
        address = ip_address(str(peer[0]).partition("%")[0]) if isinstance(peer, (tuple, list)) and peer else None
    except ValueError:
        return False
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    return address is not None and any(address in hop for hop in hops)


def check_head(request: HttpRequest, path: str, query: str) -> None:
    """Raises `DownstreamError` for an invalid head of a request. `path`, `query`: as the client sent them."""
    if not request.is_spoken:
        raise DownstreamError(ErrorCode.HTTP_VERSION)
    # Without this, `/v1/../x` would be one path for the checks here and another for the upstream.
    has_dots = "/." in path and "/." in f"/{path.removeprefix(_WELL_KNOWN)}"
    if not _PATH.fullmatch(path) or "//" in path or has_dots or (query and not _QUERY.fullmatch(query)):
        if "//" in path:
            slash = "the path has two slashes in a row: leave the slash at the end of the client's base URL out"
            raise DownstreamError(ErrorCode.INVALID_PATH, slash)
        raise DownstreamError(ErrorCode.INVALID_PATH)
    headers = request.headers
    # RFC 9112, 6.1 and 6.3: where a length and a coding, or two codings, can be read in two ways, requests can be
    # smuggled.
    if "Transfer-Encoding" in headers:
        coding = [name.lower() for name in headers.getall("Transfer-Encoding")]
        if request.version == HttpVersion10 or coding != ["chunked"]:
            raise DownstreamError(ErrorCode.INVALID_TRANSFER_ENCODING)
    count, has_underscore = _about_names("\n".join(headers))
    if len(headers) > count:  # some releases of multidict give a name once, however often it stands there
        _check_once(request)
    _check_host(request)
    if "Upgrade" in headers:
        raise DownstreamError(ErrorCode.UPGRADE_REFUSED, field="upgrade")
    # CGI and WSGI read `_` in a name as `-`, so behind the proxy such a header could pass for another one.
    if has_underscore or _BAD_VALUE.search("".join(headers.values())):
        raise DownstreamError(ErrorCode.INVALID_HEADER)


@lru_cache(maxsize=64)
def _about_names(names: str) -> tuple[int, bool]:
    """How many different names there are among the names of headers, each in a line, and whether one has an underscore."""
    return len(set(names.lower().split("\n"))), "_" in names


def _check_once(request: web.BaseRequest) -> None:
    """Raises `DownstreamError` (400) if a header that must be sent once is sent twice."""
    for name in (*_ONCE, *installed().headers.single):
        if len(request.headers.getall(name, [])) > 1:
            raise DownstreamError(
                ErrorCode.INVALID_HEADER, f"the header `{name.lower()}` stands in the request twice", name.lower()
            )


def _check_host(request: web.BaseRequest) -> None:
    """Raises `DownstreamError` (400) if the host of the request is missing or ambiguous (RFC 9112, 3.2)."""
    host = request.headers.get("Host")
    if host is None and request.version == HttpVersion10:
        return
    if not _is_host(host or ""):
        raise DownstreamError(ErrorCode.INVALID_HOST, field="host")


@lru_cache(maxsize=64)
def _is_host(host: str) -> bool:
    """Whether a host is one name or address, with a port that can exist."""
    match = _HOST.fullmatch(host)
    fine = (
        match is not None and ".." not in match[0] and (match["port"] is None or 0 < int(match["port"]) <= _LAST_PORT)
    )
    if match and match["address"] is not None:
        try:
            IPv6Address(match["address"])
        except ValueError:
            return False
    return fine


def check_query(query: str, allowed: QuerySyntax) -> None:
    """Checks the query of a guarded route. `allowed`: the parameters that its format accepts. Raises `DownstreamError`
    (400)."""
    if not allowed.pattern.fullmatch(query):
        message = f"a guarded route takes no query but {allowed.words}: what stands there is not checked"
        raise DownstreamError(ErrorCode.INVALID_QUERY, message, "query")


def check_passed_query(query: str, allowed: Collection[str]) -> None:
    """Checks the query of a route that is passed through. No check reads it, so only parameters with the names `allowed` pass,
    each once and with a value of a form that leaves little room for a text. Raises `DownstreamError` (400)."""
    names = set()
    for part in query.split("&") if query else ():
        name, _, value = part.partition("=")
        name = unquote(name)
        if name not in allowed or name in names or not _PASSED_VALUE.fullmatch(value):
            message = (
                "a route that is passed through takes only the parameters that `pass_through_query` names, each once and with "
                "a plain value"
            )
            raise DownstreamError(ErrorCode.INVALID_QUERY, message, "query")
        names.add(name)


def condition_headers(headers: Mapping[str, str], names: Collection[str]) -> dict[str, str]:
    """The headers with these names, by lower-case name. Raises `DownstreamError` (400) for a header that is sent twice,
    because it is ambiguous."""
    values_by_name: dict[str, str] = {}
    if not names:
        return values_by_name
    every = CIMultiDict(headers)
    for name in names:
        if len(values := every.getall(name, [])) > 1:
            message = f"the header `{name}`, which a policy asks for, stands in the request twice"
            raise DownstreamError(ErrorCode.REPEATED_HEADER, message, name)
        if values:
            values_by_name[name] = values[0]
    return values_by_name
