"""Turns findings into decisions: which checks inspect a text, which spans are replaced, and what stops it.

A `PolicySet` holds the policies of a folder. `bind` selects the policies whose `match` holds for a request. Edits are
decided for each finding separately. Rules that need several findings (`and`) are evaluated by a `Tally` (`tally.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import and_
from typing import Any, NamedTuple

from guardproxy.checks import Check, with_partner
from guardproxy.concurrency import lazy
from guardproxy.conditions import RequestFeatures
from guardproxy.decisions import Confirm, Decision, Edit, Pass, Retry, Stop
from guardproxy.findings import Channel, Direction, Finding, Kind
from guardproxy.policy.conditions.condition_probe import probe
from guardproxy.policy.conditions.expression import CHECK_ERROR
from guardproxy.policy.conditions.matching import MatchVerdict
from guardproxy.policy.conditions.request_context import About
from guardproxy.policy.sections import JUDGE, ROUTE, BoundSection
from guardproxy.policy.values import rollout
from guardproxy.policy.values.acting import decide
from guardproxy.policy.values.document import KEEP, SEVERITIES, Keep, Policy, Rule
from guardproxy.policy.values.fields import NO_BOUND_FIELDS, BoundFields, bound_fields
from guardproxy.redaction import Operators, strictest
from guardproxy.wire import Formats, installed
from guardproxy.wire.declared import DeclaredCodec

MOST_BOUND = 1000  # limit of cached combinations of policies; shares and headers make many combinations
NOT_APPLYING = -2
"""In place of a share: the policy does not apply. -1 means that no share excludes the conversation."""

Selection = tuple[tuple[MatchVerdict, int], ...]


class Keeping(NamedTuple):
    """How much of the texts the record keeps. `subjects`: whose key may seal them (`Policy.subject`); the first that a
    request names is used. `values`: whether the values that the record masks are sealed beside it."""

    keep: Keep = "redacted"
    subjects: tuple[str, ...] = ()
    values: bool = False


def keeping_of(policies: Sequence[Policy]) -> Keeping:
    """Returns the least that any policy demands. The masked values are sealed only if all policies seal, because `redacted`
    keeps no value."""
    keep: Keep = min((policy.keep for policy in policies), key=KEEP.index, default="redacted")
    if keep != "sealed":
        return Keeping(keep)
    sealing = sorted((policy for policy in policies if policy.keep == "sealed"), key=lambda policy: policy.name)
    return Keeping(keep, tuple(dict.fromkeys(policy.subject for policy in sealing)), len(sealing) == len(policies))


def select(
    policies: Sequence[Policy],
    shares: Sequence[tuple[int, ...]],
    about: About,
    conversation: str,
    known: Mapping[str, MatchVerdict],
    demanded: Collection[str],
) -> Selection:
    """Returns the verdict on each policy and the share that excludes the conversation, or `NOT_APPLYING`. `shares`: of the
    rules of each policy; `known`: recorded verdicts, by `Match.digest`; `demanded`: names of policies that apply whatever
    their `match`."""
    by_digest = dict(known)  # equal conditions are evaluated once
    selected: list[tuple[MatchVerdict, int]] = []
    for policy, own_shares in zip(policies, shares, strict=True):
        if (verdict := by_digest.get(digest := policy.match.digest)) is None:
            verdict = by_digest[digest] = policy.match.verdict(about)
        applies = verdict != "no" or (policy.file in demanded and policy.is_for(about.tenant))
        excluding = rollout.excluding_share(own_shares, policy.origin, conversation) if applies else NOT_APPLYING
        selected.append((verdict, excluding))
    return tuple(selected)


@dataclass(frozen=True, slots=True)
class BoundRule:
    """A rule with its checks resolved. `names`: maps the names of checks in findings to their names in the rule."""

    policy: Policy
    rule: Rule
    names: Mapping[str, str]
    decision: Decision
    names_in_when: frozenset[str] = frozenset()  # the names in its `when`
    enforced: bool = True
    key: tuple[str, str] = ("", "")  # policy and rule


def _precedence(bound: BoundRule) -> tuple[int, str, str]:
    severity = bound.rule.severity
    return -SEVERITIES.index(severity) if severity else 1, bound.policy.name, bound.rule.id


class Outcome(NamedTuple):
    """A rule that held, and the finding that made it hold. `decision`: the rule's decision. `enforced`: whether it is
    carried out. `attempt`: the number of the model's answer, from 0."""

    policy: str
    rule: str
    action: str
    decision: Decision
    enforced: bool
    channel: Channel
    finding: Finding
    attempt: int = 0


