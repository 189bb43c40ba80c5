"""A server of the official Python SDK of MCP, with every kind of message: results with structure, progress, log messages,
questions to the user and to the client's model, resources, prompts, completions, resumed streams.

`serving()` runs it over HTTP in a thread of this process; `STDIO` is the command that runs it over its standard streams.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.prompts.base import Message, UserMessage
from mcp.server.mcpserver.resolve import Elicit, Resolve
from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp_types import (
    Completion,
    CreateMessageRequestParams,
    JSONRPCMessage,
    SamplingMessage,
    TextContent,
    ToolAnnotations,
)
from pydantic import BaseModel

STDIO = (sys.executable, "-W", "ignore", "-c", "from tests.kit.mcp_server import build; build().run('stdio')")
ODD = 'Grüße 🙂 "quoted" \\ back\u2028slash\n\ttab e\u0301'


class Weather(BaseModel):
    """What a tool answers as an object."""

    city: str
    degrees: float
    notes: list[str]


class Address(BaseModel):
    """What the user is asked for."""

    street: str
    floor: int = 0


class Memory(EventStore):
    """Keeps the events of streams, so that clients can resume them."""

    def __init__(self) -> None:
        self._events: list[tuple[str, JSONRPCMessage | None]] = []

    async def store_event(self, stream_id: str, message: JSONRPCMessage | None) -> str:
        self._events.append((stream_id, message))
        return f"event-{len(self._events)}"

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        at = int(last_event_id.rpartition("-")[2])
        stream = self._events[at - 1][0]
        for number, (name, message) in enumerate(self._events[at:], at + 1):
            if name == stream and message is not None:
                await send_callback(EventMessage(message, f"event-{number}"))
        return stream


async def _address(ctx: Context) -> Elicit[Address]:
    return Elicit("Where do you live?", Address)


def build(**options: Any) -> MCPServer:
    """Returns the server. `options`: further ones, such as its authorization."""
    server: MCPServer = MCPServer(
        "judge", title="A judge", instructions="Ask politely.", version="1.2.3", log_level="CRITICAL", **options
    )

    @server.tool(title="Echo", annotations=ToolAnnotations(read_only_hint=True))
    def echo(text: str) -> str:
        """Returns the text."""
        return text

    @server.tool()
    def weather(city: str) -> Weather:
        """Tells the weather of a city."""
        return Weather(city=city, degrees=21.50, notes=["sunny", ODD])

    @server.tool()
    def fails(reason: str) -> str:
        """Fails."""
        raise ValueError(reason)

    @server.tool()
    async def counts(to: int, ctx: Context) -> str:
        """Counts, and reports its progress."""
        for number in range(1, to + 1):
            await ctx.report_progress(number, to, f"step {number}")
        return f"counted to {to}"

    @server.tool()
    async def asks_user(address: Annotated[Address, Resolve(_address)]) -> str:
        """Asks the user for an address."""
        return f"{address.street}, floor {address.floor}"

    @server.tool()
    async def waits() -> str:
        """Answers late."""
        await asyncio.sleep(2)
        return "late"

    @server.tool()
    async def breaks_off(ctx: Context) -> str:
        """Ends its stream before it answers: the client comes back for the answer."""
        await ctx.close_sse_stream()
        return "after the break"

    @server.tool()
    async def changes(ctx: Context) -> str:
        """Tells on the stream of the session that the list of tools and a resource have changed."""
        await ctx.session.send_tool_list_changed()
        await ctx.session.send_resource_updated("memo://one")
        return "told"

    @server.tool()
    async def notifies(ctx: Context) -> str:
        """Tells the same to those who listen."""
        await ctx.notify_tools_changed()
        await ctx.notify_resource_updated("memo://one")
        return "told"

    @server.tool()
    async def asks_model(ctx: Context) -> str:
        """Asks the model of the client."""
        message = SamplingMessage(role="user", content=TextContent(type="text", text="a poem, please"))
        params = CreateMessageRequestParams(messages=[message], max_tokens=50)
        answer = await ctx.session.create_message(params.messages, max_tokens=params.max_tokens)
        return f"it said {answer.content.text}"

    @server.resource("memo://one", name="memo", description="A memo")
    def memo() -> str:
        return "remember the milk"

    @server.resource("memo://{name}/page", name="page", description="A page of a memo")
    def page(name: str) -> bytes:
        return name.encode() * 3

    @server.prompt(title="Greeting")
    def greet(name: str) -> list[Message]:
        """Greets somebody."""
        return [UserMessage(f"Say hello to {name}.")]

    @server.completion()  # type: ignore[no-untyped-call, untyped-decorator]
    async def complete(ref: Any, argument: Any, context: Any) -> Completion:
        return Completion(values=[f"{argument.value}{end}" for end in ("a", "b")], total=2, has_more=False)

    return server


class _Thread(uvicorn.Server):
    """A server in a thread, whose signals belong to the tests."""

    def install_signal_handlers(self) -> None:
        """Does nothing."""


def held_port() -> socket.socket:
    """Returns a socket with a port at which nothing answers yet."""
    held = socket.socket()
    held.bind(("127.0.0.1", 0))
    return held


def address_of(held: socket.socket) -> str:
    """Returns the address of a server at this port."""
    return f"http://127.0.0.1:{held.getsockname()[1]}"


@contextmanager
def serving(
    app: Any = None, held: socket.socket | None = None, *, is_json: bool = False, is_stateless: bool = False
) -> Iterator[str]:
    """Serves over HTTP in a thread. Yields the address. `app`: another application; `held`: its port; `is_json`: whether
    answers are no streams."""
    if app is None:
        store = None if is_json or is_stateless else Memory()
        app = build().streamable_http_app(
            json_response=is_json, stateless_http=is_stateless, event_store=store, retry_interval=10
        )
    held = held or held_port()
    server = _Thread(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1, lifespan="on"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [held]}, name="MCP server", daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        thread.join(0.01)
    try:
        yield f"{address_of(held)}/mcp"
    finally:
        server.should_exit = True
        thread.join(20)
        held.close()
