"""Keys in files, in settings and behind commands."""

from __future__ import annotations

import shlex
import stat
import sys
from pathlib import Path

import pytest

from guardproxy.audit.proof.keys import CommandSigner, private_key, public_key, signer_of, write_key
from guardproxy.audit.proof.note import PrivateKey, sign
from guardproxy.errors import AuditError

KEY = PrivateKey.new("guard.example")


def test_a_key_is_written_once_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "key"
    public = write_key(path, KEY)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert private_key(str(path)) == private_key(KEY.text) == KEY
    assert public_key(str(public)) == public_key(str(KEY.public)) == KEY.public
    with pytest.raises(AuditError, match="key: the file exists, and a key is not replaced"):
        write_key(path, KEY)
    with pytest.raises(AuditError, match="no such file"):
        write_key(tmp_path / "none" / "key", KEY)


def test_a_key_in_the_folder_of_the_log_is_refused(tmp_path: Path) -> None:
    audit = tmp_path / "audit"
    audit.mkdir()
    write_key(audit / "key", KEY)
    (tmp_path / "link").symlink_to(audit / "key")
    for path in (audit / "key", tmp_path / "link"):
        with pytest.raises(AuditError, match="lies in the folder of the log"):
            private_key(str(path), audit)
    write_key(tmp_path / "outside", KEY)
    assert private_key(str(tmp_path / "outside"), audit) == KEY


def test_what_is_no_key_is_said_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("junk")
    for read in (private_key, public_key):
        with pytest.raises(AuditError, match=r"key: not a (private|public) key"):
            read(str(tmp_path / "key"))
        with pytest.raises(AuditError, match="none: no such file or directory") as missing:
            read(str(tmp_path / "none"))
        assert ("`guardproxy audit keygen` makes the file" in str(missing.value)) == (read is private_key)
    with pytest.raises(AuditError, match=r"^not a public key"):
        public_key("a+b+c")


def command(code: str) -> str:
    return shlex.join([sys.executable, "-c", code])


def test_a_command_signs(tmp_path: Path) -> None:
    write_key(tmp_path / "key", KEY)
    code = (
        "import sys, base64; from pathlib import Path; from guardproxy.audit.proof.note import PrivateKey; "
        f"key = PrivateKey.read(Path({str(tmp_path / 'key')!r}).read_text()); "
        "print(base64.b64encode(key.sign(sys.stdin.buffer.read())).decode())"
    )
    signer = signer_of("", command(code), str(KEY.public), tmp_path)
    assert signer is not None
    assert sign("text\n", signer) == sign("text\n", KEY)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (command("import sys; sys.exit(3)"), "ended with exit code 3"),
        (command("print('%')"), "cannot be used: it printed no base64"),
        ("/none/such", "cannot be used: no such file"),
        ("", "cannot be used: it is not a command line"),
        ("'", "cannot be used: it is not a command line"),
    ],
)
def test_a_command_that_fails(words: str, message: str) -> None:
    with pytest.raises(AuditError, match=message):
        CommandSigner(words, KEY.public).sign(b"text\n")


def test_a_command_that_hangs() -> None:
    with pytest.raises(AuditError, match=r"took longer than 0\.01 s"):
        CommandSigner(command("import threading; threading.Event().wait()"), KEY.public, 0.01).sign(b"text\n")


def test_settings_name_one_signer(tmp_path: Path) -> None:
    public = str(KEY.public)
    assert signer_of("", "", "", tmp_path) is None
    assert signer_of(KEY.text, "", "", tmp_path) == signer_of(KEY.text, "", public, tmp_path) == KEY
    with pytest.raises(AuditError, match="needs the public key"):
        signer_of("", "sign", "", tmp_path)
    with pytest.raises(AuditError, match="needs the public key"):
        signer_of(KEY.text, "sign", public, tmp_path)
    with pytest.raises(AuditError, match="is not the public key of --audit-key"):
        signer_of(KEY.text, "", str(PrivateKey.new("x").public), tmp_path)
