"""A text around what was found in it: in order, marked, and no longer than it must be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from guardproxy.policydiff.excerpts import LIMIT_CHARS, ExcerptPart, excerpt
from guardproxy.replay.comparison import text_at
from tests.kit.records import plain_answer, plain_attempt, plain_record, plain_text


def test_what_was_found_is_marked() -> None:
    expected = (ExcerptPart("to "), ExcerptPart("jo@ab.io", "MAIL"), ExcerptPart(" now"))
    assert excerpt("to jo@ab.io now", [(3, 11, "MAIL")]) == expected
    assert excerpt("", []) == ()
    assert excerpt("plain", []) == (ExcerptPart("plain"),)


def test_spans_that_overlap_are_one() -> None:
    assert excerpt("abcdef", [(2, 5, "B"), (1, 3, "A")]) == (
        ExcerptPart("a"),
        ExcerptPart("bcde", "A"),
        ExcerptPart("f"),
    )


def test_long_texts_are_cut_between_what_was_found() -> None:
    text = "x" * 100 + "A" + "y" * 300 + "B" + "z" * 100
    parts = excerpt(text, [(100, 101, "L"), (401, 402, "L")], around=10)
    assert [part.text for part in parts] == ["… " + "x" * 10, "A", "y" * 10 + "… " + "y" * 10, "B", "z" * 10 + " …"]
    (only,) = excerpt("w" * 1000, [])
    assert only.text == "w" * LIMIT_CHARS + " …"
    (long,) = excerpt("v" * 1000, [(0, 1000, "L")])
    assert len(long.text) == LIMIT_CHARS + 3


SPANS = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 30)).map(lambda one: (min(one), max(one), "L")), max_size=5
)


@given(st.text(min_size=30, max_size=30), SPANS)
def test_a_short_text_is_shown_whole(text: str, spans: list[tuple[int, int, str]]) -> None:
    parts = excerpt(text, spans)
    assert "".join(part.text for part in parts) == text
    marked = {at for start, end, _ in spans for at in range(start, end)}
    shown: list[bool] = []
    for part in parts:
        shown += [bool(part.mark)] * len(part.text)
    assert {at for at, is_marked in enumerate(shown) if is_marked} == marked


def test_the_text_at_a_place() -> None:
    attempts = (plain_attempt(plain_answer(plain_text("p", "first"))), plain_attempt())
    record = plain_record(plain_answer(plain_text("p", "last")), plain_text("p", "asked"), attempts=attempts)
    assert text_at(record, "request", "p") == "asked"
    assert [text_at(record, "response", "p", number) for number in (0, 1, 7)] == ["first", "last", "last"]
    assert text_at(plain_record(plain_answer(), plain_text("p", None)), "request", "p") is None
    assert text_at(record, "request", "q") is None
