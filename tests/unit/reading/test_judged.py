"""Judged answers as rows to learn from: what was asked, and whether the score was too low."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from guardproxy.reading import judged_questions
from guardproxy.reading.feedback import NO_EXCHANGE, NO_TEXTS
from tests.kit.judged import exchange, judged
from tests.kit.logs import write_log


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_log(tmp_path, "a", exchange("x1", "why", "so"), exchange("x2", "hi", model="tiny"), exchange("x3", None))
    write_log(tmp_path, "b", judged("x1", 5), judged("x1", 3), judged("x2", 4), judged("x3", 1), judged("gone", 1))
    write_log(tmp_path, "c", exchange("x4", "unscored"), judged("x4", None))
    return tmp_path


@pytest.mark.parametrize(
    ("least", "model", "expected"),
    [
        (None, "", [("why\nso", True), ("hi", False)]),
        (5, "", [("why\nso", True), ("hi", True)]),
        (2, "", [("why\nso", False), ("hi", False)]),
        (None, "tiny", [("hi", False)]),
    ],
)
def test_the_strictest_score_says_whether_a_question_was_hard(
    folder: Path, least: int | None, model: str, expected: list[tuple[str, bool]]
) -> None:
    without: Counter[str] = Counter()
    assert list(judged_questions(folder, least, model, Counter(), without)) == expected
    assert without[NO_EXCHANGE] == 1
    assert without[NO_TEXTS] == (0 if model else 1)


def test_a_scale_of_two_has_one_good_score(tmp_path: Path) -> None:
    write_log(tmp_path, "a", exchange("x1", "a"), exchange("x2", "b"), judged("x1", 1, (0, 1)), judged("x2", 0, (0, 1)))
    assert list(judged_questions(tmp_path, None, "", Counter(), Counter())) == [("a", False), ("b", True)]
