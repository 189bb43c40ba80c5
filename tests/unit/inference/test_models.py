"""The models of a process: loaded when asked for, once, and gone with the last that holds them."""

from __future__ import annotations

import gc
import hashlib
import json
import shutil
import sys
import threading
import weakref
from collections import Counter
from pathlib import Path
from subprocess import run

import pytest

from guardproxy.checks._shared.declared.contract import Query
from guardproxy.errors import ConfigError
from guardproxy.inference.folders.folder import GPU_FILE
from guardproxy.inference.folders.model import FILES
from guardproxy.inference.models import Models, Settings, find, read
from models.encoder import write_sums

pytestmark = pytest.mark.heavy


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of models with a copy of the shipped one under another name."""
    shutil.copytree(
        find(), tmp_path / "mine", ignore=shutil.ignore_patterns("*.py", "*.md", "*.png", "*.json*", "*.txt")
    )
    for name in ("tokenizer.json", "config.json"):
        shutil.copy(find() / name, tmp_path / "mine" / name)
    return tmp_path


def test_a_model_is_loaded_once_while_its_folder_says_the_same(folder: Path) -> None:
    files = (*FILES, *read(folder / "mine").files)
    models = Models((folder,), Settings(workers=1))
    first = models.scorer("mine")
    assert models.scorer("mine") is first
    config = folder / "mine" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"version": "another"}))
    with pytest.raises(ConfigError, match=r"config\.json does not match SHA256SUMS: found sha256 .*, expected .*"):
        models.scorer("mine")
    write_sums(folder / "mine", files)
    second = models.scorer("mine")
    assert second is not first
    assert second.digest != first.digest


def test_what_a_cpu_runs_is_hashed_once_and_what_a_gpu_runs_is_not(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {*FILES, *read(folder / "mine").files}
    hashed = Counter[str]()
    real = hashlib.file_digest
    monkeypatch.setattr(
        hashlib, "file_digest", lambda file, name: (hashed.update([Path(file.name).name]), real(file, name))[1]
    )
    models = Models((folder,), Settings(workers=1, device="cpu"))
    scorer = models.scorer("mine")
    assert GPU_FILE in files
    assert hashed == dict.fromkeys(files - {GPU_FILE}, 1)
    assert models.scorer("mine") is scorer
    assert set(hashed.values()) == {1}, "nothing has changed since"


def test_a_model_that_nobody_holds_goes_with_its_threads(folder: Path) -> None:
    models = Models((folder,), Settings(workers=2))
    before = set(threading.enumerate())
    scorer = models.scorer("mine")
    scorer.judge([Query("hello", scorer.outputs, first_stage=False)])
    mine = set(threading.enumerate()) - before
    assert len(mine) == 2
    gone = weakref.ref(scorer)
    del scorer
    gc.collect()
    assert gone() is None
    for thread in mine:
        thread.join(5)
    assert not [thread for thread in mine if thread.is_alive()]


def test_taggers_are_shared_too() -> None:
    models = Models()
    tagger = models.tagger("names")
    assert models.tagger("names") is tagger
    with pytest.raises(ConfigError, match="spaCy has no pipeline"):
        models.tagger("spacy:nothing")


def test_heavy_libraries_are_imported_when_a_model_is_loaded() -> None:
    code = (
        "import sys, guardproxy.inference.models, guardproxy.checks.supervisor, guardproxy.policytest.scan;"
        "sys.exit(any(name in sys.modules for name in ('onnxruntime', 'tokenizers', 'numpy')))"
    )
    assert run([sys.executable, "-c", code], check=False).returncode == 0
