"""Presidio's own engine over tokens cut by a pattern, for comparison; and made-up identifiers."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.nlp_engine import NlpArtifacts, NlpEngine

from guardproxy.checks._recognizers import recognizers, stop_words

IDENTIFIERS = {
    "EMAIL_ADDRESS": "ada.l+x@mail.example.co.uk",
    "PHONE_NUMBER": "(212) 555-0147 ext. 12",
    "CREDIT_CARD": "4111 1111 1111 1111",
    "US_SSN": "536-22-8726",
    "IBAN_CODE": "GB82 WEST 1234 5698 7654 32",
    "IP_ADDRESS": "2001:db8::8a2e:370:7334",
    "CRYPTO": "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
    "MAC_ADDRESS": "aa:bb:cc:dd:ee:ff",
    "UK_NHS": "943 476 5919",
    "US_ITIN": "912-70-1234",
    "MEDICAL_LICENSE": "BB1388568",
}
CONTEXT = {"US_PASSPORT": "passport 912803456", "US_BANK_NUMBER": "bank account 12345678"}


class PlainEngine(NlpEngine):
    """Tokens are runs of letters and digits, or single signs; a lemma is the token in lower case."""

    def load(self) -> None: ...

    def is_loaded(self) -> bool:
        return True

    def process_text(self, text: str, language: str) -> NlpArtifacts:
        found = list(re.finditer(r"\w+|[^\w\s]", text))
        tokens: Any = [each[0] for each in found]
        lemmas = [each.lower() for each in tokens]
        return NlpArtifacts([], tokens, [each.start() for each in found], lemmas, self, language)

    def process_batch(self, texts: Any, language: str, **more: Any) -> Any:
        return ((text, self.process_text(text, language)) for text in texts)

    def is_stopword(self, word: str, language: str) -> bool:
        return word in stop_words()

    def is_punct(self, word: str, language: str) -> bool:
        return not re.match(r"\w", word)

    def get_supported_entities(self) -> list[str]:
        return []

    def get_supported_languages(self) -> list[str]:
        return ["en"]


def presidio(entities: Iterable[str]) -> AnalyzerEngine:
    """Presidio's engine with the pattern recognizers of `entities`."""
    kinds = recognizers()
    made: list[Any] = [kind(supported_language="en") for entity in entities for kind in kinds[entity]]
    registry = RecognizerRegistry(recognizers=made, supported_languages=["en"])
    return AnalyzerEngine(registry=registry, nlp_engine=PlainEngine(), supported_languages=["en"])
