"""Proofs from a folder: every record and every older checkpoint, and why something cannot be proven."""

from __future__ import annotations

from pathlib import Path

import pytest

from guardproxy.audit.proof.checkpoint import TreeHead
from guardproxy.audit.proof.note import sign
from guardproxy.audit.proof.proofs import check
from guardproxy.audit.proof.prover import prove_consistency, prove_record
from guardproxy.errors import AuditError
from tests.kit.proof import KEY, SignedFolder, sample


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> SignedFolder:
    return sample(tmp_path_factory.mktemp("made") / "audit")


def test_every_record_is_proven(signed: SignedFolder) -> None:
    for exchange in ("a0", "a1", "a2", "a3", "a4", "a5", "b0", "b1"):
        proven = check(prove_record(signed.folder, exchange), [KEY.public])
        assert proven.members["id"] == exchange
        assert (proven.signed_by, proven.origin) == ("guard.example", signed.store.origin)


def test_every_checkpoint_is_continued(signed: SignedFolder) -> None:
    for number, note in enumerate(signed.notes, 1):
        proven = check(prove_consistency(signed.folder, note), [KEY.public])
        assert (proven.old_number, proven.number) == (number, 3)


def test_the_end_of_an_exchange_is_proven_rather_than_its_intent(tmp_path: Path) -> None:
    signed = SignedFolder(tmp_path)
    signed.write("a", [])
    entries = [("x", "intent"), ("x", "closing"), ("y", "intent"), ("z", "exchange")]
    # What judges and people say about an exchange is no part of it.
    entries += [(exchange, kind) for exchange in "zy" for kind in ("unsealed", "judged", "reviewed")]
    for exchange, kind in entries:
        signed.sinks["a"].append({"id": exchange, "kind": kind, "quoted": {"id": "w"}}).result(30)
    signed.sign()
    signed.close()
    kinds = {exchange: check(prove_record(tmp_path, exchange), [KEY.public]).members["kind"] for exchange in "xyz"}
    assert kinds == {"x": "closing", "y": "intent", "z": "exchange"}
    with pytest.raises(AuditError, match="no exchange `w`"):  # quoted by others
        prove_record(tmp_path, "w")


def test_what_cannot_be_proven(tmp_path: Path) -> None:
    signed = SignedFolder(tmp_path / "audit")
    signed.write("a", ["a0"])
    with pytest.raises(AuditError, match="the log is not signed"):
        prove_record(signed.folder, "a0")
    signed.sign()
    signed.write("a", ["a1"])
    signed.write("b", ["b0"])
    signed.close()
    with pytest.raises(AuditError, match=r"newer than the newest checkpoint, which covers 1 records of a\.jsonl"):
        prove_record(signed.folder, "a1")
    with pytest.raises(AuditError, match=r"which covers 0 records of b\.jsonl"):
        prove_record(signed.folder, "b0")
    with pytest.raises(AuditError, match="does not continue this one"):
        prove_consistency(signed.folder, sign(TreeHead("o", 1, bytes(32)).text, KEY))
    log = signed.folder / "a.jsonl"
    log.write_bytes(log.read_bytes().replace(b'"format"', b'"Format"'))
    with pytest.raises(AuditError, match=r"a\.jsonl is not what the checkpoint states"):
        prove_record(signed.folder, "a0")


def test_a_proof_says_what_it_states(signed: SignedFolder) -> None:
    first, last = (prove_record(signed.folder, name).statement for name in ("a0", "a5"))
    # Every record is proven by the newest checkpoint, which covers its log as it is by then.
    assert (first.number, first.line, first.signers) == (3, 1, ("guard.example",))
    assert (last.number, last.at) == (3, signed.at)
    assert last.line < last.size
