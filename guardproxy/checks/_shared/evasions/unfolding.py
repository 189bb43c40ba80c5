"""Finds values that are hidden from a check: shows the check every view of a text (`views.py`) and carries its findings back.

Windows come in, the inner check's findings go out. Each finding covers the characters of the text that hide the value: the
whole of an encoded run. Nothing is kept. The findings of a text are those of the inner check in each of its views. Findings
of the same label that overlap become one finding from the first to the last character, with the highest score. So every
finding of the inner check in the unchanged text is always covered. A place with more layers than are read, or with more
content than is unpacked, is a finding `UNDECODED`.

Option `evasions` of a check:
- `off`: the check as it is.
- `standard`: full-width and other compatibility forms, digits of other scripts, invisible characters, tag characters, spaces
  and dashes of all kinds; percent, HTML and backslash escapes, quoted-printable; runs of text in base64, base32 and
  hexadecimal, also in groups or lines.
- `strict`: also look-alike letters, combining marks, letters and digits one by one, base64 that begins inside of a run, and
  text in binary data, gzip, or hexadecimal pairs.
Both read two nested layers of runs. Neither reads text backwards, rot13, leetspeak, Morse, or words for signs.

In a stream, the inner check tracks its progress in each view separately. A scan settles only a place that is final in all
views, and from which the check can continue in all views (`_agree`). If the check is further in one view than in another, it
is shown less of the first. The last word is held, as it may be the beginning of a run; so are lines of base64, and one-letter
words in `strict`. A word of `RUN_LIMIT` characters or more passes unread, as an image does. If pieces of it turn out to hold
text, they are `UNDECODED`, and the text is cut between them.

Decision: docs/decisions/0016-a-hidden-value-is-replaced-with-all-that-hides-it.md
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, TypeVar

import regex
from msgspec import structs

from guardproxy.checks._shared.declared.options import Option, options_digest
from guardproxy.checks._shared.evasions.folding import ASCII, Table, spaced_open, table
from guardproxy.checks._shared.evasions.views import (
    TextView,
    Views,
    hides,
    join,
    long_words,
    plain,
    read,
    unchanged_views,
)
from guardproxy.concurrency import stop_point
from guardproxy.errors import NoCapacityError
from guardproxy.findings import Check, Finding, Scan, Traits, Window

VERSION = 2  # not raised when a reading is added: a replay of an older record takes the findings that the record holds
PROFILES = ("off", "standard", "strict")
UNDECODED = "UNDECODED"
EVASIONS = Option(
    "The disguises that are undone before the check searches for values.",
    {"enum": list(PROFILES)},
    default="standard",
    tighter=PROFILES,
)
_Inner = TypeVar("_Inner", bound=Check)
_ROUNDS = 8  # each round reads the held text once more
_ROUND_CHARS = 65_536  # limit for all rounds of a scan, plus three times its text: long texts get fewer rounds
_PATIENCE = 512  # if more characters are held, not every window is scanned
_AGAIN = 5120  # if a scan leaves more characters to be read again, held or not, not every window is scanned
_STEP = 64  # characters of a word that are searched at once, at first


@dataclass(frozen=True, slots=True)
class ViewState:
    """The progress of the inner check in a view: at places `low` to `high` of the text, or, if `low` > `high`, inside of the
    text that a run is decoded to. `keep`: the first place that the check still needs."""

    findings: tuple[Finding, ...]
    low: int
    high: int
    keep: int


@dataclass(frozen=True, slots=True)
class Giant:
    """A word of `RUN_LIMIT` characters or more, which is not read. `inside`: it began before the window."""

    start: int
    end: int
    inside: bool
    limit: int

    def breaks(self) -> range:
        """Returns the offsets at which the word is cut into pieces."""
        return range(self.start if self.inside else self.start + self.limit, self.end + 1, self.limit)

    def pieces(self, ended: bool) -> list[tuple[int, int, bool]]:
        """Returns its pieces as (start, end, whether a piece precedes it); the last piece only if the word has ended."""
        return [
            (low, min(low + self.limit, self.end), self.inside or low > self.start)
            for low in range(self.start, self.end, self.limit)
            if ended or low + self.limit <= self.end
        ]

    def part(self, low: int, high: int) -> Giant:
        """Returns its part in characters `low` to `high`, counted from `low`; a `low` in the word is one of its breaks."""
        return Giant(max(self.start - low, 0), min(self.end, high) - low, self.inside or self.start < low, self.limit)


@dataclass(frozen=True, slots=True)
class _Pause:
    """No scan is made before the text has this number of characters."""

    until: int


class _Failed(Exception):
    """The inner check failed; the argument is its error."""


@dataclass(frozen=True, slots=True)
class Unfolding:
    """A `Check` that wraps another check."""

    inner: Check
    using: Table = field(repr=False)
    digest: str
    traits: Traits

    @property
    def name(self) -> str:
        return self.inner.name

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        """See `Check.scan`."""
        return [self._scan_or_wait(window) for window in windows]

    def _scan_or_wait(self, window: Window) -> Scan:
        """Scans a window, or waits. After a scan that settles nothing, or that leaves much text to be read again, the next
        scan waits until that text has grown by a half. So a text in which the views never agree costs linear time. The
        waiting time is state of this text alone: no other text and no other exchange affects it."""
        end = window.start + len(window.text)
        if isinstance(window.state, _Pause) and not window.last and end < window.state.until:
            return Scan((), window.settled, window.start, state=window.state)
        # Nearly all windows hide nothing. These are scanned once, without views.
        quick = self._quick(window)
        scan = self._scan(window) if quick is None else quick
        if window.last or scan.error:
            return scan
        held, again = end - scan.settled, end - scan.keep
        if quick is not None and max(held, again) > _PATIENCE:
            # The inner check itself reads on, up to its own cap, unless all new text belongs to one endless word.
            word = len(window.text) - self._word(window.text, len(window.text), ())
            if 2 * word < min(held, again):
                return scan
        if scan.settled == window.settled and held > _PATIENCE:
            return structs.replace(scan, state=_Pause(end + held // 2))
        return structs.replace(scan, state=_Pause(end + again // 2)) if again > _AGAIN else scan

    def _scan(self, window: Window) -> Scan:
        """Scans a window, in several parts if a giant holds pieces that contain text."""
        text, behind, done = window.text, self._behind(window), window.settled - window.start
        giants = self._giants(text, bool(window.start) and not behind)
        pieces = [piece for giant in giants for piece in giant.pieces(window.last or giant.end < len(text))]
        unread = [(low, high) for low, high, joined in pieces if hides(text[low:high], joined)]
        edges = {place for span in unread for place in span}
        cuts = [low for low, _, joined in pieces if joined and low in edges and low >= max(done, 1)]
        findings: tuple[Finding, ...] = ()
        scan = Scan((), window.settled, window.start)
        for low, high in pairwise([0, *cuts, len(text)]):
            stop_point()
            # An earlier scan has settled this part.
            if low < high <= done and cuts:
                continue
            part = structs.replace(window, text=text[low:high], last=window.last or high < len(text))
            if low:
                part = structs.replace(part, start=window.start + low, settled=window.start + low)
            inside = [giant.part(low, high) for giant in giants if giant.start < high and low < giant.end]
            spans = [(start - low, end - low) for start, end in unread if low <= start and end <= high]
            scan = self._part(part, 0 if low else behind, inside, spans)
            findings += scan.findings
            if scan.error:
                break
        return Scan(findings, scan.settled, scan.keep, scan.error)

    def _quick(self, window: Window) -> Scan | None:
        """Scans a window whose only view is the text itself, as nothing is hidden in it; returns `None` for others."""
        text, behind = window.text, self._behind(window)
        if len(text) >= self.using.limit or (window.start and not behind):
            return None
        end = len(text) if window.last else self._word(text, len(text), ())
        if self.using.strict and not window.last:
            end = self._word(text, spaced_open(text[:end]), ())
        if end < window.settled - window.start or not plain(text[:end], self.using):
            return None
        shift = window.start
        if not window.last or behind:
            window = structs.replace(window, text=text[behind:end], start=shift + behind)
        (scan,) = self.inner.scan([window])
        if scan.error:
            return scan
        return Scan(scan.findings, scan.settled, shift + self._keep(text, scan.keep - shift, (), ()), "")

    def _part(self, window: Window, behind: int, giants: Sequence[Giant], unread: Sequence[tuple[int, int]]) -> Scan:
        """Scans a window in which no unread place ends or begins inside of a giant."""
        text, done = window.text, window.settled - window.start
        breaks = [at for giant in giants for at in giant.breaks()]
        end = len(text) if window.last else self._word(text, len(text), breaks)
        reading = self._read(text[:end], giants, not window.last)
        limit = end
        if not window.last:
            limit = self._word(text, reading.limit, breaks)
            if self.using.strict:
                limit = self._word(text, spaced_open(text[:limit]), breaks)
        unread = [*unread, *reading.unread]
        try:
            states, place = self._agree(reading.distinct(), window, behind, max(limit, done), unread)
        except _Failed as failed:
            return Scan((), window.settled, window.start, str(failed))
        findings = merge_views([state.findings for state in states])
        findings += [
            Finding(window.start + low, window.start + high, self.name, UNDECODED, 1.0)
            for low, high in sorted(set(unread))
            if done <= low and high <= place
        ]
        keep = self._keep(text, min(state.keep for state in states), reading.spans, breaks)
        return Scan(tuple(sorted(findings)), window.start + place, window.start + keep)

    def _behind(self, window: Window) -> int:
        """Returns 1 if the first character of a window was kept only as context for a lookbehind, otherwise 0. A window that
        begins with another character begins at the break of a giant, or with the text."""
        return int(0 < window.start < window.settled and window.text[0] not in self.using.chars)

    def _word(self, text: str, end: int, breaks: Sequence[int]) -> int:
        """Returns the start of the word that ends at `end`, or its last break. `breaks`: in order."""
        number = bisect_right(breaks, end)
        low = breaks[number - 1] if number else 0
        # From behind and in growing steps: most words are short, and an endless one must not cost a step for each
        # character.
        at, size = end, _STEP
        while at > low:
            start = max(low, at - size)
            at = start + len(text[start:at].rstrip(ASCII))
            if at > start:
                if text[at - 1] not in self.using.chars:
                    break
                at, size = at - 1, _STEP
            size *= 2
        return at

    def _giants(self, text: str, inside: bool) -> list[Giant]:
        """Returns the words that are too long to be read. `inside`: the text begins in such a word."""
        found = long_words(text, self.using)
        if inside:
            end = found[0][1] if found and not found[0][0] else len(text) - len(self.using.word.sub("", text, 1))
            found = [(0, end), *(span for span in found if span[0])]
        return [Giant(start, end, inside and not start, self.using.limit) for start, end in found]

    def _read(self, text: str, giants: Sequence[Giant], more: bool) -> Views:
        """Returns the views of `text`, in which giants stay unchanged."""
        bounds = [0, *(at for giant in giants for at in (giant.start, min(giant.end, len(text)))), len(text)]
        readings = []
        for number, (low, high) in enumerate(pairwise(bounds)):
            part = text[low:high]
            if number % 2 or plain(part, self.using):
                readings.append(unchanged_views(part))
            else:
                readings.append(read(part, self.using, more and high == len(text)))
        return join(readings, bounds)

    def _agree(
        self,
        views: Sequence[TextView],
        window: Window,
        behind: int,
        limit: int,
        unread: Sequence[tuple[int, int]],
    ) -> tuple[list[ViewState], int]:
        """Returns the inner check's states in all views, and the largest offset that is a boundary in every view."""
        last = window.last and limit == len(window.text)
        for view in views:
            limit = view.floor(limit)
        states = self._states(views, window, behind, limit, last)
        left_chars = _ROUND_CHARS + 3 * limit
        for _ in range(_ROUNDS):
            place = min(state.high for state in states)
            for view in views:
                place = view.floor(place)
            stop_point()
            place = min((low for low, high in unread if low < place < high), default=place)
            late = [number for number, state in enumerate(states) if not state.low <= place <= state.high]
            if not late:
                return states, place
            if (left_chars := left_chars - place * len(late)) < 0:
                break
            again = self._states([views[number] for number in late], window, behind, place, False)
            for number, state in zip(late, again, strict=True):
                states[number] = state
        # Too many rounds: nothing is settled, and the next window tries again with more text.
        done = window.settled - window.start
        return [ViewState((), done, done, 0) for _ in views], done

    def _states(
        self, views: Sequence[TextView], window: Window, behind: int, limit: int, last: bool
    ) -> list[ViewState]:
        """Scans `views` with the inner check up to a place of the text. Returns its states."""
        if len(views) == 1 and not behind and limit == len(window.text) and views[0].text == window.text:
            windows = [window]
        else:
            windows = [
                structs.replace(
                    window,
                    text=view.text[behind : view.offset(limit)],
                    start=window.start + behind,
                    settled=window.start + view.offset(window.settled - window.start),
                    last=last,
                )
                for view in views
            ]
        states = []
        for view, scan in zip(views, self.inner.scan(windows), strict=True):
            if scan.no_capacity is not None:
                raise NoCapacityError(scan.no_capacity, "the check that is unfolded gave no verdict")
            if scan.error:
                raise _Failed(scan.error)
            states.append(_state(view, scan, window.start, limit))
        return states

    def _keep(self, text: str, keep: int, spans: Sequence[tuple[int, int]], breaks: Sequence[int]) -> int:
        """Returns the last place up to `keep` from which all views can be read on: a break, or the character before a place
        where no span is open."""
        lows, highs = _merge([span for span in spans if span[0] < keep])
        at = keep
        while at > 0:
            at = self._word(text, at, breaks)
            if at in breaks:
                if text[at : at + 1] in self.using.chars:
                    return at
                at -= 1  # the giant ends here, and a window that began here could not know that
                continue
            number = bisect_left(lows, at) - 1
            if number < 0 or highs[number] < at:
                return max(at - 1, 0)
            at = lows[number]
        return 0


