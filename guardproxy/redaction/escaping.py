"""The neutral form of a text: a reader can read it, and no client, terminal or tokenizer acts on it.

In: a found text. Out: the same text with brackets around the characters that make it act (`https[:]//evil[.]example`,
`[<]|im_start|[>]`), and with the code points of characters that cannot be seen (`[U+202E]`).
"""

from __future__ import annotations

import re
import unicodedata

_ACTIVE = re.compile(
    "[:&\\\\<>\uff1a\ufe64\ufe65\uff1c\uff1e\u2039\u203a\u3008\u3009]"  # schemes, entities, escapes, tags, tokens
    r"|[.\u3002\uff0e\uff61](?=[\w\[%&\\])"  # host names
    r"|(?<!:)/(?=/)"
    r"|%(?=3[ace]|2[ef]|5[bc]|7c)"
    r"|\A[/\[\uff3b]",  # addresses without a scheme, tokens like `[INST]`
    re.IGNORECASE,
)
_UNSEEN = frozenset(("Cc", "Cf", "Co", "Cn", "Cs", "Zl", "Zp"))
_UNSEEN_MARKS = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_LINES = "\t\n\r"


def neutral(value: str) -> str:
    """Returns the neutral form of `value`; `value` itself if nothing in it acts."""
    shown = _ACTIVE.sub(r"[\g<0>]", value)
    if shown.isascii() and shown.isprintable():
        return shown
    return "".join(f"[U+{ord(char):04X}]" if _is_unseen(char) else char for char in shown)


def _is_unseen(char: str) -> bool:
    if char in _LINES:
        return False
    return unicodedata.category(char) in _UNSEEN or _UNSEEN_MARKS.match(char) is not None
