"""The cover of a pattern: it may match more than the pattern, never less."""

from __future__ import annotations

import itertools
import sys

import pytest
import re2
import regex

from guardproxy.checks._shared.pii.cover import UNBOUNDED, UncoveredError, _CoverReader, cover, trace
from guardproxy.checks._shared.pii.engine import compile_pattern, exact

FLAGS = int(regex.IGNORECASE | regex.MULTILINE | regex.DOTALL)
EVERY = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x10000), *range(0x10000, sys.maxunicode, 97)]))
KINDS = dict(zip(EVERY, trace(EVERY), strict=True))
CLASSES = [
    "k",
    "[a-k]",
    "[^k]",
    "[^a-z]",
    r"\d",
    r"\D",
    r"\s",
    r"\S",
    r"\w",
    r"\W",
    r"[^\d]",
    r"[^\W_]",
    r"[^\s_]",
    r"[^\D5]",
    ".",
    "_",
    "é",
    "[à-ï]",
    "[ſK]",
    "[^é]",
    "[\x01-\x03]",
    "[^\x01-\x04]",
    r"\p{Lu}",
    r"[^\p{Lu}a]",
    "(?-i:k)",
    "(?-s:.)",
    r"[\d\s]",
    "\u00a0",
    "٣",
]


def test_a_trace_has_a_byte_for_each_character() -> None:
    assert trace("a1 é٣\u00a0€ſ\ud800😀\x02") == b"a1 _0\x02\x04_\x04\x04\x02"


@pytest.mark.parametrize("source", CLASSES)
def test_a_class_is_covered_for_every_character_there_is(source: str) -> None:
    pattern, covering = exact(source, FLAGS), compile_pattern(cover(source, FLAGS).body)
    kinds = {KINDS[letter] for letter in pattern.findall(EVERY)}
    assert kinds
    assert all(covering.fullmatch(bytes([kind])) for kind in kinds)


def test_covers_are_no_wider_than_they_need_be() -> None:
    for source, text in [
        (r"\d", "a"),
        ("[^a]", "A"),
        (r"\w", "€"),
        (r"\W", "é"),
        ("a", "b"),
        ("(?-s:.)", "\n"),
        (r"[^\W\d]", "5"),
    ]:
        assert not compile_pattern(cover(source, FLAGS).body).fullmatch(trace(text))


# Patterns with what is hard about them, each tried on all short texts over a few letters.
HARD = [
    (r"\bab?\b", "ab "),
    (r"a(?=bc)", "abc"),
    (r"a(?!bc)", "abc"),
    (r"a(?=(?:bc)+\b)b", "abc"),
    (r"(?<=a)b+", "ab "),
    (r"(?<!a)b", "ab"),
    (r"(a|ab)(?:c|bcd)", "abcd"),
    (r"(?P<q>[ab])c(?P=q)", "abc"),
    (r"a++b", "ab"),
    (r"(?>a|ab)c", "abc"),
    (r"a{2}b{0,2}?c", "abc"),
    (r"(a)?(?(1)b|c)", "abc"),
    (r"^a|b$", "ab\n"),
    (r"(?i:A)b", "aAb"),
    (r"a(?:\b|b)c?", "abc "),
    (r"(?!ab)a.", "abc"),
    (r"a{0}b", "ab"),
    (r"(?=ab\b)a", "ab "),
    (r"a(?!b+c)", "abc"),
    (r"(?:\bab|b)+c", "abc"),
]


@pytest.mark.parametrize(("source", "letters"), HARD)
def test_what_begins_before_the_first_open_place_is_decided(source: str, letters: str) -> None:
    found, pattern = cover(source, FLAGS), exact(source, FLAGS)
    body, begin = compile_pattern(found.body), compile_pattern(f"(?:{found.begin})\\z")
    for size in range(1, 6):
        for parts in itertools.product(letters, repeat=size):
            text = "".join(parts)
            whole = [match.span() for match in pattern.finditer(text)]
            assert all(body.fullmatch(trace(text), low, high) for low, high in whole)
            for end in range(size + 1):
                place = begin.search(trace(text[:end]))
                undecided = place.start() if place else end
                decided = [match.span() for match in pattern.finditer(text[:end])]
                assert [one for one in decided if one[0] < undecided] == [one for one in whole if one[0] < undecided]


