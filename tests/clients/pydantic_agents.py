"""Agents of Pydantic AI over OpenAI (chat and responses). Its model of Anthropic does not work with the newest client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessagesTypeAdapter
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

from tests.clients.driving import ATTACK, CUT, ERRORS, FORBIDDEN, MAIL, RESET, WORDS, Case, drive, dumped, run_task

OWN = frozenset(("timestamp", "run_id", "conversation_id", "provider_url"))  # what the library makes itself
At = Callable[[str, int], Any]


class Person(BaseModel):
    """A person."""

    name: str
    age: int


def _provider(url: str, retries: int) -> OpenAIProvider:
    return OpenAIProvider(openai_client=AsyncOpenAI(base_url=f"{url}/v1", api_key="test", max_retries=retries))


def chat(url: str, retries: int) -> Any:
    return OpenAIChatModel("scripted", provider=_provider(url, retries))


def responses(url: str, retries: int) -> Any:
    return OpenAIResponsesModel("scripted", provider=_provider(url, retries))


def _told(result: Any) -> Any:
    return [dumped(result.output), [dumped(_plain(message), OWN) for message in result.all_messages()]]


def _plain(message: Any) -> Any:
    return ModelMessagesTypeAdapter.dump_python([message], mode="json")[0]


def whole(at: At, words: str, retries: int = 0, **more: Any) -> Case:
    return lambda url, before: _told(run_task(Agent(at(url, retries), retries=0, **more).run(words)))


def with_tool(at: At) -> Case:
    """The model calls a tool and answers to its result."""

    async def run(url: str) -> Any:
        agent = Agent(at(url, 0), retries=0)

        @agent.tool_plain  # type: ignore[untyped-decorator,unused-ignore]
        def send_mail(to: str) -> str:
            """Sends a mail."""
            return f"sent to {to}"

        return _told(await agent.run('call tool: send_mail {"to": "someone"}'))

    return lambda url, before: run_task(run(url))


def stream(at: At, words: str, retries: int = 0) -> Case:
    async def run(url: str, before: list[Any]) -> Any:
        async with Agent(at(url, retries), retries=0).run_stream(words) as result:
            async for text in result.stream_text(delta=True, debounce_by=None):
                before.append(text)  # noqa: PERF401  what came before an error counts
        return [before, [dumped(_plain(message), OWN) for message in result.all_messages()]]

    return lambda url, before: run_task(run(url, before))


def restored(at: At) -> Case:
    return lambda url, before: run_task(Agent(at(url, 0), retries=0).run(f"echo: {MAIL}!")).output


def main() -> None:
    """Runs the cases of each model."""
    same: dict[str, Case] = {}
    behind_rules: dict[str, Case] = {}
    for at in (chat, responses):
        name = at.__name__
        for words in WORDS:
            if words == "refuse":  # the library makes an error of a refusal
                continue
            same |= {f"{name} {words}": whole(at, words), f"{name} stream {words}": stream(at, words)}
        same[f"{name} tool"] = with_tool(at)
        called = 'call tool: final_result {"name": "Mara", "age": 7}'
        same[f"{name} structured by a tool"] = whole(at, called, output_type=Person)
        same |= {f"{name} error {status}": whole(at, f"error {status}") for status in ERRORS}
        behind_rules |= {
            f"{name} block": whole(at, ATTACK, 2),
            f"{name} stream block": stream(at, ATTACK, 2),
            f"{name} answer block": whole(at, FORBIDDEN, 2),
            f"{name} stream stopped": stream(at, FORBIDDEN, 2),
            f"{name} restored": restored(at),
            f"{name} cut": stream(at, CUT, 2),
            f"{name} reset": stream(at, RESET, 2),
        }
    drive(same, behind_rules)


if __name__ == "__main__":
    main()
