"""Makes proofs from the files of a folder.

In: a folder with logs and checkpoints. Out: proofs. Needs no key. The cost is linear in the sizes of the logs up to the one
that holds the record, and in the list of checkpoints.
"""

from __future__ import annotations

from pathlib import Path

from guardproxy.audit.proof.checkpoint import CoveredLog, TreeHead, read_checkpoint
from guardproxy.audit.proof.folder import header_of, logs_of
from guardproxy.audit.proof.note import SignedNote
from guardproxy.audit.proof.proofs import PROOF_VERSION, ConsistencyProof, ListPath, LogPath, RecordProof
from guardproxy.audit.proof.store import LIST, read_note
from guardproxy.audit.proof.tree import consistency_proof, inclusion_proof, line_hash, root_of
from guardproxy.audit.record.chain import open_line
from guardproxy.audit.record.document import Closing, Intent, Record
from guardproxy.errors import AuditError

_INTENT = Intent.__struct_config__.tag
# Records of version 1 have no kind.
_ENDS = (Record.__struct_config__.tag, Closing.__struct_config__.tag, None)


def prove_record(folder: Path, exchange: str) -> RecordProof:
    """Returns the proof of the record of an exchange: of its end if it has one, otherwise of its intent. Raises
    `AuditError` and `OSError`."""
    note, listed = _list_of(folder)
    path, index, line = _find(folder, exchange)
    log = header_of(path).get("log")
    place, covered = _latest(listed, log)
    if covered is None or index >= covered.size:
        raise AuditError(
            f"the exchange {exchange} is newer than the newest checkpoint, which covers "
            f"{covered.size - 1 if covered else 0} records of {path.name}. Try again after the next checkpoint"
        )
    with path.open("rb") as lines:
        hashes = [line_hash(found) for _, found in zip(range(covered.size), lines, strict=False)]
    if len(hashes) != covered.size or root_of(hashes).hex() != covered.root:
        raise AuditError(f"{path.name} is not what the checkpoint states; see `guardproxy audit verify`")
    list_hashes = list(map(line_hash, listed))
    return RecordProof(
        v=PROOF_VERSION,
        line=line.removesuffix(b"\n").decode(),
        record=LogPath(log=covered.log, index=index, path=_hex(inclusion_proof(hashes, index))),
        entry=listed[place].removesuffix(b"\n").decode(),
        listed=ListPath(index=place, path=_hex(inclusion_proof(list_hashes, place))),
        checkpoint=note.data.decode(),
    )


def prove_consistency(folder: Path, old: SignedNote) -> ConsistencyProof:
    """Returns the proof that the newest checkpoint of the folder continues an older one. Raises `AuditError` if it does
    not, and `OSError`."""
    note, listed = _list_of(folder)
    head = TreeHead.read(old.text)
    hashes = list(map(line_hash, listed))
    if not 0 < head.size <= len(hashes) or root_of(hashes[: head.size]) != head.root:
        raise AuditError(
            "the newest checkpoint of the folder does not continue this one: see `guardproxy audit verify`"
        )
    return ConsistencyProof(
        v=PROOF_VERSION,
        old=old.data.decode(),
        new=note.data.decode(),
        path=_hex(consistency_proof(hashes, head.size)),
    )


def _list_of(folder: Path) -> tuple[SignedNote, list[bytes]]:
    note = read_note(folder)
    if note is None:
        raise AuditError(f"{folder}: no checkpoint: the log is not signed (see `serve --audit-key`)")
    size = TreeHead.read(note.text).size
    with (folder / LIST).open("rb") as lines:
        return note, [line for _, line in zip(range(size), lines, strict=False)]


def _find(folder: Path, exchange: str) -> tuple[Path, int, bytes]:
    """Returns the log, the line counted from 0, and the line of the last entry that ends an exchange; or of its intent. What
    judges and people say about an exchange later names it too, and is no part of it."""
    # A line without these bytes need not be parsed.
    wanted = f'"id":"{exchange}"'.encode()
    intent: tuple[Path, int, bytes] | None = None
    ended: tuple[Path, int, bytes] | None = None
    for path in logs_of(folder):
        with path.open("rb") as lines:
            for index, line in enumerate(lines):
                if wanted not in line:
                    continue
                members = open_line(line) or {}
                if members.get("id") == exchange and "seq" in members:
                    if members.get("kind") == _INTENT:
                        intent = path, index, line
                    elif members.get("kind") in _ENDS:
                        ended = path, index, line
    if (found := ended or intent) is None:
        raise AuditError(f"no exchange `{exchange}` in {folder}")
    return found


def _latest(listed: list[bytes], log: object) -> tuple[int, CoveredLog | None]:
    """Returns the last line of the list that names a log, and its statement."""
    for place in range(len(listed) - 1, 0, -1):
        for covered in read_checkpoint(listed[place]).logs:
            if covered.log == log:
                return place, covered
    return 0, None


def _hex(hashes: list[bytes]) -> tuple[str, ...]:
    return tuple(step.hex() for step in hashes)
