"""Reads HTML pages for tests."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

_VOID = ("meta",)


class PageReader(HTMLParser):
    """The tags of a page in their order, and all its text. `open`: the tags that were not closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, Any]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        if tag in ("td", "th", "p", "h1", "h2", "h3", "li"):
            self.text += " "

    def handle_data(self, data: str) -> None:
        self.text += data
