"""`guardproxy audit seal-key | unseal | erase | rotate`, and `replay --key`: what they print, and their exit codes."""

from __future__ import annotations

import getpass
import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from guardproxy.audit.sealing import open_store
from guardproxy.audit.sealing.sealer import Sealer
from guardproxy.audit.writing.log_file import FileSink
from guardproxy.cli import app
from tests.kit.records import plain_record
from tests.kit.sealing import KEPT, MAIL, private, scored

REASON = ("--reason", "ticket 7", "--by", "eve")


def run(*arguments: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def key(tmp_path: Path) -> str:
    code, out, _ = run("audit", "seal-key", tmp_path / "key")
    assert (code, out) == (0, f"the key is in {tmp_path / 'key'}: give it as --seal-key file:{tmp_path / 'key'}\n")
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    return f"file:{tmp_path / 'key'}"


@pytest.fixture
def log(tmp_path: Path, key: str) -> Path:
    """A folder with a log of a sealed exchange and of an exchange without texts."""
    folder = tmp_path / "audit"
    folder.mkdir()
    sink = FileSink(folder, "audit-0", {"log": "x"}, sealing=Sealer(open_store(folder, None, (key,), create=True)))
    sink.append(private(user="ann")).result(30)
    sink.append(plain_record(id="plain")).result(30)
    sink.close()
    return folder


def test_a_key_is_never_overwritten(tmp_path: Path, key: str) -> None:
    before = (tmp_path / "key").read_text()
    assert run("audit", "seal-key", tmp_path / "key") == (2, "", f"guardproxy: {tmp_path / 'key'}: File exists\n")
    assert (tmp_path / "key").read_text() == before


def test_unseal_prints_the_texts_and_leaves_an_entry(log: Path, key: str) -> None:
    assert MAIL not in run("audit", "show", log, "--id", "id")[1]
    assert "sealed with the data key" in run("audit", "show", log, "--id", "id")[1]
    code, out, _ = run("audit", "unseal", log, "id", "--key", key, *REASON)
    assert code == 0
    assert "write to ⟦[MAIL_" in out
    assert out.splitlines()[-1].endswith(f"] = {MAIL}")
    code, out, _ = run("audit", "unseal", log, "id", "--key", key, *REASON, "--json")
    assert list(json.loads(out)["values"].values()) == [MAIL]
    assert json.loads(out)["record"]["request"]["body"]["user"] == "ann"
    rows = run("audit", "show", log)[1].splitlines()
    assert [row.partition("  ")[2].split() for row in rows[-2:]] == [
        ["id", "(unsealed,", "by", "eve:", "ticket", "7)"],
    ] * 2
    shown = run("audit", "show", log, "--id", "id")[1]
    assert "unsealed: opened the texts of the exchange id" in shown
    assert "by: eve" in shown
    assert run("audit", "verify", log)[0] == 0


def test_what_a_judge_said_is_unsealed_with_the_exchange(tmp_path: Path, key: str) -> None:
    folder = tmp_path / "judged"
    folder.mkdir()
    sink = FileSink(folder, "audit-0", {"log": "x"}, sealing=Sealer(open_store(folder, None, (key,), create=True)))
    record = private(user="ann")
    for entry in (record, record.with_reason(scored(), "it repeats the text"), scored("other")):
        sink.append(entry).result(30)
    sink.close()
    assert "repeats" not in "".join(path.read_text() for path in folder.glob("*.jsonl"))
    assert "judge of graded: score 4 of 5" in run("audit", "show", folder)[1]
    out = run("audit", "unseal", folder, "id", "--key", key, *REASON)[1]
    assert out.splitlines()[-1] == "judge of graded: it repeats the text"
    out = run("audit", "unseal", folder, "id", "--key", key, *REASON, "--json")[1]
    assert json.loads(out)["reasons"] == {"graded": "it repeats the text"}
    assert run("audit", "erase", folder, "--subject", "ann", *REASON)[0] == 0
    assert run("audit", "unseal", folder, "id", "--key", key, *REASON)[0] == 2


def test_erase_destroys_the_keys_and_the_log_verifies(log: Path, key: str) -> None:
    assert run("audit", "erase", log, "--subject", "bob", *REASON) == (1, "data keys destroyed: 0\n", "")
    assert run("audit", "erase", log, "--subject", "ann", *REASON) == (0, "data keys destroyed: 1\n", "")
    code, out, err = run("audit", "unseal", log, "id", "--key", key, *REASON)
    assert (code, out) == (2, "")
    assert err.startswith("guardproxy: the texts were erased (data key ")
    assert "(erased 1 data keys, by eve: ticket 7)" in run("audit", "show", log)[1]
    assert run("audit", "verify", log)[0] == 0
    assert json.loads(run("audit", "erase", log, "--tenant", "tenant", *REASON, "--json")[1]) == {"keys": 0}


def test_rotate_wraps_the_keys_again(log: Path, key: str, tmp_path: Path) -> None:
    run("audit", "seal-key", tmp_path / "new")
    new = f"file:{tmp_path / 'new'}"
    code, out, _ = run("audit", "rotate", log, "--key", key, "--new-key", new, *REASON)
    assert (code, out) == (0, "data keys wrapped with the new key: 1\n")
    assert run("audit", "unseal", log, "id", "--key", key, *REASON)[0] == 2
    assert run("audit", "unseal", log, "id", "--key", new, *REASON)[0] == 0
    assert json.loads(run("audit", "rotate", log, "--key", new, "--new-key", key, *REASON, "--json")[1]) == {"keys": 1}
    assert "(rotated 1 data keys, by eve: ticket 7)" in run("audit", "show", log)[1]
    assert run("audit", "verify", log)[0] == 0


def test_replay_opens_sealed_texts_with_a_key_and_says_which_it_cannot(log: Path, key: str, tmp_path: Path) -> None:
    rules = tmp_path / "policies"
    rules.mkdir()
    (rules / "kept.yaml").write_text(KEPT + "audit: {keep: sealed}\n")
    code, out, _ = run("replay", log, "--policies", rules)
    lines = out.splitlines()
    assert (code, lines[lines.index("id not replayable") + 1]) == (
        0,
        "    the texts are sealed: give the operator's key",
    )
    code, out, _ = run("replay", log, "--policies", rules, "--key", key)
    assert (code, out.splitlines()[-1]) == (0, "2 identical, 0 different, 0 cannot be told, 0 not replayable")
    assert MAIL not in out
    for more in ((), ("--json",)):  # processes open sealed texts as well
        arguments = ("replay", log, "--policies", rules, "--key", key, *more)
        assert run(*arguments, "--workers", "2") == run(*arguments)
    run("audit", "erase", log, "--subject", "ann", *REASON)
    code, out, _ = run("replay", log, "--policies", rules, "--key", key)
    lines = out.splitlines()
    assert lines[lines.index("id not replayable") + 1].startswith("    the texts were erased (data key ")
    assert run("replay", log, "--policies", rules, "--key", "env:NONE")[0] == 2


@pytest.mark.parametrize("audit", ["", "audit: {keep: sealed}\n"])
def test_replay_shows_no_sealed_text_in_its_differences_and_on_its_page(tmp_path: Path, key: str, audit: str) -> None:
    folder, rules, page = tmp_path / "audit", tmp_path / "policies", tmp_path / "page.html"
    folder.mkdir()
    rules.mkdir()
    sink = FileSink(folder, "audit-0", {"log": "x"}, sealing=Sealer(open_store(folder, None, (key,), create=True)))
    sink.append(private(content="a quokka", metadata={"zanzibar": "a quokka"})).result(30)
    sink.close()
    word = "checks: {word: {use: pattern, label: WORD, words: [quokka]}, mail:"
    rule = "  - {id: word, on: request, when: word, action: ACTION}\n"
    for action in ("flag", "redact"):
        changed = KEPT.replace("checks: {mail:", word) + rule.replace("ACTION", action) + audit
        (rules / "kept.yaml").write_text(changed)
        code, out, _ = run("replay", folder, "--policies", rules, "--key", key, "--report", page, "--json")
        assert code == 1
        differences = json.loads(out)["differences"]
        assert "rule `word` now holds" in differences
        html = page.read_text()
        assert "kept: word holds now" in html
        for text in (out, html):
            assert "quokka" not in text
            assert "zanzibar" not in text
        if action == "redact":
            assert any(difference.startswith("request metadata.*: edits [] -> ") for difference in differences)


def test_a_replay_of_sealed_texts_under_the_same_policies_is_the_same_on_its_page(
    log: Path, key: str, tmp_path: Path
) -> None:
    rules, page = tmp_path / "policies", tmp_path / "page.html"
    rules.mkdir()
    (rules / "kept.yaml").write_text(KEPT + "audit: {keep: sealed}\n")
    sink = FileSink(log, "audit-1", {"log": "y"}, sealing=Sealer(open_store(log, None, (key,))))
    sink.append(private(metadata={"zanzibar": MAIL})).result(30)
    sink.close()
    assert run("replay", log, "--policies", rules, "--key", key, "--report", page)[0] == 0
    assert "3 exchanges: 2 the same" in page.read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("erase", "LOG"), "give --subject, --conversation or --tenant"),
        (("erase", "LOG", "--subject", "a", "--conversation", "b"), "give --subject or --conversation, not both"),
        (("erase", "none", "--subject", "a"), "none: no such folder"),
        (("erase", "LOG", "--subject", "a", "--store", "none"), "none: no key store here"),
        (("unseal", "LOG", "plain", "--key", "KEY"), "the record plain is not sealed"),
        (("unseal", "LOG", "id", "--key", "here"), "the key must be given as"),
        (("rotate", "LOG", "--key", "KEY", "--new-key", "here"), "the key must be given as"),
    ],
)
def test_wrong_use(words: tuple[str, ...], message: str, log: Path, key: str) -> None:
    named = {"LOG": str(log), "KEY": key}
    code, out, err = run("audit", *(named.get(word, word) for word in words), *REASON)
    assert (code, out) == (2, "")
    assert message in err


