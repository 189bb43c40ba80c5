"""The third generation's rows: what follows from what a row says, and what is left out."""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.supervisor.recipe import groups
from models.supervisor.recipe.data import data_folder
from models.supervisor.recipe.second.outputs import CHANNELS, JAILBREAK, KINDS, PARTS, Row, make_row, targets
from models.supervisor.recipe.third import data
from models.supervisor.recipe.third.excerpt import common_cap, excerpt, source_of
from models.supervisor.recipe.third.targets import conclude, injection, of_label

PLAIN = {"override": 0, "extraction": 0, "wrapper": 0, "obfuscation": 0, "harmful": 0}


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (targets(["override"]), 1),
        (targets(["order"]), 1),
        (targets(["wrapper"], ["illicit"]), 1),
        (targets(["wrapper"]), 0),
        (targets((), ["hate"]), 0),
        ({JAILBREAK: 1}, 1),
        ({"order": 1}, 1),
        ({"order": 0}, None),
        ({JAILBREAK: 0}, None),
        ({"harmful": 1}, None),
    ],
)
def test_any_attack_is_an_injection_and_only_what_rules_out_all_is_none(
    found: dict[str, int], wanted: int | None
) -> None:
    assert injection(found) == wanted


def test_a_jailbreak_follows_from_its_parts() -> None:
    assert conclude(PLAIN | {"override": 1}, "user")[JAILBREAK] == 1
    assert conclude(PLAIN, "user") == dict.fromkeys((*PARTS, JAILBREAK), 0)
    framed = PLAIN | {"wrapper": 1, "harmful": 1, "illicit": 1}
    assert conclude(framed, "user")[JAILBREAK] == 1
    assert conclude(PLAIN | {"wrapper": 1}, "user")[JAILBREAK] == 0
    unknown = {"override": 0, "extraction": 0, "wrapper": 1}
    assert JAILBREAK not in conclude(unknown, "user")


def test_a_document_that_is_no_jailbreak_may_still_give_an_order() -> None:
    assert "order" not in conclude(PLAIN, "tool_result")
    assert conclude(PLAIN | {"order": 1}, "tool_result")["order"] == 1


def test_what_a_row_says_stays_as_it_is() -> None:
    for how in ((), ("override",), ("wrapper", "order")):
        for what in ((), ("hate",)):
            told = targets(how, what)
            for channel in CHANNELS:
                assert conclude(told, channel) == told


def test_a_label_means_an_order_in_a_tool_result_and_a_jailbreak_in_a_message() -> None:
    assert of_label(1, "tool_result") == {"order": 1}
    assert of_label(1, "user") == {JAILBREAK: 1}
    assert set(of_label(0, "user")) == {*PARTS, JAILBREAK}
    assert not any(of_label(0, "tool_result").values())


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(data, "OWN", tmp_path)
    return tmp_path


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_own_twins_are_both_trained_on_or_both_kept(own: Path) -> None:
    rows = [{"text": f"{pair} {label}", "label": label, "kind": "note", "channel": "tool_result", "pair": pair}
            for pair in range(200) for label in (1, 0)]  # fmt: skip
    write(own / "documents.jsonl", rows)
    train, held = data.own_third(held=False), data.own_third(held=True)
    assert len(train) + len(held) == len(rows)
    assert 0.05 * len(rows) < len(held) < 0.2 * len(rows)
    for part in (train, held):
        assert set(Counter(row["text"].split()[0] for row in part).values()) == {2}
    assert {row["source"] for row in train} == {"own/third/documents:note"}


def test_own_rows_with_targets_and_with_a_label(own: Path) -> None:
    write(own / "framed.jsonl", [{"text": "a", "kind": "novel", "targets": PLAIN | {"wrapper": 1}, "pair": 1}])
    write(own / "mail.jsonl", [{"text": "b", "kind": "mail", "label": 1, "channel": "tool_result", "span": [0, 1]}])
    framed, mail = data.own_third(held=False)
    assert (framed["channel"], framed["targets"][JAILBREAK]) == ("user", 0)
    assert (mail["targets"], mail["span"]) == ({"order": 1}, [0, 1])


def test_a_list_of_templates_gives_a_thousand_rows_of_a_label_and_hand_written_texts_all() -> None:
    def rows(source: str, count: int, what: tuple[str, ...]) -> list[Row]:
        return [make_row(f"{source} {number}", targets((), what), source) for number in range(count)]

    given = [*rows("own/places", 1500, ("illicit",)), *rows("own/places", 900, ()), *rows("own/direct", 1500, ())]
    kept = data.capped(given, random.Random(1))
    assert Counter((row["source"], row["targets"]["harmful"]) for row in kept) == {
        ("own/places", 1): data.MOST_OF_TEMPLATES, ("own/places", 0): 900, ("own/direct", 0): 1500,
    }  # fmt: skip


def test_a_choice_row_says_what_its_labels_say() -> None:
    both = groups.make_row("a", 1, groups.BOTH, "injection/x", "user", "story")
    assert data.choice_row(both)["targets"] == {"harmful": 1, JAILBREAK: 1}
    order = data.choice_row(groups.make_row("b", 1, (groups.INJECTION,), "injection/y", "tool_result", "attack"))
    assert (order["targets"], order["source"]) == ({"order": 1}, "injection/y")
    fine = data.choice_row(groups.make_row("c", 0, groups.BOTH, "content/z", "user", "counsel"))
    assert (fine["source"], any(fine["targets"].values())) == ("ordinary/counsel", False)
    assert set(KINDS) < set(fine["targets"])


@pytest.mark.skipif("GUARDPROXY_DATA" not in os.environ, reason="needs the data folder")
def test_every_committed_own_row_can_be_read() -> None:
    rows = [*data.own_third(held=False), *data.own_third(held=True)]
    assert rows
    for row in rows:
        assert row["channel"] in CHANNELS
        assert injection(row["targets"]) is not None or row["targets"].get("harmful") is not None
        assert row["span"] is None or row["text"][slice(*row["span"])].strip()
    texts = {row["text"] for row in rows}
    assert not texts & {row["text"] for row in groups.choice_rows(data_folder())}


@given(st.lists(st.integers(0, 40)), st.integers(0, 300))
def test_a_common_cap_takes_as_many_as_there_is_room_for(sizes: list[int], total: int) -> None:
    def taken(cap: int) -> int:
        return sum(min(size, cap) for size in sizes)

    cap = common_cap(sizes, total)
    assert taken(cap) <= total
    assert taken(cap + 1) > total or taken(cap) == sum(sizes)


def test_an_excerpt_has_all_rows_of_new_files_and_an_even_share_of_the_others() -> None:
    sizes = {"own/third/new:a": 3, "own/third/new:b": 2, "own/third/newer:a": 9, "public/many": 50, "public/few": 1}
    rows = [
        make_row(f"{source} {number}", {}, source, "user", None)
        for source, size in sizes.items()
        for number in range(size)
    ]
    drawn = excerpt(rows, ["new"], 12, random.Random(1))
    assert Counter(source_of(row) for row in drawn) == {
        "own/third/new": 5, "own/third/newer": 5, "public/many": 5, "public/few": 1,
    }  # fmt: skip
    assert drawn == excerpt(rows, ["new"], 12, random.Random(1)) != sorted(drawn, key=lambda row: row["text"])
