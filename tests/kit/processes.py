"""Processes that run `guardproxy`, forked from a process that has imported everything.

`start` and `run` behave as `subprocess.Popen` and `subprocess.run` do with `python -m guardproxy`, without the second or two
that the imports take each time. The processes are as real as any other: they have a pid, a working directory, an environment
and handlers of signals of their own, and they end with an exit code. Tests of the start itself, of wheels and of plug-ins that
are found on the path start an interpreter instead.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import chdir
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[2]
_forking = get_context("forkserver")
_forking.set_forkserver_preload(["tests.kit.warm"])


class Process:
    """A running `guardproxy`, with the part of `subprocess.Popen` that tests need."""

    def __init__(self, forked: ForkServerProcess, words: tuple[str, ...]) -> None:
        assert forked.pid is not None
        self.pid: int = forked.pid
        self._forked = forked
        self._words = words

    def poll(self) -> int | None:
        """The exit code, negative for a signal; `None` while the process runs."""
        return self._forked.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once the process has ended. Raises `subprocess.TimeoutExpired`; `timeout` is in seconds."""
        self._forked.join(timeout)
        if (code := self._forked.exitcode) is None:
            raise subprocess.TimeoutExpired(self._words, timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        """Sends a signal, unless the process has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Sends SIGKILL."""
        self._forked.kill()


def start(
    *words: str,
    stdout: Path,
    stderr: Path | None = None,
    stdin: Path = Path(os.devnull),
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
) -> Process:
    """Starts `guardproxy WORDS`. Its output goes to files; errors to the file of the output unless they have one."""
    stdout.write_bytes(b"")  # there to be read at once
    files = (stdin.absolute(), stdout.absolute(), (stderr or stdout).absolute())
    arguments = (words, files, cwd.absolute(), dict(os.environ if env is None else env))
    forked = _forking.Process(target=_run, args=arguments, daemon=True)
    with chdir(ROOT):  # where the process that forks finds its modules when it starts
        forked.start()
    return Process(forked, words)


def run(
    *words: str, cwd: Path = ROOT, env: Mapping[str, str] | None = None, stdin: str = "", timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """Runs `guardproxy WORDS` to its end: the exit code and the texts of its output and errors."""
    with TemporaryDirectory() as folder:
        given, stdout, stderr = (Path(folder, name) for name in ("stdin", "stdout", "stderr"))
        given.write_text(stdin, encoding="utf-8")
        process = start(*words, stdout=stdout, stderr=stderr, stdin=given, cwd=cwd, env=env)
        try:
            code = process.wait(timeout)
        except BaseException:
            process.kill()
            raise
        texts = (file.read_text(encoding="utf-8") for file in (stdout, stderr))
        return subprocess.CompletedProcess(words, code, *texts)


def _run(words: tuple[str, ...], files: tuple[Path, Path, Path], cwd: Path, env: dict[str, str]) -> None:
    """Becomes `python -m guardproxy WORDS`, in the new process. `files`: its input, its output and its errors."""
    for number, file in enumerate(files):
        opened = os.open(file, os.O_RDWR | os.O_CREAT | (os.O_APPEND if number else 0))
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - multiprocessing has closed it
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    path = [os.path.abspath(entry) for entry in filter(None, env.get("PYTHONPATH", "").split(os.pathsep))]
    sys.path[:0] = [str(cwd), *path]
    sys.argv = ["guardproxy", *words]
    importlib.import_module("guardproxy.__main__").main()
