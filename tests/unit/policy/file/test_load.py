"""A folder of policies: which files are read, the digest, all errors at once, and the checks that are built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from guardproxy import checks
from guardproxy.checks._shared.declared.contract import Resources
from guardproxy.errors import ConfigError, OptionError
from guardproxy.findings import QUICK, Channel, Scan, Traits, Window
from guardproxy.library import load
from guardproxy.policy.file.load import Files, PolicyErrors, build_checks, load_folder, parse
from guardproxy.policy.yaml.tree import LIMIT_BYTES


def text(name: str, spec: str = "{pii: {use: pii}}") -> str:
    return f"policy: {name}\nchecks: {spec}\nrules: [{{id: r, when: check_error, action: flag}}]\n"


def messages(folder: Path) -> list[str]:
    with pytest.raises(PolicyErrors) as caught:
        load_folder(folder)
    return [str(error).replace(f"{folder}/", "") for error in caught.value.errors]


def test_files_are_read_by_name_and_others_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(text("first"))
    (tmp_path / "c.YML").write_text(text("second"))
    (tmp_path / "a.yml").write_text(text("third"))
    (tmp_path / ".hidden.yaml").write_text("not a policy")
    (tmp_path / "notes.txt").write_text("not a policy")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "folder.yaml" / "inner.yaml").write_text("not a policy")
    policies, digest = load_folder(str(tmp_path))
    assert [policy.name for policy in policies] == ["third", "first", "second"]
    assert policies[0].source == str(tmp_path / "a.yml")
    assert digest.startswith("sha256:")
    assert len(digest) == 7 + 64


def test_a_folder_of_links_is_read(tmp_path: Path) -> None:
    # the way a mounted ConfigMap looks
    data = tmp_path / "..data"
    data.mkdir()
    (data / "a.yaml").write_text(text("a"))
    (tmp_path / "a.yaml").symlink_to(data / "a.yaml")
    assert load_folder(tmp_path)[0][0].name == "a"


def digest_of(folder: Path, files: Mapping[str, str]) -> str:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_text(content)
    return load_folder(folder)[1]


def test_the_digest_covers_names_and_bytes_only(tmp_path: Path) -> None:
    first = digest_of(tmp_path / "1", {"a.yaml": text("a"), "b.yaml": text("b")})
    assert first == digest_of(tmp_path / "2", {"b.yaml": text("b"), "a.yaml": text("a")})
    assert first != digest_of(tmp_path / "3", {"a.yaml": text("b"), "b.yaml": text("a")})
    assert first != digest_of(tmp_path / "4", {"a.yaml": text("a"), "c.yaml": text("b")})
    assert first != digest_of(tmp_path / "5", {"a.yaml": text("a") + "# more\n", "b.yaml": text("b")})
    assert first != digest_of(tmp_path / "6", {"a.yaml": text("a")})


def test_contents_may_stand_for_files_and_give_the_digest_of_these_files(tmp_path: Path) -> None:
    folder = tmp_path / "1"
    before = digest_of(folder, {"a.yaml": text("a"), "list.txt": "old"})
    instead = {"a.yaml": text("b").encode(), "new.yaml": text("c").encode(), "list.txt": b"new"}
    files = Files(folder, instead)
    policies, digest = load_folder(folder, files)
    assert [policy.name for policy in policies] == ["b", "c"]
    assert (files.read("list.txt"), files.read("./list.txt")) == (b"new", b"new")
    assert digest == digest_of(tmp_path / "2", {"a.yaml": text("b"), "new.yaml": text("c")})
    assert load_folder(folder)[1] == before
    with pytest.raises(OSError, match="no such file"):
        files.read("../1/none.txt")


def test_an_empty_folder_says_what_to_do(tmp_path: Path) -> None:
    assert messages(tmp_path) == [
        f"{tmp_path}:1:1: no policy files; write one here, or copy a shipped one: `guardproxy policy init`"
    ]


def test_a_missing_folder(tmp_path: Path) -> None:
    assert messages(tmp_path / "none") == [
        f"{tmp_path}/none:1:1: cannot read the policy folder: no such file or directory"
    ]


def test_a_dangling_link_is_an_error_and_not_one_policy_less(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(text("a"))
    (tmp_path / "b.yaml").symlink_to(tmp_path / "gone")
    assert messages(tmp_path) == ["b.yaml:1:1: cannot read the file: no such file or directory"]


def test_a_device_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").symlink_to("/dev/zero")
    assert messages(tmp_path) == ["a.yaml:1:1: not a regular file"]


def test_all_errors_of_all_files_come_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("policy: A\nrules: []\n")
    (tmp_path / "b.yaml").write_bytes(b"\xff")
    (tmp_path / "c.yaml").write_text("")
    (tmp_path / "d.yaml").write_text(text("same"))
    (tmp_path / "e.yaml").write_text("# the same name\n" + text("same"))
    (tmp_path / "f.yaml").write_text("#" * (1 << 20) + "\n")
    assert messages(tmp_path) == [
        "a.yaml:1:9: a name has only the characters a-z, 0-9 and `-`",
        "a.yaml:2:8: a policy without rules does nothing; write at least one rule",
        "b.yaml:1:1: not UTF-8; save the file as UTF-8",
        "c.yaml:1:1: the file is empty; begin with `policy: some-name`",
        "f.yaml:1:1: the file is larger than 1048576 bytes",
        "e.yaml:2:9: duplicate policy `same`, first in d.yaml",
    ]


@dataclass(frozen=True)
class Quiet:
    """A check that finds nothing."""

    name: str
    options: Mapping[str, Any]
    digest: str = "none"
    traits: Traits = QUICK

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        raise NotImplementedError


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Stands in for the real checks; lists what was built as (use, name)."""
    calls: list[tuple[str, str]] = []

    def build(use: str, name: str, options: Mapping[str, Any], resources: checks.Resources) -> checks.Check:
        calls.append((use, name))
        if "limit" in options:
            raise OptionError("limit", "expected a number above 0")
        if use == "unheard":
            raise OptionError("use", "unknown check `unheard`")
        if use == "needs":
            raise OptionError("model", "missing")
        if use == "model":
            raise ConfigError("the model file is missing")
        return Quiet(name, options)

    monkeypatch.setattr(checks, "build", build)
    return calls


