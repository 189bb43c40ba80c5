"""Which of an answer's headers go on: known names whose values hold no text, and none that repeats what was found."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from guardproxy.server.headers import downstream_headers

USUAL = {
    "Content-Type": "application/json; charset=utf-8",
    "x-request-id": "req_011CSHoEeqs5C35K2UUqR7Fy",
    "request-id": "1b2c-3d",
    "retry-after": "12.5",
    "retry-after-ms": "900",
    "x-should-retry": "false",
    "openai-processing-ms": "512",
    "openai-version": "2020-10-01",
    "x-ratelimit-limit-requests": "10000",
    "x-ratelimit-reset-tokens": "6m0.5s",
    "anthropic-ratelimit-input-tokens-remaining": "80000",
    "anthropic-ratelimit-requests-reset": "2026-11-25T10:00:00Z",
}


def kept(**headers: str) -> dict[str, str]:
    return dict(downstream_headers(CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})))


def test_what_clients_use_goes_on() -> None:
    assert dict(downstream_headers(CIMultiDict(USUAL))) == USUAL


@pytest.mark.parametrize(
    "name",
    ["set-cookie", "server", "date", "etag", "content-length", "transfer-encoding", "location", "x-echo", "x-prompt",
     "warning", "x-ratelimit-note", "openai-debug"],
)  # fmt: skip
def test_every_other_name_stays_behind(name: str) -> None:
    assert kept(**{name: "1"}) == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-request-id", "jane@corp.example"),
        ("x-request-id", "two words"),
        ("x-request-id", "x" * 129),
        ("x-request-id", ""),
        ("content-type", "text/html; jane doe"),
        ("x-ratelimit-limit-requests", "jane"),
        ("x-should-retry", "maybe"),
        ("retry-after", "-1"),
        ("retry-after", "999999999"),
        ("retry-after", "1.5.5"),
        ("retry-after-ms", "99999999"),
    ],
)
def test_a_value_of_another_shape_stays_behind(name: str, value: str) -> None:
    assert kept(**{name: value}) == {}


def test_what_the_connection_names_stays_behind() -> None:
    assert kept(connection="x-request-id", x_request_id="a") == {}


def test_what_repeats_a_value_that_was_found_stays_behind() -> None:
    headers = CIMultiDict({"x-request-id": "for-MARA-1", "request-id": "for-jo", "cf-ray": "%6Aane".replace("%", "x")})
    assert dict(downstream_headers(headers, ["mara", ""])) == {"request-id": "for-jo", "cf-ray": "x6Aane"}
