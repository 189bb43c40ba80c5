"""Texts in pieces: nothing is lost, nothing is shown twice, and what stands for a replaced span is told or not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.audit.record import RecordedFinding, RecordedText
from guardproxy.console.pages.exchanges import texts
from guardproxy.console.pages.exchanges.texts import Marking, RecordPlace, Replacement, ShownPiece, pieces, text_part
from guardproxy.redaction import RESTORE
from tests.kit.records import plain_text

PLACE = RecordPlace("request", 0, 0)


def finding(start: int, end: int, check: str = "pii", label: str = "NAME", score: float = 0.5) -> RecordedFinding:
    return RecordedFinding(check=check, label=label, start=start, end=end, score=score)


def told(text: RecordedText, start: int, end: int) -> Replacement:
    return Replacement("<put>", "by r")


def untold(text: RecordedText, start: int, end: int) -> Replacement:
    return Replacement(None, "not known")


def part(text: RecordedText, number: int = 0, replacing: texts.Replacing = told) -> texts.ShownPart:
    return text_part(text, PLACE, replacing, number)


def joined(parts: tuple[ShownPiece, ...] | None) -> str:
    return "".join(piece.text for piece in parts or ())


MARKS = st.lists(
    st.builds(
        Marking,
        st.integers(-3, 40),
        st.integers(-3, 40),
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from(["found", "edited"]),
    ),
    max_size=12,
)


@given(st.text(max_size=36), MARKS, st.integers(0, 20), st.integers(0, 20))
def test_pieces_are_the_text_whatever_is_marked(text: str, marks: list[Marking], low: int, size: int) -> None:
    high = min(len(text), low + size)
    low = min(low, high)
    cut = list(pieces(text, marks, low, high))
    assert "".join(piece.text for piece in cut) == text[low:high]
    at = low
    for piece in cut:
        covering = {mark.name for mark in marks if mark.start <= at and at + len(piece.text) <= mark.end and piece.text}
        if piece.text:
            assert set(piece.names) == covering
            assert bool(piece.mark) == bool(covering)
        at += len(piece.text)


def test_a_finding_without_a_length_is_shown_at_its_place() -> None:
    assert list(pieces("ab", [Marking(1, 1, "x"), Marking(2, 2, "end")])) == [
        ShownPiece("a"),
        ShownPiece("", ("x",), "found"),
        ShownPiece("b"),
        ShownPiece("", ("end",), "found"),
    ]


def test_overlaps_name_all_and_the_strongest_mark_gives_the_colour() -> None:
    cut = list(pieces("abcdef", [Marking(0, 4, "one"), Marking(2, 6, "two", "edited")]))
    assert [(piece.text, piece.names, piece.mark) for piece in cut] == [
        ("ab", ("one",), "found"),
        ("cd", ("one", "two"), "edited"),
        ("ef", ("two",), "edited"),
    ]
    assert [piece.kind for piece in cut] == ["found", "info", "info"]
    assert [piece.title for piece in cut] == ["one", "one; two; replaced by a rule", "two; replaced by a rule"]
    assert ShownPiece("x", (), "edited").title == "replaced by a rule"


def test_ten_thousand_overlapping_findings_stay_linear() -> None:
    many = [Marking(number, 20_000 - number, f"check: {number}") for number in range(10_000)]
    cut = list(pieces("x" * 20_000, many))
    assert len(cut) == 20_000 - 1
    assert max(len(piece.names) for piece in cut) == texts.MOST_NAMES


def test_a_long_text_comes_in_parts() -> None:
    text = "".join(chr(ord("a") + number % 26) for number in range(50_001))
    recorded = plain_text(text=text, findings=(finding(19_990, 20_010),))
    parts = [part(recorded, number) for number in range(3)]
    assert "".join(joined(each.before) for each in parts) == text
    assert [(each.part, each.parts) for each in parts] == [(0, 3), (1, 3), (2, 3)]
    assert [piece.text for piece in parts[0].before if piece.mark] == [text[19_990:20_000]]
    assert [piece.text for piece in parts[1].before if piece.mark] == [text[20_000:20_010]]
    assert part(recorded, 99).part == 2
    assert part(recorded, -1).part == 0


def test_what_was_not_changed_is_shown_once() -> None:
    shown = part(plain_text(text="hello"))
    assert shown.after is None
    assert joined(shown.before) == "hello"


def test_before_and_after_an_edit() -> None:
    shown = part(plain_text(text="I am [NAME_x].", findings=(finding(5, 13),), edits=((5, 13),)))
    assert [(piece.text, piece.mark) for piece in shown.before] == [("I am ", ""), ("[NAME_x]", "edited"), (".", "")]
    assert shown.after == (ShownPiece("I am "), ShownPiece("<put>", ("by r",), "put"), ShownPiece("."))


def test_a_replacement_that_nobody_knows_or_that_is_empty() -> None:
    text = plain_text(text="a[NAME_x]b", edits=((1, 9),))
    assert (part(text, replacing=untold).after or ())[1] == ShownPiece("", ("not known",), "put")
    gone = part(text, replacing=lambda text, start, end: Replacement("", "cut"))
    assert (gone.after or ())[1] == ShownPiece("", ("cut",), "gone")


def test_what_was_not_sent_is_marked() -> None:
    shown = part(plain_text(text="abcdef", released=3, edits=((1, 2), (4, 5))))
    assert shown.after == (
        ShownPiece("a"),
        ShownPiece("<put>", ("by r",), "put"),
        ShownPiece("c"),
        ShownPiece("def", (), "unsent"),
    )
    assert part(plain_text(text="abc", released=0)).after == (ShownPiece("abc", (), "unsent"),)


def test_an_edit_over_the_border_of_parts_is_put_once() -> None:
    text = plain_text(text="x" * 40_000, edits=((19_995, 20_005), (20_005, 20_006)))
    first, second = part(text, 0).after or (), part(text, 1).after or ()
    assert [piece.text for piece in first if piece.mark] == ["<put>"]
    assert [piece.text for piece in second if piece.mark] == ["<put>"]
    assert joined(first) + joined(second) == "x" * 19_995 + "<put>" * 2 + "x" * (40_000 - 20_006)


@given(
    st.text(max_size=30),
    st.lists(st.tuples(st.integers(-2, 40), st.integers(-2, 40)), max_size=6),
    st.integers(-2, 40),
    st.booleans(),
)
def test_no_edit_of_a_hostile_record_breaks_a_page(
    text: str, edits: list[tuple[int, int]], released: int, encoded: bool
) -> None:
    recorded = plain_text(
        text=json.dumps(text) if encoded else text, edits=tuple(edits), released=released, encoded=encoded
    )
    shown = part(recorded)
    assert joined(shown.before) == ("" if shown.total_chars == 0 else joined(shown.before))
    kept = [piece.text for piece in shown.after or () if piece.mark != "put"]
    assert len("".join(kept)) <= max(shown.total_chars, 0)


def test_a_restored_placeholder_is_a_change_and_no_finding() -> None:
    restored = finding(0, 8, RESTORE, "PLACEHOLDER")
    kept = finding(9, 17, RESTORE, "PLACEHOLDER_IN_URL")
    text = plain_text(text="[NAME_x] [NAME_y]", findings=(restored, kept))
    assert texts.is_restored(restored)
    assert not texts.is_restored(kept)
    shown = part(text)
    assert shown.before == (ShownPiece("[NAME_x]", (), "restored"), ShownPiece(" [NAME_y]"))
    assert (shown.before[0].kind, shown.before[0].title) == ("good", "the client gets its value")
    unknown = part(text, replacing=untold).after or ()
    assert unknown[0] == ShownPiece("", ("not known",), "restored")
    assert shown.after == (ShownPiece("<put>", ("by r",), "put"), ShownPiece(" [NAME_y]"))


def test_a_text_that_is_not_kept() -> None:
    shown = part(plain_text(text=None, chars=7, judged=True))
    assert not shown.is_kept
    assert shown.after is None
    assert shown.flags == ("judged",)


def test_json_in_a_string_is_shown_as_checks_read_it() -> None:
    recorded = plain_text(text=json.dumps({"to": "anna"}), encoded=True, findings=(finding(3, 7),))
    shown = part(recorded)
    assert [piece.text for piece in shown.before if piece.mark] == ["anna"]
    unsent = part(plain_text(text=json.dumps({"to": "anna"}), encoded=True, released=0))
    assert [piece.mark for piece in unsent.after or ()] == ["unsent"]


def test_words_of_the_protocol_are_minor() -> None:
    assert part(plain_text(text="gpt", kind="metadata")).is_minor
    assert part(plain_text(text="gpt", kind="metadata", released=0)).is_minor
    assert part(plain_text(text="stop", fixed=True)).is_minor
    assert not part(plain_text(text="stop")).is_minor
    assert not part(plain_text(text="gpt" * 99, kind="metadata")).is_minor
    assert not part(plain_text(text="gpt", kind="metadata", findings=(finding(0, 3),))).is_minor
    assert not part(plain_text(text="gpt", kind="metadata", edits=((0, 3),))).is_minor


def test_grounds_are_marked() -> None:
    recorded = plain_text(text="so it is", grounds=(finding(0, 2, "grounded", "supported"),))
    assert part(recorded).before[0] == ShownPiece("so", ("grounded: supported",), "found")


@pytest.mark.parametrize(
    ("place", "wanted"),
    [
        (RecordPlace("request", 0, 1), "b"),
        (RecordPlace("response", 0, 0), "c"),
        (RecordPlace("request", 0, 9), None),
        (RecordPlace("response", 7, 0), None),
        (RecordPlace("response", -9, 0), None),
        (RecordPlace("request", 0, -1), None),
    ],
)
def test_a_text_by_its_place(place: RecordPlace, wanted: Any) -> None:
    sides = [[plain_text(text="a"), plain_text(text="b")], [plain_text(text="c")]]
    found = texts.part_at(sides, place)
    assert (found.text if found else None) == wanted
