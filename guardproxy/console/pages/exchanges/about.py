"""What a record says about an exchange beside its texts: who, where it went, what it cost, what else was decided.

In: a record, and what the log says about it later. Out: groups of names and values in words, for a page.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from guardproxy.audit import AnyEntry, Record
from guardproxy.audit.record import (
    RecordedAnswer,
    RecordedAttempt,
    RecordedCache,
    RecordedPlan,
    RecordedRoute,
    RecordedSide,
)
from guardproxy.findings import ModelVerdict
from guardproxy.policy.usage import MICRO
from guardproxy.policy.values import VERDICTS

MOST = 200
"""The number of rows of a group. A record may have any number of them."""


_FOLDED = ("Sizes in bytes", "Digests")


class Fact(NamedTuple):
    """A name and a value. `filter`: the member of a filter that finds the exchanges with this value; empty for none. `wanted`:
    the value of that member; empty for `value`."""

    name: str
    value: str
    filter: str = ""
    wanted: str = ""


class FactGroup(NamedTuple):
    """Facts that belong together. `more`: how many were left out."""

    title: str
    facts: tuple[Fact, ...]
    more: int = 0

    @property
    def is_folded(self) -> bool:
        """Whether few readers need it."""
        return self.title in _FOLDED


class AttemptRow(NamedTuple):
    """An answer of the model. `upstream` and `model`: empty for those of the request."""

    number: int
    upstream: str
    model: str
    decision: str
    rule: str
    status: int | None
    began_ms: float
    ended_ms: float
    tokens: int
    output_tokens: int
    is_counted: bool
    is_cut: bool
    cause: str
    faults: tuple[str, ...]


class LaterRemark(NamedTuple):
    """What the log says later about an exchange. `kind`: of the entry; `words`: what it says; `by`: who."""

    at: float
    kind: str
    words: str
    by: str
    id: str


def groups(record: Record) -> tuple[FactGroup, ...]:
    """Returns all groups that have a fact."""
    made = (
        _group("Request", _request(record)),
        _group("Went to", _went(record)),
        _group("Cost and tokens", _cost(record)),
        _group("Decided beside the rules", _decided(record)),
        _group("Models that were asked", map(_asked, record.verdicts)),
        _group("Values and their places", _values(record)),
        _group("Not inspected", _unread(record)),
        _group("Sizes in bytes", (Fact(name, f"{size:,}") for name, size in record.sizes.items())),
        _group("Digests", _digests(record)),
    )
    return tuple(group for group in made if group.facts)


def _group(title: str, facts: Iterator[Fact]) -> FactGroup:
    every = tuple(fact for fact in facts if fact.value)
    return FactGroup(title, every[:MOST], max(0, len(every) - MOST))


def _request(record: Record) -> Iterator[Fact]:
    yield Fact("route", record.route, "route")
    yield Fact("path", record.path)
    yield Fact("format", record.codec or "none: the route was passed through unread")
    yield Fact("model", record.model, "model")
    yield Fact("stream", "yes" if record.stream else "no")
    yield Fact("tenant", record.tenant_name or record.tenant or "no credential", "tenant" if record.tenant else "")
    if record.tenant_name:
        yield Fact("credential", record.tenant)
    yield Fact("client", record.client, "client")
    yield Fact("conversation", record.conversation)
    yield Fact("language", record.language)
    yield Fact("demanded policies", ", ".join(record.demanded))
    yield Fact("texts", _kept(record))
    yield Fact("written by", record.engine)
    if record.feedback:
        yield Fact("feedback about", record.feedback.exchange, "id_prefix")


def _kept(record: Record) -> str:
    if record.sealed is not None:
        return f"sealed with the data key {record.sealed.key}"
    sides: Sequence[RecordedSide] = (record.request, *record.answers)
    texts = [text for side in sides for text in side.texts]
    if not texts:
        return "none: no check read a text"
    kept = sum(text.text is not None for text in texts)
    return "not kept" if not kept else "kept, values masked" if kept == len(texts) else f"{kept} of {len(texts)} kept"


def _went(record: Record) -> Iterator[Fact]:
    if record.plan is not None:
        yield Fact("plan", _plan(record.plan))
    for route in record.routing:
        yield Fact(f"route of {route.policy}{_quiet(route.mode)}", _route(route), "policy", route.policy)
    if record.cache is not None:
        yield Fact("cache", _cache(record.cache))
        if record.cache.source:
            yield Fact("the answer is of", record.cache.source, "id_prefix")
    yield Fact("the answer's model", record.response.model)
    if record.response.status is not None:
        how = "streamed" if record.response.streamed else "whole"
        finish = f", finished: {', '.join(record.response.finish)}" if record.response.finish else ""
        yield Fact("the answer", f"status {record.response.status}, {how}{finish}")
    yield Fact("withheld fields", ", ".join(record.response.withheld))


def _plan(plan: RecordedPlan) -> str:
    parts = [f"upstream {plan.upstream}" if plan.upstream else "", f"model {plan.model}" if plan.model else ""]
    parts += [f"{name} = {value}" for name, value in plan.parameters.items()]
    where = ", ".join(filter(None, parts)) or "unchanged"
    return f"{where}, because {plan.reason}" if plan.reason else where


def _route(route: RecordedRoute) -> str:
    place = f"{route.upstream or 'its own upstream'}, model {route.model or 'as asked'}"
    words = [place]
    if route.simple:
        words.append("a simple request")
    words += [f"{name} {value}" for name, value in route.measures.items()]
    if route.next:
        words.append(f"after failures {', '.join(route.next)}")
    if route.passed_over:
        words.append(f"passed over {', '.join(route.passed_over)}")
    if route.saved is not None:
        words.append(f"saved {route.saved:g} (estimate)")
    return "; ".join(words)


def _cache(cache: RecordedCache) -> str:
    words = [f"{cache.result}, {cache.match}{_quiet(cache.mode)}"]
    if cache.result == "hit":
        words.append(f"{cache.age_s:g} s old")
    if cache.likeness is not None:
        likeness = cache.likeness
        words.append(f"compared by models: {likeness.result}, cosine {likeness.similarity:g}")
        if likeness.entails:
            scores = ", ".join(f"{score:g}" for score in likeness.entails)
            words.append(f"follows {scores} (from {likeness.point:g} on the same)")
    return "; ".join(words)


def money(micro: int | None) -> str:
    """Returns an amount in the unit of prices; empty if there is no price."""
    return "" if micro is None else f"{micro / MICRO:.6f}".rstrip("0").rstrip(".")


def _cost(record: Record) -> Iterator[Fact]:
    if record.cost is not None:
        yield Fact("cost", f"{money(record.cost)} (unit of prices)")
    for name, value in _numbers(record.usage):
        yield Fact(name, value)
    if record.saved is not None:
        saved = record.saved
        yield Fact("saved by early stops", f"{saved.tokens} tokens, {saved.seconds:g} s, {saved.money:g} (estimates)")
    yield Fact("scans", str(record.scans))


def _numbers(members: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Yields the values of an object and of the objects in it, with their paths. The depth is that of the recorded JSON."""
    stack = [(before, members)]
    while stack:
        path, node = stack.pop()
        for name, value in node.items():
            place = f"{path}.{name}" if path else str(name)
            if isinstance(value, Mapping):
                stack.append((place, value))
            elif value is not None:
                yield place, str(value)


