"""Writes copies of lines to a stream, such as standard output."""

from __future__ import annotations

import sys
from typing import BinaryIO

from guardproxy.audit.shipping import Batch
from guardproxy.errors import AuditError


class StreamTarget:
    """Writes lines to `stream`, by default standard output."""

    def __init__(self, stream: BinaryIO | None = None) -> None:
        self._stream = stream or sys.stdout.buffer

    def send(self, batch: Batch) -> None:
        try:
            self._stream.write(batch.data)
            self._stream.flush()
        except OSError as error:
            raise AuditError(f"standard output: {error.strerror}") from None

    def close(self) -> None:
        """Leaves the stream open."""
