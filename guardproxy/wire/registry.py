"""The wire formats that are installed: those in `formats/`, and those of other packages, held to the same contract.

A plug-in is refused with a `PluginError` if a member is missing, if its contract is not a `Contract`, or if one of its routes
could match a request that another format reads.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

from guardproxy import plugins
from guardproxy.errors import PluginError
from guardproxy.wire.contract.codec import Codec
from guardproxy.wire.contract.contract import Contract
from guardproxy.wire.contract.headers import FormatHeaders, merged_headers
from guardproxy.wire.contract.routes import Route
from guardproxy.wire.contract.stored import StoredIds
from guardproxy.wire.contract.turns import Turns
from guardproxy.wire.contract.writing import Author
from guardproxy.wire.formats import NAMES

_OWN = "guardproxy"


def _members(protocol: type) -> tuple[str, ...]:
    """Returns the public members of a protocol."""
    return tuple(name for name in vars(protocol) if not name.startswith("_"))


_PARTS: Mapping[str, tuple[str, ...]] = {"turns": _members(Turns), "author": _members(Author)}


@dataclass(frozen=True, slots=True)
class ServedRoute:
    """A route and the format that reads it."""

    route: Route
    codec: Codec
    owner: str


@dataclass(frozen=True, slots=True)
class Formats:
    """A set of formats. `table`: every route, in the order of the formats; `by_text`: the same, by the text of the pattern;
    `headers`: those of all formats together; `limit_prefixes`: how the headers of limits begin; `stored`: what formats say of
    their stored answers."""

    table: tuple[ServedRoute, ...]
    by_text: Mapping[str, ServedRoute]
    codecs: tuple[Codec, ...]
    headers: FormatHeaders
    limit_prefixes: tuple[str, ...]
    stored: tuple[StoredIds, ...]

    def served(self, route: str) -> ServedRoute | None:
        """Returns the pattern and the format for a method and a path such as `POST /v1/messages`; `None` if no format reads
        them."""
        known = self.by_text.get(route)
        # A client can send the text of a pattern, braces included. Such a path must match like any other.
        return known if known is not None and not known.route.parameters else _matched(self.table, route)

    def codec_for(self, route: str) -> Codec | None:
        """Returns the format of a route: a method and a path, or the pattern itself; `None` if no format reads it."""
        known = self.by_text.get(route) or _matched(self.table, route)
        return known.codec if known else None

    def named(self, name: str) -> Codec | None:
        """Returns the format of a name; `None` if there is none."""
        return next((codec for codec in self.codecs if codec.name == name), None)

    def codec_of_client(self, path: str, headers: Mapping[str, str]) -> Codec:
        """Returns the format of a refusal on a route that no format reads: by the signs of the client, otherwise the first
        format."""
        return next((codec for codec in self.codecs if codec.contract.signs.match(path, headers)), self.codecs[0])

    def stored_at(self, path: str) -> StoredIds | None:
        """Returns what the format says of its stored answers that a path is about; `None` if it is about none."""
        for stored in self.stored:  # a generator would cost calls for each request
            if stored.is_about(path):
                return stored
        return None

    def overlapping(self, route: Route) -> ServedRoute | None:
        """Returns the first route that can match the same path; `None` if there is none."""
        return next((earlier for earlier in self.table if route.overlaps(earlier.route)), None)

    def with_more(self, codecs: Sequence[Codec], owner: str) -> Formats:
        """Returns the formats together with further formats, whose routes must not overlap."""
        more = (ServedRoute(Route(text), codec, owner) for codec in codecs for text in codec.routes)
        return _formats((*self.table, *more)) if codecs else self


def _formats(table: tuple[ServedRoute, ...]) -> Formats:
    by_text: dict[str, ServedRoute] = {}
    for candidate in table:
        by_text.setdefault(candidate.route.text, _matched(table, candidate.route.text) or candidate)
    codecs = tuple({id(served.codec): served.codec for served in table}.values())
    prefixes = dict.fromkeys(codec.contract.limit_headers.prefix for codec in codecs)
    headers = merged_headers(*(codec.contract.headers for codec in codecs))
    stored = tuple(codec.contract.stored for codec in codecs if codec.contract.stored is not None)
    return Formats(table, by_text, codecs, headers, tuple(filter(None, prefixes)), stored)


@cache
def installed() -> Formats:
    """Returns the formats that are installed. Raises `PluginError`."""
    plugins.refuse_clashes(plugins.WIRE, NAMES)
    table: list[ServedRoute] = []
    for name in NAMES:
        codec = importlib.import_module(f"guardproxy.wire.formats.{name}.codec").CODEC
        table += [ServedRoute(Route(route), codec, _OWN) for route in codec.routes]
    for name in plugins.names(plugins.WIRE):
        owner = plugins.whose(plugins.WIRE, name)
        table += _of_plugin(plugins.load(plugins.WIRE, name, NAMES), owner, table)
    return _formats(tuple(table))


def _matched(table: Sequence[ServedRoute], route: str) -> ServedRoute | None:
    return next((candidate for candidate in table if candidate.route.match(route) is not None), None)


def _of_plugin(codec: Any, owner: str, table: list[ServedRoute]) -> list[ServedRoute]:
    """Returns the routes of a plug-in. Raises `PluginError`."""
    if missing := missing_members(codec):
        raise PluginError(f"the plug-in {owner} is not a wire format: it has no {', '.join(missing)}")
    if not isinstance(codec.contract, Contract):
        raise PluginError(f"the plug-in {owner} is not a wire format: its `contract` is not a guardproxy.wire.Contract")
    own: list[ServedRoute] = []
    for text in codec.routes:
        try:
            served = ServedRoute(Route(text), cast(Codec, codec), owner)
        except ValueError as error:
            raise PluginError(f"the plug-in {owner} is not a wire format: {error}") from None
        for earlier in (*table, *own):
            if served.route.overlaps(earlier.route):
                raise PluginError(
                    f"the plug-in {owner} reads the route `{text}`, which {earlier.owner} reads"
                    + (f" as `{earlier.route.text}`" if earlier.route.text != text else "")
                    + "; uninstall one"
                )
        own.append(served)
    if not own:
        raise PluginError(f"the plug-in {owner} is not a wire format: its `routes` is empty")
    if unknown := sorted(codec.contract.unanswered.difference(codec.routes)):
        raise PluginError(f"the plug-in {owner}: `contract.unanswered` names an unknown route: {', '.join(unknown)}")
    return own


def missing_members(codec: Any) -> list[str]:
    """The members that a codec lacks."""
    missing = [name for name in _members(Codec) if not hasattr(codec, name)]
    for part, names in _PARTS.items():
        if part not in missing:
            missing += [f"{part}.{name}" for name in names if not hasattr(getattr(codec, part), name)]
    return missing


def codecs() -> tuple[Codec, ...]:
    """Every wire format that is installed."""
    return installed().codecs


def default_route() -> str:
    """Returns the route of a request that names no route: the first format's."""
    return codecs()[0].author.ROUTE
