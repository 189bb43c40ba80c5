"""Notes of reviewers stay as long as their exchange, and no longer."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from guardproxy.console.index import LIMIT_NOTE_CHARS, Filter, Index, ReviewNote, ReviewNotes
from guardproxy.console.index.database import FOLDER
from guardproxy.console.index.notes import NAME
from guardproxy.engine import LocalEngine
from guardproxy.errors import QueryError
from tests.kit.console_log import erase_subject, write_console_log


def note(exchange: str, text: str = "Mara's order was right", by: str = "ada", at_s: float = 1.0) -> ReviewNote:
    return ReviewNote(exchange, by, at_s, text)


def test_a_person_has_one_note_about_an_exchange(tmp_path: Path) -> None:
    notes = ReviewNotes(tmp_path)
    assert notes.newest() == ()
    assert notes.drop(["a"]) == 0
    assert not (tmp_path / FOLDER).exists()
    notes.put(note("a", "first"))
    notes.put(note("a", " second ", at_s=3.0))
    notes.put(note("a", "third", by="bo", at_s=2.0))
    notes.put(note("b", "half \ud800 pair", at_s=4.0))
    assert notes.of(["a", "x"]) == {"a": (note("a", "third", by="bo", at_s=2.0), note("a", "second", at_s=3.0))}
    assert [found.text for found in notes.newest(2)] == ["half ? pair", "second"]
    notes.put(note("a", "  "))
    assert [found.by for found in notes.of(["a"])["a"]] == ["bo"]
    assert notes.exchanges() == ("a", "b")
    path = tmp_path / FOLDER / NAME
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_what_is_too_long_or_has_no_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(QueryError, match="at most 4,000 characters"):
        ReviewNotes(tmp_path).put(note("a", "x" * (LIMIT_NOTE_CHARS + 1)))
    with pytest.raises(QueryError, match="no place for notes"):
        ReviewNotes(None).put(note("a"))
    assert ReviewNotes(None).exchanges() == ()
    assert ReviewNotes(None).of(["a"]) == {}
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / NAME).write_bytes(random.Random(0).randbytes(5000))
    with pytest.raises(QueryError, match="the notes cannot be used: "):
        ReviewNotes(tmp_path).newest()
    (tmp_path / "file").touch()
    with pytest.raises(QueryError, match="the notes cannot be opened: "):
        ReviewNotes(tmp_path / "file").put(note("a"))


def test_notes_go_with_the_keys_of_their_exchanges(tmp_path: Path) -> None:
    log = write_console_log(tmp_path, 60, keep=("sealed",))
    index = Index(tmp_path, engine=LocalEngine(1))
    index.follow()
    for name in log.ids:
        index.notes.put(note(name, f"about {name}"))
    erase_subject(log, "user-1")
    index.follow()
    erased = {row.id for row in index.rows(Filter(), 100).rows if row.keep == "erased"}
    assert erased
    assert set(index.notes.exchanges()) == set(log.ids) - erased
    kept = (tmp_path / FOLDER / NAME).read_bytes()
    assert [name for name in erased if f"about {name}".encode() in kept] == []
    index.close()


def test_notes_go_with_the_files_of_their_exchanges(tmp_path: Path) -> None:
    log = write_console_log(tmp_path, 60, segment_lines=20)
    index = Index(tmp_path, engine=LocalEngine(1))
    index.follow()
    index.notes.put(note("gx_of_nobody"))
    for name in log.ids:
        index.notes.put(note(name))
    (tmp_path / "audit-0.jsonl").unlink()
    index.follow()
    left = {row.id for row in index.rows(Filter(), 100).rows}
    assert set(index.notes.exchanges()) == left
    assert 0 < len(left) < 60
    for path in tmp_path.glob("*.jsonl"):
        path.unlink()
    index.follow()
    assert index.count(Filter()) == 0
    assert set(index.notes.exchanges()) == left  # a log without exchanges is not there
    index.close()