def test_equal_checks_are_built_once_under_their_plain_name(built: list[tuple[str, str]]) -> None:
    policies = [
        parse(text("one", "{pii: {use: pii, a: 1, b: [x]}, other: {use: pii}}"), "1.yaml"),
        parse(text("two", "{pii: {use: pii, b: [x], a: 1}, ids: {use: pii}}"), "2.yaml"),
    ]
    found = build_checks(policies, checks.Resources())
    assert built == [("pii", "pii"), ("pii", "ids")]  # by the alphabet, not by the order of files
    assert found["one", "pii"] is found["two", "pii"]
    assert found["one", "other"] is found["two", "ids"]
    assert set(found) == {("one", "pii"), ("one", "other"), ("two", "pii"), ("two", "ids")}


def test_a_name_with_two_meanings_carries_its_policy(built: list[tuple[str, str]]) -> None:
    policies = [
        parse(text("one", "{pii: {use: pii, score: 1}, mine: {use: words}}"), "1.yaml"),
        parse(text("two", "{pii: {use: pii, score: 1.0}, words: {use: words}}"), "2.yaml"),
        parse(text("three", "{pii: {use: pii, score: true}}"), "3.yaml"),
    ]
    found = build_checks(policies, checks.Resources())
    assert {key: check.name for key, check in found.items()} == {
        ("one", "pii"): "one.pii",
        ("two", "pii"): "two.pii",
        ("three", "pii"): "three.pii",
        ("one", "mine"): "mine",
        ("two", "words"): "mine",
    }


def test_a_shared_check_prefers_a_plain_name(built: list[tuple[str, str]]) -> None:
    policies = [
        parse(text("one", "{pii: {use: pii}}"), "1.yaml"),
        parse(text("two", "{ids: {use: pii}, pii: {use: words}}"), "2.yaml"),
    ]
    found = build_checks(policies, checks.Resources())
    assert [check.name for check in found.values()] == ["ids", "ids", "two.pii"]


@pytest.mark.usefixtures("built")
def test_options_that_a_check_refuses_are_found_in_every_file() -> None:
    policies = [
        parse(text("one", "{a: {use: pii, limit: 0}, b: {use: unheard}, c: {use: needs}, d: {use: model}}"), "1.yaml"),
        parse(text("two", "{a: {use: pii, limit: 0}}"), "2.yaml"),
    ]
    with pytest.raises(PolicyErrors) as caught:
        build_checks(policies, checks.Resources())
    assert [str(error) for error in caught.value.errors] == [
        "1.yaml:2:24: expected a number above 0",
        "2.yaml:2:24: expected a number above 0",
        "1.yaml:2:39: unknown check `unheard`",
        "1.yaml:2:54: missing",
        "1.yaml:2:71: the model file is missing",
    ]


