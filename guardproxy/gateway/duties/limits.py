"""Limits and budgets: requests, tokens, costs and simultaneous requests of a client, a tenant or a model.

In: the head and the decoded request, the answers of the store, then the record. Out: a refusal with the time to wait, or
nothing; the headers that tell the client what is left. Limits come from the operator's file and from the policies that apply to
the request. A request reserves what it may use, before it is sent. What it used is known at its end (`settle`): the rest is
given back, and more is counted too. A reservation that nobody settles ends by itself, and soon if its process died.
Kept: the reservations of open exchanges, and the limits of combinations of policies.
"""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import NamedTuple, cast

from guardproxy.audit import Record
from guardproxy.conditions import model_key, model_readings
from guardproxy.decisions import Plan
from guardproxy.errors import DownstreamError, ErrorCode, StoreError
from guardproxy.gateway.duties.duty import Duty, Head, Refusal, Steps
from guardproxy.gateway.duties.limit_file import LimitSet
from guardproxy.gateway.prices.prices import BYTES_A_TOKEN, prices_of, token_use
from guardproxy.gateway.store.calls import Lease, Settle, Take
from guardproxy.policy import About, BoundRules, PolicySet
from guardproxy.policy.sections import LIMITS, PRICES
from guardproxy.policy.usage import (
    LARGEST,
    MICRO,
    MOST_CHARS,
    LimitRule,
    PriceList,
    Rates,
    TokenUse,
    amount_words,
    keep,
)
from guardproxy.policy.values import Match
from guardproxy.wire import Codec, Contract, Request, RequestStatement, statement_of
from guardproxy.wire.contract import LimitHeaders, Remaining, answers_of, brief_statement_of

_SECTIONS = (LIMITS.name, PRICES.name)
_OF_MODELS = ("tokens", "cost")
_TOLD = ("requests", "tokens")  # the units that APIs tell of
LIMIT_OPEN = 100_000  # exchanges whose reservations are kept, far above what may be open
MOST_BOUND = 1000  # combinations of policies whose limits are kept

_Reservation = tuple[LimitRule, Take]
_NO_POLICIES = PolicySet((), {}, "")


def about_of(
    route: str, tenant: str | None, request: Request, statement: RequestStatement, headers: Mapping[str, str] | None
) -> About:
    """Returns the facts of a request. `tenant`: its name; `headers`: by lower-case name, `None` if they are not known."""
    models, named = statement.models, _named_in_body(request)
    if named and named not in (request.model, *models):
        models = (*models, named)  # the path names another model than the body
    return About(
        route,
        request.model,
        tenant,
        headers,
        request.stream,
        max_tokens=statement.max_tokens,
        messages=statement.messages,
        tools=statement.tools,
        models=models,
        limits=statement.limits,
        counts=statement.counts,
        offered=statement.offered,
        unclear=statement.unclear,
        server=request.server,
        operation=request.operation,
    )


def _named_in_body(request: Request) -> str:
    tree = request.frame.tree
    named = tree.get("model") if isinstance(tree, (dict, Mapping)) else None
    return named if isinstance(named, str) else ""


def conversation_of(codec: Codec, request: Request, tenant: str, named: str, seal: Callable[[bytes], str]) -> str:
    """Returns the pseudonym of the conversation, derived from the header that names it (`named`) or from the first words of
    the request."""
    words = ("named", named) if named else ("", codec.turns.first_words(request.frame.tree))
    return seal("\0".join(("conversation", tenant, *words)).encode("utf-8", "surrogatepass"))


@dataclass(slots=True)
class _Open:
    """An exchange under way. `held`: what it took from limits. `left`: what its limits leave. `refusals`: the limits that it
    exceeded. `highest`: the highest rates of the models that it names, if it names several."""

    held: list[_Reservation] = field(default_factory=list)
    left: list[Remaining] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    highest: Rates | None = None


