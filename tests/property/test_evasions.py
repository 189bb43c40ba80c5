"""Tests unfolding: the cut of a text does not matter, no character is lost, plain text stays as it was, and findings cover
everything that hides a value."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from guardproxy.checks._shared.declared.contract import Resources, build
from guardproxy.checks._shared.evasions.folding import table
from guardproxy.checks._shared.evasions.unfolding import UNDECODED, Unfolding, unfolding
from guardproxy.findings import QUICK
from tests.kit.checks import PROSE, assert_every_split, assert_invariant, promise, whole
from tests.kit.evasions import CARD, INVISIBLE, KEY, MAIL, SPACES, WAYS, base, digits, full_width, look_alikes

PATTERNS = {"patterns": [r"(?i)project[ -]?falcon", r"foo.bar", r"\bEMP-\d{6}\b"], "words": ["umbrella corp"]}
INNER: dict[str, Any] = {
    "pii": build("pii", "pii", {"evasions": "off"}, Resources()),
    "secrets": build("secrets", "secrets", {"evasions": "off"}, Resources()),
    "pattern": build("pattern", "pattern", {**PATTERNS, "evasions": "off"}, Resources()),
}
PROFILES = st.sampled_from(["standard", "strict"])
NAMES = st.sampled_from(sorted(INNER))
VALUES = [
    CARD,
    MAIL,
    KEY,
    "212-555-0142",
    "project falcon",
    "umbrella corp",
    "EMP-123456",
    "foo bar",
    "token=hunter2abcX9",
]
SIGNS = [
    " ",
    "\n",
    "\r\n",
    ", ",
    "=",
    "==",
    '"',
    "(",
    "%",
    "%4",
    "&#",
    "&#x4",
    "\\u",
    "\\",
    "0x",
    "-",
    "–",
    "é",
    "привет",
    "４",
]
SIGNS += [
    "🏴\U000e0067\U000e007f",
    "1️⃣ ",
    "\ud800",
    "😀",
    "，",
    "\u200b" * 70,
    "\b",
    "\x00",
    "\x1b[1m",
    "\x1b[",
    "\x1b",
    "\U000e0041\U000e0031",
    "\ufffc",
    "\ue000",
    "\U000f0000",
    *INVISIBLE.values(),
    *SPACES,
]


def wrapped(name: str, profile: str) -> Any:
    return unfolding(INNER[name], {"evasions": profile})


def _hidden(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Values that are hidden once or twice, wholly or in part."""
    ways = st.sampled_from([hide for hide, _ in WAYS.values()])
    whole_ = st.builds(lambda value, hide: hide(value) if value.isascii() else value, values, ways)
    twice = st.builds(lambda value, hide: hide(value) if value.isascii() else value, whole_, ways)
    part = st.builds(
        lambda value, hide, low, high: value[:low] + hide(value[low:high]) + value[high:],
        values,
        st.sampled_from([full_width, look_alikes, base, "\u200b".join, lambda value: digits(value, "٠")]),
        st.integers(0, 12),
        st.integers(4, 30),
    )
    return st.one_of(values, whole_, twice, part)


NOISE = st.text(st.sampled_from("0123456789abcdefABCDEF+/=_- \n.%&\\#;"), max_size=20)
PARTS = st.one_of(
    _hidden(st.sampled_from(VALUES)), st.sampled_from(SIGNS), NOISE, st.sampled_from(PROSE.split()), st.just(" ")
)
TEXTS = st.lists(PARTS, max_size=9).map("".join)


def _cuts(data: st.DataObject, text: str) -> list[int]:
    return data.draw(st.lists(st.integers(0, len(text)), max_size=6), label="cuts")


@promise
@given(NAMES, PROFILES, TEXTS, st.data())
def test_hidden_values_are_found_the_same_however_the_text_is_cut(
    name: str, profile: str, text: str, data: st.DataObject
) -> None:
    check = wrapped(name, profile)
    assert_invariant(check, text, _cuts(data, text))
    assert_invariant(check, text, range(1, len(text), data.draw(st.integers(1, 9), label="step")))


@promise
@given(NAMES, st.booleans(), TEXTS, st.integers(16, 90), st.data())
def test_words_that_are_too_long_are_cut_the_same_however_the_text_is_cut(
    name: str, strict: bool, text: str, limit: int, data: st.DataObject
) -> None:
    check = Unfolding(INNER[name], table(strict, limit), "sha256:0", QUICK)
    text += data.draw(st.sampled_from(["", "x ", "key="])) + base(data.draw(st.sampled_from(VALUES)) * 9)
    text += data.draw(st.sampled_from(["", " end", ". ", "\n"]))
    assert_invariant(check, text, _cuts(data, text))
    assert_invariant(check, text, range(1, len(text), data.draw(st.integers(1, 9), label="step")))


@promise
@given(NAMES, PROFILES, TEXTS)
def test_nothing_is_lost(name: str, profile: str, text: str) -> None:
    found = whole(wrapped(name, profile), text)
    for each in whole(INNER[name], text):
        assert any(
            each.label == one.label and one.start <= each.start and each.end <= one.end and one.score >= each.score
            for one in found
        )


@promise
@given(NAMES, PROFILES, st.lists(st.sampled_from([*PROSE.split(), *VALUES[:4], "Straße", "жил", "5"])).map(" ".join))
def test_plain_text_gives_what_the_check_finds(name: str, profile: str, text: str) -> None:
    if profile == "standard":
        assert whole(wrapped(name, profile), text) == whole(INNER[name], text)
    else:
        assert set(whole(INNER[name], text)) <= set(whole(wrapped(name, profile), text))


@promise
@given(
    st.sampled_from([("pii", CARD), ("pii", MAIL), ("secrets", KEY), ("pattern", "project falcon")]),
    st.sampled_from([(hide, mildest) for hide, mildest in WAYS.values() if mildest in ("standard", "strict")]),
    st.lists(st.sampled_from(PROSE.split()), max_size=6).map(" ".join),
    st.lists(st.sampled_from(PROSE.split()), max_size=6).map(" ".join),
)
def test_a_hidden_value_is_covered(of: tuple[str, str], way: tuple[Any, str], before: str, after: str) -> None:
    name, value = of
    hide, mildest = way
    run = hide(value)
    text = f"{before} ({run}) {after}"
    start, end = text.index(run), text.index(run) + len(run)
    found = [each for each in whole(wrapped(name, mildest), text) if each.label != UNDECODED]
    assert any(start <= each.start <= start + 24 and each.end == end for each in found)


def test_every_split_of_short_hostile_texts() -> None:
    for text in (
        "a\u200b4111\u200b 1111 1111 1111 b",
        f"x {base(MAIL)[:20]}\n{base(MAIL)[20:]}\ny",
        "jane%2540example%252ecom and &#52;111",
        "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 x",
        f"\\x41{KEY[1:]} \\u{{41}}{KEY[1:]}",
    ):
        for name in INNER:
            for profile in ("standard", "strict"):
                assert_every_split(wrapped(name, profile), text, pairs=len(text) < 40)
