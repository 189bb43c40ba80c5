"""A classifier of labels: what its folder says in the check, how its report counts, and when nothing is written."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import numpy as np
import pytest

from guardproxy.checks import Query, build_supervisor
from guardproxy.checks._shared.declared.contract import Resources
from guardproxy.errors import ConfigError
from guardproxy.findings import Channel, Kind, Window
from guardproxy.inference.embedding import TableEmbedder
from guardproxy.inference.models import Models
from guardproxy.lab.learning.distil import (
    AGREE,
    FEWEST_GROUPS,
    MOST_TOKENS,
    DistilReport,
    HeadScorer,
    agreement,
    card,
    distil,
)
from guardproxy.lab.learning.head import VectorHead, VectorSpace
from guardproxy.lab.learning.labels import LabelledText
from tests.kit.vectors import write_vectors

WORDS = [f"word{at}" for at in range(80)]
MARKS = WORDS[:3]


def labelled(count: int, groups: int = 60, kind: Kind = "user", seed: int = 1) -> list[LabelledText]:
    """Texts, of which every third has a word that its label comes from."""
    chooser = Random(seed)
    texts = []
    for at in range(count):
        words = chooser.choices(WORDS[3:], k=9)
        if is_found := at % 3 == 0:
            words[chooser.randrange(9)] = chooser.choice(MARKS)
        texts.append(
            LabelledText(" ".join(words), is_found, f"group {at % groups}", kind, 2000 if at % 2 else None, 40.0)
        )
    return texts


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_vectors(tmp_path_factory.mktemp("vectors"), WORDS)


@pytest.fixture(scope="module")
def made(vectors: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, DistilReport]:
    folder = tmp_path_factory.mktemp("models") / "legal"
    return folder, distil([*labelled(500), *labelled(100, kind="assistant", seed=2)], "LEGAL", vectors, folder)


def test_a_policy_can_use_the_folder_in_place_of_the_large_model(made: tuple[Path, DistilReport]) -> None:
    folder, _ = made
    models = Models((folder.parent,))
    check = build_supervisor("legal", {"model": "legal", "label": "LEGAL"}, Resources(models.scorer))
    plain, marked = WORDS[10:20], [*WORDS[10:18], MARKS[0]]
    windows = [Window(Channel("request", "user", "x"), " ".join(words)) for words in (plain, marked)]
    assert [[finding.label for finding in scan.findings] for scan in check.scan(windows)] == [[], ["LEGAL"]]


def test_the_report_is_about_groups_that_nothing_was_fitted_to(made: tuple[Path, DistilReport]) -> None:
    _, report = made
    assert report.fitted[0] + report.held_out[0] == 600
    assert report.groups[0] == 60
    assert 0 < report.groups[1] < 30
    assert report.agreement.agreed.value > 0.95
    assert report.agreement.kappa.low <= report.agreement.kappa.value <= report.agreement.kappa.high
    assert report.agreement.auc > 0.97
    assert report.points.keys() >= {AGREE, "5%"}
    assert (report.cost, report.ms) == (2000, 40)


def test_the_folder_says_how_it_was_made_and_holds_no_text(made: tuple[Path, DistilReport]) -> None:
    folder, report = made
    names = {path.name for path in folder.iterdir()}
    assert names == {"model.onnx", "tokenizer.json", "config.json", "SHA256SUMS", "card.md"}
    assert (folder / "card.md").read_text() == card(report)
    assert "word1" not in (folder / "card.md").read_text()
    config = json.loads((folder / "config.json").read_text())
    assert (config["outputs"], config["default_point"]) == (["LEGAL"], AGREE)


def test_the_same_labels_give_the_same_folder(vectors: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        distil(labelled(300), "X", vectors, tmp_path / name)
    for name in ("model.onnx", "config.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (labelled(150), "50 found in 20 groups; needed are about 86 texts with each label, of which 60 to fit and 20"),
        (labelled(600, groups=9), "200 found in 3 groups and 400 not found in 6 groups"),
        ([text for text in labelled(900) if not text.is_found], "0 found in 0 groups"),
        ([], "0 found in 0 groups and 0 not found in 0 groups"),
    ],
)
def test_with_too_few_labels_nothing_is_written(
    vectors: Path, tmp_path: Path, texts: list[LabelledText], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        distil(texts, "X", vectors, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert FEWEST_GROUPS == 10


def test_a_folder_that_exists_is_left_alone(vectors: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="exists already"):
        distil(labelled(600), "X", vectors, tmp_path)


def test_agreement_without_a_mistake_still_has_a_width() -> None:
    texts = [LabelledText("x", at % 2 == 0, f"g{at // 4}", "user") for at in range(40)]
    scores = np.array([float(text.is_found) for text in texts])
    perfect = agreement(texts, scores, 0.5)
    assert (perfect.agreed.value, perfect.kappa.value, perfect.auc) == (1, 1, 1)
    assert perfect.agreed.low < 1
    assert 0 < perfect.wrongly.high < 0.2
    silent = agreement(texts, scores * 0, 0.5)
    assert (silent.found.value, silent.right) == (0, None)
    assert silent.kappa.value == 0


def test_a_long_text_has_the_score_of_its_worst_row(vectors: Path) -> None:
    embedder = TableEmbedder(vectors)
    space = VectorSpace(embedder.table.rows, np.ones(len(embedder.table.rows), np.float32))
    tokens = np.zeros(len(space.rows))
    tokens[embedder.token(MARKS[0])] = 50
    scorer = HeadScorer("X", VectorHead(np.zeros(space.rows.shape[1]), tokens, -1), space, embedder)
    filler = " ".join(WORDS[3:] * 14)
    assert len(embedder.tokens(filler)) > 2 * MOST_TOKENS
    texts = [filler, f"{MARKS[0]} {filler}", f"{filler} {MARKS[0]}", ""]
    scores = [pieces[0].scores["X"] for pieces in scorer.judge([Query(text, ("X",)) for text in texts])]
    assert scores[1] > scores[0] < scores[2]
    assert scores[3] == scores[0]
