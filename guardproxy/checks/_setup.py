"""The options of the check `pii`, read.

Options and what a check is handed come in; an engine, the recognizers that must see whole texts, and a digest go out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from guardproxy.checks import Resources, options_digest
from guardproxy.checks._cover import UncoveredError
from guardproxy.checks._custom import Custom
from guardproxy.checks._engine import Engine, Source
from guardproxy.checks._language import LANGUAGES, detector
from guardproxy.checks._recognizers import (
    MODEL_ENTITIES,
    boost,
    classes,
    defaults,
    named,
    recognizers,
    sources,
    versions,
)
from guardproxy.checks._whole import Whole, whole
from guardproxy.checks._words import words
from guardproxy.errors import OptionError

VERSION = 2
THRESHOLD = 0.4
_OPTIONS = ("entities", "recognizers", "threshold", "language")


@dataclass(frozen=True, slots=True)
class Setup:
    """`digest`: identifies everything that the findings depend on."""

    digest: str
    engine: Engine
    whole: Whole | None


def setup(options: Mapping[str, Any], resources: Resources) -> Setup:
    """Raises `OptionError` for an option that is unknown or not to be understood."""
    for key in options:
        if key not in _OPTIONS:
            raise OptionError(key, f"unknown option `{key}`; known options: {', '.join(_OPTIONS)}")
    threshold = options.get("threshold")
    if threshold is not None and (
        isinstance(threshold, bool) or not isinstance(threshold, (int, float)) or not 0 <= threshold <= 1
    ):
        raise OptionError("threshold", "`threshold` must be a number from 0 to 1")
    languages, detected = _languages(options.get("language", "en"))
    own = Custom(_entries(options), resources.read)
    asked = _entities(options)
    made: list[Source] = []
    seeing_all: list[tuple[str, list[Any]]] = []
    entities: dict[str, list[str]] = {}
    for language in languages:
        cut = _words(language)
        brought = own.made(language)
        entities[language] = asked or ([] if "recognizers" in options else defaults(language))
        replaced = {type(one) for one in brought}
        found = {
            id(one): one for name in entities[language] for one in named(name, language) if type(one) not in replaced
        }
        try:
            known, all_of_it = sources([*brought, *found.values()], cut, threshold, THRESHOLD)
        except UncoveredError as error:
            raise OptionError("recognizers", str(error)) from None
        made += known
        seeing_all.append((language, all_of_it))
    if not made and not any(found for _, found in seeing_all):
        raise OptionError("recognizers", f"there is no recognizer for the language {', '.join(languages)}")
    engine = Engine(made, boost(), _detector(languages) if detected else None)
    plain = {"entities": entities, "threshold": threshold, "languages": languages, "detected": detected}
    digest = options_digest("pii", VERSION, plain, versions(detected), own.digest)
    return Setup(digest, engine, whole(seeing_all, threshold, THRESHOLD))


def _languages(value: Any) -> tuple[list[str], bool]:
    if value == "auto":
        return list(LANGUAGES), True
    asked = [value] if isinstance(value, str) else value
    if not isinstance(asked, list) or not asked or not all(isinstance(each, str) and each for each in asked):
        raise OptionError("language", "`language` must be a code like `en`, a list of codes, or `auto`")
    return list(dict.fromkeys(asked)), False


def _words(language: str) -> Any:
    try:
        return words(language)
    except ValueError as error:
        raise OptionError("language", f"{error}; use a code like {', '.join(LANGUAGES)}") from None


def _detector(languages: list[str]) -> Any:
    try:
        return detector(languages)
    except ImportError:
        raise OptionError("language", "`auto` needs a package: pip install 'guardproxy[languages]'") from None


def _entries(options: Mapping[str, Any]) -> list[str]:
    value = options.get("recognizers", [])
    entries = [value] if isinstance(value, str) else value
    if not isinstance(entries, list) or not all(isinstance(each, str) and each for each in entries):
        raise OptionError("recognizers", "`recognizers` must be a file or a class, or a list of them")
    if "recognizers" in options and not entries:
        raise OptionError("recognizers", "`recognizers` must name at least one file or class")
    return entries


def _entities(options: Mapping[str, Any]) -> list[str]:
    known = recognizers()
    if "entities" not in options:
        return []
    value = options["entities"]
    if not isinstance(value, list) or not value or not all(isinstance(each, str) for each in value):
        raise OptionError("entities", "`entities` must be a list of entity names")
    for each in value:
        if each in MODEL_ENTITIES:
            raise OptionError("entities", f"`{each}` needs a language model; this check works with patterns only")
        if each not in known and each not in classes():
            near = get_close_matches(each.upper(), known, 1) or get_close_matches(each, classes(), 1)
            hint = f"did you mean `{near[0]}`?" if near else f"known entities: {', '.join(sorted(known))}"
            raise OptionError("entities", f"unknown entity `{each}`; {hint}")
    return sorted(set(value))
