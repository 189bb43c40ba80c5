"""Scans texts under the policies without a server, for `guardproxy scan`.

Each text goes through the same exchange as traffic: as the only message of a chat request, or as the answer to an empty
request. So the result is what the proxy would do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from guardproxy.checks import Check, with_partner
from guardproxy.decisions import Pass, Retry
from guardproxy.exchange import (
    Address,
    Command,
    DataReceived,
    Exchange,
    Finish,
    Input,
    Job,
    Keys,
    Lane,
    RequestReceived,
    ResponseEnded,
    ResponseStarted,
    SendUpstream,
    Setting,
    each,
    play,
    unsealed,
)
from guardproxy.findings import Channel, Finding, Scan, failed_scan
from guardproxy.policy import PolicySet, Verdict, strongest
from guardproxy.wire import codecs
from guardproxy.wire.json import dotted, reach, read, write

_SCAN_KEY = hashlib.sha256(b"guardproxy scan: placeholders that need not be secret").digest()


@dataclass(frozen=True, slots=True)
class Result:
    """The result of scanning a text. `text`: the text after edits; empty if the text is blocked or sent back to the
    model (`retry`). The offsets of `findings` refer to the text before edits."""

    decision: Verdict
    rules: tuple[str, ...]
    findings: tuple[Finding, ...]
    text: str


def findings_of(check: Check, text: str, channel: Channel) -> list[Finding]:
    """Returns the findings of a check and of its partner in a complete text. Raises any error of the check."""
    lane = Lane(channel, with_partner(check), False)
    lane.text.append(text)
    lane.text.ended = True
    windows = lane.windows()
    return lane.learn(windows, [lane.progress.checks[number].scan([window])[0] for number, window in windows])


def scan_job(job: Job) -> Scan:
    """Scans a window with its check. If the check raises an error, the scan names its class, as in the proxy."""
    try:
        return job.check.scan([job.window])[0]
    except Exception as error:
        return failed_scan(job.window, error)


def outcome_of(exchange: Exchange, done: Sequence[Command]) -> Verdict:
    """Returns the strongest verdict that took effect in an exchange."""
    if any(isinstance(command, Finish) and command.outcome != "answered" for command in done):
        return "block"
    decisions = [outcome.decision for outcome in exchange.outcomes if outcome.enforced]
    if not _has_asked_again(done):  # without a further attempt, a retry lets the answer through
        decisions = [Pass(decision.rule) if isinstance(decision, Retry) else decision for decision in decisions]
    return strongest(decisions)


def _has_asked_again(done: Sequence[Command]) -> bool:
    return any(isinstance(command, SendUpstream) and command.attempt for command in done)


def scan_text(policies: PolicySet, text: str, direction: Literal["request", "response"]) -> Result:
    """Scans a text under the policies, in an exchange of the first wire format."""
    codec = codecs()[0]
    author, contract = codec.author, codec.contract
    exchange = Exchange(
        Setting(
            id="scan",
            address=Address(author.ROUTE),
            tenant="",
            codec=codec,
            policies=policies,
            keys=Keys.of(_SCAN_KEY, "", unsealed),
        )
    )
    body = codec.write_body(author.request_with("user", text if direction == "request" else ""))
    inputs: list[Input] = [RequestReceived(body)]
    if direction == "response":
        data = write(author.answer_with("assistant", text))
        inputs += [ResponseStarted(200, contract.media.whole), DataReceived(data), ResponseEnded()]
    done = play(exchange, inputs, each(scan_job))
    shown = ""
    again = _has_asked_again(done)
    match done[-1]:
        case SendUpstream() if not again:
            shown = reach(read(done[-1].body), author.PROMPT_PATH)
        case Finish(outcome="answered") if not again:
            shown = reach(read(done[-1].data), contract.answer_path)
    gate = exchange.answers[0].gate if again else exchange.sides[direction].gate
    path = dotted(author.PROMPT_PATH if direction == "request" else contract.answer_path)
    lane = next((lane for lane in gate.lanes.every if lane.channel.path == path), None)
    rules = tuple(sorted({outcome.rule for outcome in exchange.outcomes if outcome.enforced}))
    return Result(outcome_of(exchange, done), rules, tuple(lane.progress.findings) if lane else (), shown)
