"""Why a text is treated as it is: what each check found, which rules held, which decided, and why the others did not.

In: policies and a text, or a request's JSON. Out: all of that, and how long each check took. Kept: nothing; the clock is handed
in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from guardproxy.exchange import Job
from guardproxy.findings import Direction, Kind, Scan
from guardproxy.policy import (
    CHECK_ERROR,
    VERDICTS,
    BoundRule,
    Name,
    PolicySet,
    RawExchange,
    RequestFacts,
    Verdict,
    verdict_of,
)
from guardproxy.policytest.playing import Found, Played, play_scene
from guardproxy.policytest.scan import scanned
from guardproxy.policytest.scenes import Cuts
from guardproxy.wire import Author, Codec

RUNS = 5
State = Literal["decided", "held", "shadow", "no"]
"""`held`: but a stronger rule decided; `shadow`: held, and would have been done."""

Scores = Mapping[tuple[str, str], float]


@dataclass(frozen=True, slots=True)
class Ruled:
    """What became of one rule, and why."""

    policy: str
    rule: str
    action: str
    state: State
    why: str


@dataclass(frozen=True, slots=True)
class Timed:
    """How long a check took for all texts that it read: the median of several runs, in milliseconds."""

    check: str
    ms: float
    texts: int


@dataclass(frozen=True, slots=True)
class Explained:
    """`elsewhere`: policies whose `match` does not hold."""

    played: Played
    policies: tuple[str, ...]
    elsewhere: tuple[str, ...]
    rules: tuple[Ruled, ...]
    timings: tuple[Timed, ...]

    @property
    def decision(self) -> Verdict:
        return self.played.decision


def kinds_of(codec: Codec, direction: Direction) -> tuple[Kind, ...]:
    """The kinds of texts that can be explained, the plain text of a message first."""
    first: Kind = "user" if direction == "request" else "assistant"
    kinds = [kind for kind in codec.contract.carried()[direction] if kind != "error"]
    if direction == "response":
        kinds = [kind for kind in kinds if codec.author.answer_with(kind, "") is not None]
    return tuple(sorted(kinds, key=lambda kind: kind != first))


def scene_of(text: str, direction: Direction, kind: Kind, author: Author) -> RawExchange:
    """An exchange with nothing but this text, as one of its kinds."""
    if direction == "request":
        return RawExchange(author.request_with(kind, text))
    answer = author.answer_with(kind, text)
    return RawExchange(author.request_with("user", ""), () if answer is None else (answer,))


def explain(
    policies: PolicySet,
    scene: RawExchange,
    told: RequestFacts,
    clock: Callable[[], float],
    runs: int = RUNS,
    lowest: PolicySet | None = None,
) -> Explained:
    """What the policies do with a scene, and why. `lowest`: the same policies where every score is a finding, to say how far a
    text was from one."""
    jobs: list[Job] = []

    def scan(job: Job) -> Scan:
        jobs.append(job)
        return scanned(job)

    played = play_scene(policies, scene, told, Cuts(), scan)
    scores = _scores(lowest, play_scene(lowest, scene, told, Cuts())) if lowest else {}
    names = tuple(dict.fromkeys(one.policy.name for one in played.rules_of))
    return Explained(
        played,
        names,
        tuple(policy.name for policy in policies.policies if policy.name not in names),
        tuple(_ruled(bound, played, scores) for bound in played.rules_of),
        tuple(_timed(jobs, clock, runs)),
    )


def _timed(jobs: Sequence[Job], clock: Callable[[], float], runs: int) -> list[Timed]:
    times: dict[str, list[float]] = {}
    for job in jobs:
        took = []
        for _ in range(runs):
            began = clock()
            scanned(job)
            took.append((clock() - began) * 1000)
        times.setdefault(job.check.name, []).append(median(took))
    return [Timed(name, sum(each), len(each)) for name, each in sorted(times.items())]


def _scores(lowest: PolicySet, played: Played) -> Scores:
    """The highest score of each check, by policy and name."""
    best: dict[str, float] = {}
    for one in played.found:
        best[one.check] = max(best.get(one.check, 0.0), one.score)
    return {key: best[check.name] for key, check in lowest.checks.items() if check.name in best}


def _ruled(bound: BoundRule, played: Played, scores: Scores) -> Ruled:
    held = [one for one in played.held if (one.policy, one.rule) == (bound.policy.name, bound.rule.id)]
    about = (bound.policy.name, bound.rule.id, bound.rule.action)
    if not held:
        return Ruled(*about, "no", _why_not(bound, played, scores))
    found = ", ".join(dict.fromkeys(f"`{bound.names.get(one.check, one.check)}` found {one.label}" for one in held))
    if not held[0].enforced:
        return Ruled(*about, "shadow", f"{found}; in shadow mode")
    stronger = max((one for one in played.held if one.enforced), key=lambda one: VERDICTS.index(one.verdict))
    if verdict_of(bound.decision) == stronger.verdict:
        back = f"; values come back in {bound.rule.restoration}" if bound.rule.restore else ""
        return Ruled(*about, "decided", found + back)
    return Ruled(*about, "held", f"{found}; `{stronger.rule}` ({stronger.action}) is stronger")


def _why_not(bound: BoundRule, played: Played, scores: Scores) -> str:
    rule = bound.rule
    texts = [one for one in played.read if one.text]
    seen = {(one.direction, one.kind) for one in texts if (one.direction, one.kind) in rule.on}
    if not seen:
        kinds = ", ".join(dict.fromkeys(f"{one.kind} of the {one.direction}" for one in texts)) or "none"
        return f"it does not look at such texts ({kinds})"
    if rule.when.names() == {CHECK_ERROR}:
        return "no check failed"
    found = _present(bound, played.found)
    missing = sorted(rule.when.names() - found - {CHECK_ERROR})
    if isinstance(rule.when, Name) or not found & rule.when.names():
        told = ", ".join(f"`{name}`" for name in missing)
        near = [f"{scores[bound.policy.name, name]:.2f}" for name in missing if (bound.policy.name, name) in scores]
        return f"{told} found nothing" + (f" (highest score {', '.join(near)})" if near else "")
    return f"found {', '.join(f'`{name}`' for name in sorted(found))}, but not {', '.join(f'`{name}`' for name in missing)}"


def _present(bound: BoundRule, found: Sequence[Found]) -> set[str]:
    return {
        bound.names[one.check]
        for one in found
        if one.check in bound.names and (one.direction, one.kind) in bound.rule.on
    }