class _Counted(NamedTuple):
    """What limits count of a request by its body. `units`: the limits with the units that each reserves; `None` for the cost of
    a model without a price. `models`: every model that it names. `rates`: the highest of them, and `unpriced`: the first of
    them without a price, if a limit counts costs."""

    units: Sequence[tuple[LimitRule, int | None]] = ()
    models: tuple[str, ...] = ()
    rates: Rates | None = None
    unpriced: str = ""


class _Conditions(NamedTuple):
    """What conditions of policies and of their limits read. `asks`: the names of headers. `asks_much`: whether a condition
    reads more than names."""

    asks: frozenset[str] = frozenset()
    asks_much: bool = False


_NO_CONDITIONS = _Conditions()


class UsageLimits(Duty):
    """Refuses requests past a limit. `known`: returns the limits of the operator's file. `hold_s`: the time after which a
    reservation ends that nobody settled; longer than any exchange. `notice(limit, mode)`: is called for each refusal, also
    where the limit is in shadow mode. `policies`: returns the policies in force. `seal`: returns a keyed digest. `lease`: of
    this process in the store."""

    name = "limits"

    def __init__(
        self,
        known: Callable[[], LimitSet],
        hold_s: float,
        notice: Callable[[str, str], None],
        policies: Callable[[], PolicySet] = lambda: _NO_POLICIES,
        seal: Callable[[bytes], str] = lambda data: "",
        lease: Lease | None = None,
    ) -> None:
        self._known = known
        self._hold_s = hold_s
        self._notice = notice
        self._policies = policies
        self._seal = seal
        self._lease = lease or Lease()
        self._lease.named = self._reservations
        self._open: OrderedDict[str, _Open] = OrderedDict()
        self._section = _NO_POLICIES, _NO_CONDITIONS
        self._bound: dict[int, tuple[BoundRules, tuple[LimitRule, ...]]] = {}

    def admit(self, head: Head) -> Head | Steps[Head]:
        """Reserves what the head decides. Raises `DownstreamError` (429)."""
        known = self._known()
        rules = known.early_for(head.route, head.tenant_name) if known.early else ()
        return self._admitted(head, [(rule, 1) for rule in rules]) if rules else head

    def _admitted(self, head: Head, amounts: Sequence[tuple[LimitRule, int]]) -> Steps[Head]:
        yield from self._reserve(head, amounts)
        return head

    def plans(self, head: Head) -> bool:
        """Whether a limit counts what the body decides."""
        return bool(self._known().late) or LIMITS.name in self._policies().section_names

    def plan(self, head: Head, request: Request) -> Steps[Plan | None] | None:
        """Reserves what the body decides. Returns no plan. Raises `DownstreamError` (403 for a model without a price, 429)."""
        amounts: list[tuple[LimitRule, int]] = []
        counted = self._counted(head, request)
        for rule, units in counted.units:
            if units is not None:
                amounts.append((rule, units))
                continue
            self._exceeded(rule, self._entry(head.id), ErrorCode.OUT_OF_SCOPE)
            if not rule.is_shadow:
                name = f": `{counted.unpriced}`" if 0 < len(counted.unpriced) <= MOST_CHARS else ""
                message = f"{_named(rule)} counts costs, and the model has no price{name}"
                field = "model" if counted.unpriced in ("", request.model) else None  # it may be the model of a tool
                raise DownstreamError(ErrorCode.OUT_OF_SCOPE, message, field)
        if counted.rates and len(counted.models) > 1:
            self._entry(head.id).highest = counted.rates
        return self._planned(head, amounts, counted.models) if amounts else None

    def counted(self, head: Head, request: Request) -> Sequence[tuple[LimitRule, int | None]]:
        """Returns the limits that count a request by its body, each with the units that it reserves; `None` for the cost of a
        model without a price."""
        return self._counted(head, request).units

    def _counted(self, head: Head, request: Request) -> _Counted:
        policies = self._policies()
        codec = policies.formats.codec_for(head.route)
        if codec is None:
            return _Counted()
        known, has_section = self._known(), not policies.section_names.isdisjoint(_SECTIONS)
        section = self._conditions_of(policies) if has_section else _NO_CONDITIONS
        read = statement_of if known.asks_much or section.asks_much else brief_statement_of
        statement = read(request.frame.tree, codec.contract.statements)
        asked = (*known.asks, *section.asks) if section.asks else known.asks
        headers = {name: value for name in asked if (value := head.headers.get(name)) is not None} if asked else {}
        about = about_of(head.route, head.tenant_name, request, statement, headers)
        rules = known.late_for(about)
        prices: tuple[PriceList, ...] = ()
        if has_section:
            bound, of_policies = self._of_policies(policies, head, request, codec, about)
            rules, prices = (*rules, *of_policies), prices_of(bound)
        # A server of tools counts no tokens, and those of a stored answer were counted when the model gave it.
        if not codec.for_request(head.path, head.query).contract.serves_models:
            rules = tuple(rule for rule in rules if rule.unit not in _OF_MODELS)
        prompt = -(-len(request.frame.data) // BYTES_A_TOKEN)
        asked_answers = answers_of(request.frame.tree, codec.contract.statements)
        units: list[tuple[LimitRule, int | None]] = []
        rates: Rates | None = None
        for rule in rules:
            use = TokenUse(prompt, asked_answers.tokens(rule.answer_tokens))
            if rule.unit == "tokens":
                units.append((rule, use.prompt + use.answer))
            elif rule.unit == "cost":
                rates = known.prices.rates(about.named_models, head.unix_s, prompt, prices)
                units.append((rule, rates.cost(use) if rates else None))
            else:
                units.append((rule, 1))
        unpriced = ""
        if any(counted is None for _, counted in units):
            every = ((name, known.prices.rates((name,), head.unix_s, prompt, prices)) for name in about.named_models)
            unpriced = next((name for name, found in every if found is None), "")
        return _Counted(units, about.named_models, rates, unpriced)

    def _conditions_of(self, policies: PolicySet) -> _Conditions:
        """Returns what conditions of policies and of their limits read."""
        if self._section[0] is not policies:
            rules = [rule for policy in policies.policies for rule in LIMITS.of(policy.sections) or ()]
            matches = [*(policy.match for policy in policies.policies), *(rule.match for rule in rules)]
            asks = policies.headers.union(*(match.asks for match in matches))
            self._section = policies, _Conditions(asks, any(match.when for match in matches))
        return self._section[1]

    def _of_policies(
        self, policies: PolicySet, head: Head, request: Request, codec: Codec, about: About
    ) -> tuple[BoundRules, Sequence[LimitRule]]:
        """Returns the rules of the policies that apply to a request, and those of their limits that count it."""
        if (bound := policies.unconditional) is None:
            conversation = conversation_of(codec, request, head.tenant, head.conversation, self._seal)
            bound = policies.bind(
                head.route,
                request.model,
                head.tenant_name,
                conversation,
                about,
                demanded=head.client.policies,
            )
        # Rules have no hash. An id may come again once its rules are gone, so the rules themselves are compared.
        kept = self._bound.get(id(bound))
        if kept is None or kept[0] is not bound:
            kept = bound, limits_of(bound)
            keep(self._bound, id(bound), kept, MOST_BOUND)
        return bound, [rule for rule in kept[1] if rule.match.holds(about)]

    def _planned(
        self, head: Head, amounts: Sequence[tuple[LimitRule, int]], models: Sequence[str]
    ) -> Steps[Plan | None]:
        yield from self._reserve(head, amounts, models)
        return None

    def _reserve(self, head: Head, amounts: Sequence[tuple[LimitRule, int]], models: Sequence[str] = ()) -> Steps[None]:
        entry = self._entry(head.id)
        # A request that can never fit is refused before it takes anything. No wait would help it, so its code is another one.
        for rule, units in amounts:
            if rule.refuses_larger and rule.used(units) > rule.most:
                self._refuse_larger(rule, units, entry)
        # Each of the models may answer, so the limit of each has to have room.
        names = tuple(dict.fromkeys(map(model_key, models))) or ("",)
        taken = [
            (rule, self._take(rule, units, head, name))
            for rule, units in amounts
            for name in (names if "model" in rule.per else names[:1])
        ]
        before, held = entry.held, entry.held.copy()
        # The client may leave while the store works. A reservation in a sum can be ended whether it was taken or not.
        # A rate is left out: what it took cannot be told from what it did not, and giving back too much would lift the
        # limit.
        entry.held = [*before, *[pair for pair in taken if pair[1].holds_s]]
        try:
            levels = cast(tuple[int, ...], (yield tuple([take for _, take in taken])))
        except StoreError:  # what the store took is not known; what nobody settles ends by itself
            entry.held = before
            raise
        # A store takes nothing if a limit that is enforced does not leave enough, and this must come to the same result.
        is_taken = True
        for (_, take), level in zip(taken, levels, strict=True):
            if take.binding and level + take.amount > take.most:
                is_taken = False
        worst: tuple[float, LimitRule] | None = None
        for (rule, take), level in zip(taken, levels, strict=True):
            after = level
            if level + take.amount > take.most:
                self._exceeded(rule, entry, _code(rule))
                wait_s = _wait_s(rule, take, level, head.unix_s)
                # The client is told the longest wait: after a shorter one another limit would refuse it again.
                if take.binding and (worst is None or wait_s > worst[0]):
                    worst = wait_s, rule
            elif is_taken:  # otherwise the store took nothing from this limit, although it has room
                held.append((rule, take))
                after += take.amount
            if take.binding:
                entry.left.append(_remaining(rule, after, head.unix_s))
        entry.held = held
        if worst:
            raise _refusal(wait_s=worst[0], rule=worst[1])

    def _entry(self, exchange: str) -> _Open:
        entry = self._open.get(exchange)
        if entry is None:
            entry = self._open[exchange] = _Open()
            if len(self._open) > LIMIT_OPEN:
                self._open.popitem(last=False)
        return entry

    def _refuse_larger(self, rule: LimitRule, units: int, entry: _Open) -> None:
        """Raises `DownstreamError` (413) for a request that can never fit into a limit that is enforced."""
        self._exceeded(rule, entry, ErrorCode.LARGER_THAN_LIMIT)
        if not rule.is_shadow:
            wanted = amount_words(units, rule.unit) if units < LARGEST else "any number"
            message = f"{_named(rule)} of {rule.unit}: the request may use {wanted}"
            raise DownstreamError(
                ErrorCode.LARGER_THAN_LIMIT, f"{message}, and the limit is {amount_words(rule.limit, rule.unit)}"
            )

    def _exceeded(self, rule: LimitRule, entry: _Open, code: ErrorCode) -> None:
        """Notes once that a request exceeds a limit, of whichever of its models."""
        refusal = Refusal(self.name, code, rule.name, rule.policy, enforced=not rule.is_shadow)
        # A request that names several models may exceed one limit once for each of them.
        if refusal not in entry.refusals:
            self._notice(rule.label, "shadow" if rule.is_shadow else "enforce")
            entry.refusals.append(refusal)

    def _take(self, rule: LimitRule, units: int, head: Head, model: str) -> Take:
        window, left_s = rule.window_at(head.unix_s)
        hold_s = 0.0 if rule.period_us else self._hold_s
        return Take(
            _key_of(rule, window, head.tenant, head.tenant_name or head.tenant, model),
            head.id,
            rule.taken(units),
            rule.most,
            hold_s,
            left_s + self._hold_s,
            not rule.is_shadow,
            self._lease.owner,
            self._lease.turn,
        )

    def _reservations(self) -> Iterator[tuple[str, str]]:
        """Yields what open exchanges reserve of sums, also while the store works on it."""
        for entry in self._open.values():
            yield from ((take.key, take.id) for _, take in entry.held if take.holds_s)

    def settle(self, head: Head, record: Record) -> Steps[None] | None:
        """Counts what the exchange used instead of what it reserved."""
        entry = self._open.pop(head.id, None)
        if entry is None or not entry.held:
            return None
        codec = self._policies().formats.codec_for(record.route)
        use = token_use(record, codec.contract if codec else None)
        # What a model without a price cost is not known, such as one that a policy chose: then the reservation counts.
        cost = record.cost if record.cost is not None or use.prompt or use.answer else 0
        if cost is not None and entry.highest and not _is_answered_by_first(record):
            cost = max(cost, entry.highest.cost(use))
        used = {"requests": 1, "parallel": 0, "tokens": use.prompt + use.answer, "cost": cost}
        return self._replaced(entry.held, used)

    def abandon(self, head: Head) -> Steps[None] | None:
        """Gives everything back but the request, which was made."""
        entry = self._open.pop(head.id, None)
        return self._replaced(entry.held, {"requests": 1}) if entry else None

    def _replaced(self, held: Sequence[_Reservation], used_by_unit: Mapping[str, int | None]) -> Steps[None] | None:
        """Replaces what an exchange reserved with what it used, by unit; `None`: as much as it reserved."""
        calls: list[Settle] = []
        for rule, take in held:
            units = used_by_unit.get(rule.unit, 0)
            used = take.amount if units is None else rule.used(units)
            used = used if used < LARGEST else LARGEST
            # What a rate has taken may stay if it was right, but the reservation of a sum has to end.
            if used != take.amount or take.holds_s:
                calls.append(Settle(take.key, take.id, take.amount, used, not rule.period_us, take.ttl_s))
        return self._settled(tuple(calls)) if calls else None

    @staticmethod
    def _settled(calls: tuple[Settle, ...]) -> Steps[None]:
        yield calls

    def headers(self, head: Head, contract: Contract) -> Mapping[str, str]:
        """Returns the headers that tell the client what is left, in the words of its API. It can be called once."""
        entry = self._open.get(head.id)
        if entry is None or not entry.left:
            return {}
        left, entry.left = entry.left, []
        return _headers(left, contract.limit_headers, head.unix_s)

    @staticmethod
    def look(rule: LimitRule, unix_s: float, client: str, tenant: str, model: str) -> Take:
        """Returns the call that reads the level of a limit and takes nothing. `client`: a pseudonym; `tenant`: a name, or the
        pseudonym of a client without one; `model`: a name, or empty where the limit counts all models together."""
        key = _key_of(rule, rule.window_at(unix_s)[0], client, tenant or client, model_key(model) if model else "")
        return Take(key, "", 0, -1, 0.0 if rule.period_us else 1.0)  # no level is below 0, so it never fits

    @staticmethod
    def left(rule: LimitRule, level: int, unix_s: float) -> Remaining:
        """Returns what a limit leaves at a level."""
        return _remaining(rule, level, unix_s)

    @staticmethod
    def in_force(known: LimitSet, policies: PolicySet) -> tuple[tuple[LimitRule, tuple[Match, ...]], ...]:
        """Returns all limits, each with the conditions of the requests that it counts: those of the operator's file, then those
        of policies. Those of a policy that enforces nothing are in shadow mode."""
        of_policies = (
            (replace(rule, policy=policy.name, is_shadow=rule.is_shadow or policy.mode != "enforce"), policy.match)
            for policy in policies.policies
            for rule in LIMITS.of(policy.sections) or ()
        )
        return (
            *((rule, (rule.match,)) for rule in (*known.early, *known.late)),
            *((rule, (rule.match, match)) for rule, match in of_policies),
        )

    def refusals(self, head: Head) -> tuple[Refusal, ...]:
        """Returns the limits that the request exceeded."""
        entry = self._open.get(head.id)
        return tuple(entry.refusals) if entry and entry.refusals else ()


def _key_of(rule: LimitRule, window: str, client: str, tenant: str, model: str) -> str:
    """Returns the key of a level in the store. `client`: a pseudonym; `tenant`: a name, or the pseudonym of a client without
    one."""
    whose = ""
    if rule.per:
        # Clients make up names of models: a long one must not take memory for ever.
        whose_of = _whose if len(model) <= MOST_CHARS else _whose.__wrapped__
        whose = whose_of(rule.per, client, tenant, model)
    return f"limits:{rule.label}:{window}:{whose}"


def limits_of(bound: BoundRules) -> tuple[LimitRule, ...]:
    """Returns the limits of the policies that apply, in the order of the policies' names. Those of a policy that is not
    enforced are in shadow mode."""
    return tuple(
        replace(rule, policy=section.policy, is_shadow=rule.is_shadow or not section.enforced)
        for section in LIMITS.bound(bound.sections)
        for rule in section.value
    )


@lru_cache(maxsize=4096)
def _whose(per: tuple[str, ...], client: str, tenant: str, model: str) -> str:
    """Returns a name in the store for a client, tenant or model. A digest has one length, and keeps names out of a store that
    others may read."""
    scope = {"client": client, "tenant": tenant, "model": model}
    parts = "\0".join([scope[name] for name in per])
    return hashlib.blake2b(parts.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def _is_answered_by_first(record: Record) -> bool:
    """Whether the answer says that it comes from the model that the request names first. Others may be named for the case that
    it fails, and cost more."""
    first, answered = (model_readings(name) or () for name in (record.model, record.response.model))
    return not set(first).isdisjoint(answered)


def _wait_s(rule: LimitRule, take: Take, level: int, unix_s: float) -> float:
    """Returns the seconds after which the amount would fit."""
    if rule.period_us:
        return (level + take.amount - rule.most) / MICRO
    return rule.window_at(unix_s)[1] if rule.window else 1.0


def _code(rule: LimitRule) -> ErrorCode:
    return ErrorCode.BUDGET_EXCEEDED if rule.window else ErrorCode.RATE_LIMIT_EXCEEDED


def _refusal(wait_s: float, rule: LimitRule) -> DownstreamError:
    what = "its budget is used up" if rule.window else "too much in a short time"
    if rule.unit == "parallel":
        what = "too many requests at the same time"
    message = f"{_named(rule)} of {rule.unit}: {what}"
    return DownstreamError(_code(rule), message, retry_s=max(1, math.ceil(wait_s)))


def _named(rule: LimitRule) -> str:
    """Returns the words for a limit in a message to a client, which learns nothing about policies."""
    return "a limit" if rule.policy else f"the limit `{rule.label}`"


def _headers(left: Sequence[Remaining], api: LimitHeaders, unix_s: float) -> Mapping[str, str]:
    """Returns the headers of an answer. Of several limits of a unit, the one with the smallest share left is told."""
    told: dict[str, tuple[float, int, Remaining]] = {}
    for limit in left:
        rank = limit.remaining / limit.limit if limit.limit else 0.0, limit.remaining
        if limit.unit in _TOLD and (limit.unit not in told or rank < told[limit.unit][:2]):
            told[limit.unit] = (*rank, limit)
    return {name: value for unit in _TOLD if unit in told for name, value in api.write(told[unit][2], unix_s).items()}


def _remaining(rule: LimitRule, level: int, unix_s: float) -> Remaining:
    reset_s = level / MICRO if rule.period_us else rule.window_at(unix_s)[1] if rule.window else 0.0
    return Remaining(rule.unit, rule.limit, max(0, rule.in_units(rule.most - level)), max(0.0, reset_s))
