"""What a client of the official Python SDK of MCP sees of a server: every call, every message, every error.

`seen(target, mode)` plays one script against a server and returns all that the client got, so that two ways to a server can be
compared. `target`: an address, or a command with its words. `mode`: `legacy` (2025-11-25) or `2026-07-28`.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.shared.exceptions import MCPError
from mcp_types import (
    CreateMessageResult,
    ElicitResult,
    ListRootsResult,
    PromptReference,
    Root,
    TextContent,
)

from tests.kit.mcp_server import ODD

MODES = ("legacy", "2026-07-28")
LIMIT_S = 30.0
Seen = list[tuple[str, Any]]


def plain(value: Any) -> Any:
    """A value of the SDK as plain data."""
    if isinstance(value, BaseException):
        return {"error": type(value).__name__, "code": getattr(value, "code", None), "message": str(value)}
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", by_alias=True)
    return value


class NotingClient:
    """A client that notes all that it gets."""

    def __init__(self, target: Any, mode: str) -> None:
        self.heard: Seen = []
        self._news = asyncio.Event()
        if isinstance(target, (list, tuple)):
            target = StdioServerParameters(command=target[0], args=list(target[1:]))
        self.client = Client(
            target,
            mode=mode,
            read_timeout_seconds=LIMIT_S,
            elicitation_callback=self._elicit,
            sampling_callback=self._sample,
            list_roots_callback=self._roots,
            logging_callback=self._log,
            message_handler=self._message,
            log_level="info" if mode != "legacy" else None,
            cache=None,
        )

    async def _elicit(self, context: Any, params: Any) -> ElicitResult:
        self.heard.append(("elicit", plain(params)))
        return ElicitResult(action="accept", content={"street": "Long Lane 3", "floor": 2})

    async def _sample(self, context: Any, params: Any) -> CreateMessageResult:
        self.heard.append(("sample", plain(params)))
        content = TextContent(type="text", text=f"roses, {ODD}")
        return CreateMessageResult(role="assistant", content=content, model="tiny", stop_reason="endTurn")

    async def _roots(self, context: Any) -> ListRootsResult:
        self.heard.append(("roots", None))
        return ListRootsResult(roots=[Root(uri="file:///home/here", name="here")])  # type: ignore[arg-type]

    async def _log(self, params: Any) -> None:
        self.heard.append(("log", plain(params)))

    async def _message(self, message: Any) -> None:
        # The SDK counts its subscriptions over all clients of a process.
        self._news.set()
        self.heard.append(("message", json.loads(re.sub(r"listen-\d+", "listen", json.dumps(plain(message))))))

    async def heard_of(self, call: Awaitable[Any], count: int) -> Any:
        """Returns what a call gives, once this many messages came beside it."""
        found = await call
        while len(self.heard) < count:
            self._news.clear()
            await self._news.wait()
        return found

    async def progress(self, progress: float, total: float | None, message: str | None) -> None:
        self.heard.append(("progress", [progress, total, message]))


async def tried(call: Callable[[], Awaitable[Any]]) -> Any:
    """What a call gives, or its error, as plain data."""
    try:
        return plain(await call())
    except (MCPError, ValueError, TimeoutError) as error:
        return plain(error)


async def _listened(client: Client) -> list[Any]:
    """Returns the first two events of a stream of notices."""
    found: list[Any] = []
    async with client.listen(tools_list_changed=True, resource_subscriptions=["memo://one"]) as events:
        await client.call_tool("notifies", {})
        async for event in events:
            found.append(repr(event))
            if len(found) == 2:
                break
    return found


async def seen(target: Any, mode: str, *, hears: bool = True) -> Seen:
    """Plays the script. `hears`: whether the server has sessions, and streams that can be resumed."""
    noted = NotingClient(target, mode)
    found: Seen = []

    async def note(name: str, call: Callable[[], Awaitable[Any]]) -> None:
        found.append((name, await tried(call)))
        found.extend(noted.heard)
        noted.heard.clear()

    async with asyncio.timeout(2 * LIMIT_S), noted.client as client:
        found.append(("server", plain(client.server_info)))
        found.append(("capabilities", plain(client.server_capabilities)))
        found.append(("instructions", client.instructions))
        found.append(("version", client.protocol_version))
        await note("tools", client.list_tools)
        await note("prompts", client.list_prompts)
        await note("resources", client.list_resources)
        await note("templates", client.list_resource_templates)
        for text in ("hello", ODD, "", "x" * 100_000):
            await note("echo", lambda text=text: client.call_tool("echo", {"text": text}))  # type: ignore[misc]
        await note("weather", lambda: client.call_tool("weather", {"city": "Oslo"}))
        await note("fails", lambda: client.call_tool("fails", {"reason": "no reason"}))
        await note("wrong", lambda: client.call_tool("echo", {"test": 1}))
        await note("none", lambda: client.call_tool("no such tool", {}))
        await note("counts", lambda: client.call_tool("counts", {"to": 5}, progress_callback=noted.progress))
        await note("asks user", lambda: client.call_tool("asks_user", {}))
        await note("prompt", lambda: client.get_prompt("greet", {"name": "Ada"}))
        await note("no prompt", lambda: client.get_prompt("none", {}))
        await note("memo", lambda: client.read_resource("memo://one"))
        await note("page", lambda: client.read_resource("memo://three/page"))
        await note("no page", lambda: client.read_resource("memo://nothing"))
        reference = PromptReference(type="ref/prompt", name="greet")
        await note("complete", lambda: client.complete(reference, {"name": "name", "value": "Ad"}))
        if mode == "legacy":
            await note("ping", client.send_ping)
            await note("asks model", lambda: client.call_tool("asks_model", {}))
            if hears:
                await note("changes", lambda: noted.heard_of(client.call_tool("changes", {}), 2))
            if hears:
                await note("breaks off", lambda: client.call_tool("breaks_off", {}))
        else:
            await note("listens", lambda: noted.heard_of(_listened(client), 2))
        await note("late", lambda: client.call_tool("waits", {}, read_timeout_seconds=0.2))
        await note("after it", lambda: client.call_tool("echo", {"text": "still here"}))
        many = [client.call_tool("echo", {"text": f"number {number}"}) for number in range(8)]
        found.append(("many", [plain(each) for each in await asyncio.gather(*many)]))
    found.extend(noted.heard)
    return found
