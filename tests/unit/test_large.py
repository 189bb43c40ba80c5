"""Texts that could make a check slow cost an exchange in proportion to their length: counted, at sizes for every run.

`make growth-large` measures the time at 64 to 256 KB.
"""

from __future__ import annotations

import json

import pytest

from tests.kit.check_cost import text_of
from tests.kit.play import CHAT
from tools.cost import Meter
from tools.large import TEXTS, plays

pytestmark = pytest.mark.heavy

SIZES = (1500, 3000, 6000)
MOST_PER_DOUBLING = 2.3
SLACK = 3000  # calls or characters: what is the same for every size is not there at once


@pytest.mark.parametrize("name", TEXTS)
def test_work_grows_with_the_text(name: str) -> None:
    works = []
    for size in (SIZES[0], *SIZES):  # the first one fills caches
        text = text_of(TEXTS[name], size)
        call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": json.dumps({"x": text})}}
        messages = [{"role": "user", "content": text}, {"role": "assistant", "tool_calls": [call]}]
        works.append(Meter(CHAT).run(json.dumps({"model": "m", "messages": messages}).encode()))
    for count in ("calls", "chars"):
        once, twice, four_times = (getattr(work, count) for work in works[1:])
        assert four_times - twice <= MOST_PER_DOUBLING * (twice - once) + SLACK, (
            f"{count}: {once}, {twice}, {four_times}"
        )


def test_everything_is_played() -> None:
    assert {name for name, _ in plays()} >= {"request", "arguments", "stream", "check pii"}
