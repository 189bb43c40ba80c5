"""Tests whether rules work in a wire format: requests and answers go through an exchange, as in the proxy.

The exchange runs without sockets and without a clock. The policies search for words only, so they need no model or
service.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from guardproxy.checks import Resources
from guardproxy.exchange import (
    Address,
    Command,
    DataReceived,
    Exchange,
    ExchangeLimits,
    Finish,
    Input,
    Keys,
    RequestReceived,
    ResponseEnded,
    ResponseStarted,
    SendData,
    SendHead,
    SendUpstream,
    Setting,
    each,
    play,
    unsealed,
)
from guardproxy.exchange.gate import Job
from guardproxy.findings import Scan
from guardproxy.policy import PolicySet
from guardproxy.policy.file import build_checks, parse
from guardproxy.testing.material import path_of, read_answer, splits, texts_of
from guardproxy.wire import Bounds, Call, Codec, Prompt, Reply
from guardproxy.wire.json import write

VALUE = "zanzibar-77"
PLACEHOLDER = "[NAME_0123456789abcdef]"
SCHEMA = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
RIGHT, WRONG = '{"age": 41}', '{"age": "old"}'
_HEAD = """\
policy: conformance
checks:
  name: {use: pattern, label: NAME, words: [zanzibar-77]}
  any: {use: json_schema, schema: from_request}
  old: {use: tool_call, tools: [grow], when: call.arguments.age > 60}
  own: {use: json_schema, schema: {inline: {type: object, properties: {age: {type: integer}}, required: [age]}}}
