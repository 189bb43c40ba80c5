from __future__ import annotations

import pytest

from guardproxy.console.access.forgery import is_from_elsewhere, is_token


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, False),
        ({"Sec-Fetch-Site": "same-origin"}, False),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://guard.example", "Host": "127.0.0.1:9090"}, False),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "same-site"}, True),
        ({"Sec-Fetch-Site": "cross-site"}, True),
        ({"Origin": "http://127.0.0.1:9090", "Host": "127.0.0.1:9090"}, False),
        ({"Origin": "http://127.0.0.1:8080", "Host": "127.0.0.1:9090"}, True),
        ({"Origin": "null", "Host": "127.0.0.1:9090"}, True),
        ({"Origin": "http://[", "Host": "127.0.0.1:9090"}, True),
        ({"Origin": "http://evil.example"}, True),
    ],
)
def test_a_browser_says_where_a_request_comes_from(headers: dict[str, str], expected: bool) -> None:
    assert is_from_elsewhere(headers) is expected


def test_a_token_is_that_of_the_session() -> None:
    assert is_token("abc", "abc")
    assert not is_token("abc", "")
    assert not is_token("abc", "abcd")
    assert not is_token("abc", "\udcff")
