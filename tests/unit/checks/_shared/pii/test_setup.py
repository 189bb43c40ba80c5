"""The options of the `pii` check."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.checks import pii
from guardproxy.checks._shared.declared.contract import Resources, build
from guardproxy.checks._shared.pii.setup import NAMED
from guardproxy.errors import OptionError
from tests.kit.checks import whole


def _check(**options: Any) -> Any:
    return build("pii", "pii", options, Resources())


def _found(check: Any, text: str) -> list[tuple[str, str]]:
    return [(one.label, text[one.start : one.end]) for one in whole(check, text)]


@pytest.mark.parametrize(
    ("options", "key", "words"),
    [
        ({"entity": []}, "entity", "unknown option"),
        ({"entities": []}, "entities", "list of entity names"),
        ({"entities": "US_SSN"}, "entities", "list of entity names"),
        ({"entities": ["PERSON"]}, "entities", "without a model"),
        ({"entities": ["US_SNN"]}, "entities", "did you mean `US_SSN`"),
        ({"entities": ["UsSnnRecognizer"]}, "entities", "did you mean `UsSsnRecognizer`"),
        ({"entities": ["??"]}, "entities", "known entities"),
        ({"language": "xx1"}, "language", "use a code like"),
        ({"language": []}, "language", "must be a code"),
        ({"language": 5}, "language", "must be a code"),
        ({"threshold": 2}, "threshold", "from 0 to 1"),
        ({"threshold": True}, "threshold", "from 0 to 1"),
        ({"recognizers": 5}, "recognizers", "a file or a class"),
        ({"recognizers": []}, "recognizers", "at least one"),
    ],
)
def test_bad_options_are_explained(options: dict[str, Any], key: str, words: str) -> None:
    with pytest.raises(OptionError, match=words) as caught:
        _check(**options)
    assert caught.value.key == key


def test_a_recognizer_can_be_named_by_its_class() -> None:
    assert _found(_check(entities=["UkNinoRecognizer"]), "nino AB 12 34 56 C") == [("UK_NINO", "AB 12 34 56 C")]


@pytest.mark.parametrize(
    ("language", "text", "found"),
    [
        ("es", "mi NIF es 12345678Z", ("ES_NIF", "12345678Z")),
        ("es", "tarjeta 4111 1111 1111 1111", ("CREDIT_CARD", "4111 1111 1111 1111")),
        ("de", "meine Steuernummer: 65929970489", ("DE_TAX_ID", "65929970489")),
        ("it", "codice fiscale RSSMRA85T10A562S", ("IT_FISCAL_CODE", "RSSMRA85T10A562S")),
        ("fr", "appelez le 06 12 34 56 78", ("PHONE_NUMBER", "06 12 34 56 78")),
        ("nl", "mail naar ada@example.nl", ("EMAIL_ADDRESS", "ada@example.nl")),
    ],
)
def test_languages_have_recognizers_of_their_own(language: str, text: str, found: tuple[str, str]) -> None:
    assert found in _found(_check(language=language), text)


def test_several_languages_at_once() -> None:
    check = _check(language=["en", "es", "en"])
    assert _found(check, "NIF 12345678Z, SSN 536-22-8726") == [("ES_NIF", "12345678Z"), ("US_SSN", "536-22-8726")]


def test_the_digest_knows_every_option() -> None:
    options: list[dict[str, Any]] = [
        {},
        {"threshold": 0.5},
        {"language": "de"},
        {"language": ["en", "de"]},
        {"entities": ["US_SSN"]},
    ]
    digests = {_check(**one).digest for one in [*options, {"language": "auto"}]}
    assert len(digests) == len(options) + 1
    assert _check().digest == _check().digest


def test_the_digest_knows_every_entity() -> None:
    known = pii.OPTIONS["entities"].words
    assert known
    names = [name for name in known() if name not in NAMED]
    assert len({_check(entities=["EMAIL_ADDRESS", name]).digest for name in names}) == len(names)
