"""What workers are sent of policies: where they are and what they must be."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from guardproxy.batch.policies import SharedPolicies
from guardproxy.errors import ConfigError

POLICY = "policy: p\nchecks: {{word: {{use: {use}}}}}\nrules: [{{id: word, when: word, action: flag}}]\n"


def folder(path: Path, use: str) -> Path:
    path.mkdir(exist_ok=True)
    (path / "p.yaml").write_text(POLICY.format(use=use))
    return path


def test_policies_are_loaded_again_by_a_worker(tmp_path: Path) -> None:
    shared = SharedPolicies(folder(tmp_path / "p", "pattern, words: [plain]"))
    data = pickle.dumps(shared)
    again = pickle.loads(data)
    assert again.load().digest == shared.load().digest
    assert again.load() is again.load()
    assert not again.use_models
    folder(tmp_path / "p", "pattern, words: [other]")
    with pytest.raises(ConfigError, match="differ on a worker"):
        pickle.loads(data).load()


@pytest.mark.heavy
def test_a_supervisor_is_a_model(tmp_path: Path) -> None:
    assert SharedPolicies(folder(tmp_path / "p", "supervisor, label: injection, threshold: 1%")).use_models