@dataclass(frozen=True)
class BoundRules:
    """The rules for a request. `matched`: the verdict of each condition, by `Match.digest`, for the record. `sections`: the
    sections of the policies that apply, by key and in the order of the policies' names (`Section.bound`)."""

    policies: tuple[Policy, ...]
    rules: tuple[BoundRule, ...]
    checks: Mapping[tuple[str, str], Check]
    matched: Mapping[str, MatchVerdict] = field(default_factory=dict)
    fields: BoundFields = NO_BOUND_FIELDS
    sections: Mapping[str, tuple[BoundSection[Any], ...]] = field(default_factory=dict)
    derived: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)
    """What other packages derive from the rules, once for all requests that have them."""
    _reads: dict[Direction, bool] = field(default_factory=dict)
    _checks_for: dict[tuple[Direction, Kind], tuple[Check, ...]] = field(default_factory=dict)
    _rules_for: dict[tuple[Direction, Kind], tuple[BoundRule, ...]] = field(default_factory=dict)
    _concerned: dict[tuple[Direction, Kind, str], tuple[BoundRule, ...]] = field(default_factory=dict)
    _parallel: dict[tuple[Kind, bool], tuple[Check, ...]] = field(default_factory=dict)

    def checks_for(self, channel: Channel) -> tuple[Check, ...]:
        """Returns the checks that rules use for this channel, without duplicates and in a fixed order."""
        place = (channel.direction, channel.kind)
        if place not in self._checks_for:
            checks = {
                check.name: check
                for bound in self.rules_for(channel)
                for name in bound.names.values()
                if (check := self.checks.get((bound.policy.name, name)))
            }
            self._checks_for[place] = tuple(check for name in sorted(checks) for check in with_partner(checks[name]))
        return self._checks_for[place]

    @lazy
    def has_parallel(self) -> bool:
        """Whether a rule lets the upstream work while a request is judged."""
        return any(bound.rule.parallel != "off" for bound in self.rules)

    def parallel_for(self, channel: Channel, *, acts: bool) -> tuple[Check, ...]:
        """Returns the checks of a channel of the request that may judge it while the upstream already works: those that
        only rules with `parallel` use, and whose findings neither are values nor depend on a form. `acts`: whether the
        provider may act for the request."""
        place = (channel.kind, acts)
        if place not in self._parallel:
            allowed = ("always",) if acts else ("on", "always")
            self._parallel[place] = tuple(
                check
                for check in self.checks_for(channel)
                if is_parallel(check)
                and all(bound.rule.parallel in allowed for bound in self.rules_using(channel, check.name))
            )
        return self._parallel[place]

    @lazy
    def has_later(self) -> bool:
        """Whether a check sends texts elsewhere, so that it reads them after all others."""
        return any(check.traits.needs_masked for bound in self.rules for check in self._checks_of(bound))

    def later_for(self, channel: Channel) -> tuple[Check, ...]:
        """Returns the checks of a channel that send texts elsewhere."""
        return tuple(check for check in self.checks_for(channel) if check.traits.needs_masked)

    def rules_for(self, channel: Channel) -> tuple[BoundRule, ...]:
        place = (channel.direction, channel.kind)
        if place not in self._rules_for:
            self._rules_for[place] = tuple(bound for bound in self.rules if place in bound.rule.on)
        return self._rules_for[place]

    def rules_using(self, channel: Channel, check: str) -> tuple[BoundRule, ...]:
        """Returns the rules that use a check in this channel. They are cached, because a finding concerns few of many
        rules."""
        place = (channel.direction, channel.kind, check)
        if place not in self._concerned:
            self._concerned[place] = tuple(bound for bound in self.rules_for(channel) if bound.names.get(check))
        return self._concerned[place]

    def reads(self, direction: Direction) -> bool:
        """Whether any rule inspects texts of this direction. Otherwise its texts are neither scanned nor recorded."""
        if direction not in self._reads:
            self._reads[direction] = self.follows_values or is_read(self.policies, direction)
        return self._reads[direction]

    @lazy
    def guards(self) -> bool:
        """Whether a rule may edit or stop an answer."""
        return any(
            bound.enforced and not isinstance(bound.decision, Pass) and any(on == "response" for on, _ in bound.rule.on)
            for bound in self.rules
        )

    def edit(self, channel: Channel, finding: Finding) -> Edit | None:
        """Returns the edit of the span of a finding. If several rules edit it, the edit shows least of the value and
        restores it in the fewest places."""
        edits = [
            bound.decision
            for bound in self.rules_using(channel, finding.check)
            if isinstance(bound.decision, Edit) and bound.enforced and name_in(bound, finding) in bound.names_in_when
        ]
        if len(edits) < 2:
            return edits[0] if edits else None
        operator = strictest([edit.operators.of(finding.label) for edit in edits])
        # False comes first: a rule that restores nothing wins.
        strict = min(edits, key=lambda edit: edit.restore)
        restoration = reduce(and_, (edit.restoration for edit in edits))
        return Edit(strict.rule, strict.restore, Operators(operator), restoration)

    def holds_back(self, judges: Callable[[Check], bool]) -> bool:
        """Whether a rule needs the whole answer before any of it is released: a rule that may retry, or that blocks an
        answer which a check judges as a whole. `judges`: whether a check that needs a schema has a schema in this
        exchange."""
        holding = self._holding
        return bool(holding) and any(not check.traits.needs_form or judges(check) for check in holding)

    @lazy
    def _holding(self) -> tuple[Check, ...]:
        """The checks for which a rule holds an answer back."""
        return tuple(
            check
            for bound in self.rules
            if bound.enforced and any(place[0] == "response" for place in bound.rule.on)
            for check in self._checks_of(bound)
            if (check.traits.needs_masked or not bound.rule.early)
            and (
                isinstance(bound.decision, Retry)
                or (isinstance(bound.decision, (Stop, Confirm)) and check.traits.judges_whole)
            )
        )

    @lazy
    def retries(self) -> bool:
        """Whether a rule may request another answer."""
        return any(isinstance(bound.decision, Retry) and bound.enforced for bound in self.rules)

    @lazy
    def notes_calls(self) -> bool:
        """Whether it must be known which call of a tool a text belongs to."""
        return self.needs_call or self.confirms

    @lazy
    def confirms(self) -> bool:
        """Whether a rule asks a person about calls of tools."""
        return any(isinstance(bound.decision, Confirm) and bound.enforced for bound in self.rules)

    @lazy
    def judging(self) -> tuple[Check, ...]:
        """Returns the checks that need a schema."""
        checks = {check.name: check for bound in self.rules for check in self._checks_of(bound)}
        return tuple(check for _, check in sorted(checks.items()) if check.traits.needs_form)

    @lazy
    def needs_sources(self) -> bool:
        """Whether a check compares answers with the retrieved texts of the request."""
        return any(check.traits.needs_sources for bound in self.rules for check in self._checks_of(bound))

    @lazy
    def follows_values(self) -> bool:
        """Whether a check asks where the arguments of a call came from, so that all texts are read and remembered."""
        return any(
            check.traits.needs_sources and check.traits.needs_call
            for bound in self.rules
            for check in self._checks_of(bound)
        )

    @lazy
    def needs_call(self) -> bool:
        """Whether a check reads calls of tools."""
        return any(check.traits.needs_call for bound in self.rules for check in self._checks_of(bound))

    @lazy
    def needs_definition(self) -> bool:
        """Whether a check judges definitions of tools."""
        return any(check.traits.needs_definition for bound in self.rules for check in self._checks_of(bound))

    @lazy
    def needs_seen_tools(self) -> bool:
        """Whether a check compares definitions of tools with what was first seen of them."""
        return any(check.traits.needs_seen_tools for bound in self.rules for check in self._checks_of(bound))

    @lazy
    def needs_tools(self) -> bool:
        """Whether calls or definitions of tools must be known."""
        return self.notes_calls or self.needs_definition

    @lazy
    def mends(self) -> bool:
        """Whether a check may offer a repaired text of the model."""
        return any(check.traits.offers_repairs for check in self.judging)

    @lazy
    def restores(self) -> bool:
        """Whether a rule replaces values that may come back in the answer."""
        return any(
            isinstance(bound.decision, Edit) and bound.decision.restore and bound.enforced for bound in self.rules
        )

    def _checks_of(self, bound: BoundRule) -> list[Check]:
        checks = (self.checks.get((bound.policy.name, name)) for name in bound.names.values())
        return [check for check in checks if check]

    @lazy
    def refuses_unmapped(self) -> bool:
        return any(policy.unmapped == "refuse" and policy.mode == "enforce" for policy in self.policies)

    @lazy
    def refuses_opaque(self) -> frozenset[str]:
        """Returns the kinds of opaque content that a policy refuses."""
        return frozenset(kind for policy in self.policies for kind in policy.opaque if policy.mode == "enforce")

    @lazy
    def refuses_token_ids(self) -> bool:
        """Whether a policy refuses integers that stand for a text."""
        return any(policy.mode == "enforce" and policy.token_ids != "pass" for policy in self.policies)  # noqa: S105 - no password

    @lazy
    def digests(self) -> Mapping[str, str]:
        """The digest of every check, by its name."""
        return dict(sorted({check.name: check.digest for check in self.checks.values()}.items()))

    @lazy
    def keeping(self) -> Keeping:
        return keeping_of(self.policies)

    @lazy
    def intent(self) -> bool:
        """Whether the log records the intent of the exchange before the request goes upstream: if any policy demands
        it, or if no policy applies."""
        return not self.policies or any(policy.intent == "on" for policy in self.policies)


