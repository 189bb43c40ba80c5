"""Uses a spaCy pipeline as a tagger, for users who already have a pipeline that they trust.

In: the name or path of an installed pipeline. Out: its entities under Presidio's labels, all with Presidio's score for
them. Kept: the pipeline, of which only the parts that find entities run. It has no list of plain words: every text is
tagged.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any

from guardproxy.checks import Tag
from guardproxy.errors import ConfigError

SCORE = 0.85
"""The score that Presidio gives to each entity of a pipeline, because spaCy reports no score."""

LABELS = {
    "PER": "PERSON", "PERSON": "PERSON", "GPE": "LOCATION", "LOC": "LOCATION", "FAC": "LOCATION",
    "ORG": "ORGANIZATION", "NORP": "NRP", "DATE": "DATE_TIME", "TIME": "DATE_TIME",
}  # fmt: skip
"""Maps labels of spaCy's pipelines, English and other, to Presidio's."""


class SpacyTagger:
    """Implements `guardproxy.checks.Tagger`."""

    context_words = 24
    is_slow = True

    def __init__(self, name: str) -> None:
        """Raises `ConfigError` when spaCy cannot load the pipeline, or it has no entities."""
        import spacy  # noqa: PLC0415

        library: Any = spacy
        try:
            self._pipeline: Any = library.load(
                name, exclude=["tagger", "parser", "lemmatizer", "attribute_ruler", "senter"]
            )
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"spaCy has no pipeline `{name}`; install it as a package, or give the path of its folder"
            ) from error
        if "ner" not in self._pipeline.pipe_names:
            raise ConfigError(f"the spaCy pipeline `{name}` finds no entities: it has no `ner`")
        self._lock = Lock()  # a pipeline changes its vocabulary while it reads
        plain = json.dumps([library.__version__, self._pipeline.meta], sort_keys=True, default=str)
        self._digest = "sha256:" + hashlib.sha256(plain.encode()).hexdigest()
        known = self._pipeline.get_pipe("ner").labels
        self._thresholds = dict.fromkeys(sorted({LABELS[label] for label in known if label in LABELS}), 0.0)

    @property
    def digest(self) -> str:
        return self._digest

    @property
    def thresholds(self) -> Mapping[str, float]:
        return self._thresholds

    @property
    def plain(self) -> frozenset[str]:
        return frozenset()

    @property
    def timeless(self) -> frozenset[str]:
        return frozenset()

    def tag(self, texts: Sequence[str]) -> list[list[Tag]]:
        """Returns the names of each text; see `guardproxy.checks.Tagger.tag`."""
        with self._lock:
            tags_by_text = []
            for text in texts:  # separately: the tags of a text must not depend on other texts
                entities = self._pipeline(text).ents
                tags = [(entity.start_char, entity.end_char, LABELS.get(entity.label_)) for entity in entities]
                tags_by_text.append([Tag(start, end, label, SCORE) for start, end, label in tags if label])
            return tags_by_text
