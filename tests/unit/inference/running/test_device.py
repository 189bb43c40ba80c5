"""Whether a model can run on a GPU here: installed packages, what an obstacle says, and what a setting makes of it."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import onnxruntime
import pytest

from benchmarks.models import supervisor_gpu
from guardproxy.errors import ConfigError
from guardproxy.inference.models import find, read
from guardproxy.inference.running import device, session
from guardproxy.inference.running.device import CPU, CUDA, is_gpu_expected, load_libraries, obstacle, runtimes
from guardproxy.inference.running.session import Session, local_network

ROWS = [(101, 2000, 102)]


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    load_libraries.cache_clear()
    yield
    load_libraries.cache_clear()


def install(folder: Path, name: str, version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts the metadata of a package where Python finds installed packages."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    monkeypatch.setattr(sys, "path", [str(folder), *(path for path in sys.path if path != str(folder))])


def give_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """A runtime that knows CUDA. It proves no GPU."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])


def test_the_package_for_the_cpu_is_installed_here_and_is_no_mixture() -> None:
    assert runtimes() == {"onnxruntime": metadata.version("onnxruntime")}
    assert not is_gpu_expected()
    assert obstacle(has_network=True).startswith(
        "the installed ONNX Runtime has no CUDA; run: pip uninstall --yes onnx"
    )


def test_a_mixture_is_named_with_the_command_that_mends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "onnxruntime-gpu", "1.31.1", monkeypatch)
    give_cuda(monkeypatch)
    assert is_gpu_expected()
    text = obstacle(has_network=True)
    assert text.startswith("`onnxruntime` and `onnxruntime-gpu` are both installed and overwrite each other")
    assert text.endswith(
        "pip uninstall --yes onnxruntime onnxruntime-gpu && pip install 'onnxruntime-gpu[cuda,cudnn]==1.31.1'"
    )


def test_the_gpu_package_alone_leaves_the_network_and_the_session_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "runtimes", lambda: {"onnxruntime-gpu": "1.31.1"})
    give_cuda(monkeypatch)
    assert obstacle(has_network=True) == ""
    assert obstacle(has_network=False) == (
        "the model has no `model.fp16.onnx`; that of a model that ships comes with: pip install 'guardproxy[gpu]'"
    )


def test_a_runtime_of_unknown_origin_may_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody may have built it himself."""
    monkeypatch.setattr(device, "runtimes", dict)
    assert not is_gpu_expected()
    give_cuda(monkeypatch)
    assert is_gpu_expected()
    assert obstacle(has_network=True) == ""


def test_libraries_are_loaded_once_and_what_fails_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = 0

    def preload_dlls() -> None:
        nonlocal calls
        calls += 1
        print("Failed to load libcudnn.so.9")

    monkeypatch.setattr(onnxruntime, "preload_dlls", preload_dlls)
    with caplog.at_level(logging.WARNING):
        load_libraries()
        load_libraries()
    assert calls == 1
    (record,) = caplog.records
    assert "libcudnn.so.9" in record.__dict__["error"]
    assert capsys.readouterr().out == "", "the runtime prints; the proxy logs"


def test_the_shipped_runtime_has_nothing_to_load(caplog: pytest.LogCaptureFixture) -> None:
    load_libraries()
    assert not caplog.records


def test_cuda_is_refused_where_it_cannot_run_and_the_reason_is_named() -> None:
    with pytest.raises(
        ConfigError, match=r"the model `supervisor` cannot run on CUDA: the installed ONNX Runtime has no"
    ):
        local_network(read(find()), 0, ROWS, 1, 1, "cuda")


def test_cuda_is_refused_where_the_session_falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real session: this runtime does not know the provider that it claims to have, and takes the CPU."""
    monkeypatch.setattr(session, "obstacle", lambda has_network: "")
    with pytest.raises(ConfigError, match="cannot run on CUDA: ONNX Runtime fell back to the CPU"):
        local_network(read(find()), 0, ROWS, 1, 1, "cuda")


def test_auto_says_why_a_gpu_that_was_paid_for_is_not_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(session, "is_gpu_expected", lambda: True)
    model = read(find())
    plain = replace(model, files=model.files - {"model.fp16.onnx"})
    monkeypatch.setattr(session, "obstacle", lambda has_network: "" if has_network else "no network for it")
    with caplog.at_level(logging.WARNING):
        assert local_network(plain, 0, ROWS, 1, 1).provider == CPU
        assert local_network(model, 0, ROWS, 1, 1).provider == CPU
    told = [(record.__dict__["model"], record.__dict__["error"]) for record in caplog.records]
    assert told == [("supervisor", "no network for it"), ("supervisor", device.FELL_BACK)]


def test_cpu_asks_nothing_and_warns_of_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(session, "is_gpu_expected", lambda: True)
    monkeypatch.setattr(session, "obstacle", lambda has_network: pytest.fail("it was asked"))
    assert local_network(read(find()), 0, ROWS, 1, 1, "cpu").provider == CPU
    assert not caplog.records


def test_the_network_for_a_gpu_agrees_with_itself_through_bound_buffers_on_the_cpu() -> None:
    """The code for a GPU and its real network, on the device that is here: neighbours and padding change no row much."""
    gpu_file = Session(find() / "model.fp16.onnx", 1)
    batched = supervisor_gpu.FewRows(gpu_file, 0, "cpu")
    rows = [(101, *range(2000, 2000 + count), 102) for count in (0, 9, 25)]
    alone = session.SingleRows(gpu_file, 1).run(rows)
    for row, wanted in zip(batched.run(rows), alone, strict=True):
        assert row == pytest.approx(wanted, abs=0.02)
    assert session.is_exact(batched, rows)


def test_the_benchmark_runs_its_code_on_the_cpu() -> None:
    found = supervisor_gpu.measure(find(), CPU, lengths=(32,), rounds=1)
    assert found["provider"] == CPU
    at = found["lengths"]["32"]
    assert set(at["wait_ms_by_rows"]) == {"1", "2"}
    assert at["neighbours_change_nothing"] is True
    assert at["rows_per_s"] == pytest.approx(2000 / at["wait_ms_by_rows"]["2"]["median"])


def test_the_benchmark_says_why_it_measures_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor_gpu.main(["--out", str(tmp_path / "gpu.json")])
    assert re.match("nothing was measured: the installed ONNX Runtime has no CUDA", capsys.readouterr().out)
    assert "left_out" in (tmp_path / "gpu.json").read_text()
    monkeypatch.setattr(supervisor_gpu, "obstacle", lambda has_network: "")
    assert supervisor_gpu.measure(find()) == {"left_out": device.FELL_BACK}
