"""Reads and decompresses request bodies within limits of time and memory.

In: the stream of bytes of a request. Out: the whole body, decompressed. Kept: the number of bytes that bodies hold, for each
peer address and each credential, and of strings that wait to be scanned, for each credential.

The limits, with the status that a client gets:

- The time, and after a grace the rate in bytes of the connection (408).
- The size after decompression, and the ratio of decompression (413).
- The memory of all bodies together, with a share for each address and each credential (503, before any body is read if its
  announced length does not fit).
- The strings of all requests that are not sent yet, with a share for each credential (503). An address has none: many clients
  share an ingress. Requests without a credential share one.

Decompression goes in slices, with other tasks running between them.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Callable

from aiohttp import StreamReader, web

from guardproxy.config import Config
from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.server.aiohttp_parts import unread
from guardproxy.server.intake.fair_share import Shares

SLICE_BYTES = 64 * 1024  # the most that one step of decompression produces
YIELD_BYTES = 512 * 1024  # the output after which other tasks run: about a millisecond
FREE_TEXTS = 1000  # so many strings are not counted
FREE_BYTES = 64 * 1024  # below this size, any ratio of decompression is allowed
_clock = time.monotonic


class Decompressor:
    """Decompresses `gzip` or `deflate`, slice by slice."""

    def __init__(self, coding: str, ratio: int, limit_bytes: int) -> None:
        self._coding = coding
        self._ratio = ratio
        self._limit_bytes = limit_bytes
        self._stream: zlib._Decompress | None = None
        self._read = self._made = 0

    async def feed(self, data: bytes, keep: Callable[[bytes], None]) -> None:
        """Passes each decompressed slice of `data` to `keep`. Raises `DownstreamError` (400, 413)."""
        self._read += len(data)
        since_yield, has_more = 0, False
        while data or has_more:
            stream = self._stream or self._begin(data)
            try:
                piece = stream.decompress(data, SLICE_BYTES)
            except zlib.error:
                raise broken() from None
            self._made += len(piece)
            if self._made > self._limit_bytes:
                raise too_large(self._limit_bytes)
            # The ratio of the whole so far: a slice of an ordinary body, such as a row of spaces, may shrink far more.
            if self._made > max(FREE_BYTES, self._ratio * self._read):
                message = f"the request body is compressed more than {self._ratio} to 1: send it less or not compressed"
                raise DownstreamError(ErrorCode.COMPRESSION_RATIO, message, "content-encoding")
            keep(piece)
            data = stream.unconsumed_tail
            # A full slice may have taken all of its input and still owe the rest of a repetition, up to 257 bytes.
            has_more = len(piece) == SLICE_BYTES and not stream.eof
            if stream.eof:
                data = stream.unused_data
                if data and self._coding != "gzip":
                    raise broken()
                self._stream = None  # a gzip body may have several members
            since_yield += len(piece)
            if since_yield >= YIELD_BYTES:
                since_yield = 0
                await asyncio.sleep(0)  # other tasks get a turn

    def _begin(self, data: bytes) -> zlib._Decompress:
        # `deflate` means the zlib format (RFC 9110, 8.4.1.2); some clients send raw deflate.
        bare = -zlib.MAX_WBITS if data[0] & 15 != 8 else zlib.MAX_WBITS
        self._stream = zlib.decompressobj(16 + zlib.MAX_WBITS if self._coding == "gzip" else bare)
        return self._stream

    def end(self) -> None:
        """Raises `DownstreamError` (400) if the compressed data is incomplete."""
        if self._stream is not None or not self._read:
            raise broken()


class Bodies:
    """Reads bodies, and counts the memory that they hold."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self.by_address = Shares(config.limits.bodies_bytes)
        self.by_credential = Shares(config.limits.bodies_bytes)
        # One request fits in any case, so that 503 never answers what no later try can change.
        self.most_texts = config.limits.request_texts
        self.texts = Shares(max(config.limits.open_texts, 2 * config.limits.request_texts))

    def hold(self, address: str) -> BodyAccount:
        """Opens the account of a request. The caller must call its `release` at the end."""
        return BodyAccount(self, address)

    async def read(self, request: web.BaseRequest, held: BodyAccount) -> bytes:
        """The body, decompressed. Raises `DownstreamError`."""
        config, content = self._config, request.content
        coding = "identity"
        if "Content-Encoding" in request.headers:
            coding = ",".join(request.headers.getall("Content-Encoding")).strip().lower() or "identity"
        # Most bodies are small and have arrived in full: one piece, without a task or a time limit.
        if coding == "identity" and content.is_eof() and content.total_bytes <= FREE_BYTES:
            try:
                data = unread(content)
            except web.RequestPayloadError:
                raise broken() from None
            if len(data) > config.limits.body_bytes:
                raise too_large(config.limits.body_bytes)
            held.add(len(data))
            return data
        # Before its first byte: a body that will not fit must not hold memory while it arrives.
        if (length := request.content_length) and not held.fits(length):
            raise no_memory()
        if coding not in ("identity", "gzip", "deflate"):
            raise DownstreamError(ErrorCode.UNSUPPORTED_ENCODING, field="content-encoding")
        unpack = None
        if coding != "identity":
            unpack = Decompressor(coding, config.limits.body_ratio, config.limits.body_bytes)
        body = bytearray()

        def keep(part: bytes) -> None:
            if len(body) + len(part) > config.limits.body_bytes:
                raise too_large(config.limits.body_bytes)
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


