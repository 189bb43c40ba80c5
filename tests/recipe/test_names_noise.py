"""Rows that are damaged for training keep their names, and the figures count what they say."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.names.recipe.measure import Figures, joined
from models.names.recipe.noise import damaged, edited, framed, mended, mistyped, pairs, recased, unpunctuated
from tests.kit.checks import promise

TEXT = "Dear Mara Lindqvist, the parcel for Oslo is here: it isn't open."


def row(text: str = TEXT, *names: tuple[str, str]) -> dict[str, Any]:
    spans = [
        {"start": text.index(name), "end": text.index(name) + len(name), "label": label}
        for name, label in names or (("Mara Lindqvist", "PERSON"), ("Oslo", "LOCATION"))
    ]
    return {"text": text, "spans": spans, "source": "test"}


def values(found: dict[str, Any]) -> list[str]:
    return [found["text"][span["start"] : span["end"]] for span in found["spans"]]


def test_an_edit_moves_the_names_behind_it() -> None:
    assert values(edited(row(), [(0, 4, "Hello"), (36, 40, "Bergen"), (41, 43, "")])) == ["Mara Lindqvist", "Bergen"]
    assert values(edited(row(), [(5, 9, "")])) == [" Lindqvist", "Oslo"]
    assert values(edited(row(), [(5, 19, "")])) == ["Oslo"]


def test_each_damage_keeps_the_names() -> None:
    rng = random.Random(3)
    assert values(recased(row(), "lower")) == ["mara lindqvist", "oslo"]
    assert values(recased(row(), "upper")) == ["MARA LINDQVIST", "OSLO"]
    assert recased(row(), "title")["text"].startswith("Dear Mara Lindqvist, The Parcel")
    assert unpunctuated(row())["text"] == "Dear Mara Lindqvist the parcel for Oslo is here it isnt open"
    assert values(unpunctuated(row())) == ["Mara Lindqvist", "Oslo"]
    assert mistyped(row(), rng, 1.0)["text"] != TEXT
    for _ in range(200):
        assert values(framed(row(), rng))[:2] == ["Mara Lindqvist", "Oslo"]


@promise
@given(st.randoms(use_true_random=False))
def test_a_name_stays_a_run_of_its_words(rng: random.Random) -> None:
    one = damaged(row(), rng)
    people = [value for value, span in zip(values(one), one["spans"], strict=True) if span["label"] == "PERSON"]
    assert len(people) == 1
    assert people[0].count(" ") == 1
    assert people[0][0].lower() == "m"


def test_rows_are_joined_in_pairs() -> None:
    found = list(pairs([row(), row(), row()], random.Random(1), 1.0))
    assert [len(one["spans"]) for one in found] == [4, 2]
    assert all(values(one) == ["Mara Lindqvist", "Oslo"] * (len(one["spans"]) // 2) for one in found)
    assert list(pairs([row()], random.Random(1), 0.0)) == [row()]


def test_speakers_are_people_and_roles_are_none() -> None:
    chat = row("[8:02 PM] Jessica: hi\n[8:03 PM] Support: hello Bo\n[8:04 PM] Bo: yes", ("Bo", "PERSON"))
    assert sorted(values(mended(chat, ("PERSON",)))) == ["Bo", "Bo", "Jessica"]


def test_figures_count_overlaps_and_what_leaks() -> None:
    figures = Figures()
    figures.add(
        "Mara Lindqvist of Oslo", [(0, 14, "PERSON"), (18, 22, "LOCATION")], [(5, 14, "PERSON"), (15, 17, "PERSON")]
    )
    shown = figures.shown()
    assert (shown["precision"], shown["recall"], shown["leaked"]) == (50.0, 50.0, 50.0)
    assert shown["f1"] == pytest.approx(50.0)
    assert Figures().shown()["f1"] == 0.0


def test_places_that_touch_are_one() -> None:
    text = "12 Elm Street, Springfield, IL"
    places = [(0, 13, "LOCATION"), (15, 26, "LOCATION"), (28, 30, "LOCATION"), (3, 4, "PERSON")]
    assert joined(places[:3], text) == [(0, 30, "LOCATION")]
    assert joined([(0, 4, "LOCATION"), (9, 13, "LOCATION")], "Oslo and Rome") == [
        (0, 4, "LOCATION"),
        (9, 13, "LOCATION"),
    ]
