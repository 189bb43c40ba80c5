"""The file of a key store: it is made once, changed as a whole or not at all, and known from a file that took its place."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from guardproxy.audit.sealing.key_file import KeyFile
from guardproxy.errors import SealError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "seal.keys"


def made(path: Path) -> KeyFile:
    file = KeyFile(path, create=True)
    with file.alone():
        file.make({"format": b"1"})
    return file


def test_a_file_is_made_only_where_it_is_wanted(path: Path) -> None:
    with pytest.raises(SealError, match="no key store here"):
        KeyFile(path, create=False)
    assert not path.exists()
    file = KeyFile(path, create=True)
    assert path.stat().st_mode & 0o777 == 0o600
    assert file.head() == {}
    with file.alone():
        file.make({"format": b"1"})
    file.close()
    file.close()
    again = KeyFile(path, create=False)
    assert again.head() == {"format": b"1"}
    again.close()


def test_a_change_is_made_as_a_whole(path: Path) -> None:
    file = made(path)

    def fail() -> None:
        with file.faults(), file.change():
            file.write_head({"ring": b"new"})
            file.rows.execute("SELECT * FROM other")

    with pytest.raises(SealError, match="no such table"):
        fail()
    assert file.head() == {"format": b"1"}
    with file.change():
        file.write_head({"ring": b"new"})
    file.close()
    other = KeyFile(path, create=False)
    assert other.head() == {"format": b"1", "ring": b"new"}
    other.close()


def test_a_failure_that_ended_the_change_itself_is_told(path: Path) -> None:
    file = made(path)

    def fail() -> None:
        with file.change():
            file.rows.execute("ROLLBACK")
            file.rows.execute("SELECT * FROM other")

    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        fail()
    file.close()


def test_a_file_that_takes_its_place_is_another(path: Path) -> None:
    file = made(path)
    assert file.is_at_path
    path.rename(path.with_name("old"))
    assert not file.is_at_path
    other = made(path)
    assert not file.is_at_path
    assert other.is_at_path
    for opened in (file, other):
        opened.close()


def test_errors_of_the_system_are_told(path: Path) -> None:
    path.mkdir()
    with pytest.raises(SealError, match=r"seal\.keys: is a directory|seal\.keys: Is a directory"):
        KeyFile(path, create=True)
