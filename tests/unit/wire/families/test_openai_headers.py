"""The headers of OpenAI's API: what their values may be."""

from __future__ import annotations

import pytest

from guardproxy.wire.families.openai_headers import LIMIT_HEADERS, OPENAI_HEADERS, duration
from guardproxy.wire.registry import codecs


@pytest.mark.parametrize(
    ("name", "value", "passes"),
    [
        ("openai-organization", "org-abc123", True),
        ("openai-organization", "org-41112222", False),
        ("openai-project", "proj_abc", True),
        ("openai-project", "two words", False),
    ],
)
def test_a_header_of_an_account_has_no_room_for_a_text(name: str, value: str, passes: bool) -> None:
    assert (OPENAI_HEADERS.account[name].pattern.fullmatch(value) is not None) == passes


def test_the_formats_of_the_api_share_them() -> None:
    formats = [codec for codec in codecs() if codec.provider == "openai"]
    assert len(formats) > 1
    assert all(codec.contract.headers is OPENAI_HEADERS for codec in formats)
    assert all(codec.contract.limit_headers is LIMIT_HEADERS for codec in formats)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0ms"), (0.012, "12ms"), (1.0, "1s"), (1.5, "1.5s"), (59.9994, "59.999s"), (60, "1m0s"), (360, "6m0s"),
     (3599.6, "1h0m0s"), (7203, "2h0m3s"), (90_000, "25h0m0s")],
)  # fmt: skip
def test_times_are_written_as_the_api_does(seconds: float, text: str) -> None:
    assert duration(seconds) == text
