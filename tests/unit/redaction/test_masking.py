"""Masked texts and translated offsets."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.redaction.masking import ByteMoves, Moves, Span, beside, mask, merge


def test_an_example() -> None:
    masked, offsets = mask("call 555-0100 or Ann now", [(5, 13, "[PHONE]"), (17, 20, "[PERSON]")])
    assert masked == "call [PHONE] or [PERSON] now"
    assert offsets.translate_span(5, 13) == (5, 12)
    assert offsets.translate_span(17, 20) == (16, 24)
    assert offsets.translate_span(14, 16) == (13, 15)
    assert offsets.translate_span(7, 9) == (5, 12)
    assert offsets.translate_span(0, 7) == (0, 12)
    assert offsets.translate_span(18, 24) == (16, 28)
    assert offsets.translate_span(0, 24) == (0, 28)


def test_nothing_to_mask() -> None:
    masked, offsets = mask("ab", [])
    assert masked == "ab"
    assert offsets.translate_span(0, 2) == (0, 2)


def test_neighbours_stay_apart() -> None:
    masked, offsets = mask("aabb", [(0, 2, "<1>"), (2, 4, "")])
    assert masked == "<1>"
    assert offsets.translate_span(0, 2) == (0, 3)
    assert offsets.translate_span(2, 4) == (3, 3)


@pytest.mark.parametrize(
    "spans",
    [
        [(1, 1, "x")],
        [(2, 1, "x")],
        [(0, 4, "x")],
        [(-1, 1, "x")],
        [(1, 2, "x"), (0, 1, "x")],
        [(0, 2, "x"), (1, 3, "x")],
    ],
)
def test_spans_that_cannot_be_masked(spans: list[Span]) -> None:
    with pytest.raises(ValueError, match="out of order"):
        mask("abc", spans)


@st.composite
def masked_texts(draw: st.DrawFn) -> tuple[str, list[Span]]:
    text = draw(st.text(max_size=40))
    edges = sorted(draw(st.sets(st.integers(0, len(text)))))
    pairs = pairwise(edges)
    chosen = [pair for pair in pairs if draw(st.booleans())]
    return text, [(start, end, draw(st.text(max_size=6))) for start, end in chosen]


@given(masked_texts())
def test_everything_else_is_where_the_map_says(example: tuple[str, list[Span]]) -> None:
    text, spans = example
    masked, offsets = mask(text, spans)
    hidden = {index for start, end, _ in spans for index in range(start, end)}
    for index, char in enumerate(text):
        if index not in hidden:
            assert masked[offsets.translate(index)] == char
    for start, end, replacement in spans:
        assert slice(*offsets.translate_span(start, end)) == slice(
            offsets.translate(start), offsets.translate(start) + len(replacement)
        )
        assert masked[slice(*offsets.translate_span(start, end))] == replacement
    assert offsets.translate(len(text)) == len(masked)
    moved = [offsets.translate(index) for index in range(len(text) + 1)]
    assert moved == sorted(moved)


@given(masked_texts(), st.data())
def test_a_finding_covers_what_it_covered(example: tuple[str, list[Span]], data: st.DataObject) -> None:
    text, spans = example
    masked, offsets = mask(text, spans)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    expected = ""
    at = start
    for span_start, span_end, replacement in spans:
        if span_end > start and span_start < end:
            expected += text[at:span_start] + replacement
            at = span_end
    expected += text[at:end]
    masked_start, masked_end = offsets.translate_span(start, end)
    if start < end:
        assert masked[masked_start:masked_end] == expected


def test_edits_that_become_known_over_time_move_offsets_there_and_back() -> None:
    edits = [(2, 4, "<long>"), (6, 7, "")]
    moves = Moves()
    moves.take(edits, 1)
    assert moves.there.translate(6) == 10
    moves.take(edits, 2)
    moves.take(edits, 2)
    assert [moves.there.translate(at) for at in (0, 2, 4, 6, 7, 9)] == [0, 2, 8, 10, 10, 12]
    assert [moves.back.translate(at) for at in (0, 2, 8, 12)] == [0, 2, 4, 9]


def test_spans_that_overlap_become_one() -> None:
    assert merge([(4, 6, "c"), (0, 3, "b"), (0, 5, "a"), (8, 9, "d"), (9, 10, "e")]) == [
        (0, 6, "a"),
        (8, 9, "d"),
        (9, 10, "e"),
    ]


def test_of_a_span_the_parts_beside_others_are_left() -> None:
    spans = [(0, 2, "a"), (3, 9, "b"), (10, 12, "c")]
    assert list(beside(spans, [(1, 2, "-"), (4, 5, "-"), (6, 10, "-"), (11, 20, "-")])) == [
        (0, 1, "a"),
        (3, 4, "b"),
        (5, 6, "b"),
        (10, 11, "c"),
    ]
    assert list(beside([(0, 2, "a")], [(2, 3, "-")])) == [(0, 2, "a")]


def test_offsets_in_bytes_follow_edits_that_are_added_over_time() -> None:
    text, moves = "ü mail ö key é", ByteMoves()
    edits = [(2, 6, "[MÄIL]"), (9, 12, "")]
    edited = "ü [MÄIL] ö  é"
    assert moves.take(edits, 0, lambda start, end: text[start:end]).translate_span(0, 18) == (0, 18)
    there = moves.take(edits, 1, lambda start, end: text[start:end])
    assert there.translate_span(3, 7) == (3, 10)
    there = moves.take(edits, 2, lambda start, end: text[start:end])
    for word in ("ü", "ö", "é"):
        start = len(text[: text.index(word)].encode())
        low, high = there.translate_span(start, start + len(word.encode()))
        assert edited.encode()[low:high].decode() == word
