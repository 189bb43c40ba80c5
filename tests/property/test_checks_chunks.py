"""Every check of texts reports the findings of the whole text, however the text is cut into chunks."""

from __future__ import annotations

from unittest.mock import patch

import re2
from hypothesis import assume, example, given
from hypothesis import strategies as st

from guardproxy.checks import pii
from guardproxy.checks._shared.declared.contract import Resources, build
from guardproxy.checks._shared.patterns.reach import compile_pattern
from guardproxy.checks._shared.patterns.shape import shape
from guardproxy.checks._shared.pii.recognizers import recognizers
from guardproxy.checks._shared.pii.words import LOOK
from tests.kit.checks import PROSE, assert_invariant, promise, whole
from tests.kit.pii import CONTEXT, IDENTIFIERS
from tests.kit.secrets import made_up

ATOMS = ["a", "b", "c", ".", "[ab]", "[^a]", r"\d", r"\w", r"\pL", "é", "😀", r"\x{e9}", "(?i:A)", " ", r"\n"]
ASSERTIONS = ["^", "$", r"\b", r"\B", r"\A", r"\z"]
MARKS = ["*", "+", "?", "{2}", "{1,2}", "{0,2}", "{2,}", "*?", "+?", "??"]
LETTERS = st.text(st.sampled_from("abcA1 é😀\n_"), max_size=24)


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


OVERRIDE_WORDS = (
    "they ", "never ", "if you ", "do not follow ", "ignore ", "ingore ", "forgot ", "all ", "of ", "my ", "your ", "prevoius ",
    "above", "everything ", "rules", "instructions", "you were told ", ". ", ", ", "\n", "vergiss alle bisherigen ", "Regeln ",
    "忽略之前的", "指令", "\u200b", "\U0001f600",
)  # fmt: skip
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
        begin = compile_pattern(f"(?:{found.prefix})\\z").search(text[:end])
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


OVERRIDES = build("pattern", "override", {"sets": ["overrides"]}, Resources())


@promise
@given(st.lists(st.sampled_from(OVERRIDE_WORDS), min_size=1, max_size=9).map("".join), st.data())
def test_the_set_of_overrides_finds_the_same_however_the_text_is_cut(text: str, data: st.DataObject) -> None:
    assert_invariant(OVERRIDES, text, _cuts(data, text))
    assert_invariant(OVERRIDES, text, range(1, len(text), data.draw(st.integers(1, 9), label="step")))


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


def _parts(values: list[str]) -> st.SearchStrategy[str]:
    """Pieces of the values, and text that stands between and around them."""
    piece = st.tuples(st.sampled_from(values), st.integers(0, 40), st.integers(1, 60)).map(
        lambda each: each[0][each[1] % len(each[0]) :][: each[2]]
    )
    return st.one_of(
        st.sampled_from(values),
        piece,
        st.sampled_from([" ", "  ", "     ", "\n", "\t", "\u00a0", ", ", ". ", *'"<-:+()/@=', "'"]),
        st.sampled_from(
            ["ext. ", "x", "AB", "WEST", "number", " is ", "account ", "password", "token", "Bearer ", *"é😀"]
        ),
        st.sampled_from(["1", "12", "4111", "212", "٣", "00", "a1", "::", "a:b", "🇩🇪", "\ud800"]),
        st.text(st.sampled_from("0123456789 -().+/x"), max_size=12),
        st.sampled_from(PROSE.split()),
    )


def _mixtures(values: list[str], most: int = 12) -> st.SearchStrategy[str]:
    return st.lists(_parts(values), max_size=most).map("".join)


SECRETS = [part for seed in (1, 2) for pair in made_up(seed).values() for part in pair]
SECRETS_CHECK = build("secrets", "secrets", {}, Resources())
NUMBERS = ["+49 30 901820", "020 7946 0018", "0044 20 7946 0018", "011 91 98765 43210", "06 12 34 56 78", "110 2024"]
PII = [*IDENTIFIERS.values(), *CONTEXT.values(), *NUMBERS]
FAR = [
    word + filler * (LOOK // len(filler)) for word in ("account ", "claim", "url: ") for filler in ("the ", " ", "-")
]
PII_CHECK = build("pii", "pii", {}, Resources())
PII_ALL = build("pii", "pii", {"entities": sorted(recognizers()), "threshold": 0.01}, Resources())


@promise
@given(_mixtures(SECRETS), st.data())
def test_secrets_are_found_the_same_however_the_text_is_cut(text: str, data: st.DataObject) -> None:
    assert_invariant(SECRETS_CHECK, text, _cuts(data, text))
    assert_invariant(SECRETS_CHECK, text, range(1, len(text), data.draw(st.integers(1, 9), label="step")))


@promise
@given(_mixtures(PII), st.data())
def test_pii_is_found_the_same_however_the_text_is_cut(text: str, data: st.DataObject) -> None:
    assert_invariant(PII_CHECK, text, _cuts(data, text))
    assert_invariant(PII_CHECK, text, range(1, len(text), data.draw(st.integers(1, 9), label="step")))


@promise
@given(_mixtures(PII), st.data())
def test_every_entity_is_found_the_same_however_the_text_is_cut(text: str, data: st.DataObject) -> None:
    assert_invariant(PII_ALL, text, _cuts(data, text))
    assert_invariant(PII_ALL, text, range(1, len(text), data.draw(st.integers(3, 19), label="step")))


@promise
@example("+00+10000", 8, None)
@given(_mixtures(PII), st.integers(8, 60), st.data())
def test_matches_that_grow_without_end_are_cut_the_same_however_the_text_is_cut(
    text: str, grid: int, data: st.DataObject | None
) -> None:
    with patch.object(pii, "MOST", grid):
        if data is not None:
            assert_invariant(PII_CHECK, text, _cuts(data, text))
        assert_invariant(PII_ALL, text, range(1, len(text), data.draw(st.integers(1, 9), label="step") if data else 1))


@promise
@given(st.lists(st.one_of(_parts(PII), st.sampled_from(FAR)), max_size=6), st.data())
def test_context_is_the_same_however_the_text_is_cut(parts: list[str], data: st.DataObject) -> None:
    text = "".join(parts)
    assert_invariant(PII_ALL, text, _cuts(data, text))
    assert_invariant(PII_ALL, text, range(1, len(text), data.draw(st.integers(31, 600), label="step")))
