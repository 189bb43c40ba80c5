"""Presidio's recognizers: which there are, and what is read off them."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from guardproxy.checks._shared.pii import recognizers as known
from guardproxy.checks._shared.pii.cover import UncoveredError
from guardproxy.checks._shared.pii.words import words
from tests.kit.pii import analyzer, engine


def test_entities_and_classes() -> None:
    assert {"US_SSN", "DE_TAX_ID", "ZA_MOBILE_NUMBER"} <= set(known.recognizers())
    assert "UsSsnRecognizer" in known.classes()
    assert "SpacyRecognizer" not in known.classes()


def test_named_recognizers_are_those_that_presidio_configures() -> None:
    (one,) = known.recognizers_for("CREDIT_CARD", "es")
    assert "tarjeta" in one.context
    (other,) = known.recognizers_for("CreditCardRecognizer", "en")
    assert "card" in other.context
    (third,) = known.recognizers_for("DE_PLZ", "en")
    assert third.supported_language == "en"


def test_defaults() -> None:
    assert known.defaults("en") == list(known.DEFAULTS)
    assert {"ES_NIF", "ES_PASSPORT", "EMAIL_ADDRESS"} <= set(known.defaults("es"))
    assert "US_SSN" not in known.defaults("es")
    assert {"DE_TAX_ID", "IBAN_CODE"} <= set(known.defaults("de"))
    assert "PHONE_NUMBER" in known.defaults("nl")


def test_thresholds() -> None:
    (one,) = known.recognizers_for("US_SSN", "en")
    assert known.least(one, "US_SSN", None, 0.4) == 0.4
    assert known.least(one, "US_SSN", 0.7, 0.4) == 0.7
    maker = known.classes()["UsItinRecognizer"]
    other: Any = maker(supported_language="en")
    other.score_thresholds = {"default": 0.2}
    assert known.least(other, "US_ITIN", None, 0.4) == 0.2
    other.score_thresholds = {"default": 0.2, "US_ITIN": 0.3}
    assert known.least(other, "US_ITIN", None, 0.4) == 0.3


@pytest.mark.parametrize(
    "text",
    [
        "GB82 WEST 1234 5698 7654 32 2 days",
        "gb82west12345698765432",
        "DE89 3704 0044 0532 0130 00",
        "DE89 3704 0044 0532 0130 00 XY",
        "XX89 3704 0044 0532 0130 00",
        "AB12 3456 7890",
        "000-12-3456 536-22-8726 1.2.3.4",
        "082 123 4567, 011 123 4567, 212 555 0147, +27 82 123 4567",
    ],
)
def test_recognizers_with_code_of_their_own(text: str) -> None:
    made = [
        one
        for name in ("IBAN_CODE", "US_SSN", "ZA_MOBILE_NUMBER", "ZA_TELEPHONE_NUMBER")
        for one in known.recognizers_for(name, "en")
    ]
    assert engine(made, "en")(text) == analyzer(made, "en")(text)


def test_an_iban_pattern_may_have_groups_that_are_empty() -> None:
    from presidio_analyzer import Pattern
    from presidio_analyzer.predefined_recognizers import IbanRecognizer

    patterns: Any = [Pattern("iban", r"(?<=to\s*)([A-Z]{2}\d{20})()?", 0.5)]  # annotated as texts, used as patterns
    made = [IbanRecognizer(patterns=patterns)]
    text = "to DE89370400440532013000 toDE00370400440532013000"
    assert engine(made, "en")(text) == analyzer(made, "en")(text) != set()
    patterns = [Pattern("iban", r"([A-Z]{2}\d{2})?(\d{18})?()", 0.5)]
    made = [IbanRecognizer(patterns=patterns)]
    text = "DE89370400440532013000 370400440532013000"
    assert engine(made, "en")(text) == analyzer(made, "en")(text) != set()


def test_a_pattern_that_cannot_be_covered_is_named() -> None:
    from presidio_analyzer import Pattern, PatternRecognizer

    odd = PatternRecognizer("ODD", patterns=[Pattern("odd one", r"\X", 0.5)])
    with pytest.raises(UncoveredError, match="pattern `odd one`"):
        known.source(odd, words("en"), None, 0)


def test_versions() -> None:
    assert "presidio-analyzer=" in known.versions()
    assert "py3langid=" in known.versions(detected=True)


def test_packages_are_hidden_only_while_presidio_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("large_hidden", "large_loaded"):
        (tmp_path / f"{name}.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    loaded = importlib.import_module("large_loaded")
    with known.without(("large_hidden", "large_loaded")):
        with pytest.raises(ModuleNotFoundError, match="large_hidden"):
            importlib.import_module("large_hidden")
        assert importlib.import_module("large_loaded") is loaded, "what is imported stays"
    assert importlib.import_module("large_hidden")


def test_torch_is_imported_for_pipelines_that_run_on_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "torch" in known.unused_frameworks()
    (tmp_path / "spacy_transformers.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    assert known.unused_frameworks() == ()


@pytest.mark.export  # where torch is installed
def test_torch_is_not_imported_for_presidio() -> None:
    names = (
        "import sys; from guardproxy.checks._shared.pii import recognizers; recognizers.presidio(); "
        "print('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", names], capture_output=True, check=True).stdout == b"False\n"
