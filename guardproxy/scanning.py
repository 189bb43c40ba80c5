"""Texts through the policies without a server: what `scan`, `policy test` and tests of policies run.

Each text goes through the same exchange as traffic does, as the only message of a chat request or as the answer to an
empty one, so what is printed here is what the proxy would do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from guardproxy import placeholders
from guardproxy.checks import Check, Resources, with_partner
from guardproxy.config import shipped
from guardproxy.exchange import Exchange, Setting
from guardproxy.findings import Channel, Finding
from guardproxy.lanes import Lane
from guardproxy.policy.document import Match, PolicyTest
from guardproxy.policy.evaluate import PolicySet
from guardproxy.policy.load import Files, build_checks, load_folder
from guardproxy.supervisor import Models
from guardproxy.transcript import (
    Command,
    DataReceived,
    Finish,
    RequestReceived,
    ResponseEnded,
    ResponseStarted,
    Scan,
    Scanned,
    SendUpstream,
)
from guardproxy.wire import codec_for
from guardproxy.wire.strict import read, write

ROUTE = "POST /v1/chat/completions"
Decided = Literal["pass", "flag", "redact", "retry", "block"]
_SCAN_KEY = hashlib.sha256(b"guardproxy scan: placeholders that need not be secret").digest()


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a text. `text`: after edits, empty when nothing goes on; `findings` count in the text given. A text that
    is sent back to the model (`retry`) does not go on."""

    decision: Decided
    rules: tuple[str, ...]
    findings: tuple[Finding, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Tested:
    """One policy test. `faults`: what was expected and did not happen."""

    policy: str
    name: str
    faults: tuple[str, ...]


def load(folder: Path | None, models: Path | None = None, runtime: Models | None = None) -> PolicySet:
    """The policies of a folder (`None`: the shipped ones), checks built. Raises `PolicyError`.

    `models`: a folder of models that come before the shipped ones. `runtime`: runs them, where a process has one.
    """
    runtime = runtime or Models((models,) if models else ())
    files = Files(folder or shipped("policies"))
    policies, digest = load_folder(files.folder)
    checks = build_checks(policies, Resources(runtime.scorer, runtime.tagger, files.read))
    return PolicySet(policies, checks, files.digest(digest))


def findings_of(check: Check, text: str, channel: Channel) -> list[Finding]:
    """What a check, and its partner where it has one, finds in a text that is there as a whole. Raises what it raises."""
    lane = Lane(channel, with_partner(check), False)
    lane.append(text)
    lane.ended = True
    windows = lane.windows()
    return lane.learn(windows, [lane.checks[number].scan([window])[0] for number, window in windows])


def perform(exchange: Exchange, commands: list[Command]) -> Iterator[Command]:
    """Runs scans on the spot; gives all other commands."""
    for command in commands:
        if isinstance(command, Scan):
            scans = tuple(job.check.scan([job.window])[0] for job in command.jobs)
            yield from perform(exchange, exchange.receive(Scanned(scans)))
        else:
            yield command


def scan_text(policies: PolicySet, text: str, direction: Literal["request", "response"]) -> Result:
    """What the policies do with one text."""
    codec = codec_for(ROUTE)
    assert codec is not None  # noqa: S101 - the route is our own
    exchange = Exchange(
        Setting(
            id="scan",
            route=ROUTE,
            tenant="",
            codec=codec,
            policies=policies,
            mint=lambda label, value: placeholders.mint(_SCAN_KEY, "", label, value),
            seal=lambda data: "",
            hashed=lambda kind, value: placeholders.hashed(_SCAN_KEY, "", kind, value),
        )
    )
    asked = text if direction == "request" else ""
    body = write({"model": "", "messages": [{"role": "user", "content": asked}]})
    done = list(perform(exchange, exchange.receive(RequestReceived(body))))
    if direction == "response":
        answer = {"choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]}
        exchange.receive(ResponseStarted(200, "application/json"))
        for happened in (DataReceived(write(answer)), ResponseEnded()):
            done += perform(exchange, exchange.receive(happened))
    shown = ""
    again = any(isinstance(command, SendUpstream) and command.attempt for command in done)
    match done[-1]:
        case SendUpstream() if not again:
            shown = read(done[-1].body)["messages"][0]["content"]
        case Finish(outcome="answered") if not again:
            shown = read(done[-1].data)["choices"][0]["message"]["content"]
    gate = exchange.first_answer.gate if again else exchange.sides[direction].gate
    path = "messages[0].content" if direction == "request" else "choices[0].message.content"
    lane = next((lane for lane in gate.lanes if lane.channel.path == path), None)
    decided: Decided = "pass"
    if again:
        decided = "retry"
    elif any(isinstance(command, Finish) and command.outcome != "answered" for command in done):
        decided = "block"
    elif lane and lane.edits:
        decided = "redact"
    elif exchange.outcomes:
        decided = "flag"
    rules = tuple(sorted({one.rule for one in exchange.outcomes if one.enforced}))
    return Result(decided, rules, tuple(lane.findings) if lane else (), shown)


def run_tests(policies: PolicySet) -> list[Tested]:
    """Every test of every policy, each against its own policy alone."""
    return [
        Tested(policy.name, test.name, tuple(_faults(replace(policies, policies=(alone,), _bound={}), test)))
        for policy in policies.policies
        for alone in (replace(policy, match=Match()),)
        for test in policy.tests
    ]


def _faults(policies: PolicySet, test: PolicyTest) -> Iterator[str]:
    got = scan_text(policies, test.text, test.direction)
    if test.rule is not None and test.rule not in got.rules:
        yield f"expected the rule `{test.rule}` to hold; those that did: {', '.join(got.rules) or 'none'}"
    if test.decision is not None and test.decision != got.decision:
        yield f"expected the decision {test.decision}, got {got.decision}"
    upstream = got.text if test.direction == "request" else ""
    client = got.text if test.direction == "response" else ""
    for name, text, words, wanted in (
        ("model", upstream, test.upstream_lacks, False),
        ("model", upstream, test.upstream_has, True),
        ("client", client, test.client_lacks, False),
    ):
        for number, word in enumerate(words, 1):
            if (word in text) != wanted:
                yield f"text {number} {'does not reach' if wanted else 'reaches'} the {name}"
