"""The check `gibberish`: passages of letters that are no words of any language that is written in Latin letters.

In: windows of text. Out: a finding for each such passage, with the label `GIBBERISH`. Kept: nothing between scans.
`_shared/passages/cutting.py` says where passages end.

Counted are words of 4 to 24 letters that stand alone: no part of a path, an address, an identifier or a number, and neither
in capitals nor in mixed case. A word is odd if at least `ODD` of its groups of three letters (its beginning and its end count
as letters) occur in hardly any word: `_shared/passages/common_trigrams.py` lists those that do. The score of a passage is the
share of letters that stand in odd words. A passage with fewer than `letters` counted letters gets no verdict.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from guardproxy.checks._shared.declared.contract import Resources
from guardproxy.checks._shared.declared.options import SCORE, Option, Options, options_digest, with_defaults
from guardproxy.checks._shared.passages.common_trigrams import EDGE, common_trigrams
from guardproxy.checks._shared.passages.cutting import PassageCheck, PassageSize, PassageVerdict
from guardproxy.findings import Advice, Check, Traits

VERSION = 1
LABEL = "GIBBERISH"
ODD = 0.34
_BESIDE = r"\w@#$/\\=<>&%~\u2019'"
_WORD = re.compile(rf"(?<![{_BESIDE}.:\-{{(\[])[^\W\d_]{{4,24}}(?![{_BESIDE}({{\[]|[.:\-]\w)")
_PLAIN = str.maketrans({"ß": "ss", "ø": "o", "ł": "l", "đ": "d", "æ": "ae", "œ": "oe", "ı": "i"})
OPTIONS: Options = {
    "threshold": Option("The lowest score that counts.", SCORE, default=0.5, tighter="lower"),
    "letters": Option(
        "A passage with fewer letters in words gets no verdict.",
        {"type": "integer", "minimum": 8, "maximum": 400},
        default=12,
        tighter="lower",
    ),
    "window_chars": Option(
        "The most characters of a passage.", {"type": "integer", "minimum": 100, "maximum": 2000}, default=400
    ),
}


def build(name: str, options: Mapping[str, Any], resources: Resources) -> Check:
    """Builds the check `name`. Raises `OptionError` for an unknown option or a value out of range."""
    values = with_defaults(options, OPTIONS)
    threshold, letters, most = float(values["threshold"]), int(values["letters"]), int(values["window_chars"])
    advice = (
        (Advice("threshold", "code and tables of abbreviations reach 0.3; 0.5 was measured", serious=threshold < 0.1),)
        if threshold < 0.4
        else ()
    )
    traits = Traits(is_sensitive=False, is_slow=False, labels=frozenset((LABEL,)), advice=advice)
    plain = {"threshold": threshold, "letters": letters, "window_chars": most}
    digest = options_digest("gibberish", VERSION, plain, unicodedata.unidata_version)

    def judge(passage: str) -> PassageVerdict | None:
        score = odd_share(passage, letters)
        return None if score is None or score < threshold else PassageVerdict(LABEL, score)

    return PassageCheck(name, digest, traits, PassageSize(most // 4, most), judge)


def odd_share(passage: str, letters: int) -> float | None:
    """Returns the share of letters that stand in odd words; `None` if fewer than `letters` are counted."""
    counted = odd = 0
    for word in _WORD.findall(passage):
        if not word[1:].islower():
            continue
        plain = folded(word)
        if plain.isascii():
            counted += len(plain)
            odd += len(plain) if _is_odd(plain) else 0
    return round(odd / counted, 3) if counted >= letters else None


def folded(word: str) -> str:
    """Returns a word in small letters without accents."""
    word = word.lower().translate(_PLAIN)
    if word.isascii():
        return word
    return "".join(letter for letter in unicodedata.normalize("NFKD", word) if not unicodedata.combining(letter))


@lru_cache(16_384)
def _is_odd(word: str) -> bool:
    common, edged = common_trigrams(), f"{EDGE}{word}{EDGE}"
    rare = sum(edged[at : at + 3] not in common for at in range(len(word)))
    return rare >= ODD * len(word)
