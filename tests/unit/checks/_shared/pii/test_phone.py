"""Telephone numbers of many regions at once: what `phonenumbers` finds region by region."""

from __future__ import annotations

from random import Random
from typing import Any

import phonenumbers
import pytest

from guardproxy.checks._shared.pii.cover import trace
from guardproxy.checks._shared.pii.engine import compile_pattern
from guardproxy.checks._shared.pii.phone import Phones, _national, _Sieve

REGIONS = ("US", "GB", "DE", "FR", "IL", "IN", "CA", "BR")
ALL = Phones(REGIONS, 1, every=False)
Span = tuple[int, int]


def ours(phones: Phones, text: str) -> set[Span]:
    traced, body = trace(text), compile_pattern(phones.body)

    def next_body(at: int) -> int:
        place = body.search(traced, at)
        return place.start() if place else -1

    numbers, _ = phones.search(text, traced, 0, len(text), next_body)
    return outer({(number.start, number.end) for number in numbers})


def theirs(regions: tuple[str, ...], text: str, leniency: int = 1) -> set[Span]:
    return outer(
        {
            (match.start, match.end)
            for region in regions
            for match in phonenumbers.PhoneNumberMatcher(text, region, leniency=leniency)
        }
    )


def outer(spans: set[Span]) -> set[Span]:
    """Presidio drops a number that lies in another."""
    return {
        one for one in spans if not any(one != other and other[0] <= one[0] and one[1] <= other[1] for other in spans)
    }


def number(random: Random) -> str:
    region = random.choice([*REGIONS, "ZA", "IT", "ES", "CH", "NL", "AR", "MX"])
    example: Any = phonenumbers.example_number_for_type(region, random.choice([0, 1, 1, 3]))
    text = phonenumbers.format_number(example, random.choice([0, 1, 2, 3])) if example else "123"
    if random.random() < 0.5:
        text = "".join(
            random.choice("0123456789") if letter.isdigit() and random.random() < 0.3 else letter for letter in text
        )
    return text + random.choice([""] * 8 + [" ext. 12", " x12", "#5", ";ext=9", " # 77"])


OTHERS = [
    "2012-01-02 08:00",
    "3/10/2011",
    "x",
    "(",
    "€",
    "12(3): 211-227 (2003)",
    "４１１１ 555",
    "+",
    "1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1",
    "12345678901234567890123",
    "٠٣٠٩٠١٨٢٠",
    "0011 212 555 0147",
    "+0 30 901820",
    "+999 123456",
    "1-800-xxx-5550147",
    "12 ext 3456",
]


def mixed(random: Random) -> str:
    parts = []
    for _ in range(random.randint(1, 6)):
        kind = random.random()
        if kind < 0.5:
            parts.append(number(random))
        elif kind < 0.7:
            parts.append("".join(random.choices("0123456789", k=random.randint(1, 25))))
        elif kind < 0.85:
            parts.append(random.choice(OTHERS))
        else:
            parts.append("".join(random.choices("0123456789 -./()+x[]~#", k=random.randint(1, 30))))
    return random.choice([" ", "", ", ", "-", "/ x", " / "]).join(parts)


def test_the_numbers_are_those_of_every_region() -> None:
    random = Random(5)
    for _ in range(400):
        text = mixed(random)
        assert ours(ALL, text) == theirs(REGIONS, text), text


@pytest.mark.parametrize("text", OTHERS)
def test_odd_texts(text: str) -> None:
    for one in (text, f"({text}) {text}", f"{text} / x{text}", f"a{text}b"):
        assert ours(ALL, one) == theirs(REGIONS, one)


@pytest.mark.parametrize("leniency", [0, 2, 3])
def test_other_leniencies(leniency: int) -> None:
    phones, random = Phones(("US", "DE"), leniency, every=False), Random(leniency)
    for _ in range(60):
        text = mixed(random)
        assert ours(phones, text) == theirs(("US", "DE"), text, leniency), text


def test_regions_whose_metadata_says_more() -> None:
    """Argentina and Mexico rewrite what follows the prefix; Italy keeps its zeros."""
    regions, random = ("AR", "MX", "IT", "ZA"), Random(9)
    phones = Phones(regions, 1, every=True)
    for _ in range(120):
        text = mixed(random)
        assert ours(phones, text) == theirs(regions, text), text
    assert _national("AR")[0] == r"\d+"


def test_a_pattern_that_re2_cannot_take_lets_all_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guardproxy.checks._shared.pii.phone._national", lambda region: ("(?=1)", r"\d{3}"))
    assert _Sieve(("US",)).possible(b"12345") == {"US"}


def test_a_time_of_day_behind_a_date_is_waited_for() -> None:
    """`2012-01-02 08` alone would be a number of the United States."""
    assert ours(ALL, "on 2012-01-02 08") == {(3, 16)}
    assert ours(ALL, "on 2012-01-02 08:00") == set()
    begin = compile_pattern(f"(?:{ALL.begin})\\z")
    for text in ("2012-01-02 08", "2012-01-02 08:", "2012-01-02 08:3"):
        assert begin.search(text.encode()).start() == 0
    assert begin.search(b"2012-01-02 08:3c") is None


def test_what_is_still_open_is_left_alone() -> None:
    text = "212 555 0147, 212 555 0148"
    numbers, spans = ALL.search(text, trace(text), 0, 14, lambda at: {0: 0}.get(at, 14 if at <= 14 else -1))
    assert spans == [(0, 12)]
    assert {(one.start, one.end) for one in numbers} == {(0, 12)}
