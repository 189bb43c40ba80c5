"""The patterns for addresses: the wide pattern begins wherever an exact one does, and RE2 can read its cover."""

from __future__ import annotations

import pytest

from guardproxy.checks._shared.pii.cover import cover, trace
from guardproxy.checks._shared.pii.engine import compile_pattern, exact
from guardproxy.checks._shared.pii.extended import address_forms

TEXTS = [
    "742 Evergreen Terrace, Apt 3B, Springfield, IL 62704", "Flat 2, 14 Rose Lane, Leeds LS1 4AB",
    "Hauptstr. 12a, 10115 Berlin",
    "3 place de l'\u00c9glise, 69005 Lyon", "Calle Mayor 5, 3\u00ba B, 28013 Madrid", "Via Roma 10, 00184 Roma RM",
    "Rua das Flores, 123 - 01310-100 S\u00e3o Paulo - SP", "Storgatan 3, 114 55 Stockholm", "PO Box 77, Boise, ID 83701-0077",
    "742 Evergreen Terrace\\nSpringfield, IL 62704", "742 Evergreen Terrace\r\nSpringfield, IL 62704",
]  # fmt: skip
EXACT = [exact(pattern, 0) for pattern in (address_forms.NAMED, address_forms.NUMBERED, address_forms.BOX)]


@pytest.mark.parametrize("text", TEXTS)
def test_the_wide_pattern_matches_all_of_an_address(text: str) -> None:
    assert max(match.end() for pattern in EXACT if (match := pattern.match(text))) == len(text)
    assert exact(address_forms.ADDRESS, 0).match(text).end() == len(text)


@pytest.mark.parametrize("text", TEXTS)
def test_its_cover_sees_every_beginning(text: str) -> None:
    covering = cover(address_forms.ADDRESS, 0)
    begin = compile_pattern(f"(?:{covering.begin})\\z")
    assert compile_pattern(covering.body).search(trace(text)).start() == 0
    for end in range(1, len(text)):
        found = begin.search(trace(text[:end]))
        assert found, text[:end]
        assert found.start() == 0, text[:end]
