"""Tests the `pii` check: its findings equal those of Presidio, and its sieve drops no text with a finding."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
import regex
from hypothesis import assume, given
from hypothesis import strategies as st

from guardproxy.checks._shared.pii import recognizers as known
from guardproxy.checks._shared.pii.cover import UNBOUNDED, UncoveredError, cover, parse, trace
from guardproxy.checks._shared.pii.engine import compile_pattern, exact
from tests.kit.checks import promise
from tests.kit.pii import IDENTIFIERS, analyzer, engine, mixed_text, outcome, recognizers, sample
from tools.differential import LANGUAGES, compare, texts

FLAGS = int(regex.IGNORECASE | regex.MULTILINE | regex.DOTALL)
ATOMS = [
    "a",
    "k",
    "S",
    "i",
    "é",
    "İ",
    "5",
    " ",
    "[ab]",
    "[^a]",
    r"[^\sk]",
    r"[^\W_]",
    "[a-k]",
    "[à-ï]",
    r"\d",
    r"\D",
    r"\w",
    r"\W",
    r"\s",
    r"\S",
    r"[\d\s]",
    ".",
    r"\p{L}",
    r"[[:alpha:]_]",
    r"[^\p{Lu}]",
    "(?i:K)",
    "(?-i:k)",
    r"\x02",
    "[^\x01-\x04]",
    "(?s:.)",
    "(?-s:.)",
]
ASSERTIONS = [r"\b", r"\B", "^", "$", r"\A", r"\Z"]
MARKS = ["*", "+", "?", "{2}", "{1,2}", "{0,2}", "{2,}", "*?", "+?", "*+", "++", "?+"]
LETTERS = st.text(st.sampled_from("abkKsSiIéİıſK5٣ \n\u00a0_\x01\x02\x1c😀"), max_size=20)


def _named(first: str, second: str, shape: str) -> str:
    """A group around `first` that `shape` refers to; at most two groups have names."""
    name = next((name for name in "gh" if f"(?P<{name}>" not in first + second), "")
    return shape.format(first=first, second=second, name=name) if name else first + second


REFERENCES = [
    "(?P<{name}>{first}){second}(?P={name})",
    "(?P<{name}>{first}){second}(?-i:(?P={name}))",
    "(?-i:(?P<{name}>{first})){second}(?P={name})",
    "(?P<{name}>{first}){second}(?P={name})+",
    "(?P<{name}>{first})?{second}(?P={name})?",
    "(?>(?P<{name}>{first}){second}(?P={name}))",
    "(?P<{name}>{first}){second}(?=(?P={name}))",
    "(?P<{name}>{first}){second}(?<=(?P={name}))",
    "(?=(?P<{name}>{first})){second}(?P={name})",
    "(?:(?P<{name}>{first})|{second})(?({name})a|5)",
    "(?P<{name}>{first})?(?({name}){second})",
]


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map("|".join).map("(?:{})".format),
        st.tuples(inner, st.sampled_from(MARKS)).map(lambda both: f"(?:{both[0]}){both[1]}"),
        st.tuples(inner, inner, st.sampled_from(REFERENCES)).map(lambda three: _named(*three)),
        inner.map("(?>{})".format),
        st.sampled_from(["(?-i:{})", "(?-s:{})", "(?-m:{})", "(?i:{})"]).flatmap(lambda scope: inner.map(scope.format)),
        st.tuples(st.sampled_from(["(?=", "(?!", "(?<=", "(?<!"]), inner).map(lambda both: f"{both[0]}{both[1]})"),
    )


PATTERNS = st.recursive(st.sampled_from(ATOMS + ASSERTIONS), _grown, max_leaves=8)
OWN = [
    (pattern.regex, int(one.global_regex_flags))
    for one in recognizers("en", every=True)
    for pattern in getattr(one, "patterns", ())
]


def _spans(pattern: Any, text: str, at: int = 0) -> list[tuple[int, int]]:
    return [match.span() for match in pattern.finditer(text, at) if match.end() > match.start()]


def assert_covered(source: str, flags: int, text: str, ends: list[int]) -> None:
    """What is found is in the cover, and what begins before the first open place is what is found in the whole text."""
    found, pattern = cover(source, flags), exact(source, flags)
    traced, whole = trace(text), _spans(pattern, text)
    body = compile_pattern(found.body)
    begin = compile_pattern(f"(?:{found.begin})\\z")
    assert len(traced) == len(text)
    for low, high in whole:
        assert body.fullmatch(traced, low, high), "the sieve lost a match"
        assert high - low <= found.reach or found.reach == UNBOUNDED
    for end in ends:
        open_at = begin.search(traced[:end])
        undecided = open_at.start() if open_at else end
        decided = [span for span in _spans(pattern, text[:end]) if span[0] < undecided]
        assert decided == [span for span in whole if span[0] < undecided], f"cut at {end}"


@promise
@given(PATTERNS, LETTERS)
def test_a_cover_loses_nothing(source: str, text: str) -> None:
    try:
        exact(source, FLAGS)
        cover(source, FLAGS)
    except (regex.error, UncoveredError):
        assume(False)
    assume(
        not compile_pattern(cover(source, FLAGS).body).fullmatch(b"")
    )  # after an empty match, `finditer` goes on in its own way
    assert_covered(source, FLAGS, text, list(range(len(text) + 1)))


@promise
@given(st.sampled_from(OWN), st.randoms(use_true_random=False), st.data())
def test_the_cover_of_each_pattern_of_presidio_loses_nothing(own: tuple[str, int], random: Random, data: Any) -> None:
    source, flags = own
    tree = parse(source, flags)[0]
    values = [sample(tree, random) for _ in range(3)]
    text = random.choice(["", " ", "x ", "1"]).join([*values, random.choice(["", "9", "-", " é", mixed_text(random)])])[
        :400
    ]
    cuts = data.draw(st.lists(st.integers(0, len(text)), min_size=1, max_size=8), label="cuts")
    assert_covered(source, flags, text, cuts)


OURS, THEIRS = engine(recognizers("en"), "en"), analyzer(recognizers("en"), "en", local=True)
SHAPES = st.lists(
    st.one_of(
        st.text("0123456789", max_size=40),
        st.text(" -./()+:,;#@x", max_size=6),
        st.text(max_size=12),
        st.sampled_from(
            [*IDENTIFIERS.values(), "phone ", "card ", "to:5 ", "the ", "٣٤٥", "４１１１", "İ", "ſ", "\u00ad", "\x1c"]
        ),
        st.sampled_from("abcdefxyz.@-_/").flatmap(lambda letter: st.integers(1, 300).map(lambda size: letter * size)),
    ),
    max_size=10,
).map("".join)


@promise
@given(SHAPES)
def test_whatever_the_text_the_findings_are_those_of_presidio(text: str) -> None:
    assert outcome(OURS, text) == outcome(THEIRS, text)


@pytest.mark.parametrize("every", [False, True])
def test_a_share_of_the_differential_test(every: bool) -> None:
    other, unexplained = compare(texts(300), every=every)
    assert unexplained == []
    assert other <= 3


@pytest.mark.parametrize("language", LANGUAGES)
def test_other_languages(language: str) -> None:
    _, unexplained = compare(texts(60), language)
    assert unexplained == []


def test_presidio_has_ten_country_recognizers_and_more() -> None:
    countries = {one.country_code() for one in recognizers("en", every=True)} - {None}
    assert len(countries) > 10
    assert len(known.configured_recognizers("en")) >= 17
