"""One policy measured whole, in processes of their own; and what is said where the proxy cannot start."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest

from guardproxy.sizing import PROMPT_WORDS, measure
from guardproxy.sizing.measuring import LEAST, SizingError, used
from guardproxy.sizing.upstream import answer, chunks


async def test_a_policy_is_measured_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guardproxy.sizing.measuring.LEAST", 2)
    monkeypatch.setenv("GUARDPROXY_PORT", "nonsense")  # settings of the shell are not those of the measurement
    steps: list[str] = []
    found = await measure("none", 0.0, steps.append)
    assert (found.policy, list(found.prompts), found.refused) == ("none", list(PROMPT_WORDS), 0)
    assert len(steps) == len(set(steps)) == 7
    assert LEAST > 2
    assert (found.memory_mib > 0) == (used(os.getpid())[1] > 0)


async def test_a_proxy_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text("policy: p\nrulez: []\n")
    with pytest.raises(SizingError, match="rulez"):
        await measure(tmp_path, 0.0, lambda _: None)


def test_what_a_process_takes_is_read_from_the_system(tmp_path: Path) -> None:
    assert used(1, tmp_path) == (0.0, 0)
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "stat").write_text("1 (a name) (b) S " + " ".join(str(number) for number in range(20)))
    (tmp_path / "1" / "statm").write_text("100 2 3")
    cpu_s, memory_bytes = used(1, tmp_path)
    assert cpu_s > 0
    assert memory_bytes >= 2 * 4096


def test_the_upstream_speaks_the_format() -> None:
    assert answer(Random(1)).startswith(b'{"id"')
    events = chunks(Random(1))
    assert events[-1] == b"data: [DONE]\n\n"
    assert len(events) == 103
