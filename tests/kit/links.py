"""Addresses in texts, in many spellings, and a browser's view of rendered texts as an oracle."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import unquote

from markdown_it import MarkdownIt

from guardproxy.checks import Check
from guardproxy.redaction.escaping import neutral
from guardproxy.testing import scan_in_chunks, whole

RENDERERS = (
    MarkdownIt("commonmark", {"html": True}),
    MarkdownIt("js-default", {"html": True}),
    MarkdownIt("zero", {"html": True}),  # the text is HTML as it is
)
EVIL = "evil.example"

# What a renderer turns into something that a browser loads or follows. ✱ is the host.
FOLLOWED = (
    # Markdown, inline
    "![x](https://✱/?q=secret)",
    "![](https://✱/?q=secret)",
    "[x](https://✱/)",
    "[](https://✱/)",
    '![x](http://✱/p.png "a title")',
    "![x](http://✱/p.png 'a title')",
    "![x](http://✱/p.png (a title))",
    "![x](<https://✱/a b>)",
    "![x](<https://✱/a) b>)",
    "![a [nested] alt](https://✱/)",
    "![a \\] b](https://✱/)",
    "![a ![b](https://ok.example/b.png) c](https://✱/)",
    "[![x](https://ok.example/a.png)](https://✱/)",
    "[![x](https://✱/a.png)](https://ok.example/)",
    "![x](\n  https://✱/)",
    "![x]( \t https://✱/ )",
    "> ![x](\n> https://✱/)",
    "- ![x](\n  https://✱/)",
    "![x](https://✱/a_(b)_c)",
    "![x](https://✱/a\\)b)",
    "![x](HTTPS://✱/)",
    "![x](hTtPs://✱/)",
    "![x](https:\\//✱/)",
    "![x](https\\://✱/)",
    "![x](\\//✱/)",
    "![x](//✱/)",
    "![x](<//✱/>)",
    "![x](///✱/)",
    "![x](https:✱/)",
    "![x](https:/✱/)",
    "![x](https:///✱/)",
    "![x](https&colon;//✱/)",
    "![x](https&#58;//✱/)",
    "![x](https&#x3a;//✱/)",
    "![x](https&#x3A;&#x2F;&#x2F;✱/)",
    "![x](https:&sol;&sol;✱/)",
    "![x](&sol;&sol;✱/)",
    "![x](&#47;&#47;✱/)",
    "![x](/&#0000047;✱/)",
    "![x](&#x2f;/✱/)",
    "![x](&#104;&#116;&#116;&#112;&#115;&#58;&#47;&#47;✱/)",
    "![x](&#x68;ttps://✱/)",
    "![x](ht&#116;ps://✱/)",
    "[x](ftp://✱/)",
    "[x](ws://✱/)",
    "[x](wss://✱/)",
    "[x](foo://✱/)",
    "[x](ms-settings:✱)",
    "[x](intent:✱)",
    "[x](tel:✱)",
    "*[x](https://✱/)*",
    "| a |\n|---|\n| [x](https://✱/) |",
    "# [x](https://✱/)",
    "1. ![x](https://✱/)",
    "`code` ![x](https://✱/)",
    "a\\![x](https://✱/)",
    "![x](https://ok.example@✱/)",
    "![x](https://ok.example:443@✱/)",
    "![x](https://ok.example%40✱/)",
    "![x](https://ok.example.✱/)",
    "![x](https://ok.example&#46;✱/)",
    "![x](https://ok.example\\.✱/)",
    "![x](https://ok.example,.✱/)",
    "![x](https://ok.example'.✱/)",
    "![x](https://ok.example*.✱/)",
    "![x](https://ok.example_.✱/)",
    "![x](https://ok.example。✱/)",
    "![x](https://ok.example&period;✱/)",
    "![x](https://✱:8443/)",
    "![x](https://✱./)",
    "![x](https://2130706433/)",
    "![x](https://0x7f000001/)",
    "![x](https://0177.0.0.1/)",
    "![x](https://[::1]/)",
    "![x](https://127.1/)",
    "![x](https://xn--vil-qla.example/)",
    "![x](https://еvil.example/)",
    "![x](https://OK.EXAMPLE.✱/)",
    # Markdown, by reference
    "![x][1]\n\n[1]: https://✱/?q=secret",
    "[1]: https://✱/\n\n![1]",
    "[1]: https://✱/\n\n![1][]",
    "![x][a b]\n\n[A  B]: https://✱/",
    "[1]: <https://✱/a b>\n\n![1]",
    "[1]:\n   https://✱/\n\n![1]",
    "[1]:\n   https://✱/\n   'title'\n\n![1]",
    "> [1]: https://✱/\n\n![1]",
    "> [1]:\n> https://✱/\n\n![1]",
    "- [1]: https://✱/\n\n![1]",
    "[1]: //✱/\n\n![1]",
    "[1]: <//✱/>\n\n![1]",
    "[1]: &#47;&#47;✱/\n\n![1]",
    "[1]: https&colon;//✱/\n\n![1]",
    "[1]://✱/\n\n![1]",
    "[a\\]b]: https://✱/\n\n![a\\]b]",
    "[foo]: tel:✱\n\n[foo]",
    # autolinks
    "<https://✱/?q=secret>",
    "<HTTPS://✱/>",
    "<ftp://✱/>",
    "<https:✱>",
    "<tel:✱>",
    "<foo://✱/>",
    # HTML
    '<img src="https://✱/?q=secret">',
    "<img src='https://✱/'>",
    "<img src=https://✱/>",
    "<IMG SRC=https://✱/>",
    "<img/src=https://✱/>",
    '<img\nsrc\n=\n"https://✱/">',
    '<img src="   https://✱/">',
    '<img src="\nhttps://✱/">',
    '<img src="https:\n//✱/">',
    '<img src="https:/\t/✱/">',
    '<img src="h\nt\nt\np\ns\n:\n/\n/✱/">',
    '<img src="//✱/">',
    "<img src=//✱/>",
    "<img src='//✱/'>",
    '<img src=" //✱/">',
    '<img src="/\t/✱/">',
    '<img src="/\\✱/">',
    '<img src="\\\\✱/">',
    '<img src="\\/✱/">',
    '<img src="&#1;//✱/">',
    '<img src="&sol;&sol;✱/">',
    '<img src="&#47&#47✱/">',
    '<img src="&#x2f&#x2f;✱/">',
    '<img src="/&Tab;/✱/">',
    '<img src="/&NewLine;/✱/">',
    '<img src="https&colon;//✱/">',
    '<img src="https&#58//✱/">',
    '<img src="https&#0000058;//✱/">',
    '<img src="https&#00000000000000000058;//✱/">',
    '<img src="&#00000000000000047;&#00000000000000047;✱/">',
    '<img src="https:✱">',
    '<img src="https&Tab;:✱">',
    '<img src="https:/✱">',
    '<img src="https:\\✱">',
    '<img src="https:\\\\✱">',
    '<img src="https:///✱">',
    '<img src="&#104;ttps&#58;&#47;&#47;✱">',
    '<img alt="a > b" src="//✱/">',
    '<img alt=\'a\' src="//✱/" title="b">',
    '<img srcset="https://✱/a 1x">',
    '<img srcset="//✱/a 1x">',
    '<img srcset="a.png 1x, //✱/b 2x">',
    '<img srcset="a.png 1x,//✱/b 2x">',
    '<img srcset="a.png 1x,https:✱/b 2x">',
    '<source srcset="//✱/a">',
    '<a href="https://✱/">x</a>',
    "<a href=//✱/>x</a>",
    '<a href="foo:✱">x</a>',
    "<area href=//✱/>",
    '<base href="//✱/">',
    "<link rel=stylesheet href=//✱/>",
    '<link rel=prefetch href="https://✱/">',
    "<script src=//✱/></script>",
    "<iframe src=//✱/></iframe>",
    '<iframe srcdoc="<img src=//✱/>"></iframe>',
    '<iframe srcdoc="&lt;img src=//✱/&gt;"></iframe>',
    "<iframe srcdoc=\"&lt;img src='//✱/'&gt;\"></iframe>",
    '<iframe srcdoc="&lt;img src=&quot;//✱/&quot;&gt;"></iframe>',
    "<embed src=//✱/>",
    "<object data=//✱/></object>",
    "<video poster=//✱/></video>",
    "<audio src=//✱/></audio>",
    "<track src=//✱/>",
    "<input type=image src=//✱/>",
    "<form action=//✱/><input></form>",
    "<button formaction=//✱/>x</button>",
    "<a ping=//✱/ href=#>x</a>",
    "<body background=//✱/>",
    "<table background=//✱/>",
    '<meta http-equiv=refresh content="0;url=//✱/">',
    '<meta http-equiv=refresh content="0; url=https://✱/">',
    "<meta http-equiv=refresh content=\"0;URL='//✱/'\">",
    "<svg><image href=//✱/ /></svg>",
    '<svg><image xlink:href="//✱/" /></svg>',
    '<svg><use href="//✱/#a" /></svg>',
    '<div style="background:url(https://✱/)">',
    '<div style="background:url(//✱/)">',
    "<div style=\"background:url('//✱/')\">",
    "<div style='background:url(\"//✱/\")'>",
    '<div style="background:url( //✱/ )">',
    '<div style="background:url(&#47;&#47;✱/)">',
    '<div style="background:url(\\2f\\2f ✱/)">',
    '<div style="background:url(\\2f \\00002f ✱/)">',
    '<div style="background:\\75rl(//✱/)">',
    '<div style="background:url(https\\3a //✱/)">',
    "<style>body{background:url(//✱/)}</style>",
    "<style>@import '//✱/';</style>",
    '<style>@import "https://✱/";</style>',
    "<x-y href=//✱/>",
    "<p>a<p><img src=//✱/>",
    "<!-- --><img src=//✱/>",
    '<a href="https://ok.example@✱/">x</a>',
    '<a href="https://ok.example\'@✱/">x</a>',
    '<a href="https://ok.example)@✱/">x</a>',
    '<a href="https://ok.example).✱/">x</a>',
    '<a href="https://ok.example\t.✱/">x</a>',
    '<a href="https://ok.example\n@✱/">x</a>',
    '<a href="https://ok.example&#64;✱/">x</a>',
    '<a href="https://ok.example&#9;.✱/">x</a>',
    # scripts and data
    "<a href=\"javascript:alert('✱')\">x</a>",
    "<a href=\"JaVaScRiPt:alert('✱')\">x</a>",
    "<a href=\"java&#9;script:alert('✱')\">x</a>",
    "<a href=\"java\nscript:alert('✱')\">x</a>",
    "<a href=\"java&NewLine;script:alert('✱')\">x</a>",
    "<a href=\"&#106;avascript:alert('✱')\">x</a>",
    "<a href=\"&#106&#97&#118&#97&#115&#99&#114&#105&#112&#116&#58alert('✱')\">x</a>",
    "<a href=\"javascript&colon;alert('✱')\">x</a>",
    "<a href=\"javascript: alert('✱')\">x</a>",
    "<a href=\" &#14; javascript:alert('✱')\">x</a>",
    "<a href='vbscript:✱'>x</a>",
    '<a href="data:text/html,✱">x</a>',
    '<iframe src="data:text/html;base64,✱"></iframe>',
    '<object data="data:image/svg+xml,✱"></object>',
    "<form action=javascript:alert(✱)><button>x</button></form>",
    "![x](data:image/png;base64,✱)",
    "[x](javascript&#x3A;✱)<a href=javascript:✱>",
)

# What no renderer of Markdown here follows, but other clients do.
ELSEWHERE = (
    "https://✱/?q=secret",
    "HTTP://✱/",
    "see https://✱/.",
    "(https://✱/)",
    '"https://✱/"',
    "www.✱/x",
    "WWW.✱",
    "www。✱/",
    "https:\\/\\/✱\\/x",
    "https\\u003a\\u002f\\u002f✱/x",
    "ftp://✱/x",
    "wss://✱/x",
    "slack://✱/x",
    "mailto:a@✱?body=secret",
    "[x](javascript:✱)",
    "![x](vbscript:✱)",
    "[x](JAVASCRIPT\\:✱)",
    "[x](<javascript: ✱>)",
    "[x](&#106;avascript:✱)",
    "[x](data:text/html,✱)",
    "<javascript:✱>",
    "[1]: javascript:✱",
    "javascript:fetch('//✱/')",
    "data:text/html,<img src=//✱/>",
    "https%3a//✱/x",
    "https%3A%2F%2F✱/x",
    "<https://✱/ x>",
    "url(//✱/x)",
    "background:url('//✱/x')",
    "\u4e2d\u6587https://✱/x",
    "![x](/\\\\✱/)",
    "![x](\\\\\\\\✱/)",
    "![x](&bsol;&bsol;✱/)",
    "https\u200b://✱/x",
    "https:\u200b//✱/x",
    "_https://✱/_",
    "**https://✱/**",
    "`https://✱/`",
    "```\ncurl https://✱/\n```",
    "\\href{https://✱/}{x}",
    "[[https://✱/][x]]",
    "\x1b]8;;https://✱/\x1b\\x\x1b]8;;\x1b\\",
    "see:https://✱/",
    "xhttps://✱/",
)

_ADDRESSES = frozenset(
    ("href", "src", "action", "formaction", "data", "poster", "background", "ping", "xlink:href", "cite", "longdesc")
)
_SCHEME = re.compile(r"([a-z][a-z0-9+.\-]*):", re.IGNORECASE)
_STRIPPED = "".join(map(chr, range(0x21)))
_CSS_ESCAPE = re.compile(r"\\([0-9a-fA-F]{1,6})[ \t\n]?")
_STYLE = re.compile(r"(?:url|src)\(\s*(?:\"([^\"]*)\"|'([^']*)'|([^)]*))|@import\s*[\"']([^\"']*)", re.IGNORECASE)
_FORBIDDEN = re.compile(r"[\x00-\x20<>\[\]^|%\x7f]")
_HOST = re.compile(r"[/\\]{2,}([^/\\?#]*)|[/\\]?([^/\\?#]*)")
IGNORED = frozenset(("mailto",))  # an e-mail address between angle brackets is a link without a scheme


def targets(address: str) -> Iterator[str]:
    """The host or the scheme to which a browser goes from a page elsewhere, by the URL standard; nothing for an address of
    the page's own site."""
    address = re.sub(r"[\t\n\r]", "", address.strip(_STRIPPED))
    if scheme := _SCHEME.match(address):
        name = scheme[1].lower()
        if name in ("http", "https", "ftp", "ws", "wss"):
            after = _HOST.match(address, scheme.end())
            assert after is not None
            if found := host(after[1] or after[2] or ""):
                yield found
        elif name not in IGNORED and len(address) > scheme.end():
            yield f"{name}:"
    elif (match := re.match(r"[/\\]{2,}([^/\\?#]*)", address)) and (found := host(match[1])):
        yield found


