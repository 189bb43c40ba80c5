"""Copies of checkpoints in other places: standard output, a file, an HTTP server.

In: signed checkpoints. Out: copies. Kept: nothing. A copy is what reveals that the folder was rolled back or written
anew, so it belongs where those who can write the folder cannot.

Standard output and files get a line of JSON for each checkpoint: `{"checkpoint": NOTE}`. An HTTP server gets the note as
the body of a POST.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

from guardproxy.audit.disk import Disk, reason, write_file
from guardproxy.audit.proof.note import SignedNote
from guardproxy.errors import AuditError

HTTP_TIMEOUT_S = 5.0
STDOUT = "stdout"
_MEMBER = "checkpoint"


def send_copy(target: str, note: SignedNote, timeout_s: float = HTTP_TIMEOUT_S) -> None:
    """Copies a checkpoint to `stdout`, an http(s) URL or the end of a file. May block. Raises `AuditError`."""
    try:
        if target == STDOUT:
            sys.stdout.write(_line(note))
            sys.stdout.flush()
        elif urlsplit(target).scheme in ("http", "https"):
            _post(target, note.data, timeout_s)
        else:
            write_file(Disk(), Path(target), _line(note).encode(), os.O_APPEND)
    except (OSError, ValueError) as error:
        raise AuditError(f"the checkpoint cannot be copied to {shown(target)}: {reason(error)}") from None


def shown(target: str) -> str:
    """Returns the place of a copy for messages, without a password and a query."""
    parts = urlsplit(target)
    return f"{parts.scheme}://{parts.hostname}{parts.path}" if parts.scheme in ("http", "https") else target


def read_copies(path: Path) -> list[tuple[str, SignedNote]]:
    """Returns the copies at a path with their places: a note, lines of JSON that may be mixed with other lines (as a
    collector of logs stores them), or a folder of such files. Raises `AuditError` and `OSError`."""
    if path.is_dir():
        return [copy for child in sorted(path.iterdir()) if child.is_file() for copy in read_copies(child)]
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


def _post(url: str, body: bytes, timeout_s: float) -> None:
    from http.client import HTTPException  # noqa: PLC0415 - a slow import that most commands do not need
    from urllib.request import Request, urlopen  # noqa: PLC0415

    headers = {"Content-Type": "text/plain; charset=utf-8"}
    request = Request(url, data=body, headers=headers, method="POST")  # noqa: S310 - the caller checks the scheme
    try:
        with urlopen(request, timeout=timeout_s):  # noqa: S310
            pass
    except HTTPException as error:
        raise OSError(type(error).__name__) from None


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
