"""Which headers go on, and which requests are refused for theirs (RFC 9110 section 7.6.1, RFC 9112 section 6)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from urllib.parse import unquote

from aiohttp import HttpVersion10, HttpVersion11, web
from multidict import CIMultiDict

from guardproxy.errors import DownstreamError

_HOP_BY_HOP = frozenset(
    (
        *("connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization", "te"),
        *("trailer", "transfer-encoding", "upgrade"),
    )
)
_NOT_UPSTREAM = _HOP_BY_HOP | frozenset(
    (
        *(
            "host",
            "content-length",
            "content-encoding",
            "accept-encoding",
            "expect",
            "cookie",
            "forwarded",
            "x-real-ip",
        ),
        *("x-original-url", "x-rewrite-url", "x-http-method-override", "origin", "referer"),
    )
)
# The answer's headers that go on, and what their values may look like: no check reads them, so none may hold a text. What
# SDKs and operators use is here; anything else an upstream says of itself stays behind.
_TOKEN = re.compile(r"[A-Za-z0-9_.:/+=-]{1,128}", re.ASCII)
_AMOUNT = re.compile(r"[0-9.]{1,20}(?:[A-Za-z0-9.:+-]{0,40})", re.ASCII)  # 12, 0.5s, 6m0s, 2026-11-25T10:00:00Z
_MEDIA = re.compile(r"[a-z]+/[a-z0-9.+-]+(?:; ?charset=[A-Za-z0-9-]+)?", re.ASCII | re.IGNORECASE)
_WORD = re.compile(r"(?:true|false)", re.ASCII)
_DOWNSTREAM: Mapping[str, re.Pattern[str]] = {
    "content-type": _MEDIA,
    "retry-after": _AMOUNT,
    "retry-after-ms": _AMOUNT,
    "x-should-retry": _WORD,
    "openai-processing-ms": _AMOUNT,
    **dict.fromkeys(("x-request-id", "request-id", "cf-ray", "x-ms-region", "openai-version", "openai-model"), _TOKEN),
    **dict.fromkeys(("openai-organization", "openai-project", "anthropic-organization-id"), _TOKEN),
}
_LIMITS = re.compile(
    r"(?:x-ratelimit|anthropic-ratelimit|anthropic-priority)(?:-(?:limit|remaining|reset|requests|input|output|tokens))+",
    re.ASCII,
)
_LANGUAGE = re.compile(r"\s*([A-Za-z]{2,3})(?=[\s,;-]|\Z)", re.ASCII)
_RETRY_LIMIT_S = 3600.0
_BAD_VALUE = re.compile(r"[^\t\x20-\x7e]")
_PATH = re.compile(r"/[A-Za-z0-9_.~:/@-]*", re.ASCII)
_QUERY = re.compile(r"[A-Za-z0-9_.~=&%:,+-]{0,2000}", re.ASCII)
# No check sees a query, so a guarded route takes only what SDKs send, in a shape that holds no text.
_GUARDED_QUERY = re.compile(r"(?:beta=(?:true|false)|api-version=[0-9]{4}-[0-9]{2}-[0-9]{2}(?:-preview)?|&)*", re.ASCII)


def upstream_headers(headers: Iterable[tuple[str, str]], named: str) -> CIMultiDict[str]:
    """The request headers that go on. `named`: the value of `Connection`, whose names stay behind."""
    drop = {name.strip().lower() for name in named.split(",")} - {"authorization", "x-api-key", "api-key"}
    kept: CIMultiDict[str] = CIMultiDict()
    for name, value in headers:
        low = name.lower()
        if low not in _NOT_UPSTREAM and low not in drop and not low.startswith(("x-forwarded-", "x-guardproxy-")):
            kept.add(name, value)
    kept["Accept-Encoding"] = "identity"
    return kept


def downstream_headers(headers: Mapping[str, str], known: Iterable[str] = ()) -> CIMultiDict[str]:
    """The answer's headers that go on. `known`: values that were found in the exchange; what repeats one stays behind."""
    drop = {name.strip().lower() for name in headers.get("Connection", "").split(",")}
    values = [value.lower() for value in known if value]
    kept: CIMultiDict[str] = CIMultiDict()
    for name, value in headers.items():
        low = name.lower()
        shape = _DOWNSTREAM.get(low) or (_AMOUNT if _LIMITS.fullmatch(low) else None)
        if low in drop or shape is None or not shape.fullmatch(value):
            continue
        if any(one in unquote(value).lower() for one in values):
            continue
        if low in ("retry-after", "retry-after-ms") and not _sane_delay(value, 1000 if low.endswith("ms") else 1):
            continue
        kept.add(name, value)
    return kept


