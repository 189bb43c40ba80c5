"""Whose key seals the texts of an exchange."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardproxy.audit import Owner
from guardproxy.audit.record import PrivateRecord
from guardproxy.exchange.inputs.data_subject import owner_of
from guardproxy.exchange.inputs.transcript import RequestReceived
from guardproxy.exchange.player import play
from guardproxy.wire.contract import USER_FIELDS
from tests.kit.play import Play
from tests.kit.sealing import asked, policies, private

TALK = Owner("conversation", "t", "c")


def ann(name: str = "ann") -> Owner:
    return Owner("subject", "t", name)


@pytest.mark.parametrize(
    ("subjects", "tree", "headers", "expected"),
    [
        (("user",), {"user": "ann"}, {}, ann()),
        (("user",), {"safety_identifier": "ann", "user": "bob"}, {}, ann()),
        (("user",), {"metadata": {"user_id": "ann"}}, {}, ann()),
        (("user",), {"metadata": "ann", "user": 3, "safety_identifier": ""}, {}, TALK),
        (("user",), {"metadata": {"user_id": ["ann"]}}, {}, TALK),
        (("user",), ["user"], {}, TALK),
        (("user",), {}, {}, TALK),
        ((), {"user": "ann"}, {}, TALK),
        (("header:x-user",), {"user": "bob"}, {"x-user": "ann"}, ann()),
        (("header:x-user",), {"user": "bob"}, {"x-other": "ann"}, TALK),
        (("header:x-user",), {"user": "bob"}, None, TALK),
        (("header:x-user", "user"), {"user": "bob"}, {"x-user": ""}, ann("bob")),
        (("tenant",), {"user": "ann"}, {}, Owner("tenant", "t", "")),
        (("conversation", "user"), {"user": "ann"}, {}, TALK),
    ],
)
def test_the_first_that_a_request_names(
    subjects: tuple[str, ...], tree: Any, headers: dict[str, str] | None, expected: Owner
) -> None:
    assert owner_of(subjects, USER_FIELDS, tree, headers, "t", "c") == expected


def test_without_a_credential_there_is_no_tenant() -> None:
    assert owner_of(("tenant",), USER_FIELDS, {}, {}, "", "c") == Owner("conversation", "", "c")


def test_the_request_names_the_owner() -> None:
    assert private(user="ann").private.owner == Owner("subject", "tenant", "ann")
    assert private().private.owner == Owner("conversation", "tenant", "seal")
    playing = Play(policies("{keep: sealed, subject: 'header:x-user'}"))
    received = RequestReceived(json.dumps(asked()).encode(), headers={"x-user": "ann"})
    play(playing.exchange, [received], playing.perform)
    record = playing.exchange.record("answered")
    assert isinstance(record, PrivateRecord)
    assert record.private.owner == Owner("subject", "tenant", "ann")


def test_a_request_that_was_not_read_has_no_texts_to_seal() -> None:
    record = Play(policies()).ask(b"{").finish.record
    assert record.document()["outcome"] == "refused"
