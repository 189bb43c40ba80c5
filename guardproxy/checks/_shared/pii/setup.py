"""Reads the options of the check `pii`.

In: options and the check's resources. Out: an engine, the recognizers that must see whole texts, the finder of names,
and a digest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from guardproxy.checks._shared.declared.allowing import ALLOW, AllowList, allow_list
from guardproxy.checks._shared.declared.contract import Resources
from guardproxy.checks._shared.declared.foreign import hint
from guardproxy.checks._shared.declared.options import SCORE, Option, Options, options_digest, with_defaults
from guardproxy.checks._shared.evasions.unfolding import EVASIONS
from guardproxy.checks._shared.pii.cover import UncoveredError
from guardproxy.checks._shared.pii.custom import CustomRecognizers
from guardproxy.checks._shared.pii.engine import Engine, Source
from guardproxy.checks._shared.pii.extended import recognizers as extended
from guardproxy.checks._shared.pii.extended.places import ENTITY as PLACE
from guardproxy.checks._shared.pii.extended.places import sources as place_sources
from guardproxy.checks._shared.pii.language import LANGUAGES, detector
from guardproxy.checks._shared.pii.names import Names
from guardproxy.checks._shared.pii.recognizers import (
    MODEL_ENTITIES,
    boost,
    classes,
    defaults,
    recognizers,
    recognizers_for,
    sources,
    versions,
)
from guardproxy.checks._shared.pii.whole import WholeTextSearch, whole
from guardproxy.checks._shared.pii.words import words
from guardproxy.errors import ConfigError, OptionError

VERSION = 6
THRESHOLD = 0.4
NAMED = ("PERSON", "LOCATION", "ORGANIZATION", "NRP")
"""The entities that only a model finds."""
MODEL = "fast"
PARITY = ("strict", "extended")
_NAMES = {"type": "array", "minItems": 1, "items": {"type": "string", "minLength": 1}}
_NAME_OR_NAMES = {"anyOf": [{"type": "string", "minLength": 1}, _NAMES]}
OPTIONS: Options = {
    "entities": Option(
        "Presidio's entities (`EMAIL_ADDRESS`) or recognizer classes (`UkNinoRecognizer`).",
        _NAMES,
        default_words="see below",
        tighter="longer",
        words=lambda: [*NAMED, *sorted({*recognizers(), *extended.ENTITIES}), *classes()],
    ),
    "recognizers": Option(
        "Your own recognizers: a file in Presidio's format, `package.module:Class`, or a list of both.",
        _NAME_OR_NAMES,
        default_words="none",
        tighter="longer",
    ),
    "threshold": Option(
        "The lowest score that counts.", SCORE, default_words="the recognizer's own, or 0.4", tighter="lower"
    ),
    "language": Option(
        "A code like `en`, a list of codes, `auto`, or `header`.", _NAME_OR_NAMES, default="en", tighter="longer"
    ),
    "model": Option(
        "The finder of names: `fast`, `accurate` (a network; `names` is the same), a model folder, or `spacy:` and a pipeline.",
        {"type": "string", "minLength": 1},
        default=MODEL,
    ),
    "parity": Option(
        "`strict`: Presidio's recognizers only; `extended`: also recognizers for forms that its patterns miss.",
        {"enum": list(PARITY)},
        default="extended",
        tighter=PARITY,
    ),
    "evasions": EVASIONS,
    **ALLOW,
}


@dataclass(frozen=True, slots=True)
class Setup:
    """The parts of a check `pii`. `digest`: identifies everything that the findings depend on. `names`: `None` if the
    policy names no entity that is a name. `by_header`: the languages that a request's header may choose. `labels`: all
    labels of findings. `allowed`: the values that are no finding."""

    digest: str
    engine: Engine
    whole: WholeTextSearch | None
    names: Names | None
    by_header: tuple[str, ...]
    labels: frozenset[str]
    allowed: AllowList | None
    has_places: bool


def setup(options: Mapping[str, Any], resources: Resources) -> Setup:
    """Reads the options. Raises `OptionError` for an option that is unknown or invalid."""
    values = with_defaults(options, OPTIONS)
    threshold = values["threshold"]
    languages, how = _languages(values["language"])
    custom = CustomRecognizers(_entries(options), resources.read, resources.code)
    parity = values["parity"]
    chosen = _entities(options, parity)
    names = _names(options, chosen, threshold, resources)
    structured = [entity for entity in chosen if entity not in NAMED]
    own_sources: list[Source] = []
    seeing_all: list[tuple[str, list[Any]]] = []
    entities: dict[str, list[str]] = {}
    known_entities: set[str] = set()
    has_places = parity == "extended" and names is not None and PLACE in names.labels
    numbers = {"PHONE_NUMBER", "BANK_ACCOUNT"}
    labels = set(names.labels if names else ())
    for language in languages:
        cut = _words(language)
        brought = custom.build(language)
        entities[language] = structured if chosen or "recognizers" in options else defaults(language)
        replaced = {type(recognizer) for recognizer in brought}
        by_id = {
            id(recognizer): recognizer
            for name in entities[language]
            if name in recognizers() or name in classes()
            for recognizer in recognizers_for(name, language)
            if type(recognizer) not in replaced
        }
        for recognizer in (*brought, *by_id.values()):
            labels.update(recognizer.supported_entities)
            if getattr(recognizer, "replacement_pairs", None):  # it reads its values without separators
                numbers.update(recognizer.supported_entities)
        try:
            known, all_of_it = sources([*brought, *by_id.values()], cut, threshold, THRESHOLD)
        except UncoveredError as error:
            raise OptionError("recognizers", str(error)) from None
        own_sources += known
        seeing_all.append((language, all_of_it))
        known_entities.update(entity for recognizer in by_id.values() for entity in recognizer.supported_entities)
    if parity == "extended":
        added = {*(structured if chosen or "recognizers" in options else extended.DEFAULTS)} & extended.ENTITIES
        labels |= added
        known_entities |= added
        any_words = replace(_words(languages[0]), language="")
        own_sources += extended.own(frozenset(known_entities), any_words, threshold, THRESHOLD)
        if has_places:
            own_sources += place_sources(any_words, threshold, THRESHOLD)
    if not own_sources and not names and not any(by_id for _, by_id in seeing_all):
        raise OptionError("recognizers", f"there is no recognizer for the language {', '.join(languages)}")
    engine = Engine(own_sources, boost(), _detector(languages) if how == "auto" else None)
    plain = {"entities": entities, "threshold": threshold, "languages": languages, "how": how, "parity": parity}
    if parity == "extended":
        plain["extended"] = extended.VERSION
    more = (names.tagger.digest, str(sorted(names.labels.items()))) if names else ()
    digest = options_digest("pii", VERSION, plain, versions(how == "auto"), custom.digest, *more)
    by_header = tuple(languages) if how == "header" else ()
    allowed = allow_list(options, numbers=numbers, any_case=("EMAIL_ADDRESS", *NAMED))
    return Setup(
        digest,
        engine,
        whole(seeing_all, threshold, THRESHOLD),
        names,
        by_header,
        frozenset(labels),
        allowed,
        has_places,
    )


def _names(
    options: Mapping[str, Any], chosen: list[str], threshold: float | None, resources: Resources
) -> Names | None:
    """Returns the finder of names, if an entity needs it or the policy names a model."""
    wanted = [entity for entity in chosen if entity in NAMED]
    if not wanted and "model" not in options:
        return None
    model = options.get("model", OPTIONS["model"].default)
    if not isinstance(model, str) or not model:
        raise OptionError("model", "`model` must be the name of a model, or `spacy:` and the name of a pipeline")
    if resources.tagger is None:
        raise OptionError("entities", "this process was started without a model, so names cannot be found here")
    try:
        tagger = resources.tagger(model)
    except ConfigError as error:
        raise OptionError("model" if "model" in options else "entities", str(error)) from error
    wanted = wanted or [entity for entity in NAMED if entity in tagger.thresholds and not chosen]
    for entity in wanted:
        if entity not in tagger.thresholds:
            raise OptionError("entities", f"the model `{model}` does not know `{entity}`")
    if "DATE_TIME" in chosen and "DATE_TIME" in tagger.thresholds:
        wanted.append("DATE_TIME")
    if not wanted:
        raise OptionError("model", f"none of the entities needs the model `{model}`; add one of {', '.join(NAMED)}")
    return Names(tagger, {entity: max(tagger.thresholds[entity], threshold or 0.0) for entity in wanted})


def _languages(value: Any) -> tuple[list[str], str]:
    """Returns the languages, and how one of them is chosen: by the text (`auto`), by a header (`header`), or not at
    all."""
    if value in ("auto", "header"):
        return list(LANGUAGES), value
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not names or not all(isinstance(entity, str) and entity for entity in names):
        raise OptionError("language", "`language` must be a code like `en`, a list of codes, `auto` or `header`")
    return list(dict.fromkeys(names)), ""


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
    if not isinstance(entries, list) or not all(isinstance(entry, str) and entry for entry in entries):
        raise OptionError("recognizers", "`recognizers` must be a file or a class, or a list of them")
    if "recognizers" in options and not entries:
        raise OptionError("recognizers", "`recognizers` must name at least one file or class")
    return entries


def _entities(options: Mapping[str, Any], parity: str) -> list[str]:
    known = {*recognizers(), *(extended.ENTITIES if parity == "extended" else ())}
    if "entities" not in options:
        return []
    value = options["entities"]
    if not isinstance(value, list) or not value or not all(isinstance(entity, str) for entity in value):
        raise OptionError("entities", "`entities` must be a list of entity names")
    all_known = ", ".join(sorted(known))
    for at, entity in enumerate(value):
        if entity in NAMED:
            continue
        if entity not in known and entity in extended.ENTITIES:
            raise OptionError("entities", f"only `parity: extended` finds `{entity}`", at)
        if entity not in known and entity in MODEL_ENTITIES:
            raise OptionError("entities", f"no model here finds `{entity}`; available names: {', '.join(NAMED)}")
        if entity not in known and entity not in classes():
            near = (
                hint(entity, [*known, *NAMED], "entity") or hint(entity.upper(), [*known]) or hint(entity, [*classes()])
            )
            raise OptionError("entities", f"unknown entity `{entity}`{near or f'; known entities: {all_known}'}", at)
    return sorted(set(value))
