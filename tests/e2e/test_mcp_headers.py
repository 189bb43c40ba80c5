"""Headers of MCP that repeat values of the body, through the real proxy: the official SDK sends them, a server that compares
them with the body takes what the proxy sends, and neither log nor record shows them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from mcp import Client
from mcp.server.mcpserver import MCPServer
from pydantic import Field

from tests.e2e.rig import MAIL, NO_BREAKER, Proxy, serve
from tests.kit.mcp_server import serving

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*:ResourceWarning"),
]
GUARD = """\
policy: guard
checks: {pii: {use: pii, entities: [EMAIL_ADDRESS]}}
rules: [{id: r, on: request, when: pii, action: redact, restore: true}]
"""
Headers = dict[str, str]


@dataclass(frozen=True, slots=True)
class Site:
    """A server with a tool that marks a parameter. `seen`: the headers of its requests that are about MCP."""

    proxy: Proxy
    seen: list[Headers]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    server, seen = MCPServer("marked"), list[Headers]()

    @server.tool()
    def send(to: Annotated[str, Field(json_schema_extra={"x-mcp-header": "To"})], text: str) -> str:
        """Sends a text."""
        return f"sent {text} to {to}"

    def noting(app: Any) -> Any:
        async def asgi(scope: Any, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
            headers = {name.decode(): value.decode() for name, value in scope.get("headers", ())}
            seen.append({name: value for name, value in headers.items() if name.startswith("mcp-")})
            await app(scope, receive, send)

        return asgi

    with ExitStack() as stack:
        url = stack.enter_context(serving(noting(server.streamable_http_app())))
        folder: Path = tmp_path_factory.mktemp("proxy")
        proxy = serve("", folder, GUARD, "--mcp", f"marked={url}", *NO_BREAKER)
        stack.callback(proxy.stop)
        yield Site(proxy, seen)


async def called(url: str, **arguments: str) -> str:
    async with Client(url) as client:
        await client.list_tools()
        result: Any = await client.call_tool("send", arguments)
    assert not result.is_error
    return str(result.content[0].text)


@pytest.mark.parametrize("to", [MAIL, f"J\u00f6rg <{MAIL}>"])
def test_a_marked_value_is_redacted_in_the_header_too(site: Site, to: str) -> None:
    site.seen.clear()
    answer = asyncio.run(called(f"{site.proxy.url}/mcp/marked", to=to, text="hello"))
    assert answer == f"sent hello to {to}", "the server took the header, and the client got its value back"
    (sent,) = [headers for headers in site.seen if "mcp-param-to" in headers]
    assert (sent["mcp-method"], sent["mcp-name"]) == ("tools/call", "send")
    assert MAIL not in json.dumps(site.seen)
    assert MAIL not in site.proxy.log.read_text()


@pytest.mark.parametrize(
    ("headers", "names"),
    [
        ([("Mcp-Param-To", "somebody else")], "mcp-param-to"),
        ([("Mcp-Name", "other")], "mcp-name"),
        ([("Mcp-Method", "tools/list")], "mcp-method"),
        ([("Mcp-Name", "send"), ("Mcp-Name", "send")], "mcp-name"),
        ([("Mcp-Param-To", "=?base64?!!?=")], "mcp-param-to"),
    ],
)
def test_a_header_that_differs_from_the_body_is_refused(site: Site, headers: list[tuple[str, str]], names: str) -> None:
    site.seen.clear()
    body = {"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": {"name": "send", "arguments": {"to": "a"}}}
    own = [*headers, ("accept", "application/json, text/event-stream")]
    answer = httpx.post(f"{site.proxy.url}/mcp/marked", json=body, headers=own)
    error = answer.json()
    assert (answer.status_code, error["id"], error["error"]["code"]) == (400, 5, -32020)
    assert names in error["error"]["message"]
    assert site.seen == []
