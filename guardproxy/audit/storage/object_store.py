"""An object store: S3, Google Cloud Storage, Azure, or a folder.

In: the URL of a bucket or a folder, objects. Out: stored objects. Kept: the connections of the store. Credentials come from the
environment, as usual for the store.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from guardproxy.errors import AuditError, ConfigError

SCHEMES = ("s3", "gs", "az", "file")


class ObjectStore:
    """Puts objects below `url`. `timeout_s`: the time limit for an object, retries included; 0: the store's own. Raises
    `ConfigError` without the package or for a wrong URL."""

    def __init__(self, url: str, timeout_s: float = 0.0) -> None:
        try:
            from obstore.store import from_url  # noqa: PLC0415
        except ImportError:
            raise ConfigError('object stores need obstore: pip install "guardproxy[objects]"') from None
        options: dict[str, Any] = {}
        if timeout_s and not url.lower().startswith("file:"):
            is_http = os.environ.get("AWS_ALLOW_HTTP", "").lower() in (
                "true",
                "1",
            )  # options replace those of the environment
            limit = timedelta(seconds=timeout_s / 2)  # for each of two attempts
            options = {"client_options": {"timeout": limit, "allow_http": is_http}}
            options["retry_config"] = {"max_retries": 1, "retry_timeout": limit}
        try:
            self._store = from_url(url, **options)
        except Exception as error:
            raise ConfigError(f"not an object store: {str(error).partition(chr(10))[0]}") from None

    def put(self, name: str, data: bytes) -> None:
        """Returns when the store has the object. Raises `AuditError`."""
        try:
            self._store.put(name, data)
        except Exception as error:
            raise AuditError(f"the object store refuses: {type(error).__name__}") from None
