"""Replays a record: runs a new exchange through the same code, and returns the differences.

The record holds all texts with placeholders instead of sensitive values, the findings of each check, and the order of
the texts. Chunk invariance makes their cuts irrelevant. An unchanged check (same digest) does not run again: its
findings come from the record, because a model's scores may differ between machines. A check that is new, changed or
applied to a further text scans the recorded text. There, only the check that found a value recognizes the placeholder
as the value.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from guardproxy import redaction
from guardproxy.audit import Closing, Record
from guardproxy.audit.record import RecordedAttempt, RecordedCache
from guardproxy.decisions import Plan
from guardproxy.errors import ErrorCode
from guardproxy.exchange import (
    Aborted,
    Address,
    Command,
    DataReceived,
    DownstreamGone,
    Exchange,
    ExchangeLimits,
    Finish,
    Input,
    Keys,
    RequestReceived,
    ResponseEnded,
    ResponseStarted,
    Setting,
    State,
    UpstreamFailed,
    ValuesFound,
    Waited,
    play,
    unsealed,
)
from guardproxy.exchange.gate import values_of
from guardproxy.gateway.clients import KnownClient
from guardproxy.policy import PolicySet
from guardproxy.redaction import PLACEHOLDER
from guardproxy.replay.comparison import UNTOUCHED, MaskedValue, ShownPath, differences, is_seen, moved_decisions
from guardproxy.replay.findings import replay_findings
from guardproxy.replay.memory import Memory, RecordedHistory
from guardproxy.replay.pacing import Pace
from guardproxy.replay.recorded import RecordedUpstream
from guardproxy.replay.results import ReplayResult, ReplayVerdict
from guardproxy.wire import UNBOUNDED
from guardproxy.wire.json import dotted

_NO_TEXT = "the record keeps no text"
_NOT_ASKED = "a replay asks no model elsewhere"
_KEY = hashlib.sha256(b"guardproxy replay: what a new rule redacts gets a placeholder of its own").digest()
_NAME = "#key"  # ends the path of a text that is the name of a member
_WHY = "the value is masked in the record, and the check that found it has changed"
_KNOWN = frozenset(("retry", "repair", "fallback", "failed", "blocked"))


@dataclass(frozen=True, slots=True)
class Rerun:
    """A recorded exchange that was run again. `record`: the new record. `done`: its commands. `rescanned`: see
    `ReplayResult`. `blind`: the masked values that could not be read again."""

    exchange: Exchange
    record: Record
    done: tuple[Command, ...]
    rescanned: tuple[str, ...] = ()
    blind: frozenset[MaskedValue] = frozenset()


def replay(record: Record | Closing, policies: PolicySet) -> ReplayResult:
    """Runs the recorded exchange again under `policies`, and compares both records. Without texts, the recorded findings
    are judged again. A `Closing` cannot be replayed."""
    return judged(record, rerun(record, policies), policies)


def judged(record: Record | Closing, again: Rerun | str, policies: PolicySet, shown: ShownPath = str) -> ReplayResult:
    """Returns the result of a replay. `again`: what `rerun` returned for these policies."""
    if isinstance(again, str) and again.startswith((_NO_TEXT, _NOT_ASKED)) and isinstance(record, Record):
        return replay_findings(record, policies, again, shown)
    if isinstance(again, str) or isinstance(record, Closing):
        return ReplayResult("not replayable", (str(again),))
    reported = tuple(differences(record, again.record, shown))
    moved = list(moved_decisions(record, again.record, again.blind))
    unclear = {decision.rule for decision, way in moved if way == "cannot be told"}
    unclear -= {decision.rule for decision, way in moved if way != "cannot be told"}
    certain = [decision for decision, way in moved if way != "cannot be told"]
    matched = again.record.matched
    assumed = (policy.name for policy in policies.policies if matched.get(policy.match.digest) == "unknown")
    if unclear:
        lines = (f"rule `{rule}`: whether it still holds cannot be told; {_WHY}" for rule in sorted(unclear))
        gone = {f"{word} `{rule}` no longer holds" for rule in unclear for word in ("rule", "shadow rule")}
        reported = (*lines, *(line for line in reported if certain and line not in gone))
    verdict: ReplayVerdict = "different" if reported else "identical"
    if unclear and not certain:
        verdict = "cannot be told"
    return ReplayResult(verdict, reported, again.rescanned, tuple(sorted(assumed)))


def rerun(record: Record | Closing, policies: PolicySet, pace: Pace | None = None) -> Rerun | str:
    """Runs the recorded exchange again under `policies`. Returns the reason as text if that is not possible. `pace`: cuts
    streams into pieces and notes what each releases."""
    if isinstance(record, Closing):
        return "the end of the exchange is unknown: the process ended before its record was kept"
    if reason := _why_not(record, policies):
        return reason
    codec = policies.formats.codec_for(record.route)
    if codec is None:
        return "its wire format is not installed"
    if "@" in record.codec and record.codec != codec.name:  # a format that a policy declares
        return "its wire format is declared in another way now"
    address = Address(record.route, record.path)
    path, query = address.sent
    codec = codec.for_request(path, query)
    memory, attempts = pace.memory if pace else Memory(record, policies), _attempts(record)
    stopped = record.outcome == "blocked_response" and attempts[-1].decision != "late"
    begun = stopped and record.status == record.response.status
    recorded = RecordedUpstream(
        codec, record.response, stopped, begun=begun, names_kinds=record.request.uninspected_kinds is not None
    )
    exchange = Exchange(
        Setting(
            id=record.id,
            address=address,
            tenant=record.tenant,
            codec=recorded,
            policies=policies,
            keys=Keys(mint=_mint, hashed=Keys.of(_KEY, "", unsealed).hashed, seal=unsealed),
            engine=record.engine,
            history=RecordedHistory(
                record, memory, tuple(attempt.tokens for attempt in attempts), record.policies == policies.digest
            ),
            client=KnownClient(record.client, tenant=record.tenant_name or "", policies=record.demanded),
            tenant_name=record.tenant_name if record.tenant else "",  # `None` in older records, which hold no name
            limits=ExchangeLimits(bounds=UNBOUNDED),  # the live run has checked the bounds
        )
    )
    if record.request.body is None:
        done = exchange.receive(_ending(record, attempts[-1]))
        return Rerun(exchange, exchange.record(ErrorCode.NO_CAPACITY), tuple(done))
    tree = in_order(record.request.body, (text.path for text in record.request.texts))
    body, language = recorded.write_body(tree), record.language
    plan = next((route.duties for route in record.routing if route.mode == "enforce"), record.plan)
    unavailable = tuple(dict.fromkeys(name for route in record.routing for name in route.passed_over))
    plans = (Plan(plan.upstream, plan.model, plan.parameters, plan.reason),) if plan else ()
    received = RequestReceived(
        body, unix_s=record.at, language=language, headers=None, plans=plans, unavailable=unavailable
    )
    done = play(exchange, [received], memory.perform, remembered=memory.remembered)
    if record.earlier:
        exchange.receive(ValuesFound(tuple(map(values_of, record.earlier))))
    for number, attempt in enumerate(attempts):
        if exchange.is_over or exchange.attempt < number:
            break
        ending = _ending(record, attempt) if number == len(attempts) - 1 else _next(attempt)
        signs, cache = (record.signs, record.cache) if number == 0 else (0, None)
        done += _answer(exchange, memory, recorded, attempt, ending, signs, cache, pace)
    if memory.unreadable:
        return f"{_NO_TEXT} of a call that `{memory.unreadable}` would read"
    if memory.unasked:
        return f"{_NOT_ASKED}, as `{memory.unasked}` would"
    new = done[-1].record if done and isinstance(done[-1], Finish) else exchange.record("sent upstream")
    return Rerun(exchange, new, tuple(done), tuple(sorted(memory.rescanned)), frozenset(memory.blind))


def in_order(tree: Any, paths: Iterable[str]) -> Any:
    """Restores the order in which the members of a recorded request were sent: the log sorts the keys of every object, but a
    rule with `and` decides at the last of its texts. Returns a copy of `tree` whose objects list their members in the order of
    the texts in them. `paths`: the paths of all texts, in order. A member without a text comes after those with texts."""
    ranks: dict[str, int] = {}
    for rank, path in enumerate(paths):
        ranks.setdefault(path, rank)
    return _order(tree, (), ranks, len(ranks))[0]


def _order(node: Any, path: tuple[str | int, ...], ranks: dict[str, int], last: int) -> tuple[Any, int]:
    """Returns the node in order, and the rank of its first text."""
    name = dotted(path)
    first = min(ranks.get(name, last), ranks.get(name + _NAME, last))
    if isinstance(node, dict):
        members = {key: _order(child, (*path, key), ranks, last) for key, child in node.items()}
        ranked = sorted(members.items(), key=lambda member: member[1][1])
        return {key: child for key, (child, _) in ranked}, min([first, *(rank for _, (_, rank) in ranked)])
    if isinstance(node, list):
        items = [_order(child, (*path, index), ranks, last) for index, child in enumerate(node)]
        return [child for child, _ in items], min([first, *(rank for _, rank in items)])
    return node, first


def _mint(label: str, value: str) -> str:
    """Returns the placeholder of a value. In a replay, a placeholder is its own value, also without brackets, as in a
    word of the protocol."""
    bare = value.removeprefix("[").removesuffix("]")
    return f"[{bare}]" if PLACEHOLDER.fullmatch(f"[{bare}]") else redaction.mint(_KEY, "", label, value)


def _attempts(record: Record) -> list[RecordedAttempt]:
    """Returns all attempts, the last with the record's `response`."""
    last = record.attempts[-1] if record.attempts else _only_attempt(record)
    return [*record.attempts[:-1], msgspec.structs.replace(last, response=record.response, usage=record.usage)]


