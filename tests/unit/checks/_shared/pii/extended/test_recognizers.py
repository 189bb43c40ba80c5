"""The recognizers beside Presidio's: what they find, what they leave alone, and that they can be switched off."""

from __future__ import annotations

from functools import cache

import pytest

from guardproxy.checks import Check, Resources, build
from guardproxy.checks._shared.pii.extended.recognizers import is_card, luhn
from guardproxy.errors import OptionError
from guardproxy.testing import assert_every_split, whole

MAILS = {
    "users/jane.roe@example.com": "jane.roe@example.com",
    "http://localhost/?q=jane.roe@example.com": "jane.roe@example.com",
    "C#jane.roe@example.com": "jane.roe@example.com",
    "_jane.roe@example.com_": "jane.roe@example.com",
    "jane.roe@corp.local": "jane.roe@corp.local",
    "root@localhost": "root@localhost",
    "jane@[10.0.0.1]": "jane@[10.0.0.1]",
    "jane@[IPv6:2001:db8::1]": "jane@[IPv6:2001:db8::1]",
    "jane@10.0.0.1": "jane@10.0.0.1",
    "jane@m\u00fcnchen.de": "jane@m\u00fcnchen.de",
    "jane@\u4f8b\u3048.\u30c6\u30b9\u30c8": "jane@\u4f8b\u3048.\u30c6\u30b9\u30c8",
    '"roe"@example.com': 'roe"@example.com',
    "**jane.roe@example.com**": "jane.roe@example.com",
    "jane%40example.com": "jane%40example.com",
    "o'brien@example.com": "o'brien@example.com",
}
CARDS = [
    "4111\n1111\n1111\n1111", "4111\r\n1111\r\n1111\r\n1111", "4111  1111  1111  1111", "4111_1111_1111_1111",
    "4111/1111/1111/1111", "4111,1111,1111,1111", "4111, 1111, 1111, 1111", "4111 - 1111 - 1111 - 1111",
    '4111","1111","1111","1111', '4111",\n    "1111",\n    "1111",\n    "1111', "4111** **1111** **1111** **1111",
    "4111 | 1111 | 1111 | 1111", "4111\n1111 1111-1111", "41111111/11111111", "3782 / 822463 / 10005", "5555.5555.5555.4444",
    "4.111111111111111e15", "4.111111111111111E+15", "4111111.111111111",
]  # fmt: skip
OTHERS = {
    "536/22/8726": "US_SSN", "536\n22\n8726": "US_SSN", "536, 22, 8726": "US_SSN", "536_22_8726": "US_SSN",
    "GB82.WEST.1234.5698.7654.32": "IBAN_CODE", "GB82-WEST-1234-5698-7654-32": "IBAN_CODE",
    "DE89\n3704\n0044\n0532\n0130\n00": "IBAN_CODE",
}  # fmt: skip
HARMLESS = [
    "react@18.2.0", "lodash@latest", "left-pad@^1.3.0", "repo@22abeb9", "meet @ 5", "a @ b", "@decorator", "x@y",
    "2020, 2021, 2022, 2023", "4111 1111 1111 1112", "4,112 and 1,111", "3.141592653589793",
    "4000 0000 0000 0000", "123/45/67890", "000-12-3456x", "AB12 CDEF GHIJ KLMN", "12:30/11:15",
    "v_1.2.3_x", "a_912-10-1234_b", "_1.2.3_", "00-1B:44-11:3A-B7",
]  # fmt: skip


# What people and markdown put around a value without a space: it hides nothing.
CARRIERS = [
    "_{}_", "__{}__", "**{}**", "*{}*", "~~{}~~", "`{}`", "({})", "<{}>", '"{}"', "'{}'", "|{}|", "={};", "#{}#", "id_{}_x",
    "\u7535\u8bdd{}\u53f7", "\ubc88\ud638\ub294{}\uc785\ub2c8\ub2e4", "\u0e23\u0e2b\u0e31\u0e2a{}\u0e04\u0e23\u0e31\u0e1a",
]  # fmt: skip
VALUES = {
    "CREDIT_CARD": ["4111111111111111", "4111-1111-1111-1111", "378282246310005"],
    "US_SSN": ["536-22-8726"],
    "US_ITIN": ["912-70-1234"],
    "IP_ADDRESS": ["203.0.113.77"],
    "MAC_ADDRESS": ["00:1B:44:11:3A:B7", "00-1B-44-11-3A-B7"],
    "IBAN_CODE": ["DE89370400440532013000", "DE89 3704 0044 0532 0130 00"],
    "CRYPTO": ["1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"],
    "EMAIL_ADDRESS": ["jane.roe@example.com"],
    "PHONE_NUMBER": ["+1 415 555 2671"],
}


