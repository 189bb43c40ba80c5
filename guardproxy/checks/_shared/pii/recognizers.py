"""Presidio's recognizers, and the properties of each that the engine needs.

In: names of entities or of recognizer classes, and a user's recognizers (`custom.py`). Out: recognizers and the engine's
`Source`s. All properties are read from the recognizers themselves, so that a new version of Presidio needs no change here.
Presidio (and spaCy with it) is imported when the first check is built, and never uses the network.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from importlib.util import find_spec
from typing import Any

import regex

from guardproxy.checks._shared.pii.cover import UncoveredError, cover
from guardproxy.checks._shared.pii.engine import (
    Boost,
    Pattern,
    PatternSource,
    PhoneSource,
    Source,
    compile_pattern,
    exact,
)
from guardproxy.checks._shared.pii.phone import Phones
from guardproxy.checks._shared.pii.words import Words

DEFAULTS = (
    "EMAIL_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD", "US_SSN", "IBAN_CODE", "IP_ADDRESS", "CRYPTO", "US_PASSPORT",
    "US_ITIN", "US_BANK_NUMBER", "UK_NHS", "MEDICAL_LICENSE", "MAC_ADDRESS",
)  # fmt: skip
MODEL_ENTITIES = ("PERSON", "LOCATION", "NRP", "ORGANIZATION", "ID", "FACILITY", "PROFESSION")
_TIMEOUT_S = 1.0  # for one search with a user's pattern; after that the check fails
# Presidio and spaCy import these if they are installed, torch alone for 290 MB of memory and five seconds. They use them only
# if one of `_USERS` is installed: pipelines and recognizers that run on torch.
_FRAMEWORKS = ("cupy", "mxnet", "stanza", "tensorflow", "torch", "transformers")
_USERS = ("gliner", "spacy_curated_transformers", "spacy_huggingface_pipelines", "spacy_transformers")
_DISTRIBUTIONS = ("presidio-analyzer", "phonenumbers", "tldextract", "spacy", "regex", "google-re2")


@contextmanager
def without(names: Sequence[str]) -> Iterator[None]:
    """Makes packages look as if they were not installed, for imports within the block. A package that is already imported
    stays visible."""
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # `None`: the import fails
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)


def unused_frameworks() -> tuple[str, ...]:
    """Returns the packages that Presidio and spaCy would import for nothing."""
    return () if any(find_spec(name) for name in _USERS) else _FRAMEWORKS


@cache
def presidio() -> Any:
    """Returns the package, with a list of public suffixes that needs no download."""
    with warnings.catch_warnings(), without(unused_frameworks()):
        warnings.simplefilter("ignore")
        import presidio_analyzer  # noqa: PLC0415
        import tldextract.tldextract as tld  # noqa: PLC0415

        tld.TLD_EXTRACTOR = tld.TLDExtract(suffix_list_urls=(), cache_dir=None)
        tld.TLD_EXTRACTOR("example.org")  # reads the list here, so that the first address need not wait
        # It logs each recognizer and each entity that it loads or leaves out.
        logging.getLogger("presidio-analyzer").setLevel(logging.ERROR)
    return presidio_analyzer


@cache
def classes() -> dict[str, type]:
    """Returns the classes of Presidio's recognizers that need no model, by name."""
    from presidio_analyzer import PatternRecognizer, predefined_recognizers  # noqa: PLC0415
    from presidio_analyzer.predefined_recognizers import PhoneRecognizer  # noqa: PLC0415

    kinds = {name: kind for name, kind in sorted(vars(predefined_recognizers).items()) if isinstance(kind, type)}
    return {name: kind for name, kind in kinds.items() if issubclass(kind, (PatternRecognizer, PhoneRecognizer))}


@cache
def recognizers() -> dict[str, list[type]]:
    """Returns every entity that a pattern recognizer of Presidio finds, with the recognizer's classes."""
    presidio()
    by_entity: dict[str, list[type]] = {}
    for kind in classes().values():
        maker: Any = kind
        for entity in maker(supported_language="en").supported_entities:
            by_entity.setdefault(entity, []).append(kind)
    return by_entity