def _only_attempt(record: Record) -> RecordedAttempt:
    return RecordedAttempt(
        decision=record.outcome,
        rule="",
        errors=(),
        cut=False,
        tokens=0,
        output_tokens=0,
        counted=False,
        began=0.0,
        ended=record.timings.get("finished", 0.0),
    )


def _answer(
    exchange: Exchange,
    memory: Memory,
    recorded: RecordedUpstream,
    attempt: RecordedAttempt,
    ending: Input,
    signs: int,
    cache: RecordedCache | None,
    pace: Pace | None,
) -> list[Command]:
    """Plays a recorded answer to its end or until it is discarded. Inputs have the recorded times, because budgets may
    limit time. `signs`: the number of keep-alives that were sent. `cache`: what the cache had. `pace`: plays a stream in
    pieces."""
    number, at_s = exchange.attempt, attempt.ended / 1000
    answer = attempt.response or recorded.answer
    recorded.answer, recorded.usage = answer, attempt.usage or {}
    memory.at_s = at_s
    done: list[Command] = []
    memory.attempt = number
    perform = pace.perform if pace else memory.perform
    run = partial(play, exchange, scan=perform, remembered=memory.remembered)
    if exchange.state == State.WAITING and answer.status is not None:
        types = exchange.setting.codec.contract.media
        media = types.streamed if answer.streamed else types.whole
        done += play(
            exchange, [ResponseStarted(answer.status, media, at_s, cache)], memory.perform, remembered=memory.remembered
        )
        if signs:
            done += play(
                exchange, [Waited(at_s + exchange.setting.limits.quiet_s)], memory.perform, remembered=memory.remembered
            )
    if pace and answer.streamed:
        for piece in pace.pieces(recorded.feed(b"")):
            if exchange.attempt == number and exchange.is_answering:
                recorded.waiting = piece
                done += run([DataReceived(b"", at_s)])
                pace.note(exchange, number)
    elif exchange.attempt == number and exchange.is_answering:
        done += run([DataReceived(b"", at_s)])
    if exchange.attempt == number and not exchange.is_over:
        done += run([ending])
    if pace and answer.streamed and number < len(exchange.answers):
        last = done[-1] if done else None
        pace.note(exchange, number, str(last.outcome) if isinstance(last, Finish) else "")
    return done


