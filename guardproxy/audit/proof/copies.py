"""Copies of checkpoints in other places: standard output, a file, an HTTP server, an object store.

In: signed checkpoints. Out: copies. Kept: the connections of an object store. A copy is what reveals that the folder was rolled
back or written anew, so it belongs where those who can write the folder cannot.

Standard output and files get a line of JSON for each checkpoint: `{"checkpoint": NOTE}`. An HTTP server gets the note as
the body of a POST, with headers whose values come from the environment or from files. An object store gets an object for
each checkpoint: `ORIGIN/NUMBER.checkpoint`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

from guardproxy.audit.proof.checkpoint import TreeHead
from guardproxy.audit.proof.note import SignedNote
from guardproxy.audit.storage.disk import Disk, reason, write_file
from guardproxy.audit.storage.http_post import post
from guardproxy.audit.storage.object_store import SCHEMES, ObjectStore
from guardproxy.errors import AuditError, ConfigError

TIMEOUT_S = 5.0
STDOUT = "stdout"
_HTTP = ("http", "https")
_MEMBER = "checkpoint"


class Copy(Protocol):
    """A place for copies of checkpoints."""

    def send(self, note: SignedNote) -> None:
        """Returns when the place has the checkpoint. May block. Raises `AuditError` or `OSError`."""
        ...


class Header(NamedTuple):
    """A header for the copies that go to a host. `source`: where its value comes from: `env:NAME` or `file:PATH`."""

    host: str
    name: str
    source: str

    @classmethod
    def read(cls, text: str) -> Header:
        """Reads `HOST=NAME=SOURCE`."""
        host, name, source = text.split("=", 2)
        return cls(host.lower(), name, source)

    def value(self, environ: Mapping[str, str] = os.environ) -> str:
        """Returns the value of now, so that a new credential in a file needs no restart. Raises `AuditError`."""
        kind, _, place = self.source.partition(":")
        try:
            value = (environ[place] if kind == "env" else Path(place).read_text("utf-8")).strip()
        except (KeyError, OSError, ValueError):
            raise AuditError(f"the header {self.name} cannot be read from {self.source}") from None
        if not value or not value.isascii() or not value.isprintable():
            raise AuditError(f"{self.source} does not hold the value of a header")
        return value


@dataclass(frozen=True, slots=True)
class _Stream:
    """Standard output."""

    def send(self, note: SignedNote) -> None:
        sys.stdout.write(_line(note))
        sys.stdout.flush()


@dataclass(frozen=True, slots=True)
class _LinesFile:
    """The end of a file."""

    path: Path

    def send(self, note: SignedNote) -> None:
        write_file(Disk(), self.path, _line(note).encode(), os.O_APPEND)


@dataclass(frozen=True, slots=True)
class _Server:
    """An HTTP server."""

    url: str
    headers: tuple[Header, ...]
    timeout_s: float

    def send(self, note: SignedNote) -> None:
        own = {"Content-Type": "text/plain; charset=utf-8"}
        post(self.url, note.data, {**own, **{header.name: header.value() for header in self.headers}}, self.timeout_s)


@dataclass(frozen=True, slots=True)
class _Objects:
    """An object store. Processes that share a list of checkpoints never write the same object."""

    store: ObjectStore

    def send(self, note: SignedNote) -> None:
        head = TreeHead.read(note.text)
        # Twelve digits, so that a listing by name is in the order of the checkpoints.
        self.store.put(f"{head.origin}/{head.size - 1:012}.checkpoint", note.data)


@dataclass(frozen=True, slots=True)
class Copies:
    """All places for copies of the checkpoints of a process, by the names to show."""

    places: Mapping[str, Copy]

    @classmethod
    def open(cls, targets: Sequence[str], headers: Sequence[str] = (), timeout_s: float = TIMEOUT_S) -> Copies:
        """Opens the places. `targets`: `stdout`, files, and URLs. `headers`: `HOST=NAME=SOURCE`, for HTTP. Raises
        `AuditError` and `ConfigError`."""
        read = tuple(map(Header.read, headers))
        return cls({shown(target): _opened(target, read, timeout_s) for target in targets})

    def send(self, note: SignedNote) -> list[str]:
        """Copies a checkpoint to all places. Returns what failed."""
        failures = []
        for name, place in self.places.items():
            try:
                place.send(note)
            except (AuditError, OSError, ValueError) as error:
                failures.append(f"the checkpoint cannot be copied to {name}: {reason(error)}")
        return failures


def _opened(target: str, headers: Sequence[Header], timeout_s: float) -> Copy:
    if target == STDOUT:
        return _Stream()
    try:
        parts = urlsplit(target)
        # `urlsplit` accepts a port that is no number; only reading it raises.
        _ = parts.port
    except ValueError:
        raise ConfigError(f"not a place for copies of checkpoints: {shown(target)}") from None
    if parts.scheme in (*_HTTP, *SCHEMES) and "@" in parts.netloc:
        raise ConfigError(f"{shown(target)}: credentials do not belong in the URL of a place for copies")
    if parts.scheme in SCHEMES:
        return _Objects(ObjectStore(target, timeout_s))
    if parts.scheme not in _HTTP:
        return _LinesFile(Path(target))
    own = tuple(header for header in headers if header.host == parts.netloc.lower())
    for header in own:
        header.value()  # a wrong name is an error of the start
    return _Server(target, own, timeout_s)


def shown(target: str) -> str:
    """Returns the place of a copy for messages, without a password and a query."""
    scheme, mark, rest = target.partition("://")
    if not mark or scheme.lower() not in (*_HTTP, *SCHEMES):
        return target
    place, slash, path = rest.partition("?")[0].partition("/")
    return f"{scheme}://{place.rpartition('@')[2]}{slash}{path}"


def read_copies(path: Path) -> list[tuple[str, SignedNote]]:
    """Returns the copies at a path with their places: a note, lines of JSON that may be mixed with other lines (as a
    collector of logs stores them), or a folder of such files, also in folders of it. Raises `AuditError` and `OSError`."""
    if path.is_dir():
        return [copy for child in sorted(path.rglob("*")) if child.is_file() for copy in read_copies(child)]
    try:
        return [(str(path), SignedNote.read(path.read_bytes()))]
    except AuditError:
        copies = []
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            note = _note_of(line)
            if note is not None:
                try:
                    copies.append((f"{path}:{number}", SignedNote.read(note.encode())))
                except AuditError as error:
                    raise AuditError(f"{path}:{number}: {error}") from None
    if not copies:
        raise AuditError(f"{path}: no checkpoint in this file")
    return copies


def _line(note: SignedNote) -> str:
    return json.dumps({_MEMBER: note.data.decode()}) + "\n"


def _note_of(line: bytes) -> str | None:
    if f'"{_MEMBER}"'.encode() not in line:
        return None
    try:
        members = json.loads(line)
    except ValueError:
        return None
    note = members.get(_MEMBER) if isinstance(members, dict) else None
    return note if isinstance(note, str) else None