def test_an_exchange_that_is_not_there_or_cannot_be_read(log: Path, key: str, tmp_path: Path) -> None:
    assert run("audit", "unseal", log, "none", "--key", key, *REASON) == (1, "", f"no exchange `none` in {log}\n")
    assert (
        run("audit", "unseal", log, "id", "--key", key, "--reason", " ")[2]
        == "guardproxy: give a reason, for the log\n"
    )
    sink = FileSink(log, "newer", {"log": "y"})
    sink.append({**plain_record().document(), "v": 99}).result(30)
    sink.close()
    code, _, err = run("audit", "unseal", log, "other", "--key", key, *REASON)
    assert (code, "the entry has version 99" in err) == (2, True)
    (log / "newer.jsonl").rename(log / "a-newer.jsonl")
    assert run("audit", "unseal", log, "id", "--key", key, *REASON)[0] == 0, (
        "a line before it does not hide an exchange"
    )
    (log / "broken.jsonl").mkdir()
    assert run("audit", "unseal", log, "other", "--key", key, *REASON)[0] == 2


def test_the_user_of_the_machine_is_named(log: Path, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> str:
        raise KeyError

    monkeypatch.setattr(getpass, "getuser", lambda: "mallory")
    run("audit", "unseal", log, "id", "--key", key, "--reason", "a")
    monkeypatch.setattr(getpass, "getuser", fail)
    run("audit", "unseal", log, "id", "--key", key, "--reason", "b")
    out = run("audit", "show", log)[1]
    assert "by mallory: a" in out
    assert f"by {os.getuid()}: b" in out