def is_read(policies: Iterable[Policy], direction: Direction, kind: Kind | None = None) -> bool:
    """Whether texts of this direction are read where all these policies apply. `kind`: whether a rule reads those of a kind."""
    return any(
        (kind is None and policy.mode == "enforce" and (policy.unmapped == "refuse" or policy.opaque))
        or any(
            rule.when.names() - {CHECK_ERROR}
            and any(place[0] == direction and kind in (None, place[1]) for place in rule.on)
            for rule in policy.rules
        )
        for policy in policies
    )


def is_parallel(check: Check) -> bool:
    """Whether a check can judge a request that was sent already: the record masks none of its findings, and it reads
    texts as they are."""
    traits = check.traits
    return not (
        traits.is_sensitive
        or traits.is_raw
        or traits.needs_form
        or traits.needs_call
        or traits.needs_definition
        or traits.partner_of
    )


def name_in(bound: BoundRule, finding: Finding) -> str:
    """Returns the name of the finding in a rule that uses its check."""
    return CHECK_ERROR if finding.label == CHECK_ERROR else bound.names[finding.check]


@dataclass(frozen=True)
class PolicySet:
    """A folder of policies with their checks. `digest` identifies the files. `difficulty`: the model of difficulty, if a policy
    names it."""

    policies: tuple[Policy, ...]
    checks: Mapping[tuple[str, str], Check]
    digest: str
    difficulty: RequestFeatures | None = None
    _bound: dict[Selection, BoundRules] = field(default_factory=dict)

    @lazy
    def formats(self) -> Formats:
        """The wire formats: those that are installed, and those that the policies declare."""
        declared = [DeclaredCodec(declaration) for policy in self.policies for declaration in policy.formats]
        return installed().with_more(declared, "a policy")

    @lazy
    def names(self) -> frozenset[str]:
        """Returns the names of the policies, without tenants."""
        return frozenset(policy.file for policy in self.policies)

    @lazy
    def section_names(self) -> frozenset[str]:
        """Returns the names of the sections of gateway tasks that a policy has."""
        return frozenset(name for policy in self.policies for name in policy.sections)

    @lazy
    def asks_models(self) -> bool:
        """Whether a check or a judge asks a model at an upstream."""
        return JUDGE.name in self.section_names or any(check.traits.needs_masked for check in self.checks.values())

    @lazy
    def headers(self) -> frozenset[str]:
        """Returns the names of the headers that a policy reads."""
        return frozenset(name for policy in self.policies for name in policy.headers)

    @lazy
    def asks_body(self) -> bool:
        """Whether a condition reads the body of a request."""
        return any(policy.match.when or policy.match.models is not None for policy in self.policies)

    @lazy
    def routed(self) -> tuple[str, ...]:
        """Returns the names of all upstreams that a policy routes to; an empty name is the request's own upstream."""
        routes = (route for policy in self.policies if (route := ROUTE.of(policy.sections)) is not None)
        return tuple(sorted({place.upstream for route in routes for place in route.every}))

    def may_apply(self, policy: Policy, *, to_tools: bool) -> bool:
        """Whether a policy can apply to a request. `to_tools`: whether requests to servers of tools come, beside those to
        models."""
        codecs = (codec for codec in self.formats.codecs if to_tools or codec.contract.serves_models)
        return probe(policy.match, [route for codec in codecs for route in codec.routes]).holds is not False

    @lazy
    def _shares(self) -> tuple[tuple[int, ...], ...]:
        return tuple(rollout.shares(policy.rules, policy.share) for policy in self.policies)

    @lazy
    def unconditional(self) -> BoundRules | None:
        """The rules for every request, if no policy has a condition or a share; otherwise `None`."""
        if any(policy.match.digest for policy in self.policies) or any(self._shares):
            return None
        return self.bind("", "", "")

    def bind(
        self,
        route: str,
        model: str,
        tenant: str | None,
        conversation: str = "",
        about: About | None = None,
        known: Mapping[str, MatchVerdict] | None = None,
        demanded: Collection[str] = (),
    ) -> BoundRules:
        """Returns the rules of the policies whose `match` holds or cannot be evaluated: a further policy can only make
        a decision stronger. A policy that extends others replaces them. A rule whose share excludes the conversation
        is in shadow mode.

        `about`: all facts of the request, if more than the first three are known. `known`: recorded verdicts, by
        `Match.digest`. `demanded`: names of policies that apply whatever their `match`.
        """
        about = about or About(route, model, tenant)
        key = select(self.policies, self._shares, about, conversation, known or {}, demanded)
        if key not in self._bound:
            if len(self._bound) >= MOST_BOUND:
                self._bound.clear()
            self._bound[key] = self._combine(key)
        return self._bound[key]

    def _combine(self, key: Selection) -> BoundRules:
        applying = [
            (policy, left_out)
            for policy, (_, left_out) in zip(self.policies, key, strict=True)
            if left_out != NOT_APPLYING
        ]
        replaced = frozenset(name for policy, _ in applying for name in policy.stands_for)
        remaining = [(policy, left_out) for policy, left_out in applying if policy.name not in replaced]
        rules = tuple(
            self._rule(policy, rule if rule.share is None or rule.share > left_out else replace(rule, mode="shadow"))
            for policy, left_out in remaining
            for rule in policy.rules
        )
        # Of equally strong decisions the most severe wins. Names break ties, so that the order of files and rules is
        # irrelevant.
        rules = tuple(sorted(rules, key=_precedence))
        verdicts = ((policy.match.digest, verdict) for policy, (verdict, _) in zip(self.policies, key, strict=True))
        matched = {digest: verdict for digest, verdict in verdicts if digest}
        is_enforced = {
            policy.name: policy.mode == "enforce" and (policy.share is None or policy.share > left_out)
            for policy, left_out in remaining
        }
        fields = {policy.name: (policy.fields, is_enforced[policy.name]) for policy, _ in remaining}
        policies = tuple(policy for policy, _ in remaining)
        sections: dict[str, tuple[BoundSection[Any], ...]] = {}
        for policy in sorted(policies, key=lambda policy: policy.name):
            for section, value in policy.sections.items():
                bound = BoundSection(policy.name, value, is_enforced[policy.name])
                sections[section] = (*sections.get(section, ()), bound)
        return BoundRules(policies, rules, self.checks, matched, bound_fields(fields), sections)

    def _rule(self, policy: Policy, rule: Rule) -> BoundRule:
        # a rule that names `check_error` alone uses every check of the file
        used = rule.when.names() if rule.when.names() - {CHECK_ERROR} else policy.checks
        names = {self.checks[policy.name, name].name: name for name in used if name != CHECK_ERROR}
        enforced, key = rule.mode == "enforce", (policy.name, rule.id)
        return BoundRule(policy, rule, names, decide(rule), rule.when.names(), enforced, key)
