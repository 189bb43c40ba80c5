"""Recognizers that must see the whole text, because their own code decides which text they read.

In: a text. Out: the findings of Presidio's engine with these recognizers. It is unknown how far such a recognizer reads, so a
text is held to its end. That is the cost of a class with its own `analyze`.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from guardproxy.checks._shared.pii.engine import Span


@dataclass(frozen=True, slots=True)
class WholeTextSearch:
    """Presidio's engine, for each language. `threshold`: the least score, or `None` for each recognizer's own."""

    engines: Sequence[tuple[str, Any]]
    threshold: float | None

    def search(self, text: str, wanted_language: str = "") -> list[Span]:
        """Returns the findings in `wanted_language`, or in all languages if it is empty. Exceptions of recognizers
        propagate."""
        return [
            Span(result.start, result.end, result.entity_type, float(result.score), False)
            for language, engine in self.engines
            if wanted_language in ("", language)
            for result in engine.analyze(text, language, score_threshold=self.threshold)
        ]


def whole(
    by_language: Sequence[tuple[str, Sequence[Any]]], threshold: float | None, otherwise: float
) -> WholeTextSearch | None:
    """Makes the search; `None` if no recognizer needs it."""
    engines = [(language, _engine(language, found, otherwise)) for language, found in by_language if found]
    return WholeTextSearch(engines, threshold) if engines else None


def _engine(language: str, recognizers: Sequence[Any], otherwise: float) -> Any:
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry  # noqa: PLC0415

    registry = RecognizerRegistry(recognizers=list(recognizers), supported_languages=[language])
    return AnalyzerEngine(
        registry=registry,
        nlp_engine=nlp_engine(language),
        supported_languages=[language],
        default_score_threshold=otherwise,
    )


@cache
def nlp_engine(language: str) -> Any:
    """Returns spaCy without a model, for Presidio. Each word is its own lemma, as context has no effect without
    lemmas."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import spacy  # noqa: PLC0415
        from presidio_analyzer.nlp_engine import SpacyNlpEngine  # noqa: PLC0415
        from spacy.language import Language  # noqa: PLC0415

    Language.component("guardproxy_lemmas", func=_lemmas)
    pipeline = spacy.blank(language)
    pipeline.add_pipe("guardproxy_lemmas")
    engine: Any = SpacyNlpEngine(models=[{"lang_code": language, "model_name": "blank"}])
    engine.nlp = {language: pipeline}
    return engine


def _lemmas(doc: Any) -> Any:
    for token in doc:
        token.lemma_ = token.text
    return doc
