"""The words around a match, as Presidio's context enhancer sees them: spaCy's tokens, without spaCy's memory.

In: a text, a place in it, and the words that would support a finding there. Out: whether one of these words is near.
Kept: the tokens of plain chunks.

Presidio cuts the whole text into spaCy tokens. A token counts if it is neither a stop word nor punctuation. From the
token at the match backwards Presidio takes the first `WORDS` tokens that count. If the token at the match does not
count, it also takes the first token after it that does. spaCy cuts at white space first and then each chunk by itself,
by rules of the language. So only the few chunks around a match need to be cut. This module uses the same rules without
a `Vocab`, which would keep every token that it has ever seen. Only chunks that lie whole within `LOOK` characters
before and after the place count.

One thing differs from Presidio: it joins all tokens of a text to one list of keywords and splits those with a colon,
so that `to:5` anywhere, even later, makes every `to` a word that counts. Here a stop word never counts.
"""

from __future__ import annotations

import re
import warnings
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

WORDS = 6  # the token at the match and five before it
LOOK = 1024
_PERSONAL = re.compile(r"[\d@]")
_ATOM = re.compile(r"[^\W\d_]+|\d+|[^\w\s]|_|\s+")  # every token that counts has at least one of these
_SOLID = re.compile(r"\S+")
_DIGIT = re.compile(r"\d")
_SIGNS = '.,;!?()"'
_CHUNK = re.compile(r"\S+|\s{2,}|[^\S ]|\A ")  # white space, except for the single space after a word
_CLOSED = re.compile(r"\s*\S*")
_REMEMBERED = 8192
_PLAIN = 24  # longer chunks are not cached

# The end of a token in its chunk, and its word: its letters in lower case, or empty if it does not count.
Piece = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Words:
    """The words of a language."""

    language: str
    rules: Any  # spaCy's tokenizer
    special: dict[str, list[str]]
    sequences: dict[
        tuple[str, str], list[tuple[list[str], str]]
    ]  # exceptions that the rules cut, by their first two tokens
    is_stop: Callable[[str], bool]
    is_punctuation: Callable[[str], bool]
    known: dict[str, list[Piece]] = field(default_factory=dict)

    def surely(self, chunk: str) -> bool:
        """Whether a token of the chunk surely counts, decided without cutting the chunk."""
        if ":" in chunk:
            return False
        if _DIGIT.search(chunk):
            return True
        core = chunk.strip(_SIGNS)
        plain = core.isascii() and core.isalpha() and core != "be"
        return plain and not (core in self.special or chunk in self.special or self.is_stop(core))

    def most(self, chunk: str) -> int:
        """Returns an upper bound of the number of tokens that count, without cutting the chunk."""
        return sum(len(self.special.get(atom, "x")) for atom in _ATOM.findall(chunk))

    def tokens(self, chunk: str) -> list[Piece]:
        """Returns the tokens of a chunk without white space."""
        if cached := self.known.get(chunk):
            return cached
        if chunk.isdigit() and chunk.isascii() and chunk not in self.special:
            return [(len(chunk), chunk)]
        pieces: list[Piece] = []
        at = 0
        for token in self._join(self._split(chunk, self.special)):
            at += len(token)
            # The same words as in Presidio's `NlpArtifacts.set_keywords`.
            counts = not (
                self.is_stop(token) or self.is_punctuation(token) or ":" in token or token in ("be", "-PRON-")
            )
            pieces.append((at, token.lower() if counts else ""))
        # Nothing that may belong to a person is kept beyond its text.
        if len(chunk) <= _PLAIN and not _PERSONAL.search(chunk):
            if len(self.known) >= _REMEMBERED:
                self.known.clear()
            self.known[chunk] = pieces
        return pieces

    def _split(self, chunk: str, special: Mapping[str, list[str]]) -> list[str]:
        """Returns the tokens, before exceptions inside of a chunk are applied."""
        if chunk in special:
            return special[chunk]
        before: list[str] = []
        after: list[str] = []
        rules, size = self.rules, -1
        while chunk and len(chunk) != size and chunk not in special and not _matches(rules.token_match, chunk):
            size = len(chunk)
            front = _length(rules.prefix_search, chunk)
            if front and chunk[front:] in special:
                before.append(chunk[:front])
                chunk = chunk[front:]
                break
            back = _length(rules.suffix_search, chunk[front:])
            if back and chunk[:-back] in special:
                after.append(chunk[-back:])
                chunk = chunk[:-back]
                break
            if front:
                before.append(chunk[:front])
            if back:
                after.append(chunk[-back:])
            chunk = chunk[front : len(chunk) - back]
        return [*before, *self._middle(chunk, special), *reversed(after)]

    def _middle(self, chunk: str, special: Mapping[str, list[str]]) -> list[str]:
        """Returns the tokens between the signs at both ends."""
        rules = self.rules
        if chunk in special:
            return special[chunk]
        if not chunk or _matches(rules.token_match, chunk) or _matches(rules.url_match, chunk):
            return [chunk] if chunk else []
        tokens: list[str] = []
        at = 0
        for infix in rules.infix_finditer(chunk) if rules.infix_finditer else ():
            if at == 0 and infix.start() == 0:
                continue
            tokens += [chunk[at : infix.start()], infix[0]]
            at = infix.end()
        return [token for token in (*tokens, chunk[at:]) if token]

    def _join(self, tokens: list[str]) -> list[str]:
        """Returns `tokens`, in which exceptions that were cut are joined again as their rule demands; the longest
        first."""
        spans = [
            (at, at + len(cut), rule)
            for at, pair in enumerate(zip(tokens, [*tokens[1:], ""], strict=True))
            for cut, rule in (*self.sequences.get(pair, ()), *self.sequences.get((pair[0], ""), ()))
            if tokens[at : at + len(cut)] == cut
        ]
        if not spans:
            return tokens
        taken: set[int] = set()
        chosen: dict[int, tuple[int, str]] = {}
        for low, high, rule in sorted(spans, key=lambda span: (span[0] - span[1], span[0])):
            if not taken & {low, high - 1}:
                chosen[low] = high, rule
            taken |= set(range(low, high))
        joined: list[str] = []
        at = 0
        while at < len(tokens):
            high, rule = chosen.get(at, (at + 1, ""))
            joined += self.special[rule] if rule else [tokens[at]]
            at = high
        return joined


