"""Further turns of a declared format: the last text of the user goes on."""

from __future__ import annotations

from typing import Any

from guardproxy.wire.contract.turns import ModelTurn
from guardproxy.wire.declared.contract import maps_of
from guardproxy.wire.declared.turns import DeclaredTurns
from tests.unit.wire.declared.test_codec import EVENTS, LINES

TURNS = DeclaredTurns(LINES, maps_of(LINES).request)


def test_the_last_text_of_the_user_goes_on() -> None:
    asked = {
        "turns": [{"from": "user", "text": "first"}, {"from": "user", "text": "ask"}, {"from": "model", "text": "m"}]
    }
    tree = TURNS.further(asked, ModelTurn("an answer"), "wrong")
    assert tree["turns"][1]["text"] == "ask\n\nan answer\n\nwrong"
    assert asked["turns"][1]["text"] == "ask"
    assert TURNS.first_words(tree) == "first"
    assert TURNS.further({"turns": []}, ModelTurn("a"), "b") == {"turns": []}
    strange: tuple[Any, ...] = (None, {}, [])
    assert [TURNS.first_words(tree) for tree in strange] == ["", "", ""]


def test_another_model_is_named_where_the_format_names_it() -> None:
    asked = {"turns": [], "engine": "old"}
    assert TURNS.with_model("/p", asked, "new") == ("/p", {"turns": [], "engine": "new"})
    assert asked["engine"] == "old"
    assert TURNS.with_model("/p", asked, "old") == ("/p", asked)
    without = DeclaredTurns(EVENTS, maps_of(EVENTS).request)
    assert without.with_model("/p", {"prompt": "a"}, "new") == ("/p", {"prompt": "a"})
