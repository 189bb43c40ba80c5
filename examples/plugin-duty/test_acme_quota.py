"""The tests of a duty: what it decides follows from the head and from the answers of the store."""

import pytest
from acme_quota import build

from guardproxy.errors import DownstreamError
from guardproxy.gateway import Head, StoreAnswered, rerun

HEAD = Head("x", route="POST /v1/chat/completions", tenant="acme", unix_s=1_000_030.0)


def test_three_requests_are_admitted() -> None:
    assert rerun([build()], HEAD, [StoreAnswered("quota", (3,))]) == HEAD


def test_a_fourth_is_refused_until_the_minute_ends() -> None:
    with pytest.raises(DownstreamError, match="more than 3 requests") as refused:
        rerun([build()], HEAD, [StoreAnswered("quota", (4,))])
    assert (refused.value.status, refused.value.retry_s) == (429, 51)
