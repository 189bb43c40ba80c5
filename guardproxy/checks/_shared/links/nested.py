"""Searches text for addresses in nested escapes, beside those that stand in it as they are.

In: windows of a text. Out: the addresses with their kinds, and how far the answer is final. Kept: for each text, both searches.

A client decodes the value of an attribute once, and a document in it (`srcdoc`) or a style again. So the same search reads the
text as it is, and the text decoded to a fixed point (`urls/unescaping.py`). What only the second finds counts where a client
decodes more than once: in the value of an attribute, in a style, and in the target of a Markdown link. Elsewhere an escape is
text for the reader.

Each search has its own progress. The common progress is the smaller one, moved out of every address that is known; what is
known beyond it waits. So the findings are a function of the text alone.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter

from guardproxy.checks._shared.links.search import LinkAddress, LinkSearch, TagsSoFar
from guardproxy.findings import Window
from guardproxy.urls import Unescaping

_LOOK = 256
_IN_TARGET = re.compile(r"\](?:\(|:)\s{0,16}<?[^\s()<>]{0,200}\Z")


@dataclass(frozen=True, slots=True)
class SearchProgress:
    """How far a search has read a text: final up to `settled`, and read again from `keep` on. `tags`: at `settled`."""

    settled: int = 0
    keep: int = 0
    tags: TagsSoFar | None = None


@dataclass(frozen=True, slots=True)
class DecodedText:
    """The end of a decoded text. `start`: the offset of its first character in the decoded text; `progress`: its offsets
    count in the decoded text. `parts`: where each part begins, with the span of the text that it came from; a part is as
    long as its span, or it is one character."""

    text: str
    parts: Sequence[tuple[int, int, int]]
    start: int
    progress: SearchProgress

    def span(self, at: int) -> tuple[int, int]:
        """The span of the text that a character came from. `at`: its offset in the decoded text."""
        number = bisect_right(self.parts, at, key=itemgetter(0)) - 1
        begin, start, end = self.parts[number]
        above = self.parts[number + 1][0] if number + 1 < len(self.parts) else self.start + len(self.text)
        return (start + at - begin, start + at - begin + 1) if end - start == above - begin else (start, end)

    def trimmed(self) -> DecodedText:
        """The part that the next window needs."""
        keep = self.progress.keep
        first = max(0, bisect_right(self.parts, keep, key=itemgetter(0)) - 1)
        return DecodedText(self.text[keep - self.start :], self._from(first, keep), keep, self.progress)

    def _from(self, first: int, keep: int) -> Sequence[tuple[int, int, int]]:
        """The parts from a number on, the first without what lies before `keep`."""
        kept = list(self.parts[first:])
        if kept and kept[0][0] < keep and keep < self.start + len(self.text):
            kept[0] = (keep, self.span(keep)[0], kept[0][2])
        return kept


@dataclass(frozen=True, slots=True)
class SearchState:
    """Both searches of a text. `decoded`: `None` while the decoded text is the text itself. `found`, `hidden`: addresses of
    the searches that wait, in offsets of the text; `around`: the tags at `at`, the common place; `reported`: the end of the
    last address of the plain search."""

    plain: SearchProgress = SearchProgress()
    unescaping: Unescaping = field(default_factory=Unescaping)
    decoded: DecodedText | None = None
    found: tuple[LinkAddress, ...] = ()
    hidden: tuple[LinkAddress, ...] = ()
    around: TagsSoFar = field(default_factory=TagsSoFar)
    at: int = 0
    reported: int = 0


@dataclass(frozen=True, slots=True)
class NestedSearch:
    """The search for addresses in a text and in its decoded form."""

    search: LinkSearch

    def scan(self, window: Window) -> tuple[list[LinkAddress], int, int, SearchState]:
        """Returns the addresses, the settled place and the first place that the next window needs, as offsets in the window,
        and the state for the next window."""
        text, begun = window.text, window.start
        state = window.state if isinstance(window.state, SearchState) else self._first(window)
        found, plain = self._search(window, text, begun, state.plain)
        unescaping = state.unescaping.copy()
        decoded = self._decoded(window, state, unescaping)
        hidden: list[LinkAddress] = []
        settled, keep = plain.settled, plain.keep
        if decoded is not None:
            hidden, decoded = self._search_decoded(window, decoded)
            at = decoded.progress.settled
            is_all = at == decoded.start + len(decoded.text)
            end = begun + len(text) if window.last else unescaping.start
            settled = min(settled, end if is_all else decoded.span(at)[0])
        every, every_hidden = [*state.found, *found], [*state.hidden, *hidden]
        for address in sorted([*every, *every_hidden], key=lambda address: address.start, reverse=True):
            settled = address.start if address.start < settled < address.end else settled
        out = [address for address in every if address.end <= settled]
        around, at = state.around, state.at
        starts = [other.start for other in every]
        for address in every_hidden:
            if address.end > settled:
                break
            around, at = around.after(text[at - begun : address.start - begun]), address.start
            number = bisect_left(starts, address.start)
            reach = max(state.reported, every[number - 1].end if number else 0)
            end = min([address.end, *starts[number : number + 1]])  # the next address is found by itself
            look = text[max(0, at - begun - _LOOK) : at - begun]
            if reach <= address.start < end and self._is_decoded_again(look, around):
                out.append(replace(address, end=end))
        around, at = around.after(text[at - begun : settled - begun]) if settled > at else around, max(at, settled)
        waits = tuple(address for address in every if address.end > settled)
        waiting = tuple(address for address in every_hidden if address.end > settled)
        reported = max([state.reported, *(address.end for address in every if address.end <= settled)])
        rest = decoded.trimmed() if decoded else None
        after = SearchState(plain, unescaping, rest, waits, waiting, around, at, reported)
        keep = max(begun, min(keep, settled - _LOOK, unescaping.at))
        out = [
            LinkAddress(address.start - begun, address.end - begun, address.kind) for address in sorted(out, key=_start)
        ]
        return out, settled - begun, keep - begun, after

    def _first(self, window: Window) -> SearchState:
        """The state before the first window."""
        done = window.settled - window.start
        tags = TagsSoFar().after(window.text[:done])
        return SearchState(
            SearchProgress(window.settled, window.start, tags), Unescaping(window.start), around=tags, at=window.settled
        )

    def _search(
        self, window: Window, text: str, begun: int, progress: SearchProgress
    ) -> tuple[list[LinkAddress], SearchProgress]:
        """Searches a text that begins at the offset `begun`, from `progress` on. Returns the addresses and the new
        progress."""
        part = Window(
            window.channel,
            text[progress.keep - begun :],
            progress.keep,
            progress.settled,
            window.last,
            state=progress.tags,
        )
        addresses, settled, keep, tags = self.search.scan(part)
        found = [LinkAddress(progress.keep + found.start, progress.keep + found.end, found.kind) for found in addresses]
        return found, SearchProgress(progress.keep + settled, progress.keep + keep, tags)

    def _decoded(self, window: Window, state: SearchState, unescaping: Unescaping) -> DecodedText | None:
        """Decodes what is new in a window; returns `None` while nothing was decoded. `unescaping`: is moved on."""
        begun, first = window.start, unescaping.start
        before = state.decoded
        progress = state.plain
        if before is None:  # up to here, the decoded text was the text
            own = [(progress.keep, progress.keep, first)] if first > progress.keep else []
            before = DecodedText(window.text[progress.keep - begun : first - begun], own, progress.keep, progress)
        texts, parts = [before.text], list(before.parts)
        size = before.start + len(before.text)

        def emit(part: str, start: int, end: int) -> None:
            nonlocal size
            texts.append(part)
            parts.append((size, start, end))
            size += len(part)

        unescaping.feed(window.text[unescaping.at - begun :], emit)
        if window.last:
            unescaping.finish(emit)
        if state.decoded is None and unescaping.start == unescaping.at and size == unescaping.at:
            return None
        return DecodedText("".join(texts), parts, before.start, before.progress)

    def _search_decoded(self, window: Window, decoded: DecodedText) -> tuple[list[LinkAddress], DecodedText]:
        """Searches a decoded text; returns the addresses in offsets of the text, and the new progress."""
        found, progress = self._search(window, decoded.text, decoded.start, decoded.progress)
        hidden = [
            LinkAddress(decoded.span(address.start)[0], decoded.span(address.end - 1)[1], address.kind)
            for address in found
        ]
        return hidden, replace(decoded, progress=progress)

    @staticmethod
    def _is_decoded_again(before: str, tags: TagsSoFar) -> bool:
        """Whether a client decodes what stands at a place more than once. `before`: the text before it."""
        inside = any(reading.url is not None for reading in tags.readings)
        return inside or _IN_TARGET.search(before[-_LOOK:]) is not None


def _start(address: LinkAddress) -> int:
    return address.start
