"""What is found in nested escapes, where a client decodes more than once, and nowhere else."""

from __future__ import annotations

import html

import pytest

from guardproxy.checks._shared.declared.contract import Resources, build
from guardproxy.checks._shared.links.nested import DecodedText, NestedSearch, SearchProgress
from guardproxy.checks._shared.links.signs import decoded
from guardproxy.findings import Window
from tests.kit.checks import CHANNEL, assert_every_split, assert_invariant, whole

LINKS = build("links", "links", {"allow": ["ok.example"]}, Resources())
TWICE = html.escape(html.escape('<img src="//evil.example/x">'))


def entities(text: str) -> str:
    return "".join(f"&#{ord(char)};" for char in text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f'<iframe srcdoc="{TWICE}">', ["//evil.example/x&amp;quot;&amp;gt"]),
        ('<div style="background:url(&#92;2f&#92;2f evil.example/x)">', ["&#92;2f&#92;2f evil.example/x"]),
        (f'<p style="background:url({entities("&#47;/x")})">', ["&#38;&#35;&#52;&#55;&#59;&#47;&#120;"]),
        ("![x](&amp;#104;ttps&amp;colon;//evil.example/x)", ["&amp;#104;ttps&amp;colon;//evil.example/x"]),
        ("[1]: &amp;sol;&amp;sol;evil.example/x\n", ["&amp;sol;&amp;sol;evil.example/x"]),
        ('<a href="&#37;2f&#37;2fevil.example/">', ["&#37;2f&#37;2fevil.example/"]),
        ('<a href="//evil.example/&amp;amp;a=//x">', ["//evil.example/&amp;amp;a=//x"]),
        (
            '<a href="&#37;2f&#37;2fevil.example/?q=https://elsewhere.example/">',
            ["&#37;2f&#37;2fevil.example/?q=", "https://elsewhere.example/"],
        ),
        (f"for the reader: {TWICE} and &amp;colon;", []),
        ('<a href="https://ok.example/?a=1&amp;amp;b=2">', []),
        ('<img src="/a&amp;b=1"> A &amp; B 100% &', []),
    ],
)
def test_what_is_found(text: str, found: list[str]) -> None:
    assert [text[finding.start : finding.end] for finding in whole(LINKS, text)] == found
    assert_every_split(LINKS, text)
    assert_invariant(LINKS, text, range(1, len(text)))


def test_deeper_nesting_than_a_bound_is_not_decoded() -> None:
    assert decoded("&" + "amp;" * 3 + "colon;") == ":"
    assert decoded("&" + "amp;" * 9 + "colon;") == "&amp;colon;"


def test_a_text_may_begin_anywhere() -> None:
    """A window without a state is the first, also where it shows text that was settled before."""
    text = 'see <a href="&amp;sol;&amp;sol;x/">'
    (scan,) = LINKS.scan([Window(CHANNEL, text, 100, 104)])
    assert [(finding.start, finding.end) for finding in scan.findings] == [(113, 100 + text.index('">'))]


def test_the_span_of_a_decoded_character() -> None:
    end = DecodedText("ab/c", [(10, 20, 22), (12, 22, 27), (13, 27, 28)], 10, SearchProgress(12, 11))
    assert [end.span(at) for at in range(10, 14)] == [(20, 21), (21, 22), (22, 27), (27, 28)]
    rest = end.trimmed()
    assert (rest.text, rest.start) == ("b/c", 11)
    assert [rest.span(at) for at in range(11, 14)] == [(21, 22), (22, 27), (27, 28)]
    assert DecodedText("", [], 4, SearchProgress(4, 4)).trimmed().parts == []


def test_the_search_is_one_search_in_two_texts() -> None:
    assert isinstance(LINKS.search, NestedSearch)  # type: ignore[attr-defined]
