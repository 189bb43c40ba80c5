"""Texts that a terminal shows as they are: what can move the cursor, hide or reverse text is escaped, long texts are cut.

In: texts from logs, files and the network. Out: texts of printable characters, and JSON of ASCII characters.
"""

from __future__ import annotations

import json
import re

# Raw in JSON that is shown: line feeds between values. Inside of its strings, JSON can escape every character.
_NOT_ASCII = re.compile(r"[^\n -~]")


def plain(text: str, limit_chars: int | None = None) -> str:
    """Returns a text in which each character that is not printable is escaped. Of a text above `limit_chars`, it keeps the
    beginning, and says the length."""
    end = ""
    if limit_chars is not None and len(text) > limit_chars:
        text, end = text[:limit_chars], f"… ({len(text):,} characters)"
    if not text.isprintable():
        text = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return text + end


def plain_lines(text: str, limit_chars: int | None = None) -> str:
    """Returns the same, but keeps line feeds: a message with several lines. `limit_chars`: of a line."""
    return "\n".join(plain(line, limit_chars) for line in text.split("\n"))


def ascii_json(text: str) -> str:
    """Returns the same JSON with ASCII characters only, of which none is a control character but the line feed."""
    if text.isascii() and text.isprintable():
        return text
    return _NOT_ASCII.sub(lambda found: json.dumps(found[0])[1:-1], text)
