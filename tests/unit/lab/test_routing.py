"""Which requests a small model may get, from labelled texts: the curve, the choice, and the command."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from typer.testing import CliRunner

from guardproxy.cli import app
from guardproxy.conditions import FEATURES, UNIT
from guardproxy.errors import ConfigError
from guardproxy.lab.routing import LEAST_ROWS, highest_simple, learned_weights, route_points, shown_points
from guardproxy.policy.file import parse
from tests.kit.judged import exchange, judged
from tests.kit.logs import write_log

# 300 short texts, of which 3 are hard, and 100 long ones, of which half are.
TEXTS = [("x" * (10 + number % 90), number % 100 == 0) for number in range(300)]
TEXTS += [("y" * (1000 + number), number % 2 == 0) for number in range(100)]
LENGTHS = [(len(text), is_hard) for text, is_hard in TEXTS]


def test_the_curve_counts_what_each_length_sends() -> None:
    points = route_points([(1, False), (2, True), (2, False)], 4)
    assert [(point.limit, point.sent, point.hard.value) for point in points] == [(1, 0.25, 0.0), (2, 0.75, 1 / 3)]


def test_the_longest_length_that_keeps_the_share_of_hard_texts() -> None:
    points = route_points(LENGTHS, len(TEXTS))
    chosen = highest_simple(points, 0.05)
    assert chosen
    assert chosen.hard.high <= 0.05
    assert 99 <= chosen.limit < 1020, "all short texts, and no more long ones than the share allows"
    assert highest_simple(points, 0.001) is None, "300 texts cannot show a share this small"
    assert highest_simple([], 1.0) is None


def test_a_long_curve_is_shown_in_parts() -> None:
    points = route_points(LENGTHS, len(TEXTS))
    assert len(shown_points(points, 12)) == 12
    assert shown_points(points, 12)[-1] == points[-1]
    assert shown_points(points[:3], 12) == points[:3]


def run(tmp_path: Path, *options: str) -> tuple[int, str, str]:
    data = tmp_path / "labelled.jsonl"
    rows = ({"text": text, "label": "hard" if is_hard else "easy"} for text, is_hard in TEXTS)
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    ran = CliRunner().invoke(app, ["model", "route", str(data), *options], catch_exceptions=False)
    return ran.exit_code, ran.stdout, ran.stderr


def test_the_command_prints_the_curve_and_the_line_for_a_policy(tmp_path: Path) -> None:
    code, told, _ = run(tmp_path, "--hard", "hard")
    assert code == 0
    assert told.splitlines()[0].split() == ["chars", "sent", "hard", "95", "%", "interval"]
    assert told.splitlines()[-1].startswith("route: {simple: {model: NAME, chars: ")
    code, told, _ = run(tmp_path, "--hard", "hard", "--json")
    shown = json.loads(told)
    assert (code, shown["texts"], shown["curve"][-1]["sent"]) == (0, 400, 1.0)


EASY_ONES = [
    "Hello, how are you?",
    "What is the capital of Peru?",
    "Translate this into French: good morning",
    "Tell me a joke.",
]
HARD_ONES = [
    "Prove that the square root of 3 is irrational.",
    "Design a distributed scheduler and analyse how it fails.",
]


def numbered(texts: list[str], number: int) -> list[str]:
    return [f"{text} ({at})" for at, text in enumerate(texts * number)]


def test_the_command_compares_by_the_words(tmp_path: Path) -> None:
    data = tmp_path / "labelled.jsonl"
    rows = [{"text": text, "label": 0} for text in numbered(EASY_ONES, 60)]
    rows += [{"text": text, "label": 1} for text in numbered(HARD_ONES, 60)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    ran = CliRunner().invoke(app, ["model", "route", str(data), "--by", "difficulty"], catch_exceptions=False)
    assert ran.exit_code == 0
    assert ran.stdout.splitlines()[-1].startswith("route: {simple: {model: NAME, difficulty: 0.")
    assert "66.7% of 360 texts go to the small model" in ran.stdout
    ran = CliRunner().invoke(app, ["model", "route", str(data), "--learn"], catch_exceptions=False)
    assert ran.exit_code == 0, "chosen on the half that the weights were not fitted to"
    (section,) = [line for line in ran.stdout.splitlines() if line.startswith("route: ")]
    route = parse(f"policy: p\n{section}\n", "p.yaml").sections["route"]
    assert len(route.simple.weights) == FEATURES + 1


def test_the_command_reads_a_log(tmp_path: Path) -> None:
    texts = [*numbered(EASY_ONES, 40), *numbered(HARD_ONES, 80)]
    asked = {f"x{number}": text for number, text in enumerate(texts)}
    write_log(tmp_path, "a", *(exchange(name, text) for name, text in asked.items()))
    write_log(tmp_path, "b", *(judged(name, 5 if number < 160 else 1) for number, name in enumerate(asked)))
    ran = CliRunner().invoke(app, ["model", "route", str(tmp_path), "--learn", "--json"], catch_exceptions=False)
    shown = json.loads(ran.stdout)
    assert (100 < shown["texts"] < 220, len(shown["weights"])) == (True, FEATURES + 1)
    assert shown["curve"][0]["hard"] == 0
    ran = CliRunner().invoke(app, ["model", "route", str(tmp_path), "--model", "another"], catch_exceptions=False)
    assert (ran.exit_code, "no labelled requests" in ran.stderr) == (2, True)


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--hard", "hard", "--most-hard", "0.001"), 1, "no length keeps hard texts below 0.1%"),
        (("--label-key", "other"), 2, "guardproxy: "),
    ],
)
def test_what_the_command_cannot_choose(tmp_path: Path, options: tuple[str, ...], code: int, message: str) -> None:
    ended, _, said = run(tmp_path, *options)
    assert ended == code
    assert message in said


# Learning the weights.

PRESENT = (0.3, *[0.1] * FEATURES)


def labelled(number: int, seed: int = 7) -> tuple[list[list[int]], list[bool]]:
    """Requests whose second feature says whether they are hard, more often than not."""
    chance = random.Random(seed)
    rows = [[chance.randint(-2 * UNIT, 2 * UNIT) for _ in range(FEATURES)] for _ in range(number)]
    return rows, [chance.random() < (0.9 if row[1] > 0 else 0.1) for row in rows]


def test_many_rows_decide() -> None:
    weights = learned_weights(*labelled(4000), PRESENT)
    assert weights[2] > 1, "the feature that tells"
    assert all(abs(weight) < 0.3 for number, weight in enumerate(weights) if number not in (0, 2))
    assert weights == learned_weights(*labelled(4000), PRESENT), "always the same"


def test_few_rows_move_the_weights_less_than_many() -> None:
    few, many = (learned_weights(*labelled(number), PRESENT) for number in (150, 4000))
    assert abs(few[2] - PRESENT[2]) < abs(many[2] - PRESENT[2])


def test_rows_that_can_be_told_apart_exactly_end_too() -> None:
    rows = [[(1 if number % 2 else -1) * UNIT] * FEATURES for number in range(4 * LEAST_ROWS)]
    weights = learned_weights(rows, [row[0] > 0 for row in rows], PRESENT)
    assert all(0 < weight < 10 for weight in weights[1:])


@pytest.mark.parametrize("hard", [0, LEAST_ROWS - 1])
def test_too_few_rows_of_a_label_are_refused(hard: int) -> None:
    labels = [number < hard for number in range(3 * LEAST_ROWS)]
    with pytest.raises(ConfigError, match=f"^{hard} hard requests"):
        learned_weights([[0] * FEATURES] * len(labels), labels, PRESENT)
