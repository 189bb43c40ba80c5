"""Headers as Envoy has them, and as the proxy has them.

In: the headers of a message, pseudo-headers included, and the headers that the proxy wants to be sent. Out: the headers of an
HTTP request, and the change that makes of the first what the second are.

Which headers go on is decided where it is for requests by HTTP. So a header that nothing lets through is removed, whoever has
set it, but for a few that belong to Envoy: a text of a client could stand in each of the others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from guardproxy.ext_proc.messages import Headers, Mutation

PATH, METHOD, AUTHORITY, STATUS = ":path", ":method", ":authority", ":status"
# What describes a connection or a message, which is Envoy's part, and what it answers by itself.
_OF_CONNECTIONS = frozenset(
    ("connection", "keep-alive", "transfer-encoding", "content-length", "te", "trailer", "upgrade", "date", "expect")
)
_ADDRESSES = re.compile(r"[0-9A-Fa-f.:]{2,45}(?:, ?[0-9A-Fa-f.:]{2,45}){0,15}", re.ASCII)
_WORD = re.compile(r"https?", re.ASCII)
# Of Envoy, for upstreams: they stay with a value of this form.
_OF_ENVOY: Mapping[str, re.Pattern[str]] = {"x-forwarded-for": _ADDRESSES, "x-forwarded-proto": _WORD}
# Of Envoy, for itself: a filter of this kind may not change them.
_PROTECTED = ("x-envoy-", ":")


def first(headers: Headers, name: str) -> str:
    """Returns the first value of a header; empty if it is missing."""
    return next((value for key, value in headers if key == name), "")


def of_request(headers: Headers) -> list[tuple[str, str]]:
    """Returns the headers of a request by HTTP/1.1: the host in its header, and nothing that Envoy has answered itself."""
    own = [(name, value) for name, value in headers if name[:1] != ":" and name not in ("host", "expect")]
    return [("Host", first(headers, AUTHORITY) or first(headers, "host")), *own]


def request_change(before: Headers, path: str, wanted: Iterable[tuple[str, str]]) -> Mutation:
    """Returns the change of the headers of a request. `path`: with the query; `wanted`: the headers for the upstream."""
    change = _change(before, wanted, stays=_stays_in_request)
    if path == first(before, PATH):
        return change
    return Mutation([(PATH, path), *change.setting], change.removing)


def answer_change(before: Headers, status: int, wanted: Iterable[tuple[str, str]]) -> Mutation:
    """Returns the change of the headers of an answer. `wanted`: the headers for the client."""
    change = _change(before, wanted, stays=_stays_in_answer)
    # The length that the upstream said is not that of an edited body. Without one, Envoy frames the body itself.
    removing = [*change.removing, *(["content-length"] if first(before, "content-length") else [])]
    if str(status) == first(before, STATUS):
        return Mutation(change.setting, removing)
    return Mutation([(STATUS, str(status)), *change.setting], removing)


def of_whole(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Returns the headers of an answer of the proxy's own."""
    return [(low, value) for name, value in headers if (low := name.lower()) not in _OF_CONNECTIONS]


def _stays_in_request(name: str, value: str) -> bool:
    form = _OF_ENVOY.get(name)
    return name in ("host", "content-length", "transfer-encoding") or bool(form and form.fullmatch(value))


def _stays_in_answer(name: str, value: str) -> bool:
    return name in _OF_CONNECTIONS


def _change(before: Headers, wanted: Iterable[tuple[str, str]], stays: Callable[[str, str], bool]) -> Mutation:
    had, wants = _by_name(before), _by_name(wanted)
    setting = [
        (name, value)
        for name, values in wants.items()
        if name not in _OF_CONNECTIONS and had.get(name) != values
        for value in values
    ]
    removing = [
        name
        for name, values in had.items()
        if name not in wants and not name.startswith(_PROTECTED) and not all(stays(name, value) for value in values)
    ]
    return Mutation(setting, removing)


def _by_name(headers: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in headers:
        found.setdefault(name.lower(), []).append(value)
    return found
