"""Numbers of bank accounts and of banks, near their words."""

from __future__ import annotations

import pytest

from guardproxy.checks import Check, Resources, build
from guardproxy.errors import OptionError
from guardproxy.testing import assert_every_split, assert_promise, whole
from tests.kit.marked import marked

STRICT, EXTENDED, OTHERS = (
    build("pii", "pii", {"entities": entities, "evasions": "off", "parity": parity}, Resources())
    for entities, parity in (
        (["US_BANK_NUMBER", "IBAN_CODE"], "strict"),
        (["US_BANK_NUMBER", "IBAN_CODE", "BANK_ACCOUNT"], "extended"),
        (["BANK_ACCOUNT"], "extended"),
    )
)
# Known: a short number after a word for something else, and an `account` that is none of a bank.
MISSED = {"003"}
WRONG = {"000000000012", "20240517", "12345678"}


def found(check: Check, text: str) -> list[str]:
    return [text[finding.start : finding.end] for finding in whole(check, text)]


def test_the_numbers_in_the_file_are_found() -> None:
    for text, values in marked("bank_numbers"):
        numbers = found(EXTENDED, text)
        for value in values:
            assert value in MISSED or any(value in number or number in value for number in numbers), (value, text)
        if not values:
            assert set(numbers) <= WRONG, text


@pytest.mark.parametrize(
    ("text", "label", "number"),
    [
        ("Account number 4018866660531 at a bank", "US_BANK_NUMBER", "4018866660531"),
        ("a/c no. 000401234567", "US_BANK_NUMBER", "000401234567"),
        ("my account number is 112233", "US_BANK_NUMBER", "112233"),
        ("sort code 12-34-56", "BANK_ACCOUNT", "12-34-56"),
        ("pay into 20-00-00 55779911 please", "BANK_ACCOUNT", "20-00-00 55779911"),
        ("12345678 is my account number", "BANK_ACCOUNT", "12345678"),
        ("61 1090 1014 0000 0712 1981 2874", "BANK_ACCOUNT", "61 1090 1014 0000 0712 1981 2874"),
        ("BIC: COBADEFFXXX", "BANK_ACCOUNT", "COBADEFFXXX"),
        ("IFSC HDFC0001234", "BANK_ACCOUNT", "HDFC0001234"),
        ("name,konto\nBo,4455667\nAl,7766554", "BANK_ACCOUNT", "4455667"),
        ("id,account_no,city\n17,12345678,Rome", "US_BANK_NUMBER", "12345678"),
        ("account 20041 01005 0500013M026 06", "BANK_ACCOUNT", "20041 01005 0500013M026 06"),
    ],
)
def test_a_number_is_labelled_by_its_word(text: str, label: str, number: str) -> None:
    findings = whole(EXTENDED, text)
    assert (label, number) in [(finding.label, text[finding.start : finding.end]) for finding in findings]
    assert found(OTHERS, text)[:1] == [number]
    assert_every_split(EXTENDED, text)


@pytest.mark.parametrize(
    "text",
    [
        "account 2024-05-17", "conta 1.234.567", "account 10.0.0.1", "account 123456", "Konto\n1234567890", "12345678",
        "the account of Jane Roe 12345678", "a b c 12345678", "account @12345678", "1,23456789 pay", "BLZ COMPUTER",
        "swift is an old language of DEUTDEFF", "SWIFT @DEUTDEFF", "swift COMPUTER", "DEUTDEFF", "HDFC0001234",
        "HDFC0ABCDE1 bank", "swift" + " is" * 7 + " DEUTDEFF", "account" + " is" * 7 + " 12345678",
        "00000000000000000000000000", "12345678901234567890123456", "pay 20-00-00 5577", "pay 12345678",
        "bic text to the value of the code is DEUTDEFF",
    ],
)  # fmt: skip
def test_other_numbers_are_none(text: str) -> None:
    assert found(OTHERS, text) == []


def test_a_long_number_is_none_of_the_united_states() -> None:
    text = "account number 123456789012345678"
    assert {finding.label for finding in whole(EXTENDED, text)} == {"BANK_ACCOUNT"}


def test_only_numbers_of_the_united_states_are_found_if_only_they_are_searched_for() -> None:
    check = build("pii", "pii", {"entities": ["US_BANK_NUMBER"], "evasions": "off"}, Resources())
    text = "account number 112233, sort code 12-34-56, 61 1090 1014 0000 0712 1981 2874"
    assert found(check, text) == ["112233"]


def test_a_telephone_and_an_account_are_told_apart() -> None:
    check = build("pii", "pii", {"evasions": "off"}, Resources())
    text = "Account Number: 1234567890, phone number: 2125550147"
    assert [finding.label for finding in whole(check, text)] == ["US_BANK_NUMBER", "PHONE_NUMBER"]


def test_parity_strict_knows_no_such_entity() -> None:
    assert found(STRICT, "sort code 12-34-56") == []
    with pytest.raises(OptionError, match="BANK_ACCOUNT"):
        build("pii", "pii", {"entities": ["BANK_ACOUNT"]}, Resources())
    with pytest.raises(OptionError, match="extended"):
        build("pii", "pii", {"entities": ["BANK_ACCOUNT"], "parity": "strict"}, Resources())


def test_they_are_found_however_a_text_is_cut() -> None:
    words = [
        "account",
        " number",
        ": ",
        "sort code ",
        "12-34-56",
        " 5577",
        "9911",
        "name,bsb\n",
        "Bo,",
        "06200",
        " (konto",
        ")",
        ".\n",
    ]
    assert_promise(EXTENDED, words, 200)