def _decided(record: Record) -> Iterator[Fact]:
    if record.error is not None:
        where = f" at {record.error.field}" if record.error.field else ""
        cause = f" ({record.error.cause})" if record.error.cause else ""
        yield Fact(
            "error", f"{record.error.code}{where}{cause} {record.error.message}".rstrip(), "outcome", record.error.code
        )
    for refusal in record.refusals:
        where = f" of policy {refusal.policy}" if refusal.policy else ""
        yield Fact(
            f"refused{_quiet(refusal.mode)}", f"{refusal.duty} {refusal.name}".rstrip() + f"{where}: {refusal.code}"
        )
    if record.no_capacity is not None:
        yield Fact("no capacity", f"{record.no_capacity.check}: {record.no_capacity.reason}")
    for change in record.fields:
        yield Fact(f"field{_quiet(change.mode)}", f"{change.action} {change.field} by policy {change.policy}")
    for prompt in record.prompts:
        done = ", ".join(prompt.parts) or "not possible"
        marked = f", {prompt.texts} texts marked" if prompt.texts else ""
        yield Fact(f"prompt{_quiet(prompt.mode)}", f"{done} by policy {prompt.policy}{marked}")
    for decision in record.decisions:
        if decision.confirmation:
            by = f"approved by {decision.approved_by}" if decision.approved_by else "not approved"
            yield Fact("a person was asked", f"{decision.confirmation}: {by}")
    for duty in record.duties:
        yield Fact(f"store's answers to {duty.duty}", ", ".join(map(str, duty.answers)))
    for judge in record.judges:
        yield Fact("judge", f"of policy {judge.policy}{_quiet(judge.mode)}")


