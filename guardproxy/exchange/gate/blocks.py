"""Finds the documents in a text by the marks around them: tags, fences of Markdown, and lines.

In: the parts of a message, which are one text. Out: the spans of each document, in the text as a whole. A document in which
others lie has several spans, as their text is theirs.

Rules that must hold
- What opened first decides. In a fence nothing is a mark but its end, which is at least as long. In other documents, tags and
  lines are marks, and the end of an outer document ends those in it.
- A mark that opens a document which is open ends that one, and begins another. So a document that forges the mark of its
  beginning hides nothing.
- A document reaches to the last mark of its end before another document begins. So a document that forges the mark of its end
  hides nothing that stands before the true end.
- A document without an end reaches to the end of the text.
- The cost is linear in the length of the text.

Decision: docs/decisions/0075-tagged-blocks-are-documents.md
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, islice
from typing import NamedTuple

Span = tuple[int, int]
PartSpan = tuple[int, int, int]
"""The number of a part, and a span in it."""
ANY = "*"
MOST_BLOCKS = 1000
"""The documents of a message. The last one reaches to the end of the text."""
MOST_MARKS = 4 * MOST_BLOCKS
"""The marks of a kind that are looked at. What follows them is a document."""
MOST_DEPTH = 8
"""The documents that lie within each other. A further mark is text of the innermost one."""
_FENCE = r"(?P<fence>`{3,}+|~{3,}+)(?P<info>[^\n]*+)"
_END = r"[ \t\r]*+(?=\n|\Z)"
_BLANK = " \t"
_WORD = r"[\w.:-]*+"
_CLOSED = re.compile(r"(?:\A|[\s\"'])/\Z")  # how the attributes of a tag without content end


class Block(NamedTuple):
    """A document. `spans`: of its text; some may be empty or blank. `aside`: that of the attributes of its tag, which may be
    empty: they are not the template's words either."""

    spans: list[Span]
    aside: Span = (0, 0)


class _BlockMark(NamedTuple):
    """A mark in the text. `opens`: the name of the document that it begins, empty if it begins none; `closes`: the names of
    those that it ends. `aside`: where its attributes are. `is_inline`: a tag in the middle of a line; `is_quoted`: a tag in
    backquotes, as in a text about the tag; `is_empty`: a tag that says that it has no content. `fence`: the signs of a fence;
    `may_end`: whether the fence may end a document."""

    start: int
    end: int
    opens: str = ""
    closes: tuple[str, ...] = ()
    aside: Span = (0, 0)
    is_inline: bool = False
    is_quoted: bool = False
    is_empty: bool = False
    fence: str = ""
    may_end: bool = False


class _LineMeaning(NamedTuple):
    """What a line means. `opens`, `closes`: as of a mark."""

    opens: str = ""
    closes: tuple[str, ...] = ()


@dataclass(slots=True)
class _OpenBlock:
    """A document that is open. `fence`: the signs of the fence that began it."""

    name: str
    spans: list[Span]
    fence: str = ""


@dataclass(slots=True)
class _Nesting:
    """The documents so far. `at`: the end of the last mark; `ended`: the outermost document that has just ended, as long as no
    other begins, and `ended_at` the mark of its end."""

    blocks: list[Block] = field(default_factory=list)
    stack: list[_OpenBlock] = field(default_factory=list)
    at: int = 0
    ended: _OpenBlock | None = None
    ended_at: int = 0

    def add(self, mark: _BlockMark, *, is_last: bool) -> None:
        """Takes the next mark. `is_last`: a line on both sides of documents does not come again, so it begins none."""
        stack = self.stack
        if stack and stack[-1].fence:
            signs = stack[-1].fence
            if mark.may_end and mark.fence[0] == signs[0] and len(mark.fence) >= len(signs):
                self._leave(0, mark)
            return
        if mark.fence:
            if not stack:
                self._enter(mark)
            return
        number = self._number(mark.closes)
        if number is None and not stack and self.ended is not None and self.ended.name in mark.closes:
            self._extend(self.ended, mark)
        if mark.opens and not (is_last and number is not None):
            again = self._number((mark.opens,))
            number = again if number is None or (again is not None and again < number) else number
            if number is not None or len(stack) < MOST_DEPTH:
                self._leave(number, mark)
                self._enter(mark)
        elif number is not None:
            self._leave(number, mark)

    def end(self, at: int, limit: int) -> None:
        """Ends the text. `limit`: where marks behind it were not looked at."""
        if limit < at and not self.stack:
            begin = max(limit, self.at)  # a tag that began before the limit may end behind it
            self._enter(_BlockMark(begin, begin))
        if self.stack:
            self.stack[-1].spans.append((self.at, at))

    def _number(self, names: tuple[str, ...]) -> int | None:
        """The place of the outermost open document of these names."""
        return next((number for number, each in enumerate(self.stack) if each.name in names), None)

    def _leave(self, number: int | None, mark: _BlockMark) -> None:
        """Ends the text before a mark, and the open documents from this number on."""
        if not self.stack:
            return
        self.stack[-1].spans.append((self.at, mark.start))
        self.at = mark.end
        if number is not None:
            self.ended, self.ended_at = (self.stack[0] if number == 0 else None), mark.start
            del self.stack[number:]

    def _enter(self, mark: _BlockMark) -> None:
        # Shared by the document and its entry on the stack, through which spans are added later.
        spans: list[Span] = []
        self.blocks.append(Block(spans, mark.aside))
        self.stack.append(_OpenBlock(mark.opens, spans, mark.fence))
        self.at, self.ended = mark.end, None

    def _extend(self, ended: _OpenBlock, mark: _BlockMark) -> None:
        """Adds what stands before another mark of the end of a document: the mark before was a part of it."""
        if ended.spans and ended.spans[-1][1] == self.ended_at:
            ended.spans[-1] = (ended.spans[-1][0], mark.start)
        else:
            ended.spans.append((self.ended_at, mark.start))
        self.ended_at, self.at = mark.start, mark.end