def test_how_far_a_pattern_looks() -> None:
    assert (cover(r"(?<=ab\b)c{2,3}(?!\d\d)", FLAGS).behind, cover(r"(?<=ab\b)c{2,3}(?!\d\d)", FLAGS).reach) == (3, 5)
    assert (
        cover(r"(?<=a\s*)b", FLAGS).behind == cover("ab*", FLAGS).reach == cover("a(?=b*c)", FLAGS).reach == UNBOUNDED
    )
    assert cover("a{0}b", FLAGS).reach == 1
    assert cover("", FLAGS).body == "(?:)"


def test_a_class_that_takes_nothing() -> None:
    assert compile_pattern(cover(r"a|[^\s\S]", FLAGS).body).fullmatch(b"a")


def test_counts_beyond_what_re2_takes_have_no_bound() -> None:
    assert compile_pattern(cover("a{2,5000}b", FLAGS).body).fullmatch(b"a" * 6000 + b"b")


def test_flags_within_a_pattern_hold_for_all_of_it() -> None:
    assert compile_pattern(cover("a(?i)b", 0).body).fullmatch(b"AB")
    assert not compile_pattern(cover(r"a[(?i)]", 0).body).fullmatch(b"A(")
    assert compile_pattern(cover(r"(?x) a  b # and so on", 0).body).fullmatch(b"ab")
    assert compile_pattern(cover(r"\(\?i\)[]a]", 0).body).fullmatch(b"(?i)]")
    assert compile_pattern(cover(r"[[:alpha:]]\h", 0).body).fullmatch(b"7x")


@pytest.mark.parametrize(
    ("source", "flags", "words"),
    [
        ("(?:abc){e<=1}", FLAGS, "fuzzy"),
        ("a", FLAGS | int(regex.BESTMATCH), "flags"),
        (r"\X", FLAGS, "cannot be read"),
        (r"(?P<a>b(?P=a))", FLAGS, "cannot be read"),
    ],
)
def test_what_cannot_be_covered_says_why(source: str, flags: int, words: str) -> None:
    with pytest.raises(UncoveredError, match=words):
        cover(source, flags)


def test_what_a_later_python_may_read_is_not_guessed() -> None:
    with pytest.raises(UncoveredError, match="`NEWS` is not supported here"):
        _CoverReader().part("NEWS", (), 0)


def test_digits_beyond_ascii_are_digits_and_word_characters() -> None:
    body = compile_pattern(cover(r"\ba\d", FLAGS).body)
    assert body.search(trace("٣a1")) is None
    assert body.search(trace(" a٣")) is not None


def test_what_is_a_digit_or_space_to_python_is_one_to_regex() -> None:
    """Patterns for telephone numbers are read by `re`."""
    every = "".join(map(chr, [*range(128, 0xD800), *range(0xE000, sys.maxunicode + 1)]))
    digits, spaces = set(regex.findall(r"\d", every)), set(regex.findall(r"\s", every))
    assert all(letter in digits for letter in every if letter.isdecimal())
    assert all(letter in spaces for letter in every if letter.isspace())


REPEATED = [
    (r"(?>(?P<g>\b)5(?P=g))", "55"),
    (r"(?P<g>\ba)b(?P=g)", "aba"),
    (r"(?P<g>a(?=b))b(?P=g)c", "abac"),
    (r"(?P<g>(?<!b)a)b(?P=g)", "aba"),
    (r"(?P<g>(?<h>a\b)) (?P=g)b".replace("?<h>", "?P<h>"), "a ab"),
    (r"(?-i:(?P<g>[^a]))b(?P=g)", "Aba"),
    (r"(?-i:(?P<g>k))b(?P=g)", "kb\u212a"),
    (r"(?i:(a))b\1", "aba"),
]


@pytest.mark.parametrize(("source", "text"), REPEATED)
def test_a_back_reference_asks_no_assertion_of_its_group_again(source: str, text: str) -> None:
    spans = [match.span() for match in exact(source, FLAGS).finditer(text)]
    body = compile_pattern(cover(source, FLAGS).body)
    assert spans
    assert all(body.fullmatch(trace(text), *span) for span in spans)


@pytest.mark.parametrize("pattern", [r"(?-i:(a))\1", r"(a)(?-i:\1)", r"(?>(?P<g>\b)5(?P=g))", r"(\ba)\1"])
def test_a_reference_under_other_flags_than_its_group_loses_nothing(pattern: str) -> None:
    flags = int(regex.IGNORECASE | regex.MULTILINE | regex.DOTALL)
    exact, body = regex.compile(pattern, flags), re2.compile(cover(pattern, flags).body)
    texts = ["".join(letters) for size in range(1, 6) for letters in itertools.product("aA5 ", repeat=size)]
    found = [text for text in texts if exact.search(text)]
    assert found
    assert [text for text in found if not body.search(text)] == []
