"""All tests of all policies, each against its own policy alone; and the rules that none of them exercises.

In: policies, what reads a file beside them, what tells the time. Out: one result a test. Kept: nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from guardproxy.audit import Record, read_record
from guardproxy.errors import RecordError
from guardproxy.library import using
from guardproxy.policy import LogLine, Match, Policy, PolicySet, PolicyTest
from guardproxy.policytest.judging import Fault, disagreement, faults, unmet
from guardproxy.policytest.playing import Played, play_scene, replayed
from guardproxy.policytest.scenes import plays
from guardproxy.replay import rerun


@dataclass(frozen=True, slots=True)
class Ran:
    """One test. `faults`: what was expected and did not happen; `held`: the rules that held in it, shadow rules included;
    `plays`: how often it was played; `skipped`: why it was not."""

    policy: Policy
    test: PolicyTest
    faults: tuple[Fault, ...]
    held: frozenset[str] = frozenset()
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
) -> Iterator[Ran]:
    """The tests of every policy whose name, or `policy: name`, is like `only`. `left_out`: tests are skipped
    that expect a check which uses one of these to find something."""
    for policy in policies.policies:
        for test in policy.tests:
            if fnmatchcase(test.name, only) or fnmatchcase(f"{policy.name}: {test.name}", only):
                if needed := _needs(policy, test, left_out):
                    yield Ran(policy, test, (), skipped=f"it needs `{needed}`")
                    continue
                began = clock()
                tested = _run(policies, policy, test, read)
                yield replace(tested, seconds=clock() - began)


def untested(policies: Iterable[Policy], results: Sequence[Ran]) -> list[tuple[Policy, str]]:
    """The rules that hold in no test, be it one of a policy that this one extends."""
    held = {(one.policy.name, rule) for one in results for rule in one.held}
    return [
        (policy, rule.id)
        for policy in policies
        if not policy.tenant
        for rule in policy.rules
        if not any((name, rule.id) in held for name in (policy.name, *policy.stands_for))
    ]


def _needs(policy: Policy, test: PolicyTest, left_out: Sequence[str]) -> str:
    """The check that is left out and that must find what a test expects; empty where there is none."""
    expected = test.expected
    rules = {expected.rule, *(expected.rules or ()), *(expected.shadow or ())}
    asked = {name for rule in policy.rules if rule.id in rules for name in rule.when.names()}
    asked |= {find.check for find in expected.finds or ()}
    return min(asked & using(policy, left_out), default="")


def _run(policies: PolicySet, policy: Policy, test: PolicyTest, read: Callable[[str], bytes]) -> Ran:
    scene, told = test.scene, test.told
    own = tuple(one for one in policies.policies if one.file == policy.file)  # the file, and its tenants' overrides
    alone = replace(policies, policies=own if told.applies else (replace(policy, match=Match()),), _bound={})
    if isinstance(scene, LogLine):
        record = _record(scene, read)
        again = record if isinstance(record, str) else rerun(record, alone)
        if isinstance(again, str):
            return Ran(policy, test, (Fault(f"{scene.path}#{scene.line}: {again}"),))
        played = replayed(again)
        return Ran(policy, test, _judged(test, played), _held([played]), 1)
    ways = plays(scene, test.chunkings)
    results = [play_scene(alone, scene, told, cuts) for cuts in ways]
    found = list(_judged(test, results[0]))
    for number, (cuts, played) in enumerate(zip(ways, results, strict=True)):
        if found:  # one way shows it; the others would say the same once more
            break
        first = ways.index(replace(cuts, seed=0)) if cuts.seed else 0
        alike = ways[first].streamed == cuts.streamed
        differs = list(disagreement(results[first], played, str(cuts), alike=alike)) if number else []
        found = differs or [replace(one, message=f"{cuts}: {one.message}") for one in _judged(test, played)]
    return Ran(policy, test, tuple(found), _held(results), len(results))


def _judged(test: PolicyTest, played: Played) -> tuple[Fault, ...]:
    found = tuple(faults(test.expected, played))
    return (Fault(unmet(test.told)), *found) if found and not played.applies else found


def _held(results: Iterable[Played]) -> frozenset[str]:
    return frozenset(rule for one in results for rule in (*one.rules, *one.shadow))


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
