"""The folder of the file of client keys, which `guardproxy keys` and the console change.

In: a change, and the time. Out: the file, replaced while a lock is held, so that changes at the same time lose nothing. A
running proxy reads the file again by itself. Kept: nothing; the file holds digests of keys, and a key is nowhere
but with its caller.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from guardproxy.audit import Disk, folder_lock, reason, replace_file
from guardproxy.errors import ConfigError
from guardproxy.gateway.clients.client_file import (
    FILE_NAME,
    ClientFile,
    StoredClient,
    read_client_file,
    with_new_client,
    with_revoked_keys,
    with_rotated_key,
    write_client_file,
)

_PERIOD = re.compile(r"(\d{1,6})([smhd])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class KeyFolder:
    """The file of keys in a folder. Its methods raise `ConfigError` for a wrong change, and for a file that cannot be read or
    written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / FILE_NAME

    def read(self) -> ClientFile:
        """Returns the clients."""
        try:
            return read_client_file(self.path.read_bytes(), str(self.path))
        except OSError as error:
            why = (error.strerror or "no reason given").lower()
            raise ConfigError(f"cannot read {self.path}: {why}") from None

    def create(self, client: StoredClient, key: str, now: datetime, expires: datetime | None) -> None:
        """Adds a client with its first key. Makes the folder if there is none."""
        self._change(lambda file: with_new_client(file, client, key, now, expires))

    def rotate(self, name: str, key: str, now: datetime, grace: timedelta, expires: datetime | None) -> None:
        """Adds a key to a client. Its present key is accepted for `grace` more."""
        self._change(lambda file: with_rotated_key(file, name, key, now, grace, expires))

    def revoke(self, name: str, prefix: str = "") -> None:
        """Removes the key of a client with this prefix, or all its keys."""
        self._change(lambda file: with_revoked_keys(file, name, prefix))

    def _change(self, change: Callable[[ClientFile], ClientFile]) -> None:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # The file is read under the lock too: two people who change it at once would otherwise undo each other.
            with folder_lock(self.folder):
                changed = change(self.read() if self.path.exists() else ClientFile())
                text = write_client_file(changed)
                read_client_file(text, str(self.path))  # a name or a glob may be wrong
                disk = Disk()
                replace_file(disk, self.path, text)
                disk.sync_folder(self.folder)
        except OSError as error:
            raise ConfigError(f"cannot write {self.path}: {reason(error)}") from None

    @staticmethod
    def end(when: str, now: datetime) -> datetime | None:
        """Returns the time that words name: a period such as `90d`, or a time; `None` for no words."""
        if not when:
            return None
        try:
            end = now + KeyFolder.period(when) if _PERIOD.fullmatch(when) else datetime.fromisoformat(when)
        except (ValueError, OverflowError):
            raise ConfigError(
                f"`{when}` is neither a period such as `90d` nor a time such as 2030-01-31T00:00:00Z"
            ) from None
        if end.tzinfo is None:
            raise ConfigError(f"`{when}` has no time zone: write `{when}Z` for UTC")
        if end <= now:
            raise ConfigError(f"`{when}` has passed")
        return end.astimezone(UTC).replace(microsecond=0)

    @staticmethod
    def period(text: str) -> timedelta:
        """Returns the period that words name."""
        match = _PERIOD.fullmatch(text)
        if match is None:
            raise ConfigError(f"`{text}` is not a period such as `30m`, `24h` or `7d`")
        return timedelta(**{_UNITS[match[2]]: int(match[1])})
