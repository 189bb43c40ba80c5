"""Requests to measure with: no text twice, and turns of an agent that repeat their history."""

from __future__ import annotations

import json
from random import Random

from guardproxy.sizing.traffic import Agent, prompt, words


def test_a_text_has_so_many_words_and_comes_once() -> None:
    random = Random(1)
    texts = [" ".join(words(random, 50)) for _ in range(100)]
    assert {len(text.split()) for text in texts} == {50}
    assert len(set(texts)) == 100


def test_a_prompt_may_ask_for_a_stream_and_some_name_an_address() -> None:
    random = Random(1)
    trees = [json.loads(prompt(random, 5, stream=number == 0)) for number in range(40)]
    assert [tree.get("stream", False) for tree in trees] == [True, *[False] * 39]
    named = sum("@example.com" in tree["messages"][0]["content"] for tree in trees)
    assert 0 < named < 30


def test_an_agent_repeats_its_history_and_begins_anew() -> None:
    agent = Agent(Random(1))
    turns = [json.loads(agent.turn())["messages"] for _ in range(10)]
    assert turns[1][:1] == turns[0]
    assert turns[2][:3] == turns[1]
    assert [len(turn) for turn in turns] == [1, 3, 5, 7, 9, 11, 13, 1, 3, 5]
    assert turns[1][2]["tool_call_id"] == turns[1][1]["tool_calls"][0]["id"]
