"""The frame of pages: it allows itself its style sheet and nothing else, and texts stay texts."""

from __future__ import annotations

import base64
import hashlib
import re
from html import unescape

from hypothesis import given, settings
from hypothesis import strategies as st

from guardproxy.webpage import html_table, html_text, webpage
from tests.kit.pages import PageReader


@settings(max_examples=20)
@given(st.text(st.sampled_from(list("<>&\"'/ab=\u202e\x00\x1b\n\t ")), max_size=30), st.text(max_size=20))
def test_texts_stay_texts(title: str, text: str) -> None:
    html = webpage(
        title, [f"<p>{html_text(text)}</p>", *html_table(("a", "b"), [(html_text(title), "1")], numbers=(1,))]
    )
    read = PageReader(html)
    assert read.open == []
    tags = ["html", "head", *["meta"] * 3, "title", "style", "body", "p", "table", "thead", "tr", "th", "th"]
    assert [tag for tag, _ in read.tags] == [*tags, "tbody", "tr", "td", "td"]
    assert not set(read.text) & set("\u202e\x00\x1b")


def test_a_page_allows_its_own_style_alone() -> None:
    html = webpage("t", [], "p { color: red }")
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)
    policy = re.search(r'Content-Security-Policy" content="(.*?)"', html)
    assert style
    assert policy
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in unescape(policy[1])
