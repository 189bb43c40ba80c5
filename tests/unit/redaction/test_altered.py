"""Placeholders that a model changed are counted by label, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.redaction import altered_placeholders
from guardproxy.redaction.placeholders import LETTERS, PLACEHOLDER
from tests.kit.play import mint

MAIL, NAME, PHONE = (
    mint("EMAIL_ADDRESS", "jo@ab.io"),
    mint("PERSON", "Jo Doe"),
    mint("PHONE_NUMBER", "+1 212 555 0100"),
)
KNOWN = (MAIL, NAME, PHONE)
CODE = MAIL[-13:-1]


@pytest.mark.parametrize(
    "text",
    [
        MAIL.lower(),
        MAIL.upper(),
        MAIL.title(),
        MAIL.strip("[]"),
        f"({MAIL[1:-1]})",
        f"**{MAIL[1:-1]}**",
        MAIL.replace("_", " "),
        MAIL.replace("_", "\\_"),
        MAIL.replace("[", "[ ").replace("]", " ]"),
        f"[ADRESSE_{CODE}]",
        f"[電子メール_{CODE}]",
        f"E-Mail {CODE}",
        f"{CODE[:4]}-{CODE[4:8]}-{CODE[8:]}",
        f"[EMAIL_ADDRESS_{CODE[:7]}]",
        f"[EMAIL_ADDRESS_{CODE[:2]}]",
        f"[EMAIL_ADDRESS_{CODE[:3]}…]",
        f"[EMAIL_ADDRESS_{CODE[:-1]}]",
        f"[EMAIL_ADDRESS_{CODE[1:]}]",
        f"[EMAIL_ADDRESS_{CODE}{CODE[-1]}]",
        "[EMAIL_ADDRESS]",
        "[EMAIL_ADDRESS_]",
        "[EMAIL_ADDRESS_1]",
        "[EMAIL_ADDRESS...]",
        "<EMAIL_ADDRESS>",
        MAIL[:-1],
    ],
)
def test_a_changed_placeholder_counts_once(text: str) -> None:
    assert altered_placeholders([f"Write to {text} now."], KNOWN) == {"EMAIL_ADDRESS": 1}


@pytest.mark.parametrize(
    "text",
    [
        MAIL,
        MAIL + NAME,
        f"[{MAIL}]",
        "[EMAIL_ADDRESS_bbbbbbbbbbbb]",  # of another exchange
        "Dear [Name], my [email address] is below",
        "EMAIL_ADDRESS is the label of it",
        "[US_SSN]",
        "hmm brrr pfft nth bcdf",
        "",
    ],
)
def test_nothing_else_counts(text: str) -> None:
    assert altered_placeholders([text], KNOWN) == {}


@pytest.mark.parametrize("label", ["PERSON", "PHONE_NUMBER", "CREDIT_CARD", "US_SSN", "EMAIL_ADDRESS", "DATE_OF_BIRTH"])
def test_a_half_is_enough_whatever_the_letters_of_the_label(label: str) -> None:
    token = mint(label, "v")
    first, second = token[:-2] + ("b" if token[-2] != "b" else "c"), ("b" if token[-13] != "b" else "c") + token[-12:-1]
    for text in (f"{first}]", f"{token[:-13]}{second}]", token[:-7], f"{token[:-4]}…", f"**{token[1:-4]}**"):
        assert altered_placeholders([f"to {text} now"], [token]) == {label: 1}, text


def test_texts_and_labels_are_added_up() -> None:
    texts = [f"{MAIL} {MAIL.lower()}", f"[PERSON] and {NAME[1:-1]} at {PHONE.lower()}"]
    assert altered_placeholders(texts, (*KNOWN, "stand-in@redacted.example")) == {
        "EMAIL_ADDRESS": 1,
        "PERSON": 2,
        "PHONE_NUMBER": 1,
    }
    assert altered_placeholders(texts, ()) == altered_placeholders(texts, ("stand-in@redacted.example",)) == {}


@given(st.lists(st.sampled_from([MAIL, NAME, MAIL.lower(), NAME[1:-1], "[PERSON]", " and ", "x, "]), max_size=30))
def test_the_count_is_that_of_the_changed_ones(parts: list[str]) -> None:
    changed = [part for part in parts if part in (MAIL.lower(), NAME[1:-1], "[PERSON]")]
    text = " . ".join(parts)
    assert sum(altered_placeholders([text], KNOWN).values()) == len(changed)


@given(st.text(alphabet=[*LETTERS, " ", "_", "[", "]", "A", "e"], max_size=200))
def test_no_text_without_letters_of_a_placeholder_counts(text: str) -> None:
    halves = {half for token in KNOWN for half in (token[-13:-7], token[-7:-1])}
    squeezed = "".join(char for char in text.lower() if char in LETTERS)
    found = altered_placeholders([text], KNOWN)
    assert not found or any(half in squeezed for half in halves)
    assert PLACEHOLDER.fullmatch(MAIL)
