"""The gate's statistics on made scores: worse is refused, better passes, chance shows no difference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.supervisor.recipe import data, gate, groups
from models.supervisor.recipe.gate import check_complete, table, verdict
from models.supervisor.recipe.groups import BOTH, CONTENT, INJECTION, ChoiceSource
from models.supervisor.recipe.paired import Array, Comparison, Side, compare, compare_speed, level

ROUNDS = 300
HARMLESS, ATTACKS = ("question", "log"), ("games", "mails")
OF_EACH = 400
Row = dict[str, Any]


def made(old: dict[str, float], new: dict[str, float], of_each: int = OF_EACH, seed: int = 1) -> Side:
    """A side whose scores are normal around the given means; both models share most of the noise of a text."""
    rng = np.random.default_rng(seed)
    names = np.repeat([*HARMLESS, *ATTACKS], of_each)
    shared = rng.normal(size=len(names))

    def scores(means: dict[str, float]) -> Array:
        return np.array([means[name] for name in names]) + 0.9 * shared + 0.4 * rng.normal(size=len(names))

    return Side(
        "made", scores(old), scores(new), np.isin(names, ATTACKS), names, np.arange(len(names)).astype(np.str_)
    )  # fmt: skip


EQUAL = {"question": 0.0, "log": 0.0, "games": 3.0, "mails": 2.0}


def verdicts(compared: list[Comparison]) -> dict[str, str]:
    return {one.name: one.verdict for one in compared}


def test_a_candidate_that_loses_one_source_is_refused_though_it_gains_another() -> None:
    compared = compare([made(EQUAL, EQUAL | {"mails": 1.0, "games": 4.0})], rounds=ROUNDS)
    assert verdicts(compared)["mails"] == "worse"
    assert verdicts(compared)["games"] == "better"
    assert compared[0].name == "mails"
    assert verdict(compared, []) == ["made, mails"]


def test_a_candidate_that_finds_one_kind_of_harmless_texts_more_often_is_refused() -> None:
    compared = compare([made(EQUAL, EQUAL | {"log": 1.5})], rounds=ROUNDS)
    found = {one.name: one for one in compared}
    assert found["log"].verdict == "worse"
    assert found["log"].difference > 0 > found["log"].gain
    assert "made, log" in verdict(compared, [])


def test_a_candidate_that_separates_better_passes_and_no_kind_pays_for_it() -> None:
    compared = compare([made(EQUAL, EQUAL | {"games": 5.0, "mails": 4.0})], rounds=ROUNDS)
    assert {verdicts(compared)[name] for name in ATTACKS} == {"better"}
    assert verdict(compared, []) == []


def test_fewer_alarms_on_one_kind_do_not_count_against_the_other() -> None:
    """The level of equal false alarms would fall, and the other kind would seem to be worse."""
    noisy = EQUAL | {"log": 1.5}
    compared = compare([made(noisy, EQUAL)], rounds=ROUNDS)
    assert verdicts(compared)["log"] == "better"
    assert verdict(compared, []) == []


def test_models_that_differ_by_chance_alone_are_not_told_apart() -> None:
    for seed in range(5):
        compared = compare([made(EQUAL, EQUAL, of_each=100, seed=seed)], rounds=ROUNDS)
        assert set(verdicts(compared).values()) == {"no difference shown"}
        assert any(one.difference for one in compared)
        assert all(one.low < one.difference < one.high for one in compared)


def test_a_small_loss_in_few_texts_is_not_told_apart_and_in_many_texts_is() -> None:
    weaker = EQUAL | {"mails": 1.7}
    assert verdict(compare([made(EQUAL, weaker, of_each=30)], rounds=ROUNDS), []) == []
    assert "made, mails" in verdict(compare([made(EQUAL, weaker, of_each=4000)], rounds=ROUNDS), [])


def test_a_model_against_itself_differs_nowhere() -> None:
    one = made(EQUAL, EQUAL)
    compared = compare([Side(one.name, one.old, one.old, one.bad, one.names, one.groups)], rounds=50)
    assert {(found.difference, found.verdict) for found in compared} == {(0.0, "no difference shown")}


def test_the_intervals_widen_with_the_number_of_comparisons() -> None:
    one = made(EQUAL, EQUAL)
    other = Side("other", one.old, one.new, one.bad, one.names, one.groups)
    alone, together = compare([one], rounds=ROUNDS), compare([one, other], rounds=ROUNDS)

    def width(compared: list[Comparison]) -> float:
        return next(found.high - found.low for found in compared if (found.side, found.name) == ("made", "mails"))

    assert width(together) > 1.05 * width(alone)


def test_copies_of_a_text_in_one_group_add_no_certainty() -> None:
    one = made(EQUAL, EQUAL | {"mails": 1.8}, of_each=100)
    copied = {name: np.tile(getattr(one, name), 9) for name in ("old", "new", "bad", "names", "groups")}
    few, many = (compare([side], rounds=ROUNDS) for side in (one, Side("made", **copied)))
    for before, after in zip(sorted(few, key=str), sorted(many, key=str), strict=True):
        assert (before.name, before.old) == (after.name, after.old)
        assert before.difference == pytest.approx(after.difference)
        assert before.high - before.low == pytest.approx(after.high - after.low, rel=0.25)


@pytest.mark.parametrize("is_bad", [True, False])
def test_a_side_of_one_class_allows_no_comparison(is_bad: bool) -> None:
    size = 30
    names = np.full(size, "only")
    with pytest.raises(ValueError, match=r"there are no (attacks|harmless texts)"):
        Side("made", np.zeros(size), np.zeros(size), np.full(size, is_bad), names, names)


@given(
    st.lists(st.integers(-3, 3), min_size=1, max_size=30).flatmap(
        lambda scores: st.tuples(
            st.just(scores), st.lists(st.floats(0.1, 2), min_size=len(scores), max_size=len(scores))
        )
    ),
    st.floats(0.001, 0.999),
)
def test_no_more_than_the_share_lies_above_the_level_and_at_the_level_more_does(
    given: tuple[list[int], list[float]], share: float
) -> None:
    scores, weights = np.array(given[0], np.float64), np.array(given[1])
    found = level(scores, weights, share)
    assert weights[scores > found].sum() <= share * weights.sum() * (1 + 1e-9)
    assert weights[scores >= found].sum() > share * weights.sum() * (1 - 1e-9)


def test_twice_the_time_is_slower_and_noise_is_not() -> None:
    rng = np.random.default_rng(3)
    old = rng.uniform(0.01, 0.02, 24)
    assert compare_speed(50, old, 2 * old, 3).is_slower
    assert not compare_speed(50, old, old * rng.normal(1, 0.05, 24), 3).is_slower
    assert not compare_speed(50, old, old / 2, 3).is_slower
    slow = compare_speed(200, old, 1.5 * old * rng.normal(1, 0.05, 24), 3)
    assert slow.ratio == pytest.approx(1.5, rel=0.05)
    assert verdict([], [slow]) == [f"texts of 200 words take {slow.ratio:.2f} times as long"]


SOURCES = (ChoiceSource("a", "user", (INJECTION,), "question"), ChoiceSource("b", "tool_result", (INJECTION,), ""))


def rows_of(name: str, label: int, count: int, channel: str = "user", labels: tuple[str, ...] = BOTH) -> list[Row]:
    return [
        groups.make_row(f"{name} {label} {number}", label, labels, name, channel, "question" if not label else "attack")
        for number in range(count)
    ]


@pytest.mark.parametrize(
    ("missing", "what"), [(("a", 0), "harmless texts"), (("a", 1), "attacks"), (("b", 1), "attacks")]
)
def test_a_source_that_is_empty_or_of_one_class_is_refused(missing: tuple[str, int], what: str) -> None:
    parts = [("a", 0), ("a", 1), ("b", 1)]
    check_complete([row for part in parts for row in rows_of(*part, 30)], SOURCES)
    left = [row for part in parts for row in rows_of(*part, 30 if part != missing else 3)]
    with pytest.raises(ValueError, match=f"{missing[0]}: 3 {what}"):
        check_complete(left, SOURCES)


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, rows: list[Row], new: Array) -> tuple[int | str | None, Any]:
    """Runs the command with made scores: those of OLD are 0 for harmless texts and 1 for attacks, with noise."""
    rng = np.random.default_rng(5)
    old = np.array([3.0 * row["label"] for row in rows]) + rng.normal(size=len(rows))
    made_scores = {"old": old, "new": old + new}
    monkeypatch.setattr(data, "data_folder", lambda: folder)
    monkeypatch.setattr(groups, "choice_rows", lambda _: rows)
    monkeypatch.setattr(gate, "check_complete", lambda rows: check_complete(rows, SOURCES))
    monkeypatch.setattr(gate, "scores", lambda path, rows, kept: dict.fromkeys(BOTH, made_scores[path.name]))
    out = folder / "gate.json"
    monkeypatch.setattr("sys.argv", ["gate", "old", "new", "--no-speed", "--rounds", "100", "--out", str(out)])
    with pytest.raises(SystemExit) as ended:
        gate.main()
    return ended.value.code, json.loads(out.read_text()) if out.exists() else None


def all_rows() -> list[Row]:
    fine = [*rows_of("a", 0, 300), *rows_of("t", 0, 300, "tool_result")]
    return [*fine, *rows_of("a", 1, 200), *rows_of("b", 1, 200, "tool_result", (INJECTION,))]


def test_the_command_passes_refuses_and_says_where_no_comparison_is_possible(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = all_rows()
    is_b = np.array([row["source"] == "b" for row in rows])
    code, figures = run(monkeypatch, tmp_path, rows, 2.0 * is_b)
    assert (code, figures["refused"]) == (0, [])
    assert "passes" in capsys.readouterr().out
    code, figures = run(monkeypatch, tmp_path, rows, -2.0 * is_b)
    assert code == 1
    assert figures["refused"] == ["injection, tool results, b", "injection, tool results, question"]
    assert "refused: injection, tool results, b" in capsys.readouterr().out
    few = [row for row in rows if row["source"] != "b"]
    code, _ = run(monkeypatch, tmp_path, few, np.zeros(len(few)))
    assert code == 2
    assert "no comparison: b: 0 attacks" in capsys.readouterr().err


def test_the_table_begins_with_the_worst_and_names_both_intervals() -> None:
    compared = compare([made(EQUAL, EQUAL | {"mails": 1.0})], rounds=ROUNDS)
    old = np.linspace(0.01, 0.02, 8)
    lines = table(compared, [compare_speed(50, old, 2 * old, 1)])
    assert lines[2].startswith("| made | mails | 400 |")
    assert lines[2].endswith("| worse |")
    assert "(harmless)" in "\n".join(lines)
    assert lines[-1].endswith("| 2.00 (2.00 to 2.00) | slower |")


def test_a_side_takes_the_texts_that_say_something_of_its_label() -> None:
    rows = [*all_rows(), *rows_of("hate", 1, 5, labels=(CONTENT,)), *rows_of("own/choice/x", 0, 5)]
    scores = dict.fromkeys(BOTH, np.arange(len(rows), dtype=np.float64))
    messages, results, content = (gate.side(title, rows, scores, scores) for title in gate.SIDES)
    assert set(messages.names) == {"question", "a", "own/choice/x"}
    assert set(results.names[results.bad]) == {"b"}
    assert set(content.names[content.bad]) == {"a", "hate"}
