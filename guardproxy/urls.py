"""Whether a place in a growing text lies inside a URL that a browser, a markdown renderer or a tool could load.

In: the text in pieces, in order. Out: whether the next character would belong to a URL, and which URL. Kept: a few hundred
characters, however long the text is.

Rules that must hold
- The answer depends on the text before the place alone, never on how the text is cut into pieces.
- A doubt counts as "inside". Several readings of the same text run side by side, because renderers differ: a markdown link
  that one renderer sees is plain text for another.
- The cost is linear: each reading jumps from one character that matters to it to the next.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field

from guardproxy.hosts import LIMIT_URL, is_allowed
from guardproxy.markup import TagReading

_LIMIT_HOST = 300
_LIMIT_RUN = 512  # characters before a place that can still be the beginning of a URL
_LIMIT_NESTED = 32

_SCHEMES = (
    r"(?:https?|wss?|s?ftps?|file|filesystem|data|blob|javascript|vbscript|livescript|mailto|tel|sms|mms|sip|xmpp|about"
    r"|view-source|intent|git|ssh|svn|ldaps?|gopher|dict|telnet|news|nntp|irc|ircs|magnet|feed|jar|smb|nfs|rsync|webcal)"
)
_DOT = r"(?:[.。．｡]|&period;|&#0*46;|&#x0*2e;|%2e|\\u002e|\\x2e)"
_SLASH = r"(?:[/\\]|&(?:sol|bsol);|&#0*(?:47|92);|&#x0*(?:2f|5c);|%2f|%5c|\\u00(?:2f|5c)|\\x(?:2f|5c))"
_COLON = r"(?::|&colon;|&#0*58;|&#x0*3a;|%3a|\\u003a|\\x3a)"
_NOTHING = "[\u00ad\u200b-\u200d\u2060\ufeff]*"  # characters that nobody sees and some parsers drop
_LABEL = r"[\w\-]"
_END = r"\Z"
_FLAGS = re.IGNORECASE
# Each of these matches where a URL begins, up to the place where that is certain.
_SCHEME = re.compile(rf"{_SCHEMES}{_NOTHING}{_COLON}{_END}", _FLAGS)
_SLASHES = re.compile(
    rf"(?:[a-z][a-z0-9+.\-]{{0,30}}{_NOTHING}{_COLON})?{_NOTHING}{_SLASH}{_NOTHING}{_SLASH}{_END}", _FLAGS
)
_WWW = re.compile(rf"www{_NOTHING}{_DOT}{_END}", _FLAGS)
_V6 = re.compile(rf"\[[0-9a-f:.]{{2,45}}\](?::\d{{1,5}})?(?:[:?#]|{_SLASH}){_END}", _FLAGS)
_HOST_CHARS = re.compile(rf"[\w\-.。．｡%]+(?::\d{{0,5}})?(?:[:?#]|{_SLASH}){_END}", _FLAGS)
_HOST = re.compile(
    rf"(?:(?:{_LABEL}{{0,63}}{_DOT}){{1,30}}{_LABEL}{{1,63}}{_DOT}?(?::\d{{0,5}})?|{_LABEL}{{1,63}}:\d{{1,5}}|0x[0-9a-f]{{1,16}}|\d{{8,12}})"
    rf"(?:[:?#]|{_SLASH})",
    _FLAGS,
)
# How each beginning ends, which is quick to see, and the beginning.
_ENDS_SLASH = ("/", "\\", ";", "2f", "2F", "5c", "5C")
_BEGINNINGS = (
    (_ENDS_SLASH, _SLASHES),
    ((":", ";", "3a", "3A"), _SCHEME),
    ((".", "。", "．", "｡", ";", "2e", "2E"), _WWW),
    (("]:", "]?", "]#", *(f"]{ending}" for ending in _ENDS_SLASH)), _V6),
)
_ENDS_HOST = (":", "/", "\\", "?", "#", "2f", "2F", "5c", "5C")
_TURN = re.compile(
    r"[:/\\?#.。．｡;]|%(?:2[fe]|5c|3a)|\\(?:u00|x)(?:2[fe]|5c|3a)|(?P<mark>[\"'`<>()\[\]{}|,=&@!*$^~])", _FLAGS
)
_SHORT = 96  # no beginning but that of a host name is longer
_WHITE = " \t\n\r\f\v"  # where a shell or a renderer ends a word; other white space can be a part of a URL
_SPACE = re.compile(rf"[{_WHITE}]")
_SPECIAL = re.compile(rf"[{_WHITE}\"'`()\[\]{{}}<>\\]")
_CLOSERS = {"(": ")", "[": "]", "{": "}", "<": ">", '"': '"', "'": "'", "`": "`"}
_QUOTES = "\"'`"
_BEFORE_QUOTE = "=:([{,;>\\"
_OPENS = re.compile(r"\]\(|(?<![\w\-])(?:url|src)\(", re.IGNORECASE)
_TARGET = re.compile(rf"[{_WHITE}()<>\"'\\]")
_SPACE_OR_ANGLE = re.compile(rf"[{_WHITE}>]")
_LEAF = re.compile(
    rf"""(?:{_SCHEMES}{_COLON}\S|[a-z][a-z0-9+.\-]*{_COLON}{_SLASH}{_SLASH}\S|{_SLASH}{_SLASH}\S|www{_DOT}\S"""
    rf"""|(?:{_LABEL}+{_DOT})+{_LABEL}+{_DOT}?(?::\d+)?(?:[?#]|{_SLASH})\S|{_LABEL}+:\d+{_SLASH})""",
    _FLAGS,
)
_DROPPED = re.compile("[\x00-\x1f\x7f\u00ad\u200b-\u200d\u2060\ufeff]+")


@dataclass(slots=True)
class _Bare:
    """A URL that stands in the text as it is: it begins with a scheme, two slashes, `www.` or a host name, and ends at white
    space; where a quote or a bracket stands before it, where that is closed."""

    run: str = ""  # what stands since the last white space
    seen: int = 0  # how much of it was looked at
    mark: int = -1  # the last character in it that no host name holds
    lead: str = ""  # the last character before it
    url: str | None = None
    stack: list[str] = field(default_factory=list)
    base: int = 0  # how many closers of `stack` were opened before the URL began
    escaped: bool = False
    lines: int = 0  # line ends since the last visible character
    stuck: bool = False  # nested too deeply to follow
    doubtful: bool = False  # the quote before the URL may be a closing one

    def feed(self, text: str) -> None:
        at = 0
        while at < len(text):
            at = self._search(text, at) if self.url is None else self._follow(text, at)

    def _search(self, text: str, at: int) -> int:
        space = _SPACE.search(text, at)
        end = space.start() if space else len(text)
        self.run += text[at:end]
        for turn in _TURN.finditer(self.run, max(0, self.seen - 5)):
            if turn.end() <= self.seen:
                continue
            start = self._begin(turn.end())
            if turn["mark"] or turn[0] in "/\\?#;":
                self.mark = turn.end() - 1
            if start is not None:
                taken = at + turn.end() - (len(self.run) - (end - at))
                self._open(start, turn.end())
                return taken
        self.seen = len(self.run)
        if space:
            self.lead = self.run[-1:] or self.lead
            self._reset()
            return space.end()
        if len(self.run) > 2 * _LIMIT_RUN:
            gone = len(self.run) - _LIMIT_RUN
            self.run, self.seen, self.mark = self.run[gone:], self.seen - gone, self.mark - gone
        return end

    def _begin(self, end: int) -> int | None:
        """Where a URL begins that is certain at `end`."""
        for endings, pattern in _BEGINNINGS:
            if self.run.endswith(endings, 0, end):
                low = max(0, end - _SHORT)
                if match := pattern.search(self.run, low, end):
                    return match.start()
        if not self.run.endswith(_ENDS_HOST, 0, end):
            return None
        low = max(self.mark + 1, end - _LIMIT_HOST, 0)
        match = _HOST_CHARS.search(self.run[low:end])
        if match is None or not _HOST.fullmatch(match[0]):
            return None
        start = low + match.start()
        return None if start and self.run[start - 1] in "/\\" else start  # a part of a path

    def _open(self, start: int, end: int) -> None:
        before = self.run[start - 1 : start] if start else self.lead if self.lead in _QUOTES else ""
        earlier = self.run[start - 2 : start - 1] if start > 1 else self.lead if self.lead == before else "="
        # A quote behind a letter or another quote may be a closing one, which a shell takes for a part of the word.
        doubtful = before != "" and before in _QUOTES and (not start or earlier not in _BEFORE_QUOTE)
        closer = _CLOSERS.get(before, "")
        url = self.run[start:end]
        self._reset()
        self.url, self.stack, self.base, self.doubtful = url, [closer] if closer else [], 1 if closer else 0, doubtful

    def _reset(self) -> None:
        self.run, self.seen, self.mark, self.url = "", 0, -1, None
        self.stack, self.base, self.escaped, self.lines, self.stuck = [], 0, False, 0, False
        self.doubtful = False

    def _follow(self, text: str, at: int) -> int:
        """Goes on to the end of the URL."""
        begun = at
        while special := _SPECIAL.search(text, at):
            if special.start() > at:
                self.escaped, self.lines = False, 0
            char, at = special[0], special.end()
            if self._ends(char):
                self._reset()
                self.lead = char if char in _QUOTES else ""
                return special.start() if char == "<" else at
        if at < len(text):
            self.escaped, self.lines = False, 0
        self.url = ((self.url or "") + text[begun:])[:LIMIT_URL]
        return len(text)

    def _ends(self, char: str) -> bool:
        if char == "\n":
            self.lines += 1
            if self.lines > 1 and not self.stuck and not (self.base and self.stack[0] in _QUOTES):
                return True
        elif char not in _WHITE:
            self.lines = 0
        if self.escaped:
            self.escaped = False
            return False
        if char == "\\":
            self.escaped = True
            return False
        if char in _WHITE:
            return not self.stack and not self.stuck
        if char in self.stack and (char in _QUOTES or not any(closer in _QUOTES for closer in self._above(char))):
            if self.doubtful and len(self.stack) == 1:
                self.doubtful, self.base = False, 0  # then this one is the opening one
                return False
            del self.stack[len(self.stack) - 1 - self.stack[::-1].index(char) :]
            # Behind a quote or a bracket a shell, and some renderers, go on to the next white space.
            return char == ">" and len(self.stack) < self.base
        if not self.stack and not self.stuck and (char == "<" or (char == ">" and self.base)):
            return True
        if char in _CLOSERS:
            if len(self.stack) < _LIMIT_NESTED:
                self.stack.append(_CLOSERS[char])
            else:
                self.stuck = True
        return False

    def _above(self, closer: str) -> list[str]:
        return self.stack[len(self.stack) - self.stack[::-1].index(closer) :]


@dataclass(slots=True)
class _Target:
    """What stands in `](...)` and in `url(...)`."""

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
            self.empty = self.empty and char in _WHITE
            self.last = char
        if at < len(text):
            self.escaped, self.lines, self.empty, self.last = False, 0, False, "x"
        self.url = ((self.url or "") + text[begun:])[:LIMIT_URL]
        return len(text)

    def _ends(self, char: str) -> bool:
        if char == "\n":
            self.lines += 1
            if self.lines > 1 and not self.css:
                return True
        elif char not in _WHITE:
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
        elif char in "\"'" and (self.css or self.last == "(" or self.last in _WHITE):
            self.quote = char
        elif char == "(":
            self.depth += 1
        elif char == ")":
            self.depth -= 1
            return self.depth == 0
        return False


@dataclass(slots=True)
class _Definition:
    """The target of `[name]: target`."""

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
        found = joined.find("]:")
        if found < 0:
            self.last = joined[-1:]
            return len(text)
        end = at + found + 2 - len(self.last)
        self.last, self.wait, self.lines = "", True, 0
        return end

    def _begin(self, text: str, at: int) -> int:
        char = text[at]
        if char in _WHITE:
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
    """A string of a tool call that is a URL as a whole: whoever fetches it takes white space as part of it."""

    head: str = ""
    url: str = ""
    found: bool = False

    def feed(self, text: str) -> None:
        self.url = (self.url + text)[:LIMIT_URL] if len(self.url) < LIMIT_URL else self.url
        if not self.found and len(self.head) < _LIMIT_RUN:
            self.head = (self.head + _DROPPED.sub("", text)).lstrip()[:_LIMIT_RUN]
            self.found = _LEAF.match(self.head) is not None


class Reading:
    """One text, read so far. `leaf`: it is a string or a number of a tool call."""

    def __init__(self, *, leaf: bool = False) -> None:
        self._bare, self._target, self._definition = _Bare(), _Target(), _Definition()
        self._tags = (TagReading(), TagReading(restarts=True))
        self._leaf = _Leaf() if leaf else None

    def feed(self, text: str) -> None:
        """Takes the next piece of the text."""
        if not text:
            return
        self._bare.feed(text)
        self._target.feed(text)
        self._definition.feed(text)
        for tags in self._tags:
            tags.feed(text)
        if self._leaf:
            self._leaf.feed(text)

    def is_inside(self, hosts: Collection[str] = ()) -> bool:
        """Whether what comes next lies inside a URL whose host is none of `hosts`."""
        defined = "" if self._definition.wait else self._definition.url
        urls = [self._bare.url, self._target.url, defined, *(tags.url for tags in self._tags)]
        if self._leaf and self._leaf.found:
            urls.append(self._leaf.url)
        return any(url is not None and not is_allowed(url.lstrip(" \t\r\n<"), hosts) for url in urls)
