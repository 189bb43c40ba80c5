"""Finds out whether this machine can run models on a GPU, and says why not.

In: the setting `supervisor_device`. Out: the obstacle in words, with the command that removes it where there is one. Kept:
nothing; the libraries of CUDA are loaded into the process once.

The packages `onnxruntime` and `onnxruntime-gpu` install the same files and overwrite each other. The second runs models on
a CPU too, so only one of them may be installed.
"""

from __future__ import annotations

import io
import logging
from contextlib import redirect_stdout
from functools import cache
from importlib import metadata

import onnxruntime

from guardproxy.inference.folders.folder import GPU_FILE

_log = logging.getLogger(__name__)

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
CPU_PACKAGE = "onnxruntime"
GPU_PACKAGE = "onnxruntime-gpu"
REMOVE = f"pip uninstall --yes {CPU_PACKAGE}"
FELL_BACK = "ONNX Runtime fell back to the CPU: the GPU, its driver or a library of CUDA or cuDNN is missing"


def runtimes() -> dict[str, str]:
    """Returns the version of each installed package that provides ONNX Runtime."""
    found = {}
    for name in (CPU_PACKAGE, GPU_PACKAGE):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def obstacle(has_network: bool) -> str:
    """Returns why no model can run on a GPU here; empty if a session may try.

    `has_network`: whether the model has a network for a GPU.
    """
    installed = runtimes()
    if len(installed) > 1:
        return (
            f"`{CPU_PACKAGE}` and `{GPU_PACKAGE}` are both installed and overwrite each other; run: {REMOVE} {GPU_PACKAGE} "
            f"&& pip install '{GPU_PACKAGE}[cuda,cudnn]=={installed[GPU_PACKAGE]}'"
        )
    if CUDA not in onnxruntime.get_available_providers():
        return f"the installed ONNX Runtime has no CUDA; run: {REMOVE} && pip install 'guardproxy[gpu]'"
    if has_network:
        return ""
    return f"the model has no `{GPU_FILE}`; that of a model that ships comes with: pip install 'guardproxy[gpu]'"


def is_gpu_expected() -> bool:
    """Whether somebody installed the runtime for a GPU, and may wonder why a model runs on a CPU."""
    return GPU_PACKAGE in runtimes() or CUDA in onnxruntime.get_available_providers()


@cache
def load_libraries() -> None:
    """Loads the libraries of CUDA and cuDNN that pip installed. Logs which of them cannot be loaded."""
    printed = io.StringIO()
    # ONNX Runtime prints what it cannot load.
    with redirect_stdout(printed):
        onnxruntime.preload_dlls()
    if text := printed.getvalue().strip():
        _log.warning("libraries of CUDA cannot be loaded", extra={"error": text})
