"""The check `words`: names from a list (competitors, products, people), in every form in which they are written.

In: windows of text. Out: a finding for each name, with a single label. Kept: nothing between scans.
`_shared/evasions/unfolding.py` has the disguises that are undone first.

A text is read word by word. A word is a run of letters and digits, apostrophes inside of it included; a sign `&`, `+` or `#`;
or a single character of a script that puts no spaces between words. A name is found where its words follow each other, with at
most `GAP` spaces, hyphens, dots or signs of markup between them and no end of a sentence. Words are equal if they are equal
without case, without accents, and with letters that look Latin read as Latin. The last word of a name may be a plural or a
possessive (`inflected`), and a name of several words may be written as one word. From left to right the longest name counts; a
phrase of `unless` counts as a name that is no finding, so that `apple pie` hides `apple`.

The cost is linear in the text and does not grow with the list: each word is looked up in a tree of words, and a name has at
most `MOST_WORDS` words. In a stream, the last word is held, and words that may begin a name of several words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import regex

from guardproxy.checks._shared.declared.contract import Resources
from guardproxy.checks._shared.declared.options import TEXTS, Option, Options, options_digest, with_defaults
from guardproxy.checks._shared.evasions.folding import table
from guardproxy.checks._shared.evasions.unfolding import EVASIONS, unfolding
from guardproxy.concurrency import stop_point
from guardproxy.errors import OptionError
from guardproxy.findings import Advice, Check, Finding, Scan, Traits, Window

VERSION = 1
NAMES_LIMIT = 50_000
NAME_CHARS_LIMIT = 200
MOST_WORDS = 16
MOST_CHARS = 64
"""A longer word is no part of a name."""
GAP = 8
BLOCK = 4096
"""A text is read in blocks of this many characters. Names and words are shorter, so each block settles some of them."""
SHORT = 3  # letters of a name that many other words or abbreviations have too
AS_WRITTEN, INFLECTED, FOLDED = 1.0, 0.9, 0.8
"""Scores: a name as the list has it in any case, inflected or written as one word, and with folded letters."""
OPTIONS: Options = {
    "words": Option(
        "The names to look for, of one or several words.", TEXTS, tighter="longer", default_words="required"
    ),
    "unless": Option("Phrases in which a name is no finding.", TEXTS, default=[], tighter="shorter"),
    "case": Option(
        "`any`, or `same`: capital letters of a name must be capital letters in the text.",
        {"enum": ["any", "same"]},
        default="any",
        tighter=("same", "any"),
    ),
    "inflected": Option(
        "Whether plurals and possessives of a name count.", {"type": "boolean"}, default=True, tighter=(False, True)
    ),
    "label": Option("The label of the findings.", {"type": "string", "minLength": 1}, default="NAME"),
    "evasions": EVASIONS,
}
# Scripts whose words are not parted by spaces. Korean has spaces, but its particles are attached to names.
_ALONE = "".join(
    rf"\p{{{script}}}" for script in ("Han", "Hiragana", "Katakana", "Hangul", "Thai", "Lao", "Khmer", "Myanmar")
)
_LETTER = rf"[[\p{{L}}\p{{M}}\p{{N}}]--[{_ALONE}]]"
_APOSTROPHES = "'\u2019\u02bc\uff07"
_WORD = regex.compile(rf"{_LETTER}+(?:[{_APOSTROPHES}]{_LETTER}+)*|[{_ALONE}&+#]", regex.V1)
_LETTER_BEHIND = regex.compile(rf"{_LETTER}\Z", regex.V1)
_REST = regex.compile(
    rf"(?:[{_APOSTROPHES}]?{_LETTER}+)*", regex.V1
)  # of a word that is too long to be a part of a name
_TAIL = regex.compile(
    rf"[{_APOSTROPHES}]?(?:{_LETTER}+[{_APOSTROPHES}]?)*", regex.V1
)  # of a text that is read backwards
_ASCII_WORD = re.compile(r"[a-z0-9]+(?:'[a-z0-9]+)*|[&+#]")
_GAP = re.compile(r"[\s\u2010-\u2015\-_/.\u00b7*'\"\u2019\u201c\u201d\u3000\u30fb]*")
_BREAK = re.compile(r"\.\s|\n[^\S\n]*\n")  # the end of a sentence or of a paragraph
_JOINED = str.maketrans("", "", _APOSTROPHES)
_PLAIN = str.maketrans(
    {
        "ß": "ss",
        "ø": "o",
        "Ø": "O",
        "đ": "d",
        "Đ": "D",
        "ł": "l",
        "Ł": "L",
        "æ": "ae",
        "Æ": "AE",
        "œ": "oe",
        "Œ": "OE",
        "ı": "i",
    }
)
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue"})


def build(name: str, options: Mapping[str, Any], resources: Resources) -> Check:
    """Builds the check `name`. Raises `OptionError` for an option that is unknown, missing or invalid."""
    values = with_defaults(options, OPTIONS)
    words, unless = _names(values, "words"), _names(values, "unless")
    if not words:
        raise OptionError("words", "`words` must be a list of at least one name")
    if not isinstance(label := values["label"], str) or not label:
        raise OptionError("label", "`label` must be a non-empty string")
    tree = _WordTree(is_inflected=values["inflected"], is_same=values["case"] == "same")
    for key, entries in (("words", words), ("unless", unless)):
        for at, entry in enumerate(entries):
            tree.add(entry, key, at)
    traits = Traits(is_slow=False, labels=frozenset((label,)), advice=tuple(_advice(words, unless, values)))
    plain = {**values, "words": sorted(set(words)), "unless": sorted(set(unless)), "evasions": ""}
    digest = options_digest("words", VERSION, plain, unicodedata.unidata_version, regex.__version__)
    return unfolding(_WordsCheck(name, digest, traits, label, tree), options)


def _names(values: Mapping[str, Any], key: str) -> list[str]:
    entries = values[key]
    if not isinstance(entries, list):
        raise OptionError(key, f"`{key}` must be a list of names")
    for at, entry in enumerate(entries):
        if not isinstance(entry, str) or not entry.strip():
            raise OptionError(key, f"`{key}` must be a list of non-empty texts; quote a number", at)
        if len(entry) > NAME_CHARS_LIMIT:
            raise OptionError(key, f"an entry of `{key}` has at most {NAME_CHARS_LIMIT} characters", at)
    if len(entries) > NAMES_LIMIT:
        raise OptionError(key, f"`{key}` has at most {NAMES_LIMIT} entries", NAMES_LIMIT)
    return entries


def _advice(words: Sequence[str], unless: Sequence[str], values: Mapping[str, Any]) -> Iterator[Advice]:
    """Yields advice on names that other words have too, and on phrases that hide nothing."""
    for at, entry in enumerate(words):
        if values["case"] == "any" and entry.isascii() and sum(map(str.isalnum, entry)) <= SHORT:
            message = f"`{entry}` is so short that it is found in many other texts; use `case: same`, or a longer name"
            yield Advice("words", message, at)
    keys = {tuple(_keys(entry)) for entry in words}
    for at, entry in enumerate(unless):
        phrase = _keys(entry)
        spans = ((low, high) for low in range(len(phrase)) for high in range(low + 1, len(phrase) + 1))
        if not any(tuple(phrase[low:high]) in keys for low, high in spans):
            yield Advice("unless", f"`{entry}` holds no name of `words`, so it hides nothing", at, serious=True)


@lru_cache(8192)
def _folded(word: str) -> str:
    """Returns a word without accents and apostrophes, with letters that look Latin read as Latin; its case stays."""
    word = word.translate(_JOINED)
    if word.isascii():
        return word
    latin = _bare(word.translate(table(strict=True).look_alikes))
    return latin if latin.isascii() else _bare(word)


def _bare(word: str) -> str:
    """Returns a word without accents. Marks that make another letter (of Thai, Japanese or Hindi) stay."""
    letters = unicodedata.normalize("NFKD", word.translate(_PLAIN))
    return unicodedata.normalize("NFC", "".join(letter for letter in letters if not _is_accent(letter)))


def _is_accent(letter: str) -> bool:
    rank = unicodedata.combining(
        letter
    )  # a class of Unicode: from 10 on vowels of Hebrew and Arabic, from 200 on accents
    return 10 <= rank < 40 or rank >= 200


def _spelled(entry: str) -> list[str]:
    """Returns the words of a name, folded; `&` is read as `and`."""
    return [_spelling(word) for word in _WORD.findall(entry)]


def _keys(entry: str) -> list[str]:
    return [word.casefold() for word in _spelled(entry)]


@dataclass(frozen=True, slots=True)
class _ListedName:
    """A name that ends at a node of the tree. `spelled`: its words, for the comparison of capital letters. `is_hidden`: whether
    it is a phrase of `unless`."""

    spelled: tuple[str, ...]
    score: float
    is_hidden: bool


class _WordNode:
    """A place in the tree of words. `following`: the nodes after it; `names`: the names that end here. A list of names can be
    long, so nodes without followers share a mapping."""

    __slots__ = ("following", "names")

    def __init__(self) -> None:
        self.following: dict[str, _WordNode] = _NO_NODES
        self.names: tuple[_ListedName, ...] = ()

    def after(self, word: str) -> _WordNode:
        """Returns the node after this one; a new one if there is none."""
        if self.following is _NO_NODES:
            self.following = {}
        return self.following.setdefault(word, _WordNode())


_NO_NODES: dict[str, _WordNode] = {}


class _WordTree:
    """The names as a tree of words. `is_inflected`, `is_same`: see the options `inflected` and `case`."""

    def __init__(self, *, is_inflected: bool, is_same: bool) -> None:
        self.root = _WordNode()
        self._is_inflected = is_inflected
        self._is_same = is_same

    def add(self, entry: str, key: str, at: int) -> None:
        """Adds a name. Raises `OptionError` for one without words, or with too many."""
        is_hidden = key == "unless"
        for spelled in {tuple(_spelled(entry)): None, tuple(_spelled(entry.translate(_UMLAUTS))): None}:
            if not spelled or len(spelled) > MOST_WORDS or not all(spelled):
                message = f"an entry of `{key}` has 1 to {MOST_WORDS} words, each of at most {MOST_CHARS} letters"
                raise OptionError(key, message, at)
            self._add(spelled, AS_WRITTEN, is_hidden)
            if len(spelled) > 1 and "&" not in entry and all(word.isascii() and word.isalnum() for word in spelled):
                self._add(("".join(spelled),), INFLECTED, is_hidden)

    def _add(self, spelled: tuple[str, ...], score: float, is_hidden: bool) -> None:
        node = self.root
        *first, last = (word.casefold() for word in spelled)
        for word in first:
            node = node.after(word)
        for number, form in enumerate(_forms(last) if self._is_inflected else (last,)):
            name = _ListedName(spelled, min(score, INFLECTED) if number else score, is_hidden)
            node.after(form).names += (name,)

    def name_at(self, node: _WordNode, words: Sequence[str]) -> _ListedName | None:
        """Returns the best name that ends at a node and has the words of the text; a hidden name comes first."""
        fitting = [name for name in node.names if not self._is_same or _has_capitals(name.spelled, words)]
        return max(fitting, key=lambda name: (name.is_hidden, name.score), default=None)


def _forms(word: str) -> tuple[str, ...]:
    """Returns a word, and the plurals and possessives that it may have; apostrophes are left out of words."""
    if len(word) < SHORT or not word.isalpha():
        return (word, f"{word}s") if word[-1].isalnum() and len(word) > 1 else (word,)
    plural = f"{word[:-1]}ies" if word[-1] == "y" and word[-2] not in "aeiou" else f"{word}es"
    return word, f"{word}s", plural, f"{plural}s" if plural.endswith("ies") else f"{word}ses"


def _has_capitals(spelled: Sequence[str], words: Sequence[str]) -> bool:
    return all(
        not letter.isupper() or read.isupper()
        for name, word in zip(spelled, words, strict=True)
        for letter, read in zip(name, word, strict=False)
    )


@dataclass(frozen=True, slots=True)
class _WordsCheck:
    name: str
    digest: str
    traits: Traits
    label: str
    tree: _WordTree

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        """See `Check.scan`."""
        return [self._scan(window) for window in windows]

    def _scan(self, window: Window) -> Scan:
        text, at = window.text, window.settled - window.start
        findings: list[Finding] = []
        high = -1
        while high < len(text):
            stop_point()
            low, high = max(0, at - 1), min(len(text), at + BLOCK)
            reading = _WordReading(text[low:high], at - low, window.last and high == len(text))
            if reading.may_hold(self.tree.root.following):
                findings += self._find(window.start + low, reading)
            at = low + reading.settled
        settled = window.start + at
        return Scan(tuple(findings), settled, max(window.start, settled - 1))

    def _find(self, shift: int, reading: _WordReading) -> Iterator[Finding]:
        first, number = self.tree.root.following, 0
        while number < len(reading.words):
            if reading.key(number) not in first:
                number += 1
                continue
            match, is_open = self._match(reading, number)
            if is_open:
                reading.hold(number)
                return
            if match is None:
                number += 1
                continue
            name, last = match
            start, end = reading.words[number].start(), reading.words[last].end()
            if not name.is_hidden:
                score = name.score
                if not _is_plain(reading.text[start:end]):
                    score = min(score, FOLDED)
                end -= _possessive(reading.words[last][0], name)
                yield Finding(shift + start, shift + end, self.name, self.label, score)
            number = last + 1

    def _match(self, reading: _WordReading, number: int) -> tuple[tuple[_ListedName, int] | None, bool]:
        """Returns the longest name that begins at a word, with its last word; and whether more text may change that."""
        found: tuple[_ListedName, int] | None = None
        node, last, words = self.tree.root, number, list[str]()
        while True:
            word = reading.key(last)
            if word not in node.following:
                return found, False
            node = node.following[word]
            words.append(_spelling(reading.words[last][0]))
            if (name := self.tree.name_at(node, words)) is not None:
                found = name, last
            if not node.following:
                return found, False
            if last + 1 == len(reading.words):
                return found, reading.is_open_after(last)
            if not _is_gap(reading.text, reading.words[last].end(), reading.words[last + 1].start()):
                return found, False
            last += 1


def _is_plain(text: str) -> bool:
    """Whether a found text has no letter that was folded."""
    return text.isascii() or _bare(text) == text


def _spelling(word: str) -> str:
    """Returns a word as it is compared, but for its case; empty for one that is too long."""
    if len(word) > MOST_CHARS:
        return ""
    return "and" if word == "&" else _folded(word)


def _possessive(word: str, name: _ListedName) -> int:
    """Returns the number of characters of the possessive at the end of a word: `'s`. A name that has it as a part keeps it."""
    tail = word[-2:]
    if tail[0] in _APOSTROPHES and tail[1] in "sS" and len(_folded(word)) > len(name.spelled[-1]):
        return 2
    return 0


def _is_gap(text: str, low: int, high: int) -> bool:
    """Whether what stands between two words leaves them together."""
    if high - low > GAP:
        return False
    return _GAP.fullmatch(text, low, high) is not None and _BREAK.search(text, low, high) is None


class _WordReading:
    """The words of a text from an offset on. `settled`: the offset up to which they are final; the word at the end is not,
    unless the text is complete."""

    def __init__(self, text: str, at: int, is_last: bool) -> None:
        self.text = text
        self.is_last = is_last
        self.settled = len(text)
        is_inside = _LETTER_BEHIND.search(text, max(0, at - 1), at) is not None  # of a word that was too long
        self._at: int = _REST.match(text, at).end() if is_inside else at
        self.words: list[Any] = []

    def may_hold(self, first: Mapping[str, _WordNode]) -> bool:
        """Whether a word of the text begins a name. Reads no further if none does."""
        self._settle()
        if self.text.isascii():
            words = set(_ASCII_WORD.findall(self.text[self._at : self.settled].lower()))
            words.update([word.translate(_JOINED) for word in words if "'" in word], ["and"] if "&" in words else ())
            if first.keys().isdisjoint(words):
                return False
        self.words = list(_WORD.finditer(self.text, self._at, self.settled))
        return True

    def _settle(self) -> None:
        """Leaves out the word at the end of a growing text, unless it is too long to be a part of a name."""
        if self.is_last:
            return
        low = max(self._at, len(self.text) - 2 * MOST_CHARS)
        size = _TAIL.match(self.text[low:][::-1]).end()
        if size < 2 * MOST_CHARS:
            self.settled -= size
        elif self.text[-1] in _APOSTROPHES:
            self.settled -= 1

    def key(self, number: int) -> str:
        return _spelling(self.words[number][0]).casefold()

    def hold(self, number: int) -> None:
        """Settles nothing from a word on."""
        self.settled = self.words[number].start()

    def is_open_after(self, last: int) -> bool:
        """Whether more text may put a word after the last one."""
        if self.is_last:
            return False
        low = self.words[last].end()
        return len(self.text) - low <= GAP or _is_gap(self.text, low, self.settled)