def _asked(verdict: ModelVerdict) -> Fact:
    said = verdict.answer or f"no verdict, {verdict.failure}"
    tokens = f", {verdict.tokens[0]} + {verdict.tokens[1]} tokens" if verdict.tokens else ""
    took = ", known before" if verdict.known else f", {verdict.ms:g} ms" if verdict.ms else ""
    cost = f", {money(verdict.cost)}" if verdict.cost is not None else ""
    attempt = f" of answer {verdict.attempt + 1}" if verdict.direction == "response" else ""
    where = f"{verdict.path}{attempt}"
    return Fact(verdict.check, f"{said} about {where} ({verdict.model} at {verdict.upstream}{tokens}{took}{cost})")


def _values(record: Record) -> Iterator[Fact]:
    for places in record.restore or ():
        kinds = "every text" if places.kinds is None else ", ".join(places.kinds)
        yield Fact("values may come back in", f"{kinds} (in URLs of: {', '.join(places.urls) or 'none'})")
    for values in record.earlier:
        yield Fact("values of earlier turns", f"{len(values.causes)} causes, {len(values.placeholders)} in the answer")
    for label, count in record.altered.items():
        yield Fact("placeholders that the model changed", f"{label}: {count}")
    for use, entries in record.recalled.items():
        yield Fact(f"recalled for {use}", f"{len(entries)} entries")
    if record.unrecalled:
        yield Fact("earlier exchanges", "the store was away, and the exchange went on without it")
    if record.signs:
        yield Fact("keep-alives while held", str(record.signs))


def _unread(record: Record) -> Iterator[Fact]:
    sides: list[tuple[str, RecordedSide]] = [("request", record.request)]
    sides += [(f"answer {number + 1}", answer) for number, answer in enumerate(record.answers)]
    for name, side in sides:
        kinds = side.uninspected_kinds or ("",) * len(side.uninspected)
        for place, kind in zip(side.uninspected, (*kinds, *("",) * len(side.uninspected)), strict=False):
            where = "everything" if place == "*" else place
            yield Fact(name, f"{where} ({kind})" if kind not in ("", "*") else where)
        for place in side.unmapped:
            yield Fact(f"{name}, unknown field", place)


def _digests(record: Record) -> Iterator[Fact]:
    yield Fact("policies", record.policies)
    for name, digest in record.checks.items():
        yield Fact(f"check {name}", digest)
    for name, seal in record.seals.items():
        yield Fact(f"body {name}", seal)
    for condition, result in record.matched.items():
        yield Fact(f"condition {condition}", result)


