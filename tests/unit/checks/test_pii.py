"""The PII check: Presidio's findings, in growing text, and names beside them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from unittest.mock import patch

import pytest

from guardproxy.checks import pii
from guardproxy.checks._shared.declared.contract import Resources, build, with_partner
from guardproxy.checks._shared.pii.engine import BEHIND, Span
from guardproxy.checks._shared.pii.recognizers import DEFAULTS, recognizers
from guardproxy.checks.pii import MOST, resolve, united
from guardproxy.errors import ConfigError, OptionError
from guardproxy.exchange.gate.gate import Lane
from guardproxy.findings import Finding, Window
from guardproxy.policytest.scan import findings_of
from tests.kit.check_cost import steps, text_of
from tests.kit.checks import CHANNEL, PROSE, assert_every_split, held_words, scan_in_chunks, whole
from tests.kit.pii import CONTEXT, IDENTIFIERS, People

CHECK: Any = build("pii", "pii", {"evasions": "off"}, Resources())
ALL: Any = build("pii", "pii", {"entities": sorted(recognizers()), "evasions": "off"}, Resources())


def _check(**options: Any) -> Any:
    return build("pii", "pii", {"evasions": "off"} | options, Resources())


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
        "on 2012-01-02 08:00 or 2012-01-02 08",
    ],
)
def test_mixtures_are_cut_anywhere(text: str) -> None:
    assert_every_split(CHECK, text, pairs=True)
    assert_every_split(ALL, text)


def test_nothing_of_an_identifier_leaves_before_it_is_known() -> None:
    for value in IDENTIFIERS.values():
        for end in range(len("on ") + 1, len("on ") + len(value)):
            assert _settled(f"on {value}"[:end]) <= len("on ")


@pytest.mark.parametrize(
    ("text", "settled"),
    [
        ("plain words go on ", 18),
        ("plain words go", 12),
        ("room 12 is", 8),
        ("room 12 is ", 11),
        ("room 12 ", 5),
        ("room 12\n", 5),  # `34\n56` may follow
        ("room 12      ", 5),  # `ext 7` may follow
        ("12 ext ", 0),
        ("x@y.zz ", 7),
        ("www.a-b.com/x", 0),
    ],
)
def test_what_is_held(text: str, settled: int) -> None:
    assert _settled(text) == settled


def test_prose_is_held_for_a_word() -> None:
    # One pattern for IN_PAN asks whether four digits stand anywhere behind a word, so words wait for the end.
    most = _check(entities=sorted(set(recognizers()) - {"IN_PAN"}))
    for check in (CHECK, most):
        held = held_words(check, PROSE)
        assert statistics.median(held) <= 1
        assert max(held) <= 3
    assert max(held_words(_check(entities=["IN_PAN"], threshold=0.41), PROSE)) <= 3


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
        ("US_CLAIM_NUMBER", "the medical claim number: 12345678 is it", "12345678"),
    ],
)
def test_entities_by_name(entity: str, text: str, value: str) -> None:
    check = _check(entities=[entity], threshold=0.3)
    assert _found(text, check) == [(entity, value)]
    assert_every_split(check, text)


def _span(start: int, end: int, entity: str, score: float, proven: bool = False) -> Span:
    return Span(start, end, entity, score, proven)


def test_of_spans_that_overlap_the_strongest_stays() -> None:
    high, low = _span(2, 5, "C", 0.9), _span(9, 12, "D", 0.1)
    assert resolve([_span(0, 9, "B", 0.5), _span(0, 9, "A", 0.5), high, low]) == [high, low]
    assert resolve([_span(0, 4, "A", 0.5), _span(3, 9, "B", 0.5), _span(0, 2, "C", 0.5)]) == [
        _span(0, 2, "C", 0.5),
        _span(3, 9, "B", 0.5),
    ]
    assert resolve([_span(0, 9, "B", 0.5), _span(0, 9, "A", 0.5)]) == [_span(0, 9, "A", 0.5)]


def test_what_is_proven_wins_over_any_guess() -> None:
    guess, proof = _span(0, 20, "B", 1.0), _span(4, 8, "A", 1.0, True)
    assert resolve([guess, proof]) == [proof]


def _paired(known: Mapping[str, str], **options: Any) -> Any:
    entities = {"entities": ["PERSON", "PHONE_NUMBER", "EMAIL_ADDRESS"]}
    return build("pii", "pii", entities | options, Resources(tagger=lambda name: People(known)))


def _told(check: Any, text: str, cuts: Sequence[int] = ()) -> list[tuple[str, str]]:
    """What the gate makes of both partners' findings, the text cut at `cuts`."""
    lane = Lane(CHANNEL, with_partner(check), False)
    at = 0
    found: list[Finding] = []
    for end in [*cuts, len(text)]:
        lane.text.append(text[at:end])
        lane.text.ended = end == len(text)
        windows = lane.windows()
        scans = [lane.progress.checks[number].scan([window])[0] for number, window in windows]
        found += lane.learn(windows, scans) if windows else []
        at = end
    return [(one.label, text[one.start : one.end]) for one in found]


