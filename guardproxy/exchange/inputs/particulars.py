"""Compares the particulars of two questions: what must be the same in both, however alike a model finds them.

In: two texts. Out: whether one answer may serve both, as far as words and signs show. The function only refuses: two questions
with the same particulars may still ask for different things, which a model judges.

A model that compares meanings is weak where one small word turns a question around. So these must be the same in both texts:
numbers, codes, placeholders and names, in their order; units, times, quantities and the number of negations; and whether a
text asks or states. None of these may stand against each other: opposites (`before` and `after`, `enable` and `disable`), a
word and its negated form (`safe` and `unsafe`), kinds of questions (`who` and `when`), tenses, duties, permissions and persons.
Where the same words stand in another order, or one of them follows `by` or `from` in one text alone, roles may be exchanged.
A text that says much more than the other asks for more. And each word that only one text has must stand for a word of the
other, as the vectors of the two show.

Only short English questions of one line are compared (`is_comparable`). The words are in `particular_words.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from guardproxy.exchange.inputs import particular_words as english
from guardproxy.exchange.inputs.paraphrase import (
    ASKING,
    QUESTION_WORDS,
    is_literal,
    is_order_to_tell,
    spelled,
    without_courtesy,
)

LIMIT_CHARS = 280
LIMIT_WORDS = 48
LEAST_ALIKE = 0.55
"""The lowest cosine of two words that may say the same. Half of the synonyms reach it, and 5 % of words such as `coffee` and
`tea`."""
LEAST_WORDS = 2  # a single word may be anything
_LEAST_STEM = 3
_WORDS_FOR_ONE = 8
_ENDS = ",.!?"
_SENTENCE = re.compile(r"[.!?]+(?=\s)")
_WORD = re.compile(r"[A-Za-z]+(?:['-][A-Za-z]+)*")
_LEAST_SHARE = 0.25  # of words that carry English grammar
_Manner = Literal["yes or no", "asks", "states"]
_ANY_DUTY = {"could": "can", "may": "can", "need": "must", "should": "must"}
_EVERY_QUESTION_WORD = QUESTION_WORDS | {"whom", "whose"}


def is_comparable(text: str) -> bool:
    """Whether a text is a question or an order that a model may compare with another: short, of one line, in English, and not
    about words. Other texts are the same as equal ones only."""
    plain = text.replace("’", "'")
    if len(plain) > LIMIT_CHARS or not plain.isascii() or not plain.isprintable() or is_literal(text):
        return False
    words = [word.lower() for word in _WORD.findall(plain)]
    if not LEAST_WORDS <= len(words) <= LIMIT_WORDS:
        return False
    own = sum(spelled(word)[0] in english.GRAMMAR for word in words)
    foreign = sum(word in english.OTHER_LANGUAGES and word not in english.GRAMMAR for word in words)
    return own > foreign and own >= _LEAST_SHARE * len(words)


Alike = Callable[[str, str], float]
"""Returns how alike two words are, as the cosine of their vectors."""


def same_particulars(first: str, second: str, alike: Alike) -> bool:
    """Whether no particular tells two texts apart. Both must be comparable. The order of the two does not matter. `alike`:
    compares words that only one of them has."""
    return particulars_of(first)(second, alike)


def equal_particulars(text: str) -> str:
    """Returns a text that is equal for comparable texts whose numbers, codes, negations, units, quantities and manner are."""
    return repr(_read(text).equal)


def particulars_of(text: str) -> Callable[[str, Alike], bool]:
    """Returns `same_particulars` of a text and another one, for a text that is compared with many. Nothing of it is kept."""
    one = _read(text)

    def is_same(second: str, alike: Alike) -> bool:
        other = _read(second)
        return _is_same(one, other) and _has_counterparts(one, other, alike)

    return is_same


def _is_same(one: _Question, other: _Question) -> bool:
    return (
        one.equal == other.equal
        and (not one.asked or not other.asked or one.asked == other.asked)
        and all(_agree(own, its) for own, its in zip(one.agreeing, other.agreeing, strict=True))
        and _agree_in_time(one.tenses, other.tenses)
        and _same_names(one, other)
        and not _is_opposed(one.words, other.words)
        and _same_roles(one, other)
        and _says_as_much(one, other)
    )


@dataclass(frozen=True, slots=True)
class _Question:
    """A text, taken apart. `words`: in lower case; `equal`: what must be the same in another text; `agreeing`: sets of groups
    that must have a member in common, if both have any; `asked`: the number of question words; `names`: in order, with whether
    a name may be a plain word that begins a sentence; `content`: stems of words that carry meaning, in order, with the words;
    `placed`: how many words only place others; `links`: by stem, the links that stand before it."""

    words: frozenset[str]
    equal: tuple[object, ...]
    agreeing: tuple[frozenset[str], ...]
    asked: int
    tenses: frozenset[str]
    names: tuple[tuple[str, bool], ...]
    content: Mapping[str, str]
    order: tuple[str, ...]
    placed: int
    links: Mapping[str, frozenset[str]]


def _read(text: str) -> _Question:
    plain = without_courtesy(text)
    tokens: list[str] = []
    begins: list[int] = []  # where sentences begin
    for token in plain.split():
        tokens += _spelled(token.rstrip(_ENDS) or token)
        if token[-1] in ".!?":
            begins.append(len(tokens))
    words = [token.lower().removesuffix("'s") for token in tokens]
    manner = _manner(words, has_sign=plain.endswith("?"))
    negations = sum(word in english.NEGATIONS for word in words)
    sentences = len(_SENTENCE.findall(plain))
    return _Question(
        words=frozenset(words),
        equal=(manner, sentences, negations, tuple(_codes(tokens)), tuple(sorted(set(_exact(words))))),
        agreeing=(frozenset(_kinds(words)), frozenset(_duties(words, manner)), frozenset(_persons(words, manner))),
        asked=sum(word in _EVERY_QUESTION_WORD for word in words),
        tenses=_found(english.TENSES, words),
        names=tuple(_names(tokens, begins)),
        content={_stem(word): word for word in words if _WORD.fullmatch(word) and word not in english.OF_GROUPS},
        order=tuple(_order(words)),
        placed=sum(word in english.PLACING for word in words),
        links=_links(tokens),
    )


def _duties(words: Sequence[str], manner: _Manner) -> Iterator[str]:
    """The duties and permissions of a text. `How should I` may be `how must I`, and `should I` is not `must I`."""
    for word in words:
        if word in english.DUTIES:
            yield (
                english.DUTIES[word]
                if manner == "yes or no"
                else _ANY_DUTY.get(english.DUTIES[word], english.DUTIES[word])
            )


def _found(groups: Mapping[str, str], words: Sequence[str]) -> frozenset[str]:
    """The groups of words."""
    return frozenset(groups[word] for word in words if word in groups)


def _spelled(word: str) -> Sequence[str]:
    """A word, with any capitals, without its contraction."""
    parts = spelled(word.lower())
    return (word,) if parts[0] == word.lower() else parts


def _manner(words: Sequence[str], *, has_sign: bool) -> _Manner:
    if not QUESTION_WORDS.isdisjoint(words) or is_order_to_tell(words):
        return "asks"
    if words[0] in ASKING or not english.INDIRECT.isdisjoint(pairwise(words)):
        return "yes or no"
    if not has_sign:
        return "states"
    return "asks" if english.TENSES.keys().isdisjoint(words) else "yes or no"  # `price of milk?`, `it is free?`


def _persons(words: Sequence[str], manner: _Manner) -> Iterator[str]:
    """The persons of a text. In `how do you pay`, `you` is anybody."""
    for word in words:
        if word in english.PERSONS and (manner == "yes or no" or english.PERSONS[word] != "you"):
            yield english.PERSONS[word]


def _exact(words: Sequence[str]) -> Iterator[str]:
    for pair in zip(("", *words), words, strict=False):
        if pair[1] in english.EXACT and pair not in english.INDIRECT and pair[0] not in ("what", "which"):
            yield english.EXACT[pair[1]]


def _codes(tokens: Sequence[str]) -> Iterator[str]:
    for token in tokens:
        if not _WORD.fullmatch(token):
            yield token
        elif token.lower() in english.NUMBERS:
            yield english.NUMBERS[token.lower()]


def _names(tokens: Sequence[str], begins: Collection[int]) -> Iterator[tuple[str, bool]]:
    """Words with a capital. The first word of a sentence may have one without being a name: if it carries grammar, or, as a
    verb does, stands before an article. Days of the week are compared as units."""
    for at, word in enumerate(tokens):
        name = word.removesuffix("'s")
        if not _WORD.fullmatch(word) or word == word.lower() or word == "I" or name.lower() in english.EXACT:
            continue
        if (at and at not in begins) or name == name.upper():
            yield name, False
        elif name.lower() not in english.GRAMMAR | english.ORDERS:
            yield name, at + 1 < len(tokens) and tokens[at + 1].lower() in english.ARTICLES | {"me", "all"}


def _kinds(words: Sequence[str]) -> Iterator[str]:
    for word, following in pairwise((*words, "")):
        if word in english.KINDS:
            yield english.KINDS[word]
        elif word == "how":
            yield following if following in english.MEASURED else "how"
        elif word == "what" and following in ("time", "date", "day", "year"):
            yield "when"
        elif word == "what" and following in ("place", "city", "country"):
            yield "where"


def _order(words: Sequence[str]) -> Iterator[str]:
    """The stems of words that carry meaning, in order. Of `the old capital of France`, it is that of `France's old capital`."""
    phrases: list[list[str]] = []
    before = "start"  # what is before the word: grammar, or `of`
    at = 0  # where the next word of a phrase after `of` stands
    for word in words:
        if word == "of" and phrases:
            before, at = "of", 0
        elif word in english.ARTICLES and before == "of":
            continue
        elif word in english.GRAMMAR:
            before = "start"
        elif before == "start":
            phrases.append([_stem(word)])
            before, at = "phrase", 1
        else:
            phrases[-1].insert(at, _stem(word))
            before, at = "phrase", at + 1
    return (word for phrase in phrases for word in phrase)


def _stem(word: str) -> str:
    """A word without the ends of its forms."""
    plain = word.removesuffix("'s").removesuffix("'")
    for end in ("ing", "ed", "es", "s"):
        if plain.endswith(end) and len(plain) - len(end) >= _LEAST_STEM:
            return plain.removesuffix(end)
    return plain


_FILLERS = frozenset(map(_stem, english.FILLERS))


def _links(tokens: Sequence[str]) -> dict[str, frozenset[str]]:
    """The links before words that carry meaning; an empty one if there is none. Before names, `to` is one."""
    links: dict[str, set[str]] = {}
    before = ""
    for at, token in enumerate(tokens):
        word = token.lower()
        if word in english.LINKS or word == "to":
            before = word
        elif word not in english.ARTICLES:
            if word not in english.GRAMMAR and (before != "to" or _is_name(tokens, at)):
                links.setdefault(_stem(word), set()).add(before)
            before = ""
    return {word: frozenset(found) for word, found in links.items()}


def _is_name(tokens: Sequence[str], at: int) -> bool:
    """Whether a word is a name, as a capital inside of a text shows."""
    return at > 0 and tokens[at] != tokens[at].lower()


def _agree(one: frozenset[str], other: frozenset[str]) -> bool:
    """Whether two sets of groups have one in common, or one of them is empty."""
    return not one or not other or not one.isdisjoint(other)


def _agree_in_time(one: frozenset[str], other: frozenset[str]) -> bool:
    """Whether two texts may be about the same time. A text without such a word may be about any."""
    return not one or not other or ((one ^ other).isdisjoint(("past", "future")) and not one.isdisjoint(other))


def _same_names(one: _Question, other: _Question) -> bool:
    """Whether the names of two texts are the same, where each name that may be a plain word may be left out."""

    def readings(question: _Question) -> tuple[list[str], list[str]]:
        return [name for name, _ in question.names], [name for name, is_unsure in question.names if not is_unsure]

    return any(names == others for names in readings(one) for others in readings(other))


def _is_opposed(one: frozenset[str], other: frozenset[str]) -> bool:
    """Whether a word of one text stands against a word of the other."""
    own, others = one - other, other - one
    return (
        any((a in own and b in others) or (b in own and a in others) for a, b in english.OPPOSITES)
        or any(_is_negated(word, others) for word in own)
        or any(_is_negated(word, own) for word in others)
    )


def _is_negated(word: str, words: frozenset[str]) -> bool:
    """Whether one of `words` is the negated form of a word, as in `safe` and `unsafe`, `careful` and `careless`."""
    if any(f"{prefix}{word}" in words for prefix in english.NEGATING):
        return True
    return word.endswith("ful") and f"{word.removesuffix('ful')}less" in words


def _same_roles(one: _Question, other: _Question) -> bool:
    """Whether the words that both texts have stand in the same roles. Exchanged roles leave the form of a sentence as it is, so
    the same words in another order are let through only where another number of them is placed by words such as `for`."""
    if one.order != other.order and sorted(one.order) == sorted(other.order) and one.placed == other.placed:
        return False
    return all(other.links.get(word, found) == found for word, found in one.links.items())


def _says_as_much(one: _Question, other: _Question) -> bool:
    """Whether neither text says much more than the other: what it adds may change the answer. One word more is let through, and
    of long texts one for each `_WORDS_FOR_ONE`."""
    counts = sorted(len(question.content.keys() - _FILLERS) for question in (one, other))
    return counts[1] - counts[0] <= 1 + counts[0] // _WORDS_FOR_ONE


def _has_counterparts(one: _Question, other: _Question, alike: Alike) -> bool:
    """Whether each word of one text that the other does not have stands for a word of the other, as `parcel` for `package`. A
    network overlooks a verb or a noun in an otherwise equal sentence. A word that says little needs no counterpart, nor does
    a word that says what a question word says."""
    own, its = one.content, other.content
    left = [word for stem, word in own.items() if stem not in its]
    others = [word for stem, word in its.items() if stem not in own]
    for word in tuple(left):
        best = max(others, key=lambda found: alike(word, found), default="")
        if best and alike(word, best) >= LEAST_ALIKE:
            left.remove(word)
            others.remove(best)
    rest = [[word for word in words if word not in english.FILLERS] for words in (left, others)]
    return not all(rest) and english.ASKED_FOR.issuperset((*rest[0], *rest[1]))
