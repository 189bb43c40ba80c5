"""The card of a model as parts of a page, whatever its Markdown is."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.console.pages.models.cards import LIMIT_BLOCKS, LIMIT_CHARS, CardBlock, blocks_of

CARDS = sorted(Path(__file__).parents[5].glob("models/*/card.md"))
CARD = """# Model `x`

Some words **that** go
on in [two lines](docs/index.md).
| a | b |
|---|:-:|
| 1 | `2` |
- one
  goes on
- two
1. three

<!-- not
shown -->![a plot](roc.png)
```sh
guardproxy serve

# no heading
```
## End
"""


def test_every_part_is_read() -> None:
    assert blocks_of(CARD) == (
        CardBlock("heading", ("Model `x`",), level=1),
        CardBlock("text", ("Some words that go on in two lines.",)),
        CardBlock("table", rows=(("a", "b"), ("1", "`2`"))),
        CardBlock("list", ("one goes on", "two", "three")),
        CardBlock("code", ("guardproxy serve", "", "# no heading")),
        CardBlock("heading", ("End",), level=2),
    )
    assert blocks_of("") == ()
    assert blocks_of("text\n```\nno end") == (CardBlock("text", ("text",)), CardBlock("code", ("no end",)))


@pytest.mark.parametrize("card", CARDS, ids=lambda path: path.parent.name)
def test_the_cards_that_ship_are_shown_whole(card: Path) -> None:
    blocks = blocks_of(card.read_text("utf-8"))
    assert blocks[0].kind == "heading"
    assert {"text"} < {block.kind for block in blocks}
    assert len(blocks) < LIMIT_BLOCKS


@given(st.text(st.sampled_from("#|-*`[]()<!> \n1.a\u202e"), max_size=300))
def test_no_text_breaks_it_and_every_block_has_content(text: str) -> None:
    for block in blocks_of(text):
        assert block.kind == "code" or block.lines or block.kind == "table"


def test_endless_cards_are_cut() -> None:
    assert len(blocks_of("# a\n\n" * 100_000)) == LIMIT_BLOCKS
    (block,) = blocks_of("x" * 10_000_000)
    assert len(block.lines[0]) == LIMIT_CHARS
