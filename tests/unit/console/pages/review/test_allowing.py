"""Each check has its own way to allow a value, as its options declare."""

from __future__ import annotations

import pytest

from guardproxy.checks import ALLOW, Resources, build, check_names, options
from guardproxy.console.pages.review.allowing import allowed_value


@pytest.mark.parametrize("use", sorted(check_names()))
def test_every_check_has_a_list_or_another_way(use: str) -> None:
    allowed = allowed_value("c", use, " docs.example.com ")
    assert allowed.is_possible != bool(allowed.advice)
    if options(use).get("allow") is ALLOW["allow"]:
        assert (allowed.option, allowed.value) == ("allow", "docs.example.com")
    if allowed.is_possible:
        assert allowed.option in options(use)
    else:
        assert "`c`" in allowed.advice


@pytest.mark.parametrize(
    ("value", "host"),
    [
        ("https://docs.example.com/a?b=c", "docs.example.com"),
        ("docs.example.com:8080/a", "docs.example.com"),
        ("//docs.example.com", "docs.example.com"),
    ],
)
def test_links_allow_hosts(value: str, host: str) -> None:
    allowed = allowed_value("link", "links", value)
    assert (allowed.option, allowed.value) == ("allow", host)
    build("links", "link", {"allow": [allowed.value]}, Resources())


@pytest.mark.parametrize("value", ["https://[::1", "///", "mailto:", "/path"])
def test_an_address_without_a_host_cannot_be_allowed(value: str) -> None:
    assert not allowed_value("link", "links", value).is_possible


def test_a_name_that_is_meant_otherwise_is_a_phrase() -> None:
    allowed = allowed_value("rivals", "words", "apple pie")
    assert (allowed.option, allowed.value) == ("unless", "apple pie")
