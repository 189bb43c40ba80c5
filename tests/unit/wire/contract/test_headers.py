"""The headers that formats declare."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from guardproxy.wire import codecs, installed
from guardproxy.wire.contract.headers import (
    AMOUNT,
    IDENTIFIER,
    NO_LIMIT_HEADERS,
    PRODUCTS,
    FormatHeaders,
    HeaderFamily,
    Remaining,
    header_form,
    limits_family,
    merged_headers,
)
from guardproxy.wire.formats.anthropic_messages.contract import CONTRACT as MESSAGES
from guardproxy.wire.formats.openai_chat.contract import CONTRACT as CHAT


def declared(**changes: Any) -> FormatHeaders:
    empty: dict[str, Any] = {
        "credentials": (),
        "meaning": {},
        "single": frozenset(),
        "client": {},
        "account": {},
        "answer": {},
        "families": (),
    }
    return FormatHeaders(**{**empty, **changes})


def test_the_first_format_that_declares_a_header_decides() -> None:
    strict, loose = header_form("a"), header_form(".*")
    first = declared(credentials=("a", "b"), meaning={"m": strict}, client={"c": strict}, answer={"r": AMOUNT})
    second = declared(
        credentials=("b", "k"),
        meaning={"m": loose, "n": loose},
        single=frozenset(("n",)),
        account={"o": loose},
        answer={"r": IDENTIFIER, "s": IDENTIFIER},
        families=(limits_family("x"),),
    )
    assert merged_headers(first, second) == declared(
        credentials=("a", "b", "k"),
        meaning={"m": strict, "n": loose},
        single=frozenset(("n",)),
        client={"c": strict},
        account={"o": loose},
        answer={"r": AMOUNT, "s": IDENTIFIER},
        families=second.families,
    )


def test_the_known_headers_are_those_of_all_formats() -> None:
    known = installed().headers
    for codec in codecs():
        assert set(codec.contract.headers.credentials) <= set(known.credentials)
        assert codec.contract.headers.meaning.keys() <= known.meaning.keys()
    assert {"authorization", "x-api-key", "api-key", "x-goog-api-key"} == set(known.credentials)
    assert "anthropic-version" in known.single


@pytest.mark.parametrize("contract", [CHAT, MESSAGES])
def test_the_header_of_the_key_must_be_a_credential(contract: Any) -> None:
    with pytest.raises(ValueError, match=r"`headers\.credentials` lacks"):
        dataclasses.replace(contract, headers=declared(credentials=("x-other",)))


@pytest.mark.parametrize(
    ("name", "is_member"),
    [
        ("x-limit-remaining-requests", True),
        ("x-limit-7d-reset", True),
        ("x-limit", False),
        ("x-limit-ann", False),
        ("other-limit-remaining", False),
    ],
)
def test_a_family_of_limits_has_names_of_known_words(name: str, is_member: bool) -> None:
    family = limits_family("x-limit", "x-spend")
    assert isinstance(family, HeaderFamily)
    assert (family.names.fullmatch(name) is not None) is is_member


@pytest.mark.parametrize(
    ("value", "matches"),
    [
        ("OpenAI/Python 1.68.0", True),
        ("Mozilla/5.0 (X11; Linux x86_64)", True),
        ("call me at 5550100 today", False),
        ("ann@example.com", False),
    ],
)
def test_products_leave_no_room_for_a_text(value: str, matches: bool) -> None:
    assert (header_form(PRODUCTS).pattern.fullmatch(value) is not None) is matches


def test_an_api_may_have_no_headers_of_limits() -> None:
    assert NO_LIMIT_HEADERS.write(Remaining("requests", 10, 1, 360.0), 0.0) == {}
