"""The headers of OpenAI's API: what their values may be."""

from __future__ import annotations

import pytest

from guardproxy.wire.openai_headers import OPENAI_HEADERS
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
