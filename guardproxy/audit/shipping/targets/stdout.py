"""Writes copies of lines to a stream, such as standard output. A terminal gets the same JSON in printable ASCII."""

from __future__ import annotations

import sys
from typing import BinaryIO

from guardproxy.audit.shipping.shipping import Batch
from guardproxy.errors import AuditError
from guardproxy.printable import ascii_json


class StreamTarget:
    """Writes lines to `stream`, by default standard output."""

    def __init__(self, stream: BinaryIO | None = None) -> None:
        self._stream = stream or sys.stdout.buffer

    def send(self, batch: Batch) -> None:
        try:
            is_shown = self._stream.isatty()
            self._stream.write(ascii_json(batch.data.decode("utf-8", "replace")).encode() if is_shown else batch.data)
            self._stream.flush()
        except OSError as error:
            raise AuditError(f"standard output: {error.strerror}") from None

    def close(self) -> None:
        """Leaves the stream open."""
