"""What an upstream says of its authorization (RFC 9110 section 11.6, RFC 9728), in words for clients of the proxy.

In: the header `WWW-Authenticate` and the metadata of a protected resource, as an upstream sends them. Out: the same with the
proxy's addresses. A client looks for the metadata at the proxy, and compares the resource there with the address that it
calls. Only members whose values have a known form are kept: no check reads them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from guardproxy.harmless import is_harmless

METADATA_PATH = "/.well-known/oauth-protected-resource"
METADATA_ROUTE = f"GET {METADATA_PATH}/mcp/{{server}}"
LIMIT_BYTES = 64 * 1024
_MOST_ENTRIES = 200
_SCHEME = re.compile(r"\s*(Bearer|DPoP|Basic)\b", re.IGNORECASE | re.ASCII)
_PARAMETER = re.compile(r'([a-z_]{1,40})\s*=\s*(?:"([^"\\]{0,2000})"|([!#$%&\'*+.^_`|~0-9A-Za-z-]{1,200}))', re.ASCII)
_TOKEN = re.compile(r"[A-Za-z0-9_.:/*+-]{1,120}", re.ASCII)
_TOKENS = re.compile(rf"{_TOKEN.pattern}(?: {_TOKEN.pattern}){{0,99}}", re.ASCII)
_PLAIN: Mapping[str, re.Pattern[str]] = {"error": _TOKEN, "scope": _TOKENS, "algs": _TOKENS}
_WELL_KNOWN = "/.well-known"
_METADATA = re.compile(r"/\.well-known/[A-Za-z0-9._~/-]{1,500}", re.ASCII)
_ADDRESS = re.compile(r"https?://[A-Za-z0-9.:\[\]_-]{1,255}(?:/[A-Za-z0-9._~/%:@-]{0,500})?", re.ASCII)


def challenge(value: str, metadata: str) -> str:
    """Returns the challenge of an upstream for a client. `metadata`: the address of the metadata at the proxy. Free texts
    (`error_description`, `realm`) are left out; empty if the scheme is not known."""
    scheme = _SCHEME.match(value)
    if scheme is None:
        return ""
    found: dict[str, str] = {}
    for name, quoted, token in _PARAMETER.findall(value[scheme.end() :]):
        text = quoted or token
        shape = _PLAIN.get(name)
        if shape is not None and shape.fullmatch(text) and is_harmless(text):
            found.setdefault(name, text)
        elif name == "resource_metadata":
            # Whatever address the server names is replaced: a client would fetch it, and trust what it says of
            # authorization.
            found.setdefault(name, metadata)
    return own_challenge(scheme[1], found)


def metadata_path(value: str) -> str:
    """Returns the path of the metadata that a challenge names; empty if it names none, or not at a well-known place."""
    for name, quoted, token in _PARAMETER.findall(value):
        path = urlsplit(quoted or token).path if name == "resource_metadata" else ""
        # The proxy asks for this path later, so it must be a place for metadata and nothing else.
        if _METADATA.fullmatch(path) and "/." not in path.removeprefix(_WELL_KNOWN):
            return path
    return ""


def own_challenge(scheme: str, parameters: Mapping[str, str]) -> str:
    """Writes a challenge."""
    written = ", ".join(f'{name}="{text}"' for name, text in parameters.items())
    return f"{scheme} {written}" if written else scheme


def metadata_of(resource: str, servers: tuple[str, ...]) -> bytes:
    """Writes the metadata of a resource that the proxy itself protects. `servers`: the authorization servers."""
    about = {"resource": resource, "authorization_servers": servers, "bearer_methods_supported": ("header",)}
    return msgspec.json.encode(about)


def forwarded_metadata(body: bytes, resource: str) -> bytes:
    """Returns the metadata of an upstream for a client that calls it at `resource`. Raises `ValueError` for a body that is not
    the metadata of a resource."""
    try:
        tree = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        raise ValueError("the metadata is not JSON") from None
    if not isinstance(tree, dict) or not isinstance(tree.get("resource"), str):
        raise ValueError("the metadata names no resource")
    kept = {name: tree[name] for name, is_right in _MEMBERS.items() if name in tree and is_right(tree[name])}
    return msgspec.json.encode({"resource": resource, **kept})


def _are(shape: re.Pattern[str]) -> Callable[[Any], bool]:
    def are_right(value: Any) -> bool:
        return (
            isinstance(value, list)
            and len(value) <= _MOST_ENTRIES
            and all(isinstance(item, str) and shape.fullmatch(item) and is_harmless(item) for item in value)
        )

    return are_right


def _is_switch(value: Any) -> bool:
    return isinstance(value, bool)


_MEMBERS: Mapping[str, Callable[[Any], bool]] = {
    "authorization_servers": _are(_ADDRESS),
    **dict.fromkeys(
        (
            *("scopes_supported", "bearer_methods_supported", "authorization_details_types_supported"),
            "dpop_signing_alg_values_supported",
        ),
        _are(_TOKEN),
    ),
    **dict.fromkeys(("tls_client_certificate_bound_access_tokens", "dpop_bound_access_tokens_required"), _is_switch),
}
