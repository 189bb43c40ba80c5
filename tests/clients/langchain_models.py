"""LangChain's models of OpenAI (chat and responses) and Anthropic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from langchain_anthropic import ChatAnthropic
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel, SecretStr

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

KEY = SecretStr("test")
OWN = frozenset(("id", "run_id"))  # identifiers that the library makes itself
At = Callable[[str, int], Any]


class Person(BaseModel):
    """A person."""

    name: str
    age: int


class SendMail(BaseModel):
    """Sends a mail."""

    to: str


def chat(url: str, retries: int) -> Any:
    return ChatOpenAI(model="scripted", base_url=f"{url}/v1", api_key=KEY, stream_usage=True, max_retries=retries)


def responses(url: str, retries: int) -> Any:
    return ChatOpenAI(model="scripted", base_url=f"{url}/v1", api_key=KEY, use_responses_api=True, max_retries=retries)


def anthropic(url: str, retries: int) -> Any:
    return ChatAnthropic(model="scripted", base_url=url, api_key=KEY, max_tokens=1000, max_retries=retries)


def plain(at: At, words: str) -> Case:
    return lambda url, before: dumped(at(url, 0).invoke(words), OWN)


def guarded(at: At, words: str) -> Case:
    """With the retries that the library has by default."""
    return lambda url, before: dumped(at(url, 2).invoke(words), OWN)


def stream(at: At, words: str, retries: int = 0) -> Case:
    def run(url: str, before: list[Any]) -> Any:
        for chunk in at(url, retries).stream(words):
            before.append(dumped(chunk, OWN))  # noqa: PERF401  what came before an error counts
        return before

    return run


def tools(at: At, words: str) -> Case:
    tool = {"title": "send_mail", **SendMail.model_json_schema()}
    return lambda url, before: dumped(at(url, 0).bind_tools([{**tool, "title": "send_mail"}]).invoke(words), OWN)


def asynchronous(at: At, words: str) -> Case:
    return lambda url, before: dumped(run_task(at(url, 0).ainvoke(words)), OWN)


def structured(at: At, method: str, words: str) -> Case:
    return lambda url, before: dumped(at(url, 0).with_structured_output(Person, method=method).invoke(words))


def restored(at: At) -> Case:
    def run(url: str, before: list[Any]) -> str:
        return "".join(str(chunk.text) for chunk in at(url, 0).stream(f"echo: {MAIL}!"))

    return run


def embeddings(words: str) -> Case:
    def run(url: str, before: list[Any]) -> Any:
        model = OpenAIEmbeddings(model="scripted", base_url=f"{url}/v1", api_key=KEY, check_embedding_ctx_length=False)
        return model.embed_query(words)

    return run


def main() -> None:
    """Runs the cases of each model."""
    same: dict[str, Case] = {"embeddings": embeddings("hello")}
    behind_rules: dict[str, Case] = {"embeddings block": embeddings(ATTACK)}
    for at in (chat, responses, anthropic):
        name = at.__name__
        for words in WORDS:
            same |= {f"{name} {words}": plain(at, words), f"{name} stream {words}": stream(at, words)}
        for words in (TOOL_WORDS, TWO_TOOLS):
            same |= {f"{name} {words}": tools(at, words), f"{name} stream {words}": stream(at, words)}
        same[f"{name} asynchronous"] = asynchronous(at, "hello")
        called = 'call tool: Person {"name": "Mara", "age": 7}'
        same[f"{name} structured by a tool"] = structured(at, "function_calling", called)
        if at is not anthropic:
            same[f"{name} structured"] = structured(at, "json_schema", "a person")
        same |= {f"{name} error {status}": plain(at, f"error {status}") for status in ERRORS}
        behind_rules |= {
            f"{name} block": guarded(at, ATTACK),
            f"{name} stream block": stream(at, ATTACK, 2),
            f"{name} answer block": guarded(at, FORBIDDEN),
            f"{name} stream stopped": stream(at, FORBIDDEN, 2),
            f"{name} restored": restored(at),
            f"{name} cut": stream(at, CUT, 2),
            f"{name} reset": stream(at, RESET, 2),
        }
    drive(same, behind_rules)


if __name__ == "__main__":
    main()
