"""The page: whole, without scripts, and every text of a log stays a text."""

from __future__ import annotations

import base64
import hashlib
import re
from html import unescape

from hypothesis import given
from hypothesis import strategies as st

from guardproxy.policydiff.excerpts import ExcerptPart
from guardproxy.policydiff.html import page, replay_page
from guardproxy.policydiff.policies import Change
from guardproxy.policydiff.traffic import Example, ExchangeGroup, Traffic
from tests.kit.pages import PageReader
from tests.kit.play import policy_set

CHANGED = [
    Change("p", "`attack` threshold 0.8 -> 0.6", "tightens"),
    Change("p", "the rule `x` is gone", "loosens"),
    Change("p", "tests: 1 new", "neutral"),
]


def traffic(text: str = "<b>hello</b>", rule: str = "r") -> Traffic:
    nothing = policy_set()
    found = Traffic(nothing, nothing)
    found.counts.update({"the same": 3, "different": 2, "not replayable": 1})
    found.reasons["no text"] = 1
    found.rescanned["pii"] = 2
    found.outcomes["answered", "blocked_request"] = 2
    example = Example(
        "id1", 0.0, "POST /a", "m", "answered", "blocked_request", "request m", (text,), (ExcerptPart(text, text),)
    )
    plain = Example("id2", 0.0, "", "", "answered", "answered", "", (), ())
    found._groups["p", rule, "holds now", "block"] = ExchangeGroup(
        "p", rule, "holds now", "block", 2, [], [example, plain]
    )
    found._groups["", "(other)", "does something else", ""] = ExchangeGroup("", "(other)", "does something else", "", 1)
    return found


def test_what_it_says() -> None:
    read = PageReader(page("old", "new", CHANGED, traffic()))
    assert read.open == []
    assert "Policies: old and new" in read.text
    assert "`attack` threshold 0.8 -> 0.6" in read.text
    assert "6 exchanges: 3 the same, 2 different, 0 cannot be told, 1 not replayable." in read.text
    assert "Not replayable: 1 because no text." in read.text
    assert "p: r holds now" in read.text
    assert "1970-01-01 00:00:00Z · id1 · POST /a · m" in read.text
    assert "answered → blocked_request, request m" in read.text
    assert "<b>hello</b>" in read.text


def test_nothing_to_say() -> None:
    assert "The policies are equivalent." in page("a", "b", [], None)
    nothing = policy_set()
    empty = PageReader(page("a", "b", [], Traffic(nothing, nothing)))
    assert "0 exchanges: 0 the same, 0 different, 0 cannot be told, 0 not replayable." in empty.text


def test_it_allows_itself_nothing_but_its_style_sheet() -> None:
    html = page("a", "b", CHANGED, traffic())
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)
    policy = re.search(r'Content-Security-Policy" content="(.*?)"', html)
    assert style
    assert policy
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert (
        unescape(policy[1]) == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    tags = PageReader(html).tags
    assert {tag for tag, _ in tags} & {"script", "link", "img", "iframe", "a", "form"} == set()
    assert not [attributes for _, attributes in tags if {"style", "src", "href", "onclick"} & attributes.keys()]
    assert "@media print" in style[1]
    assert "url(" not in style[1]


HOSTILE = st.text(alphabet=st.sampled_from(list("<>&\"'/abscript=\u202e\x00\x1b\n ")), min_size=1, max_size=30)


@given(HOSTILE)
def test_no_text_becomes_a_tag(text: str) -> None:
    tags = [tag for tag, _ in PageReader(page("a", "b", CHANGED, traffic())).tags]
    read = PageReader(page("a", "b", [*CHANGED[:2], Change("p", text, "neutral")], traffic(text, text)))
    assert [tag for tag, _ in read.tags] == tags
    assert not set(read.text) & set("\u202e\x00\x1b")


def test_the_page_of_a_replay_begins_with_its_remarks() -> None:
    read = PageReader(replay_page("Replay of a log", ["another <version> made it"], traffic()))
    assert read.open == []
    assert (
        read.text.index("Replay of a log")
        < read.text.index("another <version> made it")
        < read.text.index("p: r holds now")
    )
    assert "another" not in PageReader(replay_page("Replay of a log", [], traffic())).text
