"""Bodies: decompression in slices, the account of memory, and whose fault a late byte is."""

from __future__ import annotations

import asyncio
import gzip
import random
import zlib
from typing import Any

import pytest

from guardproxy.config import Config
from guardproxy.errors import DownstreamError
from guardproxy.server.intake.body import SLICE_BYTES, Bodies, Decompressor, _Pace, texts_of


@pytest.mark.parametrize("piece", [1, 7, 1000, 10**6])
async def test_slices_are_bounded_and_whole(piece: int) -> None:
    """However the compressed bytes are cut."""
    body = random.Random(1).randbytes(3000) * 100
    packed = gzip.compress(body, 1)
    parts: list[bytes] = []
    unpack = Decompressor("gzip", 100, 10**6)
    for at in range(0, len(packed), piece):
        await unpack.feed(packed[at : at + piece], parts.append)
    unpack.end()
    assert b"".join(parts) == body
    assert max(map(len, parts)) <= SLICE_BYTES


async def test_a_bomb_ends_after_a_bounded_amount_of_work() -> None:
    parts: list[bytes] = []
    with pytest.raises(DownstreamError) as caught:
        await Decompressor("gzip", 100, 10**9).feed(gzip.compress(bytes(10**8)), parts.append)
    assert caught.value.status == 413
    assert sum(map(len, parts)) <= 100 * len(gzip.compress(bytes(10**8)))


def test_memory_is_given_back() -> None:
    bodies = Bodies(Config.of(limit_bodies_bytes=1000))
    held = bodies.hold("192.0.2.1")
    held.credential = "tenant"
    held.add(700)
    with pytest.raises(DownstreamError, match="memory"):
        held.add(200)
    other = bodies.hold("192.0.2.2")
    other.credential = "tenant"
    with pytest.raises(DownstreamError, match="memory"):
        other.add(200)  # the credential's share counts over all addresses
    held.release()
    assert (bodies.by_address.used, bodies.by_credential.used) == (0, 0)
    other.add(200)


class Content:
    """A stream whose bytes come while the loop is busy, just before the time is up and nobody has looked."""

    def __init__(self, late: bytes) -> None:
        self.late = late

    async def readany(self) -> bytes:
        await asyncio.get_running_loop().create_future()
        return b""

    def read_nowait(self) -> bytes:
        return self.late

    def is_eof(self) -> bool:
        return False

    def at_eof(self) -> bool:
        return False


async def test_bytes_that_nobody_has_looked_at_are_not_late() -> None:
    content: Any = Content(b"here")
    pace = _Pace(Config.of(body_grace_s=0.0, timeout_body_s=0.01))
    assert await pace.next(content) == b"here"
    content.late = b""
    with pytest.raises(DownstreamError) as caught:
        await pace.next(content)
    assert caught.value.status == 408


def test_strings_that_wait_have_a_share_for_each_credential_until_they_are_sent() -> None:
    bodies = Bodies(Config.of(limit_open_texts=16_000, limit_request_texts=8000))
    accounts = []
    for credential in ("", "", "tenant"):
        accounts.append(bodies.hold("192.0.2.1"))
        accounts[-1].credential = credential
    first, second, tenant = accounts
    first.add_texts(8000)
    with pytest.raises(DownstreamError, match="strings"):
        second.add_texts(5000)
    second.add_texts(900)  # few are not counted
    tenant.add_texts(2000)
    first.release_texts()
    first.release_texts()
    second.add_texts(5000)
    second.release_texts()
    first.add_texts(10**9)  # reading refuses it after as many as a request may have
    assert bodies.texts.used == 8000 + 2000
    for account in accounts:
        account.release()
    assert bodies.texts.used == 0


def test_strings_are_counted_by_their_quotes() -> None:
    assert texts_of(b'{"a": ["b", "c"]}') == 3
    assert texts_of(b'"a"' * 400_000) == 400_000


@pytest.mark.parametrize("window", [-zlib.MAX_WBITS, zlib.MAX_WBITS, zlib.MAX_WBITS | 16], ids=["raw", "zlib", "gzip"])
async def test_a_repetition_over_the_border_of_a_slice_is_whole(window: int) -> None:
    coding = "gzip" if window > zlib.MAX_WBITS else "deflate"
    for size in range(SLICE_BYTES - 2, SLICE_BYTES + 260, 3):
        packer = zlib.compressobj(9, zlib.DEFLATED, window)
        packed = packer.compress(b"a" * size) + packer.flush()
        unpack, parts = Decompressor(coding, 10**6, 10**6), bytearray()
        await unpack.feed(packed, parts.extend)
        unpack.end()
        assert parts == b"a" * size
