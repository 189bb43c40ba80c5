"""Texts with the characters that nobody sees: control characters, changes of direction, and what has no shape.

In: a text from a log. Out: HTML in which each such character is a mark with its code, and everything else is escaped.
"""

from __future__ import annotations

import re
import unicodedata

from markupsafe import Markup, escape

# Line feeds and tabs are laid out. Everything else of these categories moves, hides or has no shape.
_LAID_OUT = "\n\t"
_HIDDEN = frozenset(("Cc", "Cf", "Co", "Cn", "Cs", "Zl", "Zp"))
_PLAIN = re.compile(r"[\n\t -~]*")
_ADDRESSABLE = re.compile(r"(?!\.{1,2}$)[^/\\\x00-\x1f\x7f\ud800-\udfff]{1,200}")


def is_hidden(char: str) -> bool:
    """Whether a reader would not see a character."""
    if char in _LAID_OUT:
        return False
    category = unicodedata.category(char)
    return category in _HIDDEN or (category == "Zs" and char != " ") or _is_variation(char)


def _is_variation(char: str) -> bool:
    return "\ufe00" <= char <= "\ufe0f" or "\U000e0100" <= char <= "\U000e01ef"


def code_of(char: str) -> str:
    """Returns the code of a character, such as U+202E."""
    return f"U+{ord(char):04X}"


def shown(text: object) -> Markup:
    """Returns a text as HTML, with a mark for each character that a reader would not see."""
    value = str(text)
    if _PLAIN.fullmatch(value):
        return escape(value)
    parts: list[Markup] = []
    begin = 0
    for at, char in enumerate(value):
        if is_hidden(char):
            name = unicodedata.name(char, "CONTROL CHARACTER")
            parts += [
                escape(value[begin:at]),
                Markup('<span class="unseen" title="{}">{}</span>').format(name, code_of(char)),
            ]
            begin = at + 1
    return Markup("").join([*parts, escape(value[begin:])])


def plain(text: object) -> str:
    """Returns a text in which such characters are their codes, for attributes such as titles."""
    return "".join(f"[{code_of(char)}]" if is_hidden(char) else char for char in str(text))


def is_addressable(name: object) -> bool:
    """Whether a name can be a part of the path of an address. Ids and names of rules that the proxy wrote can be; what somebody
    has put in their place in the log may not."""
    return _ADDRESSABLE.fullmatch(str(name)) is not None
