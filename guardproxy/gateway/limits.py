"""Limits and budgets: requests, tokens, costs and simultaneous requests of a client, a tenant or a model.

In: the head and the decoded request, the answers of the store, then the record. Out: a refusal with the time to wait, or
nothing; the headers that tell the client what is left. A request reserves what it may use, before it is sent. What it used is
known at its end (`settle`): the rest is given back, and more is counted too. A reservation that nobody settles ends by itself.
Kept: the reservations of open exchanges.
"""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from guardproxy.audit import Record
from guardproxy.decisions import Plan
from guardproxy.errors import DownstreamError, ErrorCode, StoreError
from guardproxy.gateway.duty import Duty, Head, Steps
from guardproxy.gateway.limit_file import LARGEST, MICRO, LimitRule, LimitSet, Unit
from guardproxy.gateway.limit_headers import Remaining, limit_headers
from guardproxy.gateway.store import Settle, Take
from guardproxy.policy import About
from guardproxy.wire import Contract, Formats, Request, RequestStatement, installed, statement_of

BYTES_A_TOKEN = 4
LIMIT_OPEN = 100_000  # exchanges whose reservations are kept, far above what may be open


@dataclass(frozen=True, slots=True)
class _Reservation:
    """What an exchange took from a limit. `amount`: what it added to the level."""

    rule: LimitRule
    take: Take


