"""An HTTP proxy on a real socket, perhaps with TLS: it makes tunnels (CONNECT), answers something else, or keeps silent."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

MADE = b"HTTP/1.1 200 Connection established\r\n\r\n"
REFUSED = (
    b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n"
)


class EgressProxy:
    """The proxy. `heads`: of the requests it got. `answer`: to the next ones; empty: none. `shown`: the names in certificates
    that it was shown. Every name leads to this machine."""

    def __init__(self, answer: bytes = MADE) -> None:
        self.answer = answer
        self.heads: list[str] = []
        self.shown: list[str] = []
        self.url = ""
        self._writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection."""
        self._writers.append(writer)
        if encrypted := writer.get_extra_info("ssl_object"):
            subject = (encrypted.getpeercert() or {}).get("subject", ())
            self.shown += [value for parts in subject for name, value in parts if name == "commonName"]
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.heads.append(head)
            writer.write(self.answer)
            await writer.drain()
            if self.answer != MADE:
                await reader.read()
                return
            port = int(head.split()[1].rpartition(":")[2])
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
            self._writers.append(far_writer)
            await asyncio.gather(self._pass(reader, far_writer), self._pass(far_reader, writer))
        writer.close()

    async def close(self) -> None:
        """Ends all connections."""
        for writer in self._writers:
            writer.transport.abort()
        for _ in range(3):  # until the transports have ended
            await asyncio.sleep(0)

    @staticmethod
    async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def egress_proxy(answer: bytes = MADE, context: ssl.SSLContext | None = None) -> AsyncIterator[EgressProxy]:
    """Runs a proxy. `context`: for TLS with those who ask it; its certificate is for localhost."""
    proxy = EgressProxy(answer)
    tasks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(proxy.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context)
    place = f"{'127.0.0.1' if context is None else 'localhost'}:{server.sockets[0].getsockname()[1]}"
    proxy.url = f"http{'' if context is None else 's'}://{place}"
    try:
        yield proxy
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await proxy.close()
