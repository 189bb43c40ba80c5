"""A replay in parts reports the same as a replay of the whole log, with any size of parts and lost workers."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardproxy.audit.record.document import ENTRY_VERSION
from guardproxy.audit.sealing import new_key
from guardproxy.audit.shipping.intents import closing
from guardproxy.batch import LogReplay, ReplayWork, SealedTexts, SharedPolicies
from guardproxy.batch.replaying import ReplayTask
from guardproxy.engine import HERE, LocalEngine, Part, WorkEngine, parts_of
from guardproxy.errors import ConfigError, EngineError, RecordError
from guardproxy.library import load
from guardproxy.policydiff import replay_page
from tests.kit.engines import ShakyEngine
from tests.kit.logs import write_log
from tests.kit.play import Play, chat_frames
from tests.kit.records import plain_intent

POLICY = """
policy: {name}
checks:
  word: {{use: pattern, label: WORD, words: [plain]}}
  other: {{use: pattern, label: OTHER, words: [{other}]}}
rules:
  - {{id: word, on: request, when: word, action: {action}}}
  - {{id: other, when: other, action: flag}}
audit: {{keep: {keep}}}
"""
WORDS = ("plain", "simple", "odd", "plain and odd", "simple and plain")


def policies(folder: Path, other: str = "simple", action: str = "flag", keep: str = "redacted") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    text = POLICY.format(name="p", other=other, action=action, keep=keep)
    (folder / "p.yaml").write_text(text)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Logs of two files: records of several policies, an end that is unknown, intents, records without texts."""
    folder = tmp_path_factory.mktemp("replay")
    sets = [load(policies(folder / f"made{number}", keep=keep)) for number, keep in enumerate(("redacted", "none"))]
    for file in range(2):
        entries = []
        for number in range(12):
            body = {"model": "m", "messages": [{"role": "user", "content": WORDS[number % 5] * (1 + number % 3)}]}
            play = Play(sets[number % 4 == 3]).ask(body)
            if not play.exchange.is_over:
                play.stream(chat_frames([{"content": f"an answer with {WORDS[(number + file) % 5]}"}]))
            entries.append(play.finish.record)
        write_log(folder / "audit", f"audit-{file}", plain_intent("lost"), *entries)
    write_log(folder / "audit", "audit-1", closing(plain_intent("lost"), 3.0, "e", "killed"))
    policies(folder / "new", other="odd", action="block")
    return folder


def report(folder: Path, rules: str, engine: WorkEngine, part_bytes: int, rows: bool = True) -> tuple[object, ...]:
    """Everything that a replay prints, and its page."""
    files = sorted((folder / "audit").glob("*.jsonl"))
    parts = list(parts_of(((file, file.stat().st_size) for file in files), part_bytes))
    run = LogReplay(ReplayWork(SharedPolicies(folder / rules), None, rows), parts, engine)
    remarks = run.remarks()
    found = list(run.rows())
    page = replay_page("Replay", remarks, run.traffic)
    groups = [(group.rule, group.way, group.count, tuple(group.ids)) for group in run.traffic.groups]
    return remarks, found, dict(run.counts), groups, page


@pytest.mark.parametrize("rules", ["made0", "new"])
def test_the_whole_log_in_one_part_is_the_reference(folder: Path, rules: str) -> None:
    remarks, rows, counts, groups, _ = report(folder, rules, HERE, 1 << 30)
    assert isinstance(rows, list)
    assert isinstance(counts, dict)
    assert len(rows) == sum(counts.values()) == 25
    assert counts["not replayable"] == 1
    assert (counts["different"] > 5) == (rules == "new")
    assert bool(groups) == (rules == "new")
    assert "recorded by test" in str(remarks)


@settings(max_examples=10)
@given(st.integers(300, 9000), st.integers(1, 4), st.integers(0, 100), st.booleans())
def test_parts_workers_and_losses_change_nothing(
    folder: Path, part_bytes: int, workers: int, seed: int, is_every_row: bool
) -> None:
    reference = report(folder, "new", HERE, 1 << 30, is_every_row)
    assert report(folder, "new", ShakyEngine(workers, seed), part_bytes, is_every_row) == reference


def test_processes_report_the_same(folder: Path) -> None:
    assert report(folder, "new", LocalEngine(2), 4000) == report(folder, "new", HERE, 1 << 30)


def test_an_unreadable_line_is_named_by_its_number_in_the_file(folder: Path, tmp_path: Path) -> None:
    lines = (folder / "audit" / "audit-0.jsonl").read_bytes().splitlines(keepends=True)
    members = json.loads(lines[8])
    lines[8] = lines[8].replace(b'"v":%d' % ENTRY_VERSION, b'"v":9')
    assert members["v"] == ENTRY_VERSION
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "audit-0.jsonl").write_bytes(b"".join(lines))
    policies(tmp_path / "new")
    for part_bytes in (700, 1 << 30):
        with pytest.raises(RecordError, match=r"audit-0\.jsonl:9: the entry has version 9"):
            report(tmp_path, "new", HERE, part_bytes)


def test_a_worker_with_other_policies_refuses(folder: Path, tmp_path: Path) -> None:
    shared = SharedPolicies(policies(tmp_path / "p"))
    function, arguments = shared.__reduce__()
    assert function(*arguments).load().digest == shared.load().digest
    policies(tmp_path / "p", other="changed")
    with pytest.raises(ConfigError, match="differ on a worker"):
        function(*arguments).load()
    task = ReplayTask(Part(folder / "audit" / "audit-0.jsonl", 0, 1), True)
    with pytest.raises(EngineError, match="differ on a worker"):
        list(HERE.each(ReplayWork(function(*arguments)), [task]))


def test_a_key_is_not_sent_to_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPLAY_KEY", secret := new_key())
    shared = SharedPolicies(policies(tmp_path / "p"))
    sent = pickle.dumps(ReplayWork(shared, SealedTexts(tmp_path, None, ("env:REPLAY_KEY",))))
    assert secret.encode() not in sent
    assert pickle.loads(sent).sealed.keys == ("env:REPLAY_KEY",)
