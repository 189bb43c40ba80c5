"""What a record may show: masked texts with offsets of their own, and placeholders that stay whole."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from guardproxy.exchange.masked import MaskedText, Masks
from guardproxy.redaction import placeholders


def test_a_text_that_is_not_kept_has_its_own_offsets() -> None:
    assert MaskedText(None).span(3, 5) == (3, 5)
    assert MaskedText(None).wire_end(7) == 7
    assert MaskedText("").wire_end(0) == 0


@given(
    st.binary(min_size=16, max_size=16), st.sampled_from(placeholders.LETTERS), st.sampled_from(placeholders.LETTERS)
)
def test_what_stands_for_a_value_is_whole_though_its_letters_are_one(key: bytes, first: str, second: str) -> None:
    tokens = {one: placeholders.mint(key, "t", "FIRST", one) for one in (first, second)}
    masks = Masks(True, (), tokens)
    assert masks.scrub(f"{tokens[first]}. {first}") == f"{tokens[first]}. {tokens[first]}"
    assert masks.scrub(f"{tokens[first]}{tokens[second]}") == f"{tokens[first]}{tokens[second]}"
    nobodys = f"[OTHER_{first * 12}]"  # looks like one, and is none of this exchange
    assert masks.scrub(nobodys) == f"[OTHER_{tokens[first] * 12}]"
