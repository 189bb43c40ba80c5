"""The small checks find the same however a text is cut, and their cost grows no faster than the text."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.checks import Check, Resources, build
from guardproxy.inference import Models
from tests.kit.check_cost import UNITS, cost, counted
from tests.kit.checks import PROSE, assert_invariant, promise

MOST = 2.3**2  # times the steps for four times the text
NAMES = ["Coca-Cola", "Coca-Cola Zero Sugar", "AT&T", "Lloyd's", "腾讯", "Zürich", "a a a a b"]
OPTIONS: dict[str, dict[str, Any]] = {
    "words": {"words": NAMES, "unless": ["Coca-Cola Zero"]},
    "refusal": {"threshold": 0, "chars": 60, "find": ["declined", "unable"]},
    "language": {"allow": ["en"], "letters": 20, "window_chars": 100},
    "code": {"threshold": 0.2},
    "tokens": {"most": 20},
    "repetition": {"times": 2, "words": 10},
    "gibberish": {"threshold": 0.3, "window_chars": 100},
    "readability": {"most": 2, "words": 20, "window_chars": 200},
}
CHECKS: dict[str, Check] = {
    use: build(use, use, options, Resources(tokenizer=Models().tokenizer)) for use, options in OPTIONS.items()
}
PARTS = (
    "Coca", "-", "Cola", " Zero", " Sugar", "AT", "&", "T", "Lloyd", "'", "’s", "腾", "讯", "Zu\u0308rich", "a ", "b",
    "I'm sorry, ", "but ", "I ", "cannot ", "help", " it. ", "As an AI, ", "I don't have access", "很抱歉，我不能",
    "```", "python", "~~~", "\n", "\n\n", "def f(x):\n", "SELECT a FROM b;", "<div>", "git clone -q x/y",
    "asdfkj qwlekj zxmcn ", "Каждое утро старый ", "Der alte Leuchtturm ", "The old lighthouse keeper ", "x" * 70, " " * 40,
    "é", "\u0301", "\u200b", "\ud800", "😀", "ﷺ", ".", "!", "1", "_", "\t", PROSE[:150], "dGhlIG9sZCBsaWdodGhvdXNl",
)  # fmt: skip
HOSTILE = {
    "begins of names": "coca-cola zero ",
    "a name without end": "a " * 8,
    "apostrophes": "a'",
    "regrets": "I'm sorry, I ",
    "fences": "```\n",
    "named fences": "```python\nx\n",
    "one line": "x = f(a); ",
    **{
        name: UNITS[name]
        for name in ("one word", "words", "spaces", "lines", "combining", "CJK", "digit dot", "objects")
    },
}


@promise
@given(st.sampled_from(sorted(CHECKS)), st.lists(st.sampled_from(PARTS), max_size=14).map("".join), st.data())
def test_small_checks_find_the_same_however_the_text_is_cut(use: str, text: str, data: st.DataObject) -> None:
    check = CHECKS[use]
    assert_invariant(check, text, data.draw(st.lists(st.integers(0, len(text)), max_size=6), label="cuts"))
    assert_invariant(check, text, range(1, len(text), data.draw(st.integers(1, 19), label="step")))


@pytest.mark.parametrize("use", sorted(set(OPTIONS) - {"language"}))
def test_their_cost_grows_no_faster_than_the_text(use: str) -> None:
    with counted():
        check = build(
            use,
            use,
            {**OPTIONS[use], "evasions": "off"} if use == "words" else OPTIONS[use],
            Resources(tokenizer=Models().tokenizer),
        )
    steep = {}
    for name, unit in HOSTILE.items():
        for piece in (0, 64):
            costs = [cost(check, unit, size, piece) for size in (2048, 8192)]
            if costs[1] > MOST * costs[0]:
                steep[name, piece] = costs
    assert steep == {}