@dataclass(slots=True)
class _WordPlace:
    """The facts known of a place: the end of its chunk, the text before it in lower case, and words once they are
    cut."""

    end: int
    low: int
    lowered: str
    before: list[str] | None = None  # the token at the place first; tokens that do not count are empty
    ahead: str | None = None


class Surroundings:
    """The words around places of one text. The work for a place is cached for later calls."""

    def __init__(self, words: Words, text: str, last: bool) -> None:
        self.words, self.text, self.last = words, text, last
        self._places: dict[int, _WordPlace] = {}
        self._starts: list[int] = []
        self._chunks: list[str] = []
        for chunk in _CHUNK.finditer(text):
            self._starts.append(chunk.start())
            self._chunks.append(chunk[0])
        self._pieces: list[list[Piece] | None] = [None] * len(self._chunks)

    def support(self, start: int, context: Sequence[str]) -> bool | None:
        """Whether one of the `context` words, in lower case, is part of a word around `start`; `None`: not decided
        yet."""
        place = self._places.get(start)
        if place is None:
            low, end = max(0, start - LOOK), closes(self.text, start)
            place = self._places[start] = _WordPlace(end, low, self.text[low:end].lower())
        if place.end == len(self.text) and not self.last:
            return None
        lowered = place.lowered
        near = max(map(lowered.rfind, context))
        # If a letter became two in lower case, the word has another place.
        is_aligned = len(lowered) == place.end - place.low
        if near >= 0 and not (is_aligned and self._far(self.text[place.low + near : start])):
            if is_aligned and self._close(place.low + near, start, context):
                return True
            words = self._before(start, place)
            if any(wanted in word for word in words for wanted in context):
                return True
        if self._nothing_ahead(start, place, context):
            return False
        if self._before(start, place)[0]:
            return False
        behind = self._behind(start, place)
        return behind if behind is None else any(wanted in behind for wanted in context)

    def _far(self, between: str) -> bool:
        """Whether a word at the start of `between` is surely too far from its end. Chunks that may be cut do not
        count."""
        chunks = between.split()[1 : None if between[-1:].isspace() else -1]
        if len(chunks) < WORDS:
            return False
        count = 0
        for chunk in reversed(chunks):
            count += self.words.surely(chunk)
            if count == WORDS:
                return True
        return False

    def _close(self, near: int, start: int, context: Sequence[str]) -> bool:
        """Whether a word at `near` is surely among those that count for `start`, by the largest possible number of
        tokens."""
        first, last = bisect_right(self._starts, near) - 1, bisect_right(self._starts, start) - 1
        if first < 0 or first >= last or _PERSONAL.search(self._chunks[first]):
            return False
        left = WORDS - 1 - self.words.most(self.text[self._starts[last] : start])
        for at in range(last - 1, first, -1):
            left -= self.words.most(self._chunks[at])
            if left <= 0:
                return False
        for _, word in reversed(self._cut(first)):
            if word and left > 0 and any(wanted in word for wanted in context):
                return True
            left -= bool(word)
        return False

    def _nothing_ahead(self, start: int, place: _WordPlace, context: Sequence[str]) -> bool:
        """Whether the first word after `start` that counts surely has no part of `context`."""
        if place.ahead is None:
            high = min(len(self.text), start + LOOK)
            for chunk in _SOLID.finditer(self.text, place.end, high):
                if chunk.end() < high and self.words.surely(chunk[0]):
                    high = chunk.end()
                    break
            else:
                if not self.last and high < start + LOOK:
                    return False
            place.ahead = self.text[start:high].lower()
        return not any(word in place.ahead for word in context)

    def _before(self, start: int, place: _WordPlace) -> list[str]:
        """Returns the token at `start` and the tokens before it that count, at most `WORDS`."""
        if place.before is None:
            at, count = self._token(start)
            counted: list[str] = []
            left = WORDS
            while left and 0 <= at < len(self._chunks) and (self._starts[at] > place.low or not place.low):
                for _, word in reversed(self._cut(at)[:count]):
                    if word or not counted:
                        counted.append(word)
                        left -= bool(word)
                        if not left:
                            break
                at, count = at - 1, len(self.text)  # all of its tokens
            place.before = counted or [""]
        return place.before

    def _behind(self, start: int, place: _WordPlace) -> str | None:
        """Returns the first word after the token at `start` that counts, or an empty string; `None`: not decided
        yet."""
        at, count = self._token(start)
        high = start + LOOK
        while at < len(self._chunks):
            begin = self._starts[at]
            end = begin + len(self._chunks[at])
            if end == len(self.text) and not self.last:
                return None
            if end >= high and end > place.end:
                return ""
            if begin > place.low or not place.low:
                for _, word in self._cut(at)[count:]:
                    if word:
                        return word
            at, count = at + 1, 0
        return "" if self.last else None

    def _token(self, start: int) -> tuple[int, int]:
        """Returns the chunk of the token at `start`, and the number of the chunk's tokens up to it."""
        at = bisect_right(self._starts, start) - 1
        if at < 0 or start >= self._starts[at] + len(self._chunks[at]):
            return at + 1, 1  # the space belongs to no token, so the next token is taken
        begin = self._starts[at]
        pieces = self._cut(at)
        return at, next((count for count, (end, _) in enumerate(pieces, 1) if begin + end > start), len(pieces))

    def _cut(self, at: int) -> list[Piece]:
        """Returns the tokens of a chunk."""
        pieces = self._pieces[at]
        if pieces is None:
            chunk = self._chunks[at]
            if chunk[0].isspace():
                # One space after a token belongs to that token. The rest is a token, and it counts as a word.
                pieces = [(len(chunk), chunk[1:] if chunk[0] == " " and self._starts[at] else chunk)]
            else:
                pieces = self.words.tokens(chunk)
            self._pieces[at] = pieces
        return pieces