class BlockGrammar:
    """The marks of documents. `tags`: names of tags, in which `*` stands for any letters; `lines`: the lines before and after
    documents; `has_fences`: whether fenced blocks are documents."""

    def __init__(self, tags: Sequence[str], lines: Sequence[tuple[str, str]], *, has_fences: bool) -> None:
        names = "|".join(dict.fromkeys(_pattern_of(name) for name in tags))
        opening, closing = rf"<\s*+({names})(?=[\s/>])([^>]*+)>", rf"<\s*+/\s*+({names})\s*+>"
        self._tag = re.compile(f"{opening}|{closing}", re.IGNORECASE) if names else None
        self._meanings = _meanings(lines)
        patterns = [_FENCE] if has_fences else []
        # A whole line comes before the beginning of a line, and a long one before a short one.
        written = sorted(self._meanings, key=lambda line: (ANY in line, -len(line)))
        self._written = {f"line{number}": line for number, line in enumerate(written)}
        patterns += [f"(?P<{name}>{_line_pattern(line, name)})" for name, line in self._written.items()]
        self._line = re.compile(rf"\n[ \t]*+(?:{'|'.join(patterns)})") if patterns else None

    def blocks(self, parts: Sequence[str], *, is_strict: bool = False) -> list[Block]:
        """Returns the documents. `is_strict`: a tag in the middle of a line begins none if nothing ends that."""
        whole = "".join(parts)
        starts = PartBorders.of(parts).starts
        tags = self._tags_in(whole, starts)
        lines = list(islice(self._lines_in(parts, starts), MOST_MARKS)) if self._line else []
        # Marks behind the limit were not looked at, so all text behind it counts as a document.
        limit = min([len(whole), *(marks[-1].end for marks in (tags, lines) if len(marks) == MOST_MARKS)])
        tags = _without_mentions(tags, is_strict=is_strict)
        # Of two marks at one place the longer comes first, and the other is skipped below.
        marks = sorted((*tags, *lines), key=lambda mark: (mark.start, -mark.end)) if lines else tags
        last = {mark.opens: mark.start for mark in lines if mark.opens in mark.closes}
        nesting = _Nesting()
        for mark in marks:
            if mark.start < nesting.at:  # the same place, read as a line and as a tag
                continue
            nesting.add(mark, is_last=last.get(mark.opens) == mark.start)
            if mark.end >= limit or len(nesting.blocks) == MOST_BLOCKS:
                break
        nesting.end(len(whole), limit)
        return nesting.blocks

    def _tags_in(self, whole: str, starts: Sequence[int]) -> list[_BlockMark]:
        """Returns the tags."""
        if self._tag is None:
            return []
        borders = frozenset(starts)
        # Without the limit, each `<` before a text without `>` would be read to its end.
        found = self._tag.finditer(whole, 0, whole.rfind(">") + 1)
        return [_tag(match, is_inline=_is_inline(whole, match.start(), borders)) for match in islice(found, MOST_MARKS)]

    def _lines_in(self, parts: Sequence[str], starts: Sequence[int]) -> Iterator[_BlockMark]:
        """Yields the fences and lines. A part begins and ends a line."""
        assert self._line is not None  # noqa: S101 - asked by the caller
        for start, part in zip(starts, parts, strict=False):
            # The pattern begins with the line break before a line. The added one stands for that of the first line; a
            # match then begins, in the part, where its line begins.
            for match in self._line.finditer("\n" + part):
                groups = match.groupdict()
                low, high = start + match.start(), start + match.end() - 1
                if signs := groups.get("fence"):
                    if signs[0] == "~" or "`" not in match["info"]:
                        yield _BlockMark(low, high, fence=signs, may_end=not match["info"].strip())
                    continue
                name = next(name for name in self._written if groups[name] is not None)
                meaning = self._meanings[self._written[name]]
                yield _BlockMark(low + len(groups.get(f"{name}_before") or ""), high, meaning.opens, meaning.closes)


