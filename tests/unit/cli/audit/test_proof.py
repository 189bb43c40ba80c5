"""`guardproxy audit keygen`, `checkpoint`, `prove`, `check-proof`, `cosign`, and `verify` with keys."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from guardproxy.audit.proof.store import NOTE
from guardproxy.audit.writing.log_file import FileSink
from guardproxy.cli.audit import app
from tests.kit.proof import KEY, OTHER, SignedFolder, sample
from tests.kit.records import plain_record

PUBLIC = str(KEY.public)


def run(*arguments: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SignedFolder:
    return sample(tmp_path_factory.mktemp("made") / "audit")


@pytest.fixture
def folder(made: SignedFolder, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made.folder, tmp_path / "audit"))


def test_verify_with_a_key(folder: Path, made: SignedFolder, tmp_path: Path) -> None:
    code, out, err = run("verify", folder, "--key", PUBLIC)
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == (
        "checkpoints: intact, 0 copies, newest 3 of 2027-01-15 08:00:30Z, signed by guard.example"
    )
    assert "the signature was not checked (give --key)" in run("verify", folder)[1]
    (tmp_path / "copies").write_bytes(made.notes[1].data)
    assert "intact, 1 copy," in run("verify", folder, "--key", PUBLIC, "--copy", tmp_path / "copies")[1]
    code, out, _ = run("verify", folder, "--key", PUBLIC, "--json")
    shown = json.loads(out)
    assert (code, shown["ok"], shown["signed"]) == (0, True, True)
    assert shown["checkpoints"]["number"] == 3
    assert shown["checkpoints"]["problems"] == []


def test_verify_names_what_is_wrong(folder: Path, tmp_path: Path) -> None:
    code, out, _ = run("verify", folder, "--key", str(OTHER.public))
    assert code == 1
    assert "checkpoints: changed, 0 copies\n  checkpoint: signed by guard.example, and not with the given key" in out
    with (folder / "checkpoints.list").open("ab") as listed:
        listed.write(b"x")
    assert "  note: checkpoints.list: 1 lines after" in run("verify", folder, "--key", PUBLIC)[1]
    for path in folder.iterdir():
        path.unlink()
    code, out, _ = run("verify", folder, "--key", PUBLIC)
    assert code == 1
    assert "there is no checkpoint in the folder" in out
    code, _, err = run("verify", folder, "--key", "junk")
    assert (code, "junk: no such file or directory" in err) == (2, True)
    assert run("verify", folder, "--copy", tmp_path / "none")[0] == 2


def test_keys_are_made(tmp_path: Path) -> None:
    code, out, _ = run("keygen", tmp_path / "key", "--name", "guard.example")
    assert code == 0
    assert out == (tmp_path / "key.pub").read_text()
    assert out.startswith("guard.example+")
    code, _, err = run("keygen", tmp_path / "key")
    assert (code, err.endswith("key: the file exists, and a key is not replaced\n")) == (2, True)
    assert run("keygen", tmp_path / "x", "--name", "a b")[0] == 2


def test_a_proof_is_printed_and_checked_without_the_log(folder: Path, tmp_path: Path) -> None:
    code, out, _ = run("prove", folder, "a3")
    assert code == 0
    proof = tmp_path / "proof.json"
    proof.write_text(out)
    shutil.rmtree(folder)
    code, out, _ = run("check-proof", proof, "--key", PUBLIC)
    piped = CliRunner().invoke(app, ["check-proof", "-", "--key", PUBLIC], input=proof.read_bytes())
    assert (piped.exit_code, piped.stdout) == (code, out)
    assert code == 0
    assert out.startswith("proven: record ")
    assert ", signed by guard.example\n  id        a3\n" in out
    code, out, err = run("check-proof", proof, "--key", PUBLIC, "--json", "--receipt", 'id="a4", policies="x"')
    assert code == 1
    assert json.loads(out)["ok"] is False
    assert "the receipt says id a4, and the record a3" in err
    assert run("check-proof", proof, "--key", str(OTHER.public))[0] == 1
    proof.write_text(proof.read_text().replace('\\"a3\\"', '\\"a4\\"'))
    code, _, err = run("check-proof", proof, "--key", PUBLIC)
    assert (code, err) == (1, "the record in the proof is not the record in the log: it was changed\n")
    proof.write_text("junk")
    assert run("check-proof", proof, "--key", PUBLIC)[0] == 2


def test_a_receipt_that_fits(tmp_path: Path) -> None:
    signed = SignedFolder(tmp_path / "audit")
    signed.write("a", [])
    signed.sinks["a"].append({"id": "x", "policies": "p", "outcome": "answered"}).result(30)
    signed.sign()
    signed.close()
    (tmp_path / "proof").write_text(run("prove", signed.folder, "x")[1])
    receipt = 'id="x", policies="p", outcome=answered, decision=pass'
    code, out, _ = run("check-proof", tmp_path / "proof", "--key", PUBLIC, "--receipt", receipt)
    assert (code, out.splitlines()[-1]) == (0, "the receipt fits the record")


def test_a_checkpoint_is_printed_or_signed(tmp_path: Path) -> None:
    sink = FileSink(tmp_path / "audit", "a", {"log": "a"})
    sink.append({"id": "x"}).result(30)
    sink.close()
    code, _, err = run("checkpoint", tmp_path / "audit")
    assert (code, "the log is not signed" in err) == (2, True)
    assert run("checkpoint", tmp_path / "none")[0] == 2
    code, out, _ = run("checkpoint", tmp_path / "audit", "--sign", KEY.text)
    assert code == 0
    assert run("checkpoint", tmp_path / "audit") == (0, out, "")
    assert (tmp_path / "audit" / NOTE).read_text() == out
    assert run("verify", tmp_path / "audit", "--key", PUBLIC)[0] == 0


def test_a_witness_follows_a_log(folder: Path, made: SignedFolder, tmp_path: Path) -> None:
    witness = run("keygen", tmp_path / "witness", "--witness", "--name", "witness.example")[1].strip()
    (tmp_path / "first").write_bytes(made.notes[0].data)
    common = ("--key", tmp_path / "witness", "--log-key", PUBLIC, "--state", tmp_path / "last")
    code, out, _ = run("cosign", tmp_path / "first", *common)
    assert code == 0
    assert out == (tmp_path / "last").read_text()
    code, _, err = run("cosign", folder / NOTE, *common)
    assert (code, "give the proof that this one continues it" in err) == (1, True)
    code, out, _ = run("prove", folder, "--since", tmp_path / "last")
    (tmp_path / "link").write_text(out)
    code, out, _ = run("check-proof", tmp_path / "link", "--key", PUBLIC)
    assert (code, out.endswith(", continues checkpoint 1\n")) == (0, True)
    code, out, _ = run("cosign", folder / NOTE, *common, "--proof", tmp_path / "link")
    assert code == 0
    (tmp_path / "copy").write_text(out)
    code, out, _ = run("verify", folder, "--key", PUBLIC, "--key", witness, "--copy", tmp_path / "copy")
    assert (code, "  cosigned by a witness up to checkpoint 3\n" in out) == (0, True)
    (tmp_path / "other").write_text(run("prove", folder, "a0")[1])
    assert run("cosign", folder / NOTE, *common, "--proof", tmp_path / "other")[0] == 2


def test_wrong_use(folder: Path, tmp_path: Path) -> None:
    assert run("prove", folder)[0] == 2
    assert run("prove", folder, "a0", "--since", folder / NOTE)[0] == 2
    code, _, err = run("prove", tmp_path / "none", "a0")
    assert (code, "the log is not signed" in err) == (2, True)
    code, _, err = run("prove", folder, "--since", tmp_path / "none")
    assert (code, err) == (2, f"{tmp_path / 'none'}: no such file or directory\n")
    code, _, err = run("prove", folder, "nobody")
    assert (code, "no exchange `nobody`" in err) == (2, True)


def test_a_report_names_what_is_wrong_with_checkpoints(tmp_path: Path) -> None:
    signed = SignedFolder(tmp_path / "audit")
    signed.write("a", [])
    signed.sinks["a"].append(plain_record()).result(30)
    signed.sign()
    signed.close()
    page = tmp_path / "report.html"
    assert run("report", signed.folder, "--out", page)[0] == 0
    (signed.folder / "checkpoints.list").unlink()
    assert run("report", signed.folder, "--out", page)[0] == 1
    assert "it was cut off or rolled back" in page.read_text()
