"""Which kind of link a client makes of a sign, by the text around it."""

from __future__ import annotations

import pytest

from guardproxy.checks import Resources, build
from guardproxy.checks._shared.links.places import KINDS, LOOK
from guardproxy.checks.links import LABELS
from guardproxy.findings import Channel, Window
from guardproxy.testing import whole

CHECK = build("links", "links", {"kinds": list(KINDS)}, Resources())
KIND_OF = {label: kind for kind, label in LABELS.items()}


def kinds(text: str) -> list[str]:
    return [KIND_OF[finding.label] for finding in whole(CHECK, text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("![a](https://e.example/x)", "image"),
        ("![a](//e.example/x)", "image"),
        ("[a](https://e.example/x)", "link"),
        ("so [a b c](tel:12) it is", "link"),
        ("[![a](x.png)](https://e.example)", "image"),
        ("![a `[` b](https://e.example)", "image"),
        ("![a \\[ b](https://e.example)", "image"),
        ("![a <b c=[ d>e](https://e.example)", "image"),
        ("![a](x.png) [b](https://e.example)", "link"),
        ("![" + "a" * LOOK + "](https://e.example)", "image"),
        ("[" + "a" * LOOK + "](https://e.example)", "image"),
        ("[1]: https://e.example/x", "reference"),
        ("[1]://e.example/x", "reference"),
        ("[1]:\n  <//e.example/x>", "reference"),
        ("<https://e.example>", "autolink"),
        ("<tel:12>", "autolink"),
        ("<img src=//e.example>", "html"),
        ("<a href='foo:bar'>", "html"),
        ("<p style='x:url(//e.example)'>", "html"),
        ("background: url(//e.example/x)", "html"),
        ("https://e.example", "bare"),
        ("(www.e.example)", "bare"),
        ("foo+bar://x", "bare"),
        ("mailto:a@e.example", "bare"),
        ("[a](javascript:x)", "script"),
        ("<a href=VBScript:x>", "script"),
        ("javascript:x", "script"),
        ("url(javascript:x)", "script"),
        ("[a](data:text/html,x)", "data"),
        ("data:image/png;base64,x", "data"),
        ("data:,x", "data"),
        ("e.example/x", "domain"),
        ("10.0.0.1:80/x", "domain"),
    ],
)
def test_each_place_has_its_kind(text: str, expected: str) -> None:
    assert kinds(text) == [expected]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Note: it is 12:30, ratio 3:4, see a::b and c:d",
        "// a comment\n//another one, x = a//b;",
        "C:\\\\Users\\\\me and C:/x",
        "JavaScript: The Good Parts",
        "call javascript:void(0) in the code",
        "data: the results; data:x",
        '{"https": true, "http":1}',
        "[a](/path) [b](#part) [c](x/y.html) [d](x?y=z:1) ![e](e.png)",
        "[1]: /path\n[Alice]: Note: hello",
        "use `https://` or http://",
        "<p class='a:b' title='c//d'>text</p>",
        "<a href='/x'>y</a>",
        "List<String> x = a<b ? c : d;",
        "if (a<b) { c: d }",
        "std::vector<int>::iterator",
        "https:",
        "www. and WWW",
        "awww.example",
        "x@www.example",
        "50%3 and %3",
        "a\\b \\n \\t",
        "xs[::2] a[1:]",
        "<dc:title>Moby Dick</dc:title>",
        "key: value\nother: //",
        "and/or, e.g./i.e., v1.2/3",
        "3.14159",
        r"re.compile(r'(?:\\w|\\\\)')",
        r"(?:\\\\a)",
        "e.g. this",
    ],
)
def test_ordinary_text_has_no_address(text: str) -> None:
    assert kinds(text) == []


def test_a_line_of_a_tool_call_may_be_an_address_as_a_whole() -> None:
    window = Window(Channel("response", "tool_arguments", "x"), "//e.example/x")
    assert [finding.label for finding in CHECK.scan([window])[0].findings] == ["BARE_URL"]
    assert kinds("//e.example") == []


def test_zeros_before_the_number_of_an_entity_are_an_address_of_their_own_in_an_attribute() -> None:
    assert kinds("<a href='https&#" + "0" * 40 + "58;//e.example'>") == ["html"]
    assert kinds("&#" + "0" * 40 + "58;") == []
    assert kinds("<a href='/x?&#" + "0" * 40 + "58;y'>") == []


def test_a_value_with_more_white_space_than_is_read_counts_as_an_address() -> None:
    assert kinds("<a href='" + " " * 3000 + "foo:bar'>") == ["html"]
    assert kinds("<a href='" + "\t" * 700 + "//e.example'>") == ["html"]
