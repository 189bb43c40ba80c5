"""The entries about what people do hold no text and no name of a subject, and say themselves what they are."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest

from guardproxy.audit.record.commands import is_of_command
from guardproxy.audit.record.document import ENTRY_VERSION
from guardproxy.audit.record.entries import (
    Better,
    CommandEntry,
    Comparison,
    Erased,
    OperatorEntry,
    PolicyChanged,
    Reviewed,
    Rotated,
    Unsealed,
)
from guardproxy.audit.record.versions import entry_of


def test_their_members() -> None:
    shared = {"v", "at", "engine", "by", "why"}
    assert set(Erased.__struct_fields__) == {*shared, "keys"}
    assert set(Rotated.__struct_fields__) == {*shared, "count"}
    assert set(Unsealed.__struct_fields__) == {*shared, "id", "key"}
    assert set(Reviewed.__struct_fields__) == {*(shared - {"why"}), "id", "policy", "rule", "verdict", "text"}
    assert set(PolicyChanged.__struct_fields__) == {*shared, "files", "approved_by"}


ABOUT = {"v": ENTRY_VERSION, "at": 1.0, "engine": "e", "by": "eve"}
CHANGED = PolicyChanged.changed(
    {"b.yaml": (None, "sha256:3"), "a.yaml": ("sha256:1", "sha256:2"), "c.yaml": ("sha256:4", None)}
)
DEEDS: list[tuple[OperatorEntry, str, str, str]] = [
    (
        Erased(v=3, at=1.0, engine="e", by="eve", why="ticket", keys=("k1", "k2")),
        "erased 2 data keys",
        "destroyed 2 data keys: their texts cannot be read any more",
        "ticket",
    ),
    (
        Rotated(v=3, at=1.0, engine="e", by="eve", why="ticket", count=5),
        "rotated 5 data keys",
        "changed the operator's key, which wraps 5 data keys",
        "ticket",
    ),
    (
        Unsealed(v=3, at=1.0, engine="e", by="eve", why="ticket", id="x1", key="k1"),
        "unsealed",
        "opened the texts of the exchange x1",
        "ticket",
    ),
    (
        Reviewed(v=3, at=1.0, engine="e", by="eve", id="x1", policy="p", rule="r", verdict="false_alarm", text=0),
        "reviewed p: r as false alarm",
        "judged the rule p: r in the exchange x1: false alarm",
        "",
    ),
    (
        Reviewed(v=3, at=1.0, engine="e", by="eve", id="x1", verdict="missed"),
        "reviewed as missed",
        "judged the exchange x1: missed",
        "",
    ),
    (
        PolicyChanged(v=3, at=1.0, engine="e", by="eve", why="ticket", files=CHANGED, approved_by="bob"),
        "changed a.yaml, b.yaml, c.yaml, approved by bob",
        "changed the policies in a.yaml, b.yaml, c.yaml, which bob approved",
        "ticket",
    ),
]


@pytest.mark.parametrize(("entry", "brief", "done", "reason"), DEEDS)
def test_they_say_what_was_done(entry: OperatorEntry, brief: str, done: str, reason: str) -> None:
    assert (entry.brief, entry.done, entry.reason) == (brief, done, reason)
    assert entry.shows_texts == isinstance(entry, Unsealed)
    assert entry_of(entry.document()) == entry
    assert is_of_command(entry.to_json())


def test_each_kind_is_tried_here() -> None:
    assert {type(entry) for entry, *_ in DEEDS} == set(get_args(CommandEntry))


def test_their_details() -> None:
    details = [dict(entry.details) for entry, *_ in DEEDS]
    assert details == [
        {"data key": ("k1", "k2")},
        {},
        {"data key": "k1"},
        {"policy": "p", "rule": "r", "verdict": "false_alarm", "text": "0"},
        {"verdict": "missed"},
        {
            "approved by": "bob",
            "file": ("a.yaml: sha256:1 -> sha256:2", "b.yaml is new: sha256:3", "c.yaml is gone: sha256:4"),
        },
    ]


def test_an_entry_of_a_person_without_words_is_a_mistake() -> None:
    plain = OperatorEntry(v=3, at=1.0, engine="e", by="eve")
    with pytest.raises(NotImplementedError):
        _ = plain.brief
    with pytest.raises(NotImplementedError):
        _ = plain.done


@pytest.mark.parametrize("member", [{"verdict": "fine"}, {"text": -1}, {"note": "Jane Roe"}])
def test_a_verdict_is_one_of_a_few_words_and_holds_no_text(member: dict[str, object]) -> None:
    fine = {**ABOUT, "kind": "reviewed", "id": "x1", "verdict": "right"}
    assert isinstance(msgspec.convert(fine, Reviewed), Reviewed)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**fine, **member}, Reviewed)


@pytest.mark.parametrize(
    ("said", "better"),
    [
        ((), None),
        (("candidate", "candidate"), "candidate"),
        (("answer", "answer"), "answer"),
        (("equal", "equal"), "equal"),
        (("answer", "candidate"), "equal"),
        (("equal", "answer"), "equal"),
    ],
)
def test_an_answer_is_better_only_in_both_orders(said: tuple[Better, ...], better: Better | None) -> None:
    assert Comparison(upstream="u", model="m", ms=1.0, said=said).better == better