def test_names_are_found_beside_identifiers() -> None:
    check = _paired({"Ada Byron": "PERSON", "Hull": "LOCATION"})
    text = "call Ada Byron at (212) 555-0147 now, or ada@example.org, and Hull"
    expected = [("PERSON", "Ada Byron"), ("PHONE_NUMBER", "(212) 555-0147"), ("EMAIL_ADDRESS", "ada@example.org")]
    assert _told(check, text) == expected
    for cut in range(len(text)):
        assert _told(check, text, [cut]) == expected
    assert _told(check, text, range(1, len(text))) == expected


def test_names_take_nothing_from_identifiers() -> None:
    text = "call Ada 212-555-0147 Bo now"
    check = _paired({"Ada 212-555-0147 Bo": "PERSON"})
    expected = [("PERSON", "Ada"), ("PHONE_NUMBER", "212-555-0147"), ("PERSON", "Bo")]
    assert _told(check, text) == expected
    assert _told(check, text, range(1, len(text))) == expected
    assert _told(_paired({"12-555-0": "PERSON"}), text) == [("PHONE_NUMBER", "212-555-0147")]


def test_a_pair_is_named_and_told_from_others() -> None:
    check = _paired({})
    first, partner = with_partner(check)
    assert isinstance(partner, pii.NamesCheck)
    assert (first.name, partner.name) == ("pii", "pii")
    assert partner.traits.partner_of == check.digest != partner.digest
    assert check.digest != _check(entities=["PHONE_NUMBER", "EMAIL_ADDRESS"]).digest
    assert with_partner(CHECK) == (CHECK,)
    cost = partner.traits.cost
    assert cost is not None
    few, many = cost(Window(CHANNEL, "a b c")), cost(Window(CHANNEL, "B. " * 100))
    assert few < 100
    assert many > 500, "each piece has its context"


def test_a_threshold_holds_for_names_too() -> None:
    assert _told(_paired({"Ada": "PERSON"}, threshold=0.9), "call Ada now") == []


def test_dates_are_looked_for_where_they_are_asked_for_beside_names() -> None:
    known = {"Ada": "PERSON", "at noon": "DATE_TIME"}
    assert _told(_paired(known, entities=["PERSON", "DATE_TIME"]), "call Ada at noon") == [
        ("PERSON", "Ada"),
        ("DATE_TIME", "at noon"),
    ]
    assert _told(_paired(known, entities=["PERSON"]), "call Ada at noon") == [("PERSON", "Ada")]


def test_a_model_alone_is_asked_for_all_names_that_it_knows() -> None:
    check = build("pii", "pii", {"model": "names"}, Resources(tagger=lambda name: People({"Hull": "LOCATION"})))
    assert _told(check, "call Hull, 212-555-0147") == [("LOCATION", "Hull"), ("PHONE_NUMBER", "212-555-0147")]


@pytest.mark.parametrize(
    ("options", "key", "message"),
    [
        ({"entities": ["NRP"]}, "entities", "the model `fast` does not know `NRP`"),
        ({"entities": ["PERSON"], "model": ""}, "model", "must be the name of a model"),
        ({"entities": ["URL"], "model": "names"}, "model", "none of the entities needs the model"),
        ({"entities": ["FACILITY"]}, "entities", "no model here finds `FACILITY`"),
    ],
)
def test_what_no_model_finds_is_refused(options: dict[str, Any], key: str, message: str) -> None:
    with pytest.raises(OptionError, match=message) as refused:
        build("pii", "pii", options, Resources(tagger=lambda name: People({})))
    assert refused.value.key == key


def test_a_model_that_is_missing_is_refused() -> None:
    def missing(name: str) -> Any:
        raise ConfigError(f"no model `{name}` is installed")

    with pytest.raises(OptionError, match="no model `fast` is installed") as refused:
        build("pii", "pii", {"entities": ["PERSON"]}, Resources(tagger=missing))
    assert refused.value.key == "entities"
    with pytest.raises(OptionError, match="no model `mine` is installed") as refused:
        build("pii", "pii", {"entities": ["PERSON"], "model": "mine"}, Resources(tagger=missing))
    assert refused.value.key == "model"
    with pytest.raises(OptionError, match="without a model"):
        build("pii", "pii", {"entities": ["PERSON"]}, Resources())


