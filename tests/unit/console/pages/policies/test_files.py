"""The folder of policies: nothing outside of it is read or written, and a file is replaced in one step."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.console.pages.policies import files as module
from guardproxy.console.pages.policies.files import (
    FileContent,
    FileError,
    NewContent,
    PolicyFolder,
    digest_of,
    from_form,
    refuse_name,
)


def nothing() -> None:
    """Called before the files change."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "policies"
    made.mkdir()
    (made / "a.yaml").write_bytes(b"old")
    return made


def save(folder: Path, name: str = "a.yaml", content: bytes = b"new", base: str | None = digest_of(b"old")) -> None:
    PolicyFolder(folder).save({name: NewContent(base, content)}, nothing)


def test_a_file_is_replaced_and_keeps_its_mode(folder: Path) -> None:
    (folder / "a.yaml").chmod(0o604)
    inode = (folder / "a.yaml").stat().st_ino
    save(folder)
    assert (folder / "a.yaml").read_bytes() == b"new"
    assert (folder / "a.yaml").stat().st_mode & 0o777 == 0o604
    assert (folder / "a.yaml").stat().st_ino != inode
    assert os.listdir(folder) == ["a.yaml"]


def test_a_new_file_has_the_rights_of_its_folder(folder: Path) -> None:
    folder.chmod(0o750)
    save(folder, "b.yaml", base=None)
    assert (folder / "b.yaml").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("base", [None, digest_of(b"another")])
def test_a_file_that_changed_meanwhile_is_not_replaced(folder: Path, base: str | None) -> None:
    with pytest.raises(FileError, match="has changed since"):
        save(folder, base=base)
    with pytest.raises(FileError, match="has changed since"):
        save(folder, "gone.yaml")
    assert (folder / "a.yaml").read_bytes() == b"old"


def test_nothing_changes_if_the_log_cannot_say_so(folder: Path) -> None:
    def fails() -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(FileError, match="no space left"):
        PolicyFolder(folder).save({"a.yaml": NewContent(digest_of(b"old"), b"new")}, fails)
    assert (folder / "a.yaml").read_bytes() == b"old"
    assert os.listdir(folder) == ["a.yaml"]


def test_either_all_files_are_ready_or_none_changes(folder: Path) -> None:
    new = {"a.yaml": NewContent(digest_of(b"old"), b"new"), "b.yaml": NewContent("sha256:x", b"new")}
    with pytest.raises(FileError):
        PolicyFolder(folder).save(new, nothing)
    assert (folder / "a.yaml").read_bytes() == b"old"
    assert os.listdir(folder) == ["a.yaml"]


HOSTILE = [
    "../a.yaml",
    "/etc/passwd",
    "a/b.yaml",
    "..",
    ".",
    "",
    ".hidden.yaml",
    "a\0.yaml",
    "a.yaml/",
    "\\..\\a.yaml/x",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_leads_out_of_the_folder(folder: Path, name: str) -> None:
    with pytest.raises(FileError):
        PolicyFolder(folder).read(name)
    with pytest.raises(FileError):
        save(folder, name)
    with pytest.raises(FileError):
        refuse_name(name)


@pytest.mark.parametrize("name", ["a.sh", "a", "a.yaml ", "a.yaml.", "a\n.yaml", "é.yaml", "a" * 130 + ".yaml"])
def test_a_name_of_a_new_file_is_plain(name: str) -> None:
    with pytest.raises(FileError):
        refuse_name(name)


@pytest.mark.parametrize("name", ["a.yaml", "My rules 2.yml", "list.txt", "shape.json", "A.YAML"])
def test_names_that_are_fine(name: str) -> None:
    refuse_name(name)


def test_a_link_out_of_the_folder_is_neither_read_nor_written(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.yaml").write_bytes(b"secret")
    (folder / "link.yaml").symlink_to(tmp_path / "secret.yaml")
    (folder / "loop.yaml").symlink_to(folder / "loop.yaml")
    (folder / "zero.yaml").symlink_to("/dev/zero")
    for name in ("link.yaml", "zero.yaml", "loop.yaml"):
        with pytest.raises(FileError):
            PolicyFolder(folder).read(name)
        with pytest.raises(FileError):
            save(folder, name, base=digest_of(b"secret"))
    assert (tmp_path / "secret.yaml").read_bytes() == b"secret"


def test_a_link_within_the_folder_stays_a_link(folder: Path) -> None:
    (folder / "..data").mkdir()
    (folder / "..data" / "b.yaml").write_bytes(b"old")
    (folder / "b.yaml").symlink_to("..data/b.yaml")
    save(folder, "b.yaml")
    assert (folder / "b.yaml").is_symlink()
    assert (folder / "..data" / "b.yaml").read_bytes() == b"new"


def test_what_is_no_file_of_a_bounded_size_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(folder / "pipe.yaml")
    with pytest.raises(FileError, match="not a regular file"):
        PolicyFolder(folder).read("pipe.yaml")
    monkeypatch.setattr(module, "LIMIT_BYTES", 5)
    (folder / "large.yaml").write_bytes(b"123456")
    with pytest.raises(FileError, match="larger than 5 bytes"):
        PolicyFolder(folder).read("large.yaml")
    with pytest.raises(FileError, match="larger than 5 bytes"):
        save(folder, content=b"123456")


def test_the_list_has_policies_first(folder: Path) -> None:
    for name in ("b.txt", ".c.yaml", "d.md", "e.YML"):
        (folder / name).write_bytes(b"")
    (folder / "f.yaml").mkdir()
    assert PolicyFolder(folder).names() == ["a.yaml", "e.YML", "b.txt"]
    assert len(PolicyFolder(folder).stamp()) == 3


def test_a_folder_that_goes_between_two_looks_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(path: Path) -> None:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(os, "scandir", gone)
    with pytest.raises(FileError, match="cannot read the policy folder: no such file"):
        PolicyFolder(folder).names()


def test_a_single_file_and_shipped_policies_are_not_saved(folder: Path) -> None:
    single = PolicyFolder(folder / "a.yaml")
    assert (single.names(), single.folder, single.is_writable) == (["a.yaml"], folder, False)
    for place in (single, PolicyFolder(folder, is_own=False)):
        with pytest.raises(FileError, match="cannot be saved"):
            place.save({"a.yaml": NewContent(digest_of(b"old"), b"new")}, nothing)


@given(st.text(st.sampled_from("ab\n\r é"), max_size=12))
def test_a_text_that_a_form_keeps_comes_back_as_its_bytes(text: str) -> None:
    content = text.encode()
    shown = FileContent("a.yaml", content).text
    if shown is not None:
        sent = shown.replace("\r\n", "\n").replace("\n", "\r\n")  # as a browser sends it
        assert from_form(sent, content) == content


@pytest.mark.parametrize(
    ("content", "editable"), [(b"a\nb\n", True), (b"a\r\nb\r\n", True), (b"a\r\nb\n", False), (b"\xff", False)]
)
def test_files_that_a_form_would_change_are_not_edited(content: bytes, *, editable: bool) -> None:
    assert (FileContent("a.yaml", content).text is not None) == editable
