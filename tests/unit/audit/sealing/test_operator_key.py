"""The operator's key: its sources, and what wraps a ring key."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from guardproxy.audit.sealing import operator_key
from guardproxy.audit.sealing.operator_key import CommandKey, StaticKey, new_key, read_key
from guardproxy.errors import SealError

RING, ABOUT = b"r" * 32, b"about"

SERVICE = """
import base64, sys
data = base64.b64decode(sys.stdin.readline())
turned = bytes(byte ^ 0x5a for byte in data)
print(base64.b64encode(turned).decode())
"""


def command(folder: Path, program: str = SERVICE) -> str:
    path = folder / "service.py"
    path.write_text(program)
    return f"command:{sys.executable} {path}"


def test_a_key_from_a_file_or_a_variable(tmp_path: Path) -> None:
    text = new_key()
    assert new_key() != text
    (tmp_path / "key").write_text(f" {text}\n")
    from_file = read_key(f"file:{tmp_path / 'key'}", tmp_path / "audit")
    from_variable = read_key("env:SEAL", tmp_path, {"SEAL": text})
    wrapped = from_file.wrap(RING, ABOUT)
    assert RING not in wrapped
    assert from_file.wrap(RING, ABOUT) != wrapped
    assert from_variable.unwrap(wrapped, ABOUT) == RING
    assert text not in repr(from_file) + repr(from_variable)


def test_a_command_never_gives_its_key_away(tmp_path: Path) -> None:
    key = read_key(command(tmp_path), tmp_path / "audit")
    wrapped = key.wrap(RING, ABOUT)
    assert RING not in wrapped
    assert key.unwrap(wrapped, ABOUT) == RING
    with pytest.raises(SealError, match="unwrap` did not print what `wrap` was given"):
        key.unwrap(wrapped, b"another store")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "the key must be given as `file:PATH`, `env:NAME` or `command:COMMAND`"),
        ("key.txt", "the key must be given as"),
        ("file:", "the key must be given as"),
        ("vault:key", "the key must be given as"),
        ("command: ", "the key must be given as"),
        ("command:'open", "the command of `command:` cannot be read: No closing quotation"),
        ("env:NONE", "the variable `NONE` with the key is not set"),
        ("env:EMPTY", "env:EMPTY holds no key: `guardproxy audit seal-key FILE` makes one"),
        ("env:SHORT", "env:SHORT holds no key"),
        ("env:ODD", "env:ODD holds no key"),
        ("env:BARE", "env:BARE holds no key"),
    ],
)
def test_a_source_that_holds_no_key(source: str, message: str, tmp_path: Path) -> None:
    text = new_key()
    variables = {"EMPTY": "", "SHORT": text[:-8], "ODD": text[:-4] + "!!!=", "BARE": text.rpartition(":")[2]}
    with pytest.raises(SealError, match=message):
        read_key(source, tmp_path, variables)


def test_a_file_that_holds_no_key(tmp_path: Path) -> None:
    audit = tmp_path / "audit"
    (audit / "deep").mkdir(parents=True)
    (audit / "deep" / "key").write_text(new_key())
    (tmp_path / "link").symlink_to(audit / "deep" / "key")
    (tmp_path / "binary").write_bytes(bytes(range(256)))
    for path in (audit / "deep" / "key", tmp_path / "link", audit / ".." / "audit" / "key"):
        with pytest.raises(SealError, match="the key must not lie in the folder of the log, which it protects"):
            read_key(f"file:{path}", audit)
    with pytest.raises(SealError, match="none: No such file or directory"):
        read_key(f"file:{tmp_path / 'none'}", audit)
    with pytest.raises(SealError, match="binary holds no key"):
        read_key(f"file:{tmp_path / 'binary'}", audit)


def test_another_key_unwraps_nothing(tmp_path: Path) -> None:
    one, other = StaticKey(b"1" * 32, "env:ONE"), StaticKey(b"2" * 32, "env:OTHER")
    service = read_key(command(tmp_path), tmp_path / "audit")
    for wrapped in (one.wrap(RING, ABOUT), b"k", b"", service.wrap(RING, ABOUT)):
        with pytest.raises(SealError, match="the key from env:OTHER is not the key of this key store"):
            other.unwrap(wrapped, ABOUT)
    with pytest.raises(SealError, match="is not the key of this key store"):
        one.unwrap(one.wrap(RING, ABOUT), b"another store")
    with pytest.raises(SealError, match="no command wrapped the key of this key store"):
        service.unwrap(one.wrap(RING, ABOUT), ABOUT)


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("raise SystemExit(3)", "wrap` ended with exit code 3"),
        ("print('not base64!')", "wrap` did not print a line of base64"),
        ("", "wrap` did not print a line of base64"),
    ],
)
def test_a_command_that_fails(program: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(SealError, match=message):
        read_key(command(tmp_path, program), tmp_path / "audit").wrap(RING, ABOUT)


def test_a_command_that_cannot_be_started_or_does_not_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SealError, match="wrap` cannot be started: No such file or directory"):
        CommandKey((str(tmp_path / "none"),)).wrap(RING, ABOUT)
    monkeypatch.setattr(operator_key, "COMMAND_TIMEOUT_S", 0.01)
    endless = command(tmp_path, "import threading; threading.Event().wait()")
    with pytest.raises(SealError, match=r"wrap` did not end within 0\.01 s"):
        read_key(endless, tmp_path / "audit").wrap(RING, ABOUT)


def test_a_key_that_a_person_gives(tmp_path: Path) -> None:
    text = new_key()
    file = tmp_path / "key"
    file.write_text(text)
    (tmp_path / "log").mkdir()
    wrapped = read_key(f"file:{file}", tmp_path / "log").wrap(b"r" * 32, b"about")
    assert operator_key.key_of_text(f"  {text}\n").unwrap(wrapped, b"about") == b"r" * 32
    with pytest.raises(SealError, match="what was given holds no key"):
        operator_key.key_of_text("nonsense")
