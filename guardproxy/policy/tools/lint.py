"""Notes for reviewers on valid policies. `policy lint` prints them beside the errors.

In: a set of policies with their checks. Out: notes with file, line and column. A `warning` is probably an error; a `note` is a
cost or a gap that may be intended.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from guardproxy.checks import Check
from guardproxy.decisions import Retry
from guardproxy.events import HOLDING, MARKED
from guardproxy.findings import Direction, Kind
from guardproxy.policy.conditions.condition_probe import probe
from guardproxy.policy.conditions.expression import CHECK_ERROR
from guardproxy.policy.conditions.matching import is_route, may_share_a_model
from guardproxy.policy.deciding.evaluate import PolicySet, is_parallel, is_read
from guardproxy.policy.file.conflicts import are_apart
from guardproxy.policy.sections import DOCUMENTS, PROMPT, ROUTE, SECTIONS
from guardproxy.policy.tools.coverage_table import carried, coverage
from guardproxy.policy.values.acting import checks_used
from guardproxy.policy.values.document import Policy, Rule
from guardproxy.policy.yaml.reading import did_you_mean, join
from guardproxy.policy.yaml.tree import FilePlace
from guardproxy.wire import Codec, FieldPath

# Facts that a client cannot choose freely: they follow from its credential and from the purpose of the request.
_FIXED = frozenset(("tenant.name", "request.route", "request.method", "request.path"))
Weight = Literal["warning", "note"]


@dataclass(frozen=True, slots=True, order=True)
class Note:
    """A note at a place in a file. `code`: a stable identifier for programs."""

    path: str
    line: int
    column: int
    weight: Weight
    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}: {self.weight}: {self.message} [{self.code}]"


def notes(policies: PolicySet) -> list[Note]:
    """Returns all notes, sorted by file and line, without duplicates."""
    notes_of_policies = {note for policy in policies.policies for note in _notes_of(policies, policy)}
    return sorted((*notes_of_policies, *_not_scanned(policies), *_routes(policies)))


def _notes_of(policies: PolicySet, policy: Policy) -> Iterator[Note]:
    yield from _options(policies, policy)
    for rule in policy.rules:
        yield from _rule(policies, policy, rule)
    if policy.tenant:
        return
    yield from _match(policies, policy)
    yield from _client_choices(policy)
    yield from _fields(policies, policy)
    yield from _sections(policies, policy)
    yield from _documents(policies, policy)
    used = {name for rule in policy.rules for name in checks_used(policy, rule)}
    for name in sorted(policy.checks.keys() - used):
        message = f"no rule uses the check `{name}`; name it in a `when`, or remove it"
        yield _note(policy, policy.checks[name].place, "warning", "unused-check", message)
    for name, place in policy.unused:
        yield _note(policy, place, "warning", "unused-variable", f"nothing uses `${{{name}}}`")


def _note(policy: Policy, place: FilePlace, weight: Weight, code: str, message: str) -> Note:
    return Note(place.path or policy.source, place.line, place.column, weight, code, message)


def _match(policies: PolicySet, policy: Policy) -> Iterator[Note]:
    place = policy.places.get("match", policy.place)
    probed = probe(policy.match, [route for codec in policies.formats.codecs for route in codec.routes])
    if probed.holds is False:
        message = "no possible request matches: the rules of the policy never apply"
        yield _note(policy, place, "warning", "never-matches", message)
    if probed.fails and policy.match.when and policy.match.when.headers:
        name = policy.match.when.headers[0]
        message = (
            f"`when` cannot be evaluated for a request without the header `{name}`, and the policy then applies; "
            f'begin with `"{name}" in request.headers && ...`'
        )
        yield _note(policy, place, "warning", "fails-without-header", message)


def _client_choices(policy: Policy) -> Iterator[Note]:
    """Yields a note on the parts of `match` whose values the client writes, so that it can avoid the policy."""
    match = policy.match
    names = sorted(match.when.names if match.when else ())
    is_used = {"models": match.models is not None, "headers": bool(match.headers)}
    parts = [f"`{name}`" for name, used in is_used.items() if used]
    parts += [f"`{name}`" for name in names if name not in _FIXED]
    if parts:
        message = (
            f"a client chooses {' and '.join(parts)}, and can choose a value that does not match; a policy that must "
            "apply to a client should use `tenants`, which follow from its credential"
        )
        yield _note(policy, policy.places.get("match", policy.place), "note", "client-chooses", message)


def _rule(policies: PolicySet, policy: Policy, rule: Rule) -> Iterator[Note]:
    names = checks_used(policy, rule)
    checks = {name: policies.checks[policy.name, name] for name in names}
    if why := _why_never(policies, policy, rule, checks):
        message = f"`{rule.id}` can never hold: {why}"
        yield _note(policy, rule.places.get("on", rule.place), "warning", "never-fires", message)
    declared = [check.traits.labels for check in checks.values()]
    known = {label for labels in declared if labels for label in labels}
    for label in rule.operators.by_label if None not in declared else ():
        if label not in known:
            near = did_you_mean(label, sorted(known), "entity")
            message = f"no check of `{rule.id}` finds `{label}`{near}"
            yield _note(policy, rule.places.get("operators", rule.place), "warning", "unknown-label", message)
    if rule.restore and rule.restoration.hosts:
        hosts = ", ".join(sorted(rule.restoration.hosts))
        message = (
            f"`{rule.id}` restores values inside URLs of {hosts}: anyone who can read the requests or logs of these "
            "hosts, or finds an open redirect there, can read the values"
        )
        yield _note(policy, rule.places.get("restore", rule.place), "note", "restores-in-urls", message)
    if rule.retry and rule.mode == "enforce":
        yield _note(policy, rule.place, "note", "retry-cost", _cost(rule, rule.retry))
    reasons = [_why_waits(policy, rule, name, check) for name, check in checks.items()]
    if rule.parallel != "off" and reasons and all(reasons):
        message = f"the request waits for `{rule.id}` in spite of `parallel`: {'; '.join(reasons)}"
        yield _note(policy, rule.places.get("parallel", rule.place), "warning", "waits-anyway", message)


def _why_never(policies: PolicySet, policy: Policy, rule: Rule, checks: Mapping[str, Check]) -> str:
    """Returns why a rule can never hold, whatever the texts are; empty if it can. A `match` that never holds has a note of its
    own."""
    formats = [
        codec for codec in policies.formats.codecs if any(is_route(policy.match.routes, to) for to in codec.routes)
    ]
    if not formats:
        return ""
    if not checks:
        return "no check can fail, as the policy has none"
    together = _together(policies, policy)
    if all(rule.on.isdisjoint(carried(codec, together)) for codec in formats):
        return "no request or answer that the policy is for has a text of its `on`"
    seeking = {name for name, check in checks.items() if check.traits.needs_canary}
    wordless = set() if seeking and any(map(_has_canary, together)) else seeking
    blind = {
        name for name, check in checks.items() if not any(_sees(codec, rule, check, together) for codec in formats)
    }
    able = checks.keys() - wordless - blind
    if rule.when.holds({*able, CHECK_ERROR}):
        return ""
    reasons = [(blind, "cannot find anything in the texts of its `on`")]
    reasons += [
        (wordless - blind, "finds the word of `prompt: {canary: true}`, and no policy that can apply here has that")
    ]
    return " and ".join(
        f"{', '.join(f'`{name}`' for name in sorted(names))} {reason}" for names, reason in reasons if names
    )


def _has_canary(policy: Policy) -> bool:
    prompt = PROMPT.of(policy.sections)
    return prompt is not None and prompt.canary


def _sees(codec: Codec, rule: Rule, check: Check, together: Sequence[Policy]) -> bool:
    """Whether a check can find something in the texts of a rule in this wire format. `together`: policies that may apply."""
    every = carried(codec, together)
    traits, places = check.traits, every & check.traits.looks_at & rule.on
    if traits.needs_form:
        places &= codec.contract.formed()
    if traits.needs_sources and every.isdisjoint((("request", "tool_result"), ("request", "document"))):
        return False
    return bool(places)


def _together(policies: PolicySet, policy: Policy) -> list[Policy]:
    """Returns the policies that may apply to a request to which a policy applies, itself included."""
    routes = [route for codec in policies.formats.codecs for route in codec.routes]
    return [other for other in policies.policies if other is policy or not _may_not_meet(other, policy, routes)]


def _may_not_meet(first: Policy, second: Policy, routes: Sequence[str]) -> bool:
    """Whether no request with a readable name of its model has both policies."""
    return are_apart(first, second, routes) or not may_share_a_model(first.match.models, second.match.models)


def _unread(policies: PolicySet, policy: Policy, direction: Direction, kind: Kind | None) -> tuple[Weight, str] | None:
    """Returns how sure it is that no rule reads the texts of a direction, or of a kind in it, where a policy applies, in words;
    `None` if a rule always reads them."""
    together = _together(policies, policy)
    always = [other for other in together if other.match.digest in ("", policy.match.digest)]
    if is_read(always, direction, kind):
        return None
    others = [other.name for other in together if is_read([other], direction, kind)]
    return ("note", f" unless {' or '.join(f'`{name}`' for name in others)} applies too") if others else ("warning", "")


def _sections(policies: PolicySet, policy: Policy) -> Iterator[Note]:
    """Yields notes on sections that do less than they say, as no rule reads the texts that they need."""
    for key, value in policy.sections.items():
        for needed in SECTIONS[key].lacks(value):
            is_promised = policy.mode == "enforce" or needed.in_shadow
            if needed.kind is not None and any(
                _uses(policies, other, needed.kind) for other in _together(policies, policy)
            ):
                continue
            if is_promised and (unread := _unread(policies, policy, needed.direction, needed.kind)):
                weight, unless = unread
                place = policy.places.get(key, policy.place)
                yield _note(policy, place, weight, needed.code, needed.message(unless))


def _uses(policies: PolicySet, policy: Policy, kind: Kind) -> bool:
    """Whether a policy uses texts of a kind without a rule about them: it compares answers with them, or marks them."""
    prompt = PROMPT.of(policy.sections)
    names = {name for rule in policy.rules for name in checks_used(policy, rule)}
    return (prompt is not None and prompt.wrap is not None and kind in prompt.wrap.kinds) or any(
        policies.checks[policy.name, name].traits.needs_sources for name in names
    )


def _documents(policies: PolicySet, policy: Policy) -> Iterator[Note]:
    """Yields notes on documents that rules about the texts around them no longer read."""
    section = DOCUMENTS.of(policy.sections)
    if section is None or not section.apart:
        return
    place = policy.places.get(DOCUMENTS.name, policy.place)
    read = {kind: _names_on(policy, [kind]) for kind in (*MARKED, "document")}
    if hidden := sorted((read["user"] | read["system"]) - read["document"]):
        message = (
            f"who writes the marks of a document hides text from {join([f'`{name}`' for name in hidden])}; name them in a rule "
            "about `document` too, or remove `apart`"
        )
        yield _note(policy, place, "warning", "hides-from-checks", message)
    others = [
        other.name
        for other in _together(policies, policy)
        if other is not policy and _names_on(other, HOLDING) and not _is_apart(other)
    ]
    if others:
        message = f"`apart` has no effect where {' or '.join(f'`{name}`' for name in others)} applies too, without it"
        yield _note(policy, place, "note", "not-apart", message)


def _is_apart(policy: Policy) -> bool:
    section = DOCUMENTS.of(policy.sections)
    return section is not None and section.apart and policy.mode == "enforce"


def _names_on(policy: Policy, kinds: Sequence[Kind]) -> set[str]:
    """Returns the checks of rules about these kinds of texts in a request."""
    rules = [rule for rule in policy.rules if any(("request", kind) in rule.on for kind in kinds)]
    return {name for rule in rules for name in checks_used(policy, rule)}


def _why_waits(policy: Policy, rule: Rule, name: str, check: Check) -> str:
    """Returns why a request is not sent before a check has read it; empty if it is sent."""
    if not is_parallel(check):
        return f"the record hides what `{name}` finds, so the check comes first"
    texts = {place for place in rule.on if place[0] == "request"}
    for other in policy.rules:
        if other.parallel == "off" and name in other.when.names() and not texts.isdisjoint(other.on):
            return f"`{other.id}` uses `{name}` too, without `parallel`"
    return ""


def _fields(policies: PolicySet, policy: Policy) -> Iterator[Note]:
    """Yields a warning for each field that no wire format has."""
    fields, formats = policy.fields, policies.formats.codecs
    for action, text in fields.paths():
        if not any(codec.has_field(FieldPath(text)) for codec in formats):
            effect = "so it is set only where a client sends it" if action == "set" else "so check its spelling"
            message = f"no wire format knows the field `{text}`, {effect}"
            yield _note(policy, fields.places[action, text], "warning", "unknown-field", message)
    denied = sorted({name for codec in formats for name in codec.contract.denied})
    for name in sorted(fields.allow.difference(denied)):
        message = f"no wire format refuses the field `{name}` by default{did_you_mean(name, denied)}"
        yield _note(policy, fields.places["allow_fields", name], "warning", "unknown-field", message)


def _options(policies: PolicySet, policy: Policy) -> Iterator[Note]:
    for name, spec in policy.checks.items():
        for advice in policies.checks[policy.name, name].traits.advice:
            place = spec.places.get(f"{advice.key}[{advice.item}]", spec.places.get(advice.key, spec.place))
            yield _note(policy, place, "warning" if advice.serious else "note", "option", advice.message)


def _routes(policies: PolicySet) -> Iterator[Note]:
    """Yields a note for each route that another policy may decide before: the first name decides."""
    routing = sorted(
        (policy for policy in policies.policies if ROUTE.of(policy.sections) and policy.mode == "enforce"),
        key=lambda policy: policy.name,
    )
    routes = [route for codec in policies.formats.codecs for route in codec.routes]
    for number, policy in enumerate(routing):
        before = next((other for other in routing[:number] if not _may_not_meet(other, policy, routes)), None)
        if before is not None:
            always = not before.match.digest and before.share is None
            message = f"where `{before.name}` applies too, its route decides, as its name comes first" + (
                f"; it always applies, so the route of `{policy.name}` is never used" if always else ""
            )
            place = policy.places.get(ROUTE.name, policy.place)
            yield _note(policy, place, "warning" if always else "note", "routes-overlap", message)


def _not_scanned(policies: PolicySet) -> Iterator[Note]:
    """Yields a note for each direction on the kinds of texts that no check inspects."""
    rows = [row for row in coverage(policies) if not row.checks]
    if rows and policies.policies:
        first = policies.policies[0]
        for direction in ("request", "response"):
            kinds = dict.fromkeys(row.kind for row in rows if row.direction == direction)
            if kinds:
                message = (
                    f"no check inspects these texts of a {direction}: {', '.join(kinds)} (see `policy lint --coverage`)"
                )
                yield _note(first, first.place, "note", "not-scanned", message)


def _cost(rule: Rule, retry: Retry) -> str:
    answers = retry.attempts + 1 + (retry.then == "fallback")
    if rule.early:
        return f"`{rule.id}` retries only while no text of a stream was sent; a later error ends the stream"
    return (
        f"`{rule.id}` holds a streaming answer back to its end: the client sees the first text when the last of up to "
        f"{answers} answers is complete. No attempt begins after {retry.total_s:g} s, and each costs tokens; "
        "`early: true` streams the valid beginning instead"
    )
