"""Reads and decompresses request bodies within limits of time and memory.

In: the request's stream of bytes as they come from the connection. Out: the body as a whole, decompressed. Kept: how many
bytes of bodies are held, for each peer address and each credential.

What is limited, and what the client is told:

- The time, and after a grace the rate in bytes of the connection (408).
- The size after decompression, and what decompression may make of a byte (413).
- The memory of all bodies together, with a share for each address and each credential (503, before any body is read if its
  announced length does not fit).

Decompression goes in slices and gives way to other tasks between them.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Callable

from aiohttp import StreamReader, web

from guardproxy.config import Config
from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.server.shares import Shares

SLICE_BYTES = 64 * 1024  # what one step of decompression may produce
YIELD_BYTES = 512 * 1024  # how much may be produced before other tasks run: about a millisecond
FREE_BYTES = 64 * 1024  # a body is never too compressed below this size
_clock = time.monotonic


class Decompressor:
    """Undoes `gzip` or `deflate`, one slice after another."""

    def __init__(self, coding: str, ratio: int, limit_bytes: int) -> None:
        self._coding = coding
        self._ratio = ratio
        self._limit_bytes = limit_bytes
        self._stream: zlib._Decompress | None = None
        self._read = self._made = 0

    async def feed(self, data: bytes, keep: Callable[[bytes], None]) -> None:
        """Hands each decompressed slice of `data` to `keep`. Raises `DownstreamError` (400, 413)."""
        self._read += len(data)
        since_yield = 0
        while data:
            stream = self._stream or self._begin(data)
            try:
                made = stream.decompress(data, SLICE_BYTES)
            except zlib.error:
                raise broken() from None
            self._made += len(made)
            if self._made > self._limit_bytes:
                raise too_large(self._limit_bytes)
            if self._made > max(FREE_BYTES, self._ratio * self._read):
                message = f"the request body is compressed more than {self._ratio} to 1: send it less or not compressed"
                raise DownstreamError(ErrorCode.COMPRESSION_RATIO, message, "content-encoding")
            keep(made)
            data = stream.unconsumed_tail
            if stream.eof:
                data = stream.unused_data
                if data and self._coding != "gzip":
                    raise broken()
                self._stream = None  # a gzip body may have several members
            since_yield += len(made)
            if since_yield >= YIELD_BYTES:
                since_yield = 0
                await asyncio.sleep(0)

    def _begin(self, data: bytes) -> zlib._Decompress:
        # `deflate` means the zlib format (RFC 9110, 8.4.1.2); some clients send it bare.
        bare = -zlib.MAX_WBITS if data[0] & 15 != 8 else zlib.MAX_WBITS
        self._stream = zlib.decompressobj(16 + zlib.MAX_WBITS if self._coding == "gzip" else bare)
        return self._stream

    def end(self) -> None:
        """Raises `DownstreamError` (400) where something is missing."""
        if self._stream is not None or not self._read:
            raise broken()


class Bodies:
    """Reads bodies, and counts what they hold."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self.by_address = Shares(config.limit_bodies_bytes)
        self.by_credential = Shares(config.limit_bodies_bytes)

    def hold(self, address: str) -> Held:
        """The account of one request. Its `release` must be called at the end."""
        return Held(self, address)

    async def read(self, request: web.BaseRequest, held: Held) -> bytes:
        """The body, decompressed. Raises `DownstreamError`."""
        config = self._config
        length = request.content_length
        if length and not held.fits(length):
            raise no_memory()
        coding = ",".join(request.headers.getall("Content-Encoding", ["identity"])).strip().lower() or "identity"
        if coding not in ("identity", "gzip", "deflate"):
            raise DownstreamError(ErrorCode.UNSUPPORTED_ENCODING, field="content-encoding")
        unpack = None
        if coding != "identity":
            unpack = Decompressor(coding, config.limit_body_ratio, config.limit_body_bytes)
        body = bytearray()

        def keep(part: bytes) -> None:
            if len(body) + len(part) > config.limit_body_bytes:
                raise too_large(config.limit_body_bytes)
            held.add(len(part))
            body.extend(part)

        pace = _Pace(config)
        try:
            while data := await pace.next(request.content):
                if unpack:
                    await unpack.feed(data, keep)
                else:
                    keep(data)
        except web.RequestPayloadError:
            raise broken() from None
        if unpack:
            unpack.end()
        return bytes(body)


class Held:
    """The memory that one request's body takes until its end: of its address's share, and of its credential's, which is
    to be set before the first byte is counted."""

    def __init__(self, bodies: Bodies, address: str) -> None:
        self.credential = ""
        self._bodies = bodies
        self._address = address
        self._bytes = 0

    def fits(self, amount: int) -> bool:
        """Whether so many bytes may be added now."""
        bodies = self._bodies
        return bodies.by_address.fits(self._address, amount) and bodies.by_credential.fits(self.credential, amount)

    def add(self, amount: int) -> None:
        """Counts bytes. Raises `DownstreamError` (503) where there is no memory for them."""
        if not self.fits(amount):
            raise no_memory()
        self._bodies.by_address.take(self._address, amount)
        self._bodies.by_credential.take(self.credential, amount)
        self._bytes += amount

    def release(self) -> None:
        """Gives everything back."""
        self._bodies.by_address.give(self._address, self._bytes)
        self._bodies.by_credential.give(self.credential, self._bytes)
        self._bytes = 0


class _Pace:
    """Waits for the next bytes of a body as long as it keeps the pace. Only time spent waiting counts: a client is not
    to blame for a proxy that is slow itself."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._waited_s = 0.0
        self._bytes = 0

    def _left_s(self) -> float:
        """How long the next bytes may take."""
        config = self._config
        allowed_s = config.timeout_body_s
        if config.limit_body_rate:
            allowed_s = min(allowed_s, config.body_grace_s + self._bytes / config.limit_body_rate)
        return allowed_s - self._waited_s

    async def next(self, content: StreamReader) -> bytes:
        """The bytes that have come; empty at the end. Raises `DownstreamError` (408)."""
        began_s = _clock()
        try:
            async with asyncio.timeout(max(0.0, self._left_s())):
                data = await content.readany()
        except TimeoutError:
            data = await self._late(content)
        self._waited_s += _clock() - began_s
        self._bytes += len(data)
        return data

    async def _late(self, content: StreamReader) -> bytes:
        """What has come while the loop was busy with other work and did not look."""
        for _ in range(2):
            await asyncio.sleep(0)
            if (data := content.read_nowait()) or content.at_eof():
                return data
        raise DownstreamError(ErrorCode.BODY_TIMEOUT)


def too_large(limit_bytes: int) -> DownstreamError:
    return DownstreamError(ErrorCode.REQUEST_TOO_LARGE, f"the request body is larger than {limit_bytes} bytes")


def broken() -> DownstreamError:
    return DownstreamError(ErrorCode.INVALID_BODY)


def no_memory() -> DownstreamError:
    return DownstreamError(
        ErrorCode.NO_CAPACITY, "the request bodies under way take all the memory that there is for them"
    )
