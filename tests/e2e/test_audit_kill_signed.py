"""A process that signs its log, seals texts and removes old logs is killed at every kind of step, and in the middle of its
writes: nothing that it acknowledged is lost, an auditor gets no false alarm, and the next process goes on.

`GUARDPROXY_KILLS=2000` runs that many kills at random steps (`make kills`); by default there are few. Their sums are
printed, which `pytest -s` shows.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from tests.kit.kills import NO_START, WAYS, check_run, runs

KILLS = int(os.environ.get("GUARDPROXY_KILLS", "40"))
FIRST = int(os.environ.get("GUARDPROXY_KILLS_FIRST", "0"))
AT_ONCE = 100


def test_kills_at_random_steps(tmp_path: Path) -> None:
    (tmp_path / "counted").mkdir()
    counted = runs(tmp_path / "counted", 0, len(WAYS))
    steps = [run.steps for run in counted.values()]
    assert min(steps) > 100
    assert {run.died for run in counted.values()} == {0}
    seen: Counter[str] = Counter()
    for first in range(FIRST, FIRST + KILLS, AT_ONCE):
        last = min(FIRST + KILLS, first + AT_ONCE)
        for seed, run in runs(tmp_path, first, last, steps).items():
            seen += Counter(runs=1, killed=run.died == -9, records=len(run.kept), checkpoints=len(run.notes))
            assert run.died in (0, -9, NO_START), seed
            try:
                seen += check_run(tmp_path / str(seed), seed, run)
            except AssertionError as error:
                pytest.fail(f"seed {seed}: {error}")
    print(dict(seen), "steps", steps)
    assert seen["killed"] > KILLS // 2
    assert min(seen["records"], seen["opened"], seen["removed"]) > KILLS // 5
