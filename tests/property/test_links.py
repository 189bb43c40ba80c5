"""What leaves after an edit by the check `links` holds no address that a browser follows, for random Markdown and HTML, and
the checks of what attacks its reader find the same however a text is cut.

The oracle is markdown-it in three configurations, HTML as Python reads it, and the URL standard (`tests/kit/links.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from unittest.mock import patch

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from guardproxy.checks import Check, Resources, build
from guardproxy.checks._shared.links import search
from guardproxy.checks._shared.links.places import KINDS
from guardproxy.checks.control_chars import LABELS as CLASSES
from guardproxy.checks.special_tokens import FAMILIES
from guardproxy.findings import Finding, Window
from guardproxy.testing import CHANNEL
from guardproxy.urls import SCHEME_NAMES
from tests.kit.checks import PROSE, assert_invariant, promise, whole
from tests.kit.links import ELSEWHERE, EVIL, FOLLOWED, followed, neutralised
from tests.kit.play import CHAT, Play, chat_frames, chat_texts, pieces, policy_set

OK = "ok.example"
LINKS = build("links", "links", {"allow": [OK]}, Resources())
SPELLINGS = [spelling.replace("✱", EVIL) for spelling in (*FOLLOWED, *ELSEWHERE)]
MARKUP = [
    "![x](",
    "[x](",
    ")",
    "](",
    "[1]: ",
    "![1]",
    "[1]",
    "\n",
    "\n\n",
    "> ",
    "- ",
    " ",
    "<",
    ">",
    '"',
    "'",
    "`",
    "```\n",
    "a",
    "<img src=",
    "<a href=",
    "<img srcset=",
    '<div style="background:url(',
    "<style>",
    "</style>",
    "<svg>",
    '<iframe srcdoc="&lt;img src=',
    '<meta content="0;url=',
    "https:",
    "http://",
    "//",
    "/",
    "\\",
    "evil.example/",
    "evil.example",
    "ok.example",
    "ok.example/",
    "?q=1",
    "javascript:",
    "data:text/html,",
    "data:image/png;base64,A",
    "&colon;",
    "&#58;",
    "&#x2f;",
    "&Tab;",
    "\t",
    "&sol;",
    "&#47",
    "&#104;ttps",
    "https",
    ":",
    "@",
    ".",
    "#",
    ",",
    "(",
    "{",
    "*",
    "_",
    "|",
    "\\\\",
    "\\/",
    "\\3a ",
    "\\2f ",
    "&quot;",
    "&lt;",
    "&amp;",
    "tel:",
    "foo:",
    "é",
    "<![CDATA[",
    "<?",
    "=",
    "\r",
    "\x0c",
    "\u00a0",
    "<x ",
    "/>",
    "<a href='x' ",
    'title="',
    "alt='",
    "www.",
    "&#0000000000058;",
    "\u200b",
]
CHARACTERS = [
    "\x1b",
    "\x1b[",
    "31m",
    "\x1b]8;;",
    "\x07",
    "\x1b\\",
    "\x9b",
    "\b",
    "\x00",
    "\u202e",
    "\u2066",
    "\U000e0041",
    "\U000e007f",
    "\U0001f3f4",
    "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "\u200b",
    "\u200d",
    "\ufe0f",
    "\ufe00",
    "\U000e0100",
    "❤",
    "a",
    "bc",
    " ",
    "\n",
    "\ue000",
    "\u0378",
    ";",
    "x" * 30,
]
TOKENS = [
    "<|",
    "|>",
    "im_start",
    "im\u200b_end",
    "[",
    "]",
    "INST",
    "/INST",
    "<<SYS>>",
    "<",
    ">",
    "start_of_turn",
    "<｜",
    "｜>",
    "▁",
    "User",
    "_",
    "|",
    "&lt;",
    "%3C",
    "\n\n",
    "Human:",
    "### ",
    "Response:",
    "tool_call",
    "ｉｍ_ｓｔａｒｔ",
    " ",
    "x",
    "PHxpbV9zdGFydHw+",
]
CHECKS: dict[str, tuple[Check, list[str]]] = {
    "links": (build("links", "links", {"allow": [OK], "kinds": list(KINDS)}, Resources()), [*MARKUP, *SPELLINGS]),
    "control_chars": (build("control_chars", "c", {"kinds": list(CLASSES)}, Resources()), CHARACTERS),
    "special_tokens": (build("special_tokens", "s", {"families": list(FAMILIES)}, Resources()), TOKENS),
}

POLICIES = policy_set("""
policy: readers
checks: {links: {use: links, allow: [ok.example]}}
rules: [{id: no-links, on: response, when: links, action: redact, operators: {DEFAULT: neutralise}}]
""")


def _mixed(parts: list[str], most: int = 12) -> st.SearchStrategy[str]:
    piece = st.tuples(st.sampled_from(parts), st.integers(0, 60), st.integers(1, 60)).map(
        lambda each: each[0][each[1] % len(each[0]) :][: each[2]]
    )
    return st.lists(st.one_of(st.sampled_from(parts), piece, st.sampled_from(PROSE.split())), max_size=most).map(
        "".join
    )


@st.composite
def _broken(draw: st.DrawFn) -> str:
    """A spelling with something put into it, or something left out."""
    spelling = draw(st.sampled_from(SPELLINGS))
    at, gone = draw(st.integers(0, len(spelling))), draw(st.integers(0, 2))
    inner = draw(st.lists(st.sampled_from(MARKUP), max_size=2).map("".join))
    around = st.lists(st.sampled_from(MARKUP), max_size=4).map("".join)
    return draw(around) + spelling[:at] + inner + spelling[at + gone :] + draw(around)


def _known(target: str) -> bool:
    """Whether a target is looked for: an autolink with an unknown scheme (`<foo:bar>`) may as well be an XML element."""
    return not target.endswith(":") or target[:-1] in SCHEME_NAMES


@promise
@given(st.one_of(_mixed(MARKUP), _broken()), st.data())
def test_no_renderer_follows_anything_in_what_leaves(text: str, data: st.DataObject) -> None:
    # A browser and the oracle disagree on comments without an end, and on two equals signs.
    assume("<!" not in text.replace("<![CDATA[", "") and "==" not in text)
    cuts = data.draw(st.lists(st.integers(1, max(1, len(text))), max_size=4), label="cuts")
    left = neutralised(LINKS, text, tuple(cut for cut in cuts if cut < len(text)))
    assert {target for target in followed(left) - {OK} if _known(target)} == set()


@pytest.mark.parametrize("use", CHECKS)
@promise
@given(st.data())
def test_the_same_is_found_however_the_text_is_cut(use: str, data: st.DataObject) -> None:
    check, parts = CHECKS[use]
    text = data.draw(_mixed(parts), label="text")
    with patch.object(search, "LIMIT", data.draw(st.sampled_from([40, 80, 2048]), label="limit")):
        assert_invariant(check, text, data.draw(st.lists(st.integers(0, len(text)), max_size=6), label="cuts"))
        assert_invariant(check, text, range(1, len(text), data.draw(st.integers(1, 9), label="step")))


@pytest.mark.parametrize("use", CHECKS)
@promise
@given(st.data())
def test_other_texts_between_the_windows_change_nothing(use: str, data: st.DataObject) -> None:
    """Scans several texts piece by piece in turns with one check, and each again as a whole."""
    check, parts = CHECKS[use]
    texts = data.draw(st.lists(_mixed(parts, 6), min_size=2, max_size=3), label="texts")
    expected = [whole(build_again(use), text) for text in texts]
    step = data.draw(st.integers(1, 9), label="step")
    windows = [Window(CHANNEL, "", last=False) for _ in texts]
    found: list[list[Finding]] = [[] for _ in texts]
    for end in range(step, max(map(len, texts)) + step, step):
        for number, text in enumerate(texts):
            before = windows[number]
            if before.last and end > step:
                continue
            last = end >= len(text)
            window = Window(CHANNEL, text[before.start : end], before.start, before.settled, last, state=before.state)
            (scan,) = check.scan([window])
            found[number] += scan.findings
            windows[number] = Window(CHANNEL, "", scan.keep, scan.settled, last, state=scan.state)
    assert found == expected == [whole(check, text) for text in texts]


@promise
@given(_broken(), st.lists(st.integers(0, 120), max_size=5), st.lists(st.booleans(), max_size=6))
def test_a_client_gets_the_same_text_however_an_answer_is_cut(text: str, cuts: list[int], waits: list[bool]) -> None:
    asked = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
    frames = chat_frames([{"content": part} for part in pieces(text, cuts)])
    played = Play(POLICIES, CHAT).ask(asked).stream(frames, waits)
    assert chat_texts(played.client).get("content0", "") == neutralised(LINKS, text)
    assert not any(part in str(played.record["response"]["texts"]) for part in ("//evil.example/?q=secret",))


def build_again(use: str) -> Check:
    """A check that has scanned nothing."""
    options = {"links": {"allow": [OK], "kinds": list(KINDS)}, "control_chars": {"kinds": list(CLASSES)}}
    return build(use, CHECKS[use][0].name, options.get(use, {"families": list(FAMILIES)}), Resources())


ESCAPES: dict[str, Callable[[str], str]] = {
    "decimal": lambda char: f"&#{ord(char)};",
    "hexadecimal": lambda char: f"&#x{ord(char):04X};",
    "name": lambda char: {"<": "&lt;", "&": "&amp;", ":": "&colon;", "/": "&sol;", "\\": "&bsol;"}.get(char, char),
    "percent": lambda char: f"%{ord(char):02x}",
    "json": lambda char: f"\\u{ord(char):04x}",
    "css": lambda char: f"\\{ord(char):x} ",
}
NESTED = (
    ('<iframe srcdoc="✱">', "<img src=//evil.example/x>"),
    ('<iframe srcdoc="✱">', "<a href='https://evil.example/x'>"),
    ('<div style="background:url(✱)">', "//evil.example/x"),
    ('<div style="✱">', "background:url(https://evil.example/x)"),
    ('<a href="✱">x</a>', "javascript:alert(1)"),
    ("<img src='✱'>", "https://evil.example/x"),
)


@promise
@given(st.data())
def test_an_address_in_any_nesting_of_escapes_is_found(data: st.DataObject) -> None:
    """Escapes some characters of the address, then some characters of the result, up to three times."""
    around, address = data.draw(st.sampled_from(NESTED), label="place")
    for name in data.draw(st.lists(st.sampled_from(sorted(ESCAPES)), max_size=3), label="escapes"):
        some = data.draw(st.sampled_from(["all", "signs", "some"]), label="of")
        chosen = data.draw(st.randoms(use_true_random=False)) if some == "some" else None
        address = "".join(
            ESCAPES[name](char)
            if some == "all" or char in "<>&%\\\"'" or (char in ":/" if chosen is None else chosen.random() < 0.5)
            else char
            for char in address
        )
    check, text = LINKS, f"see {around.replace('✱', address)} and more"
    assert whole(check, text)
    assert_invariant(check, text, data.draw(st.lists(st.integers(0, len(text)), max_size=6), label="cuts"))
