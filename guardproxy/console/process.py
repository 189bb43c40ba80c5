"""The process of the console: serves the application on a Unix socket, until the proxy that started it is gone.

In: on standard input, a line of JSON: the settings of the proxy without its secrets, and the paths of two sockets. Standard
input stays open as long as the proxy runs; its end is the end of this process. Out: pages, on a socket that is open to this
user alone.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from pathlib import Path

from aiohttp import web

from guardproxy.config import ADMIN, SETTINGS, Config
from guardproxy.console.access.logins import LoginFile, load_logins
from guardproxy.console.access.oidc import sign_in_of
from guardproxy.console.application import Entrance, console_app
from guardproxy.console.contract import Console, Mode
from guardproxy.console.index import Index
from guardproxy.console.inforce import SERVED, least_scores
from guardproxy.console.look import Templates
from guardproxy.console.pages import PAGES
from guardproxy.console.proxy_client import ProxyClient
from guardproxy.console.starting import ConsoleStart
from guardproxy.errors import ConfigError
from guardproxy.library import folder_of
from guardproxy.telemetry import configure_logs

_log = logging.getLogger(__name__)
THREADS = 8
NICE = 10
LIMIT_START_BYTES = 1024 * 1024


def console_of(config: Config, mode: Mode, proxy: ProxyClient) -> Console:
    """Returns what the console knows."""
    policies = (folder_of(config.policies.folder),)

    def thresholds() -> dict[str, float]:
        loaded, _ = SERVED.load(policies, config.policies.allow_code)
        return {} if loaded is None else least_scores(loaded)

    return Console(
        mode=mode,
        audit=config.audit.folder,
        policies=policies,
        index=Index(config.audit.folder, thresholds),
        proxy=proxy,
        config=config,
        templates=Templates({page.name: page.templates for page in PAGES}),
        pages=PAGES,
        threads=ThreadPoolExecutor(THREADS, "console"),
    )


class WatchedLogins:
    """The logins of a file, which is read again when it changes. A file that cannot be used lets nobody in."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = load_logins(path)
        self._stamp = self._now()
        self._fault = ""

    def __call__(self) -> LoginFile:
        """Returns the present logins."""
        stamp = self._now()
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._file, self._fault = load_logins(self._path), ""
            except ConfigError as error:
                self._file, self._fault = LoginFile(), str(error)
                _log.error("the logins of the console cannot be used", extra={"error": self._fault})
        return self._file

    def _now(self) -> tuple[int, ...]:
        try:
            found = self._path.stat()
        except OSError:
            return ()
        return found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode


def is_near(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_https(config: Config) -> bool:
    """Whether people use HTTPS: at `console_url`, or at the admin port itself."""
    return config.console.url.startswith("https:") if config.console.url else config.tls.speaks(ADMIN)


async def serve(start: ConsoleStart) -> None:
    """Serves until SIGTERM."""
    settings = start.config.console
    assert settings.mode != "off"  # noqa: S101 - else there is no console
    mode: Mode = "write" if settings.mode == "write" else "read"
    console = console_of(start.config, mode, ProxyClient(start.proxy))
    entrance = Entrance(
        WatchedLogins(settings.logins) if settings.logins else LoginFile,
        is_https=is_https(start.config),
        has_tokens=settings.logins is not None,
        sign_in=sign_in_of(settings),
    )
    console.index.start()
    runner = web.AppRunner(
        console_app(console, entrance),
        access_log=None,
        handle_signals=False,
        handler_cancellation=True,
        shutdown_timeout=1,
    )
    await runner.setup()
    # A socket that an earlier process left behind keeps the address taken.
    start.socket.unlink(missing_ok=True)
    # The socket has its mode from its first moment: `chmod` afterwards would leave a gap for other users.
    before = os.umask(0o177)
    try:
        await web.UnixSite(runner, str(start.socket)).start()
    finally:
        os.umask(before)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    if not is_near(start.config.network.admin_host) and not is_https(start.config):
        _log.warning(
            "the console is open to other machines without TLS: whoever listens on the network can take a session",
            extra={"setting": f"{SETTINGS['tls_port'].names} or {SETTINGS['console_url'].names}"},
        )
    _log.info("the console is open", extra={"mode": mode, "pid": os.getpid()})
    await stop.wait()
    await runner.cleanup()
    console.index.close()


def end_with_the_proxy(source: int, start: ConsoleStart) -> None:
    """Ends this process when the proxy is gone: nothing is ever written to `source` any more."""

    def watch() -> None:
        while os.read(source, 4096):
            pass
        if start.folder is not None:
            shutil.rmtree(start.folder, ignore_errors=True)
        # No orderly end: threads of DuckDB may be at work, and there is nobody left to whom the end matters.
        os._exit(0)

    threading.Thread(target=watch, name="proxy-watch", daemon=True).start()


def run() -> int:
    """Runs the process to its end. Returns the exit code."""
    os.nice(NICE)  # where all cores are busy, requests come before pages
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as source:  # what comes later is for the watch
        line = source.readline(LIMIT_START_BYTES)
    try:
        start = ConsoleStart.read(line)
    except (ConfigError, ValueError, KeyError, TypeError) as error:
        sys.stderr.write(f"guardproxy: the console got no settings: {error}\n")
        return 2
    end_with_the_proxy(sys.stdin.fileno(), start)
    observability = start.config.observability
    configure_logs(observability.log_level, observability.log_format)
    asyncio.run(serve(start))
    return 0
