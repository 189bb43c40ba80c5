"""The file of client keys: what it may say, and what each change of `guardproxy keys` makes of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from guardproxy.errors import ConfigError, DownstreamError
from guardproxy.gateway.clients.client_file import (
    ACTIVE_KEYS,
    LIMIT_BYTES,
    ClientFile,
    StoredClient,
    new_key,
    prefix_of,
    read_client_file,
    utc,
    with_new_client,
    with_revoked_keys,
    with_rotated_key,
    write_client_file,
)
from guardproxy.gateway.clients.clients import Clients
from guardproxy.gateway.clients.credentials import digest

NOW = datetime(2030, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
ANN = StoredClient("ann", "acme")


def key(number: int) -> str:
    return new_key(f"{number:012x}", f"{number:043d}")


def with_ann(expires: datetime | None = None) -> ClientFile:
    return with_new_client(ClientFile(), ANN, key(1), NOW, expires)


def test_a_key_has_a_public_prefix_and_256_bits() -> None:
    assert prefix_of(key(7)) == "gp-000000000007"
    for wrong in ("", "gp-000000000007", key(7)[:-1], key(7) + "0", key(7).upper(), "sk-" + key(7)[3:], key(7) + "\n"):
        assert prefix_of(wrong) == ""
    with pytest.raises(ValueError, match="12 hexadecimal digits and 43 characters"):
        new_key("short", "0" * 43)


def test_a_file_is_written_as_it_is_read_and_holds_no_key() -> None:
    client = StoredClient("ann", "acme", models=("gpt-*",), policies=("strict",))
    file = with_new_client(ClientFile(), client, key(1), NOW, NOW + DAY)
    text = write_client_file(file)
    assert read_client_file(text, "keys.json") == file
    assert write_client_file(read_client_file(text, "keys.json")) == text
    assert key(1).rpartition("-")[2].encode() not in text
    assert digest(key(1)).encode() in text
    assert json.loads(text)["clients"][0]["keys"][0]["expires"] == "2030-01-02T00:00:00Z"


def changed(**members: Any) -> bytes:
    """The text of a file with a client that has other members; `keys__x`: a member of its key."""
    tree = json.loads(write_client_file(with_ann()))
    client = tree["clients"][0]
    for name, value in members.items():
        if name.startswith("keys__"):
            client["keys"][0][name.removeprefix("keys__")] = value
        else:
            client[name] = value
    return json.dumps(tree).encode()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"{", "k: Input data was truncated"),
        (b'{"version": 2}', r"k: Invalid enum value 2 - at `\$.version`"),
        (b'{"clients": [], "x": 1}', "unknown field `x`"),
        (b" " * (LIMIT_BYTES + 1), "the file is larger than 16777216 bytes"),
        (changed(name="a b"), "k: the client `a b`: `a b` is not a name"),
        (changed(tenant=""), "k: the client `ann`: `` is not a name"),
        (changed(tenant="a" * 65), "is not a name"),
        (changed(models=[]), "an empty `models` allows nothing"),
        (changed(models=["gpt-*", ""]), "an empty `models` allows nothing"),
        (changed(policies=[""]), "`policies` has an empty name"),
        (changed(keys__prefix="gp-1"), "`gp-1` is not the prefix of a key"),
        (changed(keys__digest="sha256:12"), "must be `sha256:` and 64 digits"),
        (changed(keys__digest="plain"), "must be `sha256:` and 64 digits"),
        (changed(keys__created="2030-01-31T00:00:00"), "a time of the key gp-000000000001 has no zone"),
        (changed(keys__expires="2030-01-31T00:00:00"), "a time of the key gp-000000000001 has no zone"),
        (changed(keys__expires="never"), "Invalid RFC3339 encoded datetime"),
        (changed(secret="x"), "unknown field `secret`"),
    ],
)
def test_a_wrong_file_is_refused(text: bytes, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_client_file(text, "k")


def test_a_name_and_a_prefix_stand_in_a_file_once() -> None:
    client = with_ann().clients[0]
    for other, what in (
        (StoredClient("Ann", "x"), "client `ann`"),
        (StoredClient("bob", "x", client.keys), "prefix `gp-000000000001`"),
    ):
        with pytest.raises(ConfigError, match=f"k: the {what} is listed twice"):
            read_client_file(write_client_file(ClientFile(clients=(client, other))), "k")
    with pytest.raises(ConfigError, match="the client `ANN` exists already"):
        with_new_client(with_ann(), StoredClient("ANN", "x"), key(2), NOW, None)


def test_a_rotated_key_is_accepted_for_a_while() -> None:
    file = with_rotated_key(with_ann(), "ann", key(2), NOW, DAY, None)
    old, new = file.client("ann").keys
    assert (old.prefix, old.expires, new.prefix, new.expires) == (prefix_of(key(1)), NOW + DAY, prefix_of(key(2)), None)
    with pytest.raises(ConfigError, match="`ann` has 2 active keys, gp-000000000001 and gp-000000000002: revoke one"):
        with_rotated_key(file, "ann", key(3), NOW, DAY, None)
    later = with_rotated_key(file, "ann", key(3), NOW + DAY, DAY, NOW + 9 * DAY)
    assert [stored.prefix for stored in later.client("ann").keys] == [prefix_of(key(2)), prefix_of(key(3))]
    early = with_rotated_key(with_ann(NOW + DAY), "ann", key(2), NOW, 7 * DAY, None)
    assert early.client("ann").keys[0].expires == NOW + DAY, "a rotation makes no key live longer"
    assert with_rotated_key(with_ann(), "ann", key(2), NOW, 0 * DAY, None).client("ann").active_keys(NOW)[0].prefix == (
        prefix_of(key(2))
    )


def test_a_revoked_key_is_gone_and_its_client_stays() -> None:
    file = with_rotated_key(with_ann(), "ann", key(2), NOW, DAY, None)
    assert [stored.prefix for stored in with_revoked_keys(file, "ann", prefix_of(key(1))).client("ann").keys] == [
        prefix_of(key(2))
    ]
    none = with_revoked_keys(file, "ann")
    assert (none.client("ann").keys, none.client("ann").tenant) == ((), "acme")
    with pytest.raises(ConfigError, match=r"`ann` has no key \(keys: none\)"):
        with_revoked_keys(none, "ann")
    with pytest.raises(ConfigError, match=r"`ann` has no key gp-x \(keys: gp-000000000001, gp-000000000002\)"):
        with_revoked_keys(file, "ann", "gp-x")
    with pytest.raises(ConfigError, match=r"no client is called `bob` \(clients: ann\)"):
        with_revoked_keys(file, "bob")
    with pytest.raises(ConfigError, match=r"\(clients: there is none yet\)"):
        ClientFile().client("ann")


def test_other_clients_do_not_change() -> None:
    file = with_new_client(with_ann(), StoredClient("bob", "beta"), key(2), NOW, None)
    assert with_rotated_key(file, "bob", key(3), NOW, DAY, None).client("ann") == file.client("ann")


def test_a_time_has_a_zone() -> None:
    assert utc(0.0).isoformat() == "1970-01-01T00:00:00+00:00"


class Life(RuleBasedStateMachine):
    """A client's keys over time, beside a table that says which key is accepted until when."""

    def __init__(self) -> None:
        super().__init__()
        self.file, self.now, self.made = with_ann(), NOW, 1
        self.until: dict[str, datetime | None] = {key(1): None}

    @rule(hours=st.integers(1, 50))
    def wait(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @precondition(lambda self: len(self.file.client("ann").active_keys(self.now)) < ACTIVE_KEYS)
    @rule(grace=st.integers(0, 48), lives=st.none() | st.integers(1, 100))
    def rotate(self, grace: int, lives: int | None) -> None:
        self.made += 1
        end = self.now + timedelta(hours=grace)
        expires = None if lives is None else self.now + timedelta(hours=lives)
        self.file = with_rotated_key(self.file, "ann", key(self.made), self.now, timedelta(hours=grace), expires)
        self.until = {old: min(end, until or end) for old, until in self.until.items()}
        self.until[key(self.made)] = expires

    @precondition(lambda self: self.file.client("ann").keys)
    @rule(data=st.data())
    def revoke(self, data: st.DataObject) -> None:
        prefix = data.draw(st.sampled_from([stored.prefix for stored in self.file.client("ann").keys]))
        self.file = with_revoked_keys(self.file, "ann", prefix)
        self.until = {old: until for old, until in self.until.items() if prefix_of(old) != prefix}

    @invariant()
    def accepted_are_those_of_the_table(self) -> None:
        clients = Clients(read_client_file(write_client_file(self.file), "k"))
        for number in range(1, self.made + 1):
            wanted = key(number) in self.until and ((until := self.until[key(number)]) is None or self.now < until)
            try:
                client = clients.client(key(number), self.now.timestamp())
            except DownstreamError:
                client = None
            assert (client is not None) == wanted
        assert len(self.file.client("ann").active_keys(self.now)) <= ACTIVE_KEYS


TestLife = Life.TestCase


@given(st.text(max_size=80))
def test_no_text_but_a_key_has_a_prefix(text: str) -> None:
    prefix = prefix_of(text)
    assert prefix == "" or (len(text) == 59 and text.startswith(prefix + "-"))