def test_the_real_builder_is_asked() -> None:
    with pytest.raises(PolicyErrors, match=r"^1\.yaml:2:14: unknown check `no-such-check`"):
        build_checks([parse(text("one", "{a: {use: no-such-check}}"), "1.yaml")], checks.Resources())


def test_the_shipped_policies_load() -> None:
    shipped = Path(__file__).parents[4] / "policies"
    default = next(policy for policy in load_folder(shipped)[0] if policy.name == "default")
    assert {rule.action for rule in default.rules} == {"flag", "redact", "block"}
    expected = [example.expected for example in default.tests]
    named = {
        rule
        for expectation in expected
        for rule in (*(expectation.rules or ()), *([expectation.rule] if expectation.rule else ()))
    }
    assert named - {"none"} == {rule.id for rule in default.rules}


# Files that policies name.


def test_files_beside_the_policies_are_read_once_and_are_part_of_the_digest(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("1", encoding="utf-8")
    files = Files(tmp_path)
    assert files.digest("sha256:x") == "sha256:x"
    assert files.read("a.json") == b"1"
    digest = files.digest("sha256:x")
    assert digest.startswith("sha256:")
    assert digest != files.digest("sha256:y")
    (tmp_path / "a.json").write_text("2", encoding="utf-8")
    assert files.read("a.json") == b"1"
    again = Files(tmp_path)
    again.read("a.json")
    assert again.digest("sha256:x") != digest


def test_files_elsewhere_are_not_read(tmp_path: Path) -> None:
    folder = tmp_path / "policies"
    folder.mkdir()
    (tmp_path / "secret.json").write_text("1", encoding="utf-8")
    (folder / "link.json").symlink_to(tmp_path / "secret.json")
    (folder / "large.json").write_bytes(b" " * (LIMIT_BYTES + 1))
    for path in ("../secret.json", "link.json", str(tmp_path / "secret.json"), "none.json", "", "large.json"):
        with pytest.raises(OSError, match=r"no such file|larger than"):
            Files(folder).read(path)


def test_a_schema_file_changes_the_digest_of_the_policies(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(
        "policy: p\nchecks: {shape: {use: json_schema, schema: {file: a.json}}}\n"
        "rules: [{id: r, when: shape, action: block}]\n",
        encoding="utf-8",
    )
    digests = set()
    for schema in ('{"type": "null"}', '{"type": "string"}'):
        (tmp_path / "a.json").write_text(schema, encoding="utf-8")
        digests.add(load(tmp_path).digest)
    assert len(digests) == 2
    (tmp_path / "a.json").write_text('{"type": "nothing"}', encoding="utf-8")
    with pytest.raises(PolicyErrors, match=r"p\.yaml:2:36: the schema is not valid"):
        load(tmp_path)


def test_there_is_nothing_to_redact_in_a_shape(tmp_path: Path) -> None:
    text = (
        "policy: p\nchecks: {shape: {use: json_schema, schema: from_request}, word: {use: pattern, words: [a]}}\n"
        "rules:\n  - {id: r, on: response, when: word or shape, action: redact}\n"
    )
    with pytest.raises(PolicyErrors, match=r"p\.yaml:4:5: `shape` reads an answer as a whole"):
        build_checks([parse(text, "p.yaml")], Resources())


TITLES = "recognizers: [{name: Titles, supported_entity: TITLE, supported_language: en, deny_list: [Dr.]}]"


def test_a_check_reads_files_from_the_folder_of_its_policy(tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "titles.yaml").write_text(TITLES)
    (tmp_path / "a.yaml").write_text(text("a", "{pii: {use: pii, recognizers: lists/titles.yaml}}"))
    policies, _ = load_folder(tmp_path)
    (check,) = build_checks(policies, Resources(read=Files(tmp_path).read)).values()
    (scan,) = check.scan([Window(Channel("request", "user", "a"), "Dr. Who")])
    assert [finding.label for finding in scan.findings] == ["TITLE"]


@pytest.mark.parametrize(("name", "words"), [("lists/none.yaml", "no such file"), ("lists/large.yaml", "larger than")])
def test_a_file_that_a_check_cannot_read_is_an_error_of_the_policy(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "large.yaml").write_text("#" * (1 << 20) + "\n" + TITLES)
    (tmp_path / "a.yaml").write_text(text("a", f"{{pii: {{use: pii, recognizers: {name}}}}}"))
    policies, _ = load_folder(tmp_path)
    with pytest.raises(PolicyErrors, match=rf"a\.yaml:2:.*`{name}`: {words}"):
        build_checks(policies, Resources(read=Files(tmp_path).read))
