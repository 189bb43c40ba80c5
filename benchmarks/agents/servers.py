"""The tools of scenes as real MCP servers, one for each domain, in this process.

`Servers` listens at `/DOMAIN/mcp`. Inside `showing(scene)`, the tools of its domain return the texts of its world, and every
call of a tool with side effects is logged.
"""

from __future__ import annotations

import asyncio
import inspect
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any

import uvicorn
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations
from pydantic import Field
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from benchmarks.agents.domains import DOMAINS
from benchmarks.agents.scene import Call, Scene, Tool, World

DONE = "done"


def _server(domain: str, world: World, log: list[Call]) -> MCPServer:
    """A server whose tools return the texts of a world, and add calls with side effects to `log`."""
    server = MCPServer(domain, log_level="ERROR")
    for tool in DOMAINS[domain].tools:
        server.add_tool(
            _function(tool, world, log),
            tool.name,
            description=world.descriptions.get(tool.name, tool.description),
            annotations=ToolAnnotations(read_only_hint=not tool.acts, destructive_hint=tool.acts),
            structured_output=False,
        )
    return server


def _function(tool: Tool, world: World, log: list[Call]) -> Callable[..., str]:
    def call(**arguments: str) -> str:
        made = Call(tool.name, arguments)
        if tool.acts:
            log.append(made)
            return DONE
        if made.key in world.errors:
            raise ToolError(world.errors[made.key])
        if made.key not in world.texts:
            raise ToolError("not found")
        return world.texts[made.key]

    # The library reads the schema of a tool from the signature of its function.
    told = {name: world.descriptions.get(f"{tool.name}.{name}", about) for name, about in tool.parameters.items()}
    kinds: dict[str, Any] = {name: Annotated[str, Field(description=about)] for name, about in told.items()}
    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind) for name, kind in kinds.items()
    ]
    call.__dict__["__signature__"] = inspect.Signature(parameters, return_annotation=str)
    call.__annotations__ = {**kinds, "return": str}
    return call


class Servers:
    """The servers of all domains at one address. `url`: the address, without a path. `log`: the calls of the shown scene."""

    def __init__(self) -> None:
        self.url = ""
        self.log: list[Call] = []
        self._shown: dict[str, Starlette] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request to the server of its domain, as ASGI."""
        if scope["type"] != "http":
            return
        domain = scope["path"].split("/")[1]
        await self._shown[domain]({**scope, "path": "/mcp", "raw_path": b"/mcp", "root_path": ""}, receive, send)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Servers]:
        """Listens on a free port of this machine."""
        config = uvicorn.Config(self, log_level="error", lifespan="off", access_log=False)
        server = uvicorn.Server(config)
        with socket.create_server(("127.0.0.1", 0)) as opened:
            self.url = f"http://127.0.0.1:{opened.getsockname()[1]}"
            serving = asyncio.create_task(server.serve([opened]))
            try:
                yield self
            finally:
                server.should_exit = True
                await serving

    @asynccontextmanager
    async def showing(self, scene: Scene) -> AsyncIterator[None]:
        """Shows a scene: its world, and an empty log."""
        self.log.clear()
        app = _server(scene.domain, scene.world, self.log).streamable_http_app(host="127.0.0.1")
        async with app.router.lifespan_context(app):
            self._shown[scene.domain] = app
            yield
