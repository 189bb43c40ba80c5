"""Clients with their keys, as a list."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from guardproxy.console.pages.keys.clients import LIMIT_PAGE, client_line, client_page
from guardproxy.gateway.clients import ClientFile, StoredClient, StoredKey

NOW = datetime(2030, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def key(number: int, ends: int | None = None) -> StoredKey:
    """A key that ends after a number of days, if at all."""
    end = None if ends is None else NOW + ends * DAY
    return StoredKey(f"gp-{number:012x}", "sha256:" + "0" * 64, NOW - (10 - number) * DAY, end)


@pytest.mark.parametrize(
    ("keys", "state", "kind", "newest"),
    [
        ((), "revoked", "quiet", None),
        ((key(1),), "active", "good", 1),
        ((key(1, 90),), "active", "good", 1),
        ((key(1, 3),), "ends soon", "warn", 1),
        ((key(1, -3),), "expired", "warn", 1),
        ((key(1, 1), key(2)), "changes over", "warn", 2),
        ((key(1, -1), key(2)), "active", "good", 2),
    ],
)
def test_a_client_is_as_its_keys_are(keys: tuple[StoredKey, ...], state: str, kind: str, newest: int | None) -> None:
    line = client_line(StoredClient("bot", "acme", keys, None, ("strict",)), NOW, {"bot": 7})
    assert (line.state, line.kind, line.requests, line.models, line.policies) == (state, kind, 7, (), ("strict",))
    assert (line.newest.prefix if line.newest else None) == (None if newest is None else f"gp-{newest:012x}")


def test_the_list_has_pages_in_the_order_of_names() -> None:
    clients = tuple(StoredClient(f"c{number:03}", "acme" if number % 2 else "Beta") for number in range(120, 0, -1))
    file = ClientFile(clients=clients)
    first, last = client_page(file, NOW, {}, "", 0), client_page(file, NOW, {}, "", 99)
    assert [line.name for line in first.lines[:2]] == ["c001", "c002"]
    assert (len(first.lines), first.has_more, first.total) == (LIMIT_PAGE, True, 120)
    assert (last.number, len(last.lines), last.has_more) == (2, 20, False)
    assert client_page(file, NOW, {}, " BETA", -1).total == 60
    assert client_page(file, NOW, {}, "c007", 3).lines[0].name == "c007"
    assert client_page(file, NOW, {}, "nobody", 1).lines == ()
