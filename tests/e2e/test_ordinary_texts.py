"""No shipped policy refuses an ordinary text, whoever says it and wherever it stands. Models are loaded once.

The texts are in `tests/policy/ordinary.txt`, one a line.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from guardproxy.library import loader, shipped_folder, shipped_names
from guardproxy.policy.deciding.evaluate import PolicySet
from guardproxy.policy.values.cases import RawExchange, RequestFacts
from guardproxy.policytest.playing import SceneResult, play_scene
from guardproxy.policytest.scenes import Cuts

FILE = Path(__file__).parents[1] / "policy" / "ordinary.txt"
LINES = FILE.read_text("utf-8").splitlines()
TEXTS = tuple(line.replace("\\n", "\n") for line in LINES if line and not line.startswith("#"))
LOAD = loader()
HARM = ("content", "harmful", "hate", "harassment", "sexual", "violence", "self_harm", "illicit")


@cache
def loaded(name: str) -> PolicySet:
    return LOAD(shipped_folder(name))


def messages(role: str, **more: Any) -> Callable[[], RawExchange]:
    return lambda: RawExchange({"messages": [{"role": role, "content": text, **more} for text in TEXTS]})


def described() -> RawExchange:
    tools = [
        {"type": "function", "function": {"name": f"tool_{number}", "description": text}}
        for number, text in enumerate(TEXTS)
    ]
    return RawExchange({"messages": [{"role": "user", "content": "hello"}], "tools": tools})


def noted() -> RawExchange:
    metadata = {f"note_{number}": text for number, text in enumerate(TEXTS)}
    return RawExchange({"messages": [{"role": "user", "content": "hello"}], "metadata": metadata})


def answered() -> RawExchange:
    choices = [
        {"index": number, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        for number, text in enumerate(TEXTS)
    ]
    return RawExchange({"messages": [{"role": "user", "content": "hello"}]}, ({"choices": choices},))


SCENES = {
    "user": messages("user"),
    "system": messages("system"),
    "assistant": messages("assistant"),
    "tool": messages("tool", tool_call_id="c1"),
    "description": described,
    "metadata": noted,
    "answer": answered,
}


def refused(played: SceneResult) -> set[tuple[str, str]]:
    """The rules that would end the exchange or ask for another answer, with the place of the text."""
    return {(hit.rule, hit.path) for hit in played.hits if hit.enforced and hit.action not in ("flag", "redact")}


def test_there_are_enough_texts_of_every_sort() -> None:
    assert len(TEXTS) >= 200
    assert len(set(TEXTS)) == len(TEXTS)
    assert sum(line.startswith("# ") for line in LINES) >= 10


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("name", shipped_names())
def test_no_shipped_policy_refuses_an_ordinary_text(name: str, scene: str) -> None:
    played = play_scene(loaded(name), SCENES[scene](), RequestFacts(), Cuts())
    assert refused(played) == set()
    assert not played.trouble


@pytest.mark.parametrize("name", shipped_names())
def test_what_judges_content_is_in_shadow_mode(name: str) -> None:
    """Until a model errs rarely enough: a new rule on content must not be enforced by accident."""
    for policy in loaded(name).policies:
        for rule in policy.rules:
            for check in rule.when.names() & policy.checks.keys():
                spec = policy.checks[check]
                named = {spec.options.get("label"), *spec.options.get("labels", ())}
                if spec.use == "supervisor" and named & {*HARM}:
                    assert rule.mode == "shadow", rule.id
