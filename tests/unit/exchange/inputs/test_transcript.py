"""The notation: one line for everything that is told and asked, without any text of the exchange."""

from __future__ import annotations

import pytest

from guardproxy.errors import ErrorCode
from guardproxy.exchange.gate.gate import Job
from guardproxy.exchange.inputs.transcript import (
    Aborted,
    CancelUpstream,
    Command,
    DataReceived,
    DownstreamGone,
    Finish,
    Input,
    Refused,
    RequestReceived,
    ResponseEnded,
    ResponseStarted,
    RunScans,
    Scanned,
    SendData,
    SendHead,
    SendUpstream,
    UpstreamFailed,
    line,
)
from guardproxy.findings import Channel, Finding, Scan, Window
from tests.kit.play import policy_set
from tests.kit.records import plain_record

CHECK = next(
    iter(
        policy_set(
            "policy: p\nchecks:\n  bad: {use: pattern, words: [x]}\nrules:\n  - {id: r, when: bad, action: flag}\n"
        ).checks.values()
    )
)
CHANNEL = Channel("response", "assistant", "a[0].secret")
WINDOWS = (Window(CHANNEL, "secret", 4, 4, last=False), Window(CHANNEL, "secret"))
FOUND = Scan((Finding(1, 3, "bad", "BAD", 0.5), Finding(3, 4, "bad", "BAD", 1.0)), 6, 6)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (RequestReceived(b"secret"), "RequestReceived 6 bytes"),
        (Scanned(()), "Scanned nothing"),
        (Scanned((FOUND, Scan((), 0, 0, "Boom"))), "Scanned bad BAD 1..3 0.50, bad BAD 3..4 1.00, Boom"),
        (ResponseStarted(200, "text/plain"), "ResponseStarted 200 text/plain"),
        (DataReceived(b"secret"), "DataReceived 6 bytes"),
        (ResponseEnded(), "ResponseEnded"),
        (UpstreamFailed(ErrorCode.UPSTREAM_FAILED, "secret"), "UpstreamFailed 502 upstream_failed"),
        (UpstreamFailed(ErrorCode.UPSTREAM_FAILED, "secret", cause="dns"), "UpstreamFailed 502 upstream_failed, dns"),
        (Aborted(ErrorCode.TIMEOUT, "secret"), "Aborted 504 timeout"),
        (Refused(ErrorCode.REQUEST_TOO_LARGE, "secret", "secret"), "Refused 413 request_too_large"),
        (DownstreamGone(), "DownstreamGone"),
        (
            RunScans(tuple(Job(CHECK, window) for window in WINDOWS)),
            "RunScans bad assistant 4..10+, bad assistant 0..6",
        ),
        (SendUpstream(b"secret", 2), "SendUpstream 6 bytes, 2 edits"),
        (SendHead(200), "SendHead 200"),
        (SendHead(200, streamed=True), "SendHead 200 streamed"),
        (SendHead(400, own=True, headers=(("secret", "secret"),)), "SendHead 400 own"),
        (SendData(b"secret"), "SendData 6 bytes"),
        (CancelUpstream(), "CancelUpstream"),
        (Finish("answered", b"secret", plain_record(id="secret"), b"secret"), "Finish answered 6 bytes"),
    ],
)
def test_one_line_each(value: Input | Command, text: str) -> None:
    assert line(value) == text
    assert "secret" not in text
