from __future__ import annotations

import pytest

from guardproxy.console.look.shown import is_addressable, plain, shown


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("a\n\tb", "a\n\tb"),
        ("<b>&\"'", "&lt;b&gt;&amp;&#34;&#39;"),
        ("\u202e<", '<span class="unseen" title="RIGHT-TO-LEFT OVERRIDE">U+202E</span>&lt;'),
        ("a\x00", 'a<span class="unseen" title="CONTROL CHARACTER">U+0000</span>'),
        ("\u200b", '<span class="unseen" title="ZERO WIDTH SPACE">U+200B</span>'),
        ("\ud800", '<span class="unseen" title="CONTROL CHARACTER">U+D800</span>'),
        ("Grüße 你好", "Grüße 你好"),
    ],
)
def test_a_character_that_nobody_sees_is_a_mark(text: str, html: str) -> None:
    assert str(shown(text)) == html


def test_in_an_attribute_it_is_its_code() -> None:
    assert plain("a\u202eb\n") == "a[U+202E]b\n"


@pytest.mark.parametrize(
    "name", ["5dd71f5e64b370213e0be97550e57b10", "no-attacks", "Grüße 2.0", "...", "a%2fb", "x" * 200]
)
def test_a_name_that_an_address_can_hold(name: str) -> None:
    assert is_addressable(name)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "a\x00", "a\n", "\ud800", "x" * 201])
def test_a_name_that_no_address_holds(name: str) -> None:
    assert not is_addressable(name)
