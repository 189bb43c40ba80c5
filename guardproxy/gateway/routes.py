"""Refuses routes that guardproxy neither guards nor lets through unread."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from guardproxy.errors import DownstreamError
from guardproxy.gateway.duty import Duty, Head, Steps
from guardproxy.wire import codec_for, codecs

UNKNOWN = "unknown"  # what records and metrics call a route that is not listed: clients must not make up labels


class Routes(Duty):
    """`pass_through`: routes that go on unread, `GET /v1/models`."""

    name = "routes"

    def __init__(self, pass_through: Iterable[str]) -> None:
        self._pass_through = frozenset(pass_through)

    def named(self, head: Head) -> Head:
        """The head with its route, `unknown` where it is not listed."""
        route = f"{head.method} {head.path}"
        is_listed = route in self._pass_through or codec_for(route) is not None
        return replace(head, route=route if is_listed else UNKNOWN)

    def admit(self, head: Head) -> Steps[Head]:
        """The head. Raises `DownstreamError` (404, 405)."""
        if head.route == UNKNOWN:
            raise self._unknown(head)
        yield from ()
        return head

    def _unknown(self, head: Head) -> DownstreamError:
        guarded = sorted(route for codec in codecs() for route in codec.routes)
        if any(route.split(" ", 1)[1] == head.path for route in (*guarded, *self._pass_through)):
            return DownstreamError(405, "method_not_allowed", "this path does not take this method")
        return DownstreamError(
            404,
            "unknown_route",
            f"this route is not guarded: guardproxy reads {', '.join(guarded)}. To let a route through unread, start it "
            f"with --pass-through '{head.method} {head.path}'",
        )
