"""Reads the confirmed entries of a folder of logs, in order.

In: the folder. Out: each entry with its place in the log. Reads only, so it works while the proxy writes.

When a write or a sync fails, the log continues in a new file. Lines of the old file after the record that the header of
the new file names were never confirmed: their exchanges were refused. They are no records.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from guardproxy.audit.proof.folder import header_of, logs_of
from guardproxy.audit.record.chain import head_of, open_line
from guardproxy.audit.record.entries import AnyEntry
from guardproxy.audit.record.versions import entry_of
from guardproxy.errors import RecordError

UNREADABLE = "not a line of a log; see `guardproxy audit verify`"


class LoggedEntry(NamedTuple):
    """An entry and its place: the name of the file, the number of the entry and the hash of its line."""

    file: str
    seq: int
    hash: str
    entry: AnyEntry


def last_confirmed(paths: Sequence[Path]) -> Mapping[str, int]:
    """Returns the last confirmed `seq` of every log that another log follows, by file name. Raises `OSError`."""
    headers = {path: header_of(path) for path in paths}
    ends = {}
    for header in headers.values():
        follows = header.get("follows")
        if isinstance(follows, Mapping) and (head := head_of(follows)) is not None:
            ends[follows.get("log")] = head.seq
    return {path.name: ends[header["log"]] for path, header in headers.items() if header.get("log") in ends}


def confirmed_entries(folder: Path, unread: Counter[str]) -> Iterator[LoggedEntry]:
    """Yields the confirmed entries of all logs of a folder, by the name of the log. Counts lines that cannot be read in
    `unread`, by reason. Raises `OSError`."""
    paths = logs_of(folder)
    ends = last_confirmed(paths)
    for path in paths:
        end = ends.get(path.name)
        with path.open("rb") as lines:
            for line in lines:
                members = open_line(line)
                seq = members.get("seq") if members is not None else None
                if members is None or not isinstance(seq, int | None):
                    unread[UNREADABLE] += 1
                elif seq is not None and (end is None or seq <= end):
                    try:
                        entry = entry_of(members)
                    except RecordError as error:
                        unread[str(error)] += 1
                        continue
                    yield LoggedEntry(path.name, seq, str(members.get("hash", "")), entry)
