"""Refuses routes that guardproxy neither guards nor passes through."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from guardproxy.errors import ConfigError, DownstreamError, ErrorCode
from guardproxy.gateway.duties.base_urls import base_url_advice, beginnings
from guardproxy.gateway.duties.duty import Duty, Head
from guardproxy.wire import Formats, Route, installed

UNKNOWN = "unknown"  # the route in records and metrics if it is not listed: clients must not create labels


class Routes(Duty):
    """Sets the route of a request and refuses unknown routes. `pass_through`: unread routes such as `GET
    /v1/models` and `GET /v1/models/{model}`. `formats`: returns the wire formats in force."""

    name = "routes"

    def __init__(self, pass_through: Iterable[str], formats: Callable[[], Formats] = installed) -> None:
        """Raises `ConfigError` if an entry with `{` is not a pattern."""
        self._pass_through = frozenset(pass_through)
        self._formats = formats
        self._patterns = tuple(_pattern(entry) for entry in self._pass_through if "{" in entry)

    def route_of(self, method: str, path: str) -> str:
        """Returns the route of a request: the pattern of the matching format, or `unknown` if no pattern matches."""
        route = f"{method} {path}"
        if read_by := self._formats().served(route):
            return read_by.route.text
        return self._passed(route) or UNKNOWN

    def _passed(self, route: str) -> str:
        """Returns the entry of `pass_through` that matches a method and a path; empty if none does."""
        if route in self._pass_through:
            return route
        return next((pattern.text for pattern in self._patterns if pattern.match(route) is not None), "")

    def admit(self, head: Head) -> Head:
        """Returns the head unchanged. Raises `DownstreamError` (404, 405)."""
        if head.route == UNKNOWN:
            raise self._unknown(head)
        return head

    def _unknown(self, head: Head) -> DownstreamError:
        formats = self._formats()
        guarded = sorted(route for codec in formats.codecs for route in codec.routes)
        methods = {route.split(" ", 1)[0] for route in (*guarded, *self._pass_through)}
        routes = [f"{method} {head.path}" for method in methods]
        if any(self._passed(route) or _is_asked(formats, route) for route in routes):
            return DownstreamError(ErrorCode.METHOD_NOT_ALLOWED)
        route = f"{head.method} {head.path}"
        meant, change = self._advice(formats, head.method, head.path)
        spoken = formats.codec_of_client(head.path, head.headers)
        for codec in (spoken, *formats.codecs):
            for refused in codec.contract.refused:
                if refused.pattern.fullmatch(route):
                    more = f". If `{meant}` is meant: {change}" if meant else ""
                    return DownstreamError(ErrorCode.UNKNOWN_ROUTE, f"{refused.advice}{more}")
        if meant:
            return DownstreamError(ErrorCode.UNKNOWN_ROUTE, f"this route is not guarded, but `{meant}` is: {change}")
        return DownstreamError(
            ErrorCode.UNKNOWN_ROUTE,
            f"this route is not guarded: guardproxy reads {', '.join(guarded)}. To pass a route through unread, "
            f"start it with --pass-through '{head.method} {head.path}'",
        )

    def _advice(self, formats: Formats, method: str, path: str) -> tuple[str, str]:
        """Returns the route that a client with a wrong base URL means, and what to change; see `base_url_advice`."""
        routes = (route for codec in formats.codecs for route in codec.routes)
        known = beginnings((*routes, *sorted(self._pass_through)))

        def pattern_of(route: str) -> str:
            read_by = formats.served(route)
            return read_by.route.text if read_by else self._passed(route)

        return base_url_advice(method, path, known, pattern_of)


def _is_asked(formats: Formats, route: str) -> bool:
    """Whether a format reads a route, other than to read back what is stored: what is refused there has advice of
    its own."""
    read_by = formats.served(route)
    stored = read_by.codec.contract.stored if read_by is not None else None
    return read_by is not None and (stored is None or read_by.route.text not in stored.made_by)


def _pattern(entry: str) -> Route:
    try:
        return Route(entry)
    except ValueError as error:
        raise ConfigError(f"`pass_through`: {error}") from None
