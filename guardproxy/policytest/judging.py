"""What became of a scene, beside what was expected of it, and beside what became of it at other cuts.

In: `Expectation` and `Played`. Out: faults, in words, with the two texts where texts differ. Kept: nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from guardproxy.policy import Expectation, ExpectedFinding, RequestFacts
from guardproxy.policytest.playing import Found, Held, Played, Shown


@dataclass(frozen=True, slots=True)
class Fault:
    """What was expected and did not happen. `wanted`, `got`: the texts to compare, where there are two."""

    message: str
    wanted: str | None = None
    got: str | None = None


def faults(expected: Expectation, played: Played) -> Iterator[Fault]:
    """Everything that is not as expected."""
    yield from _rules(expected, played)
    if expected.decision is not None and expected.decision != played.decision:
        why = f" ({played.trouble})" if played.trouble else ""
        yield Fault(f"expected the decision {expected.decision}, got {played.decision}{why}")
    yield from _words("model", played.upstream, expected.upstream_has, expected.upstream_lacks)
    yield from _words("client", played.client, expected.client_has, expected.client_lacks)
    yield from _exact("model", played.upstream, expected.upstream)
    yield from _exact("client", played.client, expected.client)
    yield from _finds(expected.finds, played.found)


def unmet(told: RequestFacts) -> str:
    """Why no rule held where the policy is not for the request."""
    facts = [f"route {told.route}", f"model `{told.model}`", f"tenant `{told.tenant}`"]
    facts += [f"{name}: {value}" for name, value in sorted(told.headers.items())]
    return f"the policy's `match` does not hold for {', '.join(facts)}"


def disagreement(first: Played, other: Played, how: str, *, alike: bool) -> Iterator[Fault]:
    """What the same answer at other cuts came to. Both must agree in all that a policy decides, and in what the client gets.
    `alike`: both were streamed, or neither; else how much of an answer that is ended has left is not the same."""
    if first.decision != other.decision:
        yield Fault(f"{how}, the decision is {other.decision}, not {first.decision}")
    for one in sorted(set(first.held) - set(other.held)):
        yield Fault(f"{how}, the rule `{one.rule}` does not hold for {_place(one)}")
    for one in sorted(set(other.held) - set(first.held)):
        yield Fault(f"{how}, the rule `{one.rule}` holds for {_place(one)} as well")
    ended = first.decision in ("block", "retry")
    if (alike or not ended) and (before := _all(first.client)) != (after := _all(other.client)):
        yield Fault(f"{how}, the client gets another text", before, after)
    if not ended and set(first.found) != set(other.found):  # what comes after the end is found, or not, by chance
        yield Fault(f"{how}, other things are found", _listed(first.found), _listed(other.found))


def _place(held: Held) -> str:
    return f"{held.label} at {held.start} to {held.end} of {held.path}"


def _rules(expected: Expectation, played: Played) -> Iterator[Fault]:
    held = _names(played.rules)
    if expected.rule is not None and expected.rule not in played.rules:
        quietly = ", as it is in shadow mode" if expected.rule in played.shadow else ""
        yield Fault(f"expected the rule `{expected.rule}` to hold{quietly}; those that did: {held}")
    if expected.rules is not None and expected.rules != played.rules:
        yield Fault(f"expected these rules to hold: {_names(expected.rules)}; those that did: {held}")
    if expected.shadow is not None and expected.shadow != played.shadow:
        wanted, got = _names(expected.shadow), _names(played.shadow)
        yield Fault(f"expected these shadow rules to hold: {wanted}; those that did: {got}")


def _names(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def _words(who: str, shown: Shown | None, has: Sequence[str], lacks: Sequence[str]) -> Iterator[Fault]:
    for word in has:
        if shown is None or not shown.where(word):
            yield Fault(f"`{word}` does not reach the {who}{_what_did(who, shown)}", got=_all(shown))
    for word in lacks:
        if shown and (path := shown.where(word)):
            yield Fault(f"`{word}` reaches the {who}, in {path}", got=dict(shown.texts).get(path, shown.raw))


def _what_did(who: str, shown: Shown | None) -> str:
    if shown is not None:
        return ""
    return ": nothing was sent to it" if who == "model" else ": the test has no answer that could be sent"


def _all(shown: Shown | None) -> str | None:
    return None if shown is None else "\n".join(text for _, text in shown.texts)


def _exact(who: str, shown: Shown | None, wanted: str | Mapping[str, str] | None) -> Iterator[Fault]:
    if wanted is None:
        return
    texts = dict(shown.texts) if shown else {}
    if isinstance(wanted, str):
        if wanted not in texts.values():
            yield Fault(f"the {who} gets another text{_what_did(who, shown)}", wanted, _all(shown))
        return
    for path, text in wanted.items():
        if path not in texts:
            paths = f"; texts that it gets: {', '.join(texts)}" if texts else _what_did(who, shown)
            yield Fault(f"the {who} gets no text at `{path}`{paths}")
        elif texts[path] != text:
            yield Fault(f"the {who} gets another text at `{path}`", text, texts[path])


def _finds(wanted: tuple[ExpectedFinding, ...] | None, found: Sequence[Found]) -> Iterator[Fault]:
    if wanted is None:
        return
    if not wanted and found:
        yield Fault("expected that nothing is found", got=_listed(found))
    for find in wanted:
        if not any(_is(find, one) for one in found):
            asked = [f"{key} `{value}`" for key in ExpectedFinding.__slots__ if (value := getattr(find, key))]
            yield Fault(f"expected a finding with {', '.join(asked)}", got=_listed(found) or "nothing was found")


def _is(find: ExpectedFinding, one: Found) -> bool:
    return all(getattr(find, key) in ("", getattr(one, key)) for key in ExpectedFinding.__slots__)


def _listed(found: Sequence[Found]) -> str:
    return "\n".join(f"{one.check} {one.label} `{one.text}` at {one.start} to {one.end} of {one.path}" for one in found)