@cache
def configured_recognizers(language: str) -> tuple[Any, ...]:
    """Returns the recognizers that Presidio's own configuration loads for a language, without those that need a
    model."""
    presidio()
    from presidio_analyzer.recognizer_registry import RecognizerRegistryProvider  # noqa: PLC0415

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        provider = RecognizerRegistryProvider(registry_configuration={"supported_languages": [language]})
        registry = provider.create_recognizer_registry()
    known = tuple(classes().values())
    return tuple(
        recognizer
        for recognizer in registry.recognizers
        if recognizer.supported_language == language and type(recognizer) in known
    )


def defaults(language: str) -> list[str]:
    """Returns the entities that a policy without `entities` searches for in a language. For English these are
    `DEFAULTS`; for other languages those of `DEFAULTS` that belong to no country, and Presidio's entities for the
    language or for the country with its code."""
    if language == "en":
        return [entity for entity in DEFAULTS if entity in recognizers()]
    local = [recognizer for recognizer in configured_recognizers(language) if recognizer.country_code() is not None]
    of_country = [kind for kind in classes().values() if getattr(kind, "COUNTRY_CODE", None) == language]
    local_entities = {
        entity
        for recognizer in local
        if recognizer.country_code() == language
        for entity in recognizer.supported_entities
    }
    for kind in of_country:
        maker: Any = kind
        local_entities.update(maker(supported_language=language).supported_entities)
    neutral = [
        entity
        for entity in DEFAULTS
        if all(getattr(kind, "COUNTRY_CODE", None) is None for kind in recognizers()[entity])
    ]
    return sorted({*neutral, *local_entities})


def recognizers_for(name: str, language: str) -> list[Any]:
    """Returns the recognizers for an entity or a class name. If Presidio configures them for `language`, its
    configuration is used."""
    kinds = [classes()[name]] if name in classes() else recognizers()[name]
    matching = []
    for kind in kinds:
        maker: Any = kind
        ready = [recognizer for recognizer in configured_recognizers(language) if type(recognizer) is kind]
        matching += ready or [maker(supported_language=language)]
    return matching


@cache
def boost() -> Boost:
    """Returns the effect of context on a score in Presidio."""
    presidio()
    from presidio_analyzer.context_aware_enhancers import LemmaContextAwareEnhancer  # noqa: PLC0415

    enhancer = LemmaContextAwareEnhancer()
    return Boost(float(enhancer.context_similarity_factor), float(enhancer.min_score_with_context_similarity))


def versions(detected: bool = False) -> str:
    """Returns the versions that the findings depend on, beside the options. `detected`: includes the language
    detector."""
    from importlib.metadata import version  # noqa: PLC0415

    names = (*_DISTRIBUTIONS, "py3langid") if detected else _DISTRIBUTIONS
    return " ".join(f"{name}={version(name)}" for name in names)


def least(recognizer: Any, entity: str, threshold: float | None, otherwise: float) -> float:
    """Returns the score from which findings count: the policy's, otherwise the recognizer's own, otherwise the
    engine's."""
    if threshold is not None:
        return threshold
    own = recognizer.score_thresholds
    return float(own.get(entity, own.get("default", otherwise)))


