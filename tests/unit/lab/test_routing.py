"""Which requests a small model may get, from labelled texts: the curve, the choice, and the command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from guardproxy.cli import app
from guardproxy.lab.routing import longest_simple, route_points, shown_points

# 300 short texts, of which 3 are hard, and 100 long ones, of which half are.
TEXTS = [("x" * (10 + number % 90), number % 100 == 0) for number in range(300)]
TEXTS += [("y" * (1000 + number), number % 2 == 0) for number in range(100)]


def test_the_curve_counts_what_each_length_sends() -> None:
    points = route_points([("a", False), ("bb", True), ("cc", False), ("```d```", False)])
    assert [(point.chars, point.sent, point.hard.value) for point in points] == [(1, 0.25, 0.0), (2, 0.75, 1 / 3)]


def test_the_longest_length_that_keeps_the_share_of_hard_texts() -> None:
    points = route_points(TEXTS)
    chosen = longest_simple(points, 0.05)
    assert chosen
    assert chosen.hard.high <= 0.05
    assert 99 <= chosen.chars < 1020, "all short texts, and no more long ones than the share allows"
    assert longest_simple(points, 0.001) is None, "300 texts cannot show a share this small"
    assert longest_simple([], 1.0) is None


def test_a_long_curve_is_shown_in_parts() -> None:
    points = route_points(TEXTS)
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
