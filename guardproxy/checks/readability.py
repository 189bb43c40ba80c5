"""The check `readability`: English passages that are harder or simpler to read than a policy wants.

In: windows of text. Out: a finding for each such passage, with the label `TOO_HARD` or `TOO_SIMPLE`; its details say how hard
it is. Kept: nothing between scans. `_shared/passages/cutting.py` says where passages end.

The measures are those of Flesch and Kincaid, of the mean lengths of sentences and of words in syllables: `grade` is the school
year in which a text is understood, `ease` a number from 0 (hard) to 100 (simple). Syllables are counted by the groups of vowels
in a word. A passage with fewer than `words` words gets no verdict, and neither does one that is not English, as fewer than
`ENGLISH_SHARE` of its words are the commonest English ones.

The score says how far a passage is out of the range: 0 at its end, 0.5 at two grades or ten points of ease beyond it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from guardproxy.checks._shared.declared.contract import Resources
from guardproxy.checks._shared.declared.options import SCORE, Option, Options, options_digest, with_defaults
from guardproxy.checks._shared.passages.cutting import PassageCheck, PassageSize, PassageVerdict
from guardproxy.errors import OptionError
from guardproxy.findings import Check, Traits

VERSION = 1
HARD, SIMPLE = "TOO_HARD", "TOO_SIMPLE"
ENGLISH_SHARE = 0.22
_HALF = {"grade": 2.0, "ease": 10.0}  # how far out of the range a passage has the score 0.5
_NUMBER: Mapping[str, Any] = {"type": "number", "minimum": -50, "maximum": 150}
OPTIONS: Options = {
    "measure": Option("`grade` (school years) or `ease` (0 to 100).", {"enum": ["grade", "ease"]}, default="grade"),
    "least": Option("The lowest value that is no finding.", _NUMBER, default_words="none"),
    "most": Option("The highest value that is no finding.", _NUMBER, default_words="none"),
    "threshold": Option("The lowest score that counts.", SCORE, default=0.0, tighter="lower"),
    "words": Option(
        "A passage with fewer words gets no verdict.", {"type": "integer", "minimum": 20, "maximum": 1000}, default=60
    ),
    "window_chars": Option(
        "The most characters of a passage.", {"type": "integer", "minimum": 200, "maximum": 8000}, default=1200
    ),
}
_WORD = re.compile(r"[A-Za-z]+(?:['\u2019][A-Za-z]+)*")
_END = re.compile(r"[.!?]+[\"'\u201d\u2019)\]]*(?=\s|\Z)|\n")
_VOWELS = re.compile("[aeiouy]+")
# Ends of words whose vowel is silent, and the longer ends in which it is not.
_SILENT = {
    "e": ("le", "ee", "ie", "ye", "oe", "ue"),
    "es": ("ses", "zes", "ces", "ges", "xes", "ches", "shes", "ies", "les"),
    "ed": ("ted", "ded", "ied", "eed"),
}
_COMMON_WORDS = """
the of and to a in is it you that he was for on are with as his they be at one have this from or had by not but what
all were we when your can said there an which she do how their if will so about out many then them these some her
would make like him into has
"""
_COMMON = frozenset(_COMMON_WORDS.split())


def build(name: str, options: Mapping[str, Any], resources: Resources) -> Check:
    """Builds the check `name`. Raises `OptionError` for an unknown option, a value out of range, or a range without ends."""
    values = with_defaults(options, OPTIONS)
    least, most = values["least"], values["most"]
    if least is None and most is None:
        raise OptionError("most", "give `least`, `most` or both")
    if least is not None and most is not None and least > most:
        raise OptionError("least", f"`least` is above `most` ({most})")
    plain = {
        key: value if isinstance(value, str) else float(value) for key, value in values.items() if value is not None
    }
    judge = ReadabilityJudge(values["measure"], least, most, float(values["threshold"]), int(values["words"]))
    window_chars = int(values["window_chars"])
    size = PassageSize(window_chars // 2, window_chars)
    traits = Traits(is_sensitive=False, is_slow=False, labels=frozenset((HARD, SIMPLE)))
    return PassageCheck(name, options_digest("readability", VERSION, plain), traits, size, judge)


class ReadabilityJudge:
    """Judges how hard a passage is to read. `measure`, `least`, `most`, `threshold`, `words`: the options."""

    def __init__(self, measure: str, least: float | None, most: float | None, threshold: float, words: int) -> None:
        self._measure = measure
        self._least = least
        self._most = most
        self._threshold = threshold
        self._words = words

    def __call__(self, passage: str) -> PassageVerdict | None:
        """Returns a verdict on a passage out of the range; `None` for any other, and for one that says too little."""
        values = readability(passage, self._words)
        if values is None:
            return None
        value = values[self._measure]
        above = value - self._most if self._most is not None else 0.0
        below = self._least - value if self._least is not None else 0.0
        beyond = max(above, below)
        if beyond <= 0:
            return None
        score = round(beyond / (beyond + _HALF[self._measure]), 3)
        if score < self._threshold:
            return None
        is_hard = (above > below) == (self._measure == "grade")
        return PassageVerdict(HARD if is_hard else SIMPLE, score, self._range(), f"{self._measure} {value:g}")

    def _range(self) -> str:
        ends = [f"at least {self._least:g}"] if self._least is not None else []
        ends += [f"at most {self._most:g}"] if self._most is not None else []
        return f"a text with a readability {self._measure} of {' and '.join(ends)}"


def readability(passage: str, least_words: int = 1) -> dict[str, float] | None:
    """Returns the grade and the ease of a passage; `None` if it has fewer words, or is not English."""
    words = [word.lower() for word in _WORD.findall(passage)]
    if len(words) < max(least_words, 1) or sum(word in _COMMON for word in words) < ENGLISH_SHARE * len(words):
        return None
    sentences = sum(1 for part in _END.split(passage) if _WORD.search(part))
    syllables = sum(map(syllables_of, words))
    length, weight = len(words) / sentences, syllables / len(words)
    return {
        "grade": round(0.39 * length + 11.8 * weight - 15.59, 1),
        "ease": round(206.835 - 1.015 * length - 84.6 * weight, 1),
    }


def syllables_of(word: str) -> int:
    """Returns about how many syllables an English word in small letters has."""
    word = re.sub("['\u2019].*", "", word)
    groups = len(_VOWELS.findall(word))
    if groups > 1 and any(word.endswith(end) and not word.endswith(heard) for end, heard in _SILENT.items()):
        groups -= 1
    return max(groups, 1)
