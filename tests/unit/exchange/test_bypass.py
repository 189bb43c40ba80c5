"""A route that goes on unread: the same inputs and commands, and a record that says so."""

from __future__ import annotations

import json

import pytest

from guardproxy.errors import ErrorCode
from guardproxy.exchange.bypass import PassThrough
from guardproxy.exchange.inputs.setting import Keys, unsealed
from guardproxy.exchange.inputs.transcript import (
    Aborted,
    Command,
    DataReceived,
    DownstreamGone,
    Finish,
    Input,
    RequestReceived,
    ResponseEnded,
    ResponseStarted,
    Scanned,
    SendHead,
    UpstreamFailed,
    line,
)
from guardproxy.exchange.phases.client import completed
from tests.kit.play import hashed, mint, policy_set, setting
from tests.kit.records import members

POLICY = """
policy: test
checks:
  bad: {use: pattern, words: [forbidden]}
rules:
  - {id: bad, when: bad, action: block}
"""


def play(*inputs: Input) -> tuple[list[str], list[Command]]:
    keys = Keys(mint, hashed, unsealed)
    passing = PassThrough(setting(policy_set(POLICY), "GET /v1/models", keys=keys, engine="e", receipts=True))
    done = [command for event in inputs for command in passing.receive(event)]
    assert passing.sensitive_values == []
    return [line(command) for command in done], done


def test_the_intent_holds_no_text() -> None:
    passing = PassThrough(setting(policy_set(POLICY), "GET /v1/x"))
    passing.receive(RequestReceived(b"forbidden text", 1.0, 5.0))
    assert passing.intent
    assert passing.intent.document() == {
        **{"kind": "intent", "v": 3, "id": "id", "at": 5.0, "engine": "", "tenant": "tenant", "route": "GET /v1/x"},
        **{"policies": passing.setting.policies.digest, "seals": {"request": "seal"}},
    }


def finish(done: list[Command]) -> Finish:
    (last,) = [command for command in done if isinstance(command, Finish)]
    return last


def test_everything_goes_on_and_the_record_says_that_nothing_was_read() -> None:
    lines, done = play(
        RequestReceived(b"forbidden", at_s=1.0, unix_s=9.0),
        ResponseStarted(200, "application/json"),
        DataReceived(b"forbidden too"),
        Scanned(()),
        ResponseEnded(at_s=1.5),
    )
    assert lines == ["SendUpstream 9 bytes, 0 edits", "SendHead 200", "SendData 13 bytes", "Finish passed 0 bytes"]
    record = members(finish(done).record)
    assert json.loads(json.dumps(record)) == record
    assert (record["outcome"], record["status"], record["at"], record["route"]) == (
        "passed",
        200,
        9.0,
        "GET /v1/models",
    )
    assert record["bytes"] == {"upstream": 9, "client": 13}
    assert record["timings"] == {"finished": 500.0}
    assert record["request"]["uninspected"] == record["response"]["uninspected"] == ["*"]
    assert finish(done).failed == b"", "what was sent cannot be taken back"


def test_a_stream_goes_on_as_one() -> None:
    lines, _ = play(RequestReceived(b""), ResponseStarted(200, "text/event-stream"))
    assert lines[-1] == "SendHead 200 streamed"


def test_an_upstream_that_fails() -> None:
    lines, done = play(RequestReceived(b""), UpstreamFailed(ErrorCode.UPSTREAM_UNREACHABLE, "no connection", 502))
    assert lines[1:] == ["SendHead 502 own", f"Finish upstream_unreachable {len(finish(done).data)} bytes"]
    assert json.loads(finish(done).data)["error"]["code"] == "upstream_unreachable"
    assert b"audit_unavailable" in finish(done).failed
    _, done = play(RequestReceived(b""), UpstreamFailed(ErrorCode.UPSTREAM_UNREACHABLE, "no connection", cause="dns"))
    assert members(finish(done).record)["error"] == {
        "code": "upstream_unreachable",
        "message": "no connection",
        "cause": "dns",
    }
    lines, _ = play(RequestReceived(b""), ResponseStarted(200, "text/plain"), Aborted(ErrorCode.TIMEOUT, "too long"))
    assert lines[2:] == ["CancelUpstream", "Finish timeout 0 bytes"]


def test_a_client_that_leaves() -> None:
    lines, done = play(RequestReceived(b""), DownstreamGone())
    assert lines[1:] == ["CancelUpstream", "Finish client_closed 0 bytes"]
    assert members(finish(done).record)["status"] == 0


def test_nothing_interrupts_it() -> None:
    passing = PassThrough(setting(policy_set(POLICY), "GET /v1/models"))
    assert passing.patience_s(1.0) is None
    assert not passing.is_listening


def test_the_client_is_told_that_nothing_was_read() -> None:
    for event in (ResponseStarted(200, "application/json"), UpstreamFailed(ErrorCode.UPSTREAM_TIMEOUT, "late", 504)):
        _, done = play(RequestReceived(b""), event)
        (head,) = [command for command in done if isinstance(command, SendHead)]
        assert head.receipt.endswith("request-unread=(*), response-unread=(*)")


@pytest.mark.parametrize(("status", "outcome"), [(500, "upstream_5xx"), (404, "passed")])
def test_an_error_of_the_upstream_has_an_outcome_of_its_own(status: int, outcome: str) -> None:
    assert completed(status, "passed") == outcome
    assert completed(None, "passed") == "passed"


def test_only_a_delete_of_something_stored_deletes_an_id() -> None:
    def deleted(route: str, path: str) -> str:
        return PassThrough(setting(policy_set(POLICY), route, path)).deleted_id

    assert deleted("DELETE /v1/responses/{id}", "/v1/responses/resp_1") == "resp_1"
    assert deleted("GET /v1/responses/{id}", "/v1/responses/resp_1") == ""
    assert deleted("DELETE /v1/files/{id}", "/v1/files/file_1") == ""
