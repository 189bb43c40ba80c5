"""The token of a server comes from the settings, or from a file that may be renewed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from guardproxy.errors import ConfigError, DownstreamError
from guardproxy.server.upstream.mcp import tokens
from guardproxy.server.upstream.mcp.tokens import LOOK_EVERY_S, BearerToken


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(tokens, "_clock", lambda: now[0])
    return now


def test_a_token_of_the_settings_stays() -> None:
    assert BearerToken("files", "abc.def==").current() == "abc.def=="


@pytest.mark.parametrize("wrong", ["a b", "", "a\nb", "é"])
def test_what_no_header_can_hold_is_refused(wrong: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        BearerToken("files", wrong)
    assert not wrong or wrong not in str(caught.value)
    file = tmp_path / "token"
    file.write_text(wrong)
    with pytest.raises(ConfigError, match="holds no token"):
        BearerToken("files", f"@{file}")


def test_a_missing_file_is_a_fault_of_the_settings(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        BearerToken("files", f"@{tmp_path / 'none'}")


def test_a_renewed_file_is_read_again(tmp_path: Path, clock: list[float]) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    token = BearerToken("files", f"@{file}")
    file.write_text("second token that is no token")
    assert token.current() == "first"  # looked at a moment ago
    clock[0] += LOOK_EVERY_S
    with pytest.raises(DownstreamError) as caught:
        token.current()
    assert caught.value.status == 503
    assert "second" not in str(caught.value)
    file.write_text("second")
    os.utime(file, (1, 1))
    assert token.current() == "second"
    clock[0] += LOOK_EVERY_S
    assert token.current() == "second"
