"""What the headers of an answer say of limits, in the words of each API."""

from __future__ import annotations

import pytest

from guardproxy.gateway.limit_headers import Remaining, duration, limit_headers

LEFT = [
    Remaining("requests", 60, 59, 1.0),
    Remaining("requests", 10, 1, 360.0),
    Remaining("tokens", 0, 0, 0.0),
    Remaining("parallel", 3, 0, 0.0),
    Remaining("cost", 3, 0, 0.0),
]


def test_openai() -> None:
    assert limit_headers(LEFT, "openai", 0.0) == {
        "x-ratelimit-limit-requests": "10",
        "x-ratelimit-remaining-requests": "1",
        "x-ratelimit-reset-requests": "6m0s",
        "x-ratelimit-limit-tokens": "0",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "0ms",
    }


def test_anthropic() -> None:
    assert limit_headers(LEFT[:2], "anthropic", 1_000_000_000.5) == {
        "anthropic-ratelimit-requests-limit": "10",
        "anthropic-ratelimit-requests-remaining": "1",
        "anthropic-ratelimit-requests-reset": "2001-09-09T01:52:40Z",
    }


def test_other_apis_have_no_such_headers() -> None:
    assert limit_headers(LEFT, "gemini", 0.0) == {}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0ms"), (0.012, "12ms"), (1.0, "1s"), (1.5, "1.5s"), (59.9994, "59.999s"), (60, "1m0s"), (360, "6m0s"),
     (3599.6, "1h0m0s"), (7203, "2h0m3s"), (90_000, "25h0m0s")],
)  # fmt: skip
def test_times_are_written_as_openai_does(seconds: float, text: str) -> None:
    assert duration(seconds) == text
