"""Telephone numbers that no numbering plan has, and local ones after a word for a telephone."""

from __future__ import annotations

import phonenumbers
import pytest

from guardproxy.checks import Check, Resources, build
from guardproxy.checks._shared.pii.extended.before import NEAR
from guardproxy.testing import assert_every_split, assert_promise, scan_in_chunks, whole
from tests.kit.marked import marked

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

MORE = {
    "see 415 555 0132": ["415 555 0132"],
    "see 415 556 0132 4": ["415 556 0132"],
    "see 415 556 0132 41 42": [],
    "see 3 415 556 0132": [],
    "E-mail: 935771915@mail.example": [],
    "a number of cases, then 100-1000 or more": [],
    "Apt 5 (560) 228-0113": ["(560) 228-0113"],
    "Apt 5 560-228-0113": ["560-228-0113"],
    "a/560-228-0113": [],
    "so / 415-556-0132": ["415-556-0132"],
    "see 111-222-1112": [],
    "number 612 345 678": [],
    "hmu 612 345 678": ["612 345 678"],
    "Please call. 612 345 678 people": ["612 345 678"],
    "Please call. The sum is 612 345 678": [],
    "call id 612 345 678": [],
    "Please call Jo at the id 612 345 678": [],
    "mail a@b.co, 612 345 678": ["612 345 678"],
    "My number? Sure, it is: wait, 556-0147": ["556-0147"],
    "number, wait: wait, 556-0147": [],
    "order number, wait: wait, 556-0147": [],
    "call\n\n\n556-0147": [],
    "text me 556-0147": ["556-0147"],
    "me text 556-0147": [],
    "text 556-0147": [],
    "\u260e\ufe0f 5560147": ["5560147"],
    "\nT: 556-0147": ["556-0147"],
    "my number is 5560147": ["5560147"],
    "my number is 556014": [],
    "my big number is 5560147": [],
    "emergency number 5560147": ["5560147"],
    "5560147 (cell)": ["5560147"],
    "556014 (cell)": [],
    "id,phone\n17,5560147\n18,5560148": ["5560147", "5560148"],
    "id,size\n17,5560147": [],
    "id,phone\n1,2,5560147": [],
    'name,phone\n"Roe, Bo",5560147': ["5560147"],
    "phone\n\n5560147": [],
    "phone of 2024\n, 5560147": [],
    "phone;name\n5560147;Bo": ["5560147"],
    "<td class='a'>Tel.</td><td>5560147": ["5560147"],
    "homePhone 5560147": ["5560147"],
    "call 1-800-FLOWERS now": ["1-800-FLOWERS"],
    "a 1-800-flowers day": ["1-800-flowers"],
    "a 1-800 flowers day": [],
    "a 1-800 FLOWERS day": ["1-800 FLOWERS"],
    "an 800-calorie meal": [],
    "the 800-273-TALK": [],
    "dial 800-273-TALK": ["800-273-TALK"],
    "1-800-number": [],
    "1-800-555-0A00": [],
    "phone +123456789": ["+123456789"],
    "so +123456789": [],
    "so + 49 171 1234567": ["+ 49 171 1234567"],
    "phone + 12345678": [],
}


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


def test_the_numbers_in_the_file_are_found() -> None:
    for text, values in marked("telephones"):
        numbers = found(EXTENDED, text)
        for value in values:
            assert any(value in number or number in value for number in numbers), (value, text)
        if not values:
            assert numbers == found(STRICT, text), text


@pytest.mark.parametrize("text", MORE)
def test_what_a_number_needs_depends_on_its_form(text: str) -> None:
    assert found(EXTENDED, text) == MORE[text]
    assert_every_split(EXTENDED, text)


@pytest.mark.parametrize("region", sorted(phonenumbers.SUPPORTED_REGIONS))
def test_a_number_of_any_country_is_found_after_its_word(region: str) -> None:
    number = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
    for form in (phonenumbers.PhoneNumberFormat.INTERNATIONAL, phonenumbers.PhoneNumberFormat.NATIONAL):
        written = phonenumbers.format_number(number, form) if number else ""
        if sum(map(str.isdigit, written)) > 6:
            assert found(EXTENDED, f"my phone: {written}.") == [written], region


def test_a_header_counts_up_to_a_fixed_distance() -> None:
    """So a table in a stream is read as the whole table, wherever it was cut."""
    table = "name,phone\n" + "".join(f"Bo Roe {at % 7},{4000000 + at}\n" for at in range(120))
    numbers = found(EXTENDED, table)
    assert 40 < len(numbers) < 120
    assert numbers == [str(4000000 + at) for at in range(len(numbers))]
    for size in (1, 7, 64):
        assert scan_in_chunks(EXTENDED, table, range(size, len(table), size)) == whole(EXTENDED, table)


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
