"""The files of policies: lists them, reads them, and saves approved contents.

In: the path that the proxy serves, names and contents. Out: contents with their digests. A file is replaced in one step and
keeps its mode. Nothing outside of the folder is read or written, and no name has a slash.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import stat
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

LIMIT_BYTES = 1 << 20  # as for policies
LIMIT_FILES = 500
SUFFIXES = (".yaml", ".yml")
BESIDE = (".txt", ".json")  # lists and schemas that policies name
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_. -]{0,127}", re.ASCII)
_turns = threading.Lock()


class FileError(Exception):
    """A file cannot be read or saved. The message may be shown."""


@dataclass(frozen=True, slots=True)
class FileContent:
    """A file of the folder. `digest`: `sha256:` and hexadecimal digits."""

    name: str
    content: bytes

    @property
    def digest(self) -> str:
        return digest_of(self.content)

    @property
    def text(self) -> str | None:
        """The text, if a form can send it back unchanged; otherwise `None`."""
        try:
            text = self.content.decode()
        except UnicodeDecodeError:
            return None
        return text if from_form(text, self.content) == self.content else None


@dataclass(frozen=True, slots=True)
class NewContent:
    """What a file is to hold. `base`: the digest of the file that was changed; `None`: there was none."""

    base: str | None
    content: bytes


def digest_of(content: bytes) -> str:
    """Returns the digest of the content of a file."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def from_form(text: str, like: bytes) -> bytes:
    """Returns the bytes of a text from a form, which ends lines with CR LF. `like`: the file before; its line ends are kept."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    if like.count(b"\r\n") and like.count(b"\r\n") == like.count(b"\n"):
        lines = lines.replace("\n", "\r\n")
    return lines.encode("utf-8", "replace")


def refuse_name(name: str) -> None:
    """Raises `FileError` if a file of policies may not have this name."""
    if not _NAME.fullmatch(name) or name.endswith((".", " ")):
        raise FileError("a file name has only letters, digits, `-`, `_`, `.` and spaces, and no `/`")
    if not name.lower().endswith((*SUFFIXES, *BESIDE)):
        raise FileError(f"a file name ends with {', '.join((*SUFFIXES, *BESIDE))}")


@dataclass(frozen=True, slots=True)
class PolicyFolder:
    """The path that the proxy serves: a folder, or a single file. `is_own`: whether it belongs to the user of the proxy, and
    not to the package with the shipped policies."""

    path: Path
    is_own: bool = True

    @property
    def folder(self) -> Path:
        return self.path if self.path.is_dir() else self.path.parent

    @property
    def is_writable(self) -> bool:
        """Whether files can be saved here."""
        return self.is_own and self.path.is_dir()

    def names(self) -> list[str]:
        """Returns the names of the files: policies first. Raises `FileError`."""
        if not self.path.is_dir():
            return [self.path.name]
        try:
            found = sorted(entry.name for entry in os.scandir(self.path) if not entry.is_dir())
        except OSError as error:
            raise FileError(f"cannot read the policy folder: {_reason(error)}") from None
        known = [name for name in found if name.lower().endswith((*SUFFIXES, *BESIDE)) and not name.startswith(".")]
        return sorted(known, key=lambda name: not name.lower().endswith(SUFFIXES))[:LIMIT_FILES]

    def read(self, name: str) -> FileContent | None:
        """Returns a file; `None` if there is none. Raises `FileError`."""
        target = self._target(name)
        try:
            # Without `O_NONBLOCK`, opening a pipe that somebody put here would wait for ever.
            fd = os.open(target, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise FileError(f"cannot read the file: {_reason(error)}") from None
        with os.fdopen(fd, "rb") as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise FileError("not a regular file")
            content = file.read(LIMIT_BYTES + 1)
        if len(content) > LIMIT_BYTES:
            raise FileError(f"larger than {LIMIT_BYTES} bytes")
        return FileContent(name, content)

    def stamp(self) -> tuple[tuple[str, int, int, int], ...]:
        """Returns what changes when a file changes."""
        found = []
        for name in self.names():
            with suppress(OSError):
                about = os.stat(self.folder / name)
                found.append((name, about.st_mtime_ns, about.st_size, about.st_ino))
        return tuple(found)

    def save(self, files: Mapping[str, NewContent], first: Callable[[], object]) -> None:
        """Replaces files, each in one step. `first`: is called when all is ready, before the first file changes; if it fails,
        nothing changes. Raises `FileError`, also if a file is not the one that was changed."""
        if not self.is_writable:
            raise FileError("these policies cannot be saved: the proxy was not started with a folder of policies")
        with _turns:
            ready: list[tuple[Path, Path]] = []
            try:
                for name, new in sorted(files.items()):
                    ready.append(self._prepared(name, new))
                first()
                while ready:
                    made, target = ready[0]
                    os.replace(made, target)
                    del ready[0]
                _sync(self.folder)
            except OSError as error:
                raise FileError(f"cannot save: {_reason(error)}") from None
            finally:
                for made, _ in ready:
                    with suppress(OSError):
                        made.unlink()

    def _prepared(self, name: str, new: NewContent) -> tuple[Path, Path]:
        """Writes the new content beside the file. Returns both paths."""
        refuse_name(name)
        if len(new.content) > LIMIT_BYTES:
            raise FileError(f"`{name}` is larger than {LIMIT_BYTES} bytes")
        old = self.read(name)
        if (old.digest if old else None) != new.base:
            raise FileError(f"`{name}` has changed since the edit began")
        target = self._target(name)
        made = target.with_name(f".{name}.{secrets.token_hex(8)}.new")
        # The name is random and must be new: a link that waits under a known name would lead the write elsewhere.
        fd = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            about = os.stat(target if old is not None else self.folder)
            with suppress(OSError):  # only root gives files away
                os.fchown(fd, about.st_uid, about.st_gid)
            os.fchmod(fd, stat.S_IMODE(about.st_mode) if old is not None else about.st_mode & 0o666)
            file.write(new.content)
            # Before the rename: after a crash, a name could otherwise lead to an empty file of policies.
            file.flush()
            os.fsync(fd)
        return made, target

    def _target(self, name: str) -> Path:
        """Returns where a file is, its links followed. Raises `FileError` if that is outside of the folder."""
        if name not in (os.path.basename(name),) or name in ("", ".", "..") or "\0" in name or name.startswith("."):
            raise FileError("a file name has no `/` and does not begin with `.`")
        inside = Path(os.path.realpath(self.folder))
        target = Path(os.path.realpath(inside / name))
        if not target.is_relative_to(inside) or target == inside:
            raise FileError("the file is a link out of the folder of policies")
        return target


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
