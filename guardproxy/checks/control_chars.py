"""The check `control_chars`: characters that act on a terminal, an editor or a parser and that a reader does not see.

In: windows of text. Out: findings with a label for each class of characters. Kept: nothing between scans.
`_shared/patterns/reach.py` describes the search in growing text.

Classes:
- `escape`: sequences that a terminal runs: CSI (colours, moves), OSC (links, clipboard, titles), DCS and other strings,
  and a lone escape character. A string ends at its terminator, at the next control character, or at `CAP` characters;
  the text after that has no introducer left, so a terminal prints it.
- `control`: the other control characters of ASCII and Latin-1 (C0, DEL, C1), without tab, line feed and carriage return.
- `bidi`: embeddings, overrides and isolates, which show a text in another order than it is read ("Trojan Source").
  The marks LRM, RLM and ALM are ordinary in Arabic and Hebrew.
- `tags`: tag characters (U+E0000 to U+E007F), which spell invisible ASCII. The flags of England, Scotland and Wales
  are no findings.
- `invisible`: zero-width characters and variation selectors that carry data: `RUN` or more zero-width characters or
  selectors together, two or more variation selectors together, a selector on an ASCII letter, and Latin letters with
  zero-width characters between them, `SPREAD` times at short distances. A joiner in a Persian or Indic word, a soft
  hyphen, and the joiners and selectors of an emoji are no findings.
- `private_use`, `unassigned` (only if `kinds` names them): private use, and code points without a meaning in this
  Python's Unicode data. The blocks that are reserved for emoji count as assigned, because data are often older than
  emoji.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Mapping
from functools import cache
from typing import Any

from guardproxy.checks._shared.declared.contract import Resources
from guardproxy.checks._shared.declared.options import Option, Options, chosen, options_digest, with_defaults
from guardproxy.checks._shared.patterns.reach import Reach, ReachCheck, SearchRule, rule
from guardproxy.findings import Check, Traits

VERSION = 1
CAP = 2048
"""The most characters of a terminal's string, and of a run."""
RUN = 4
SPREAD = 4

_VISIBLE = r"[^\x00-\x1f\x7f-\x9f]"  # ends a string of a terminal: any control character
_ESCAPE = (
    rf"(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f]){_VISIBLE}*(?:\x07|\x1b\\|\x9c)?"
    r"|(?:\x1b\[|\x9b)[0-?]{0,64}[ -/]{0,16}[@-~]?"
    r"|\x1b[ -/]{0,16}[0-~]?"
)
_CONTROL = r"[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x8f\x91-\x97\x99\x9a\x9c]+"
_BIDI = "[\u202a-\u202e\u2066-\u2069]+"
_TAGS = "[\U000e0000-\U000e007f]"
_FLAGS = "|".join(
    "\U0001f3f4" + "".join(chr(0xE0000 + ord(char)) for char in f"{name}\x7f") for name in ("gbeng", "gbsct", "gbwls")
)
_SELECTORS = "\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef"
_NARROW = "\u034f\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f"
_NARROW += "\u2060-\u2065\u206a-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\U0001d173-\U0001d17a"
_INVISIBLE = (
    rf"[{_SELECTORS}]{{2,}}(?:[{_NARROW}{_SELECTORS}])*"
    f"|[\u00ad\u061c{_NARROW}{_SELECTORS}]{{{RUN},}}"
    rf"|[A-Za-z][{_NARROW}]{{1,{RUN}}}(?:[A-Za-z]{{1,4}}[{_NARROW}]{{1,{RUN}}}){{{SPREAD - 1},}}"
)
_SELECTED_LETTER = rf"[A-Za-z]([{_SELECTORS}]+)"
_PRIVATE_USE = "[\ue000-\uf8ff\U000f0000-\U000ffffd\U00100000-\U0010fffd]+"
_EMOJI = range(0x1F000, 0x1FC00)

# Each class with its patterns; a group is the part that is reported.
_PATTERNS: Mapping[str, tuple[str, ...]] = {
    "escape": (_ESCAPE,),
    "control": (_CONTROL,),
    "bidi": (_BIDI,),
    "tags": (f"{_TAGS}+",),
    "invisible": (_INVISIBLE, _SELECTED_LETTER),
    "private_use": (_PRIVATE_USE,),
    "unassigned": (),
}
LABELS: Mapping[str, str] = {
    "escape": "ESCAPE_SEQUENCE",
    "control": "CONTROL",
    "bidi": "BIDI",
    "tags": "TAGS",
    "invisible": "INVISIBLE",
    "private_use": "PRIVATE_USE",
    "unassigned": "UNASSIGNED",
}
DEFAULTS = ("escape", "control", "bidi", "tags", "invisible")
OPTIONS: Options = {
    "kinds": Option(
        "The classes of characters to look for.",
        {"type": "array", "minItems": 1, "items": {"enum": list(LABELS)}},
        default=list(DEFAULTS),
        tighter="longer",
    ),
}


def build(name: str, options: Mapping[str, Any], resources: Resources) -> Check:
    """Builds the check `name`. Raises `OptionError` for an unknown option or class."""
    values = with_defaults(options, OPTIONS)
    kinds = chosen(values, "kinds", tuple(LABELS))
    return ReachCheck(
        name,
        options_digest("control_chars", VERSION, {"kinds": sorted(kinds)}, unicodedata.unidata_version),
        _reach(frozenset(kinds)),
        Traits(is_slow=False, labels=frozenset(LABELS[kind] for kind in kinds)),
    )


@cache
def _reach(kinds: frozenset[str]) -> Reach:
    return Reach([each for kind in LABELS if kind in kinds for each in _rules(kind)])


def _rules(kind: str) -> list[SearchRule]:
    label = LABELS[kind]
    if kind == "tags":  # the rule also matches flags, so that their tags are not matched alone
        return [rule(label, f"{_FLAGS}|{_TAGS}+", cap=CAP, accept=lambda value: value[0] != "\U0001f3f4")]
    patterns = _PATTERNS[kind] or (f"[{_unassigned()}]+",)
    return [rule(label, pattern, cap=CAP, group=int(pattern is _SELECTED_LETTER)) for pattern in patterns]


def _unassigned() -> str:
    """Returns the inside of a character class of all code points without a meaning, except surrogates, which no decoded
    text holds."""
    ranges: list[list[int]] = []
    for code in range(0x80, sys.maxunicode + 1):
        if code in _EMOJI or unicodedata.category(chr(code)) != "Cn":
            continue
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(f"\\x{{{low:x}}}-\\x{{{high:x}}}" for low, high in ranges)
