"""Compares the wording of two questions: whether one answer surely serves both.

In: a text. Out: what it says, without what carries no meaning. Two texts that say the same have the same result. Kept: nothing.

No model and no threshold take part. An encoder finds a question and its opposite more alike than most paraphrases
(`benchmarks/cache.py` measures it), and if fewer than all words had to be equal, a long question could differ in the one that
counts. So every word counts, in its order, and so do capitals, numbers, symbols and quoted texts. Left out are spaces, the
capital at the start, punctuation after words, and in English: greetings, thanks, a first `please`, openings such as `can you
tell me`, contractions, and the place of `is` and `are`, which differs between a question and its indirect form.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

LIMIT_CHARS = 600
_AFTER = ".,?;:"
_AROUND = ".,!?;:\"'()“”‘’«»…"
_QUOTED = re.compile(r"\"[^\"]*\"|“[^”]*”|«[^»]*»|(?<!\w)'[^']*'(?!\w)|(?<!\w)‘[^’]*’(?!\w)")
# Line breaks, code and markup: the form of such a text may matter.
_FORMED = re.compile(r"[\n\r\t`{}<>|\\]")
_QUESTION_WORDS = frozenset(("what", "who", "whom", "whose", "where", "when", "why", "how", "which"))
_ASKING = _QUESTION_WORDS | frozenset(
    ("is", "are", "can", "could", "should", "would", "will", "do", "does", "did", "may", "must")
)
_ENGLISH = _ASKING | frozenset(
    ("please", "tell", "explain", "give", "list", "name", "show", "describe", "translate", "i", "if")
)
"""A text that begins with one of these words is taken for English."""
_SPELLED: dict[str, tuple[str, ...]] = {
    **{f"{word}'s": (word, "is") for word in ("what", "where", "who", "how", "when", "that", "it", "there")},
    **{word: (word.removesuffix("s"), "is") for word in ("whats", "wheres")},
    **{f"{word}n't": (word, "not") for word in ("is", "are", "was", "were", "do", "does", "did", "has", "have", "had")},
    **{f"{word}n't": (word, "not") for word in ("could", "should", "would", "must", "need")},
    **{"can't": ("can", "not"), "cannot": ("can", "not"), "won't": ("will", "not"), "dont": ("do", "not")},
    **{"i'm": ("i", "am"), "i've": ("i", "have"), "i'll": ("i", "will")},
}
_PRESENT = ("is", "are")
_GREETINGS = frozenset(("hello", "hi", "hey"))
_ENDINGS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("thanks",), ".!?"),
    (("thank", "you"), ".!?"),
    (("please",), ",.!?"),
)
"""Words at the end that carry no meaning, and the signs that must come before them."""
_OPENINGS: tuple[tuple[str, ...], ...] = tuple(
    tuple(opening.split())
    for opening in (
        *("can you tell me", "could you tell me", "can you please tell me", "could you please tell me", "tell me"),
        *("do you know", "i would like to know", "i want to know"),
    )
)

Word = tuple[str, str]
"""A word without the punctuation around it, and as it stands in the text."""


def said(text: str) -> tuple[str, ...]:
    """Returns what a question says. A text that is long, or whose form may matter, says only itself."""
    text = unicodedata.normalize("NFC", text).strip()
    if len(text) > LIMIT_CHARS or _FORMED.search(text):
        return (text,)
    words = [(word, part) for part in text.replace("’", "'").split() if (word := _bare(part))]
    words = words[len(_greeting(words)) :]
    if not words:
        return (text,)
    is_english = _spelled(words[0][0].lower())[0] in _ENGLISH
    plain = _plain_english(words) if is_english else [_folded(words[0][0]), *(word for word, _ in words[1:])]
    quoted = tuple(match[0] for match in _QUOTED.finditer(text))
    # A sentence becomes a question by its sign; a question is one without it.
    sign = ("?",) if words[-1][1].endswith("?") and plain[0] not in _ASKING else ()
    return (*plain, *quoted, *sign)


def _bare(part: str) -> str:
    """A word without the punctuation around it. Numbers and symbols keep what may belong to them, as in `5!`."""
    word = part.strip(_AROUND)
    if word.isalpha() or word.replace("'", "").replace("-", "").isalpha():
        return word
    return part.rstrip(_AFTER)


def _folded(word: str) -> str:
    """A first word in lower case, if only its first letter is a capital."""
    return word[:1].lower() + word[1:] if word[1:] == word[1:].lower() else word


def _spelled(word: str) -> tuple[str, ...]:
    """A word without its contraction."""
    return _SPELLED.get(word, (word,))


def _greeting(words: Sequence[Word]) -> Sequence[Word]:
    """The greeting at the start, which a sign ends."""
    is_greeting = len(words) > 1 and words[0][0].lower() in _GREETINGS and words[0][1][-1] in ",.!"
    return words[:1] if is_greeting else ()


def _plain_english(words: Sequence[Word]) -> list[str]:
    """The words of an English text that carry meaning."""
    words = _without_thanks(words)
    plain = [part for word in (_folded(words[0][0]), *(word for word, _ in words[1:])) for part in _spelled(word)]
    if plain[0] == "please" and len(plain) > 1:
        plain = [_folded(plain[1]), *plain[2:]]
    for opening in _OPENINGS:
        size = len(opening)
        if tuple(plain[:size]) == opening and len(plain) > size and plain[size] in _QUESTION_WORDS:
            plain = plain[size:]
            break
    if len(plain) > 2 and plain[0] in _QUESTION_WORDS and plain[1] in _PRESENT:  # the order of the indirect form
        plain = [plain[0], *plain[2:], plain[1]]
    return plain


def _without_thanks(words: Sequence[Word]) -> Sequence[Word]:
    """The words without thanks or `please` at their end, which follow a sign."""
    for ending, signs in _ENDINGS:
        rest = words[: -len(ending)]
        last = tuple(word.lower() for word, _ in words[len(rest) :])
        if rest and last == ending and rest[-1][1][-1] in signs:
            return rest
    return words
