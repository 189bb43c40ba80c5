"""A spaCy pipeline as a tagger: a small one, trained here on two sentences, saved and loaded by its path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from guardproxy.checks._shared.declared.contract import Resources, build
from guardproxy.errors import ConfigError
from guardproxy.findings import Channel
from guardproxy.inference.models import load_tagger
from guardproxy.policytest.scan import findings_of

pytestmark = pytest.mark.heavy

SENTENCES = [
    ("Ada lives in Hull today", [(0, 3, "PERSON"), (13, 17, "GPE"), (18, 23, "DATE")]),
    ("Bob met Ada at Acme", [(0, 3, "PERSON"), (8, 11, "PERSON"), (15, 19, "PRODUCT")]),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline that knows these sentences by heart."""
    import spacy
    from spacy import util
    from spacy.training import Example

    set_seed: Any = vars(util)["fix_random_seed"]  # not among the exported names
    set_seed(1)
    pipeline: Any = spacy.blank("en")
    pipeline.add_pipe("ner")
    examples = [Example.from_dict(pipeline.make_doc(text), {"entities": spans}) for text, spans in SENTENCES]
    optimizer = pipeline.initialize(lambda: examples)
    for _ in range(60):
        pipeline.update(examples, sgd=optimizer, drop=0.0)
    path = tmp_path_factory.mktemp("spacy") / "tiny"
    pipeline.to_disk(path)
    return path


def test_its_entities_are_names_under_the_usual_labels(folder: Path) -> None:
    tagger = load_tagger(f"spacy:{folder}")
    found = tagger.tag([text for text, _ in SENTENCES])
    assert [[(tag.start, tag.end, tag.label, tag.score) for tag in tags] for tags in found] == [
        [(0, 3, "PERSON", 0.85), (13, 17, "LOCATION", 0.85), (18, 23, "DATE_TIME", 0.85)],
        [(0, 3, "PERSON", 0.85), (8, 11, "PERSON", 0.85)],
    ]
    assert tagger.thresholds == {"DATE_TIME": 0.0, "LOCATION": 0.0, "PERSON": 0.0}
    assert not tagger.plain
    assert not tagger.timeless
    assert tagger.digest == load_tagger(f"spacy:{folder}").digest


def test_what_spacy_cannot_load_is_refused() -> None:
    with pytest.raises(ConfigError, match="install it as a package, or give the path"):
        load_tagger("spacy:no_such_pipeline")


def test_a_pipeline_without_entities_is_refused(tmp_path: Path) -> None:
    import spacy

    spacy.blank("en").to_disk(tmp_path / "blank")
    with pytest.raises(ConfigError, match="finds no entities"):
        load_tagger(f"spacy:{tmp_path / 'blank'}")


def test_a_policy_can_name_it(folder: Path) -> None:
    options = {"entities": ["PERSON"], "model": f"spacy:{folder}"}
    check = build("pii", "pii", options, Resources(tagger=load_tagger))
    found = findings_of(check, SENTENCES[1][0], Channel("request", "user", "messages[0].content"))
    assert [(one.start, one.end, one.label) for one in found] == [(0, 3, "PERSON"), (8, 11, "PERSON")]
