"""The promise of every text check: however the text is cut, the findings are those of the whole text."""

from __future__ import annotations

import re2
from hypothesis import assume, given
from hypothesis import strategies as st

from guardproxy.checks import Resources, build
from guardproxy.checks._reach import compiled
from guardproxy.checks._shape import shape
from tests.support_checks import assert_invariant, promise, whole

ATOMS = ["a", "b", "c", ".", "[ab]", "[^a]", r"\d", r"\w", r"\pL", "é", "😀", r"\x{e9}", "(?i:A)", " ", r"\n"]
ASSERTIONS = ["^", "$", r"\b", r"\B", r"\A", r"\z"]
MARKS = ["*", "+", "?", "{2}", "{1,2}", "{0,2}", "{2,}", "*?", "+?", "??"]
LETTERS = st.text(st.sampled_from("abcA1 é😀\n_"), max_size=14)


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map("|".join).map("(?:{})".format),
        st.tuples(inner, st.sampled_from(MARKS)).map(lambda both: f"(?:{both[0]}){both[1]}"),
        inner.map("({})".format),
        st.tuples(inner, inner).map(lambda both: f"(?:{both[0]}(?i){both[1]})"),
        inner.map("(?m:{})".format),
        inner.map("(?s:{})".format),
    )


PATTERNS = st.recursive(st.sampled_from(ATOMS + ASSERTIONS), _grown, max_leaves=8)


def _cuts(data: st.DataObject, text: str) -> list[int]:
    return data.draw(st.lists(st.integers(0, len(text)), max_size=6), label="cuts")


@promise
@given(PATTERNS, LETTERS)
def test_the_beginnings_of_a_match_are_its_beginnings(pattern: str, text: str) -> None:
    found = shape(pattern)
    match = re2.compile(pattern).search(text)
    assert (match is None) == (re2.compile(found.source).search(text) is None)
    assume(match is not None and match.end() > match.start())
    assert re2.compile(found.source).search(text, match.start(), match.end()).span() == match.span() or "?" in pattern
    assert found.least <= match.end() - match.start()
    assert found.most is None or match.end() - match.start() <= found.most
    for end in range(match.start() + 1, match.end() + 1):
        begin = compiled(f"(?:{found.prefix})\\z").search(text[:end])
        assert begin is not None
        assert begin.start() <= match.start()


@promise
@given(st.lists(PATTERNS, min_size=1, max_size=3), st.integers(1, 6), LETTERS, st.data())
def test_patterns_find_the_same_however_the_text_is_cut(
    patterns: list[str], cap: int, text: str, data: st.DataObject
) -> None:
    assume(
        all(
            each.strip() and shape(each).least > 0 and (shape(each).most or shape(each).least <= cap)
            for each in patterns
        )
    )
    check = build("pattern", "words", {"patterns": patterns, "cap": cap}, Resources())
    assert_invariant(check, text, _cuts(data, text))
    assert_invariant(check, text, range(1, len(text)))


@promise
@given(
    st.lists(st.text(st.sampled_from("abé -"), min_size=1, max_size=4).filter(str.strip), min_size=1),
    LETTERS,
    st.data(),
)
def test_words_are_found_the_same_however_the_text_is_cut(words: list[str], text: str, data: st.DataObject) -> None:
    check = build("pattern", "words", {"words": words}, Resources())
    assert_invariant(check, text, _cuts(data, text))
    folded = text.lower()
    for finding in whole(check, text):
        assert any(word.strip().lower() in folded[finding.start : finding.end] for word in words)
