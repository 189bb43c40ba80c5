"""Intents: what the log says of an exchange before its first byte goes upstream, so that a crash leaves a trace of it.

In: the logs of a folder. Out: the intents whose exchange has no record, and the records that close them. Kept: nothing.

An intent is a record with `kind: intent`: id, time, route, tenant, digest of the policies, seal of the request, and no text.
The exchange's own record, with the same `id`, closes it. Where the process ended before, the next start closes it with a record
of `kind: closing` and `outcome: unknown`.

Logs of a live process are left alone: its exchanges go on. A log is live while a process has it locked, and so is every log
that a live one follows.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from guardproxy.audit.disk import folder_lock
from guardproxy.audit.folder import header_of, logs_of

INTENT = "intent"
CLOSING = "closing"
UNKNOWN = "unknown"
_MARK = b'"kind":"intent"'
_ID = re.compile(rb'"id":"([^"\\]{1,64})"')


def closing(intent: Mapping[str, Any], at: float, engine: str, why: str) -> dict[str, Any]:
    """The record of an exchange whose end nobody knows. `at`: Unix time in seconds; `why`: what kept it from ending."""
    return {
        "kind": CLOSING,
        "v": 1,
        "id": intent["id"],
        "at": at,
        "began": intent.get("at"),
        "engine": engine,
        "tenant": intent.get("tenant", ""),
        "route": intent.get("route", ""),
        "policies": intent.get("policies", ""),
        "outcome": UNKNOWN,
        "why": why,
        "seals": intent.get("seals", {}),
    }


@contextmanager
def abandoned(folder: Path, own: Path) -> Iterator[list[dict[str, Any]]]:
    """The intents in logs of no live process that no record closes. `own`: the log that this process goes on with. While the
    block runs, no other process looks at the same logs."""
    with folder_lock(folder) as locked:
        paths = logs_of(folder)
        headers = {path: _header(path) for path in paths}
        live = {path for path in paths if path != own and _is_live(path)} if locked else {*paths} - {own}
        grown = True
        while grown:  # a log that a live one follows belongs to the same process
            follows = {_followed(headers[path]) for path in live}
            more = {
                path for path in paths if path != own and path not in live and headers[path].get("log", 0) in follows
            }
            live |= more
            grown = bool(more)
        yield unclosed([path for path in paths if path not in live], paths)


def unclosed(paths: Iterable[Path], every: Iterable[Path]) -> list[dict[str, Any]]:
    """The intents in `paths` that no record in `every` log closes, in the order of their times."""
    found: dict[str, dict[str, Any]] = {}
    for path in paths:
        _scan(path, found, add=True)
    for path in every:
        if found:
            _scan(path, found, add=False)
    return sorted(found.values(), key=lambda intent: (_time(intent), intent["id"]))


def _scan(path: Path, found: dict[str, dict[str, Any]], *, add: bool) -> None:
    """Adds a log's intents to `found` and takes out those that its records close."""
    try:
        with path.open("rb") as lines:
            for line in lines:
                # A line is only parsed where its bytes may matter: a start must not wait for a long log.
                is_intent = add and _MARK in line
                if not is_intent and not (found and _names(line, found)):
                    continue
                record = _parsed(line)
                name = record.get("id")
                if not isinstance(name, str) or "seq" not in record:
                    continue
                if record.get("kind") == INTENT:
                    if add:
                        found[name] = record
                elif "outcome" in record:
                    found.pop(name, None)
    except OSError:
        return


def _names(line: bytes, ids: Container[str]) -> bool:
    """Whether the bytes of a line hold one of the ids as some `id`."""
    return any(name.decode("utf-8", "replace") in ids for name in _ID.findall(line))


def _parsed(line: bytes) -> dict[str, Any]:
    # The second reader takes what the first does not: lone surrogates.
    for read in (orjson.loads, json.loads):
        try:
            record = read(line)
        except (ValueError, RecursionError):
            continue
        return record if isinstance(record, dict) else {}
    return {}


def _time(intent: Mapping[str, Any]) -> float:
    at = intent.get("at")
    return float(at) if isinstance(at, int | float) else 0.0


def _header(path: Path) -> Mapping[str, Any]:
    try:
        return header_of(path)
    except OSError:
        return {}


def _followed(header: Mapping[str, Any]) -> object:
    follows = header.get("follows")
    return follows.get("log") if isinstance(follows, Mapping) else None


def _is_live(path: Path) -> bool:
    """Whether a process has the log; one that cannot be read is taken to be in use."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(fd)
