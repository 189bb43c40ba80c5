"""Intents: entries that the log keeps before the first byte of an exchange goes upstream, so that a crash leaves a
trace of it.

In: the logs of a folder. Out: the intents whose exchange has no record, and the entries that close them.

An `Intent` names the exchange and holds no text. The record with the same `id` closes it. If the process ended before,
the next start closes the intent with a `Closing`.

Logs of a live process are skipped, because its exchanges may still end. A log is live while a process holds its lock.
Every log that a live log follows is live as well.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from guardproxy.audit.proof.folder import header_of, logs_of
from guardproxy.audit.record.document import ENTRY_VERSION, Closing, Intent
from guardproxy.audit.record.entries import AnyEntry
from guardproxy.audit.record.versions import entry_of
from guardproxy.audit.storage.disk import folder_lock, is_held
from guardproxy.engine import HERE, AnyPath, Part, WorkEngine, parts_of
from guardproxy.errors import RecordError

INTENT_MARK = b'"kind":"intent"'
"""In the line of every intent. Few other lines hold it: as a member of a body, not in a text, whose quotes are escaped."""
READ_BYTES = 1 << 22
_ID = re.compile(rb'"id":"([^"\\]{1,64})"')


def closing(intent: Intent, at: float, engine: str, why: str) -> Closing:
    """Returns the entry that closes an exchange with an unknown end. `at`: Unix time in seconds. `why`: why there is no
    record."""
    return Closing(
        v=ENTRY_VERSION,
        at=at,
        id=intent.id,
        engine=engine,
        tenant=intent.tenant,
        route=intent.route,
        policies=intent.policies,
        seals=intent.seals,
        outcome="unknown",
        began=intent.at,
        why=why,
    )


@contextmanager
def abandoned_intents(folder: Path, own: Path) -> Iterator[list[Intent]]:
    """Yields the intents in logs without a live process that no record closes. `own`: the log that this process
    continues. During the block no other process opens these logs."""
    with folder_lock(folder) as locked:
        paths = logs_of(folder)
        headers = {path: _header(path) for path in paths}
        live = {path for path in paths if path != own and is_held(path)} if locked else {*paths} - {own}
        grown = True
        while grown:  # a log that a live log follows belongs to the same process
            follows = {_origin_before(headers[path]) for path in live}
            more = {
                path for path in paths if path != own and path not in live and headers[path].get("log", 0) in follows
            }
            live |= more
            grown = bool(more)
        yield open_intents_of([path for path in paths if path not in live], paths)


def open_intents_of(paths: Iterable[AnyPath], every: Iterable[AnyPath], engine: WorkEngine = HERE) -> list[Intent]:
    """Returns the intents in `paths` that no record in `every` log closes, sorted by time, without intents that this
    version cannot read. `every` includes `paths`. `engine`: reads the logs, in parts."""
    intents: dict[str, Intent] = {}
    for found in engine.each(IntentWork(), _parts(paths)):
        intents.update(found.intents)
    if intents:
        for found in engine.each(IntentWork(frozenset(intents)), _parts(every)):
            for name in found.closed:
                intents.pop(name, None)
    return sorted(intents.values(), key=lambda intent: (intent.at, intent.id))


def _parts(paths: Iterable[AnyPath]) -> list[Part]:
    sizes = []
    for path in paths:
        with suppress(OSError):
            sizes.append((path, path.stat().st_size))
    return list(parts_of(sizes, READ_BYTES))


class IntentPart(NamedTuple):
    """What a part holds. `lines`: their number. `intents`: those that are open at the end of the part, or `closed`: the names
    of those that the part closes."""

    lines: int
    intents: dict[str, Intent]
    closed: frozenset[str]


@dataclass(frozen=True, slots=True)
class IntentWork:
    """Looks for intents in parts of logs, or for the end of the intents with these names."""

    names: frozenset[str] = frozenset()
    uses_models: bool = False

    @contextmanager
    def open(self) -> Iterator[Callable[[Part], IntentPart]]:
        """See `Work.open`."""
        yield self._do

    def _do(self, part: Part) -> IntentPart:
        """Reads a part. A file that cannot be read has no lines."""
        intents: dict[str, Intent] = {}
        closed: set[str] = set()
        lines = 0
        with suppress(OSError):
            for line in part.lines():
                lines += 1
                _read_line(line, self.names, intents, closed)
        return IntentPart(lines, intents, frozenset(closed))


def _read_line(line: bytes, names: frozenset[str], intents: dict[str, Intent], closed: set[str]) -> None:
    """Adds the intent of a line to `intents` unless names are given, and removes the intent that its entry closes."""
    # A line is parsed only if its bytes may be relevant, so that a long log does not delay the start.
    is_marked = not names and INTENT_MARK in line
    if not is_marked and not _names(line, names or intents):
        return
    members = _parse(line)
    name = members.get("id")
    if not isinstance(name, str) or "seq" not in members:
        return
    if members.get("kind") == "intent":
        if not names and isinstance(intent := _entry(members), Intent):
            intents[name] = intent
    elif "outcome" in members:
        intents.pop(name, None)
        closed.update({name} if name in names else ())


def _entry(members: Mapping[str, Any]) -> AnyEntry | None:
    try:
        return entry_of(members)
    except RecordError:
        return None


def _names(line: bytes, ids: Container[str]) -> bool:
    """Whether the bytes of a line may hold one of the ids as an `id`."""
    return any(name.decode("utf-8", "replace") in ids for name in _ID.findall(line))


def _parse(line: bytes) -> dict[str, Any]:
    # `json` reads lone surrogates, which orjson does not accept.
    for read in (orjson.loads, json.loads):
        try:
            record = read(line)
        except (ValueError, RecursionError):
            continue
        return record if isinstance(record, dict) else {}
    return {}


def _header(path: Path) -> Mapping[str, Any]:
    try:
        return header_of(path)
    except OSError:
        return {}


def _origin_before(header: Mapping[str, Any]) -> object:
    follows = header.get("follows")
    return follows.get("log") if isinstance(follows, Mapping) else None