def source(recognizer: Any, words: Words, threshold: float | None, otherwise: float) -> Source | None:
    """Converts a recognizer to a source; `None` if it must see the whole text.

    Raises `UncoveredError` for a pattern whose structure cannot be determined.
    """
    presidio()
    from presidio_analyzer import PatternRecognizer  # noqa: PLC0415
    from presidio_analyzer.predefined_recognizers import IbanRecognizer, PhoneRecognizer  # noqa: PLC0415
    from presidio_analyzer.predefined_recognizers.country_specific.south_africa import (  # noqa: PLC0415
        za_phone_number_recognizer as za,
    )

    kind, entity = type(recognizer), recognizer.supported_entities[0]
    if kind.enhance_using_context is not PatternRecognizer.enhance_using_context:
        return None
    context = tuple(dict.fromkeys(word.lower() for word in recognizer.context or ()))
    from_score = least(recognizer, entity, threshold, otherwise)
    if kind.analyze is PatternRecognizer.analyze or kind.analyze is IbanRecognizer.analyze:
        trusted = kind in classes().values() and recognizer.patterns is getattr(kind, "PATTERNS", None)
        is_iban = kind.analyze is IbanRecognizer.analyze
        read_match = partial(_read_iban if is_iban else _read_match, recognizer)
        validates = kind.validate_result is not PatternRecognizer.validate_result
        # A pattern whose score cannot become high enough is left out; a checksum may give any of them the highest.
        patterns = [
            _pattern(pattern, int(recognizer.global_regex_flags), trusted)
            for pattern in recognizer.patterns
            if validates or (boost().of(pattern.score) if context else pattern.score) >= from_score
        ]
        bodies = tuple(pattern.cover.body for pattern in patterns)
        return PatternSource(entity, patterns, read_match, context, words, from_score, not is_iban, bodies)
    if kind.analyze in (PhoneRecognizer.analyze, za.ZaPhoneNumberRecognizer.analyze):
        local = kind.analyze is not PhoneRecognizer.analyze
        regions = (kind.REGION,) if local else tuple(recognizer.supported_regions)
        phones = Phones(regions, recognizer.leniency, every=local)
        accept = partial(_is_local, recognizer) if local else _any
        return PhoneSource(entity, phones, recognizer.SCORE, accept, context, words, from_score)
    return None


def _pattern(pattern: Any, flags: int, trusted: bool) -> Pattern:
    try:
        covering = cover(pattern.regex, flags)
        compile_pattern(covering.body)  # here, so that the first text need not wait
        return Pattern(
            exact(pattern.regex, flags),
            covering,
            compile_pattern(covering.body).fullmatch(b"") is not None,
            float(pattern.score),
            None if trusted else _TIMEOUT_S,
        )
    except (UncoveredError, regex.error) as error:
        raise UncoveredError(f"pattern `{pattern.name}`: {error}") from None


def _read_match(recognizer: Any, match: Any, text: str, score: float) -> tuple[int, int, float, bool] | None:
    """Reads a match as Presidio's `PatternRecognizer` does."""
    start, end = match.span()
    if start == end:
        return None
    value = text[start:end]
    valid = recognizer.validate_result(value)
    if valid is not None:
        score = float(recognizer.MAX_SCORE if valid else recognizer.MIN_SCORE)
    if recognizer.invalidate_result(value):
        return None
    return (start, end, score, bool(valid)) if score > recognizer.MIN_SCORE else None


def _read_iban(recognizer: Any, match: Any, text: str, score: float) -> tuple[int, int, float, bool] | None:
    """Reads a match as Presidio's `IbanRecognizer` does: takes the longest sequence of its groups that has the right
    check digits."""
    start, end = match.span()
    for group in range(len(match.groups()), 0, -1):
        last = match.span(group)[1]
        last = last if last > 0 else end
        if last == start:
            continue
        valid = recognizer.validate_result(text[start:last])
        if valid is None:
            return start, last, score, False
        if valid:
            return start, last, float(recognizer.MAX_SCORE), True
    return None


def _any(number: Any) -> bool:
    return True


def _is_local(recognizer: Any, number: Any) -> bool:
    import phonenumbers  # noqa: PLC0415

    here = phonenumbers.region_code_for_number(number) == recognizer.REGION
    return here and bool(recognizer._classify(number) == recognizer.target_classification)


def sources(
    recognizers: Sequence[Any], words: Words, threshold: float | None, otherwise: float
) -> tuple[list[Source], list[Any]]:
    """Returns the engine's sources, and the recognizers that must see the whole text."""
    in_growing_text: list[Source] = []
    whole = []
    for recognizer in recognizers:
        converted = source(recognizer, words, threshold, otherwise)
        if converted is None:
            whole.append(recognizer)
        elif converted.bodies:  # without bodies, no score can be high enough
            in_growing_text.append(converted)
    return in_growing_text, whole
