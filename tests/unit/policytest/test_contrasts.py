"""Two texts side by side: nothing is lost but what both have, and what differs is marked."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from guardproxy.policytest.contrasts import Fragment, contrast


def test_what_differs_is_marked_word_by_word() -> None:
    wanted, got = contrast("to [MAIL_1] now", "to jo@ab.io now")
    assert wanted[0] == Fragment("to ")
    assert "".join(part.text for part in wanted) == "to [MAIL_1] now"
    assert "".join(part.text for part in got) == "to jo@ab.io now"
    assert wanted[-1] == got[-1] == Fragment(" now")
    assert any(part.differs for part in wanted)
    assert any(part.differs for part in got)


def test_what_only_one_has() -> None:
    assert contrast("a", "a b") == ((Fragment("a"),), (Fragment("a"), Fragment(" b", True)))
    assert contrast("a b", "a") == ((Fragment("a"), Fragment(" b", True)), (Fragment("a"),))


def test_long_parts_of_both_are_shortened() -> None:
    long = "word " * 100
    wanted, got = contrast(f"{long}x {long}y {long}", f"{long}1 {long}2 {long}")
    assert [part.text for part in wanted if part.differs] == ["x", "y"]
    assert [part.text for part in got if part.differs] == ["1", "2"]
    assert all(len(part.text) <= 81 for part in wanted)
    assert wanted[0].text.startswith("…")
    assert wanted[-1].text.endswith("…")


def test_equal_texts_are_one_part() -> None:
    assert contrast("word " * 100, "word " * 100)[0] == (Fragment("word " * 100),)
    assert contrast("", "") == ((), ())


SHORT = st.text(alphabet="ab \n", max_size=12)


@given(SHORT, SHORT)
def test_the_marked_parts_are_all_that_differs(wanted: str, got: str) -> None:
    first, second = contrast(wanted, got)
    assert "".join(part.text for part in first) == wanted
    assert "".join(part.text for part in second) == got
    common = ["".join(part.text for part in parts if not part.differs) for parts in (first, second)]
    assert common[0] == common[1]
    assert any(part.differs for part in (*first, *second)) == (wanted != got)