@cache
def _check(parity: str) -> Check:
    entities = list(VALUES)
    return build("pii", "pii", {"entities": entities, "parity": parity}, Resources())


def _found(text: str, parity: str = "extended") -> list[tuple[str, str]]:
    return [(finding.label, text[finding.start : finding.end]) for finding in whole(_check(parity), text)]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("IBAN: GB93 URBX 3523 1835 5893 7\nDue", "GB93 URBX 3523 1835 5893 7"),
        ("Meine IBAN lautet GB24YARJ11070311393 97.", "GB24YARJ11070311393 97"),
        ('"iban": "GB10WGAF6927466950592"', "GB10WGAF6927466950592"),
        ("iban gb31 cprp 8939 2269 0230 7 please now", "gb31 cprp 8939 2269 0230 7"),
        ("iban de89370400440532013000", "de89370400440532013000"),
        ("iban de89 3704 0044 0532 0130 00 and more", "de89 3704 0044 0532 0130 00"),
        ("IBAN: GB93 URBX 3523 1835 5893 7 BIC X", "GB93 URBX 3523 1835 5893 7"),
        ("IBAN: DE89 3704 0044 0532 0130 99 BIC X", "DE89 3704 0044 0532 0130 99"),
        ("iban is ab12 and then we go home", ""),
        ("iban is gb12 when will they come", ""),
        ("transfer to GB94 TPID 1852 7365 3763 6", ""),
        ("IBAN\nGB94 TPID 1852 7365 3763 6", ""),
        ("IBAN of the receiver: GB94 TPID 1852 7365 3763 6", ""),
    ],
)
def test_a_code_that_is_named_needs_no_right_check_digits(text: str, code: str) -> None:
    check = build("pii", "pii", {"entities": ["IBAN_CODE"], "evasions": "off"}, Resources())
    assert [text[finding.start : finding.end] for finding in whole(check, text)] == ([code] if code else [])
    assert_every_split(check, text)


@pytest.mark.parametrize("text", MAILS)
def test_the_part_behind_the_last_separator_is_an_address_at_any_host(text: str) -> None:
    assert _found(f"see {text} there") == [("EMAIL_ADDRESS", MAILS[text])]
    assert_every_split(_check("extended"), f"see {text} there")


@pytest.mark.parametrize("text", CARDS)
def test_a_card_is_found_whatever_parts_its_groups(text: str) -> None:
    for around in ("pay with {} now", '["{}"]', "**{}**"):
        assert _found(around.format(text)) == [("CREDIT_CARD", text)]
    assert_every_split(_check("extended"), f"no. 5512 {text} 12/27")


SPREAD = [sign.join("4111111111111111") for sign in (" ", "-", ",", ", ", "\n", "** **", "*", "_", " | ", '","')]
SPREAD += [
    "41 11 11 11 11 11 11 11",
    "411-111-111-111-111-1",
    "4111<br>1111<br>1111<br>1111",
    "<b>4111</b> <b>1111</b> <b>1111</b> <b>1111",
]


@pytest.mark.parametrize("text", SPREAD)
def test_a_card_is_found_in_small_groups(text: str) -> None:
    assert _found(f"pay with {text} now") == [("CREDIT_CARD", text.removeprefix("<b>"))]
    assert_every_split(_check("extended"), f"pay with {text} now")


