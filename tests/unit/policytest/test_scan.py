"""Texts through the policies without a server: what is printed is what the proxy would do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from guardproxy import library
from guardproxy.checks._shared.declared.contract import Resources, build
from guardproxy.errors import ConfigError, PolicyError
from guardproxy.findings import QUICK, Channel, Direction, Finding
from guardproxy.inference.models import Models
from guardproxy.library import JUDGES, all_but, folder_of, load, loader, read_policies, shipped_names, using
from guardproxy.policytest import kinds_of
from guardproxy.policytest.scan import Result, findings_of, scan_text
from guardproxy.wire import codecs
from tests.kit.play import policy_set

POLICY = r"""
policy: test
match: {models: [never]}
checks:
  mail: {use: pattern, label: MAIL, patterns: ["[a-z]+@[a-z]+\\.io"]}
  bad:  {use: pattern, label: BAD, words: [forbidden]}
  seen: {use: pattern, label: SEEN, words: [look]}
rules:
  - {id: mail, when: mail, action: redact}
  - {id: bad, when: bad, action: block}
  - {id: seen, when: seen, action: flag}
  - {id: quiet, when: seen, action: block, mode: shadow}
"""
OPEN = POLICY.replace("match: {models: [never]}\n", "")


MAILS = "policy: {0}\nchecks: {{mail: {{use: pii, entities: [EMAIL_ADDRESS], allow: [{1}]}}}}\n" + (
    "rules: [{{id: {0}, when: mail, action: redact}}]\n"
)


@pytest.mark.parametrize("direction", ["request", "response"])
def test_a_value_passes_where_all_policies_allow_it(direction: Any) -> None:
    """Each policy finds what it does not allow, whatever another one allows."""
    it = policy_set(MAILS.format("one", "a@x.example, b@x.example"), MAILS.format("two", "b@x.example, c@x.example"))
    rules = {
        text: scan_text(it, f"to {text}", direction).rules for text in ("a@x.example", "b@x.example", "c@x.example")
    }
    assert rules == {"a@x.example": ("two",), "b@x.example": (), "c@x.example": ("one",)}


def placeholder(result: Result) -> str:
    return result.text[result.text.index("[") : result.text.index("]") + 1]


@pytest.mark.parametrize("direction", ["request", "response"])
def test_what_becomes_of_a_text(direction: Any) -> None:
    it = policy_set(OPEN)
    assert scan_text(it, "plain", direction) == Result("pass", (), (), "plain")
    assert scan_text(it, "", direction) == Result("pass", (), (), "")
    assert scan_text(it, "look", direction) == Result("flag", ("seen",), (Finding(0, 4, "seen", "SEEN", 1.0),), "look")
    blocked = scan_text(it, "a forbidden b jo@ab.io", direction)
    assert (blocked.decision, blocked.text) == ("block", "")
    assert "bad" in blocked.rules
    redacted = scan_text(it, "to jo@ab.io!", direction)
    assert (redacted.decision, redacted.rules) == ("redact", ("mail",))
    assert redacted.findings == (Finding(3, 11, "mail", "MAIL", 1.0),)
    assert redacted.text == f"to {placeholder(redacted)}!"
    assert placeholder(redacted).startswith("[MAIL_")


def test_what_a_check_finds_in_a_whole_text() -> None:
    check = build("pattern", "bad", {"label": "BAD", "words": ["forbidden"]}, Resources())
    found = findings_of(check, "a forbidden b", Channel("request", "user", "messages[0].content"))
    assert found == [Finding(2, 11, "bad", "BAD", 1.0)]


def test_a_text_without_a_model_is_covered_by_every_policy_for_models() -> None:
    assert scan_text(policy_set(POLICY), "forbidden", "request").decision == "block"


def test_a_policy_for_other_tenants_does_nothing() -> None:
    it = policy_set(POLICY.replace("models:", "tenants:"))
    assert scan_text(it, "forbidden", "request").decision == "pass"


def test_a_folder_is_loaded_with_its_checks(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(OPEN)
    it = load(tmp_path)
    assert it.digest.startswith("sha256:")
    assert scan_text(it, "forbidden", "request").decision == "block"
    with pytest.raises(PolicyError):
        load(tmp_path / "missing")


def test_checks_are_handed_what_runs_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one.yaml").write_text(OPEN)
    handed: list[Resources] = []

    def build(policies: Any, resources: Resources) -> dict[Any, Any]:
        handed.append(resources)
        return {}

    monkeypatch.setattr(library, "build_checks", build)
    runtime = Models()
    load(tmp_path, None, runtime)
    assert (handed[0].scorer, handed[0].tagger) == (runtime.scorer, runtime.tagger)
    (tmp_path / "models" / "tiny").mkdir(parents=True)
    (tmp_path / "models" / "tiny" / "config.json").write_text("{}")
    load(tmp_path, tmp_path / "models")
    assert handed[1].scorer
    with pytest.raises(ConfigError, match=r"models/tiny/SHA256SUMS cannot be read"):
        handed[1].scorer("tiny")


SHAPE = """
policy: shape
checks:
  shape: {use: json_schema, schema: {inline: {type: object, required: [id]}}, repair: true}
