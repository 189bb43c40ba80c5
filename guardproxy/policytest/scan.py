"""Scans texts under the policies without a server, for `guardproxy scan`.

Each text goes through the same exchange as traffic: as the only text of a chat request, or of the answer to an empty request,
at a place of its kind. So the result is what the proxy would do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from guardproxy.checks import Check, with_partner
from guardproxy.decisions import Confirm, Decision, Pass, Retry
from guardproxy.errors import RemoteError
from guardproxy.events import Path
from guardproxy.exchange import (
    Address,
    Command,
    DataReceived,
    Exchange,
    Finish,
    Input,
    Keys,
    RequestReceived,
    ResponseEnded,
    ResponseStarted,
    SendUpstream,
    Setting,
    each,
    play,
    unsealed,
)
from guardproxy.exchange.gate import Job, Lane
from guardproxy.findings import Channel, Direction, Finding, Kind, Scan, failed_scan
from guardproxy.policy import PolicySet
from guardproxy.policy.values import Verdict, strongest
from guardproxy.wire import Author, codecs
from guardproxy.wire.json import dotted, reach, read, write

_SCAN_KEY = hashlib.sha256(b"guardproxy scan: placeholders that need not be secret").digest()


@dataclass(frozen=True, slots=True)
class Result:
    """The result of scanning a text. `text`: the text after edits; empty if the text is blocked or sent back to the
    model (`retry`). The offsets of `findings` refer to the text before edits; in arguments of a tool that are JSON, to their
    decoded keys and values, as checks see them."""

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


def scan_told(answers: Mapping[str, str]) -> Callable[[Job], Scan]:
    """Returns a function that scans like `scan_job`, but asks no model elsewhere. `answers`: what those say, by the names
    of the checks that would ask them; the others find nothing."""

    def scan(job: Job) -> Scan:
        check: Any = job.check
        if not check.traits.needs_masked or not hasattr(check, "told"):
            return scan_job(job)
        try:
            told: Scan = check.told(job.window, answers.get(check.name))
        except RemoteError as error:
            return failed_scan(job.window, error)
        return told

    return scan


def outcome_of(exchange: Exchange, done: Sequence[Command]) -> Verdict:
    """Returns the strongest verdict that took effect in an exchange."""
    if any(isinstance(command, Finish) and command.outcome != "answered" for command in done):
        return "confirm" if exchange.is_asking else "block"
    # A call that went on was approved.
    enforced = (outcome.decision for outcome in exchange.outcomes if outcome.enforced)
    decisions: list[Decision] = [
        Pass(decision.rule) if isinstance(decision, Confirm) else decision for decision in enforced
    ]
    if not _has_asked_again(done):  # without a further attempt, a retry lets the answer through
        decisions = [Pass(decision.rule) if isinstance(decision, Retry) else decision for decision in decisions]
    return strongest(decisions)


def _has_asked_again(done: Sequence[Command]) -> bool:
    return any(isinstance(command, SendUpstream) and command.attempt for command in done)


def place_of(author: Author, direction: Direction, kind: Kind) -> Path:
    """Returns the path at which an author writes a text of a kind, in a request or in an answer."""
    mark = "\N{OBJECT REPLACEMENT CHARACTER}"
    tree = author.request_with(kind, mark) if direction == "request" else author.answer_with(kind, mark)
    return next(path for path, value in _leaves(tree, ()) if value == mark)


def _leaves(node: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    if isinstance(node, dict | list):
        for step, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from _leaves(value, (*path, step))
    else:
        yield path, node


def scan_text(policies: PolicySet, text: str, direction: Direction, kind: Kind | None = None) -> Result:
    """Scans a text under the policies, in an exchange of the first wire format. `kind`: `None` is the text of a user or of a
    model."""
    kind = kind or ("user" if direction == "request" else "assistant")
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
    is_request = direction == "request"
    body = codec.write_body(author.request_with(kind if is_request else "user", text if is_request else ""))
    inputs: list[Input] = [RequestReceived(body)]
    if not is_request:
        data = write(author.answer_with(kind, text))
        inputs += [ResponseStarted(200, contract.media.whole), DataReceived(data), ResponseEnded()]
    done = play(exchange, inputs, each(scan_job))
    place = place_of(author, direction, kind)
    shown = ""
    again = _has_asked_again(done)
    match done[-1]:
        case SendUpstream() if not again:
            shown = reach(read(done[-1].body), place if is_request else author.PROMPT_PATH)
        case Finish(outcome="answered") if not again:
            shown = reach(read(done[-1].data), place)
    gate = exchange.answers[0].gate if again else exchange.sides[direction].gate
    path = dotted(place)
    lane = next((lane for lane in gate.lanes.every if lane.channel.path == path), None)
    rules = tuple(sorted({outcome.rule for outcome in exchange.outcomes if outcome.enforced}))
    findings = list(lane.progress.findings) if lane else []
    if lane is not None and (cut := gate.lanes.cut) is not None:
        findings = cut.findings(lane)
    return Result(outcome_of(exchange, done), rules, tuple(findings), shown)
