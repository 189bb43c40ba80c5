"""What commands print, for people."""

from __future__ import annotations

import json

import pytest

from guardproxy.console.pages.audit.results import (
    LIMIT_DIFFERENT,
    LIMIT_GROUPS,
    LIMIT_PROBLEMS,
    OTHERS,
    RunProgress,
    progress_of,
    replayed_of,
    verified_of,
)


@pytest.mark.parametrize(
    ("line", "progress"),
    [
        ("verifying 3/400\n", RunProgress("verifying", 3, 400)),
        ("verifying 3/400 or so", None),
        ("0/0", None),
        ("x" * 10_000, None),
        ("", None),
    ],
)
def test_lines_of_progress_are_told_apart_from_words(line: str, progress: RunProgress | None) -> None:
    assert progress_of(line) == progress


def test_progress_is_a_share() -> None:
    assert RunProgress("verifying", 3, 400).percent == 0
    assert RunProgress("verifying", 400, 400).percent == 100
    assert RunProgress("verifying", 0, 0).percent == 0


def report(**changes: object) -> dict[str, object]:
    return {"file": "audit-0.jsonl", "ok": True, "torn": False, "tampered": False, "records": 7, **changes}


def test_the_result_of_verifying_has_all_problems_of_all_files() -> None:
    problem = {"line": 3, "code": "altered", "message": "the record was changed"}
    gone = {"line": 0, "code": "gone", "message": "it was removed"}
    checkpoints = {
        "ok": False,
        "number": 4,
        "signed_by": "key",
        "at": 12.0,
        "problems": [{"line": 0, "code": "signature", "message": "not signed"}],
        "notes": ["a note"],
    }
    logs = [
        report(),
        report(file="b.jsonl", ok=False, tampered=True, problems=[problem, gone]),
        report(file="c.jsonl", ok=False, torn=True, notes=["n"]),
    ]
    printed = {"ok": False, "signed": True, "checkpoints": checkpoints, "open_intents": 2, "logs": logs}
    found = verified_of(json.dumps(printed).encode())
    assert found is not None
    assert not found.is_intact
    assert found.records == 21
    assert [(log.file, log.state) for log in found.logs] == [
        ("audit-0.jsonl", "intact"),
        ("b.jsonl", "changed"),
        ("c.jsonl", "torn"),
    ]
    assert [problem.where for problem in found.problems] == ["checkpoints", "b.jsonl, line 3", "b.jsonl"]
    assert (found.changed, found.more, found.open_intents) == (1, 0, 2)
    assert (found.checkpoint, found.signed_by, found.notes) == ((4, 12.0), "key", ("a note",))
    many = verified_of(json.dumps({"ok": False, "logs": [report(problems=[problem] * 300)]}).encode())
    assert many is not None
    assert (len(many.problems), many.more, many.checkpoint) == (LIMIT_PROBLEMS, 300 - LIMIT_PROBLEMS, None)


@pytest.mark.parametrize("printed", [b"", b"{}", b"[1]", b"\xff", b'{"ok": "yes"}'])
def test_what_is_no_result_is_none(printed: bytes) -> None:
    assert verified_of(printed) is None


def line(name: str, verdict: str, *differences: str) -> bytes:
    return json.dumps({"id": name, "verdict": verdict, "differences": differences}).encode()


def test_a_replay_counts_verdicts_and_differences() -> None:
    lines = [
        line("a", "identical"),
        line("b", "different", "rule r: would hold", "rule r: would hold", "outcome: blocked"),
        line("c", "different", "rule r: would hold"),
        line("d", "cannot be told", "rule q: cannot be told"),
        b"not a result",
        b"\xff",
        line("e", "not replayable"),
    ]
    found = replayed_of(lines)
    assert dict(found.counts) == {"identical": 1, "different": 2, "cannot be told": 1, "not replayable": 1}
    assert found.total == 5
    assert found.groups[0] == ("rule r: would hold", 2, "different")
    assert [name for name, _, _ in found.shown] == ["b", "c", "d"]
    assert found.more == 0


def test_a_replay_with_many_differences_stays_small() -> None:
    found = replayed_of(line(str(number), "different", f"rule {number}") for number in range(LIMIT_GROUPS + 50))
    assert len(found.shown) == LIMIT_DIFFERENT
    assert found.more == LIMIT_GROUPS
    assert found.groups[0] == (OTHERS, 50, "different")