def _matches(rule: Any, chunk: str) -> bool:
    return rule is not None and bool(rule(chunk))


def _length(rule: Any, chunk: str) -> int:
    match = rule(chunk) if rule is not None else None
    return match.end() - match.start() if match else 0


def closes(text: str, start: int) -> int:
    """Returns the end of the chunk in which a match at `start` begins. The words before the match are known only when
    it is whole."""
    return _CLOSED.match(text, start).end()  # type: ignore[union-attr]  # it matches the empty text


@cache
def words(language: str) -> Words:
    """Returns the words of a language. Raises `ValueError` for a language that spaCy does not support, or does not
    split by rules."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import spacy  # noqa: PLC0415
        from spacy.attrs import ORTH  # noqa: PLC0415
        from spacy.lang.lex_attrs import is_punct  # noqa: PLC0415
        from spacy.tokenizer import Tokenizer  # noqa: PLC0415

        try:
            pipeline = spacy.blank(language)
        except ImportError as error:
            raise ValueError(f"spaCy has no rules for the language `{language}`") from error
    rules: Any = pipeline.tokenizer
    if type(rules) is not Tokenizer:
        raise ValueError(f"spaCy cuts the language `{language}` by other means than rules")
    stops = frozenset(pipeline.Defaults.stop_words)
    special = {text: [str(token[ORTH]) for token in cut] for text, cut in rules.rules.items()}
    built = Words(language, rules, special, {}, lambda word: word.lower() in stops, is_punct)
    for text in special:
        if any(_has_match(rule, text) for rule in (rules.prefix_search, rules.infix_finditer, rules.suffix_search)):
            cut = built._split(text, {})
            built.sequences.setdefault((cut[0], cut[1] if len(cut) > 1 else ""), []).append((cut, text))
    return built


def _has_match(rule: Any, text: str) -> bool:
    """Whether an affix is inside of an exception, which may then be cut before it is recognized."""
    return rule is not None and bool(next(iter(found), None) if hasattr(found := rule(text), "__next__") else found)