def unfolding(check: _Inner, options: Mapping[str, Any]) -> _Inner | Unfolding:
    """Wraps `check` by its option `evasions`, which is a profile."""
    profile = options.get("evasions", EVASIONS.default)
    if profile == "off":
        return check
    digest = options_digest(
        "evasions", VERSION, {"profile": profile}, check.digest, unicodedata.unidata_version, regex.__version__
    )
    labels = None if check.traits.labels is None else check.traits.labels | {UNDECODED}
    return Unfolding(check, table(profile == "strict"), digest, replace(check.traits, labels=labels))


def _state(view: TextView, scan: Scan, shift: int, limit: int) -> ViewState:
    """Converts an inner scan to offsets of the text."""
    at, keep = scan.settled - shift, scan.keep - shift
    places, kept = view.places(at), view.places(keep)
    findings = tuple(
        Finding(
            shift + view.start_of(finding.start - shift),
            shift + view.stop_of(finding.end - shift),
            finding.check,
            finding.label,
            finding.score,
        )
        for finding in scan.findings
    )
    low, high = places if places else (limit + 1, view.start_of(at))
    return ViewState(findings, low, min(high, limit) if places else high, kept[0] if kept else view.start_of(keep))


def _merge(spans: Sequence[tuple[int, int]]) -> tuple[list[int], list[int]]:
    """Returns the starts and the ends of merged spans, in order. A span covers the places after its start, up to its end."""
    lows: list[int] = []
    highs: list[int] = []
    for low, high in sorted(spans):
        if highs and low <= highs[-1]:
            highs[-1] = max(highs[-1], high)
        else:
            lows.append(low)
            highs.append(high)
    return lows, highs


def merge_views(views: Sequence[Sequence[Finding]]) -> list[Finding]:
    """Merges the findings of all views. A finding that the first view lacks joins overlapping findings of its label."""
    first = list(views[0])
    known = set(first)
    more = {finding for view in views[1:] for finding in view} - known
    if not more:
        return first
    groups: dict[str, list[list[Finding]]] = {}
    ends: dict[str, int] = {}
    for finding in sorted([*first, *more]):
        of_label = groups.setdefault(finding.label, [])
        if finding.start < ends.get(finding.label, 0):
            of_label[-1].append(finding)
        else:
            of_label.append([finding])
        ends[finding.label] = max(finding.end, ends.get(finding.label, 0))
    out: list[Finding] = []
    for group in (group for of_label in groups.values() for group in of_label):
        if more.isdisjoint(group):
            out += group
            continue
        end, score = max(finding.end for finding in group), max(finding.score for finding in group)
        out.append(Finding(group[0].start, end, group[0].check, group[0].label, score))
    return out
