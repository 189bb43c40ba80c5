"""LiteLLM as a client of OpenAI (chat, responses, embeddings) and Anthropic."""

from __future__ import annotations

import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # otherwise the import reads a list from the network

from collections.abc import Callable
from typing import Any

import litellm

from tests.clients.driving import (
    ATTACK,
    CUT,
    ERRORS,
    FORBIDDEN,
    MAIL,
    RESET,
    TOOL_WORDS,
    TWO_TOOLS,
    WORDS,
    Case,
    drive,
    dumped,
    run_task,
)

litellm.suppress_debug_info = True
litellm.telemetry = False
OWN = frozenset(("id", "created", "_hidden_params", "created_at"))  # what the library makes itself
Options = Callable[[str], dict[str, Any]]
PARAMETERS = {"type": "object", "properties": {"to": {"type": "string"}}, "required": ["to"]}
TOOLS = [{"type": "function", "function": {"name": "send_mail", "parameters": PARAMETERS}}]
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "person", "schema": SCHEMA, "strict": True}}


def chat(url: str) -> dict[str, Any]:
    return {"model": "openai/scripted", "api_base": f"{url}/v1", "api_key": "test"}


def anthropic(url: str) -> dict[str, Any]:
    return {"model": "anthropic/scripted", "api_base": url, "api_key": "test", "max_tokens": 1000}


def messages(words: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": words}]


def plain(at: Options, words: str, **more: Any) -> Case:
    more = {"max_retries": 0, **more}
    return lambda url, before: dumped(litellm.completion(messages=messages(words), **at(url), **more), OWN)


def stream(at: Options, words: str, **more: Any) -> Case:
    more = {"max_retries": 0, **more}

    def run(url: str, before: list[Any]) -> Any:
        for chunk in litellm.completion(messages=messages(words), stream=True, **at(url), **more):
            before.append(dumped(chunk, OWN))  # noqa: PERF401  what came before an error counts
        return before

    return run


def asynchronous(at: Options, words: str) -> Case:
    return lambda url, before: dumped(run_task(litellm.acompletion(messages=messages(words), **at(url))), OWN)


def restored(at: Options) -> Case:
    def run(url: str, before: list[Any]) -> str:
        chunks = litellm.completion(messages=messages(f"echo: {MAIL}!"), stream=True, **at(url))
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)

    return run


def responses(words: str, **more: Any) -> Case:
    return lambda url, before: dumped(litellm.responses(input=words, **chat(url), **more), OWN)


def responses_stream(words: str) -> Case:
    def run(url: str, before: list[Any]) -> Any:
        for event in litellm.responses(input=words, stream=True, **chat(url)):
            before.append(dumped(event, OWN))  # noqa: PERF401  what came before an error counts
        return before

    return run


def embeddings(words: str) -> Case:
    return lambda url, before: dumped(litellm.embedding(input=[words], **chat(url)), OWN)


def main() -> None:
    """Runs the cases of each provider."""
    same: dict[str, Case] = {
        "embeddings": embeddings("hello"),
        "responses": responses("hello"),
        "responses stream": responses_stream("hello"),
    }
    behind_rules: dict[str, Case] = {
        "embeddings block": embeddings(ATTACK),
        "responses block": responses(ATTACK),
        "responses cut": responses_stream(CUT),
    }
    for at in (chat, anthropic):
        name = at.__name__
        for words in WORDS:
            same |= {f"{name} {words}": plain(at, words), f"{name} stream {words}": stream(at, words)}
        for words in (TOOL_WORDS, TWO_TOOLS):
            same |= {
                f"{name} {words}": plain(at, words, tools=TOOLS),
                f"{name} stream {words}": stream(at, words, tools=TOOLS),
            }
        same[f"{name} asynchronous"] = asynchronous(at, "hello")
        if at is chat:
            same[f"{name} structured"] = plain(at, "a person", response_format=FORMAT)
        same |= {f"{name} error {status}": plain(at, f"error {status}") for status in ERRORS}
        behind_rules |= {
            f"{name} block": plain(at, ATTACK, max_retries=2),
            f"{name} stream block": stream(at, ATTACK, max_retries=2),
            f"{name} answer block": plain(at, FORBIDDEN, max_retries=2),
            f"{name} stream stopped": stream(at, FORBIDDEN, max_retries=2),
            f"{name} restored": restored(at),
            f"{name} cut": stream(at, CUT, max_retries=2),
            f"{name} reset": stream(at, RESET, max_retries=2),
        }
    drive(same, behind_rules)


if __name__ == "__main__":
    main()