rules:
"""


@cache
def _policies(rule: str) -> PolicySet:
    policies = (parse(_HEAD + f"  - {rule}\n", "conformance.yaml"),)
    return PolicySet(policies, build_checks(policies, Resources()), "sha256:conformance")


def _scan(job: Job) -> Scan:
    return job.check.scan([job.window])[0]


@dataclass(slots=True)
class Run:
    """An exchange under test. `done`: its commands so far, without scans."""

    codec: Codec
    exchange: Exchange
    done: list[Command]

    def tell(self, *inputs: Input) -> None:
        """Passes inputs to the exchange and performs every scan at once."""
        self.done += play(self.exchange, inputs, each(_scan))

    def answer(self, parts: Iterable[bytes], *, streamed: bool) -> Run:
        """Passes the parts of an answer to the exchange, until the exchange ends or requests another answer."""
        media = self.codec.contract.media
        started = ResponseStarted(200, media.streamed if streamed else media.whole)
        self.tell(started, *map(DataReceived, parts), ResponseEnded())
        return self

    @property
    def upstream(self) -> list[bytes]:
        """Returns the bodies that were sent upstream."""
        return [command.body for command in self.done if isinstance(command, SendUpstream)]

    @property
    def client(self) -> bytes:
        """Returns all bytes that were sent to the client."""
        return b"".join(command.data for command in self.done if isinstance(command, (SendData, Finish)))

    @property
    def outcome(self) -> str:
        """Returns the outcome of the exchange; empty before its end."""
        return next((command.outcome for command in self.done if isinstance(command, Finish)), "")

    @property
    def head(self) -> SendHead:
        """Returns the head of the answer."""
        return next(command for command in self.done if isinstance(command, SendHead))


def run(codec: Codec, rule: str, tree: Any, limits: ExchangeLimits | None = None) -> Run:
    """Runs a request under a policy with a single rule."""
    exchange = Exchange(
        Setting(
            id="conformance",
            address=Address(codec.author.ROUTE, path_of(codec)),
            tenant="",
            codec=codec,
            policies=_policies(rule),
            keys=Keys(mint=lambda label, value: PLACEHOLDER, hashed=lambda kind, value: "", seal=unsealed),
            limits=limits or ExchangeLimits(),
        )
    )
    started = Run(codec, exchange, [])
    started.tell(RequestReceived(codec.write_body(tree)))
    return started


def _request(
    codec: Codec, *, streamed: bool, schema: Any = None, tools: Any = None, text: str = "hello"
) -> dict[str, Any]:
    return codec.author.request(Prompt("a-model", text, stream=streamed, schema=schema, tools=tools or {}))


def _said(codec: Codec, reply: Reply, *, streamed: bool) -> list[bytes]:
    """Returns the bytes of a reply, as the upstream sends them."""
    prompt = Prompt("a-model", "hello", stream=streamed)
    if streamed:
        return list(codec.author.frames(prompt, reply, "1", list))
    return [write(codec.author.answer(prompt, reply, "1"))]


def edits_requests(codec: Codec) -> None:
    """Tests that a redacted value of any kind does not reach the upstream, and that a blocked request is not sent."""
    for kind in sorted(codec.contract.carries["request"]):
        tree = codec.author.request_with(kind, f"about {VALUE} now")
        redacted = run(codec, "{id: r, on: request, when: name, action: redact}", tree)
        assert VALUE.encode() not in b"".join(redacted.upstream), f"a redacted text ({kind}) reaches the upstream"
        assert redacted.upstream or redacted.outcome == "blocked_request", (
            f"a redacted request ({kind}) is {redacted.outcome}"
        )
        if redacted.upstream:
            texts = texts_of(codec, codec.read_body(redacted.upstream[0]))
            assert any(PLACEHOLDER in text.text for text in texts), f"no placeholder replaces a redacted text ({kind})"
        blocked = run(codec, "{id: b, on: request, when: name, action: block}", tree)
        assert (blocked.upstream, blocked.outcome) == ([], "blocked_request"), f"a blocked request ({kind}) is sent"
        decoded = read_answer(codec, [blocked.client], streamed=False, failed=True)
        assert decoded.of("error"), f"a client cannot read why its request was blocked: {blocked.client!r}"


def restores(codec: Codec) -> None:
    """Tests that a placeholder in an answer is restored, however the stream is cut."""
    rule = "{id: r, on: request, when: name, action: redact, restore: true}"
    text = f"to {PLACEHOLDER}!"
    for pieces in splits(text):
        started = run(codec, rule, _request(codec, streamed=True, text=f"write to {VALUE}"))
        started.answer(codec.author.frames_with("assistant", pieces) or [], streamed=True)
        decoded = read_answer(codec, [started.client], streamed=True)
        assert not decoded.fault, f"a stream with a restored value is a fault: {decoded.fault}"
        assert decoded.of("assistant") == [f"to {VALUE}!"], f"the pieces {pieces} become {decoded.of('assistant')}"
    started = run(codec, rule, _request(codec, streamed=False, text=f"write to {VALUE}"))
    started.answer(_said(codec, Reply(text), streamed=False), streamed=False)
    assert read_answer(codec, [started.client], streamed=False).of("assistant") == [f"to {VALUE}!"]


def edits_answers(codec: Codec) -> None:
    """Tests that a redacted or blocked value of any kind does not reach the client, however the stream is cut."""
    for kind in sorted(codec.contract.carries["response"]):
        text = f"a {VALUE} b"
        for action in ("redact", "block"):
            rule = f"{{id: r, on: response, when: name, action: {action}}}"
            tree = codec.author.answer_with(kind, text)
            if tree is not None and kind != "error":
                whole = run(codec, rule, _request(codec, streamed=False)).answer([write(tree)], streamed=False)
                assert VALUE.encode() not in whole.client, (
                    f"{action}: a text ({kind}) of a plain answer reaches the client"
                )
                _readable(whole, streamed=False)
            for pieces in splits(text) if codec.author.frames_with(kind, [text]) is not None else ():
                started = run(codec, rule, _request(codec, streamed=True))
                started.answer(codec.author.frames_with(kind, pieces) or [], streamed=True)
                assert VALUE.encode() not in started.client, f"{action}: a text ({kind}) in {pieces} reaches the client"
                is_left_out = _is_listed(codec, codec.author.frames_with(kind, pieces) or [])
                assert action == "redact" or started.outcome == "blocked_response" or is_left_out, (
                    f"a text ({kind}) in {pieces} is not blocked"
                )
                _readable(started, streamed=True)
                decoded = read_answer(codec, [started.client], streamed=True)
                assert not decoded.holds(VALUE), f"{action}: the client can assemble a text ({kind}) from {pieces}"


def _is_listed(codec: Codec, frames: Sequence[bytes]) -> bool:
    """Whether the value is in an entry of a list, which is left out where a rule blocks it."""
    lists, texts = codec.contract.lists, read_answer(codec, frames, streamed=True).texts
    return lists is not None and any(lists.entry_of(channel.path) for channel, text in texts.items() if VALUE in text)


def applies_schemas(codec: Codec) -> None:
    """Tests that a `json_schema` rule judges answers, missing answers and tool calls."""
    rule = "{id: s, on: response, when: CHECK, action: block}"
    for streamed in (False, True):
        for check in ("own", "any"):
            request = _request(codec, streamed=streamed, schema=SCHEMA if check == "any" else None)
            if check == "any" and codec.contract.demand(request).answer is None:
                assert request == _request(codec, streamed=streamed), (
                    "`contract.demand` does not read the schema of a request"
                )
                continue  # the format has no schemas
            for reply, outcome in (
                (Reply(RIGHT), "answered"),
                (Reply(WRONG), "blocked_response"),
                (Reply(), "blocked_response"),
            ):
                started = run(codec, rule.replace("CHECK", check), request)
                started.answer(_said(codec, reply, streamed=streamed), streamed=streamed)
                assert started.outcome == outcome, (
                    f"the answer {reply.text!r} is {started.outcome} under the schema ({check})"
                )
                _readable(started, streamed=streamed)
        request = _request(codec, streamed=streamed, tools={"grow": SCHEMA})
        if codec.contract.demand(request).tools is None:
            assert request == _request(codec, streamed=streamed), (
                "`contract.demand` does not read the tools of a request"
            )
            continue  # the format has no tools
        for call, outcome in (
            (Call("grow", RIGHT), "answered"),
            (Call("grow", WRONG), "blocked_response"),
            (Call("shrink", RIGHT), "blocked_response"),
        ):
            started = run(codec, rule.replace("CHECK", "any"), request)
            started.answer(_said(codec, Reply(calls=(call,)), streamed=streamed), streamed=streamed)
            assert started.outcome == outcome, f"the call {call} is {started.outcome} under the schema of its tool"


def judges_calls(codec: Codec) -> None:
    """Tests that a `tool_call` rule judges calls by the tool and by all arguments, and leaves earlier calls alone."""
    tools = {"grow": SCHEMA}
    for streamed in (False, True):
        request = _request(codec, streamed=streamed, tools=tools)
        if codec.contract.demand(request).tools is None:
            continue  # the format has no tools
        for call, outcome in (
            (Call("grow", RIGHT), "answered"),
            (Call("shrink", '{"age": 70}'), "answered"),
            (Call("grow", '{"age": 70}'), "blocked_response"),
            (Call("GROW", '{"name": "x", "age": 70}'), "blocked_response"),
            (Call("grow", WRONG), "blocked_response"),
            (Call("grow", "{}"), "blocked_response"),
        ):
            started = run(codec, "{id: s, on: tool_arguments, when: old, action: block}", request)
            started.answer(_said(codec, Reply(calls=(call,)), streamed=streamed), streamed=streamed)
            assert started.outcome == outcome, f"the call {call} is {started.outcome}"
            _readable(started, streamed=streamed)


def asks_again(codec: Codec) -> None:
    """Tests that a rule can request another answer: the model gets its answer and the errors, and the stream waits."""
    rule = "{id: s, on: response, when: own, action: retry, attempts: 1}"
    for streamed in (False, True):
        started = run(codec, rule, _request(codec, streamed=streamed))
        started.answer(_said(codec, Reply(WRONG), streamed=streamed), streamed=streamed)
        assert len(started.upstream) == 2, "the model does not get a second request"
        texts = [text.text for text in texts_of(codec, codec.read_body(started.upstream[1]))]
        quoted = WRONG[: len('{"age": "')] if streamed else WRONG  # a stream stops at the error
        assert any(quoted in text for text in texts), f"the second request lacks the model's own answer: {texts}"
        assert any("`age`" in text for text in texts), f"the second request lacks the errors: {texts}"
        started.answer(_said(codec, Reply(RIGHT), streamed=streamed), streamed=streamed)
        decoded = read_answer(codec, [started.client], streamed=streamed)
        assert (started.outcome, decoded.of("assistant")) == ("answered", [RIGHT]), (
            f"the second answer is {started.outcome}"
        )


def limits_lists(codec: Codec) -> None:
    """Tests that a request with more messages or tools than the settings allow is refused."""
    tree = _request(codec, streamed=False, tools={"grow": SCHEMA})
    for limit, names in codec.contract.limits.items():
        bounds = Bounds(**{limit: 1})
        is_used = any(isinstance(tree.get(name), list) for name in names)
        assert is_used or not names, f"no field that `limits` names for {limit} is in a request: {tree}"
        for name in names:
            many = {**tree, name: [*tree.get(name, [{}])] * 2}
            started = run(codec, "{id: r, on: request, when: name, action: flag}", many, ExchangeLimits(bounds=bounds))
            assert not started.upstream, f"two items of `{name}` are forwarded although the limit of {limit} is 1"


def _readable(started: Run, *, streamed: bool) -> None:
    """Tests that the client can read what it was sent."""
    head = started.head
    decoded = read_answer(started.codec, [started.client], streamed=head.streamed, failed=head.status >= 400)
    assert not decoded.fault, f"the client gets an answer that it cannot read ({decoded.fault}): {started.client!r}"
    assert head.streamed == streamed or head.own, "the client gets a stream instead of a plain answer, or the reverse"


Promise = Callable[[Codec], None]
PROMISES: Sequence[Promise] = (
    *(edits_requests, restores, edits_answers, applies_schemas, judges_calls, asks_again, limits_lists),
)
