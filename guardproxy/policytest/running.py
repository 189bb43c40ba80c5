"""Runs the tests of all policies, each against its own policy only, and lists the rules that no test exercises.

In: policies, a function that reads a file beside them, a clock. Out: a result for each test. Kept: nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from guardproxy.audit import Record, read_record
from guardproxy.errors import RecordError
from guardproxy.library import using
from guardproxy.policy import LogLine, Match, Policy, PolicySet, PolicyTest
from guardproxy.policytest.judging import Mismatch, disagreement, mismatches, unmet
from guardproxy.policytest.playing import SceneResult, play_scene, replayed
from guardproxy.policytest.scenes import plays
from guardproxy.replay import rerun


@dataclass(frozen=True, slots=True)
class CaseResult:
    """The result of a test. `mismatches`: the expectations that were not met; `rules`: the rules that held, shadow rules
    included; `plays`: how often the scene was played; `skipped`: why the test did not run, empty if it ran."""

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
    """Runs the tests whose name, or `policy: name`, matches the pattern `only`. `left_out`: kinds of checks that are not
    available; a test is skipped if it expects a finding of such a check."""
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
    """The rules that hold in no test, tests of the policies that a policy extends included."""
    exercised = {(result.policy.name, rule) for result in results for rule in result.rules}
    return [
        (policy, rule.id)
        for policy in policies
        if not policy.tenant
        for rule in policy.rules
        if not any((name, rule.id) in exercised for name in (policy.name, *policy.stands_for))
    ]


def _needs(policy: Policy, test: PolicyTest, left_out: Sequence[str]) -> str:
    """The name of a check that the test needs and that is not available; empty if the test can run."""
    expected = test.expected
    rules = {expected.rule, *(expected.rules or ()), *(expected.shadow or ())}
    names = {name for rule in policy.rules if rule.id in rules for name in rule.when.names()}
    names |= {find.check for find in expected.finds or ()}
    return min(names & using(policy, left_out), default="")


def _run(policies: PolicySet, policy: Policy, test: PolicyTest, read: Callable[[str], bytes]) -> CaseResult:
    scene, facts = test.scene, test.facts
    own = tuple(other for other in policies.policies if other.file == policy.file)  # with its tenants' overrides
    alone = replace(policies, policies=own if facts.applies else (replace(policy, match=Match()),), _bound={})
    if isinstance(scene, LogLine):
        record = _record(scene, read)
        again = record if isinstance(record, str) else rerun(record, alone)
        if isinstance(again, str):
            return CaseResult(policy, test, (Mismatch(f"{scene.path}#{scene.line}: {again}"),))
        result = replayed(again)
        return CaseResult(policy, test, _judged(test, result), _rules([result]), 1)
    ways = plays(scene, test.chunkings)
    results = [play_scene(alone, scene, facts, cuts) for cuts in ways]
    found = list(_judged(test, results[0]))
    for number, (cuts, result) in enumerate(zip(ways, results, strict=True)):
        if found:  # the mismatches at further cuts would repeat these
            break
        first = ways.index(replace(cuts, seed=0)) if cuts.seed else 0
        alike = ways[first].streamed == cuts.streamed
        differs = list(disagreement(results[first], result, str(cuts), alike=alike)) if number else []
        found = differs or [
            replace(mismatch, message=f"{cuts}: {mismatch.message}") for mismatch in _judged(test, result)
        ]
    return CaseResult(policy, test, tuple(found), _rules(results), len(results))


def _judged(test: PolicyTest, result: SceneResult) -> tuple[Mismatch, ...]:
    found = tuple(mismatches(test.expected, result))
    return (Mismatch(unmet(test.facts)), *found) if found and not result.applies else found


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
