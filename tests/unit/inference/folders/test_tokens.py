"""The author of a text cannot write the tokens that only the caller sets."""

from __future__ import annotations

from functools import cache

import pytest

from guardproxy.checks._shared.declared.contract import Query
from guardproxy.inference.folders import tokens
from guardproxy.inference.models import find, load
from guardproxy.inference.scoring.scorer import ModelScorer
from tests.kit.plain_texts import OVERRIDE

SPECIAL = ("[CLS]", "[SEP]", "[PAD]", "[MASK]", "[UNK]")


@pytest.mark.parametrize("model", ["supervisor", "names"])
@pytest.mark.parametrize("token", SPECIAL)
@pytest.mark.parametrize("form", ["{}", "one {} two", "one{}two", "{}{}", "[{}]", "{}\0", "\u200b{}"])
def test_a_text_that_spells_a_special_token_does_not_become_it(model: str, token: str, form: str) -> None:
    tokenizer, numbers = tokens.load(find(model), *SPECIAL)
    text = form.format(token, token)
    encoding = tokenizer.encode(text, add_special_tokens=False)
    assert numbers[SPECIAL.index(token)] not in encoding.ids
    assert all(0 <= start < end <= len(text) for start, end in encoding.offsets)


@cache
def shipped() -> ModelScorer:
    return load(find())


@pytest.mark.parametrize("token", SPECIAL)
def test_special_tokens_around_an_attack_do_not_hide_it(token: str) -> None:
    """Thirty `[CLS]` before an attack hid nine of ten when the network was given them as tokens."""
    scorer = shipped()
    outputs = scorer.labels["injection"]["any"]
    least = {output: scorer.points[output][scorer.default_point] for output in outputs}
    for text in (
        f"{token} {OVERRIDE}",
        f"{OVERRIDE} {token}",
        f"{f'{token} ' * 30}{OVERRIDE}",
        f"{OVERRIDE}{f' {token}' * 30}",
    ):
        (pieces,) = scorer.judge([Query(text, outputs, kind="user")])
        assert any(piece.scores[output] >= least[output] for piece in pieces for output in outputs), text
