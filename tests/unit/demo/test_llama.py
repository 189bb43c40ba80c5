"""The tiny model: what is said when it cannot be served. Serving it is tested end to end."""

from __future__ import annotations

from pathlib import Path

import pytest

from guardproxy.demo import llama


def test_a_missing_server_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llama, "find_spec", lambda name: None)
    reason = llama.available()
    assert reason is not None
    assert llama.INSTALL in reason
    with pytest.raises(llama.LlamaError, match="not installed"):
        llama.start()


def test_a_library_of_the_system_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise ImportError("libgomp.so.1: cannot open shared object file")

    monkeypatch.setattr(llama, "find_spec", lambda name: object())
    monkeypatch.setattr(llama, "import_module", fail)
    reason = llama.available() or ""
    assert "libgomp.so.1" in reason
    assert llama.INSTALL_LIBRARY in reason


def test_missing_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llama, "find_spec", lambda name: object())
    monkeypatch.setattr(llama, "import_module", lambda name: None)
    monkeypatch.setattr(llama, "WEIGHTS_PACKAGE", "no-such-package-of-weights")
    assert llama.weights() is None
    assert "no-such-package-of-weights" in (llama.available() or "")


def test_other_weights_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    other = tmp_path / "other.gguf"
    other.write_bytes(b"not these")
    monkeypatch.setattr(llama, "find_spec", lambda name: object())
    monkeypatch.setattr(llama, "import_module", lambda name: None)
    monkeypatch.setattr(llama, "weights", lambda: other)
    assert "differ from those" in (llama.available() or "")