class BodyAccount:
    """The memory that the body of a request holds until the request ends. It counts against the share of the address and the
    share of the credential, which must be set before the first byte is counted."""

    def __init__(self, bodies: Bodies, address: str) -> None:
        self.credential = ""
        self._bodies = bodies
        self._address = address
        self._bytes = 0
        self.texts = 0  # strings that are counted

    def fits(self, amount: int) -> bool:
        """Whether `amount` bytes may be added now."""
        bodies = self._bodies
        return bodies.by_address.fits(self._address, amount) and bodies.by_credential.fits(self.credential, amount)

    def add(self, amount: int) -> None:
        """Counts `amount` bytes. Raises `DownstreamError` (503) if there is no memory for them."""
        bodies = self._bodies
        if not bodies.by_address.take(self._address, amount):
            raise no_memory()
        if not bodies.by_credential.take(self.credential, amount):
            bodies.by_address.give(self._address, amount)
            raise no_memory()
        self._bytes += amount

    def add_texts(self, amount: int) -> None:
        """Counts strings that will be scanned. Raises `DownstreamError` (503) if too many wait already. Reading a request ends
        at `limit_request_texts`, with another error, so no more are counted."""
        amount = min(amount, self._bodies.most_texts)
        if amount <= FREE_TEXTS:
            return
        if not self._bodies.texts.take(self.credential, amount):
            raise DownstreamError(ErrorCode.NO_CAPACITY, "too many strings of requests wait to be read")
        self.texts += amount

    def release_texts(self) -> None:
        """Releases the counted strings: the request was sent. May be called again."""
        if self.texts:
            self._bodies.texts.give(self.credential, self.texts)
            self.texts = 0

    def release(self) -> None:
        """Releases everything that was counted."""
        if self.texts:
            self.release_texts()
        if not self._bytes:
            return
        self._bodies.by_address.give(self._address, self._bytes)
        self._bodies.by_credential.give(self.credential, self._bytes)
        self._bytes = 0


class _Pace:
    """Waits for the next bytes of a body while it keeps the required pace. Only time spent waiting counts, so a slow proxy
    never makes a client too slow."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._waited_s = 0.0
        self._bytes = 0

    def _left_s(self) -> float:
        """The seconds that the next bytes may take."""
        config = self._config
        allowed_s = config.timeouts.body_s
        if config.limits.body_rate:
            # The pace of the whole body, so that a client that was fast before may pause for a while.
            allowed_s = min(allowed_s, config.timeouts.body_grace_s + self._bytes / config.limits.body_rate)
        return allowed_s - self._waited_s

    async def next(self, content: StreamReader) -> bytes:
        """The bytes that have arrived; empty at the end. Raises `DownstreamError` (408)."""
        if content.is_eof():  # the rest of it has arrived
            return content.read_nowait()
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
        """The bytes that arrived while the loop was busy with other work."""
        for _ in range(2):
            await asyncio.sleep(0)  # the loop reads its sockets
            if (data := content.read_nowait()) or content.at_eof():
                return data
        raise DownstreamError(ErrorCode.BODY_TIMEOUT)


def texts_of(body: bytes) -> int:
    """About how many strings a JSON body holds, at most: quotes may be inside of them. Other threads may run in between."""
    return sum(body.count(b'"', at, at + YIELD_BYTES) for at in range(0, len(body), YIELD_BYTES)) // 2


def too_large(limit_bytes: int) -> DownstreamError:
    return DownstreamError(ErrorCode.REQUEST_TOO_LARGE, f"the request body is larger than {limit_bytes} bytes")


def broken() -> DownstreamError:
    return DownstreamError(ErrorCode.INVALID_BODY)


def no_memory() -> DownstreamError:
    return DownstreamError(
        ErrorCode.NO_CAPACITY, "the request bodies under way take all the memory that there is for them"
    )
