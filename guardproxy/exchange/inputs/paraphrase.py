"""Compares the wording of two questions: whether one answer surely serves both.

In: a text. Out: what it says, without what carries no meaning. Two texts that say the same have the same result.

No model and no threshold take part. An encoder finds a question and its opposite more alike than most paraphrases
(`benchmarks/gateway/cache.py` measures it), and if fewer than all words had to be equal, a long question could differ in the
one that counts. So every word counts, in its order, and so do capitals, numbers and signs. Left out are spaces, the capital of
a first word that asks or orders, and one sign at the end: the `?` of a question and the `.` of another sentence. In English
also: a greeting, thanks, `please`, openings such as `can you tell me`, contractions at the start, and the place of `is` and
`are`, which differs between a question and its indirect form.

In a text about words, with quotes or with a form, each sign may be what is asked about. It says only itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

LIMIT_CHARS = 600
_SIGNS = ".,!?;:"
# Line breaks and other unusual spaces, quotes, code and markup: the form of such a text may matter.
_FORMED = re.compile(r"[^\S ]|[\"“”„‟«»‹›‘‚`{}<>|\\]|(?<!\w)['’]|['’](?!\w)")
_WORD = re.compile(r"\w+")
_PLAIN = re.compile(r"\w(?:[\w'-]*\w)?|\d[\d.,]*\d")  # a sign behind another form, such as an address, may belong to it
_OF_LANGUAGE = """
character characters comma correct email formal grammar greeting letter letters lyrics mean meaning means message noun phrase
phrases plural polite pronounce quote reply respond rhyme rhymes said say saying says sentence sentences sign space spaces spell
spelled spelling symbol symbols synonym synonyms syllables tense translate translated translation verb word words write written
wrote yes
arabic bengali chinese czech danish dutch english finnish french german greek hebrew hindi hungarian irish italian japanese
korean latin mandarin norwegian persian polish portuguese romanian russian spanish swahili swedish thai turkish ukrainian urdu
vietnamese welsh
"""
_ABOUT_WORDS = frozenset(_OF_LANGUAGE.split())
"""Words of texts about words, such as `How do you say this in German? Thank you.`"""
QUESTION_WORDS = frozenset(("what", "who", "whom", "whose", "where", "when", "why", "how", "which"))
ASKING = QUESTION_WORDS | frozenset(
    ("is", "are", "can", "could", "should", "would", "will", "do", "does", "did", "may", "must")
)
_TELLING = frozenset(("please", "tell", "explain", "give", "list", "name", "show", "describe"))
_POLITE = ("can", "could", "would", "will")
_ENGLISH = ASKING | _TELLING | frozenset(("i", "if"))
_OF_OTHERS = "was wer wie wo wann warum que qui où comment pourquoi quand qué quién cómo cuándo dónde"
_FIRST = _ENGLISH | frozenset(_OF_OTHERS.split())
_NAMES = ("May", "Will")  # with a capital they may be names
_SPELLED: dict[str, tuple[str, ...]] = {
    **{f"{word}'s": (word, "is") for word in ("what", "where", "who", "how", "when", "that", "it", "there")},
    **{word: (word.removesuffix("s"), "is") for word in ("whats", "wheres")},
    **{f"{word}n't": (word, "not") for word in ("is", "are", "was", "were", "do", "does", "did", "has", "have", "had")},
    **{f"{word}n't": (word, "not") for word in ("could", "should", "would", "must", "need")},
    **{"can't": ("cannot",), "won't": ("will", "not"), "dont": ("do", "not")},
    **{"i'm": ("i", "am"), "i've": ("i", "have"), "i'll": ("i", "will")},
}
_PRESENT = ("is", "are")
_GREETING = re.compile(r"(?:hello|hi|hey)[,.!] ", re.IGNORECASE)
_PLEASE = re.compile(r"please[,:]? ", re.IGNORECASE)
_THANKS = re.compile(r"(?<=\S), please(?=[.!?]?\Z)|(?<=\w[.!?]) (?:please|thanks|thank you)[.!?]?\Z", re.IGNORECASE)
_OPENINGS: tuple[tuple[str, ...], ...] = tuple(
    tuple(opening.split())
    for opening in (
        *("can you tell me", "could you tell me", "can you please tell me", "could you please tell me", "tell me"),
        *("do you know", "i would like to know", "i want to know"),
    )
)


def said(text: str) -> tuple[str, ...]:
    """Returns what a question says. A text that is long, about words, or whose form may matter, says only itself."""
    if is_literal(text):
        return (text,)
    plain = _without_greeting(text)
    words = plain.split(" ")
    bare = _THANKS.sub("", plain).split(" ")
    if any(word[-1] in _SIGNS for word in bare[:-1]):  # of several parts, the last one may be about the others
        return (_folded(words[0]), *words[1:])
    words = [_folded(bare[0]), *bare[1:]]
    opening = _opening(words)
    words = words[len(opening) :]
    usual = "?" if spelled(words[0])[0] in ASKING else ""
    return tuple(_direct(_without_sign(words, usual if usual and not opening else f"{usual}.")))


def is_literal(text: str) -> bool:
    """Whether a text says only itself: it is long or about words, or its form may matter."""
    return (
        len(text) > LIMIT_CHARS
        or _FORMED.search(text) is not None
        or not _ABOUT_WORDS.isdisjoint(_WORD.findall(text.lower()))
    )


def without_courtesy(text: str) -> str:
    """Returns a text without a greeting, `please` and thanks at its ends."""
    return _THANKS.sub("", _without_greeting(text))


def _without_greeting(text: str) -> str:
    plain = re.sub(" +", " ", text.strip(" ")).replace("’", "'")
    for politeness in (_GREETING, _PLEASE):
        plain = _without_start(politeness, plain)
    return plain


def is_order_to_tell(words: Sequence[str]) -> bool:
    """Whether a text with these words, in lower case, asks another to tell something, as in `can you explain`."""
    return words[0] in _TELLING or (words[0] in _POLITE and words[1:2] == ["you"])


def _without_start(start: re.Pattern[str], text: str) -> str:
    """A text without the words at its start, if a question or an order in English follows."""
    found = start.match(text)
    rest = text[found.end() :] if found else ""
    return rest if spelled(_folded(rest.partition(" ")[0]))[0] in _ENGLISH else text


def _folded(word: str) -> str:
    """A first word in lower case, if it asks or orders and only its first letter is a capital. Others may be names."""
    plain = word.rstrip(_SIGNS)
    is_first = plain not in _NAMES and spelled(plain[:1].lower() + plain[1:])[0] in _FIRST
    return word[:1].lower() + word[1:] if is_first else word


def spelled(word: str) -> tuple[str, ...]:
    """Returns the words of a contraction, such as `isn't`; of another word, itself."""
    return _SPELLED.get(word, (word,))


def _opening(words: Sequence[str]) -> Sequence[str]:
    """The words at the start that only introduce a question."""
    for opening in _OPENINGS:
        size = len(opening)
        if tuple(words[:size]) == opening and len(words) > size and words[size] in QUESTION_WORDS:
            return opening
    return ()


def _without_sign(words: Sequence[str], usual: str) -> list[str]:
    """The words of a sentence without the sign at its end. `usual`: the signs that carry no meaning there."""
    *before, last = words
    if last == "?" and "?" in usual and before:
        return before
    plain = last.rstrip("?") if "?" in usual else last
    plain = plain.removesuffix(".") if "." in usual and plain == last else plain
    return [*before, plain if _PLAIN.fullmatch(plain) else last]


def _direct(words: Sequence[str]) -> list[str]:
    """The words of a question without contractions at its start, in the order of the indirect form."""
    count = 2 if words[0] in QUESTION_WORDS else 1  # as in `why don't`
    plain = [*(part for word in words[:count] for part in spelled(word)), *words[count:]]
    if len(plain) > 2 and plain[0] in QUESTION_WORDS and plain[1] in _PRESENT:
        plain = [plain[0], *plain[2:], plain[1]]
    return plain
