"""Which language a text is in, told from what stands before a place."""

from __future__ import annotations

import builtins
from typing import Any

import pytest

from guardproxy.checks._shared.declared.contract import Resources, build
from guardproxy.checks._shared.pii.language import LANGUAGES, detector
from guardproxy.errors import OptionError
from guardproxy.findings import Facts, Finding, Window
from tests.kit.checks import CHANNEL, assert_every_split, whole

pytestmark = pytest.mark.heavy

GERMAN = "Guten Tag, ich schreibe Ihnen wegen meiner Steuererklärung, bitte antworten Sie bald. "
SPANISH = "Buenos días, le escribo por mi declaración de impuestos, por favor conteste pronto. "


def test_only_what_stands_before_counts() -> None:
    detect = detector(LANGUAGES)
    for text, language in ((GERMAN, "de"), (SPANISH, "es")):
        assert detect(text + "x" * 500, len(text)) == language
    assert detect(GERMAN + SPANISH * 20, len(GERMAN + SPANISH * 20)) == "es"
    assert detect("Guten Tag, 12345678 " * 2, 20) is None


def test_recognizers_of_other_languages_find_nothing_in_a_text_whose_language_is_known() -> None:
    check = build("pii", "pii", {"language": "auto"}, Resources())
    text = f"{SPANISH}Mi NIF es 12345678Z, gracias."
    assert "ES_NIF" in {one.label for one in whole(check, text)}
    assert "ES_NIF" not in {one.label for one in whole(check, f"{GERMAN}Mi NIF es 12345678Z, gracias.")}
    assert_every_split(check, "Mi NIF es 12345678Z, gracias.")
    assert_every_split(check, text)


def test_without_the_package_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = builtins.__import__

    def missing(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("py3langid"):
            raise ImportError(name)
        return plain(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(OptionError, match=r"guardproxy\[languages\]"):
        build("pii", "pii", {"language": "auto"}, Resources())


def test_a_header_chooses_among_the_languages() -> None:
    check = build("pii", "pii", {"language": "header"}, Resources())
    others = {build("pii", "pii", {"language": one}, Resources()).digest for one in ("auto", [*LANGUAGES])}
    assert check.digest not in others
    text = "Mi NIF es 12345678Z, y su tarjeta 4111 1111 1111 1111"
    found = {
        code: [one.label for one in check.scan([Window(CHANNEL, text, facts=Facts(language=code))])[0].findings]
        for code in ("es", "en", "", "xx")
    }
    assert found == {
        "es": ["ES_NIF", "CREDIT_CARD"],
        "en": ["CREDIT_CARD"],
        "": ["ES_NIF", "CREDIT_CARD"],  # who does not say is protected by all of them
        "xx": ["ES_NIF", "CREDIT_CARD"],
    }
    plain = build("pii", "pii", {"language": "es"}, Resources())  # of which no header makes another
    (scan,) = plain.scan([Window(CHANNEL, text, facts=Facts(language="en"))])
    assert [one.label for one in scan.findings] == ["ES_NIF", "CREDIT_CARD"]


@pytest.mark.parametrize("hidden", ["12345678Z", "1234\u200b5678Z"])
def test_what_is_hidden_is_in_the_same_language(hidden: str) -> None:
    check = build("pii", "pii", {"language": "header"}, Resources())
    text = f"Mi NIF es {hidden}"
    for code, count in (("es", 1), ("en", 0)):
        settled = keep = 0
        found: list[Finding] = []
        for end in range(1, len(text) + 1):
            window = Window(CHANNEL, text[keep:end], keep, settled, end == len(text), Facts(language=code))
            (scan,) = check.scan([window])
            found += scan.findings
            settled, keep = scan.settled, scan.keep
        assert len(found) == count
        assert found == list(check.scan([Window(CHANNEL, text, facts=Facts(language=code))])[0].findings)
