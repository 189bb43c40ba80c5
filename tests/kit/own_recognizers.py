"""Recognizer classes as a user of Presidio would write them."""

from __future__ import annotations

from typing import Any

from presidio_analyzer import EntityRecognizer, Pattern, PatternRecognizer, RecognizerResult


class BadgeRecognizer(PatternRecognizer):
    """Patterns with a check of its own."""

    def __init__(self, supported_language: str = "en") -> None:
        super().__init__(
            supported_entity="BADGE",
            patterns=[Pattern("badge", r"\bB-\d{4}\b", 0.5)],
            context=["badge"],
            supported_language=supported_language,
        )

    def validate_result(self, pattern_text: str) -> bool | None:
        return None if pattern_text.endswith("0") else int(pattern_text[-1]) % 2 == 0


class ShoutRecognizer(EntityRecognizer):
    """Its own `analyze`: the last word of a text, if it is in capitals."""

    def __init__(self) -> None:
        super().__init__(supported_entities=["SHOUT"], name="shout", supported_language="en")

    def load(self) -> None: ...

    def analyze(self, text: str, entities: Any, nlp_artifacts: Any = None) -> list[RecognizerResult]:
        last = nlp_artifacts.tokens[-1]
        if not last.is_upper:
            return []
        return [RecognizerResult("SHOUT", last.idx, last.idx + len(last), 0.6)]


class RaisingRecognizer(ShoutRecognizer):
    def analyze(self, text: str, entities: Any, nlp_artifacts: Any = None) -> list[RecognizerResult]:
        raise RuntimeError("no")


class EnhancingRecognizer(BadgeRecognizer):
    """Context of its own: all of the text counts."""

    def enhance_using_context(self, text: str, raw_recognizer_results: Any, *rest: Any, **more: Any) -> Any:
        for result in raw_recognizer_results:
            result.score = 0.9
        return raw_recognizer_results


class SlowRecognizer(PatternRecognizer):
    def __init__(self, supported_language: str = "en") -> None:
        slow = Pattern("nested", r"(?:a+)+b", 0.5)
        super().__init__(supported_entity="SLOW", patterns=[slow], supported_language=supported_language)


class BrokenRecognizer(ShoutRecognizer):
    def __init__(self) -> None:
        raise ValueError("not today")