class UsageLimits(Duty):
    """Refuses requests past a limit. `known`: returns the limits in force. `hold_s`: the time after which a reservation ends
    that nobody settled; longer than any exchange. `notice(limit, mode)`: is called for each refusal, also where the limit is in
    shadow mode. `formats`: returns the wire formats in force."""

    name = "limits"

    def __init__(
        self,
        known: Callable[[], LimitSet],
        hold_s: float,
        notice: Callable[[str, str], None],
        formats: Callable[[], Formats] = installed,
    ) -> None:
        self._known = known
        self._hold_s = hold_s
        self._notice = notice
        self._formats = formats
        self._open: OrderedDict[str, list[_Reservation]] = OrderedDict()
        self._left: OrderedDict[str, list[Remaining]] = OrderedDict()

    def admit(self, head: Head) -> Head | Steps[Head]:
        """Reserves what the head decides. Raises `DownstreamError` (429)."""
        about = About(head.route, tenant=head.tenant_name)
        amounts = [(rule, 1) for rule in self._known().early if rule.match.holds(about)]
        return self._admitted(head, amounts) if amounts else head

    def _admitted(self, head: Head, amounts: Sequence[tuple[LimitRule, int]]) -> Steps[Head]:
        yield from self._reserve(head, amounts, "")
        return head

    def plans(self, head: Head) -> bool:
        """Whether a limit counts what the body decides."""
        return bool(self._known().late)

    def plan(self, head: Head, request: Request) -> Steps[Plan | None] | None:
        """Reserves what the body decides. Returns no plan. Raises `DownstreamError` (403 for a model without a price, 429)."""
        codec = self._formats().codec_for(head.route)
        if codec is None:
            return None
        statement = statement_of(request.frame.tree, codec.contract.statements)
        about = self._about(head, request, statement)
        rules = [rule for rule in self._known().late if rule.match.holds(about)]
        prompt = -(-len(request.frame.data) // BYTES_A_TOKEN)
        answer = max((statement.max_tokens, *statement.limits))
        amounts: list[tuple[LimitRule, int]] = []
        for rule in rules:
            tokens = prompt, answer or rule.answer_tokens
            match rule.unit:
                case "tokens":
                    amounts.append((rule, sum(tokens)))
                case "cost":
                    if (price := self._known().price(about.named_models)) is not None:
                        amounts.append((rule, price.cost(*tokens)))
                    elif not rule.is_shadow:
                        message = f"the limit `{rule.name}` counts costs, and the model has no price"
                        raise DownstreamError(ErrorCode.OUT_OF_SCOPE, message, "model")
                case _:
                    amounts.append((rule, 1))
        return self._planned(head, amounts, request.model) if amounts else None

    def _about(self, head: Head, request: Request, statement: RequestStatement) -> About:
        tree = request.frame.tree
        asked = {name for rule in self._known().late for name in rule.match.asks}
        headers = {name: value for name in asked if (value := head.headers.get(name)) is not None}
        named = tree.get("model") if isinstance(tree, Mapping) else None
        models = (*statement.models, *((named,) if isinstance(named, str) and named else ()))
        return About(
            *(head.route, request.model, head.tenant_name, headers, request.stream),
            max_tokens=statement.max_tokens,
            messages=statement.messages,
            tools=statement.tools,
            models=models,
            limits=statement.limits,
            counts=statement.counts,
            offered=statement.offered,
            unclear=statement.unclear,
        )

    def _planned(self, head: Head, amounts: Sequence[tuple[LimitRule, int]], model: str) -> Steps[Plan | None]:
        yield from self._reserve(head, amounts, model)
        return None

    def _reserve(self, head: Head, amounts: Sequence[tuple[LimitRule, int]], model: str) -> Steps[None]:
        taken = [_Reservation(rule, self._take(rule, units, head, model)) for rule, units in amounts]
        open_ = self._open.setdefault(head.id, [])
        known = len(open_)
        # The client may leave while the store works. A reservation in a sum can be ended whether it was taken or not.
        open_ += [reservation for reservation in taken if reservation.take.holds_s]
        try:
            answers = yield tuple(reservation.take for reservation in taken)
        except StoreError:
            del open_[known:]
            raise
        del open_[known:]
        levels = [answer for answer in answers if isinstance(answer, int)]
        pairs = tuple(zip(taken, levels, strict=True))
        exceeding = [reservation for reservation, level in pairs if not reservation.take.fits(level)]
        for reservation in exceeding:
            self._notice(reservation.rule.name, "shadow" if reservation.rule.is_shadow else "enforce")
        # A store takes nothing if a limit that is enforced does not leave enough, and this must come to the same result.
        is_taken = not any(reservation.take.binding for reservation in exceeding)
        left = self._left.setdefault(head.id, [])
        waits: list[tuple[float, LimitRule]] = []
        for reservation, level in pairs:
            rule, take = reservation.rule, reservation.take
            after = level
            if is_taken and take.fits(level):
                open_.append(reservation)
                after += take.amount
            if take.binding:
                left.append(_remaining(rule, after, head.unix_s))
                if not is_taken and not take.fits(level):
                    waits.append((_wait_s(rule, take, level, head.unix_s), rule))
        for kept in (self._open, self._left):
            if len(kept) > LIMIT_OPEN:
                kept.popitem(last=False)
        if waits:
            raise _refusal(*max(waits, key=lambda pair: pair[0]))

    def _take(self, rule: LimitRule, units: int, head: Head, model: str) -> Take:
        window, left_s = rule.window_at(head.unix_s)
        scope = {"client": head.tenant, "tenant": head.tenant_name or head.tenant, "model": model.lower()}
        parts = "\0".join(scope[name] for name in rule.per)
        # A digest has one length, and keeps names out of a store that others may read.
        whose = hashlib.blake2b(parts.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest() if rule.per else ""
        key = ":".join(("limits", rule.name, window, whose))
        hold_s = 0.0 if rule.period_us else self._hold_s
        return Take(key, head.id, rule.taken(units), rule.most, hold_s, left_s + self._hold_s, not rule.is_shadow)

    def settle(self, head: Head, record: Record) -> Steps[None] | None:
        """Counts what the exchange used instead of what it reserved."""
        if not (reserved := self._open.pop(head.id, [])):
            return None
        codec = self._formats().codec_for(record.route)
        tokens = used_tokens(record, codec.contract if codec else None)
        return self._replaced(reserved, lambda unit: self._used(unit, record, *tokens))

    def abandon(self, head: Head) -> Steps[None] | None:
        """Gives everything back but the request, which was made."""
        self._left.pop(head.id, None)
        return self._replaced(self._open.pop(head.id, []), lambda unit: int(unit == "requests"))

    def _replaced(self, reserved: Sequence[_Reservation], used_of: Callable[[Unit], int]) -> Steps[None] | None:
        """Replaces what an exchange reserved with what it used. `used_of` returns what it used, in a unit."""
        calls = tuple(
            Settle(take.key, take.id, take.amount, used, not rule.period_us, take.ttl_s)
            for reservation in reserved
            for rule, take in [(reservation.rule, reservation.take)]
            for used in [min(LARGEST, rule.used(used_of(rule.unit)))]
            if used != take.amount or take.holds_s
        )
        return self._settled(calls) if calls else None

    @staticmethod
    def _settled(calls: tuple[Settle, ...]) -> Steps[None]:
        yield calls

    def _used(self, unit: Unit, record: Record, prompt: int, answer: int) -> int:
        """Returns what an exchange used, in a unit. `prompt`, `answer`: tokens."""
        match unit:
            case "requests":
                return 1
            case "parallel":
                return 0
            case "tokens":
                return prompt + answer
        price = self._known().price((record.plan.model if record.plan and record.plan.model else record.model,))
        return price.cost(prompt, answer) if price else 0

    def headers(self, head: Head, provider: str) -> Mapping[str, str]:
        """Returns the headers that tell the client what is left, in the words of its API. It can be called once."""
        left = self._left.pop(head.id, None)
        return limit_headers(left, provider, head.unix_s) if left else {}


def used_tokens(record: Record, contract: Contract | None) -> tuple[int, int]:
    """Returns the tokens of the requests and of the answers of an exchange, as the upstream counted them. They are estimated by
    their sizes if the upstream did not count them, as in a stream that was cut. An answer from the cache used none."""
    if record.attempts:
        attempts = record.attempts[int(record.is_from_cache) :]
        answer = sum(attempt.output_tokens for attempt in attempts)
        return sum(attempt.tokens for attempt in attempts) - answer, answer
    if record.is_from_cache or "upstream" not in record.sizes or (record.response.status or 0) >= 400:
        return 0, 0  # it was not sent, or it was refused
    counted = contract.tokens(record.usage) if contract else (None, None)
    chars = sum(text.chars for text in record.response.texts)
    estimated = (-(-size // BYTES_A_TOKEN) for size in (record.sizes["upstream"], chars))
    prompt, answer = (estimate if value is None else value for value, estimate in zip(counted, estimated, strict=True))
    return prompt, answer


def _wait_s(rule: LimitRule, take: Take, level: int, unix_s: float) -> float:
    """Returns the seconds after which the amount would fit."""
    if rule.period_us:
        return (level + take.amount - rule.most) / MICRO
    return rule.window_at(unix_s)[1] if rule.window else 1.0


def _refusal(wait_s: float, rule: LimitRule) -> DownstreamError:
    code = ErrorCode.BUDGET_EXCEEDED if rule.window else ErrorCode.RATE_LIMIT_EXCEEDED
    what = "its budget is used up" if rule.window else "too much in a short time"
    if rule.unit == "parallel":
        what = "too many requests at the same time"
    return DownstreamError(code, f"the limit `{rule.name}` of {rule.unit}: {what}", retry_s=max(1, math.ceil(wait_s)))


def _remaining(rule: LimitRule, level: int, unix_s: float) -> Remaining:
    reset_s = level / MICRO if rule.period_us else rule.window_at(unix_s)[1] if rule.window else 0.0
    return Remaining(rule.unit, rule.limit, max(0, rule.in_units(rule.most - level)), max(0.0, reset_s))


def limit_words(rule: LimitRule) -> str:
    """Returns a line about a limit: what it counts, for whom, and how much."""
    whose = " and ".join(rule.per) if rule.per else "all together"
    money = f"{rule.limit / MICRO:g}" if rule.unit == "cost" else f"{rule.limit:,}"
    period = (
        f" a {rule.window}"
        if rule.window
        else f" at once, then {_rate(rule)}"
        if rule.period_us
        else " at the same time"
    )
    mode = ", in shadow mode" if rule.is_shadow else ""
    return f"{rule.name}: {money} {rule.unit}{period}, {'per ' if rule.per else ''}{whose}{mode}"


def _rate(rule: LimitRule) -> str:
    amount = f"{rule.amount / MICRO:g}" if rule.unit == "cost" else f"{rule.amount:,}"
    return f"{amount} in {rule.period_us // MICRO:,} s"
