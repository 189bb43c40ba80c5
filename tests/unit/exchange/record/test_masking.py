"""What a record may show: masked texts with offsets of their own, and placeholders that stay whole."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from guardproxy.exchange.record.masking import VALUES_LIMIT_CHARS, MaskedText, Masks
from guardproxy.redaction import placeholders
from guardproxy.redaction.masking import merge
from tests.kit.play import Play, policy_set

POLICY = """
policy: p
checks: {word: {use: pattern, words: [falcon]}}
rules: [{id: r, when: word, action: flag}]
"""


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


def test_of_an_exchange_with_too_many_values_no_text_is_kept() -> None:
    assert not Masks(True, (), {"v" * (VALUES_LIMIT_CHARS + 1): "[T_x]"}).keep
    assert Masks(True, (), {"v" * VALUES_LIMIT_CHARS: "[T_x]"}).keep


def test_a_word_is_shown_if_it_was_scanned_however_often_it_is_asked_for() -> None:
    play = Play(policy_set(POLICY)).ask(
        {"model": "a model with a long name", "messages": [{"role": "user", "content": "a"}]}
    )
    side = play.exchange._ledger.request
    masks = Masks(True, (side,), {})
    for _ in range(2):
        assert masks.word("a model with a long name", side) == "a model with a long name"
        assert masks.word("another model with a long name", side) == ""


class Counting(dict[str, str]):
    """Tokens that count the characters of the values that are looked up."""

    chars = 0

    def __getitem__(self, value: str) -> str:
        self.chars += len(value)
        return super().__getitem__(value)


def test_a_long_value_that_repeats_itself_is_looked_up_once() -> None:
    """It ends at every character of a run that is longer than it is."""
    for size in (5000, 20_000):
        tokens = Counting({"A" * 2000: "[T_x]", "B" * 500: "[T_y]"})
        masks = Masks(True, (), tokens)
        assert masks.scrub("A" * size + "-" + "B" * 500) == "[T_x]-[T_y]"
        assert tokens.chars == 2500


@given(st.text("ab", min_size=1, max_size=30), st.lists(st.text("ab", min_size=1, max_size=5), min_size=1, max_size=20))
def test_known_values_are_merged_as_other_spans_are(text: str, values: list[str]) -> None:
    tokens = {value: f"<{value}>" for value in values}
    masks = Masks(True, (), tokens)
    everywhere = [
        (at, at + len(value), token)
        for value, token in tokens.items()
        for at in range(len(text))
        if text.startswith(value, at)
    ]
    assert masks._known(text) == merge(everywhere)
