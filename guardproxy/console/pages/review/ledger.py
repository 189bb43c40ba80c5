"""What reviewers said, followed in the log of what people do.

In: the folder of a log. Out: the newest verdict of each person. Kept: all verdicts, and how far each file was read. Any
thread may use it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import RLock

from guardproxy.audit import Reviewed, read_entry
from guardproxy.errors import RecordError
from guardproxy.reading import GivenVerdict, add_verdict

FILES = "operator*.jsonl"
_MARK = b'"reviewed"'  # of the lines that are read
Subject = tuple[str, str, str]


class ReviewLedger:
    """The verdicts of a log; of none without a folder. `version` grows with each change."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._lock = RLock()
        self._read: dict[tuple[str, int], int] = {}
        self._given: dict[Subject, dict[str, GivenVerdict]] = {}
        self._of_exchange: dict[str, set[Subject]] = {}
        self._made: tuple[int, list[tuple[Subject, Mapping[str, GivenVerdict]]]] | None = None
        self.version = 0

    def follow(self) -> None:
        """Reads what is new in the log. A file that cannot be read is left for the next time."""
        if self._folder is None:
            return
        with self._lock:
            for path in sorted(self._folder.glob(FILES)):
                try:
                    self._follow(path)
                except OSError:
                    continue

    def _follow(self, path: Path) -> None:
        status = path.stat()
        # By inode too: a file that was replaced under its name is read from its start.
        key = path.name, status.st_ino
        at = self._read.get(key, 0)
        if status.st_size <= at:
            return
        with path.open("rb") as lines:
            lines.seek(at)
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                at += len(line)
                if _MARK in line:
                    self._take(line)
        self._read[key] = at

    def _take(self, line: bytes) -> None:
        try:
            entry = read_entry(line)
        except RecordError:
            return
        if isinstance(entry, Reviewed):
            self.add(entry)

    def add(self, entry: Reviewed) -> None:
        """Takes an entry that was just written, before the log is read again."""
        with self._lock:
            add_verdict(self._given, entry)
            subject = entry.id, entry.policy or "", entry.rule or ""
            self._of_exchange.setdefault(entry.id, set()).add(subject)
            self.version += 1

    def given(self, exchange: str, rule: str) -> dict[str, GivenVerdict]:
        """Returns the verdicts about a rule in an exchange, by person, of whatever policy the rule is."""
        with self._lock:
            subjects = [subject for subject in self._of_exchange.get(exchange, ()) if subject[2] == rule]
            every = [pair for subject in sorted(subjects) for pair in self._given[subject].items()]
        return _standing(dict(every))

    def verdicts(self) -> Sequence[tuple[Subject, Mapping[str, GivenVerdict]]]:
        """Returns all verdicts that were not taken back. They are made once for each change."""
        with self._lock:
            if self._made is None or self._made[0] != self.version:
                kept = ((subject, _standing(given)) for subject, given in self._given.items())
                self._made = self.version, [(subject, given) for subject, given in kept if given]
            return self._made[1]


def _standing(given: Mapping[str, GivenVerdict]) -> dict[str, GivenVerdict]:
    """Returns the verdicts that were not taken back."""
    return {by: said for by, said in given.items() if said.verdict != "withdrawn"}