@pytest.mark.parametrize(
    "text",
    [
        "7" * 10_000,
        "x" * 3000 + "@" + "y" * 3000 + ".com",
        "a" * MOST + "a@b.com " * 2,
        ",".join(f"user{at}@example.com" for at in range(200)),
        " ".join(f"{at}.5" for at in range(400)),
        "4111 1111 1111 1111 " * 60,
        "- " * 600 + "5 " + "AB " * 600,
        ("(" * 8 + " ") * 2 + "z" * 500 + "7 " + "1 " * 40,
        "https://example.com/" + "p" * (2 * MOST) + " https://example.org",
    ],
)
def test_pathological_text_is_bounded_and_exact(text: str) -> None:
    held: list[int] = []
    expected = whole(CHECK, text)
    assert scan_in_chunks(CHECK, text, range(97, len(text), 97), held) == expected
    assert max(held) <= 2 * MOST
    for step in (1 + MOST // 2, MOST, 1999):
        assert scan_in_chunks(CHECK, text, range(step, len(text), step)) == expected
    if "user7@" in text:
        assert len(expected) == 200
    if text.startswith("4111"):
        assert len(expected) == 60


def test_a_match_without_an_end_is_cut() -> None:
    check = _check(entities=["URL"])
    with patch.object(pii, "MOST", 32):
        text = "see http://a.com/" + "p" * 100 + " ok"
        assert _found(text, check)[0] == ("URL", text[4:36])
        assert_every_split(check, text)
        held: list[int] = []
        scan_in_chunks(check, text, range(1, len(text)), held)
        assert max(held) <= 64


def test_what_is_kept_before_a_place_has_a_bound() -> None:
    (scan,) = CHECK.scan([Window(CHANNEL, "word " * 2000, last=False)])
    assert scan.keep == scan.settled - BEHIND


def test_the_cost_is_linear() -> None:
    whole(CHECK, "1 a. (1)")  # what is made once is not counted
    for unit in ("7", "1 ", "a.", "(1)", "1x", "é1-"):
        took = [steps(partial(whole, CHECK, text_of(unit, count))) for count in (4_000, 32_000)]
        assert took[1] < 10 * took[0] + 4_000, unit


def test_threshold_and_digest() -> None:
    assert _found("12345678", _check(threshold=0.01)) != []
    assert _found(IDENTIFIERS["PHONE_NUMBER"], _check(threshold=0.9)) == []
    assert _check().digest == CHECK.digest != _check(threshold=0.5).digest


TOWNS = People({"Springfield": "LOCATION", "IL": "LOCATION", "Leeds": "LOCATION", "Main St, Springfield": "LOCATION"})
PLACES: Any = build(
    "pii", "pii", {"entities": ["LOCATION", "US_SSN", "CREDIT_CARD"]}, Resources(tagger=lambda name: TOWNS)
)


def _places(text: str, check: Any = PLACES) -> list[tuple[str, str]]:
    return [(finding.label, text[finding.start : finding.end]) for finding in findings_of(check, text, CHANNEL)]


@pytest.mark.parametrize(
    "address",
    [
        "742 Oak Lane, Springfield", "742 Oak Lane, Apt 3B, Springfield, IL 62704", "742 Oak Lane\nSpringfield - IL",
        "Springfield, IL", "12 Main St, Springfield", "Springfield 62704", "12345 Springfield", "Leeds LS1 4AB",
    ],
)  # fmt: skip
def test_an_address_and_its_place_are_one_finding(address: str) -> None:
    assert _places(f"Now at {address}.") == [("LOCATION", address)]


def test_an_identifier_in_an_address_leaves_the_rest_of_it() -> None:
    assert _places("PO Box 4111 1111 1111 1111, Leeds") == [
        ("LOCATION", "PO Box"),
        ("CREDIT_CARD", "4111 1111 1111 1111"),
        ("LOCATION", "Leeds"),
    ]


def test_spans_of_addresses_that_overlap_are_one() -> None:
    spans = [
        Span(0, 9, "LOCATION", 0.6, proven=False),
        Span(4, 12, "LOCATION", 0.8, proven=False),
        Span(12, 15, "LOCATION", 0.6, proven=False),
        Span(3, 5, "US_SSN", 0.5, proven=False),
    ]
    assert sorted(united(spans)) == [Span(0, 12, "LOCATION", 0.8, proven=False), spans[3], spans[2]]


def test_strict_parity_finds_no_addresses_and_joins_nothing() -> None:
    options = {"entities": ["LOCATION"], "parity": "strict"}
    strict = build("pii", "pii", options, Resources(tagger=lambda name: TOWNS))
    assert _places("742 Oak Lane, Springfield, IL 62704", strict) == [("LOCATION", "Springfield"), ("LOCATION", "IL")]


def test_only_who_asks_for_places_gets_addresses() -> None:
    text = "742 Oak Lane, Springfield"
    assert _places(text, build("pii", "pii", {}, Resources())) == []
    people = build("pii", "pii", {"entities": ["PERSON"]}, Resources(tagger=lambda name: TOWNS))
    assert _places(text, people) == []
