"""Runs the tests of all policies, each against its own policy only, and lists the rules that no test covers.

In: policies, a function that reads a file from their folder, a clock. Out: a result for each test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from guardproxy.audit import Record, read_record
from guardproxy.errors import ErrorCode, RecordError
from guardproxy.library import using
from guardproxy.policy import PolicySet
from guardproxy.policy.values import LogLine, Match, Policy, PolicyTest, RequestFacts, Texts
from guardproxy.policytest.mismatches import Mismatch, disagreement, mismatches, no_match_message
from guardproxy.policytest.playing import SceneResult, play_scene, replay_result
from guardproxy.policytest.refusing import limit_verdict, refusal_mismatches
from guardproxy.policytest.scan import scan_told
from guardproxy.policytest.scenes import plays
from guardproxy.replay import rerun


@dataclass(frozen=True, slots=True)
class CaseResult:
    """The result of a test. `mismatches`: the expectations that the result does not meet. `rules`: the rules that
    held, with shadow rules. `plays`: how often the scene was played. `skipped`: why the test did not run, or empty."""

    policy: Policy
    test: PolicyTest
    mismatches: tuple[Mismatch, ...]
    rules: frozenset[str] = frozenset()
    plays: int = 0
    seconds: float = 0.0
    skipped: str = ""

    @property
    def name(self) -> str:
        return f"{self.policy.name}: {self.test.name}"


def run_tests(
    policies: PolicySet,
    read: Callable[[str], bytes],
    clock: Callable[[], float] = lambda: 0.0,
    only: str = "*",
    *,
    left_out: Sequence[str] = (),
) -> Iterator[CaseResult]:
    """Yields results of the tests whose name, or `policy: name`, matches the pattern `only`. `left_out`: types of
    checks that are not available; a test that expects a finding of such a check is skipped."""
    for policy in policies.policies:
        for test in policy.tests:
            if fnmatchcase(test.name, only) or fnmatchcase(f"{policy.name}: {test.name}", only):
                if needed := _needs(policy, test, left_out):
                    yield CaseResult(policy, test, (), skipped=f"it needs `{needed}`")
                    continue
                began = clock()
                result = _run(policies, policy, test, read)
                yield replace(result, seconds=clock() - began)


def untested(policies: Iterable[Policy], results: Sequence[CaseResult]) -> list[tuple[Policy, str]]:
    """Returns the rules that hold in no test, including the tests of policies that the policy extends."""
    exercised = {(result.policy.name, rule) for result in results for rule in result.rules}
    return [
        (policy, rule.id)
        for policy in policies
        if not policy.tenant
        for rule in policy.rules
        if not any((name, rule.id) in exercised for name in (policy.name, *policy.stands_for))
    ]


def _needs(policy: Policy, test: PolicyTest, left_out: Sequence[str]) -> str:
    """Returns the name of an unavailable check that the test needs; empty if the test can run."""
    expected = test.expected
    rules = {expected.rule, *(expected.rules or ()), *(expected.shadow or ())}
    names = {name for rule in policy.rules if rule.id in rules for name in rule.when.names()}
    names |= {find.check for find in expected.finds or ()}
    return min((names & using(policy, left_out)) - test.judged.keys(), default="")


def by_itself(policies: PolicySet, policy: Policy, facts: RequestFacts) -> PolicySet:
    """Returns the set that a test of a policy runs against: that policy alone, with the overrides of tenants if its `match`
    counts."""
    own = tuple(other for other in policies.policies if other.file == policy.file)
    return replace(policies, policies=own if facts.applies else (replace(policy, match=Match()),), _bound={})


def _run(policies: PolicySet, policy: Policy, test: PolicyTest, read: Callable[[str], bytes]) -> CaseResult:
    scene, facts = test.scene, test.facts
    alone = by_itself(policies, policy, facts)
    if isinstance(scene, LogLine):
        record = _record(scene, read)
        again = record if isinstance(record, str) else rerun(record, alone)
        if isinstance(again, str):
            return CaseResult(policy, test, (Mismatch(f"{scene.path}#{scene.line}: {again}"),))
        result = replay_result(again)
        return CaseResult(policy, test, _mismatches(test, result), _rules([result]), 1)
    if (wanted := test.expected.refused) is not None:
        verdict = limit_verdict(alone, scene, facts, test.times, test.used)
        unmet = tuple(refusal_mismatches(wanted, verdict, test.times))
        if unmet or wanted:
            return CaseResult(policy, test, unmet, plays=1)
    ways = plays(scene, test.chunkings)
    asking = {name: policies.checks[policy.name, name] for name in test.judged}
    if deaf := [name for name, check in asking.items() if not check.traits.needs_masked]:
        return CaseResult(policy, test, (Mismatch(f"`judged`: the check `{deaf[0]}` asks no model"),))
    answers = {check.name: test.judged[name] for name, check in asking.items()}
    results = [play_scene(alone, scene, facts, cuts, scan_told(answers)) for cuts in ways]
    failures = list(_mismatches(test, results[0]))
    for number, (cuts, result) in enumerate(zip(ways, results, strict=True)):
        if failures:  # mismatches at other cuts would repeat these
            break
        first = ways.index(replace(cuts, seed=0)) if cuts.seed else 0
        alike = ways[first].streamed == cuts.streamed
        differs = list(disagreement(results[first], result, str(cuts), alike=alike)) if number else []
        failures = differs or [
            replace(mismatch, message=f"{cuts}: {mismatch.message}") for mismatch in _mismatches(test, result)
        ]
    return CaseResult(policy, test, tuple(failures), _rules(results), len(results))


def _mismatches(test: PolicyTest, result: SceneResult) -> tuple[Mismatch, ...]:
    unmet = tuple(mismatches(test.expected, result))
    if unmet and not result.applies:
        return (Mismatch(no_match_message(test.facts)), *unmet)
    if unmet and result.error == ErrorCode.MODEL_NOT_ALLOWED and isinstance(test.scene, Texts) and not test.facts.model:
        return (Mismatch("the policy allows certain models, and the test names none: add `model: NAME` to it"), *unmet)
    return unmet


def _rules(results: Iterable[SceneResult]) -> frozenset[str]:
    return frozenset(rule for result in results for rule in (*result.rules, *result.shadow))


def _record(scene: LogLine, read: Callable[[str], bytes]) -> Record | str:
    try:
        lines = read(scene.path).splitlines(keepends=True)
    except OSError as error:
        return f"cannot read the file: {(error.strerror or '').lower()}"
    if scene.line > len(lines):
        return f"the file has {len(lines)} lines"
    try:
        return read_record(lines[scene.line - 1])
    except RecordError as error:
        return str(error)
