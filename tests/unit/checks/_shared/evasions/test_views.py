"""Views of a text: what they read, and the way back from a view to the text."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.checks._shared.evasions.folding import table
from guardproxy.checks._shared.evasions.views import (
    DEPTH,
    Patch,
    TextView,
    hides,
    join,
    long_words,
    plain,
    read,
    unchanged_views,
)
from tests.kit.checks import promise
from tests.kit.evasions import base, percent

STANDARD, STRICT = table(False), table(True)
Cell = tuple[str, int, int]  # a character of a view and what it stands for


def _texts(text: str, strict: bool = False) -> list[str]:
    return [view.text for view in read(text, STRICT if strict else STANDARD, False).distinct()]


def _unread(text: str) -> list[str]:
    return [text[low:high] for low, high in read(text, STANDARD, False).unread]


def test_the_layers_of_a_text() -> None:
    token = ".".join(
        base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (b'{"alg": "none"}', b'{"mail": "a@b.c"}')
    )
    assert _texts("nothing here") == ["nothing here"]
    assert _texts("a\u200bb") == ["a\u200bb", "ab"]
    assert _texts(token) == [token, '{"alg": "none"}.{"mail": "a@b.c"}']
    assert _texts(base(token)) == [base(token), token, '{"alg": "none"}.{"mail": "a@b.c"}']
    assert _texts("%2541") == ["%2541", "%41", "A"]
    assert _texts("&#37;41 \uff0541") == ["&#37;41 \uff0541", "%41 %41", "A A"] or _texts("&#37;41") == [
        "&#37;41",
        "%41",
        "A",
    ]
    assert _texts("4 1 1 1 1 1 1 1", strict=True) == ["4 1 1 1 1 1 1 1", "41111111"]


def test_what_an_escape_says_is_folded() -> None:
    assert _texts("4111&nbsp;1111&#xff11;")[-1] == "4111 11111"


@pytest.mark.parametrize(
    ("text", "unread"),
    [
        (base(base("hello, how are you?")), []),
        (f"x {base(base(base('hello, how are you?')))} y", [base(base(base("hello, how are you?")))]),
        ("%252541", []),
        ("a %2525252541 b", ["%25252525"]),
        (base(percent(percent("a@b.c"))), []),
        (f"a{chr(0x200B) * 70}b", [chr(0x200B) * 65]),
    ],
)
def test_what_is_too_deep_is_said(text: str, unread: list[str]) -> None:
    assert _unread(text) == unread


def test_an_escape_that_begins_a_run_that_is_too_deep() -> None:
    text = base(base("%25" + b"ABCDEFGHIJKL".hex()))
    assert set(_unread(text)) == {text}


def test_what_is_not_unpacked_is_said() -> None:
    import gzip

    packed = base64.b64encode(gzip.compress(b"0" * 100_000, mtime=0)).decode()
    assert read(f"a {packed}", STRICT, False).unread == [(2, 2 + len(packed))]


def test_what_is_plain() -> None:
    for text in ("a word", "understands", "Straße", "жил", "it's 5 o'clock", "a b c"):
        assert plain(text, STANDARD)
        assert plain(text, STRICT)
    for text in ("100%", "a&b", "a\\b", "understanding", "4\u200b1", "４"):
        assert not plain(text, STANDARD)
    assert plain("4 1 1 1 1 1 1 1 \ud800", STANDARD)
    assert not plain("4 1 1 1 1 1 1 1 \ud800", STRICT)


def test_long_words() -> None:
    small = table(False, 10)
    assert long_words("x " + "a" * 10, small) == [(2, 12)]
    assert long_words("a" * 12 + ". " + "%" * 11 + "=", small) == [(0, 12), (14, 26)]
    assert long_words("é " + "４" * 10 + " 4", small) == [(2, 12)]
    for text in ("a" * 9 + " a", "a" * 9, "é" * 20):
        assert long_words(text, small) == []


def test_a_piece_that_says_something() -> None:
    assert hides(base("hello, how are you?"), False)
    assert hides("x" + base("hello, how are you?"), True)
    assert hides("abc%41", False)
    assert not hides("x" * 100, False)


def test_pieces_are_put_together() -> None:
    parts = ["a\u200bb ", "xx", f" {base('hello, how are you?')}"]
    starts = [0, 4, 6, 6 + len(parts[2])]
    pieces = [read(parts[0], STANDARD, True), unchanged_views(parts[1]), read(parts[2] + "\n", STANDARD, True)]
    whole = join(pieces, starts)
    assert [view.text for view in whole.distinct()] == [
        f"a\u200bb xx {base('hello, how are you?')}\n",
        f"ab xx {base('hello, how are you?')}\n",
        "ab xx hello, how are you?\n",
    ]
    last = whole.views[-1]
    assert last.patches == (Patch(1, 1, 1, 2), Patch(6, 25, 7, 35))
    assert whole.limit == 7  # a line of base64 may follow
    assert whole.spans == [(7, 35)]
    assert len(whole.views) == 2 * DEPTH + 3


def _cells(text: str) -> list[Cell]:
    return [(each, at, at + 1) for at, each in enumerate(text)]


def _edits(text: str) -> st.SearchStrategy[list[tuple[int, int, str]]]:
    def apart(places: list[int], news: list[str]) -> list[tuple[int, int, str]]:
        return [(low, high, new) for low, high, new in zip(places[::2], places[1::2], news, strict=False)]

    places = st.lists(st.integers(0, len(text)), unique=True, max_size=8).map(sorted)
    return st.builds(apart, places, st.lists(st.text("xyz", max_size=3), min_size=4, max_size=4))


@promise
@given(st.data())
def test_the_way_back(data: st.DataObject) -> None:
    """Against a model that keeps, for each character, what it stands for."""
    text = data.draw(st.text("abc", max_size=12))
    view, cells = TextView(text), _cells(text)
    for _ in range(data.draw(st.integers(1, 3))):
        edits = data.draw(_edits(view.text))
        view = view.edit(view.text, edits)
        for edit in reversed(edits):
            low, high, new = edit
            while low > 0 and cells[low - 1][1:] == cells[low][1:]:
                low, new = low - 1, cells[low - 1][0] + new
            while high < len(cells) and cells[high][1:] == cells[high - 1][1:]:
                high, new = high + 1, new + cells[high][0]
            span = (cells[low][1], cells[high - 1][2])
            cells[low:high] = [(each, *span) for each in new]
            for at, (each, start, stop) in enumerate(cells):
                if start < span[1] and span[0] < stop:
                    cells[at] = (each, *span)
        assert view.text == "".join(each for each, _, _ in cells)
        if any(cells[at][2] > cells[at + 1][1] and cells[at][1:] != cells[at + 1][1:] for at in range(len(cells) - 1)):
            return  # the model joins what the view joins; here an edit met another's in the middle
        for at, (_, start, stop) in enumerate(cells):
            assert (view.start_of(at), view.stop_of(at + 1)) == (start, stop)
    for at in range(len(view.text) + 1):
        places = view.places(at)
        if places is None:
            assert cells[at - 1][1:] == cells[at][1:]
            continue
        low, high = places
        assert 0 <= low <= high <= len(text)
        assert all(view.offset(place) == at and view.floor(place) in (place, low) for place in (low, high))
    for place in range(len(text) + 1):
        assert view.floor(place) <= place
        assert view.floor(view.floor(place)) == view.floor(place)
