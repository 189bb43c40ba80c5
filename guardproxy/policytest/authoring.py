"""Writes a test of a policy from a recorded exchange, so that a verdict about a decision holds for good.

In: a record, a rule of a policy, and a verdict of a person. Out: the lines of a test for the policy's file, and whether it
passes now. The test holds no value of a person: a record has placeholders where checks found values, and each of them becomes a
made-up value that the same check finds at the same place.

- `right`: the rule held and should. The test passes, and fails if the rule stops to hold.
- `false_alarm`: the rule held and should not. The test lists the other rules, so it fails until the policy is mended.
- `missed`: the rule should hold. The test fails until the policy is mended, if the rule does not hold.

The test sends as little as makes the rule hold: a part of a text, the text, a request with this text alone, or the whole
request.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple, cast

from guardproxy.audit import Record
from guardproxy.audit.record import RecordedText
from guardproxy.errors import RecordError
from guardproxy.findings import Channel, Direction, Kind, Window
from guardproxy.policy import PolicySet
from guardproxy.policy.values import Expectation, Policy, PolicyTest, RawExchange, RequestFacts, Texts
from guardproxy.policytest.editing import quoted, written
from guardproxy.policytest.explaining import scene_of
from guardproxy.policytest.invented import invented
from guardproxy.policytest.playing import SceneResult, play_scene
from guardproxy.policytest.running import by_itself, run_tests
from guardproxy.policytest.scenes import Cuts
from guardproxy.redaction import PLACEHOLDER

EXCERPT_CHARS = 1500
AROUND_CHARS = 400
LIMIT_CHARS = 20_000
VERDICTS = ("right", "false_alarm", "missed")
_ORACLE_CHARS = 300
_NAME_CHARS = 8


@dataclass(frozen=True, slots=True)
class WrittenTest:
    """A test for a policy's file. `lines`: its YAML. `passes`: whether it passes now. `faults`: why it does not. `values`: what
    was made up, by the placeholder that it stands for. `note`: what a person should know; empty if there is nothing."""

    name: str
    lines: str
    passes: bool
    faults: tuple[str, ...]
    values: Mapping[str, str]
    note: str = ""


def written_test(
    record: Record, policies: PolicySet, policy: str, rule: str, verdict: str, number: int | None = None
) -> WrittenTest:
    """Returns the test. `policies`: with their checks; `verdict`: one of `VERDICTS`; `number`: of the text that the verdict is
    about, `None` for the first in which the rule held, or else what the user said last. Raises `RecordError` if the record or
    the policies cannot make a test."""
    its = next((known for known in policies.policies if known.name == policy), None)
    if its is None or rule not in {known.id for known in its.rules}:
        raise RecordError(f"the policies have no rule `{rule}` of `{policy}`: it was renamed or removed")
    chosen = _chosen(record, policy, rule, number)
    author = _Author(record, policies, its, rule, chosen)
    shadow = next(known for known in its.rules if known.id == rule).mode == "shadow"
    played = [(scene, author.play(scene)) for scene in author.scenes()]
    holding = [(scene, result) for scene, result in played if rule in (*result.rules, *result.shadow)]
    if not played:
        raise RecordError("the text is too long for a test, or no request of its format can hold it")
    scene, result = (holding or played)[0]
    expected = _expectation(result, rule, verdict, author.values, is_shadow=shadow)
    day = datetime.fromtimestamp(record.at, UTC).date()
    name = f"{rule}: {verdict.replace('_', ' ')}, {day} {record.id[:_NAME_CHARS]}"
    test = PolicyTest(name, scene.scene, expected, scene.facts)
    case = next(run_tests(replace(policies, policies=(replace(its, tests=(test,)),), _bound={}), str.encode))
    lines = "\n".join(_lines(test, scene))
    note = ""
    if verdict != "missed" and not holding:
        note = "the rule does not hold for what the record keeps of this text, so the test says what holds today"
    return WrittenTest(
        name,
        lines,
        not case.mismatches,
        tuple(mismatch.message for mismatch in case.mismatches),
        dict(author.values),
        note,
    )


def _chosen(record: Record, policy: str, rule: str, number: int | None) -> int:
    texts = record.placed_texts
    if number is None:
        asked = [at for at, (_, _, text) in enumerate(texts) if text.kind == "user" and text.text]
        number = next(iter((*record.held_in(policy, rule), *asked[-1:])), 0)
    if not 0 <= number < len(texts) or texts[number].text.text is None:
        raise RecordError("the texts of the exchange are sealed or not kept")
    return number


class _Scene(NamedTuple):
    scene: Texts | RawExchange
    facts: RequestFacts


class _Author:
    """Writes scenes from a record. `values`: the made-up values so far, by their placeholders."""

    def __init__(self, record: Record, policies: PolicySet, policy: Policy, rule: str, number: int) -> None:
        self.record = record
        self.policies = policies
        self.policy = policy
        self.rule = rule
        self.chosen = record.placed_texts[number]
        self.values: dict[str, str] = {}
        route = f"{record.route.partition(' ')[0]} {record.path}" if record.path else record.route
        codec = policies.formats.codec_for(route)
        usual = RequestFacts(formats=policies.formats)
        self._codec = codec or policies.formats.codec_for(usual.route)
        self._facts = replace(usual, route=route) if codec else usual

    def scenes(self) -> Iterator[_Scene]:
        """Yields what a test may send, the shortest first. Every value is made up by then."""
        direction, _, recorded = self.chosen
        whole = self._filled(direction, recorded)
        if len(whole) <= LIMIT_CHARS:
            for text in dict.fromkeys((self._excerpt(), whole)):
                if (direction, recorded.kind) == ("request", "user"):
                    yield _Scene(Texts(text), RequestFacts(formats=self.policies.formats))
                elif (direction, recorded.kind) == ("response", "assistant"):
                    yield _Scene(Texts(None, (text,)), RequestFacts(formats=self.policies.formats))
                elif (alone := self._alone(text)) is not None:
                    yield alone
        if (every := self._every(whole)) is not None:
            yield every

    def play(self, scene: _Scene) -> SceneResult:
        """Returns what the policy does with a scene."""
        return play_scene(by_itself(self.policies, self.policy, scene.facts), scene.scene, scene.facts, Cuts())

    def _alone(self, text: str) -> _Scene | None:
        """A request, or an answer, whose only text is this one, if the format can write it."""
        direction, _, recorded = self.chosen
        assert self._codec is not None  # noqa: S101 - the usual route has a format
        try:
            scene = scene_of(text, direction, cast(Kind, recorded.kind), self._codec.author)
        except KeyError:  # an answer of this format has no texts of this kind
            return None
        return _Scene(scene, replace(self._facts, applies=True)) if direction == "request" or scene.answers else None

    def _every(self, text: str) -> _Scene | None:
        """The whole request, and for a text of an answer that answer."""
        direction, _, _recorded = self.chosen
        body = self.record.request.body
        if not isinstance(body, Mapping) or self._codec is None:
            return None
        for place in self.record.placed_texts:
            if place.direction == "request" and place.text.text:
                self._filled("request", place.text)
        answers: tuple[Any, ...] = ()
        if direction == "response":
            alone = self._alone(text)
            answers = alone.scene.answers if alone else ()
        tree = self._tree(body)
        if len(json.dumps(tree)) > LIMIT_CHARS or (direction == "response" and not answers):
            return None
        return _Scene(RawExchange(tree, answers), replace(self._facts, applies=True))

    def _tree(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._replaced(value)
        if isinstance(value, Mapping):
            return {self._replaced(key): self._tree(item) for key, item in value.items()}
        return [self._tree(item) for item in value] if isinstance(value, list | tuple) else value

    def _replaced(self, text: str) -> str:
        return PLACEHOLDER.sub(lambda match: self.values.get(match[0], match[0]), text)

    def _excerpt(self) -> str:
        """The part of the text around what the rule is about, at the ends of lines if there are some near."""
        recorded = self.chosen.text
        whole = recorded.text or ""
        spans = [(found.start, found.end) for found in self._decisions()] or [(0, len(whole))]
        low, high = max(0, min(spans)[0] - AROUND_CHARS), max(end for _, end in spans) + AROUND_CHARS
        if len(whole) <= EXCERPT_CHARS or high - low > EXCERPT_CHARS:
            return self._replaced(whole)
        line = whole.find("\n", low, min(spans)[0])
        last = whole.rfind("\n", max(end for _, end in spans), high)
        return self._replaced(whole[low if line < 0 else line + 1 : high if last < 0 else last])

    def _decisions(self) -> Iterator[Any]:
        direction, attempt, text = self.chosen
        for found in self.record.decisions:
            where = (found.direction, found.attempt, found.path)
            if (found.policy, found.rule) == (self.policy.name, self.rule) and where == (direction, attempt, text.path):
                yield found

    # Made-up values.

    def _filled(self, direction: Direction, recorded: RecordedText) -> str:
        """Returns a text with a made-up value for each placeholder."""
        text = recorded.text or ""
        marks = [(match.start(), match.end(), match[0]) for match in PLACEHOLDER.finditer(text)]
        for start, end, mark in marks:
            if mark not in self.values:
                labels = self._labels(recorded, start, end)
                channel = Channel(direction, cast(Kind, recorded.kind), recorded.path)
                self.values[mark] = self._value(channel, mark, text[:start], text[end:], labels)
        return self._replaced(text)

    def _labels(self, recorded: RecordedText, start: int, end: int) -> list[tuple[str, str]]:
        """Returns the checks and labels of what was found at a mark, what the rule held for first."""
        held = {(found.check, found.label) for found in self._decisions()}
        found = [
            (finding.check, finding.label)
            for finding in recorded.findings
            if finding.start < end and start < finding.end
        ]
        return sorted(dict.fromkeys(found), key=lambda pair: pair not in held)

    def _value(self, channel: Channel, mark: str, before: str, after: str, labels: Sequence[tuple[str, str]]) -> str:
        """Returns a value that the checks find where the mark stands; if there is none, the first that might be one."""
        name = mark[1 : mark.rindex("_")]
        first = ""
        used = set(self.values.values())
        before, after = self._replaced(before)[-_ORACLE_CHARS:], self._replaced(after)[:_ORACLE_CHARS]
        for check, label in labels or [(check, name) for check in self.policy.checks]:
            spec, built = self.policy.checks.get(check), self.policies.checks.get((self.policy.name, check))
            if spec is None or built is None or (built.traits.labels and label not in built.traits.labels):
                continue
            for value in sorted(invented(built, spec.options, label), key=used.__contains__):  # others first
                first = first or value
                if _is_found(built, channel, before, value, after, label):
                    return value
        return first or name.lower().replace("_", " ")


def _is_found(check: Any, channel: Channel, before: str, value: str, after: str, label: str) -> bool:
    """Whether a check finds a label in a value at its place."""
    window = Window(channel, before + value + after)
    low, high = len(before), len(before) + len(value)
    every = (check, check.traits.partner) if check.traits.partner else (check,)
    return any(
        finding.label == label and finding.start < high and low < finding.end
        for each in every
        for scan in each.scan([window])
        for finding in scan.findings
    )


# What a test expects, and how it is written.


def _expectation(
    result: SceneResult, rule: str, verdict: str, values: Mapping[str, str], *, is_shadow: bool
) -> Expectation:
    others = tuple(name for name in (result.shadow if is_shadow else result.rules) if name != rule)
    with_rule = tuple(sorted((*others, rule)))
    if verdict == "false_alarm":
        return Expectation(shadow=others) if is_shadow else Expectation(rules=others)
    if verdict == "missed" or rule not in (*result.rules, *result.shadow):
        if verdict == "right":
            return Expectation(decision=result.decision)
        return Expectation(shadow=with_rule) if is_shadow else Expectation(rule=rule)
    if is_shadow:
        return Expectation(shadow=with_rule)
    gone = tuple(value for value in values.values() if result.upstream and not result.upstream.where(value))
    kept = tuple(value for value in values.values() if result.client and not result.client.where(value))
    acts = {(hit.direction, hit.verdict) for hit in result.hits if hit.rule == rule and hit.enforced}
    return Expectation(
        rule=rule,
        decision=result.decision,
        upstream_lacks=gone if ("request", "redact") in acts else (),
        client_lacks=kept if ("response", "redact") in acts else (),
    )


def _lines(test: PolicyTest, scene: _Scene) -> Iterator[str]:
    yield f"- name: {quoted(test.name)}  # from the log; its values are made up"
    if isinstance(scene.scene, Texts):
        if scene.scene.request is not None:
            yield f"  request: {quoted(scene.scene.request)}"
        for answer in scene.scene.answers:
            yield f"  response: {quoted(answer)}"
    else:
        yield "  exchange:"
        yield f"    route: {quoted(scene.facts.route)}"
        yield f"    request: {written(scene.scene.request)}"
        for answer in scene.scene.answers:
            yield f"    response: {written(answer)}"
    yield f"  expect: {written(_expected(test.expected))}"


def _expected(expected: Expectation) -> dict[str, Any]:
    """Returns an expectation as a file has it."""
    out: dict[str, Any] = {}
    if expected.rules is not None:
        out |= {"rules": list(expected.rules)} if expected.rules else {"rule": "none"}
    if expected.rule is not None:
        out["rule"] = expected.rule
    if expected.shadow is not None:
        out["shadow"] = list(expected.shadow) or "none"
    if expected.decision is not None:
        out["decision"] = expected.decision
    for key in ("upstream_lacks", "client_lacks"):
        if words := getattr(expected, key):
            out[key] = list(words)
    return out
