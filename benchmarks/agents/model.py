"""The gullible model behind an API: an upstream for two LLM formats, and the agent's side of them with the official clients.

`ModelServer` answers `POST /v1/chat/completions` and `POST /v1/messages`. The name of the model is the name of a scene; all
else the model takes from the conversation as it arrives, so that it thinks about what a guard has left of it.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Self

from aiohttp import web
from anthropic import APIStatusError as AnthropicStatusError
from anthropic import AsyncAnthropic
from openai import APIStatusError as OpenAIStatusError
from openai import AsyncOpenAI

from benchmarks.agents.agent import Move, Seen, next_move
from benchmarks.agents.scene import Call, Scene, Task


class ModelServer:
    """A model that thinks as `next_move` does. `last`: its last move."""

    def __init__(self, scenes: Sequence[Scene]) -> None:
        self.url = ""
        self.last = Move()
        self._scenes = {scene.name: scene for scene in scenes}

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[ModelServer]:
        """Listens on a free port of this machine."""
        app = web.Application(client_max_size=2**24)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/messages", self._messages)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()

    def _move(self, name: str, user: str, told: Sequence[str], seen: Sequence[Seen]) -> Move:
        self.last = next_move(replace(self._scenes[name].task, user=user), told, seen)
        return self.last

    async def _chat(self, request: web.Request) -> web.Response:
        body = await request.json()
        functions = [tool["function"] for tool in body.get("tools", [])]
        told = _told([(each.get("description", ""), each.get("parameters", {})) for each in functions])
        user, calls, seen = "", {}, []
        for message in body["messages"]:
            if message["role"] == "user":
                user = message["content"]
            for call in message.get("tool_calls") or ():
                calls[call["id"]] = Call(call["function"]["name"], json.loads(call["function"]["arguments"]))
            if message["role"] == "tool":
                seen.append(Seen(calls[message["tool_call_id"]], message["content"]))
        move = self._move(body["model"], user, told, seen)
        answer: dict[str, Any] = {"role": "assistant", "content": move.answer or None}
        if move.call:
            function = {"name": move.call.tool, "arguments": json.dumps(move.call.arguments)}
            answer["tool_calls"] = [{"id": f"call_{len(seen)}", "type": "function", "function": function}]
        choice = {"index": 0, "message": answer, "finish_reason": "tool_calls" if move.call else "stop"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        return web.json_response(
            {
                "id": "c",
                "object": "chat.completion",
                "created": 1,
                "model": body["model"],
                "choices": [choice],
                "usage": usage,
            }
        )

    async def _messages(self, request: web.Request) -> web.Response:
        body = await request.json()
        told = _told([(each.get("description", ""), each["input_schema"]) for each in body.get("tools", [])])
        user, calls, seen = "", {}, []
        for message in body["messages"]:
            content = message["content"]
            if isinstance(content, str):
                user = content
                continue
            for part in content:
                if part["type"] == "tool_use":
                    calls[part["id"]] = Call(part["name"], part["input"])
                elif part["type"] == "tool_result":
                    seen.append(Seen(calls[part["tool_use_id"]], part["content"]))
        move = self._move(body["model"], user, told, seen)
        part = (
            {"type": "tool_use", "id": f"call_{len(seen)}", "name": move.call.tool, "input": dict(move.call.arguments)}
            if move.call
            else {"type": "text", "text": move.answer}
        )
        return web.json_response(
            {
                "id": "m",
                "type": "message",
                "role": "assistant",
                "model": body["model"],
                "content": [part],
                "stop_reason": "tool_use" if move.call else "end_turn",
                "stop_sequence": None,
                "usage": {"input_tokens": 1, "output_tokens": 1},
            }
        )


def _told(tools: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """What tools say of themselves."""
    found = []
    for description, schema in tools:
        found.append(description)
        found += [about.get("description", "") for about in schema.get("properties", {}).values()]
    return found


class ChatThinking:
    """Thinks with the model of a scene over `POST /v1/chat/completions`. `listed`: the tools that it may call."""

    def __init__(self, client: AsyncOpenAI, scene: Scene, listed: Sequence[Any]) -> None:
        self._client = client
        self._model = scene.name
        self._tools: Any = self.offered(listed)["tools"]

    @staticmethod
    def offered(listed: Sequence[Any]) -> dict[str, Any]:
        """Returns a request that offers these tools."""
        tools = [
            {
                "type": "function",
                "function": {"name": tool.name, "description": tool.description, "parameters": tool.input_schema},
            }
            for tool in listed
        ]
        return {"model": "any", "messages": [{"role": "user", "content": "Hello"}], "tools": tools}

    @classmethod
    @asynccontextmanager
    async def at(cls, url: str, scene: Scene, listed: Sequence[Any]) -> AsyncIterator[Self]:
        """Connects to an address."""
        async with AsyncOpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as client:
            yield cls(client, scene, listed)

    async def __call__(self, task: Task, _told: Sequence[str], seen: Sequence[Seen]) -> Move:
        """Sends the conversation so far. A refusal is an answer."""
        messages: list[Any] = [{"role": "user", "content": task.user}]
        for at, each in enumerate(seen):
            function = {"name": each.call.tool, "arguments": json.dumps(each.call.arguments)}
            call = {"id": f"call_{at}", "type": "function", "function": function}
            messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
            messages.append({"role": "tool", "tool_call_id": f"call_{at}", "content": each.text})
        try:
            made = await self._client.chat.completions.create(model=self._model, messages=messages, tools=self._tools)
        except OpenAIStatusError as error:
            return Move(answer=str(error), is_refused=True)
        choice = made.choices[0]
        if choice.finish_reason == "content_filter":
            return Move(answer=choice.message.refusal or choice.message.content or "", is_refused=True)
        if not choice.message.tool_calls:
            return Move(answer=choice.message.content or "")
        called = choice.message.tool_calls[0].function  # type: ignore[union-attr]
        return Move(Call(called.name, json.loads(called.arguments)))


class MessagesThinking:
    """Thinks with the model of a scene over `POST /v1/messages`. `listed`: the tools that it may call."""

    def __init__(self, client: AsyncAnthropic, scene: Scene, listed: Sequence[Any]) -> None:
        self._client = client
        self._model = scene.name
        self._tools: Any = self.offered(listed)["tools"]

    @staticmethod
    def offered(listed: Sequence[Any]) -> dict[str, Any]:
        """Returns a request that offers these tools."""
        tools = [
            {"name": tool.name, "description": tool.description, "input_schema": tool.input_schema} for tool in listed
        ]
        return {"model": "any", "max_tokens": 1, "messages": [{"role": "user", "content": "Hello"}], "tools": tools}

    @classmethod
    @asynccontextmanager
    async def at(cls, url: str, scene: Scene, listed: Sequence[Any]) -> AsyncIterator[Self]:
        """Connects to an address."""
        async with AsyncAnthropic(base_url=url, api_key="any", max_retries=0) as client:
            yield cls(client, scene, listed)

    async def __call__(self, task: Task, _told: Sequence[str], seen: Sequence[Seen]) -> Move:
        """Sends the conversation so far. A refusal is an answer."""
        messages: list[Any] = [{"role": "user", "content": task.user}]
        for at, each in enumerate(seen):
            use = {"type": "tool_use", "id": f"call_{at}", "name": each.call.tool, "input": dict(each.call.arguments)}
            result = {"type": "tool_result", "tool_use_id": f"call_{at}", "content": each.text}
            messages += [{"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
        try:
            made = await self._client.messages.create(
                model=self._model, messages=messages, tools=self._tools, max_tokens=1000
            )
        except AnthropicStatusError as error:
            return Move(answer=str(error), is_refused=True)
        for part in made.content:
            if part.type == "tool_use" and made.stop_reason == "tool_use":
                given: Any = part.input
                return Move(Call(part.name, given))
        text = "".join(part.text for part in made.content if part.type == "text")
        return Move(answer=text, is_refused=made.stop_reason == "refusal")
