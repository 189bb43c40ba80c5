"""Entries of older versions are read, those of newer ones are refused.

`data/v1.jsonl` and `data/v2/audit.jsonl` were written by the releases that wrote these versions of entries.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from guardproxy.audit.record.canonical import canonical
from guardproxy.audit.record.chain import verify
from guardproxy.audit.record.document import ENTRY_VERSION, UPSTREAM_5XX, Closing, Record
from guardproxy.audit.record.versions import entries_of, entry_of, read_entry, read_record
from guardproxy.errors import RecordError
from guardproxy.replay.replays import replay
from tests.kit.play import policy_set
from tests.kit.records import plain_answer, plain_record, validator

DATA = Path(__file__).parents[1] / "data"
OLD = DATA / "v1.jsonl"
OLDER = pytest.mark.parametrize("log", [OLD, DATA / "v2" / "audit.jsonl"], ids=["v1", "v2"])
POLICIES = replace(policy_set((DATA / "v1.yaml").read_text("utf-8")), digest="sha256:8d4c")


@OLDER
def test_an_old_log_verifies_and_every_entry_is_read(log: Path) -> None:
    with log.open("rb") as lines:
        assert not verify(lines).problems
    entries = list(entries_of(log))
    assert Counter(type(entry).__name__ for entry in entries) == {"Record": 13, "Intent": 12, "Closing": 1, "Gap": 1}
    assert {entry.v for entry in entries} == {ENTRY_VERSION}


VERDICTS = {
    **{f"ex-{number:02}": "identical" for number in (1, 2, 3, 4, 5, 6, 7, 8, 10, 13)},
    **{f"ex-{number:02}": "not replayable" for number in (9, 11, 12, 14)},
}


@OLDER
def test_an_old_log_is_replayed(log: Path) -> None:
    entries = [entry for entry in entries_of(log) if isinstance(entry, (Record, Closing))]
    replayed = {entry.id: replay(entry, POLICIES) for entry in entries}
    assert {name: again.verdict for name, again in replayed.items()} == VERDICTS
    assert not any(again.rescanned for again in replayed.values())


def test_what_version_1_says_is_kept() -> None:
    lines = OLD.read_bytes().splitlines()[1:]
    added = {"kind", "v"}
    for line, entry in zip(lines, entries_of(OLD), strict=True):
        old = dict(members_of(line))
        new = members_of(canonical(entry.document()))
        if isinstance(entry, Record) and not entry.is_read:
            assert {**new, **{name: old[name] for name in ("request", "response", "v")}} == {
                **new,
                **old,
                "kind": new["kind"],
            }
            continue
        if "error" in old and old["error"].get("field", "") is None:
            del old["error"]["field"]
        assert {name: new.get(name) for name in old if name not in added} == {
            name: value for name, value in old.items() if name not in added
        }


def members_of(line: bytes) -> dict[str, Any]:
    members: dict[str, Any] = json.loads(line)
    return {name: value for name, value in members.items() if name not in ("seq", "prev", "hash")}


def test_a_route_that_was_passed_through_is_written_like_every_other_exchange() -> None:
    (passed,) = [entry for entry in entries_of(OLD) if isinstance(entry, Record) and entry.id == "ex-11"]
    assert (passed.codec, passed.outcome, passed.is_read) == ("", "passed", False)
    assert passed.request.uninspected == passed.response.uninspected == ("*",)
    members = {**passed.document(), "seq": 0, "prev": "0" * 64, "hash": "0" * 64}
    validator().validate(json.loads(canonical(members)))


def test_a_newer_version_is_refused_and_both_versions_are_named() -> None:
    with pytest.raises(RecordError, match=r"the entry has version 4, and this guardproxy reads versions up to 3: use"):
        entry_of({**plain_record().document(), "v": 4})


@pytest.mark.parametrize("version", [None, 0, -1, "2", 2.0, True])
def test_an_entry_names_its_version(version: Any) -> None:
    with pytest.raises(RecordError, match="the entry has no version"):
        entry_of({**plain_record().document(), "v": version})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"status": "200"}, r"not an entry of version 3: Expected `int`, got `str` - at `\$.status`"),
        ({"more": 1}, "not an entry of version 3: Object contains unknown field `more`"),
        ({"kind": "other"}, "not an entry of version 3: Invalid value 'other'"),
        ({"v": 1, "kind": "exchange", "request": 3}, "not an entry of version 1: Expected `object`, got `int`"),
    ],
)
def test_wrong_members_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(RecordError, match=message):
        entry_of({**plain_record().document(), **change})
    with pytest.raises(RecordError, match="not an entry of version 1: `request` is not an object"):
        entry_of({"v": 1, "outcome": "answered"})


def test_lines_that_are_no_entries(tmp_path: Path) -> None:
    line = plain_record().to_json()
    assert read_entry(line) == read_record(line) == plain_record()
    for other in (b"{}", b"junk", b'{"format":1,"log":"x"}', line[:-1], b" " + line):
        assert read_entry(other) is None
        with pytest.raises(RecordError, match="the line is not a record of an audit log"):
            read_record(other)
    path = tmp_path / "a.jsonl"
    path.write_bytes(line + b"\ntorn\n" + line.replace(b'"v":3', b'"v":9') + b"\n")
    entries = entries_of(path)
    assert next(entries) == plain_record()
    with pytest.raises(RecordError, match=r"a.jsonl:3: the entry has version 9"):
        next(entries)


@pytest.mark.parametrize(
    ("outcome", "status", "wanted"),
    [
        ("answered", 503, UPSTREAM_5XX),
        ("answered", 404, "answered"),
        ("answered", None, "answered"),
        ("blocked_response", 500, "blocked_response"),
        (UPSTREAM_5XX, 500, UPSTREAM_5XX),
    ],
)
def test_an_upstreams_own_error_has_an_outcome_of_its_own_also_in_older_records(
    outcome: str, status: int | None, wanted: str
) -> None:
    entry = entry_of(plain_record(plain_answer(status=status), outcome=outcome).document())
    assert isinstance(entry, Record)
    assert entry.outcome == wanted


def test_a_response_that_is_no_object_is_refused() -> None:
    with pytest.raises(RecordError, match="not an entry of version"):
        entry_of({**plain_record().document(), "response": 5})