rules:
  - {id: valid, on: response, when: shape, action: retry}
"""


def test_a_check_that_asks_for_names_gets_the_shipped_model(tmp_path: Path) -> None:
    (tmp_path / "names.yaml").write_text(
        "policy: names\nchecks: {pii: {use: pii, entities: [PERSON], model: names}}\n"
        "rules: [{id: names, when: pii, action: redact}]\n",
        encoding="utf-8",
    )
    (found,) = scan_text(load(tmp_path), "My name is Sarah Johnson, and I am late.", "request").findings
    assert (found.label, found.start, found.end) == ("PERSON", 11, 24)


def test_a_text_that_goes_back_to_the_model() -> None:
    policies = policy_set(SHAPE)
    again = scan_text(policies, "{}", "response")
    assert (again.decision, again.rules, again.text) == ("retry", ("valid",), "")
    assert [one.label for one in again.findings] == ["invalid"]
    mended = scan_text(policies, '{"id": 1,}', "response")
    assert (mended.decision, mended.text) == ("flag", '{"id": 1}')
    assert scan_text(policies, '{"id": 1}', "response").decision == "pass"


def test_a_shipped_policy_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of that name wins; a path that is none is not taken for a name."""
    monkeypatch.chdir(tmp_path)
    assert folder_of(None) == folder_of(Path("default"))
    assert folder_of(Path("strict")) == folder_of(None) / "strict"
    assert shipped_names()[0] == "default"
    (tmp_path / "strict").mkdir()
    assert folder_of(Path("strict")) == Path("strict")
    assert folder_of(Path("a/strict")) == Path("a/strict")
    with pytest.raises(
        PolicyError, match="there is no folder and no shipped policy `payment`; did you mean `payments`"
    ):
        folder_of(Path("payment"))


def test_one_file_is_read_without_those_beside_it(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(OPEN)
    (tmp_path / "two.yaml").write_text(OPEN.replace("policy: test", "policy: other"))
    policies, digest, files = read_policies(tmp_path / "one.yaml")
    assert ([policy.name for policy in policies], files.folder) == (["test"], tmp_path)
    assert digest != read_policies(tmp_path)[1]
    assert scan_text(load(tmp_path / "one.yaml"), "forbidden", "request").decision == "block"


def test_without_the_model_what_asks_for_it_finds_nothing(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(
        "policy: p\nchecks: {attack: {use: supervisor, model: missing}, w: {use: pattern, words: [bad]}}\n"
        "rules: [{id: r, when: attack or w, action: block}]\n"
    )
    policies = loader(selection=all_but(JUDGES))(tmp_path)
    assert using(policies.policies[0], JUDGES) == {"attack"}
    assert scan_text(policies, "fine", "request").decision == "pass"
    assert scan_text(policies, "bad", "request").decision == "block"


class Raising:
    """A check that fails."""

    name, digest, traits = "bad", "", QUICK

    def scan(self, windows: Any) -> Any:
        raise TimeoutError


def test_a_check_that_fails_does_so_as_in_the_proxy() -> None:
    policies = policy_set(OPEN)
    broken = replace(policies, checks={**policies.checks, ("test", "bad"): Raising()})
    assert scan_text(broken, "hello", "request").decision == "block"


def test_a_shadow_rule_alone_changes_nothing() -> None:
    policies = policy_set(OPEN.replace("  - {id: seen, when: seen, action: flag}\n", ""))
    assert scan_text(policies, "look", "request").decision == "pass"


@pytest.mark.parametrize("direction", ["request", "response"])
def test_a_text_of_any_kind_is_scanned_at_its_place(direction: Direction) -> None:
    it = policy_set(OPEN)
    codec = codecs()[0]
    for kind in kinds_of(codec, direction):
        redacted = scan_text(it, "to jo@ab.io!", direction, kind)
        assert [(finding.start, finding.end) for finding in redacted.findings] == [(3, 11)], kind
        assert "jo@ab.io" not in redacted.text
        assert redacted.text.strip('"').startswith("to "), kind
