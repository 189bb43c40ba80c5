"""Makes checkpoints of the logs of a process: at the start, every few seconds also when idle, and at the end.

In: the store of checkpoints, the states of the process's log. Out: signed checkpoints in the folder, and copies in other
places. Kept: a thread, the fault of the last attempt.

A checkpoint that cannot be signed or written stops no traffic: the records are durable, and a later checkpoint covers
them. `fault` names the reason. A copy that fails does not prevent the other copies.

At the start the first checkpoint also covers logs that no checkpoint covers yet: in a folder without checkpoints every
log, otherwise the logs of this process's name. Their lines are marked as `found`.

Logs that have not grown for `retain_s` seconds are removed: first a signed checkpoint names them, then the files go. Files
that a crash or an error leaves go later.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event, Thread

import msgspec

from guardproxy.audit.proof.checkpoint import CoveredLog, RemovedLog
from guardproxy.audit.proof.copies import Copies
from guardproxy.audit.proof.folder import header_of
from guardproxy.audit.proof.inventory import CommandLogs, found_states, hash_of
from guardproxy.audit.proof.note import PublicKey, Signer
from guardproxy.audit.proof.store import CheckpointStore
from guardproxy.audit.storage.disk import folder_lock, is_held, reason
from guardproxy.audit.storage.ending import last_line
from guardproxy.errors import AuditError

_FILES = (".head", ".torn", ".jsonl")  # the log last: a crash must not leave its head without it
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Signing:
    """How a process signs its log. `every_s`: seconds between two checkpoints. `copies`: where they are copied to.
    `headers`: for copies over HTTP, `HOST=NAME=SOURCE`. `former`: keys that signed before. `retain_s`: the age in seconds at
    which a log is removed; 0: never."""

    signer: Signer
    every_s: float = 10.0
    copies: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    former: tuple[PublicKey, ...] = ()
    retain_s: float = 0.0


class Checkpointer:
    """Makes checkpoints in a thread. `name`: the name of the process's log. `states`: returns the states of its files,
    from any thread. Raises `AuditError` if the first checkpoint cannot be made, and `ConfigError` for a wrong place of
    copies."""

    def __init__(
        self,
        store: CheckpointStore,
        name: str,
        signing: Signing,
        states: Callable[[], Sequence[CoveredLog]],
    ) -> None:
        self._store = store
        self._signing = signing
        self._copies = Copies.open(signing.copies, signing.headers)
        self._states = states
        self._commands = CommandLogs(store.folder)
        self._ended = Event()
        self._named = [*store.states.removed.values()]  # logs whose files are to go
        self.at = 0.0
        self.fault = ""
        pattern = "*.jsonl" if store.size == 0 else f"{name}*.jsonl"
        found = found_states(store.folder, pattern, store.states)
        # Before the thread begins, so that a process that cannot sign does not start to serve.
        self._report(self._checkpoint([*map(self._begun, states()), *found]))
        self._thread = Thread(target=self._run, name=f"checkpoints-{name}", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Makes a checkpoint and its copies, and removes old logs while the process runs. `fault` tells what failed."""
        try:
            failures = [self._checkpoint(self._states())]
            if self._signing.retain_s and not self._ended.is_set():
                failures += self._remove_old()
            fault = "; ".join(filter(None, failures))
        except Exception as error:
            fault = f"no checkpoint can be made: {reason(error)}"
        self._report(fault)

    def _report(self, fault: str) -> None:
        # A fault that lasts is logged once.
        if fault and fault != self.fault:
            _log.error(fault)
        self.fault = fault

    def close(self) -> None:
        """Makes the last checkpoint and ends the thread. May be called again."""
        if not self._ended.is_set():
            self._ended.set()
            self._thread.join()
            self.check()

    def _run(self) -> None:
        while not self._ended.wait(self._signing.every_s):
            self.check()

    def _checkpoint(self, states: Sequence[CoveredLog], removed: Sequence[RemovedLog] = ()) -> str:
        """Makes a checkpoint of these logs and of those of commands, and copies it. Returns why a copy failed. Raises
        `AuditError`."""
        at = time.time()
        note = self._store.write([*states, *self._of_commands()], at, removed)
        self.at = at
        return "; ".join(self._copies.send(note))

    def _of_commands(self) -> list[CoveredLog]:
        try:
            return self._commands.states()
        except OSError as error:
            raise AuditError(f"{self._store.folder}: {reason(error)}") from None

    def _begun(self, state: CoveredLog) -> CoveredLog:
        """Marks lines that were in the file before this process opened it and that no checkpoint covers."""
        known = self._store.states.last(state.log)
        return msgspec.structs.replace(state, found=state.size > (known.size if known is not None else 1))

    def _remove_old(self) -> list[str]:
        """Removes old logs, and what is left of logs that were named before. Returns what failed. Raises `AuditError` and
        `OSError`."""
        before = time.time() - self._signing.retain_s
        aged = [coverage.log for coverage in self._store.states.covered.values() if coverage.at < before]
        with folder_lock(self._store.folder):
            named = [_removed(log, self._signing.retain_s) for log in aged if self._is_removable(log)]
        # A checkpoint names the logs before their files go. A crash in between leaves files that should be gone, which the
        # next start removes; the other way round, verification would report lost logs.
        if named:
            self._checkpoint(self._states(), named)
            self._named += named
        failures: list[str] = []
        with folder_lock(self._store.folder):
            self._named = [log for log in self._named if not self._is_gone(log, failures)]
        return failures

    def _is_removable(self, log: CoveredLog) -> bool:
        path = self._store.folder / log.file
        # The name alone says little: another log may have taken it.
        return path.exists() and not is_held(path) and header_of(path).get("log") == log.log

    def _is_gone(self, log: RemovedLog, failures: list[str]) -> bool:
        """Removes the files of a log that a checkpoint names, unless it has grown since. Returns whether nothing is left to
        do."""
        path = self._store.folder / log.file
        if not path.exists():
            return True
        try:
            if is_held(path):
                return False
            # The file has grown or was replaced, and what no checkpoint names is not removed.
            if hash_of(last_line(path)) != log.hash:
                return True
            for suffix in _FILES:
                path.with_suffix(suffix).unlink(missing_ok=True)
        except OSError as error:
            failures.append(f"the old log {log.file} cannot be removed: {reason(error)}")
            return False
        _log.info("an old audit log was removed: %s", path)
        return True


def _removed(log: CoveredLog, retain_s: float) -> RemovedLog:
    why = f"not grown for {retain_s:g} s"
    return RemovedLog(file=log.file, log=log.log, size=log.size, root=log.root, hash=log.hash, why=why)