def _code(word: str) -> ErrorCode:
    """Returns the error code of a word in the record. An unknown word leads to a difference."""
    return ErrorCode.__members__.get(word.upper(), ErrorCode.UPSTREAM_FAILED)


def _next(attempt: RecordedAttempt) -> Input:
    """Returns the input that ended an answer before a further attempt."""
    decision, at_s = attempt.decision, attempt.ended / 1000
    if decision == "late":
        return Waited(at_s)
    return (
        ResponseEnded(at_s)
        if decision in _KNOWN
        else UpstreamFailed(_code(decision), "", at_s=at_s, cause=attempt.cause)
    )


def _why_not(record: Record, policies: PolicySet) -> str:
    if not is_seen(record):
        why = f" ({record.error.code})" if record.error else ""
        return f"the exchange was {'refused' if record.outcome == 'refused' else 'passed'}{why}: no check inspected it"
    if record.sealed is not None:
        return "the texts are sealed: give the operator's key"
    if record.request.body is None:
        if record.outcome == ErrorCode.NO_CAPACITY:  # nothing was decided
            return "" if record.policies == policies.digest else "a check had no capacity: nothing was judged"
        return f"{_NO_TEXT} of the request"
    for answer in record.answers:
        texts = (answer.texts[number] for number, _ in answer.runs if number >= 0)
        if any(text.text is None and not text.judged for text in texts):
            return f"{_NO_TEXT} of the answer"
    return ""


def _ending(record: Record, attempt: RecordedAttempt) -> Input:
    outcome = record.outcome
    message = record.error.message if record.error else ""
    if attempt.decision == "late":
        return Waited(attempt.ended / 1000)
    if outcome == "client_closed":
        return DownstreamGone()
    if outcome == ErrorCode.AUDIT_UNAVAILABLE:
        return Aborted(ErrorCode.AUDIT_UNAVAILABLE, message, record.status)
    if outcome not in UNTOUCHED:
        # Policies do not decide about an aborted exchange.
        if outcome == ErrorCode.NO_CAPACITY:
            return Aborted(ErrorCode.NO_CAPACITY, message, record.status)
        return UpstreamFailed(_code(outcome), message, record.status, cause=record.error.cause if record.error else "")
    return ResponseEnded()
