"""A proof is checked with a public key alone, and every change of it is found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.audit.proof.proofs import check, compare_receipt, read_proof
from guardproxy.audit.proof.prover import prove_consistency, prove_record
from guardproxy.audit.proof.store import CheckpointStore
from guardproxy.errors import AuditError
from tests.kit.proof import KEY, OTHER, SignedFolder, sample


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> SignedFolder:
    return sample(tmp_path_factory.mktemp("made") / "audit")


def encoded(proof: object) -> bytes:
    return msgspec.json.encode(proof)


def holds(data: bytes) -> bool:
    try:
        check(read_proof(data), [KEY.public])
    except AuditError:
        return False
    return True


@given(st.data())
def test_any_changed_byte_of_a_proof_is_found(signed: SignedFolder, data: st.DataObject) -> None:
    whole = encoded(prove_record(signed.folder, data.draw(st.sampled_from(["a0", "a2", "b1"]))))
    at = data.draw(st.integers(0, len(whole) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != whole[at]))
    changed = whole[:at] + bytes([byte]) + whole[at + 1 :]
    assert holds(whole)
    assert not holds(changed) or json.loads(changed) == json.loads(whole)


@given(st.integers(0, 1), st.data())
def test_any_changed_byte_of_a_consistency_proof_is_found(
    signed: SignedFolder, number: int, data: st.DataObject
) -> None:
    whole = encoded(prove_consistency(signed.folder, signed.notes[number]))
    at = data.draw(st.integers(0, len(whole) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != whole[at]))
    changed = whole[:at] + bytes([byte]) + whole[at + 1 :]
    assert holds(whole)
    assert not holds(changed) or json.loads(changed) == json.loads(whole)


def changed_proof(signed: SignedFolder, change: Any) -> bytes:
    proof = msgspec.to_builtins(prove_record(signed.folder, "a0"))
    change(proof)
    return encoded(proof)


def set_line(proof: Any) -> None:
    proof["line"] = proof["line"].replace('"exchange"', '"Exchange"')


def set_entry(proof: Any) -> None:
    proof["entry"] = proof["entry"].replace('"at":', '"at":1')


def set_log(proof: Any) -> None:
    proof["record"]["log"] = "another"


def set_note(proof: Any) -> None:
    proof["checkpoint"] = "junk"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_line, "it was changed"),
        (set_entry, "does not cover the line"),
        (set_log, "does not name the log"),
        (set_note, "not a signed note"),
    ],
)
def test_a_false_proof_says_why(signed: SignedFolder, change: Any, message: str) -> None:
    with pytest.raises(AuditError, match=message):
        check(read_proof(changed_proof(signed, change)), [KEY.public])


def test_a_header_is_no_record(signed: SignedFolder) -> None:
    proof = msgspec.to_builtins(prove_record(signed.folder, "b0"))
    lines = (signed.folder / "b.jsonl").read_text().splitlines()
    # The other entry of the pair at the bottom of the tree: its path begins with the hash of the record.
    from guardproxy.audit.proof.tree import inclusion_proof, line_hash

    size = next(log["size"] for log in json.loads(proof["entry"])["logs"] if log["log"] == "log-of-b")
    path = inclusion_proof([line_hash(line.encode()) for line in lines[:size]], 0)
    proof |= {"line": lines[0], "record": {"log": "log-of-b", "index": 0, "path": [step.hex() for step in path]}}
    with pytest.raises(AuditError, match="not a record"):
        check(read_proof(encoded(proof)), [KEY.public])


def test_a_wrong_key(signed: SignedFolder) -> None:
    proof = prove_record(signed.folder, "a0")
    with pytest.raises(AuditError, match=r"signed by guard\.example, and not with the given key"):
        check(proof, [OTHER.public])
    assert check(proof, [OTHER.public, KEY.public]).signed_by == "guard.example"


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b'{"proof":"record"}', b"[" * 100_000, b'{"proof":"x","v":1}', b'"\xff"']
)
def test_what_is_no_proof(data: bytes) -> None:
    with pytest.raises(AuditError, match="not a proof"):
        read_proof(data)


def test_half_a_surrogate_pair_is_no_record(signed: SignedFolder) -> None:
    data = encoded(prove_record(signed.folder, "a0")).replace(b'"line":"', b'"line":"\\ud800')
    assert not holds(data)


def test_a_proof_of_another_version(signed: SignedFolder) -> None:
    proof = msgspec.to_builtins(prove_record(signed.folder, "a0")) | {"v": 2}
    with pytest.raises(AuditError, match="the proof has version 2"):
        read_proof(encoded(proof))


def test_checkpoints_of_different_logs_or_histories(signed: SignedFolder, tmp_path: Path) -> None:
    other = CheckpointStore(tmp_path / "other", KEY).write([], 1.0)
    proof = msgspec.to_builtins(prove_consistency(signed.folder, signed.notes[0]))
    with pytest.raises(AuditError, match="of different logs"):
        check(read_proof(encoded(proof | {"old": other.data.decode()})), [KEY.public])
    with pytest.raises(AuditError, match="rolled back"):
        check(read_proof(encoded(proof | {"path": ["ab" * 32 for _ in proof["path"]]})), [KEY.public])


RECEIPT = 'id="x1", policies="sha256:00", outcome=answered, decision=redact, request=(user metadata);texts=2;edits=1'
RECORD = {"id": "x1", "policies": "sha256:00", "outcome": "answered"}


def test_a_receipt_is_compared_with_the_record() -> None:
    assert compare_receipt(RECEIPT, RECORD) == []
    assert compare_receipt(RECEIPT + ", attempts=2", RECORD | {"attempts": [{}, {}]}) == []
    assert compare_receipt(RECEIPT.replace(", outcome=answered", "") + ", partial", RECORD) == []
    assert compare_receipt(RECEIPT, RECORD | {"outcome": "refused"}) == [
        "the receipt says outcome answered, and the record refused"
    ]
    assert len(compare_receipt(RECEIPT + ", attempts=2", {"id": "x2", "policies": "p"})) == 4
    assert compare_receipt("junk", RECORD) == ["it is not a receipt: it has no id"]