@pytest.mark.parametrize(
    "text",
    [
        "4, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 7",
        "9 4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
        "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 2",
        "371,449,635,398,431",
        "10:11:12:13:14:15:16:17",
    ],
)
def test_lists_of_digits_are_no_cards(text: str) -> None:
    assert [found for found in _found(f"see {text} there") if found[0] == "CREDIT_CARD"] == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("x536-22-8726", "536-22-8726"),
        ("536-22-8726x", "536-22-8726"),
        ("No536-22-8726and", "536-22-8726"),
        ("SSN536 22 8726", "536 22 8726"),
        ("ssn:536228726", "536228726"),
        ("social security number is 536228726", "536228726"),
        ("536\u200d22\u200d8726", "536\u200d22\u200d8726"),
        ("536<br>22<br>8726", "536<br>22<br>8726"),
        ("a912-70-1234b", "912-70-1234"),
        ("x536 22 8726", ""),
        ("536 22 8726m", ""),
        ("1536-22-8726", ""),
        ("536-22-87261", ""),
    ],
)
def test_letters_may_touch_a_number_with_hyphens(text: str, value: str) -> None:
    check = build("pii", "pii", {"entities": ["US_SSN", "US_ITIN"], "evasions": "off"}, Resources())
    assert [text[finding.start : finding.end] for finding in whole(check, text)] == ([value] if value else [])
    assert_every_split(check, text)


def test_what_presidio_does_not_know_is_found_with_extended_parity_alone() -> None:
    with pytest.raises(OptionError, match="only `parity: extended` finds `PASSWORD`"):
        build("pii", "pii", {"entities": ["PASSWORD"], "parity": "strict"}, Resources())
    text = "my password is hunter2, MRN 4471902, age: 34"
    labels = [finding.label for finding in whole(build("pii", "pii", {}, Resources()), text)]
    assert {"PASSWORD", "MEDICAL_RECORD"} <= set(labels)
    assert "AGE" not in labels
    assert whole(build("pii", "pii", {"parity": "strict"}, Resources()), text) == []


@pytest.mark.parametrize("text", OTHERS)
def test_other_numbers_with_odd_signs(text: str) -> None:
    assert _found(f"it is {text}, he says") == [(OTHERS[text], text)]
    assert_every_split(_check("extended"), f"it is {text}, he says")


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("entity", VALUES)
def test_a_value_is_found_whatever_touches_it(entity: str, carrier: str) -> None:
    for value in VALUES[entity]:
        text = carrier.format(value)
        assert any(value in found for _, found in _found(text)), text
        assert_every_split(_check("extended"), text)


def test_letters_may_touch_a_card() -> None:
    assert _found("card4111111111111111x") == [("CREDIT_CARD", "4111111111111111")]
    assert not _found("card4111111111111112x")


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_none_of_these(text: str) -> None:
    assert [found for found in _found(f"see {text} there") if found[0] != "PHONE_NUMBER"] == []


@pytest.mark.parametrize(
    "text", ["users/jane.roe@corp.local", CARDS[0], CARDS[6], "4.111111111111111e15", "536/22/8726"]
)
def test_strict_parity_switches_them_off(text: str) -> None:
    assert _found(text, "strict") == []
    assert _found(text) != []


def test_only_what_is_asked_for_is_found() -> None:
    check = build("pii", "pii", {"entities": ["US_SSN"]}, Resources())
    assert whole(check, f"jane@corp.local {CARDS[0]}") == []
    with pytest.raises(OptionError, match="parity"):
        build("pii", "pii", {"parity": "loose"}, Resources())


def test_a_card_has_an_issuer_and_a_checksum() -> None:
    assert luhn("4111111111111111")
    assert is_card("378282246310005")
    assert not is_card("4111111111111112")
    assert not is_card("1111111111111117")


def test_what_stands_for_an_address_is_none() -> None:
    found = _found("write to khkzmfpcdfbk@redacted.example or jane.roe@redacted.example")
    assert found == [("EMAIL_ADDRESS", "jane.roe@redacted.example")]


@pytest.mark.parametrize("text", ["bb@b@bob", "b@1@bob.example", "-@1''@bob", "_@bob'@bob1", "'@bob@b@bob-.@bob "])
def test_a_row_of_addresses_is_cut_nowhere(text: str) -> None:
    """A part that is not an address takes its characters as well."""
    assert_every_split(_check("extended"), text)
