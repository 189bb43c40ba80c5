"""Keeps records: one log a process, durable before the caller goes on. When the log cannot be written, traffic is
refused (`healthy` is false) until the process is restarted on a working disk.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from guardproxy.audit.sinks import opened


class Recorder:
    """`folder`: where logs live. `worker`: tells the logs of several processes apart. `sink`: what keeps them."""

    def __init__(self, folder: Path, worker: int, engine: str, sink: str = "file") -> None:
        self._sink = opened(sink, folder, f"audit-{worker}", {"log": secrets.token_hex(8), "engine": engine})

    @property
    def healthy(self) -> bool:
        return self._sink.healthy

    @property
    def head(self) -> tuple[int, str]:
        return self._sink.head

    @property
    def waiting(self) -> int:
        return self._sink.waiting

    async def keep(self, record: Mapping[str, Any]) -> None:
        """Returns when the record is on disk. Raises `AuditError`. A record that was taken is kept even if the caller
        is cancelled."""
        await asyncio.wrap_future(self._sink.append(record))

    def take(self, record: Mapping[str, Any]) -> None:
        """Keeps a record whose client is gone: nobody waits."""
        self._sink.append(record)

    def close(self) -> None:
        self._sink.close()


def key_of(folder: Path, key: str) -> bytes:
    """The secret behind placeholders: the given one, or one that was made here before, or a new one (mode 0600)."""
    if key:
        return key.encode()
    path = folder / "placeholder.key"
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_hex(32).encode())
    except FileExistsError:
        pass
    return path.read_bytes()
