"""The PII check: Presidio's findings, in growing text, without a language model."""

from __future__ import annotations

import random
import re
import statistics
import time
from typing import Any

import pytest
from guardproxy.checks._segments import BLOCK

from guardproxy.checks import Resources, build
from guardproxy.checks._recognizers import DEFAULTS, _least_digits, _takes_space, _tree, probes, recognizers
from guardproxy.checks.pii import LOOK_BACK, _resolved
from guardproxy.errors import OptionError
from guardproxy.findings import Window
from tests.support_checks import CHANNEL, PROSE, assert_every_split, held_words, scan_in_chunks, whole
from tests.support_pii import CONTEXT, IDENTIFIERS, presidio

CHECK: Any = build("pii", "pii", {}, Resources())


def _check(**options: Any) -> Any:
    return build("pii", "pii", options, Resources())


def _found(text: str, check: Any = CHECK) -> list[tuple[str, str]]:
    return [(finding.label, text[finding.start : finding.end]) for finding in whole(check, text)]


def _settled(text: str, check: Any = CHECK) -> int:
    (scan,) = check.scan([Window(CHANNEL, text, last=False)])
    return int(scan.settled)


@pytest.mark.parametrize("entity", IDENTIFIERS)
def test_each_identifier_is_found(entity: str) -> None:
    value = IDENTIFIERS[entity]
    for text in (value, f"it is {value} now", f'{{"x":"{value}","y":1}}', f"<b>{value}</b>\n", f"see\n{value}\nthere"):
        assert _found(text) == [(entity, value)]


@pytest.mark.parametrize("entity", DEFAULTS)
def test_each_identifier_is_found_however_it_is_cut(entity: str) -> None:
    value = IDENTIFIERS.get(entity) or CONTEXT[entity]
    findings = assert_every_split(CHECK, f"Well, {value} for the rest, and 12 more.", pairs=len(value) < 12)
    assert entity in {finding.label for finding in findings}


@pytest.mark.parametrize(
    "text",
    [
        "call +49 30 901820 or 0044 20 7946 0018 # 4 now",
        "(212) 555-0147 x 12 - 555 0199",
        "DE89 3704 0044 0532 0130 00 USD and 5 EUR",
        "- + ( 030 ) 901820 -",
        "1.2.3.4/24, ::1 fe80::1%eth0 12:34:56:78:9a:bc",
        "a@b.co,c@d.org;e@f.net\u2028g@h.com",
        "١٢٣ 4111-1111-1111-1111 ４１１１",
        "😀 536-22-8726😀 é536-22-8727",
    ],
)
def test_mixtures_are_cut_anywhere(text: str) -> None:
    assert_every_split(CHECK, text, pairs=True)
    assert_every_split(_check(entities=sorted(recognizers())), text)


def test_nothing_of_an_identifier_leaves_before_it_is_known() -> None:
    for value in IDENTIFIERS.values():
        for end in range(len("on ") + 1, len("on ") + len(value)):
            assert _settled(f"on {value}"[:end]) <= len("on ")


@pytest.mark.parametrize(
    ("text", "settled"),
    [
        ("plain words go on ", 18),
        ("plain words go", 12),
        ("room 12 is", 5),
        ("room 12 is ", 11),
        ("room 12 ", 5),
        ("room 12\n", 8),
        ("room 12      ", 13),
        ("a 12 - ", 2),
        ("a - ", 2),
        ("a\n- ", 2),
        ("I ( ", 2),
        ("12 AB CD EF ", 0),
        ("12 AB CD EF GH ", 15),
        ("12 ext ", 0),
        ('12"', 3),
        ("x@y.zz ", 7),
    ],
)
def test_what_is_held(text: str, settled: int) -> None:
    assert _settled(text) == settled


def test_prose_is_held_for_a_word() -> None:
    held = held_words(CHECK, PROSE)
    assert statistics.median(held) <= 1
    assert max(held) <= 2


def test_prose_is_held_for_little_more_with_all_entities() -> None:
    held = held_words(_check(entities=sorted(recognizers())), PROSE)
    assert statistics.median(held) <= 2


