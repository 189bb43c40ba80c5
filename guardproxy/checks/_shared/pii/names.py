"""Finds names in growing text: cuts it into pieces for a tagger and decides which of the tagger's answers are final.

In: text from a *border* on. Out: spans, the settled offset and the start of the next text.

A border is a place that depends only on the words since the border before it: the end of a clause or a sentence, of a
line, or of `PieceLimits.most_words` words. So a search that begins at a border finds the same borders as before. The
text between two borders is tagged together with up to `Tagger.context_words` words before it. A request is available as a
whole and is cut into sentences; an answer is cut into clauses, so that little of a stream is held back.

A piece that has only plain words is not tagged, and a name begins at most one word before the first word of its piece
that is not plain. So ordinary words are released as they come, and only a piece with a candidate is held to its end.

Decision: docs/decisions/0017-names-are-looked-for-in-clauses.md
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from guardproxy.checks._shared.declared.contract import Tag, Tagger
from guardproxy.concurrency import stop_point
from guardproxy.findings import Direction, Wait

MOST_CHARS = 480
"""A piece ends with the word at which it reaches this length."""
AT_ONCE = 64
"""Number of pieces that are tagged in one call. A tagger has stop points of its own."""
WORD_CHARS = 64
"""A longer run without white space counts as several words, so that a text without white space is tagged as well."""

CONTEXT_CHARS = 13
"""The context before a piece has at most so many characters for each of its words: a long run has a word for each sign."""

_WORD = re.compile(rf"\S{{1,{WORD_CHARS}}}")
_TOKEN = re.compile(r"\w+|[^\w\s]")  # what a tagger takes for a word
_ENDING = ".!?…。！？,;:—–、，；：)-"  # a sentence or a clause has one of these at its end
_MAY_END = re.compile(f"[{_ENDING}]")
_ENDING_OR_LINE = frozenset(f"{_ENDING}\n\r")
_FORM = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_DIGIT = re.compile(r"\d")
_SENTENCE_END = re.compile(r"[.!?…。！？][\"'”’)\]*_]*\Z")
_CLAUSE_END = re.compile(r"(?:[,;:—–。、，；：)]|--)[\"'”’)\]*_]*\Z")
_SHORT_FORM = re.compile(
    r"[\"'“‘(\[]*(?:(?:[^\W\d_]\.)+|[A-Z][a-z]\."
    r"|(?:[Pp]rof|[Mm]rs|[Mm]r|[Dd]r|Inc|Ltd|Corp|Dept|Gen|Rev|Hon|Capt|Sgt|Gov|Sen|Rep|Univ|Ave|Blvd)\.)\Z"
)
"""Words whose full stop ends no sentence."""


@dataclass(frozen=True, slots=True)
class PieceLimits:
    """The numbers of words after which a piece may end: with its sentence, its clause (0: never), its line; and after
    which it must end."""

    sentence_words: int
    clause_words: int
    line_words: int
    most_words: int


CUTS: dict[Direction, PieceLimits] = {"request": PieceLimits(12, 0, 12, 56), "response": PieceLimits(3, 6, 2, 24)}


@dataclass(frozen=True, slots=True)
class TextPiece:
    """Characters `start` to `end` between two borders. `words`: their number; `whole`: the end is known.

    `candidate`: the first place at which a name in it may begin; otherwise its end. `is_held`: whether more words leave that
    place where it is, as a complete word is not plain.
    """

    start: int
    end: int
    words: int
    whole: bool
    candidate: int
    is_held: bool = False

    def moved(self, by: int) -> TextPiece:
        """Returns the same piece in a text that begins `by` characters earlier."""
        return TextPiece(self.start + by, self.end + by, self.words, self.whole, self.candidate + by)


@dataclass(frozen=True, slots=True)
class NameSpans:
    """Names in a text. `spans`: start, end, label and score of each name, in order and without overlaps; `settled`: the
    offset up to which they are final; `parts`: the pieces of the text; `context_words`: words before a piece with which
    it is tagged; `wait`: how much more text settles nothing more."""

    spans: list[tuple[int, int, str, float]]
    settled: int
    parts: tuple[TextPiece, ...]
    context_words: int
    wait: Wait | None = None

    def whole_from(self, at: int) -> tuple[TextPiece, ...]:
        """Returns the pieces from the border `at` on whose end is known, as pieces of the text from there on."""
        whole = [part for part in self.parts if part.whole and part.start >= at]
        return tuple([part.moved(-at) for part in whole] if at else whole)

    def keep(self, at: int) -> int:
        """Returns the border from which a new text must begin, so that everything at or after `at` is found again."""
        number = next((number for number, part in enumerate(self.parts) if part.end > at), len(self.parts))
        first = context_start(self.parts, number, self.context_words)
        return self.parts[first].start if first < len(self.parts) else at


@dataclass(frozen=True, slots=True)
class Names:
    """Finds names. `labels`: the labels, with the score from which each counts."""

    tagger: Tagger
    labels: dict[str, float]

    def find(
        self, text: str, settled: int, direction: Direction, last: bool, known: Sequence[TextPiece] = ()
    ) -> NameSpans:
        """Returns the final names in `text`, which begins at a border. Names before `settled` are not reported again. `known`:
        the first pieces of the text."""
        parts = (*known, *self.parts(text, direction, last, known[-1].end if known else 0))
        words = self.tagger.context_words
        contexts = [
            (parts[context_start(parts, at, words)].start, part)
            for at, part in enumerate(parts)
            if part.whole and part.end > settled and part.candidate < part.end
        ]
        tagged: list[list[Tag]] = []
        for first in range(0, len(contexts), AT_ONCE):
            stop_point()
            tagged += self.tagger.tag([text[start : part.end] for start, part in contexts[first : first + AT_ONCE]])
        spans = [
            span
            for (start, part), tags in zip(contexts, tagged, strict=True)
            for tag in tags
            if (span := self._span(text, start, part, tag)) and span[0] >= settled
        ]
        open_at = parts[-1].candidate if parts and not parts[-1].whole else len(text)
        return NameSpans(spans, max(settled, open_at), parts, words, None if last else _wait(text, parts, direction))

    def cost(self, text: str, settled: int, direction: Direction) -> int:
        """Returns about how many words a tagger reads at most for a text whose names before `settled` are known: those of the
        text, and for each piece those of its context."""
        cuts, new = CUTS[direction], text[settled:]
        tokens, words = len(_TOKEN.findall(text)), len(text.split()) + len(text) // WORD_CHARS
        ends = min(tokens // cuts.sentence_words, len(_MAY_END.findall(new)))
        pieces = 1 + new.count("\n") // cuts.line_words + ends + tokens // cuts.most_words
        most = self.tagger.context_words
        return tokens + pieces * min(CONTEXT_CHARS * most, most * tokens // max(words, 1), tokens)

    def _span(self, text: str, start: int, part: TextPiece, tag: Tag) -> tuple[int, int, str, float] | None:
        """Converts a tag of a piece to a span, without characters that lie in the context before it or cannot be part
        of a name."""
        low, high = max(start + tag.start, part.candidate), start + tag.end
        while low < high and not text[low].isalnum():
            low += 1
        if low >= high or tag.score < self.labels.get(tag.label, 2.0):
            return None
        return low, high, tag.label, tag.score

    def parts(self, text: str, direction: Direction, last: bool, begin: int = 0) -> Iterator[TextPiece]:
        """Returns the pieces of a text from the border `begin` on; only the last piece may be open."""
        cuts = CUTS[direction]
        start = end = before = begin  # `before`: the start of the word before
        count = 0
        candidate = -1
        is_held = False
        for match in _WORD.finditer(text, begin):
            word, end = match[0], match.end()
            known = end < len(text) or last
            if candidate < 0 and not (known and self.is_plain(word)):
                candidate = before if count else start
                is_held = known
            before = match.start()
            count += 1
            if known and (end - start >= MOST_CHARS or _ends(word, count, text[end : end + 1], cuts)):
                yield TextPiece(start, end, count, True, end if candidate < 0 else candidate)
                start, count, candidate, is_held = end, 0, -1, False
        if start < len(text):
            if candidate < 0:  # the next word may make the last one part of a name; no name begins with white space
                candidate = len(text) if last or not count else before
            yield TextPiece(start, len(text), count, last, candidate, is_held)

    def is_plain(self, word: str) -> bool:
        """Whether a word cannot be part of a name: each of its forms is known to be plain."""
        words = self.tagger.timeless if "DATE_TIME" in self.labels else self.tagger.plain
        if word.isalpha():  # as most are: the word is its only form
            return word in words
        if "DATE_TIME" in self.labels and _DIGIT.search(word):
            return False
        return all(form in words for form in _FORM.findall(word))


def _wait(text: str, parts: Sequence[TextPiece], direction: Direction) -> Wait | None:
    """Returns the new text with which the last piece stays open and its candidate where it is; `None` if any may end it."""
    if not parts or not parts[-1].is_held or (not text[-1].isspace() and _MAY_END.search(text.rsplit(maxsplit=1)[-1])):
        return None
    part = parts[-1]
    return Wait(_ENDING_OR_LINE, CUTS[direction].most_words - part.words - 1, MOST_CHARS - (part.end - part.start) - 1)


def context_start(parts: Sequence[TextPiece], at: int, most_words: int) -> int:
    """Returns the number of the piece with which the context of piece number `at` begins, of at most `most_words`."""
    words, first = 0, parts[at - 1].end - CONTEXT_CHARS * most_words if at else 0
    while at and parts[at - 1].start >= first and (words := words + parts[at - 1].words) <= most_words:
        at -= 1
    return at


def _ends(word: str, count: int, following: str, cuts: PieceLimits) -> bool:
    """Whether a piece of `count` words ends with `word`."""
    if count >= cuts.most_words:
        return True
    if following in ("\n", "\r") and count >= cuts.line_words:
        return True
    if word[-1].isalnum():  # as of most words: every end has a sign
        return False
    if count >= cuts.sentence_words and _SENTENCE_END.search(word) and not _SHORT_FORM.match(word):
        return True
    return 0 < cuts.clause_words <= count and _CLAUSE_END.search(word) is not None
