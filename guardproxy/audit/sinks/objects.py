"""Puts copies of lines into an object store: S3, Google Cloud Storage, Azure, or a folder."""

from __future__ import annotations

from guardproxy.audit.shipping import Batch
from guardproxy.errors import AuditError, ConfigError


class ObjectTarget:
    """Puts each batch as an object `LOG/FIRST-LAST.jsonl` below `url`. Credentials come from the environment, as usual
    for the store. Raises `ConfigError` without the package or for a wrong URL."""

    def __init__(self, url: str) -> None:
        try:
            from obstore.store import from_url  # noqa: PLC0415
        except ImportError:
            raise ConfigError('object stores need obstore: pip install "guardproxy[objects]"') from None
        try:
            self._store = from_url(url)
        except Exception as error:
            raise ConfigError(f"not an object store: {error}") from None

    def send(self, batch: Batch) -> None:
        name = f"{batch.log}/{batch.first + 1:012}-{batch.last + 1:012}.jsonl"  # line numbers from 0, the header is 0
        try:
            self._store.put(name, batch.data)
        except Exception as error:
            raise AuditError(f"the object store refuses: {type(error).__name__}") from None

    def close(self) -> None:
        """Does nothing: the store keeps its own connections."""
