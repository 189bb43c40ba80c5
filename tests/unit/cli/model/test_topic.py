"""`guardproxy model topic`: what it prints, and its exit codes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from guardproxy.cli import app
from guardproxy.inference import Models, embedding
from tests.kit.topics import BILLING, PARCELS, WordEmbedder, ordinary

ODD = ["boats in the harbour", "rusty clockwork", "strong coffee"]


@pytest.fixture(autouse=True)
def model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A model of words in the place of the one that ships."""
    monkeypatch.setattr(Models, "embedder", lambda self, name: WordEmbedder())
    monkeypatch.setattr(Models, "background", lambda self, name: WordEmbedder().embed(ordinary()))
    monkeypatch.setattr(embedding, "background_texts", lambda folder: ordinary())
    monkeypatch.setattr("guardproxy.inference.find", lambda name: tmp_path)


def policy(folder: Path, *topics: Mapping[str, object], way: str = "deny") -> str:
    path = folder / "shop.yaml"
    rules = [{"id": "stay", "on": "user", "when": "about", "action": "block"}]
    checks = {"about": {"use": "topic", way: topics}, "words": {"use": "pattern", "words": ["x"]}}
    path.write_text(json.dumps({"policy": "shop", "description": "d", "checks": checks, "rules": rules}))
    return str(path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["model", "topic", *arguments], catch_exceptions=False)


def test_it_prints_thresholds_and_what_is_near_them(tmp_path: Path) -> None:
    result = run(policy(tmp_path, BILLING, PARCELS | {"threshold": 0.5}))
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "shop: about (deny)"
    assert lines[1].split()[:2] == ["topic", "threshold"]
    assert lines[2].split()[2] == "none"
    assert lines[3].split()[2] == "0.5"
    assert "other texts that are nearest to billing:" in lines
    assert lines[-3] == "for the policy:"
    assert lines[-2].startswith("  billing: {threshold: 0.")


def test_json_and_texts_of_your_own(tmp_path: Path) -> None:
    own = tmp_path / "own.jsonl"
    own.write_text("".join(json.dumps({"said": f"the invoice of boat {at}"}) + "\n" for at in range(40)))
    name = policy(tmp_path, BILLING, way="allow")
    plain, with_own = (
        json.loads(run(name, "--json", *more).stdout) for more in ([], ["--others", str(own), "--text-key", "said"])
    )
    assert [(entry["policy"], entry["check"], entry["way"]) for entry in plain] == [("shop", "about", "allow")]
    assert with_own[0]["topics"][0]["threshold"] > plain[0]["topics"][0]["threshold"]


def test_a_topic_that_does_not_find_its_examples_exits_with_1(tmp_path: Path) -> None:
    result = run(policy(tmp_path, BILLING | {"examples": ODD}))
    assert result.exit_code == 1
    assert "examples of billing near the line:" in result.stdout
    assert "missed" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--check", "other"], "there is no check `other` with `use: topic`"),
        (["--check", "words"], "there is no check `words` with `use: topic`"),
        (["--share", "x"], "--share is a share of other texts"),
        (["--others", "nowhere.jsonl"], "nowhere.jsonl cannot be read"),
    ],
)
def test_wrong_use(tmp_path: Path, arguments: list[str], message: str) -> None:
    result = run(policy(tmp_path, BILLING), *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_policy_without_topics_and_one_that_cannot_be_used(tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text("policy: other\ndescription: d\nchecks: {w: {use: pattern, words: [x]}}\nrules: []\n")
    assert run(str(other)).exit_code == 2
    result = run(policy(tmp_path, BILLING | {"examples": ["one"]}))
    assert result.exit_code == 2
    assert "3 to 20 different texts" in result.stderr