def _pattern_of(name: str) -> str:
    before, star, after = name.partition(ANY)
    return re.escape(before) + (rf"[\w.:-]*?{re.escape(after)}" if after else _WORD if star else "")


def _line_pattern(line: str, name: str) -> str:
    words = re.escape(line.strip(ANY).strip())
    if line.startswith(ANY):
        return rf"(?P<{name}_before>[^\n]*?){words}{_END}"
    return words if line.endswith(ANY) else words + _END


def _meanings(lines: Sequence[tuple[str, str]]) -> Mapping[str, _LineMeaning]:
    """Returns what each line means. A line may end several documents, and begin one."""
    meanings: dict[str, _LineMeaning] = {}
    for begin, end in lines:
        meanings[begin] = meanings.get(begin, _LineMeaning())._replace(opens=f"line {begin}")
        if end:
            before = meanings.get(end, _LineMeaning())
            meanings[end] = before._replace(closes=(*before.closes, f"line {begin}"))
    return meanings


def _tag(match: re.Match[str], *, is_inline: bool) -> _BlockMark:
    """Returns the mark of a tag."""
    start, end = match.span()
    is_quoted = match.string[max(0, start - 1) : start] == "`" == match.string[end : end + 1]
    if match[3]:
        return _BlockMark(start, end, closes=(f"<{match[3].lower()}>",), is_quoted=is_quoted)
    name, is_empty = f"<{match[1].lower()}>", _CLOSED.search(match[2]) is not None
    return _BlockMark(
        start, end, name, aside=match.span(2), is_inline=is_inline, is_quoted=is_quoted, is_empty=is_empty
    )


def _is_inline(whole: str, at: int, borders: frozenset[int]) -> bool:
    """Whether a place is in the middle of a line. A part begins a line."""
    # The first border is 0, so the walk ends.
    while at not in borders and whole[at - 1] in _BLANK:
        at -= 1
    return at not in borders and whole[at - 1] not in "\r\n"


def _without_mentions(tags: Sequence[_BlockMark], *, is_strict: bool) -> list[_BlockMark]:
    """Returns tags without those that are no marks: in backquotes; in the middle of a line, if the next tag of the name begins
    a document at the beginning of a line; and without content, if the next tag of the name does not end a document.
    `is_strict`: a tag in the middle of a line begins nothing either if no tag of the name follows."""
    following: dict[str, _BlockMark] = {}
    kept: list[_BlockMark] = []
    for mark in reversed(tags):
        name = mark.opens or mark.closes[0]
        after = following.get(name)
        if mark.is_quoted:
            continue
        if mark.opens and mark.is_inline and (is_strict if after is None else after.opens and not after.is_inline):
            continue
        if mark.is_empty and (after is None or after.opens):
            continue
        following[name] = mark
        kept.append(mark)
    return kept[::-1]


@dataclass(frozen=True, slots=True)
class PartBorders:
    """Parts that are read as one text, and where each begins in it."""

    parts: Sequence[str]
    starts: Sequence[int]

    @classmethod
    def of(cls, parts: Sequence[str]) -> PartBorders:
        """Returns the borders of parts."""
        return cls(parts, (0, *accumulate(map(len, parts))))

    def within(self, spans: Iterable[Span]) -> Iterator[PartSpan]:
        """Yields spans of the text as spans of its parts, without blanks at both ends. Blank spans are left out."""
        starts = self.starts
        for start, end in spans:
            number = bisect_right(starts, start) - 1
            while number < len(self.parts) and starts[number] < end:
                begin = starts[number]
                yield from bare(
                    number, self.parts[number], max(start, begin) - begin, min(end, starts[number + 1]) - begin
                )
                number += 1


def bare(number: int, part: str, start: int, end: int) -> Iterator[PartSpan]:
    """Yields a span of a part without blanks at both ends; nothing if it is blank."""
    text = part[start:end]
    if stripped := text.strip():
        low = start + len(text) - len(text.lstrip())
        yield number, low, low + len(stripped)
