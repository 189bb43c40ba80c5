"""The search for addresses: what a finding covers, where an address ends, and how much of a stream is held."""

from __future__ import annotations

import statistics

import pytest

from guardproxy.checks import Resources, build
from guardproxy.checks._shared.links.places import BEFORE, RUN
from guardproxy.checks._shared.links.search import LIMIT
from guardproxy.findings import Window
from guardproxy.testing import CHANNEL
from tests.kit.checks import PROSE, assert_every_split, held_words, scan_in_chunks, whole

CHECK = build("links", "links", {"allow": ["ok.example"]}, Resources())


def found(text: str) -> list[str]:
    return [text[finding.start : finding.end] for finding in whole(CHECK, text)]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("see https://e.example/a?b=c#d, now", "https://e.example/a?b=c#d"),
        ("(https://e.example/a_(b)_c).", "https://e.example/a_(b)_c"),
        ("![x](https://e.example/a_(b) 'title')", "https://e.example/a_(b)"),
        ('<a href="https://e.example/a\'b">', "https://e.example/a"),
        ("`https://e.example`", "https://e.example"),
        ("**https://e.example/**", "https://e.example/"),
        ("https://e.example/[a]{b}", "https://e.example/[a]{b}"),
        ("[[https://e.example][x]]", "https://e.example"),
        ("https://e.example。", "https://e.example"),
        ("中文https://e.example/中 文", "https://e.example/中"),
        ("<a href='java&#9;script:x()'>", "script:x()"),
        ("a.b+c-d://x", "a.b+c-d://x"),
    ],
)
def test_a_finding_covers_the_address_alone(text: str, address: str) -> None:
    assert found(text) == [address]
    assert_every_split(CHECK, text)


def test_the_path_of_an_allowed_address_is_searched() -> None:
    assert found("https://ok.example/?u=https://e.example/x") == ["https://e.example/x"]
    assert found("https://ok.example/a//b:c") == []
    assert found("[a](https://ok.example)[b](https://e.example)") == ["https://e.example"]


def test_a_long_address_is_cut_and_its_rest_is_text() -> None:
    text = "https://e.example/" + "a" * 2 * LIMIT + " https://f.example"
    assert [len(part) for part in found(text)] == [LIMIT, len("https://f.example")]
    held: list[int] = []
    assert scan_in_chunks(CHECK, text, range(1, len(text), 97), held) == whole(CHECK, text)
    assert LIMIT - 97 <= max(held) < LIMIT
    assert held[-1] <= 97


def test_an_allowed_address_is_not_held() -> None:
    held: list[int] = []
    text = "https://ok.example/" + "a/" * 200
    assert scan_in_chunks(CHECK, text, range(1, len(text)), held) == []
    assert max(held[len("https://ok.example/") :]) <= 2


def test_nothing_of_an_address_leaves_before_it_is_known() -> None:
    text = "x " + "![a](https://e.example/?q=secret) y"
    start = text.index("https")
    for end in range(start + 1, len(text) - 3):
        (scan,) = CHECK.scan([Window(CHANNEL, text[:end], last=False)])
        assert scan.settled <= start or scan.findings


def test_prose_is_held_for_a_word() -> None:
    held = held_words(CHECK, PROSE)
    assert statistics.median(held) <= 1
    assert max(held) <= 2
    (scan,) = CHECK.scan([Window(CHANNEL, "a" * 999, last=False)])
    assert scan.settled == 999 - RUN


def test_a_window_begins_a_bounded_place_before_the_settled_text() -> None:
    text = PROSE * 3
    (scan,) = CHECK.scan([Window(CHANNEL, text, last=False)])
    assert scan.keep == scan.settled - BEFORE


def test_a_window_without_its_state_reads_the_tags_that_it_has() -> None:
    text = "<a title='x' href='" + " " * 20
    (scan,) = CHECK.scan([Window(CHANNEL, text, last=False)])
    rest = Window(CHANNEL, text[scan.keep :] + "foo:bar'>", scan.keep, scan.settled, last=True)
    assert [finding.label for finding in CHECK.scan([rest])[0].findings] == ["HTML_ADDRESS"]
