"""Decides whether a place in a growing text lies inside a URL that a browser, a markdown renderer or a tool could load.

In: the text in pieces, in order. Out: whether the next character would belong to a URL, and to which URL. Kept: a few
hundred characters, however long the text is.

Invariants
- The answer depends on the text before the place alone, never on how the text is cut into pieces.
- A doubtful case counts as "inside". Several readings of the same text run side by side, because renderers differ: a
  link in one renderer is plain text in another.
- The cost is linear: each reading jumps from special character to special character.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from copy import copy
from dataclasses import dataclass

from guardproxy.urls.bare import COLON, DOT, LABEL, LIMIT_RUN, SCHEMES, SLASH, WHITE, BareUrl
from guardproxy.urls.hosts import LIMIT_URL, is_allowed
from guardproxy.urls.markup import TagReading
from guardproxy.urls.unescaping import Unescaping

_LIMIT_PIECE = 256
_OPENS = re.compile(r"\]\(|(?<![\w\-])(?:url|src)\(", re.IGNORECASE)
_TARGET = re.compile(rf"[{WHITE}()<>\"'\\]")
_SPACE_OR_ANGLE = re.compile(rf"[{WHITE}>]")
_LEAF = re.compile(
    rf"""(?:{SCHEMES}{COLON}\S|[a-z][a-z0-9+.\-]*{COLON}{SLASH}{SLASH}\S|{SLASH}{SLASH}\S|www{DOT}\S"""
    rf"""|(?:{LABEL}+{DOT})+{LABEL}+{DOT}?(?::\d+)?(?:[?#]|{SLASH})\S|{LABEL}+:\d+{SLASH})""",
    re.IGNORECASE,
)
_DROPPED = re.compile("[\x00-\x1f\x7f\u00ad\u200b-\u200d\u2060\ufeff]+")


@dataclass(slots=True)
class _Target:
    """Reads the target of `](...)` and of `url(...)`."""

    tail: str = ""
    url: str | None = None
    css: bool = False
    depth: int = 0
    quote: str = ""
    escaped: bool = False
    lines: int = 0
    last: str = ""
    empty: bool = True

    def feed(self, text: str) -> None:
        at = 0
        while at < len(text):
            at = self._search(text, at) if self.url is None else self._follow(text, at)

    def _search(self, text: str, at: int) -> int:
        joined = self.tail + text[at:]
        for match in _OPENS.finditer(joined):
            if match.end() > len(self.tail):
                done = at + match.end() - len(self.tail)
                self.tail, self.url, self.css = "", "", match[0] != "]("
                self.depth, self.quote, self.escaped, self.lines = 1, "", False, 0
                self.last, self.empty = "(", True
                return done
        self.tail = joined[-5:]
        return len(text)

    def _follow(self, text: str, at: int) -> int:
        begun = at
        while special := _TARGET.search(text, at):
            if special.start() > at:
                self.escaped, self.lines, self.empty, self.last = False, 0, False, "x"
            char, at = special[0], special.end()
            if self._ends(char):
                self.url, self.tail = None, char
                return at
            self.empty = self.empty and char in WHITE
            self.last = char
        if at < len(text):
            self.escaped, self.lines, self.empty, self.last = False, 0, False, "x"
        self.url = ((self.url or "") + text[begun:])[:LIMIT_URL]
        return len(text)

    def _ends(self, char: str) -> bool:
        if char == "\n":
            self.lines += 1
            # A second line break ends the paragraph, and with it a target of Markdown. A target of CSS goes on.
            if self.lines > 1 and not self.css:
                return True
        elif char not in WHITE:
            self.lines = 0
        if self.escaped:
            self.escaped = False
        elif char == "\\":
            self.escaped = True
        elif self.quote:
            if char == self.quote:
                self.quote = ""
        elif char == "<" and self.empty:
            self.quote = ">"
        elif char in "\"'" and (self.css or self.last == "(" or self.last in WHITE):
            self.quote = char
        elif char == "(":
            self.depth += 1
        elif char == ")":
            self.depth -= 1
            return self.depth == 0
        return False


@dataclass(slots=True)
class _Definition:
    """Reads the target of `[name]: target`."""

    last: str = ""
    url: str | None = None
    wait: bool = False
    angle: bool = False
    lines: int = 0

    def feed(self, text: str) -> None:
        at = 0
        while at < len(text):
            if self.wait:
                at = self._begin(text, at)
            elif self.url is not None:
                at = self._follow(text, at)
            else:
                at = self._search(text, at)

    def _search(self, text: str, at: int) -> int:
        joined = self.last + text[at:]
        colon = joined.find("]:")
        if colon < 0:
            self.last = joined[-1:]
            return len(text)
        end = at + colon + 2 - len(self.last)
        self.last, self.wait, self.lines = "", True, 0
        return end

    def _begin(self, text: str, at: int) -> int:
        char = text[at]
        if char in WHITE:
            self.lines += char == "\n"
            self.wait = self.lines < 2
            return at + 1
        self.wait, self.angle, self.url = False, char == "<", "" if char == "<" else char
        return at + 1

    def _follow(self, text: str, at: int) -> int:
        for match in _SPACE_OR_ANGLE.finditer(text, at):
            if (match[0] in ">\n") if self.angle else match[0] != ">":
                self.url, self.last = None, ""
                return match.end()
        self.url = ((self.url or "") + text[at:])[:LIMIT_URL]
        return len(text)


@dataclass(slots=True)
class _Leaf:
    """Reads a string of a tool call that is a URL as a whole; a client that loads it takes white space as part of
    it."""

    head: str = ""
    url: str = ""
    found: bool = False

    def feed(self, text: str) -> None:
        self.url = (self.url + text)[:LIMIT_URL] if len(self.url) < LIMIT_URL else self.url
        if not self.found and len(self.head) < LIMIT_RUN:
            self.head = (self.head + _DROPPED.sub("", text)).lstrip()[:LIMIT_RUN]
            self.found = _LEAF.match(self.head) is not None


class Reading:
    """A text read so far. `leaf`: whether it is a string or a number of a tool call."""

    def __init__(self, *, leaf: bool = False) -> None:
        self._bare, self._target, self._definition = BareUrl(), _Target(), _Definition()
        self._tags = (TagReading(), TagReading(restarts=True))
        self._unescaping = Unescaping()
        self._unescaped: tuple[TagReading, ...] = ()  # the tags of the decoded text, once it differs
        self._leaf = _Leaf() if leaf else None

    def feed(self, text: str) -> None:
        """Reads the next piece of the text."""
        for at in range(0, len(text), _LIMIT_PIECE):  # a reading copies the rest of a piece at each URL
            self._feed(text[at : at + _LIMIT_PIECE])

    def _feed(self, text: str) -> None:
        self._bare.feed(text)
        self._target.feed(text)
        self._definition.feed(text)
        decoded: list[str] = []
        self._unescaping.feed(text, lambda part, start, end: decoded.append(part))
        if not self._unescaped and "".join(decoded) != text:
            self._unescaped = tuple(map(copy, self._tags))
        for tags in self._unescaped:
            tags.feed("".join(decoded))
        for tags in self._tags:
            tags.feed(text)
        if self._leaf:
            self._leaf.feed(text)

    @property
    def is_in_form(self) -> bool:
        """Whether the next character lies in a form or in an element of forms, also where the markup is spelled with
        escapes. What stands there can be sent to any host."""
        readings = (*self._tags, *self._unescaped)
        if self._unescaping.start < self._unescaping.at:  # what follows may end an escape
            rest: list[str] = []
            self._unescaping.copy().finish(lambda part, start, end: rest.append(part))
            last = [copy(reading) for reading in self._unescaped]
            for reading in last:
                reading.feed("".join(rest))
            readings = (*readings, *last)
        return any(reading.is_in_form for reading in readings)

    def is_inside(self, hosts: Collection[str] = ()) -> bool:
        """Whether the next character lies inside a URL whose host is not in `hosts`."""
        defined = "" if self._definition.wait else self._definition.url
        urls = [self._bare.url, self._target.url, defined, *(tags.url for tags in self._tags)]
        if self._leaf and self._leaf.found:
            urls.append(self._leaf.url)
        return any(url is not None and not is_allowed(url.lstrip(" \t\r\n<"), hosts) for url in urls)
