"""The check `language`: allowed and denied languages, passages that say too little, and a missing package."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from guardproxy.checks import Resources, build
from guardproxy.checks.language import LIKELY, _known, has_letters
from guardproxy.errors import OptionError
from guardproxy.testing import assert_promise
from tests.kit.checks import PROSE, assert_every_split, whole

ENGLISH = "The lighthouse keeper walked down to the harbour and watched the boats go out. "
GERMAN = "Der Leuchtturmwärter ging jeden Morgen zum Hafen hinunter und sah den Booten nach. "
RUSSIAN = "Каждое утро старый смотритель маяка спускался к гавани и смотрел на лодки. "
CHINESE = "每天早上老灯塔看守人都会走到港口看船只出海他认识大多数船员。"
HINDI = "हर सुबह बूढ़ा रखवाला बंदरगाह तक चलकर जाता और नावों को जाते हुए देखता था। "


def check(**options: Any) -> Any:
    return build("language", "language", options, Resources())


ONLY_ENGLISH, NO_RUSSIAN = check(allow=["en"]), check(deny=["ru", "zh"])


@pytest.mark.parametrize("text", [GERMAN, RUSSIAN, CHINESE, HINDI])
def test_a_language_that_is_not_allowed_is_found(text: str) -> None:
    (finding,) = whole(ONLY_ENGLISH, text)
    assert (finding.label, finding.score >= 0.99) == ("LANGUAGE", True)
    assert text[finding.start : finding.end] == text.strip()
    assert whole(check(allow=["en", "de", "ru", "zh", "hi"]), text) == []


def test_the_details_name_the_language() -> None:
    (finding,) = whole(check(allow=["en", "fr"]), GERMAN)
    assert [(detail.expected, detail.found) for detail in finding.details] == [("a text in en or fr", "a text in de")]
    (finding,) = whole(NO_RUSSIAN, RUSSIAN)
    assert [(detail.expected, detail.found) for detail in finding.details] == [
        ("a text in no language of ru or zh", "a text in ru")
    ]


def test_a_language_that_is_denied_is_found_and_no_other() -> None:
    assert [len(whole(NO_RUSSIAN, text)) for text in (ENGLISH, GERMAN, HINDI, RUSSIAN, CHINESE)] == [0, 0, 0, 1, 1]


@pytest.mark.parametrize(
    "text",
    [
        "Guten Morgen!",
        "Да, конечно.",
        "x = {'a': 1, 'b': [2, 3]}; print(x['a']) # 12345",
        "8f14e45fceea167a5a36dedd4bea2543",
        "",
        PROSE,
    ],
)
def test_a_text_that_says_too_little_gets_no_verdict(text: str) -> None:
    assert whole(ONLY_ENGLISH, text) == []


def test_each_passage_has_a_verdict_of_its_own() -> None:
    text = ENGLISH * 2 + "\n" + RUSSIAN * 2 + "\n" + ENGLISH * 2
    (finding,) = assert_every_split(check(allow=["en"], window_chars=200), text[:380])
    assert text[finding.start :].startswith("Каждое")
    assert_promise(ONLY_ENGLISH, [ENGLISH, RUSSIAN, GERMAN, "\n", "12 ", "x" * 50], 30)


def test_a_few_letters_are_enough_if_the_policy_says_so() -> None:
    loose = check(allow=["en"], letters=10)
    assert len(whole(loose, "Да, конечно, завтра.")) == 1
    assert [advice.key for advice in loose.traits.advice] == ["letters"]
    assert ONLY_ENGLISH.traits.advice == ()


def test_letters_are_counted_in_every_script() -> None:
    assert has_letters("漢字漢字", 12)
    assert not has_letters("漢字漢字", 13)
    assert not has_letters("1234567890abc", 3)
    assert has_letters("बंदरगाह", 7)


def test_a_threshold_can_be_lower() -> None:
    assert len(whole(check(allow=["en"], threshold=0), ENGLISH)) == 1


def test_every_likely_language_is_known() -> None:
    assert _known()[0] >= LIKELY


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "either `allow` or `deny`"),
        ({"allow": ["en"], "deny": ["de"]}, "either `allow` or `deny`"),
        ({"allow": []}, "`allow` must be a list"),
        ({"deny": "de"}, "`deny` must be a list"),
        ({"allow": ["en", "klingon"]}, "unknown language `klingon`; known: "),
        ({"allow": ["en"], "threshold": 2}, "`threshold`"),
    ],
)
def test_a_wrong_option_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        check(**options)


def test_without_its_package_the_check_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    _known.cache_clear()
    monkeypatch.setitem(sys.modules, "py3langid", None)
    with pytest.raises(OptionError, match=r"install guardproxy\[languages\]"):
        check(allow=["en"])
