"""What templates show: lines with remarks, differences, coverage, plots."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.console.pages.policies import views
from guardproxy.console.pages.policies.approving import reload_words
from guardproxy.console.pages.policies.reading import digest_in
from guardproxy.console.pages.policies.replies import pieces
from guardproxy.console.pages.policies.tasks import (
    CoverageCell,
    FileMark,
    PlayedStep,
    PlayedStream,
    PolicyWords,
    RuleWords,
    TriedTest,
    TryReply,
)
from guardproxy.console.pages.policies.views import diff_lines, file_lines, file_rows, hold_back_plot, summary_of


def mark(line: int, weight: str = "error", file: str = "a.yaml") -> FileMark:
    return FileMark(file, line, 1, weight, "message")


def test_lines_carry_their_remarks() -> None:
    lines = file_lines("a\nb\n\n", [mark(2, "note"), mark(2), mark(99, "warning"), mark(0, "note")])
    assert [line.text for line in lines] == ["a", "b", ""]
    assert [line.kind for line in lines] == ["info", "bad", "warn"]
    assert [len(line.marks) for line in lines] == [1, 2, 1]
    assert file_lines("", [])[0].kind == ""
    assert len(file_lines("x\n" * (views.LIMIT_LINES + 5), [])) == views.LIMIT_LINES
    assert file_lines("x" * 5000, [])[0].text.endswith("x…")


def test_files_with_what_is_known_of_them() -> None:
    rule = RuleWords("r", "words", 1, "enforce", "block")
    policy = PolicyWords("p", "a.yaml", "", "every request", "enforce", rules=(rule, rule), tests=(("t", 3),))
    marks = [mark(1), mark(2, "note"), mark(1, "warning", "b.yaml")]
    rows = file_rows(["a.yaml", "b.yaml"], [policy], marks, ["b.yaml", "c.yaml"])
    assert [(row.name, row.rules, row.tests) for row in rows] == [("a.yaml", 2, 1), ("b.yaml", 0, 0), ("c.yaml", 0, 0)]
    assert [(row.errors, row.warnings, row.notes) for row in rows] == [(1, 0, 1), (0, 1, 0), (0, 0, 0)]
    assert [(row.is_edited, row.is_new) for row in rows] == [(False, False), (True, False), (True, True)]


def test_a_table_of_coverage() -> None:
    cells = [
        CoverageCell("f", "response", "assistant", ("x", "(p/y)", "p/z*")),
        CoverageCell("f", "request", "user", ()),
        CoverageCell("g", "request", "user", ("y",)),
    ]
    formats = views.covered_formats(cells)
    assert [(format.name, format.unread) for format in formats] == [("f", 1), ("g", 0)]
    rows = views.coverage_rows(cells, "f")
    assert [(row.direction, row.kind, [check.name for check in row.checks]) for row in rows] == [
        ("request", "user", []),
        ("response", "assistant", ["x", "(p/y)", "p/z*"]),
    ]
    assert [check.is_quiet for check in rows[1].checks] == [False, True, True]
    assert views.coverage_rows(cells, "none") == ()


TEXTS = st.lists(st.sampled_from("abc"), max_size=12).map("\n".join)


@given(TEXTS, TEXTS)
def test_a_difference_holds_both_texts(old: str, new: str) -> None:
    before, after = old.splitlines(), new.splitlines()
    lines = diff_lines(old, new, around=10_000)
    if before == after:
        assert lines == ()
        return
    assert [line.text for line in lines if line.kind in ("same", "removed")] == before
    assert [line.text for line in lines if line.kind in ("same", "added")] == after
    for line in diff_lines(old, new):
        assert line.kind == "left_out" or line.text in (
            before[line.old - 1 : line.old] + after[line.new - 1 : line.new]
        )


def test_equal_lines_between_changes_are_left_out() -> None:
    same = "\n".join(map(str, range(20)))
    lines = diff_lines(f"a\n{same}\nb", f"A\n{same}\nB")
    assert [line.text for line in lines if line.kind == "left_out"] == ["14 equal lines"]
    assert len(lines) == 4 + 7


def test_large_changes_are_not_compared_line_by_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(views, "SequenceMatcher")  # its time grows with the square of the lines
    old = "\n".join(f"{number * 7 % 1000}" for number in range(60_000))
    new = "\n".join(f"{number * 11 % 1000}" for number in range(60_000))
    lines = diff_lines(old, new)
    assert len(lines) <= 2 * views.LIMIT_DIFF_LINES + 2 * views.AROUND_LINES
    assert {line.kind for line in lines} == {"same", "removed", "added"}


def step(number: int, arrived: int, held: int) -> PlayedStep:
    return PlayedStep(number, "x", "", "", (), arrived, held, arrived - held)


def test_a_plot_of_what_is_held() -> None:
    plot = hold_back_plot(PlayedStream((step(1, 5, 5), step(2, 10, 0)), 5), width=100, height=10)
    assert plot is not None
    assert plot.arrived == "0.0,5.0 100.0,0.0"
    assert plot.released == "0.0,10.0 100.0,0.0"
    assert plot.area == "0.0,5.0 100.0,0.0 100.0,0.0 0.0,10.0"
    assert plot.title == "2 steps; at most 5 characters were held back"
    assert hold_back_plot(PlayedStream((step(1, 5, 5),), 5)) is None
    assert hold_back_plot(PlayedStream((step(1, 0, 0), step(2, 0, 0)), 0)) is None


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({}, "no exchange of the log is in this period"),
        ({"the same": 1200, "different": 3, "not replayable": 0}, "1,203 exchanges: 1,200 the same, 3 different"),
    ],
)
def test_the_summary_of_a_comparison(counts: dict[str, int], words: str) -> None:
    assert summary_of(counts) == words


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=6))
def test_parts_join_to_the_text(places: list[tuple[int, int]]) -> None:
    text = "abcdefghij"
    parts = pieces(text, [(low, high, "bad", "t") for low, high in places])
    assert "".join(part.text for part in parts) == text
    marked = {at for low, high in places for at in range(low, min(high, len(text)))}
    at = 0
    for part in parts:
        assert {place in marked for place in range(at, at + len(part.text))} == {bool(part.kind)}
        at += len(part.text)


def test_failed_tests_are_counted() -> None:
    assert TryReply((TriedTest("p", "a", 1, "failed"), TriedTest("p", "b", 2, "passed"))).failed == 1


RESTART = "The proxy would not start with these files: correct them, or put the old ones back."
FAULT = {"file": "a.yaml", "line": 3, "column": 1, "message": "wrong"}


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"ok": True, "worker 0": {"ok": True, "policies": "sha256:1", "errors": []}}, "Saved and in force: sha256:1."),
        ({"ok": True, "policies": "sha256:1", "errors": []}, "Saved and in force: sha256:1."),
        ({"ok": True}, "Saved and in force."),
        (
            {"ok": False, "worker 0": {"ok": True}, "worker 1": {"ok": False, "errors": [FAULT]}},
            "Saved, but the proxy did not load the files; the old policies stay in force: a.yaml:3: wrong",
        ),
        (
            {"ok": False, "errors": ["a text"]},
            "Saved, but the proxy did not load the files; the old policies stay in force: a text",
        ),
        (
            {"ok": False, "errors": {"message": "m"}},
            "Saved, but the proxy did not load the files; the old policies stay in force: m",
        ),
        (
            {"ok": False},
            "Saved, but the proxy did not load the files; the old policies stay in force: it gave no reason",
        ),
        ([], "Saved. The proxy did not say whether it has loaded the files."),
        ({}, "Saved. The proxy did not say whether it has loaded the files."),
    ],
)
def test_what_a_reload_did_in_words(told: object, words: str) -> None:
    assert reload_words(told).removesuffix(". " + RESTART) == words


@pytest.mark.parametrize(
    ("told", "digest"),
    [
        ({"policies": "sha256:1"}, "sha256:1"),
        ({"worker 0": {"policies": "sha256:1"}, "worker 1": {"policies": "sha256:1"}, "models": None}, "sha256:1"),
        ({"worker 0": {"policies": "sha256:1"}, "worker 1": {"policies": "sha256:2"}}, ""),
        ([], ""),
        ({"policies": 3}, ""),
    ],
)
def test_the_digest_in_force(told: object, digest: str) -> None:
    assert digest_in(told) == digest