TEXTS = [
    "My phone number is (212) 555-0147, and my card is 4111 1111 1111 1111, valid until 12/27.",
    "Please wire it to DE89 3704 0044 0532 0130 00 or GB82 WEST 1234 5698 7654 32 at the bank.",
    "The patient's social security number is 536-22-8726; her NHS number is 943 476 5919.",
    "Server 10.12.0.7 (fe80::1ff:fe23:4567:890a) answered, MAC 00:1A:2B:3C:4D:5E, at 10:42:07 today.",
    "Write to ada@example.org or bob.smith@mail.example.co.uk, wallet 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa.",
    "In 2024 we sold 1,234,567 units in 37 countries; order 12345678 came with account 87654321.",
    "Her passport, issued in the United States, is 912803456, the tax id 912-70-1234, DEA BB1388568.",
    "call me on the mobile: 0151 23456789 or +44 20 7946 0018 ext. 5 any time",
    PROSE,
]


@pytest.mark.parametrize("text", TEXTS)
def test_the_findings_are_those_of_presidio(text: str) -> None:
    entities = [*DEFAULTS, "DATE_TIME", "URL", "US_DRIVER_LICENSE"]
    theirs = presidio(entities).analyze(text, "en", score_threshold=0.4)
    spans = [(each.start, each.end, each.entity_type, each.score) for each in theirs]
    mine = [(each.start, each.end, each.label, each.score) for each in whole(_check(entities=entities), text)]
    assert mine == _resolved(spans)


def test_context_raises_the_score_as_far_back_as_it_is_kept() -> None:
    assert _found("account 12345678") == [("US_BANK_NUMBER", "12345678")]
    assert _found("account " + "one two three " * 2 + "12345678") == [("US_BANK_NUMBER", "12345678")]  # stop words
    assert _found("account " + "red blue green white black 12345678") == []
    assert _found("account" + " " * (LOOK_BACK + 1) + "12345678") == []
    for pad in range(LOOK_BACK - 12, LOOK_BACK + 3):
        assert_every_split(CHECK, "account" + "\n" * pad + "12345678")


def test_words_before_an_identifier_count_where_its_pattern_asks_for_them() -> None:
    check = _check(entities=["US_CLAIM_NUMBER"], threshold=0.3)
    assert _found("the medical claim number: 12345678", check) == [("US_CLAIM_NUMBER", "12345678")]
    assert _found("the number 12345678", check) == []
    assert_every_split(check, "the medical claim number: 12345678 is it")


@pytest.mark.parametrize(
    ("entity", "text", "value"),
    [
        ("UK_NINO", "my nino is AB 12 34 56 C ok", "AB 12 34 56 C"),
        ("UK_POSTCODE", "the postcode is SW1A 1AA there", "SW1A 1AA"),
        ("DE_HANDELSREGISTER", "handelsregister HRB 12345 da", "HRB 12345"),
        ("URL", "look at https://www.example.com/a?b=c now", "https://www.example.com/a?b=c"),
        ("DATE_TIME", "born 1990-05-17 there", "1990-05-17"),
        ("US_DRIVER_LICENSE", "driver license H12345678 ok", "H12345678"),
        ("UUID", "id 123e4567-e89b-12d3-a456-426614174000 is", "123e4567-e89b-12d3-a456-426614174000"),
        ("ZA_MOBILE_NUMBER", "call 082 123 4567 now", "082 123 4567"),
    ],
)
def test_entities_by_name(entity: str, text: str, value: str) -> None:
    check = _check(entities=[entity])
    assert _found(text, check) == [(entity, value)]
    assert_every_split(check, text)


def test_overlaps() -> None:
    assert _resolved([(0, 9, "B", 0.5), (0, 9, "A", 0.5), (2, 5, "C", 0.9), (9, 12, "D", 0.1)]) == [
        (2, 5, "C", 0.9),
        (9, 12, "D", 0.1),
    ]
    assert _resolved([(0, 4, "A", 0.5), (3, 9, "B", 0.5), (0, 2, "C", 0.5)]) == [(0, 2, "C", 0.5), (3, 9, "B", 0.5)]
    assert _resolved([(0, 9, "B", 0.5), (0, 9, "A", 0.5)]) == [(0, 9, "A", 0.5)]


