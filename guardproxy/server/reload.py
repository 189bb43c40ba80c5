"""Reloads policies while the proxy runs: polls their folder, loads content that has stopped changing, and swaps it in.

In: a folder, a function that loads it, polls (`step`) and orders (`now`). Out: `policies`, the set in force, which an
exchange takes once, when it begins; `errors`, the errors of the current content. Kept: digests of the content of the folder.

Every poll reads and compares the content, because no other method works everywhere. The kernel does not report changes that
another machine makes on a network file system. A watch on a file is lost when an editor replaces the file. A ConfigMap is
swapped by a link three levels away. Times and sizes come from a cache or do not change. Reading the files is reliable in all
these cases.

Rules that must hold
- A load takes a single state of the folder: two polls saw the same content, and it is still the same when loading ends.
- Loading runs in a thread; the swap is an assignment on the loop. A set with errors changes only `errors`.
- The same content is tried once, and again on request.

Decision: docs/decisions/0026-the-policies-folder-is-polled.md
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import stat
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from guardproxy.errors import GuardproxyError, PolicyError
from guardproxy.policy import PolicySet
from guardproxy.policy.file import PolicyErrors
from guardproxy.server.observing.metrics import Metrics

_log = logging.getLogger(__name__)
TRIES = 5  # loads of a folder that keeps changing, before the next poll tries again
LOGGED = 20  # errors that are logged for a reload; the admin port shows all

Load = Callable[[], PolicySet]
Result = TypeVar("Result")


def contents(folder: Path) -> str:
    """A digest of all files in a folder and below it, following links. Hidden names and special files are left out. A file
    that cannot be read counts with its error."""
    digest = hashlib.blake2b(digest_size=16)
    visited: set[tuple[int, int]] = set()
    waiting = [(folder, "")]
    while waiting:
        at, name = waiting.pop()
        try:
            about = at.stat()
            if stat.S_ISDIR(about.st_mode):
                if (about.st_dev, about.st_ino) not in visited:  # a link may lead back up
                    visited.add((about.st_dev, about.st_ino))
                    children = sorted(child for child in os.listdir(at) if not child.startswith("."))
                    waiting += [(at / child, f"{name}/{child}") for child in reversed(children)]
                continue
            what = _digest(at) if stat.S_ISREG(about.st_mode) else b""
        except OSError as error:
            what = f"{error.errno}".encode()
        # With its length before each part, the same bytes cannot be another name and another content.
        for part in (os.fsencode(name), what):
            digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").digest()


@dataclass(frozen=True, slots=True)
class LoadResult:
    """The result of loading: the policies or the error, and the digest of the loaded content."""

    policies: PolicySet | None
    error: GuardproxyError | None
    content: str


def at_rest(folder: Path, load: Load) -> LoadResult:
    """Loads a state of the folder that is the same before and after loading."""
    for _ in range(TRIES):
        before = contents(folder)
        policies, error = _loaded(load)
        if contents(folder) == before:
            return LoadResult(policies, error, before)
    return LoadResult(None, PolicyError("the folder keeps changing while it is read", str(folder), 1, 1), before)


def _loaded(load: Load) -> tuple[PolicySet | None, GuardproxyError | None]:
    try:
        return load(), None
    except GuardproxyError as error:
        return None, error
    except Exception as error:  # a plug-in or a model may raise any error; the old set stays in force
        _log.error("unexpected fault", extra={"error": type(error).__name__}, exc_info=error)
        return None, PolicyError(f"the policies could not be loaded: {type(error).__name__}: {error}")


class Reload:
    """Holds the policies in force and reloads them. Raises what `load` raises, because a start needs policies."""

    def __init__(self, folder: Path, load: Load, metrics: Metrics) -> None:
        self._folder = folder
        self._load = load
        self._metrics = metrics
        self.errors: tuple[PolicyError, ...] = ()
        first = at_rest(folder, load)
        if first.policies is None:
            raise first.error or PolicyError("no policies")
        self.policies = first.policies
        self._tried = self._seen = first.content
        self._asked = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, "reload")
        self._in_force()

    async def run(self, every_s: float) -> None:
        """Polls for ever, every `every_s` seconds. With 0 it only waits for `ask`."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._asked.wait(), every_s or None)
            is_asked = self._asked.is_set()
            self._asked.clear()
            try:
                await (self.now() if is_asked else self.step())
            except Exception as error:  # otherwise polling would stop unnoticed
                _log.error("unexpected fault", extra={"error": type(error).__name__}, exc_info=error)

    def ask(self) -> None:
        """Requests a load of the folder, changed or not. A signal calls it."""
        self._asked.set()

    async def step(self) -> None:
        """Polls once. Loads content that is new and was the same at the last poll, so that no half-written file is loaded."""
        content = await self._away(lambda: contents(self._folder))
        is_at_rest, self._seen = content == self._seen, content
        if is_at_rest and content != self._tried:
            await self.now()

    async def now(self) -> bool:
        """Loads the folder now. If the set has errors, sets `errors`, keeps the old set and returns false."""
        async with self._one_at_a_time:
            loaded = await self._away(lambda: at_rest(self._folder, self._load))
            self._tried = loaded.content
            if loaded.policies is None:
                self._refuse(loaded.error)
            else:
                self._swap(loaded.policies)
            return not self.errors

    async def _away(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _swap(self, policies: PolicySet) -> None:
        old, self.policies, self.errors = self.policies, policies, ()
        self._in_force()
        if identity(old) != identity(policies):
            self._metrics.reloads.inc()
            _log.info("policies reloaded", extra={"policies": policies.digest, "before": old.digest})

    def _in_force(self) -> None:
        self._metrics.policies.clear()
        self._metrics.policies.labels(self.policies.digest).set(1)
        self._metrics.reloaded_at.set(time.time())
        self._metrics.reload_fine.set(1)

    def _refuse(self, error: GuardproxyError | None) -> None:
        policy_error = error if isinstance(error, PolicyError) else PolicyError(str(error))
        self.errors = policy_error.errors if isinstance(policy_error, PolicyErrors) else (policy_error,)
        self._metrics.reload_failures.inc()
        self._metrics.reload_fine.set(0)
        for logged in self.errors[:LOGGED]:
            where = {"file": logged.path, "line": logged.line, "column": logged.column, "error": logged.message}
            _log.error("policies not reloaded", extra={**where, "in_force": self.policies.digest})

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)


def identity(policies: PolicySet) -> tuple[str, tuple[str, ...]]:
    """The identity of a set: the digest of its files and those of its checks (a model can change alone)."""
    return policies.digest, tuple(sorted(check.digest for check in policies.checks.values()))
