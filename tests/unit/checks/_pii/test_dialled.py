"""Telephone numbers that no numbering plan has, and local ones after a word for a telephone."""

from __future__ import annotations

import pytest

from guardproxy.checks import Check, Resources, build
from guardproxy.checks._pii.before import NEAR
from guardproxy.testing import assert_every_split, assert_promise, whole

STRICT, EXTENDED = (
    build("pii", "pii", {"entities": ["PHONE_NUMBER"], "evasions": "off", "parity": parity}, Resources())
    for parity in ("strict", "extended")
)
FOUND = {
    "ask +1 280 407 7888 then": "+1 280 407 7888",
    "ask +1-275-557-8939x9617.": "+1-275-557-8939x9617",
    "ask +31814-955808, or": "+31814-955808",
    "ask +1234567890 if": "+1234567890",
    "(+1-383-858-2951), mother": "+1-383-858-2951",
    "Salazar ((389)137-6771)": "(389)137-6771",
    "ask (560) 228-0113 ext. 12 now": "(560) 228-0113 ext. 12",
    "ask 001-426-835-6993 now": "001-426-835-6993",
    "Phone: 555-1234\nDoctor": "555-1234",
    "Phone:\n555-1234": "555-1234",
    "My phone number is 271.519.0578.": "271.519.0578",
    "can you call me back on 34-998-753?": "34-998-753",
    "my new number is 555-1234 if": "555-1234",
    "Do you have my new number? It's 555-0123.": "555-0123",
    "Handynr. 79 56 12 34": "79 56 12 34",
    "Mein Handy: 123456": "123456",
    "\ud800 phone 55-4481": "55-4481",
    "mon num\u00e9ro est le 0039475401437.": "0039475401437",
    "tel. nr: 55\u00a0448\u00a025": "55\u00a0448\u00a025",
    "M\u00f3vil 15 506 681": "15 506 681",
    "Fax 75.12.34": "75.12.34",
    "Phone 55-1234 24/7": "55-1234",
    "Phone 555-1234 2 times": "555-1234",
    "Phone 555-1234 555-9876 555-0000": "555-1234 555-9876",
}
HARMLESS = [
    "the telephone of 2024-01-05", "call 2024-01-05 10 times", "dial in at 12.05.2018", "call 12/31/99",
    "phone 2019-2024", "phone 10.0.0.1", "phone 1234.50", "phone 12345 6", "phone 1234 24/7", "fax 20240105101500",
    "call 1234567", "call 12-34-56", "tracking number 12345678", "account number 555-1234", "the number is 5551234",
    "recall 556-1234", "x+1234567890", "1e+1234567890", "+40.712776 lat", "+12345678", "+2101234567890123456",
    "+ 1234567890", "phone model with a large case 123-4567", "phone v1.2-345678", "phone\n\n\n123-4567",
    "call 0000 123 456 789 012", "+9991234567890", "2022-123-456-7890", "123-456-78901",
]  # fmt: skip


def found(check: Check, text: str) -> list[str]:
    return [text[finding.start : finding.end] for finding in whole(check, text)]


@pytest.mark.parametrize("text", FOUND)
def test_what_people_write_is_found(text: str) -> None:
    assert found(STRICT, text) == []
    assert found(EXTENDED, text) == [FOUND[text]]
    assert_every_split(EXTENDED, text)


@pytest.mark.parametrize("text", HARMLESS)
def test_other_numbers_are_none(text: str) -> None:
    assert found(EXTENDED, text) == found(STRICT, text)


def test_the_words_before_a_number_are_read_to_a_fixed_distance() -> None:
    """So a stream is read as the whole text, wherever it was cut."""
    for gap in range(NEAR + 8):
        text = f"{'so it is ' * 9}phone{' ' * min(gap, 6)}{'.' * max(gap - 6, 0)} 555-1234 now"
        assert_every_split(EXTENDED, text)
    assert_promise(
        EXTENDED,
        [
            "phone",
            "call",
            " me",
            " on",
            ": ",
            " ",
            "555-1234",
            "+1 28",
            "0 407 7888",
            "(560) ",
            "228-0113",
            " x1",
            ".\n",
        ],
        200,
    )


@pytest.mark.parametrize(("text", "score"), [("+1 280 407 7888", 0.4), ("(560) 228-0113", 0.4), ("556-1234", None)])
def test_a_word_before_a_number_raises_its_score_as_in_presidio(text: str, score: float | None) -> None:
    assert [finding.score for finding in whole(EXTENDED, f"so {text}")] == ([] if score is None else [score])
    assert [finding.score for finding in whole(EXTENDED, f"Tel. {text}")] == [0.75]
    assert [finding.score for finding in whole(EXTENDED, f"please call me at {text}")] == [0.75]


def test_the_parity_changes_the_digest() -> None:
    assert STRICT.digest != EXTENDED.digest
