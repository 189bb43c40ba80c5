"""The folder of client keys: changes replace the file while a lock is held, and words name times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from guardproxy.errors import ConfigError
from guardproxy.gateway.clients.client_file import FILE_NAME, StoredClient, new_key, prefix_of
from guardproxy.gateway.clients.key_folder import KeyFolder

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def key(number: int) -> str:
    return new_key(f"{number:012x}", f"{number:043d}")


def test_a_key_is_created_rotated_and_revoked(tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path / "keys")
    folder.create(StoredClient("ann", "acme"), key(1), NOW, None)
    folder.rotate("ann", key(2), NOW, timedelta(days=1), None)
    (client,) = folder.read().clients
    assert len(client.keys) == 2
    folder.revoke("ann", prefix_of(key(1)))
    (client,) = folder.read().clients
    assert [stored.prefix for stored in client.keys] == [prefix_of(key(2))]
    folder.revoke("ann")
    (client,) = folder.read().clients
    assert client.keys == ()
    assert key(2).rpartition("-")[2] not in folder.path.read_text()


def test_what_cannot_be_read_or_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        KeyFolder(tmp_path).read()
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(ConfigError, match="cannot write"):
        KeyFolder(tmp_path / "file").create(StoredClient("ann", ""), key(1), NOW, None)
    with pytest.raises(ConfigError):
        KeyFolder(tmp_path / "keys").revoke("nobody")
    assert not (tmp_path / "keys" / FILE_NAME).exists()


@pytest.mark.parametrize(
    ("when", "end"),
    [
        ("", None),
        ("90d", NOW + timedelta(days=90)),
        ("2030-01-02T00:00:00+01:00", NOW + timedelta(hours=23)),
    ],
)
def test_words_name_an_end(when: str, end: datetime | None) -> None:
    assert KeyFolder.end(when, NOW) == end


@pytest.mark.parametrize(
    ("when", "why"),
    [
        ("soon", "neither a period"),
        ("2030-01-02", "no time zone"),
        ("2029-01-01T00:00:00Z", "has passed"),
    ],
)
def test_words_that_name_no_end_are_refused(when: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        KeyFolder.end(when, NOW)


def test_a_period_has_a_unit() -> None:
    assert KeyFolder.period("30m") == timedelta(minutes=30)
    with pytest.raises(ConfigError, match="is not a period"):
        KeyFolder.period("30")
