"""Own labelled requests: every slot is filled, both labels come in both lengths, and the same generator gives the same rows."""

from __future__ import annotations

import random

from models.difficulty.recipe.rows import EASY, HARD, filled, requests

LONG = ["a text that goes on and on " * 40]


def test_every_slot_of_every_template_is_filled() -> None:
    templates = [template for kinds in (EASY, HARD) for each in kinds.values() for template in each]
    assert len(templates) > 150
    for template in templates:
        assert not {"{", "}"} & set(filled(template, random.Random(1)))


def test_both_labels_come_short_and_long() -> None:
    rows = requests(random.Random(3), 600, LONG)
    assert rows == requests(random.Random(3), 600, LONG)
    assert {(row.hard, len(row.text) > 300) for row in rows} == {
        (True, True),
        (True, False),
        (False, True),
        (False, False),
    }
    assert sum(row.hard for row in rows) == 300
    assert not EASY.keys() & HARD.keys()
