"""The language of the text before a place.

In: a text and a place. Out: a language, or `None`. Only the text before the place counts, at most `LOOK` characters, so the
answer does not depend on how the text was cut. If it has fewer than `ENOUGH` letters, no language is returned, and the
recognizers of all languages count.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from guardproxy.checks._shared.pii.words import LOOK

LANGUAGES = ("en", "es", "de", "fr", "it", "nl")
ENOUGH = 40


def detector(languages: Sequence[str]) -> Callable[[str, int], str | None]:
    """Returns a function that distinguishes `languages`. Raises `ImportError` if its package is not installed."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # noqa: PLC0415

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
    identifier.set_languages(list(languages))

    def detect(text: str, start: int) -> str | None:
        before = text[max(0, start - LOOK) : start]
        if sum(map(str.isalpha, before)) < ENOUGH:
            return None
        return str(identifier.classify(before)[0])

    return detect
