"""Reloads policies while the proxy runs: polls their folder, loads content that has stopped changing, and swaps it in.

In: a folder, a way to load it, looks (`step`) and orders (`now`). Out: `policies`, the set in force, which an exchange takes
once, when it begins; `errors`, what is wrong with what lies in the folder now. Kept: digests of the folder's content.

The content is read and compared at every look, because nothing else tells the truth everywhere: the kernel reports no change
that another machine made on a network file system, a watch on a file is lost when an editor puts a new one in its place, a
ConfigMap is swapped by a link three levels away, and times and sizes come from a cache or stay as they were. Opening and
reading a file is reliable on all of them.

Rules that must hold
- What is loaded is one state of the folder: it was the same at two looks, and still is when loading has ended.
- Loading runs in a thread; the swap is one assignment on the loop. A set that cannot be used changes nothing but `errors`.
- The same content is tried once, and again when somebody asks.
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
from guardproxy.policy import PolicyErrors, PolicySet
from guardproxy.server.status import Metrics

_log = logging.getLogger(__name__)
TRIES = 5  # loads of a folder that changes under them, before the next look has to do
LOGGED = 20  # errors of one reload; all of them are on the admin port

Load = Callable[[], PolicySet]
Result = TypeVar("Result")


def contents(folder: Path) -> str:
    """A digest of all that lies in a folder and below it, links followed; hidden names and what no policy can be left out.
    What cannot be read counts as it stands: that it cannot."""
    digest = hashlib.blake2b(digest_size=16)
    seen: set[tuple[int, int]] = set()
    waiting = [(folder, "")]
    while waiting:
        at, name = waiting.pop()
        try:
            about = at.stat()
            if stat.S_ISDIR(about.st_mode):
                if (about.st_dev, about.st_ino) not in seen:  # a link may lead back up
                    seen.add((about.st_dev, about.st_ino))
                    inside = sorted(one for one in os.listdir(at) if not one.startswith("."))
                    waiting += [(at / one, f"{name}/{one}") for one in reversed(inside)]
                continue
            what = _digest(at) if stat.S_ISREG(about.st_mode) else b""
        except OSError as error:
            what = f"{error.errno}".encode()
        for part in (os.fsencode(name), what):
            digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").digest()


@dataclass(frozen=True, slots=True)
class Loaded:
    """What loading has given: policies, or the error; and the digest of the content that it was loaded from."""

    policies: PolicySet | None
    error: GuardproxyError | None
    content: str


def at_rest(folder: Path, load: Load) -> Loaded:
    """Loads one state of the folder: one that was the same before and after."""
    for _ in range(TRIES):
        before = contents(folder)
        policies, error = _loaded(load)
        if contents(folder) == before:
            return Loaded(policies, error, before)
    return Loaded(None, PolicyError("the folder keeps changing while it is read", str(folder), 1, 1), before)


def _loaded(load: Load) -> tuple[PolicySet | None, GuardproxyError | None]:
    try:
        return load(), None
    except GuardproxyError as error:
        return None, error
    except Exception as error:  # a plug-in's or a model's; whatever it is, an old set stays in force
        _log.error("unexpected fault", extra={"error": type(error).__name__}, exc_info=error)
        return None, PolicyError(f"the policies could not be loaded: {type(error).__name__}: {error}")


class Reload:
    """The policies in force, and what keeps them so. Raises what `load` raises: there is no start without policies."""

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
        """Looks for ever. With 0 it only waits for `ask`."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._asked.wait(), every_s or None)
            asked = self._asked.is_set()
            self._asked.clear()
            try:
                await (self.now() if asked else self.step())
            except Exception as error:  # nobody would notice that a watch has died
                _log.error("unexpected fault", extra={"error": type(error).__name__}, exc_info=error)

    def ask(self) -> None:
        """Has the folder loaded soon, changed or not: for a signal."""
        self._asked.set()

    async def step(self) -> None:
        """One look. Loads what is new and was there at the last look too, so that nothing half written is taken."""
        found = await self._away(lambda: contents(self._folder))
        rests, self._seen = found == self._seen, found
        if rests and found != self._tried:
            await self.now()

    async def now(self) -> bool:
        """Loads the folder as it is. False, and `errors`, where it cannot be used; then the old set stays."""
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
        found = error if isinstance(error, PolicyError) else PolicyError(str(error))
        self.errors = found.errors if isinstance(found, PolicyErrors) else (found,)
        self._metrics.reload_failures.inc()
        self._metrics.reload_fine.set(0)
        for one in self.errors[:LOGGED]:
            where = {"file": one.path, "line": one.line, "column": one.column, "error": one.message}
            _log.error("policies not reloaded", extra={**where, "in_force": self.policies.digest})

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)


def identity(policies: PolicySet) -> tuple[str, tuple[str, ...]]:
    """What tells two sets apart: their files, and what their checks are made of (a model can change alone)."""
    return policies.digest, tuple(sorted(check.digest for check in policies.checks.values()))
