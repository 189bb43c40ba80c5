"""Compares the result of a scene with the expectations of its test, and with its result at other cuts.

In: `Expectation` and `SceneResult`. Out: mismatches in words, with both texts if texts differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from guardproxy.policy.values import Expectation, ExpectedFinding, RequestFacts
from guardproxy.policytest.playing import Delivery, RuleHit, SceneResult, TextFinding


@dataclass(frozen=True, slots=True)
class Mismatch:
    """An expectation that the result does not meet. `wanted`, `got`: the texts to compare, if texts differ."""

    message: str
    wanted: str | None = None
    got: str | None = None


def mismatches(expected: Expectation, result: SceneResult) -> Iterator[Mismatch]:
    """Yields all expectations that the result does not meet."""
    yield from _rules(expected, result)
    if expected.decision is not None and expected.decision != result.decision:
        why = f" ({result.trouble})" if result.trouble else ""
        yield Mismatch(f"expected the decision {expected.decision}, got {result.decision}{why}")
    if expected.routed is not None and expected.routed != result.routed:
        yield Mismatch(f"expected the upstream `{expected.routed}`, got `{result.routed or 'default'}`")
    if expected.error is not None and expected.error != result.error:
        yield Mismatch(f"expected the error {expected.error or 'none'}, got {result.trouble or result.error or 'none'}")
    yield from _words("model", result.upstream, expected.upstream_has, expected.upstream_lacks)
    yield from _words("client", result.client, expected.client_has, expected.client_lacks)
    yield from _exact("model", result.upstream, expected.upstream)
    yield from _exact("client", result.client, expected.client)
    yield from _finds(expected.finds, result.findings)


def no_match_message(facts: RequestFacts) -> str:
    """Returns the message for a test whose request the policy does not match."""
    parts = [f"route {facts.route}", f"model `{facts.model}`", f"tenant `{facts.tenant}`"]
    parts += [f"{name}: {value}" for name, value in sorted(facts.headers.items())]
    return f"the policy's `match` does not hold for {', '.join(parts)}"


def disagreement(first: SceneResult, other: SceneResult, how: str, *, alike: bool) -> Iterator[Mismatch]:
    """Compares the results of a scene at two cuts: decision, rules, findings and the client's text must be equal.

    `how`: describes the cuts of `other`. `alike`: whether both answers were streamed or both were whole. If not, the
    client may get more or less of an answer that was ended early.
    """
    if first.decision != other.decision:
        yield Mismatch(f"{how}, the decision is {other.decision}, not {first.decision}")
    for hit in sorted(set(first.hits) - set(other.hits)):
        yield Mismatch(f"{how}, the rule `{hit.rule}` does not hold for {_place(hit)}")
    for hit in sorted(set(other.hits) - set(first.hits)):
        yield Mismatch(f"{how}, the rule `{hit.rule}` holds for {_place(hit)} as well")
    ended = first.decision in ("block", "confirm", "retry")
    if (alike or not ended) and (before := _all(first.client)) != (after := _all(other.client)):
        yield Mismatch(f"{how}, the client gets another text", before, after)
    if not ended and set(first.findings) != set(other.findings):  # findings after an early end depend on the cuts
        yield Mismatch(f"{how}, the findings differ", _list(first.findings), _list(other.findings))


def _place(hit: RuleHit) -> str:
    return f"{hit.label} at {hit.start} to {hit.end} of {hit.path}"


def _rules(expected: Expectation, result: SceneResult) -> Iterator[Mismatch]:
    held = _names(result.rules)
    if expected.rule is not None and expected.rule not in result.rules:
        quietly = ", as it is in shadow mode" if expected.rule in result.shadow else ""
        yield Mismatch(f"expected the rule `{expected.rule}` to hold{quietly}; rules that hold: {held}")
    if expected.rules is not None and expected.rules != result.rules:
        yield Mismatch(f"expected these rules to hold: {_names(expected.rules)}; rules that hold: {held}")
    if expected.shadow is not None and expected.shadow != result.shadow:
        wanted, got = _names(expected.shadow), _names(result.shadow)
        yield Mismatch(f"expected these shadow rules to hold: {wanted}; shadow rules that hold: {got}")


def _names(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def _words(who: str, shown: Delivery | None, has: Sequence[str], lacks: Sequence[str]) -> Iterator[Mismatch]:
    for word in has:
        if shown is None or not shown.where(word):
            yield Mismatch(f"`{word}` does not reach the {who}{_what_did(who, shown)}", got=_all(shown))
    for word in lacks:
        if shown and (path := shown.where(word)):
            yield Mismatch(f"`{word}` reaches the {who}, in {path}", got=dict(shown.texts).get(path, shown.raw))


def _what_did(who: str, shown: Delivery | None) -> str:
    if shown is not None:
        return ""
    return ": nothing was sent to it" if who == "model" else ": the test has no answer that could be sent to it"


def _all(shown: Delivery | None) -> str | None:
    return None if shown is None else "\n".join(text for _, text in shown.texts)


def _exact(who: str, shown: Delivery | None, wanted: str | Mapping[str, str] | None) -> Iterator[Mismatch]:
    if wanted is None:
        return
    texts = dict(shown.texts) if shown else {}
    if isinstance(wanted, str):
        if wanted not in texts.values():
            yield Mismatch(f"the {who} gets another text{_what_did(who, shown)}", wanted, _all(shown))
        return
    for path, text in wanted.items():
        if path not in texts:
            paths = f"; it gets texts at: {', '.join(texts)}" if texts else _what_did(who, shown)
            yield Mismatch(f"the {who} gets no text at `{path}`{paths}")
        elif texts[path] != text:
            yield Mismatch(f"the {who} gets another text at `{path}`", text, texts[path])


def _finds(wanted: tuple[ExpectedFinding, ...] | None, findings: Sequence[TextFinding]) -> Iterator[Mismatch]:
    if wanted is None:
        return
    if not wanted and findings:
        yield Mismatch("expected no findings", got=_list(findings))
    for find in wanted:
        if not any(_is(find, finding) for finding in findings):
            members = [f"{key} `{value}`" for key in ExpectedFinding.__slots__ if (value := getattr(find, key))]
            yield Mismatch(f"expected a finding with {', '.join(members)}", got=_list(findings) or "no findings")


def _is(find: ExpectedFinding, finding: TextFinding) -> bool:
    return all(getattr(find, key) in ("", getattr(finding, key)) for key in ExpectedFinding.__slots__)


def _list(findings: Sequence[TextFinding]) -> str:
    return "\n".join(
        f"{finding.check} {finding.label} `{finding.text}` at {finding.start} to {finding.end} of {finding.path}"
        for finding in findings
    )
