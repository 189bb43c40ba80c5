"""Puts copies of lines into an object store: S3, Google Cloud Storage, Azure, or a folder."""

from __future__ import annotations

from guardproxy.audit.shipping.shipping import Batch
from guardproxy.audit.storage.object_store import ObjectStore


class ObjectTarget:
    """Puts each batch as an object `LOG/FIRST-LAST.jsonl` below `url`. Raises `ConfigError` without the package or for a
    wrong URL."""

    def __init__(self, url: str) -> None:
        self._store = ObjectStore(url)

    def send(self, batch: Batch) -> None:
        name = f"{batch.log}/{batch.first + 1:012}-{batch.last + 1:012}.jsonl"  # line numbers from 0, the header is 0
        self._store.put(name, batch.data)

    def close(self) -> None:
        """Does nothing: the store keeps its own connections."""