def _quiet(mode: str) -> str:
    return "" if mode == "enforce" else " (shadow)"


def receipt_facts(record: Record) -> tuple[Fact, ...]:
    """Returns what the receipt of an exchange says beside the numbers of its texts. It names no rule."""
    enforced = [decision.action for decision in record.decisions if decision.mode == "enforce"]
    known = [action for action in enforced if action in VERDICTS]
    facts = [
        Fact("id", record.id),
        Fact("policies", record.policies),
        Fact("outcome", record.outcome),
        Fact("decision", max(known, key=VERDICTS.index, default=VERDICTS[0])),
    ]
    if len(record.attempts) > 1:
        facts.append(Fact("attempts", str(len(record.attempts))))
    if record.shadow:
        facts.append(Fact("shadow", "a rule in shadow mode held"))
    return tuple(facts)


def attempt_rows(record: Record) -> tuple[AttemptRow, ...]:
    """Returns a row for each answer of the model, the only one included."""
    if not record.attempts:
        answer = record.response
        if answer.status is None:
            return ()
        began = record.timings.get("request_scanned", 0.0)
        ended = record.timings.get("finished", began)
        row = AttemptRow(0, "", "", record.outcome, "", answer.status, began, ended, 0, 0, False, False, "", ())
        return (row,)
    answers: list[RecordedAnswer | None] = [attempt.response for attempt in record.attempts[:-1]]
    pairs = zip(record.attempts, [*answers, record.response], strict=True)
    return tuple(_attempt(number, attempt, answer) for number, (attempt, answer) in enumerate(pairs))


def _attempt(number: int, attempt: RecordedAttempt, answer: RecordedAnswer | None) -> AttemptRow:
    return AttemptRow(
        number=number,
        upstream=attempt.upstream,
        model=attempt.model,
        decision=attempt.decision,
        rule=attempt.rule,
        status=answer.status if answer else None,
        began_ms=attempt.began,
        ended_ms=attempt.ended,
        tokens=attempt.tokens,
        output_tokens=attempt.output_tokens,
        is_counted=attempt.counted,
        is_cut=attempt.cut,
        cause=attempt.cause,
        faults=tuple(
            f"{fault.place or 'the answer'}: expected {fault.expected}, found {fault.found}" for fault in attempt.errors
        ),
    )


def remarks(entries: Sequence[AnyEntry]) -> tuple[LaterRemark, ...]:
    """Returns what the log says later about an exchange, in words."""
    return tuple(_remark(entry) for entry in sorted(entries, key=lambda entry: entry.at))


def _remark(entry: AnyEntry) -> LaterRemark:
    kind = str(entry.__struct_config__.tag)
    by = str(getattr(entry, "by", ""))
    name = str(getattr(entry, "id", ""))
    if isinstance(entry, Record):
        given = entry.feedback
        words = (
            []
            if given is None
            else [given.thumbs and f"thumbs {given.thumbs}", given.score is not None and f"score {given.score:g}"]
        )
        spans = f"{len(given.spans)} parts of the answer" if given and given.spans else ""
        said = ", ".join([*map(str, filter(None, words)), *filter(None, [spans])])
        return LaterRemark(
            entry.at, "feedback", said or "no opinion", entry.client or entry.tenant_name or entry.tenant, name
        )
    return LaterRemark(entry.at, kind, _said(entry), by, name)


def _said(entry: AnyEntry) -> str:
    """Returns the members of an entry in words. They are read by name, so that a kind of entry that is new is shown too."""
    known = {"v", "at", "id", "engine", "by", "sealed", "tenant", "route", "policies", "seals"}
    members = {name: value for name, value in entry.document().items() if name not in known and value not in ("", None)}
    members.pop("kind", None)
    return ", ".join(f"{name} {_short(value)}" for name, value in members.items())


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name} {_short(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return " to ".join(map(str, value)) if len(value) == 2 else ", ".join(map(str, value))
    return str(value)