def _sane_delay(value: str, unit: int) -> bool:
    try:
        delay = float(value)
    except ValueError:
        return False  # a date in an unknown clock: SDKs fall back to their own delay
    return math.isfinite(delay) and 0 <= delay <= _RETRY_LIMIT_S * unit


def fallback_headers(headers: CIMultiDict[str], provider: str, key: str) -> CIMultiDict[str]:
    """The headers for another upstream than the client's: its own key, never the client's."""
    own = headers.copy()
    for name in ("Authorization", "x-api-key", "api-key"):
        own.popall(name, None)
    if key and provider == "anthropic":
        own["x-api-key"] = key
    elif key:
        own["Authorization"] = f"Bearer {key}"
    return own


def language(headers: Mapping[str, str]) -> str:
    """The language that `Content-Language` names first (RFC 9110, 8.5), as its code of letters; empty where there is none."""
    named = _LANGUAGE.match(headers.get("Content-Language", ""))
    return named[1].lower() if named else ""


def named(headers: Mapping[str, str]) -> tuple[str, str]:
    """The language and the conversation that a request's headers name; empty where they name none."""
    return language(headers), headers.get("x-guardproxy-conversation", "")


def check_head(request: web.BaseRequest) -> tuple[str, str]:
    """The raw path and query of a request that may be read. Raises `DownstreamError`."""
    if request.version not in (HttpVersion10, HttpVersion11):
        raise DownstreamError(505, "http_version", "only HTTP/1.0 and HTTP/1.1 are spoken here")
    path, _, query = request.message.path.partition("?")
    if not _PATH.fullmatch(path) or "//" in path or "/." in path or not _QUERY.fullmatch(query):
        raise DownstreamError(400, "invalid_path", "the path or query has characters that are not accepted")
    coding = request.headers.getall("Transfer-Encoding", [])
    if coding and (request.version == HttpVersion10 or [one.lower() for one in coding] != ["chunked"]):
        raise DownstreamError(400, "invalid_transfer_encoding", "only chunked transfer encoding is accepted")
    if "Upgrade" in request.headers:
        raise DownstreamError(400, "upgrade_refused", "protocol upgrades are not accepted", "upgrade")
    for name, value in request.headers.items():
        if _BAD_VALUE.search(value) or "_" in name:
            raise DownstreamError(400, "invalid_header", "a header has characters that are not accepted")
    return path, query


def check_query(query: str) -> None:
    """Whether a guarded route may have this query. Raises `DownstreamError` (400)."""
    if not _GUARDED_QUERY.fullmatch(query):
        message = "a guarded route takes no query but beta=true and api-version=DATE: what stands there is not checked"
        raise DownstreamError(400, "invalid_query", message, "query")


def check_body_headers(request: web.BaseRequest) -> None:
    """Whether the body is JSON that can be read. Raises `DownstreamError` (415)."""
    kind = request.headers.get("Content-Type", "")
    media, _, parameters = kind.partition(";")
    charset = parameters.strip().lower().removeprefix("charset=").strip('"')
    if media.strip().lower() != "application/json" or charset not in ("", "utf-8", "utf8"):
        message = "the content type must be application/json, in UTF-8"
        raise DownstreamError(415, "unsupported_media_type", message, "content-type")
    coding = [one.strip().lower() for one in ",".join(request.headers.getall("Content-Encoding", [])).split(",")]
    if coding not in ([""], ["identity"], ["gzip"], ["deflate"]):
        message = "the content encoding must be identity, gzip or deflate"
        raise DownstreamError(415, "unsupported_encoding", message, "content-encoding")


def credential(headers: Mapping[str, str]) -> str:
    """What the client authenticates with. Raises `DownstreamError` when there are two different ones."""
    bearer = headers.get("Authorization", "")
    found = {
        value
        for value in (
            bearer.split(" ", 1)[1].strip() if bearer.lower().startswith("bearer ") else bearer,
            headers.get("x-api-key", ""),
            headers.get("api-key", ""),
        )
        if value
    }
    if len(found) > 1:
        raise DownstreamError(400, "two_credentials", "the request has two different credentials")
    return next(iter(found), "")


def asked_for(headers: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """The headers of these names, written small; one that stands there several times has all its values, joined by commas."""
    every = CIMultiDict(headers)
    return {name: ", ".join(every.getall(name)) for name in names if name in every}
