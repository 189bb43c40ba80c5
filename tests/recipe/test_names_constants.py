"""The rule for the constants of `fast`: recall weighs twice, sources weigh the same, false names are counted."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs torch: make test-export")
pytestmark = pytest.mark.export
from models.names.recipe.constants import best, chosen, harmless  # noqa: E402
from models.names.recipe.silver import CHOSEN_ON, KEPT_OUT  # noqa: E402

CODE = "f({}); g = h(); x = {}; "


def test_a_threshold_drops_what_is_wrong_and_keeps_what_is_right() -> None:
    sources = ("wnut17", "btc")
    found = [(source, "PERSON", score, score > 0.5) for source in sources for score in [0.9] * 40 + [0.3] * 40]
    hits = [(source, "PERSON", 0.9) for source in sources for _ in range(40)]
    score, thresholds = best(found, Counter({(source, "PERSON"): 40 for source in sources}), hits)
    assert score == pytest.approx(1)
    assert thresholds["PERSON"] == 0.35
    assert thresholds["NRP"] == thresholds["DATE_TIME"] == 0.35  # no two sources mark them


def test_what_is_missed_weighs_more_than_what_is_found_too_much() -> None:
    sources = ("wnut17", "btc")
    found = [(source, "PERSON", 0.3, right) for source in sources for right in [True] * 20 + [False] * 20]
    found += [(source, "PERSON", 0.9, True) for source in sources for _ in range(20)]
    hits = [(source, "PERSON", score) for source in sources for score in [0.3] * 20 + [0.9] * 20]
    _, thresholds = best(found, Counter({(source, "PERSON"): 40 for source in sources}), hits)
    assert thresholds["PERSON"] <= 0.3


def test_the_least_margin_of_the_best_is_chosen() -> None:
    assert chosen([(0.6147, 3.0, 0.75, {}), (0.6145, 2.0, 0.75, {}), (0.6143, 2.0, 1.0, {}), (0.61, 0.0, 0.5, {})])[
        :3
    ] == (
        0.6145,
        2.0,
        0.75,
    )
    with pytest.raises(SystemExit, match="no constants"):
        chosen([])


def test_false_names_are_counted_in_code_that_no_training_saw(tmp_path: Path) -> None:
    (tmp_path / "benign").mkdir()
    texts = [
        ("new " + CODE, CHOSEN_ON[0]),
        ("trained on " + CODE, "a/b"),
        ("reported " + CODE, KEPT_OUT[0]),
        ("A page of words.", CHOSEN_ON[0]),
    ]
    for name, rows in (
        ("repo_docs_code", texts),
        ("nl2bash", [(text, "nl2bash command") for text in ("ls -l", "pwd")]),
    ):
        with gzip.open(tmp_path / f"benign/{name}.jsonl.gz", "wt", encoding="utf-8") as file:
            file.writelines(json.dumps({"text": text, "source": source}) + "\n" for text, source in rows)
    (tmp_path / "silver.jsonl").write_text(json.dumps({"text": "pwd"}) + "\n", "utf-8")
    assert harmless(tmp_path, tmp_path / "silver.jsonl") == {
        "code": ["new " + CODE, "ls -l"],
        "documents": ["A page of words."],
    }
