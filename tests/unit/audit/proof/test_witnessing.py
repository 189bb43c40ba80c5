"""A witness cosigns what continues its last checkpoint, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from guardproxy.audit.proof.note import PrivateKey
from guardproxy.audit.proof.prover import prove_consistency
from guardproxy.audit.proof.store import CheckpointStore
from guardproxy.audit.proof.witnessing import witness
from guardproxy.errors import AuditError
from tests.kit.proof import KEY, OTHER

OWN = PrivateKey.new("witness.example", is_witness=True)


def test_a_witness_follows_a_log(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "audit", KEY)
    notes = [store.write([], float(at)) for at in range(3)]
    last = witness(notes[0], KEY.public, OWN, 7, None, None)
    assert last.cosigned_at(OWN.public) == 7
    assert witness(notes[0], KEY.public, OWN, 8, last, None).cosigned_at(OWN.public) == 8
    proof = prove_consistency(tmp_path / "audit", notes[0])
    assert witness(notes[2], KEY.public, OWN, 9, last, proof).cosigned_at(OWN.public) == 9
    with pytest.raises(AuditError, match="give the proof"):
        witness(notes[2], KEY.public, OWN, 9, last, None)
    with pytest.raises(AuditError, match="about other checkpoints"):
        witness(notes[1], KEY.public, OWN, 9, last, proof)
    with pytest.raises(AuditError, match="not with the given key"):
        witness(notes[0], OTHER.public, OWN, 9, None, None)
    other = CheckpointStore(tmp_path / "other", KEY).write([], 1.0)
    with pytest.raises(AuditError, match="of another log"):
        witness(other, KEY.public, OWN, 9, last, None)
