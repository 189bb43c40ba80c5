"""Cutting growing text into segments: pieces that can be searched by themselves, whatever comes before and after.

Text and a place in it come in; the next segment, or the place from where nothing is known yet, goes out. Nothing is
kept, and every answer depends on the text alone.

A *token* is what stands between white space, `"`, `<` and `>`. A *gap* is 1 to 4 white-space characters without a line
break. Most tokens hold nothing that is searched for and are passed over. A token with a sign of something (`need`) is a
segment. Identifiers that are written with spaces need more: from a token with a digit the segment goes on over gaps
to further tokens with digits, to signs (`-`, `(`), to groups of 1 to 4 capitals (parts of an IBAN) and to the words for
a telephone extension, at most `SIGNS` of these in a row; up to `LEADS` signs before the first digit belong to it as
well. Where `words` is set, words of 1 to 5 letters count like signs (`AB 12 34 56 C`).

A segment longer than `BLOCK` is searched block by block; after each block the text counts as new from the border that
`Segment.border` chooses: about the middle of the block inside a long token (an e-mail address may have 254 characters),
three quarters into a chain of tokens.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

BLOCK = 512
SIGNS = 3
LEADS = 2
_BREAKS = "\r\n\v\f\x1c-\x1e\x85\u2028\u2029"
_TOKEN = re.compile(r'[^\s"<>]+')
_GIANT = re.compile(rf'[^\s"<>]{{{BLOCK + 1}}}')
_GAP = re.compile(rf"[^\S{_BREAKS}]{{1,5}}")
_GAP_BEFORE = re.compile(rf"[^\S{_BREAKS}]{{1,5}}\Z")
_DIGIT = re.compile(r"\d")
_SIGN = re.compile(r"[\W_]{1,8}")
_EXTENSION = re.compile(
    r"\(?(?:e?xt(?:ensi(?:o\u0301?|\u00f3))?n?|x|int|anexo|\u0434\u043e\u0431)[.:,]?\)?", re.IGNORECASE
)
_CAPITALS = re.compile(r"[A-Z]{1,4}")
_UNKNOWN = (0, 0)
_WORD = re.compile(r"[^\W\d_]{1,5}")


@dataclass(frozen=True, slots=True)
class Segment:
    """Characters `start` to `end` are searched together.

    `whole`: this is all of the segment. `borders`: otherwise, the token starts where it may be cut (the last one is at
    or after `end`), or nothing when the block lies inside one token.
    """

    start: int
    end: int
    whole: bool
    borders: tuple[int, ...] = ()

    def border(self, spans: Sequence[tuple[int, int]]) -> int:
        """Where the search goes on: no span of `spans` (which do not overlap) lies across it."""
        if self.whole:
            return self.end
        if not self.borders:
            half = self.start + BLOCK // 2
            return next((end for start, end in spans if start < half < end), half)
        free = [at for at in self.borders if not any(start < at < end for start, end in spans)]
        before = [at for at in free if at <= self.start + BLOCK * 3 // 4]
        return before[-1] if before else free[0]


@dataclass(frozen=True, slots=True)
class Segmenter:
    """`need`: a pattern for the sign of something to look for. `chains`, `words`: see above."""

    need: re.Pattern[str]
    chains: bool
    words: bool

    def next(self, text: str, at: int, last: bool) -> Segment | int:
        """The first segment at or after `at`, or the place up to which the text holds none whatever follows."""
        if 0 < at < len(text) and _TOKEN.match(text, at - 1) and (rest := _TOKEN.match(text, at)):
            return self._single(text, at, rest.end(), last, at)
        hit = self.need.search(text, at)
        giant = _GIANT.search(text, at) if len(text) - at > BLOCK else None
        if hit is None and giant is None:
            return len(text) if last else self._tail(text, at)
        start = len(text) if hit is None else _token_start(text, hit.start(), at)
        if giant is not None and giant.start() <= start:
            start = giant.start()
        token = _TOKEN.match(text, start)
        end = token.end() if token else start
        if not self.chains or end - start > BLOCK or (end == len(text) and not last):
            return self._single(text, start, end, last, at)
        if not _DIGIT.search(text, start, end):
            return Segment(start, end, True)
        return self._chain(text, start, end, last, at)

    def _single(self, text: str, start: int, end: int, last: bool, at: int) -> Segment | int:
        """A token by itself."""
        if end - start > BLOCK:
            return Segment(start, start + BLOCK, False)
        if end == len(text) and not last:
            return self._lead(text, start, at)
        return Segment(start, end, True)

    def _chain(self, text: str, start: int, end: int, last: bool, at: int) -> Segment | int:
        """A token with a digit and what may belong to it."""
        start, signs = self._lead(text, start, at), 0
        tokens = [(start, end)]
        while True:
            inside = [token for token in tokens if token[1] - start <= BLOCK] or tokens[:1]
            if len(inside) < len(tokens):
                borders = tuple(each for each, _ in tokens[1 : len(inside) + 1])
                return Segment(start, inside[-1][1], False, borders)
            following = self._following(text, tokens[-1][1], last)
            if following == _UNKNOWN:
                return start
            if following is not None:
                signs = 0 if _DIGIT.search(text, *following) else signs + 1
            if following is None or signs > SIGNS:
                return Segment(start, tokens[-1][1], True)
            tokens.append(following)

    def _following(self, text: str, end: int, last: bool) -> tuple[int, int] | None:
        """The next token of a chain, `None` when the chain ends here, `_UNKNOWN` when that cannot be told yet."""
        gap = _GAP.match(text, end)
        start = gap.end() if gap else end
        unknown = None if last else _UNKNOWN
        if start - end > 4:
            return None
        if start == len(text):
            return unknown
        token = _TOKEN.match(text, start)
        if gap is None or token is None or token.end() - start > BLOCK:
            return None
        if token.end() == len(text) and not last:
            return unknown
        return token.span() if _DIGIT.search(token[0]) or self._joins(token[0]) else None

    def _joins(self, token: str) -> bool:
        kinds = (_SIGN, _CAPITALS, _EXTENSION, _WORD) if self.words else (_SIGN, _CAPITALS, _EXTENSION)
        return any(kind.fullmatch(token) for kind in kinds)

    def _lead(self, text: str, start: int, at: int) -> int:
        """`start`, moved back over the signs before it; not before `at`."""
        if not self.chains:
            return start
        for _ in range(LEADS):
            gap = _GAP_BEFORE.search(text, max(at, start - 5), start)
            if gap is None or len(gap[0]) > 4 or gap.start() == at:
                break
            first = _token_start(text, gap.start(), max(at, gap.start() - 10))
            token = text[first : gap.start()]
            if not (_SIGN.fullmatch(token) or (self.words and _WORD.fullmatch(token))):
                break
            start = first
        return start

    def _tail(self, text: str, at: int) -> int:
        """Where the last token begins, if it may still grow, with the signs that would belong to it."""
        return self._lead(text, _token_start(text, len(text), at), at)


def _token_start(text: str, end: int, at: int) -> int:
    """The start of the token characters that end at `end`, not before `at`."""
    low = max(at, end - BLOCK - 1)
    while end > low and not text[end - 1].isspace() and text[end - 1] not in '"<>':
        end -= 1
    return end
