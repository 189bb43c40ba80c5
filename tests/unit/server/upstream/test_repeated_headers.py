"""Headers that repeat values of the body are written for the body that goes upstream."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from multidict import CIMultiDict

from guardproxy.server.upstream.repeated_headers import SMALL_BYTES, RepeatedValues, sent_headers
from guardproxy.wire import codecs, installed

CODEC: Any = installed().codec_for("POST /mcp/tools")


def call(**arguments: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "send", "arguments": arguments}}


def test_only_formats_that_repeat_values_look_at_headers() -> None:
    headers = [("Mcp-Name", "send"), ("Accept", "*/*"), ("MCP-PARAM-q", "a")]
    assert sent_headers(headers, CODEC.contract) == [headers[0], headers[2]]
    others = [codec for codec in codecs() if codec.contract.repeated is None]
    assert others
    assert not any(sent_headers(headers, codec.contract) for codec in others)


def test_headers_follow_the_body_in_a_small_and_in_a_large_request() -> None:
    sent = CIMultiDict([("Mcp-Param-Q", "mara"), ("Mcp-Name", "send"), ("Accept", "*/*")])
    repeated = CODEC.contract.repeated
    for filling in ("", "x" * SMALL_BYTES):
        tree = call(q="mara", filling=filling)
        places = repeated.places(tree, sent_headers(sent.items(), CODEC.contract))
        values = RepeatedValues(places, CODEC.read_body, repeated.values)
        edited = json.dumps(call(q="[NAME]", filling=filling)).encode()
        written = asyncio.run(values.written(sent, edited))
        assert sorted(written.items()) == [("Accept", "*/*"), ("mcp-name", "send"), ("mcp-param-q", "[NAME]")]
        assert asyncio.run(values.written(sent, json.dumps(tree).encode()))["Mcp-Param-Q"] == "mara"
        assert sent["Mcp-Param-Q"] == "mara", "another attempt begins with the same headers"
