"""Verifies the checkpoints of a folder, and collects what they state about its logs.

In: a folder, public keys, copies of checkpoints from other places. Out: problems of the checkpoints, and the stated sizes and
roots of each log. Needs no secret and no server, and reads only.

- The newest checkpoint must be signed with a given key, and sign the list of checkpoints in the folder.
- Each copy must be signed with a given key, and sign a beginning of this list. A list that is shorter than a copy was
  rolled back or cut off; a list that differs was written anew.
- Lines of the list beyond the newest checkpoint are not signed; a crash may leave them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO

from guardproxy.audit.proof.checkpoint import CheckpointEntry, LogStates, TreeHead, read_checkpoint, read_header
from guardproxy.audit.proof.note import COSIGNS, PublicKey, SignedNote
from guardproxy.audit.proof.store import LIST, NOTE, read_note
from guardproxy.audit.proof.tree import Frontier, line_hash
from guardproxy.audit.record.chain import ChainHead, Code, Problem
from guardproxy.engine import AnyPath
from guardproxy.errors import AuditError

Copy = tuple[str, SignedNote]


@dataclass(slots=True)
class CheckpointReport:
    """The result of verifying the checkpoints of a folder. `number`: the newest checkpoint, counted from 1; 0: there is
    no checkpoint. `signed_by`: the name of the key that signed it; empty if no key was given or fits. `at`: its time.
    `witnessed`: the newest checkpoint that a given witness has cosigned. `states`: the latest statements about logs.
    `stated`: sizes and roots by the id of a log. `found`: the ranges of lines that were found, by the id
    of a log."""

    origin: str = ""
    number: int = 0
    signed_by: str = ""
    at: float = 0.0
    witnessed: int = 0
    copies: int = 0
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    states: LogStates = field(default_factory=LogStates)
    stated: defaultdict[str, list[tuple[int, bytes]]] = field(default_factory=lambda: defaultdict(list))
    found: defaultdict[str, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))

    def note(self, code: Code, message: str, line: int = 0) -> None:
        """Adds a problem."""
        self.problems.append(Problem(line, code, message))

    def take(self, entry: CheckpointEntry, number: int) -> None:
        """Takes a checkpoint of the list."""
        for log in entry.logs:
            before = self.states.last(log.log)
            if log.found:
                self.found[log.log].append((before.size if before is not None else 0, log.size))
            self.stated[log.log].append((log.size, bytes.fromhex(log.root)))
        try:
            self.states.take(entry, number)
        except AuditError as error:
            self.note("rewritten", str(error), number + 1)
        if entry.at < self.at:
            self.notes.append(f"checkpoint {number} has an earlier time than the one before it: the clock went back")
        self.number, self.at = number, entry.at

    def heads(self) -> list[tuple[str, str, tuple[str, ChainHead]]]:
        """Returns the latest statement about each log: a label, the file, and the id with the head."""
        return [
            (f"checkpoint {cover.number}", cover.log.file, (log, ChainHead(cover.log.size - 2, cover.log.hash)))
            for log, cover in self.states.covered.items()
        ]


def verify_checkpoints(
    folder: AnyPath, keys: Sequence[PublicKey] = (), copies: Sequence[Copy] = ()
) -> CheckpointReport | None:
    """Verifies the checkpoints of a folder. `keys`: the public keys of the operator and of witnesses; without a key no
    signature is checked. `copies`: checkpoints from other places. Returns `None` if there is no checkpoint and none is
    expected. Raises `OSError`."""
    signers = [key for key in keys if key.kind != COSIGNS]
    report = CheckpointReport()
    try:
        note = read_note(folder)
    except AuditError as error:
        report.note("signature", str(error))
        return report
    if note is None:
        if not keys and not copies and not (folder / LIST).exists():
            return None
        report.note("gone", f"{NOTE}: there is no checkpoint in the folder: it was removed, or the log is not signed")
        return report
    notes = [(NOTE, note), *copies]
    heads = [head for label, copy in notes if (head := _read_head(report, label, copy, signers)) is not None]
    # If the newest checkpoint cannot be trusted, there is nothing to compare the list with.
    if heads and heads[0][0] == NOTE:
        _read_list(report, folder, heads)
        report.signed_by = next((key.name for key in signers if note.is_signed_by(key)), "")
    report.copies = len(copies)
    _read_witnesses(report, notes, [key for key in keys if key.kind == COSIGNS])
    return report


def _read_head(
    report: CheckpointReport, label: str, note: SignedNote, signers: Sequence[PublicKey]
) -> tuple[str, TreeHead] | None:
    if signers and not any(note.is_signed_by(key) for key in signers):
        names = ", ".join(signature.name for signature in note.signatures)
        report.note("signature", f"{label}: signed by {names}, and not with the given key")
        return None
    try:
        return label, TreeHead.read(note.text)
    except AuditError as error:
        report.note("signature", f"{label}: {error}")
        return None


def _read_list(report: CheckpointReport, folder: AnyPath, heads: Sequence[tuple[str, TreeHead]]) -> None:
    """Reads the list of checkpoints and compares its beginnings with the signed ones."""
    newest = heads[0][1]
    wanted = defaultdict(list)
    for label, head in heads:
        wanted[head.size].append((label, head))
    path = folder / LIST
    frontier, unsigned = Frontier(), 0
    with path.open("rb") if path.exists() else BytesIO() as lines:
        for line in lines:
            if frontier.size >= newest.size or not line.endswith(b"\n"):
                unsigned += 1
                continue
            try:
                _take_line(report, line, frontier.size)
            except AuditError as error:
                report.note("altered", f"{LIST}: {error}", frontier.size + 1)
            frontier = frontier.extended([line_hash(line)])
            for label, head in wanted.pop(frontier.size, ()):
                if head.root != frontier.root or head.origin != report.origin:
                    report.note("rewritten", f"{LIST}: its first {head.size} lines are not those that {label} signs")
    for label, head in (copy for late in wanted.values() for copy in late):
        report.note(
            "cut", f"{LIST}: it has {frontier.size} lines, and {label} signs {head.size}: it was cut off or rolled back"
        )
    if unsigned:
        report.notes.append(f"{LIST}: {unsigned} lines after the newest checkpoint are not signed")


def _take_line(report: CheckpointReport, line: bytes, number: int) -> None:
    if number:
        report.take(read_checkpoint(line), number)
    else:
        report.origin = read_header(line).origin


def _read_witnesses(report: CheckpointReport, notes: Sequence[Copy], witnesses: Sequence[PublicKey]) -> None:
    for key in witnesses:
        sizes = []
        for _, note in notes:
            if note.cosigned_at(key) is not None:
                sizes.append(TreeHead.read(note.text).size)
        if not sizes:
            report.note("signature", f"no checkpoint has a cosignature of the witness `{key.name}`")
        report.witnessed = max(report.witnessed, max(sizes, default=1) - 1)
