"""Searches growing text for addresses that a client may follow.

In: windows of a text. Out: the addresses with their kinds, and how far the answer is final. Kept: for each text, the
reading of its HTML tags up to the settled place.

The definition on the whole text: from the beginning on, the next sign (`signs.py`) is looked at. If no client follows the
address there (`places.py`), the search goes on after the first character of the sign. If the address is allowed
(`allowed.py`), it goes on after the host, so that addresses inside of the path and the query are found. Otherwise the
address from its scheme to its end is found, and the search goes on from there. An address ends at white space, at a
quote, at an angle bracket, at an unbalanced closing bracket, or at `LIMIT` characters. The text after that has no sign
any more, so no client follows it.

Finality: a sign is decided if the text from its start on is not the beginning of a longer sign, and the address after it
has ended. `settled` is the start of the first undecided address, or of the last characters that may be its scheme
(`RUN`). So a stream is held for a word of prose, and for at most `LIMIT` characters of an address.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field

from guardproxy.checks._shared.links.allowed import Allowed
from guardproxy.checks._shared.links.places import BEFORE, RUN, kind, needs_more, run_start, stops
from guardproxy.checks._shared.links.signs import AddressSigns
from guardproxy.concurrency import stop_point
from guardproxy.findings import Window
from guardproxy.urls import TagReading

LIMIT = 2048
"""The most characters of an address that are found together."""

_END = re.compile(r"[\s\x00-\x1f\x7f<>\"'`|]")
_BRACKET = re.compile(r"[()\[\]{}]")
_OPENER = {")": "(", "]": "[", "}": "{"}
_AFTER_ADDRESS = ".,;:!?*_~\u3002\uff0c\u3001\uff1b\uff1a"
_HELD = re.compile(rf"[\w.+\-]{{1,{RUN}}}\Z")


@dataclass(frozen=True, slots=True)
class LinkAddress:
    """An address in a text: characters `start` to `end` of the window."""

    start: int
    end: int
    kind: str


@dataclass(frozen=True, slots=True)
class TagsSoFar:
    """How the tags of a text are read up to a place, by two kinds of renderers (`TagReading.restarts`)."""

    readings: Sequence[TagReading] = field(default_factory=lambda: (TagReading(), TagReading(restarts=True)))

    def after(self, text: str) -> TagsSoFar:
        """Returns how they are read after `text`."""
        if "<" not in text and all(reading.mode == "text" for reading in self.readings):
            return self
        readings = [copy(reading) for reading in self.readings]
        for reading in readings:
            reading.feed(text)
        return TagsSoFar(readings)


@dataclass(frozen=True, slots=True)
class LinkSearch:
    """The search for addresses that `allowed` does not cover."""

    allowed: Allowed
    signs: AddressSigns

    def scan(self, window: Window) -> tuple[list[LinkAddress], int, int, TagsSoFar]:
        """Returns the addresses, the settled place and the first place that the next window needs, as offsets in the
        window, and the tags up to the settled place."""
        text, done = window.text, window.settled - window.start
        tags = window.state if isinstance(window.state, TagsSoFar) else TagsSoFar().after(text[:done])
        walk = _Walk(self, window, tags, done)
        addresses = list(walk.addresses())
        settled = walk.undecided
        return addresses, settled, max(0, settled - BEFORE), tags.after(text[done:settled])


@dataclass(slots=True)
class _Walk:
    """One walk from sign to sign. `read`: the offset up to which `tags` were read; `undecided`: the first offset that is
    not final."""

    search: LinkSearch
    window: Window
    tags: TagsSoFar
    read: int
    undecided: int = 0

    def addresses(self) -> Iterator[LinkAddress]:
        """Yields the addresses in order; `undecided` is right once all were taken."""
        window, text, signs = self.window, self.window.text, self.search.signs
        at = window.settled - window.start
        place = len(text) if window.last else signs.first_open(text, at)
        is_leaf = window.channel.kind == "tool_arguments"
        while (sign := signs.next(text, at)) and sign.start() < place:
            stop_point()
            start = run_start(text, at, sign.start(), sign)
            self.tags = self.tags.after(text[self.read : sign.start()])
            self.read = sign.start()
            if not window.last and needs_more(text, sign):
                self.undecided = start
                return
            found = kind(text, sign, self.tags.readings, is_start=window.start == 0, is_leaf=is_leaf)
            if found is None:
                at = sign.start() + 1
                continue
            after = self.search.allowed.end(text, start, sign, stops=stops(found, self.tags.readings), last=window.last)
            end = after or self._end(start, sign.end())
            if end is None or after == 0:
                self.undecided = start
                return
            if not after:
                yield LinkAddress(start, end, found)
            at = end
            if at > place:  # the end of the text began a sign inside of the address
                place = signs.first_open(text, at)
        self.undecided = len(text) if window.last else self._held(at, place)

    def _held(self, at: int, place: int) -> int:
        """Returns the start of the characters before a place that may be a scheme or a host name."""
        run = _HELD.search(self.window.text[max(at, place - RUN) : place])
        return place - len(run[0]) if run else place

    def _end(self, start: int, at: int) -> int | None:
        """Returns the end of an address whose sign ends at `at`; `None` if more text may continue it."""
        text = self.window.text
        high = min(len(text), max(start + LIMIT, at))
        stop = _END.search(text, at, high)
        if stop is None and high == len(text) and high - start < LIMIT and not self.window.last:
            return None
        end = stop.start() if stop else high
        depth = {"(": 0, "[": 0, "{": 0}
        for bracket in _BRACKET.finditer(text, at, end):
            opener = _OPENER.get(bracket[0])
            if opener is None:
                depth[bracket[0]] += 1
            elif depth[opener]:
                depth[opener] -= 1
            else:
                end = bracket.start()
                break
        while end > at and text[end - 1] in _AFTER_ADDRESS:
            end -= 1
        return end
