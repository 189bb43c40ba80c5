"""Finds bare URLs in a growing text: URLs outside of the markup that the other readings cover.

In: the text in pieces, in order. Out: `BareUrl.url`, the URL so far, or `None`. Kept: a few hundred characters.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from guardproxy.urls.hosts import LIMIT_URL

_LIMIT_HOST = 300
LIMIT_RUN = 512  # characters before a place in which a URL may have begun
_LIMIT_NESTED = 32

SCHEME_NAMES = (
    *("http", "https", "ws", "wss", "ftp", "ftps", "sftp", "sftps", "file", "filesystem", "data", "blob", "javascript"),
    *("vbscript", "livescript", "mailto", "tel", "sms", "mms", "sip", "xmpp", "about", "view-source", "intent", "git"),
    *("ssh", "svn", "ldap", "ldaps", "gopher", "dict", "telnet", "news", "nntp", "irc", "ircs", "magnet", "feed"),
    *("jar", "smb", "nfs", "rsync", "webcal"),
)
_LIMIT_WORD = max(map(len, SCHEME_NAMES))
_WORDS = {"colon": SCHEME_NAMES, "dot": ("www",)}
SCHEMES = f"(?:{'|'.join(SCHEME_NAMES)})"
DOT = r"(?:[.。．｡]|&period;|&#0*46;|&#x0*2e;|%2e|\\u002e|\\x2e)"
SLASH = r"(?:[/\\]|&(?:sol|bsol);|&#0*(?:47|92);|&#x0*(?:2f|5c);|%2f|%5c|\\u00(?:2f|5c)|\\x(?:2f|5c))"
COLON = r"(?::|&colon;|&#0*58;|&#x0*3a;|%3a|\\u003a|\\x3a)"
_NOTHING = "[\u00ad\u200b-\u200d\u2060\ufeff]*"  # invisible characters that some parsers drop
LABEL = r"[\w\-]"
_END = r"\Z"
_FLAGS = re.IGNORECASE
# Each pattern matches from the beginning of a URL up to the place that makes the URL certain.
_SCHEME = re.compile(rf"{SCHEMES}{_NOTHING}{COLON}{_END}", _FLAGS)
_SLASHES = re.compile(
    rf"(?:[a-z][a-z0-9+.\-]{{0,30}}{_NOTHING}{COLON})?{_NOTHING}{SLASH}{_NOTHING}{SLASH}{_END}", _FLAGS
)
_WWW = re.compile(rf"www{_NOTHING}{DOT}{_END}", _FLAGS)
_V6 = re.compile(rf"\[[0-9a-f:.]{{2,45}}\](?::\d{{1,5}})?(?:[:?#]|{SLASH}){_END}", _FLAGS)
_HOST_BACKWARDS = re.compile(r"(?:\d{0,5}:)?[\w\-.。．｡%]+")
_HOST = re.compile(
    rf"(?:(?:{LABEL}{{0,63}}{DOT}){{1,30}}{LABEL}{{1,63}}{DOT}?(?::\d{{0,5}})?|{LABEL}{{1,63}}:\d{{1,5}}|0x[0-9a-f]{{1,16}}|\d{{8,12}})"
    rf"(?:[:?#]|{SLASH})",
    _FLAGS,
)
# A quick test before these patterns: the sign of a URL that ends at a place, and the characters before it.
_SIGNS = {"/": "slash", "\\": "slash", ":": "colon", "?": "query", "#": "query", **dict.fromkeys(".。．｡", "dot")}
_ENTITY = re.compile(
    r"&(?:(?P<slash>b?sol|#0*(?:47|92)|#x0*(?:2f|5c))|(?P<colon>colon|#0*58|#x0*3a)|(?P<dot>period|#0*46|#x0*2e));",
    _FLAGS,
)
_ESCAPE = re.compile(rf"(?:%|\\(?:u00|x))(?:(?P<slash>2f|5c)|(?P<colon>3a)|(?P<dot>2e)){_END}", _FLAGS)
_UNSEEN = "\u00ad\u200b\u200c\u200d\u2060\ufeff"  # the characters of `_NOTHING`
_SAME_LETTERS = str.maketrans("\u0130\u0131\u017f", "iis")  # letters that match ASCII letters when case is ignored
_TURN = re.compile(
    r"[:/\\?#.。．｡;]|(?:%|(?<=\\)(?:u00|x))(?:2[fe]|5c|3a)|(?P<mark>[\"'`<>()\[\]{}|,=&@!*$^~])", _FLAGS
)
_SHORT = 96  # longest beginning of a URL, except for one with a host name
WHITE = " \t\n\r\f\v"  # white space that ends a word for a shell or a renderer; other white space can be part of a URL
_SPACE = re.compile(rf"[{WHITE}]")
_SPECIAL = re.compile(rf"[{WHITE}\"'`()\[\]{{}}<>\\]")
_CLOSERS = {"(": ")", "[": "]", "{": "}", "<": ">", '"': '"', "'": "'", "`": "`"}
_QUOTES = "\"'`"
_BEFORE_QUOTE = "=:([{,;>\\"


def _sign(run: str, end: int) -> tuple[str, int]:
    """Returns the sign of a URL that ends at `end`, in any spelling (empty if there is no sign), and its start."""
    char = run[end - 1]
    if sign := _SIGNS.get(char):
        return sign, end - 1
    match = None
    if char == ";":
        begun = run.rfind("&", max(0, end - _SHORT), end)
        match = _ENTITY.fullmatch(run, begun, end) if begun >= 0 else None
    elif char in "fFcCaAeE":
        match = _ESCAPE.search(run, max(0, end - 6), end)
    return (match.lastgroup or "", match.start()) if match else ("", end)


@dataclass(slots=True)
class BareUrl:
    """A URL without markup.

    It begins with a scheme, two slashes, `www.` or a host name, and ends at white space. After an opening quote or
    bracket it ends where that is closed.
    """

    run: str = ""  # the text since the last white space
    seen: int = 0  # how many characters of `run` were searched
    mark: int = -1  # index of the last character in `run` that cannot be part of a host name
    lead: str = ""  # the last character before `run`
    url: str | None = None
    stack: list[str] = field(default_factory=list)
    base: int = 0  # how many closers of `stack` belong to brackets opened before the URL began
    escaped: bool = False
    lines: int = 0  # line ends since the last visible character
    stuck: bool = False  # whether brackets are nested too deeply to follow
    doubtful: bool = False  # whether the quote before the URL may be a closing quote

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
        if len(self.run) > 2 * LIMIT_RUN:
            gone = len(self.run) - LIMIT_RUN
            self.run, self.seen, self.mark = self.run[gone:], self.seen - gone, self.mark - gone
        return end

    def _begin(self, end: int) -> int | None:
        """Returns the start of a URL that becomes certain at `end`, or `None`."""
        sign, at = _sign(self.run, end)
        if not sign:
            return None
        low = max(0, end - _SHORT)
        before = self.run[low:at].rstrip(_UNSEEN)
        match = None
        if sign == "slash":
            match = _SLASHES.search(self.run, low, end) if before and _sign(before, len(before))[0] == "slash" else None
        elif sign in _WORDS and before[-_LIMIT_WORD:].translate(_SAME_LETTERS).lower().endswith(_WORDS[sign]):
            match = (_SCHEME if sign == "colon" else _WWW).search(self.run, low, end)
        if not match and sign != "dot" and before.endswith("]"):
            match = _V6.match(self.run, max(low, self.run.rfind("[", low, end)), end)
        if match or sign == "dot":
            return match.start() if match else None
        low = max(self.mark + 1, end - _LIMIT_HOST, 0)
        host = _HOST_BACKWARDS.match(self.run[low:at][::-1])
        start = at - host.end() if host else at
        if start == at or not _HOST.fullmatch(self.run, start, end):
            return None
        return None if start and self.run[start - 1] in "/\\" else start  # after a slash it is part of a path

    def _open(self, start: int, end: int) -> None:
        before = self.run[start - 1 : start] if start else self.lead if self.lead in _QUOTES else ""
        earlier = self.run[start - 2 : start - 1] if start > 1 else self.lead if self.lead == before else "="
        # A quote after a letter or another quote may be a closing quote, which a shell takes as part of the word.
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
        """Follows the URL to its end or to the end of the text."""
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
        elif char not in WHITE:
            self.lines = 0
        if self.escaped:
            self.escaped = False
            return False
        if char == "\\":
            self.escaped = True
            return False
        if char in WHITE:
            return not self.stack and not self.stuck
        if char in self.stack and (char in _QUOTES or not any(closer in _QUOTES for closer in self._above(char))):
            if self.doubtful and len(self.stack) == 1:
                self.doubtful, self.base = False, 0  # the earlier quote closed, so this quote opens
                return False
            del self.stack[len(self.stack) - 1 - self.stack[::-1].index(char) :]
            # After a closing quote or bracket, a shell and some renderers continue to the next white space.
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
