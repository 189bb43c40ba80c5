"""Instructor over the clients of OpenAI and Anthropic."""

from __future__ import annotations

from typing import Any

import anthropic
import instructor
import openai
from pydantic import BaseModel

from tests.clients.driving import ATTACK, CUT, ERRORS, Case, drive, dumped

CALLED = 'call tool: Person {"name": "Mara", "age": 7}'


class Person(BaseModel):
    """A person."""

    name: str
    age: int


def of_openai(url: str, mode: instructor.Mode) -> Any:
    return instructor.from_openai(openai.OpenAI(base_url=f"{url}/v1", api_key="test"), mode=mode)


def of_anthropic(url: str, mode: instructor.Mode) -> Any:
    return instructor.from_anthropic(anthropic.Anthropic(base_url=url, api_key="test"), mode=mode)


def asked(words: str) -> dict[str, Any]:
    return {"model": "scripted", "max_tokens": 1000, "messages": [{"role": "user", "content": words}]}


def whole(at: Any, mode: instructor.Mode, words: str, *, max_retries: int = 1) -> Case:
    def run(url: str, before: list[Any]) -> Any:
        create = at(url, mode).chat.completions.create_with_completion
        person, completion = create(response_model=Person, max_retries=max_retries, **asked(words))
        return [dumped(person), dumped(completion)]

    return run


def partial(at: Any, mode: instructor.Mode, words: str) -> Case:
    def run(url: str, before: list[Any]) -> Any:
        for person in at(url, mode).chat.completions.create_partial(response_model=Person, **asked(words)):
            before.append(dumped(person))  # noqa: PERF401  what came before an error counts
        return before

    return run


def main() -> None:
    """Runs the cases of each client and mode."""
    same: dict[str, Case] = {}
    behind_rules: dict[str, Case] = {}
    modes = {
        "tools": (of_openai, instructor.Mode.TOOLS, CALLED),
        "schema": (of_openai, instructor.Mode.JSON_SCHEMA, "a person"),
        "json": (of_openai, instructor.Mode.JSON, 'echo: {"name": "Mara", "age": 7}'),
        "anthropic": (of_anthropic, instructor.Mode.ANTHROPIC_TOOLS, CALLED),
    }
    for name, (at, mode, words) in modes.items():
        same[name] = whole(at, mode, words)
        same[f"{name} stream"] = partial(at, mode, words)
        same |= {f"{name} error {status}": whole(at, mode, f"error {status}") for status in ERRORS if status < 429}
        behind_rules[f"{name} block"] = whole(at, mode, ATTACK)
        behind_rules[f"{name} stream block"] = partial(at, mode, ATTACK)
        behind_rules[f"{name} cut"] = partial(at, mode, CUT)
    drive(same, behind_rules)


if __name__ == "__main__":
    main()
