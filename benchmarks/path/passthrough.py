"""The least that an aiohttp reverse proxy can do: bytes in, the same bytes out, nothing looked at.

The yardstick for what guardproxy adds beyond the cost of a hop: one `web.Server` without router or middleware, one
shared client session, streams passed on as they come. Usage: `passthrough.py UPSTREAM_URL PORT`.
"""

from __future__ import annotations

import asyncio
import sys

import uvloop
from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector, web

HOP_BY_HOP = frozenset({"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "host"})


async def serve(upstream_url: str, port: int) -> None:
    """Serves until cancelled."""
    connector = TCPConnector(limit=0)
    timeout = ClientTimeout(total=None)
    async with ClientSession(
        connector=connector, timeout=timeout, cookie_jar=DummyCookieJar(), auto_decompress=False
    ) as session:

        async def pass_on(request: web.BaseRequest) -> web.StreamResponse:
            headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
            body = await request.read()
            url = upstream_url + request.path_qs
            async with session.request(
                request.method, url, data=body or None, headers=headers, allow_redirects=False
            ) as upstream:
                response = web.StreamResponse(status=upstream.status)
                for name, value in upstream.headers.items():
                    if name.lower() not in HOP_BY_HOP:
                        response.headers.add(name, value)
                await response.prepare(request)
                async for data in upstream.content.iter_any():
                    await response.write(data)
                await response.write_eof()
                return response

        runner = web.ServerRunner(web.Server(pass_on, handler_cancellation=True, access_log=None))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1].rstrip("/"), int(sys.argv[2])))
