"""Reads entries of the audit log, of this version and of older versions.

In: lines of a log. Out: entries. Each older version has a reader, which returns the members of the next version. Entries of
newer versions are refused, because they would be misread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from guardproxy.audit.record.chain import open_line
from guardproxy.audit.record.document import ENTRY_VERSION, SERVER_ERROR, UPSTREAM_5XX, Record
from guardproxy.audit.record.entries import AnyEntry
from guardproxy.errors import RecordError

Members = dict[str, Any]

_CHAIN = ("seq", "prev", "hash")
# Members that version 1 left out of the record of a pass-through route.
_PASSED: Mapping[str, Any] = {
    "codec": "",
    "model": "",
    "stream": False,
    "checks": {},
    "shadow": [],
    "usage": {},
    "seals": {},
    "scans": 0,
}
_PASSED_ANSWER: Mapping[str, Any] = {
    "status": None,
    "streamed": False,
    "model": "",
    "finish": [],
    "runs": [],
    "withheld": [],
}


def read_entry(line: bytes) -> AnyEntry | None:
    """Returns the entry of a line; `None` for the header of a log and for lines that are not canonical JSON objects
    with a version. Raises `RecordError` for an unknown version and for invalid members."""
    members = open_line(line)
    return entry_of(members) if members is not None and "v" in members else None


def read_record(line: bytes) -> Record:
    """Returns the record of a line. Raises `RecordError` if the line is not the record of an exchange."""
    entry = read_entry(line)
    if not isinstance(entry, Record):
        raise RecordError("the line is not a record of an audit log")
    return entry


def entries_of(path: Path) -> Iterator[AnyEntry]:
    """Yields the entries of a log and skips lines that cannot be read. Raises `OSError`, and `RecordError` with the
    number of the line."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                entry = read_entry(line)
            except RecordError as error:
                raise RecordError(f"{path}:{number}: {error}") from None
            if entry is not None:
                yield entry


def entry_of(members: Mapping[str, Any]) -> AnyEntry:
    """Returns the entry with these members. Raises `RecordError`."""
    version = members.get("v")
    if type(version) is not int or version < 1:
        raise RecordError("the entry has no version")
    if version > ENTRY_VERSION:
        raise RecordError(
            f"the entry has version {version}, and this guardproxy reads versions up to {ENTRY_VERSION}: "
            "use a newer release"
        )
    read: Members = {name: value for name, value in members.items() if name not in _CHAIN}
    for older in range(version, ENTRY_VERSION):
        read = _READERS[older](read)
    if _is_upstream_error(read):
        read["outcome"] = UPSTREAM_5XX
    try:
        entry: AnyEntry = msgspec.convert(read, AnyEntry)
    except msgspec.ValidationError as error:
        raise RecordError(f"not an entry of version {version}: {error}") from None
    return entry


def _from_version_1(members: Members) -> Members:
    """Converts to version 2, which names the kind of every entry and records a pass-through route like every other
    exchange."""
    if "kind" in members:
        return {**members, "v": 2}
    out = {**_PASSED, **members, "kind": "exchange", "v": 2}
    out["request"] = {"body": None, **_object(members, "request")}
    out["response"] = {**_PASSED_ANSWER, **_object(members, "response")}
    return out


def _from_version_2(members: Members) -> Members:
    """Converts to version 3, which may seal members of a record, and has entries about sealed texts."""
    return {**members, "v": 3}


def _is_upstream_error(members: Members) -> bool:
    """Whether an older release wrote `answered` for an answer that was an error of the upstream."""
    if members.get("outcome") != "answered":
        return False
    response = members.get("response")
    status = response.get("status") if isinstance(response, dict) else None
    return isinstance(status, int) and status >= SERVER_ERROR


def _object(members: Members, name: str) -> Members:
    value = members.get(name)
    if not isinstance(value, dict):
        raise RecordError(f"not an entry of version 1: `{name}` is not an object")
    return value


_READERS: Mapping[int, Callable[[Members], Members]] = {1: _from_version_1, 2: _from_version_2}
