"""The signs of an address in every spelling, and where the end of a text may begin one."""

from __future__ import annotations

from itertools import product

import pytest

from guardproxy.checks._shared.links.signs import REACH, AddressSigns, decoded

SIGNS = AddressSigns(names=False)
COLONS = (":", "&colon;", "&#58;", "&#58", "&#0000058;", "&#x3a;", "&#X3A", "%3a", "%3A", "\\x3a", "\\u003A", "\\3a ")
SLASHES = (
    "/",
    "\\",
    "&sol;",
    "&bsol;",
    "&#47;",
    "&#0047",
    "&#x2F;",
    "&#92;",
    "%2f",
    "%5C",
    "\\x2f",
    "\\u002f",
    "\\00002f ",
)
DROPPED = ("", "\t", "\n", "\r\n", "\u200b", "&Tab;", "&NewLine;", "&#9;", "&#x0000d", "\x00", "\u00ad\u2060")


@pytest.mark.parametrize("colon", COLONS)
def test_a_colon_and_two_slashes_are_one_sign_in_every_spelling(colon: str) -> None:
    for slash, dropped in product(SLASHES, DROPPED):
        text = f"x{colon}{dropped}{slash}{dropped}{slash}y"
        sign = SIGNS.next(text, 1)
        assert sign is not None, text
        assert (sign["colon"].strip(), sign.end()) == (colon.strip(), len(text) - 1), text


@pytest.mark.parametrize("slash", SLASHES)
def test_two_slashes_are_a_sign(slash: str) -> None:
    for dropped in DROPPED:
        sign = SIGNS.next(f"x {slash}{dropped}/y", 0)
        assert sign is not None, dropped
        assert sign["pair"]


@pytest.mark.parametrize("dot", [".", "。", "．", "｡", "&period;", "&#46;", "&#x2e", "%2E", "\\x2e", "\\u002e"])
@pytest.mark.parametrize("www", ["www", "WWW", "wWw"])
def test_www_and_a_dot_are_a_sign(www: str, dot: str) -> None:
    sign = SIGNS.next(f" {www}{dot}y", 0)
    assert sign is not None
    assert sign["www"]


@pytest.mark.parametrize("text", ["", "plain words", "a/b", "w.w.w", "50 % of", "R&D; A&B", "tab\\next", "&#5;8"])
def test_ordinary_text_has_no_sign(text: str) -> None:
    assert SIGNS.next(text, 0) is None
    assert SIGNS.first_open(text + " ", 0) == len(text) + 1


@pytest.mark.parametrize("text", ["a.com/", "a.co.uk?x", "a.xn--p1ai#", "10.0.0.1/", "a.com:80/", "a.com./"])
def test_the_end_of_a_host_name_is_a_sign_only_if_names_are_looked_for(text: str) -> None:
    assert SIGNS.next(text.replace(":80", ""), 0) is None
    sign = AddressSigns(names=True).next(text, 0)
    assert sign is not None
    assert sign["name"]


@pytest.mark.parametrize("names", [False, True])
def test_every_beginning_of_a_sign_at_the_end_is_open(names: bool) -> None:
    signs = AddressSigns(names)
    texts = [f"{colon}{gap}{slash}{gap}{slash}" for colon, slash, gap in product(COLONS, SLASHES, DROPPED[::3])]
    for text in [*texts, "www.", "www&period;", "&#x00000000", *([".com:80/", ".xn--p1ai?"] if names else [])]:
        for end in range(1, len(text) + 1):
            assert signs.first_open("word " + text[:end], 0) == 5, text[:end]
            assert signs.first_open("word " + text[:end], 5) == 5


def test_a_sign_is_shorter_than_its_reach() -> None:
    longest = "&#x00000003a;" + "&ZeroWidthSpace;" * 15 + "&#x00000002f;" + "&ZeroWidthSpace;" * 15 + "&#x00000002f;"
    sign = SIGNS.next(longest, 0)
    assert sign is not None
    assert sign.end() < REACH
    assert SIGNS.first_open("a" * 99 + longest, 0) == 99


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("https", "https"),
        ("  \x01\n HTTPS", "https"),
        ("java\tscr\nipt", "javascript"),
        ("java&#9;script&colon;", "javascript:"),
        ("&#106&#97;vascript", "javascript"),
        ("\\6a avascript", "javascript"),
        ("\\110000000x", "\U0010ffff000x"),
        ("\u00a0//", "//"),
        ("", ""),
    ],
)
def test_the_beginning_of_an_address_is_decoded(value: str, expected: str) -> None:
    assert decoded(value) == expected
