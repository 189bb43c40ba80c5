"""The three groups of sources: no file is in two of them, and nothing to train on is a twin of a choice text."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest

from models.supervisor.recipe import data, groups
from models.supervisor.recipe.groups import BOTH, CHOICE, HELD, INJECTION, REPORT, STRANGERS, Twins
from models.supervisor.recipe.second.ordinary import APART
from models.supervisor.recipe.second.sources import TRAINING

HELD_TEXT = "the grey heron waits at the weir until the last of the small boats has gone home"


def test_no_file_is_in_two_groups_but_for_the_named_parts() -> None:
    training = {source.name for source in groups.training_sources()}
    strangers, held = {source.name for source in STRANGERS}, {source.name for source in HELD}
    assert not training & strangers
    assert not training & set(REPORT)
    assert training & held <= {name for name, *_ in APART.values()}
    assert not strangers & (held | set(REPORT))
    assert held & set(REPORT) == {"injection/tensor_trust_attacks", "benign/self_instruct_mtbench"}
    assert training | strangers >= {source.name for source in TRAINING}


def test_every_choice_source_says_what_its_rows_are() -> None:
    assert len({source.name for source in CHOICE}) == len(CHOICE)
    for source in CHOICE:
        assert source.bad or source.fine
        assert set(source.bad) <= set(BOTH)


def test_a_copy_and_a_text_that_holds_much_of_it_are_twins() -> None:
    twins = Twins([HELD_TEXT, "short one"])
    assert twins.is_twin({"text": HELD_TEXT.upper() + "!"})
    assert twins.is_twin({"text": f"Listen: {HELD_TEXT}, she said."})
    assert twins.is_twin({"text": "Short one."})
    assert not twins.is_twin({"text": "short one, but longer"})
    assert not twins.is_twin({"text": "the grey heron waits at the lake and nothing else is the same in this one"})


def test_an_attack_in_a_longer_text_is_looked_at_by_itself() -> None:
    twins = Twins([HELD_TEXT])
    around = " ".join(f"word{number}" for number in range(200))
    text = f"{around} {HELD_TEXT}"
    assert not twins.is_twin({"text": text, "span": None})
    assert twins.is_twin({"text": text, "span": [len(around) + 1, len(text)]})


def test_own_choice_texts_name_their_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "OWN", tmp_path)
    rows = [
        {"text": "a", "label": 1, "kind": "plain", "lang": "de"},
        {"text": "b", "label": 0, "kind": "plain", "lang": "de"},
    ]
    (tmp_path / "overrides-pl.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    bad, fine = groups.own_rows()
    assert (bad["labels"], bad["source"], bad["channel"]) == ([INJECTION], "own/choice/overrides-pl", "user")
    assert fine["labels"] == list(BOTH)
    (tmp_path / "other.jsonl").write_text(json.dumps(rows[0]) + "\n")
    with pytest.raises(ValueError, match="labels"):
        list(groups.own_rows())


def test_an_attack_is_put_between_the_paragraphs_of_a_long_text() -> None:
    text = "first\n\nsecond\n\nthird"
    found = {groups.planted(text, "ATTACK", random.Random(seed))[0] for seed in range(40)}
    assert found == {
        "ATTACK\n\nfirst\n\nsecond\n\nthird", "first\n\nATTACK\n\nsecond\n\nthird",
        "first\n\nsecond\n\nATTACK\n\nthird", "first\n\nsecond\n\nthird\n\nATTACK",
    }  # fmt: skip
    rows = [groups.make_row(name, label, (INJECTION,), "own/choice/long", channel, "x")
            for name, label, channel in ((text, 0, "user"), ("other", 0, "tool_result"), ("ATTACK", 1, "user"))]  # fmt: skip
    *same, changed = groups.with_long_texts(rows, random.Random(1))
    assert same == rows[:2]
    assert changed["text"] in found
    assert changed["text"][slice(*changed["span"])] == "ATTACK"


@pytest.mark.skipif("GUARDPROXY_DATA" not in os.environ, reason="needs the data folder")
def test_choice_rows_are_the_same_each_time_and_no_report_text() -> None:
    folder = data.data_folder()
    rows = groups.choice_rows(folder)
    assert rows == groups.choice_rows(folder)
    assert {row["source"] for row in rows if not row["source"].startswith(("own/", "choice/"))} == {
        source.name for source in CHOICE
    }
    _, report = data.held_out(folder)
    assert not {row["text"] for row in rows} & {row["text"] for row in report}
    for row in rows:
        assert row["span"] is None or row["text"][slice(*row["span"])].strip()
        assert row["kind"]
