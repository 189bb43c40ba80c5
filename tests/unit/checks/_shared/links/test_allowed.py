"""An allowed address has the plainest form; every other form of an allowed host is found."""

from __future__ import annotations

import pytest

from guardproxy.checks._shared.links.allowed import Allowed
from guardproxy.checks._shared.links.signs import AddressSigns

ALLOWED = Allowed(frozenset(("ok.example", "*.ok.example", "ok.example:8443")), frozenset(("https", "mailto")))
PLAIN = " \n"


def end(text: str, *, stops: str = PLAIN, last: bool = True) -> int | None:
    sign = AddressSigns(names=False).next(text, 0)
    assert sign is not None
    return ALLOWED.end(text, 0, sign, stops=stops, last=last)


@pytest.mark.parametrize(
    "text",
    [
        "https://ok.example",
        "https://ok.example/",
        "https://ok.example/a/b?c=d#e",
        "https://ok.example?c",
        "https://ok.example#e",
        "HTTPS://OK.Example/",
        "https://a.b.ok.example/",
        "https://ok.example:8443/",
        "https://ok.example, and",
        "https://ok.example.",
        "https://ok.example.)",
        "https://ok.example) more",
        "https://ok.example) v1.2",
        "https://ok.example** more",
        "https://ok.example/user@other.example",
        "https://ok.example/\\@other.example",
        "https://ok.example)|[b](x:",
    ],
)
def test_a_plain_address_of_an_allowed_host_is_allowed_up_to_its_host(text: str) -> None:
    after = end(text)
    assert after is not None
    assert text[:after].lower().removesuffix(":8443").endswith("ok.example")


@pytest.mark.parametrize(
    "text",
    [
        "http://ok.example/",
        "ftp://ok.example/",
        "https:ok.example",
        "https:/ok.example",
        "https:\\\\ok.example",
        "https:/\\ok.example",
        "https&colon;//ok.example/",
        "https:&sol;/ok.example",
        "https:\t//ok.example/",
        "https://ok.example:443/",
        "https://ok.example:8443x/",
        "https://ok.example./",
        "https://ok.example@evil.example/",
        "https://ok.example:8443@evil.example",
        "https://ok.example%40evil.example",
        "https://ok.example\\@evil.example",
        "https://ok.example,.evil.example",
        "https://ok.example'.evil.example/",
        "https://ok.example).evil",
        "https://ok.example。evil.example",
        "https://ok.example&period;evil.example",
        "https://ok.example\u200b.evil.example",
        "https://ok.exampleé.evil/",
        "https://ok.exämple/",
        "https://xok.example/",
        "https://[::1]/",
        "https:///ok.example/",
        "https://",
        "https://\u00adok.example/",
        "https://ok.example" + ")" * 600,
        "javascript:x",
    ],
)
def test_an_address_in_any_other_form_is_not(text: str) -> None:
    assert end(text) is None


def test_the_end_of_the_address_is_that_of_its_parser() -> None:
    quoted = "https://ok.example' @evil.example/\">x"
    assert end(quoted, stops='"') is None, "white space and another quote go on in an attribute"
    assert end(quoted, stops=PLAIN) == len("https://ok.example")
    assert end('https://ok.example">v1.2', stops='"') == len("https://ok.example")
    assert end("https://ok.example\t.evil.example", stops="") is None


def test_more_text_is_needed_until_the_host_has_ended() -> None:
    text = "https://ok.example"
    for size in range(len("https://"), len(text) + 1):
        assert end(text[:size], last=False) == 0
    assert end(text + "/", last=False) == len(text)
    assert end(text + " ", last=False) == len(text)


def test_a_scheme_without_a_host_is_allowed_by_the_list() -> None:
    assert end("mailto:a@evil.example?body=x") == len("mailto:")
    assert end("tel:1") is None
    nothing = Allowed(frozenset(), frozenset(("https",)))
    sign = AddressSigns(names=False).next("https://a/", 0)
    assert sign is not None
    assert nothing.end("https://a/", 0, sign, stops="", last=True) is None