def host(authority: str) -> str:
    """The host of an authority as a browser looks it up; empty if the browser refuses it, or if nobody can own it."""
    name = authority.rpartition("@")[2].lower()
    if re.match(r"\[[0-9a-f:.]+\]", name):
        return name
    name = unicodedata.normalize("NFKC", unquote(name).partition(":")[0])
    name = re.sub("[\u3002\uff61]", ".", name).rstrip(".")
    last = name.rpartition(".")[2]  # no top-level domain has a sign in it
    return "" if _FORBIDDEN.search(name) or re.search(r"[!-,/:-@\[-^`{-~]", last) else name


class Browser(HTMLParser):
    """Collects where a browser goes from a page, with or without a click. It runs no script."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []
        self._style = False

    def parse_marked_section(self, i: int, report: int = 1) -> int:
        """Returns the end of `<![...>`, which a browser reads as a comment; the standard library raises."""
        return self.parse_bogus_comment(i, bool(report))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._style = tag == "style"
        for name, value in attrs:
            if value is None:
                continue
            if name in _ADDRESSES:
                self.targets += targets(value)
            elif name in ("srcset", "imagesrcset"):
                for part in value.split(","):
                    self.targets += targets(part.split()[0] if part.split() else "")
            elif name == "style":
                self._style_of(value)
            elif name == "content" and (url := re.search(r"url\s*=\s*[\"']?([^\"']*)", value, re.IGNORECASE)):
                self.targets += targets(url[1])
            elif name == "srcdoc":
                self.targets += browsed(value)

    def handle_endtag(self, tag: str) -> None:
        self._style = False

    def handle_data(self, data: str) -> None:
        if self._style:
            self._style_of(data)

    def _style_of(self, text: str) -> None:
        text = _CSS_ESCAPE.sub(lambda escape: chr(min(int(escape[1], 16), 0x10FFFF)), text)
        for match in _STYLE.finditer(text):
            self.targets += targets(next((part for part in match.groups() if part), ""))


def browsed(page: str) -> list[str]:
    """Where a browser goes from a page of HTML."""
    browser = Browser()
    browser.feed(page)
    browser.close()
    return browser.targets


def followed(text: str) -> set[str]:
    """Where browsers go from a text, in every renderer."""
    pages = [
        text if renderer.get_active_rules()["inline"] == ["text"] else renderer.render(text) for renderer in RENDERERS
    ]
    return {target for page in pages for target in browsed(page)}


def neutralised(check: Check, text: str, cuts: tuple[int, ...] = ()) -> str:
    """The text with a neutral form of everything that the check finds."""
    found = scan_in_chunks(check, text, cuts) if cuts else whole(check, text)
    out, at = "", 0
    for finding in found:
        out += text[at : finding.start] + neutral(text[finding.start : finding.end])
        at = finding.end
    return out + text[at:]
