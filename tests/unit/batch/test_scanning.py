"""Texts that are scanned in parts have the results of the whole file, with any size of parts and lost workers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardproxy.batch import ScanWork, SharedPolicies
from guardproxy.engine import HERE, WorkEngine, parts_of
from tests.kit.engines import ShakyEngine

POLICY = """
policy: p
checks: {word: {use: pattern, label: WORD, words: [plain]}}
rules: [{id: word, when: word, action: redact}]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scan")
    (folder / "p").mkdir()
    (folder / "p" / "p.yaml").write_text(POLICY)
    texts = [{"id": number, "text": ("a plain word", "é nothing", "")[number % 3]} for number in range(30)]
    (folder / "texts.jsonl").write_text("\n".join(json.dumps(text, ensure_ascii=False) for text in texts))
    return folder


def scanned(folder: Path, engine: WorkEngine, part_bytes: int) -> tuple[int, bool, str]:
    file = folder / "texts.jsonl"
    parts = list(parts_of([(file, file.stat().st_size)], part_bytes))
    found = list(engine.each(ScanWork(SharedPolicies(folder / "p"), "request"), parts))
    return (
        sum(part.lines for part in found),
        any(part.has_findings for part in found),
        "".join(part.out for part in found),
    )


@settings(max_examples=10)
@given(st.integers(20, 2000), st.integers(1, 4), st.integers(0, 100))
def test_parts_workers_and_losses_change_nothing(folder: Path, part_bytes: int, workers: int, seed: int) -> None:
    whole = scanned(folder, HERE, 1 << 30)
    assert whole[:2] == (30, True)
    assert [json.loads(line)["id"] for line in whole[2].splitlines()] == list(range(30))
    assert scanned(folder, ShakyEngine(workers, seed), part_bytes) == whole
