"""The signs of an address: the colon after a scheme, two slashes at the beginning, and `www.`, in every spelling.

In: text. Out: the next sign, and the offset from which more text may still make a sign.

An address is absolute, and so leads away from the page that shows it, only if it has one of these signs. Whatever hides
an address, the sign must stay for a client to follow it. So the search looks for signs and not for links.

Spellings: HTML entities by name and by number (with zeros before, without the semicolon), percent escapes, escapes of
JSON, JavaScript and CSS, backslashes for slashes, and between two slashes the characters that URL parsers drop.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from guardproxy.checks._shared.patterns.shape import shape

_GONE = "\x00-\x08\t-\r\x0e-\x1f\u00ad\u200b-\u200f\u2060-\u2064\ufeff"
# Any entity with a short number may be one of a character that is dropped.
_DROPPED = rf"(?:[{_GONE}]|&(?:Tab|NewLine|shy|ZeroWidthSpace|zwj|zwnj);|&#x?0{{0,7}}[0-9a-f]{{1,2}};?){{0,15}}"


def _escapes(*codes: int) -> str:
    """Returns a pattern for the escapes of characters, without their names."""
    decimal = "|".join(str(code) for code in codes)
    hexadecimal = "|".join(f"{code:x}" for code in codes)
    return (
        rf"&#0{{0,7}}(?:{decimal});?|&#x0{{0,7}}(?:{hexadecimal});?|%(?:{hexadecimal})|\\x(?:{hexadecimal})"
        rf"|\\u00(?:{hexadecimal})|\\0{{0,4}}(?:{hexadecimal})[ \t\n]?"
    )


_COLON = f"(?::|&colon;|{_escapes(0x3A)})"
_SLASH = rf"(?:&b?sol;|{_escapes(0x2F, 0x5C)}|[/\\])"
_DOT = f"(?:[.\u3002\uff0e\uff61]|&period;|{_escapes(0x2E)})"
_AFTER_COLON = f"{_DROPPED}{_SLASH}(?P<second>{_DROPPED}{_SLASH})?"
_ZEROS = "&#x?00000000"
_NAMED = rf"{_DOT}(?:xn--[a-z0-9\-]{{1,59}}|[a-z]{{2,24}}|\d{{1,3}})\.?(?::\d{{1,5}})?[/?#]"
_SIGN = (
    f"(?P<colon>{_COLON})(?P<slashes>{_AFTER_COLON})?|(?P<pair>{_SLASH}{_DROPPED}{_SLASH})|(?P<www>www{_DOT})"
    f"|(?P<zeros>{_ZEROS})"
)
# The characters that a sign begins with: a search for one of them is many times as fast as one for a sign.
_FIRST = re.compile(r"[:&%\\/wW]")
_FIRST_OR_DOT = re.compile("[:&%\\\\/wW.\u3002\uff0e\uff61]")
REACH = 576
"""A sign has fewer characters."""

# What parsers of URLs and renderers drop before an address; a quote is here because some readers of HTML take other white
# space before it for white space.
_LEADING = (
    "".join(map(chr, range(0x21)))
    + "=\"'\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000"
    + "".join(map(chr, range(0x2000, 0x200B)))
)
_IGNORED = str.maketrans(dict.fromkeys("\t\n\r\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff", ""))
_NESTED = 8  # escapes in escapes that are decoded
_CSS_ESCAPE = re.compile(r"\\([0-9a-f]{1,6})[ \t\n]?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class AddressSigns:
    """The signs to look for. `names`: also the end of a host name without a scheme, before a path or a query."""

    names: bool

    def next(self, text: str, at: int) -> re.Match[str] | None:
        """Returns the first sign from `at` on."""
        return _first(_whole(self.names), self._first.finditer(text, at), text)

    def first_open(self, text: str, at: int) -> int:
        """Returns the first offset from `at` on from which more text may make or change a sign; the length of the text
        if there is none."""
        match = _first(_begun(self.names), self._first.finditer(text, max(at, len(text) - REACH)), text)
        return match.start() if match else len(text)

    @property
    def _first(self) -> re.Pattern[str]:
        return _FIRST_OR_DOT if self.names else _FIRST


def _first(pattern: re.Pattern[str], begins: Iterator[re.Match[str]], text: str) -> re.Match[str] | None:
    return next((match for begin in begins if (match := pattern.match(text, begin.start()))), None)


@cache
def _whole(names: bool) -> re.Pattern[str]:
    """Matches a sign."""
    return re.compile(f"{_SIGN}|(?P<name>{_NAMED if names else '(?!)'})", re.IGNORECASE)


@cache
def _begun(names: bool) -> re.Pattern[str]:
    """Matches the beginning of a sign that the text ends with."""
    source = re.sub(r"\?P<\w+>", "?:", _SIGN + (f"|{_NAMED}" if names else ""))
    return re.compile(f"(?:{shape(source).prefix})\\Z", re.IGNORECASE)


def decoded(value: str) -> str:
    """Returns the beginning of an address as a URL parser reads it, in lower case: decoded, without the characters that
    are dropped."""
    for _ in range(_NESTED):
        before = value
        if "&" in value:
            value = html.unescape(value)
        if "\\" in value:
            value = _CSS_ESCAPE.sub(lambda escape: chr(min(int(escape[1], 16), 0x10FFFF)), value).replace("\\", "")
        if value == before:
            break
    return value.translate(_IGNORED).lstrip(_LEADING).lower()
