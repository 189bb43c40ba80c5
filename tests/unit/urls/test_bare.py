"""URLs that stand in a text as they are: where they begin and end, and that the search looks only where one can end."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pytest

from guardproxy.urls import bare as bare_urls
from guardproxy.urls import reading as urls
from guardproxy.urls.bare import _LIMIT_NESTED, BareUrl


def url(text: str) -> str | None:
    """The URL in which the text ends."""
    reading = BareUrl()
    reading.feed(text)
    return reading.url


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("see https://a.example/x", "https://a.example/x"),
        ("see https://a.example/x y", None),
        ("(https://a.example/x y", "https://a.example/x y"),
        ("(https://a.example/x) y", None),
        ("<https://a.example/x>y", None),
        ("a.example/", "a.example/"),
        ("a.example:80/x", "a.example:80/x"),
        ("a.example", None),
        ("x/a.example/", None),
        ("www.", "www."),
        ("[::1]/x", "[::1]/x"),
        ("mailto:", "mailto:"),
        ("note:", None),
        ("a;b;c", None),
        ("&sol;&sol;a", "&sol;&sol;a"),
        ("a\\u002f", None),
        ("a.example\\u002fx", "a.example\\u002fx"),
    ],
)
def test_where_a_url_begins_and_ends(text: str, expected: str | None) -> None:
    assert url(text) == expected


@pytest.mark.parametrize("name", bare_urls.SCHEME_NAMES)
def test_every_scheme_begins_a_url_in_any_case_and_behind_any_letters(name: str) -> None:
    assert url(f"x {name}:") == f"{name}:"
    assert url(f"x {name.upper()}\u200b&colon;") is not None
    assert url(f"x{name}%3A") is not None


@dataclass
class Counting:
    """A pattern that counts how often it is tried."""

    pattern: re.Pattern[str]
    tried: int = 0

    def __getattr__(self, name: str) -> Any:
        self.tried += 1
        return getattr(self.pattern, name)


@pytest.mark.parametrize(
    "unit", [";", "a:", "a;", "[a:", "]:", "..", "&amp;", "[", ".:", "\u200b;", "&#46;", "a%3a", "%2"]
)
def test_a_beginning_is_looked_for_only_where_one_can_end(unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search costs tens of microseconds: done at each character it would hold the loop."""
    counting = [Counting(getattr(bare_urls, name)) for name in ("_SCHEME", "_SLASHES", "_WWW")]
    for name, pattern in zip(("_SCHEME", "_SLASHES", "_WWW"), counting, strict=True):
        monkeypatch.setattr(bare_urls, name, pattern)
    assert url(unit * 1000) is None
    assert sum(pattern.tried for pattern in counting) == 0


def test_a_long_text_is_read_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each reading copies the rest of what it is given at every beginning of a URL: all at once would cost the square."""
    sizes: list[int] = []
    monkeypatch.setattr(BareUrl, "feed", lambda reading, text: sizes.append(len(text)))
    urls.Reading().feed("//a<" * 10_000)
    assert sum(sizes) == 40_000
    assert max(sizes) <= 512


def test_a_url_nested_deeper_than_is_followed_does_not_end() -> None:
    """What cannot be followed to the end of the URL is taken for a part of it, so that no value is restored there."""

    def nested(depth: int) -> str:
        return "https://a.example/" + "(" * depth + "x" + ")" * depth + " y"

    assert url(nested(_LIMIT_NESTED)) is None
    assert url(nested(_LIMIT_NESTED + 1)) == nested(_LIMIT_NESTED + 1)