@pytest.mark.parametrize(
    "text",
    [
        "7" * 10_000,
        "x" * 3000 + "@" + "y" * 3000 + ".com",
        ",".join(f"user{at}@example.com" for at in range(200)),
        " ".join(f"{at}.5" for at in range(400)),
        "4111 1111 1111 1111 " * 60,
        "a" * 500 + "1@" + "b.com" * 3,
        "- " * 600 + "5 " + "AB " * 600,
        ("(" * 8 + " ") * 2 + "z" * 500 + "7 " + "1 " * 40,
    ],
)
def test_pathological_text_is_bounded_and_exact(text: str) -> None:
    held: list[int] = []
    expected = whole(CHECK, text)
    assert scan_in_chunks(CHECK, text, range(7, len(text), 7), held) == expected
    assert max(held) <= 3 * BLOCK
    for step in (1 + BLOCK // 2, BLOCK, 1999):
        assert scan_in_chunks(CHECK, text, range(step, len(text), step)) == expected
    if "user7@" in text:
        assert len(expected) == 200
    if text.startswith("4111"):
        assert len(expected) == 60


def test_the_time_is_linear() -> None:
    took = []
    for count in (2_000, 16_000):
        begun = time.process_time()
        whole(CHECK, "7" * count)
        took.append(time.process_time() - begun)
    assert took[1] < 8 * took[0] * 4 + 0.5


def test_one_kind_of_identifier_needs_no_chains() -> None:
    check = _check(entities=["EMAIL_ADDRESS"])
    assert not check.segmenter.chains
    assert _found("12 34 a@b.com 56", check) == [("EMAIL_ADDRESS", "a@b.com")]
    assert _settled("12 34 5", check) == 6
    assert_every_split(check, "12 34 a@b.com 56")


def test_threshold_and_digest() -> None:
    assert _found("12345678", _check(threshold=0.01)) != []
    assert _found(IDENTIFIERS["PHONE_NUMBER"], _check(threshold=0.9)) == []
    assert _check().digest == CHECK.digest != _check(threshold=0.5).digest


def test_every_entity_can_be_built_and_its_needs_are_known() -> None:
    for entity in recognizers():
        for probe in probes(entity):
            assert probe.digits or probe.need.pattern != r"\d"
    assert {"US_SSN", "DE_TAX_ID", "ZA_MOBILE_NUMBER"} <= set(recognizers())


@pytest.mark.parametrize(
    ("regex", "digits", "space"),
    [
        (r"\d{3}-[0-9]{2}", 5, False),
        (r"(?<=\b(?:no|id)[\])]\s+)(?:PA-?)?\d{6,12}", 6, False),
        (r"(?<![A-Z(])(?>\d)(a|1)\s?", 1, True),
        (r"[^a]2[\d_][3-7]", 2, True),
        (r"[^\s]|[!-/]5", 0, False),
        (r"(?:a|.)(?i)1*", 0, True),
        (r"(?>\W)[ -~]", 0, True),
        (r"(?=\d)x", 0, False),
    ],
)
def test_what_a_pattern_needs(regex: str, digits: int, space: bool) -> None:
    tree = _tree(regex, re.IGNORECASE)
    assert _least_digits(tree) == digits
    assert _takes_space(tree) is space


@pytest.mark.parametrize(
    ("options", "key", "words"),
    [
        ({"entity": []}, "entity", "unknown option"),
        ({"entities": []}, "entities", "list of entity names"),
        ({"entities": "US_SSN"}, "entities", "list of entity names"),
        ({"entities": ["PERSON"]}, "entities", "language model"),
        ({"entities": ["US_SNN"]}, "entities", "did you mean `US_SSN`"),
        ({"entities": ["??"]}, "entities", "known entities"),
        ({"language": "de"}, "language", "only be `en`"),
        ({"threshold": 2}, "threshold", "from 0 to 1"),
        ({"threshold": True}, "threshold", "from 0 to 1"),
    ],
)
def test_bad_options_are_explained(options: dict[str, Any], key: str, words: str) -> None:
    with pytest.raises(OptionError, match=words) as caught:
        _check(**options)
    assert caught.value.key == key


def test_the_findings_are_those_of_presidio_in_many_made_up_texts() -> None:
    dice, engine = random.Random(11), presidio(DEFAULTS)
    values = [*IDENTIFIERS.values(), *CONTEXT.values(), "+49 30 901820", "06 12 34 56 78", "2024", "3.5", "$1,200"]
    words = [*PROSE.split(), "account", "phone number", "card", "passport", "ssn:", "iban", "the bank"]
    forms = ["%s"] * 8 + ['"%s"', "(%s)", "%s,", "%s.", "<%s>", "[%s]", "%s;", "x=%s"]
    for _ in range(100):
        parts = [dice.choice(forms) % dice.choice(values if dice.random() < 0.3 else words) for _ in range(20)]
        text = "".join(part + dice.choice([" "] * 8 + ["\n", "  ", " - ", ", "]) for part in parts)
        theirs = engine.analyze(text, "en", score_threshold=0.4)
        spans = [(each.start, each.end, each.entity_type, each.score) for each in theirs]
        mine = [(each.start, each.end, each.label, each.score) for each in whole(CHECK, text)]
        assert mine == _resolved(spans)
