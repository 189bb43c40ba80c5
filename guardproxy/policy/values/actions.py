"""guardproxy's own actions: one declaration each, from the weakest to the strongest.

An action says what happens when a rule holds. All that the other parts know of an action is in its declaration: the decision
that it makes of a rule, its rank (its place in `EVERY`), the texts in which it can act, the keys of a rule that belong to it,
and the words for it in telemetry and in security events. An effect that no decision has needs a decision of its own
(`decisions.py`), and a stage of the exchange that carries it out.

Actions of other packages are functions (`acting.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from guardproxy.decisions import Confirm, Decision, DropChunk, Edit, Pass, Retry, Stop
from guardproxy.findings import ALL_PLACES, Direction, Kind
from guardproxy.policy.values.retrying import KEYS as RETRY_KEYS
from guardproxy.redaction import Operators, Restoration

Places = frozenset[tuple[Direction, Kind]]
Effect = Literal["none", "corrected", "blocked"]
"""What an enforced action does to the text: nothing, it is changed or asked for again, or it goes no further."""


class ActingRule(Protocol):
    """What an action sees of a rule (`document.Rule`)."""

    @property
    def id(self) -> str: ...

    @property
    def message(self) -> str: ...

    @property
    def restore(self) -> bool: ...

    @property
    def operators(self) -> Operators: ...

    @property
    def restoration(self) -> Restoration: ...

    @property
    def retry(self) -> Retry | None: ...


@dataclass(frozen=True, slots=True)
class Action:
    """The declaration of an action. `decision`: the kind of decision that it makes; several actions may make the same kind.
    `decide`: its decision for a rule. `verdict`: the word for it in telemetry. `effect`: what it did, in a security event.
    `keys`: the keys of a rule that belong to it; a key that no action names belongs to all. `reach`: the texts in which it can
    act; `only`: why it acts in no other."""

    name: str
    decision: type[Decision]
    decide: Callable[[ActingRule], Decision]
    verdict: Literal["warn", "modify", "deny"]
    effect: Effect
    keys: tuple[str, ...] = ()
    reach: Places = ALL_PLACES
    only: str = ""


EVERY = (
    # The text is forwarded unchanged, and its findings are recorded.
    Action("flag", Pass, lambda rule: Pass(rule.id), verdict="warn", effect="none", keys=("parallel",)),
    # A placeholder, or the result of an operator, replaces the value; `restore` restores it in the answer.
    Action(
        "redact",
        Edit,
        lambda rule: Edit(rule.id, rule.restore, rule.operators, rule.restoration),
        verdict="modify",
        effect="corrected",
        keys=("operators", "restore"),
    ),
    # The document or the tool's result with the finding is cut out of the request.
    Action(
        "drop_chunk",
        DropChunk,
        lambda rule: DropChunk(rule.id),
        verdict="modify",
        effect="corrected",
        reach=frozenset((("request", "tool_result"), ("request", "document"))),
        only="drop_chunk cuts documents and results of tools out of a request, so it inspects only these: "
        "`on: request.tool_result`",
    ),
    # The model gets the errors of its answer and answers again.
    Action(
        "retry",
        Retry,
        lambda rule: rule.retry or Stop(rule.id, rule.message),
        verdict="deny",
        effect="corrected",
        keys=("message", "early", *RETRY_KEYS),
        reach=frozenset(place for place in ALL_PLACES if place[0] == "response"),
        only="a retry requests another answer, so it inspects only answers: `on: response`",
    ),
    # The call ends with a refusal that names an id. Once a person has approved it, the same call passes, once.
    Action(
        "confirm",
        Confirm,
        lambda rule: Confirm(rule.id, rule.message),
        verdict="deny",
        effect="blocked",
        keys=("message",),
        reach=frozenset((("request", "tool_arguments"), ("response", "tool_arguments"))),
        only="confirm asks a person about calls of tools, so it inspects only these: `on: tool_arguments`",
    ),
    # Nothing is forwarded; the client gets a refusal in its wire format.
    Action(
        "block",
        Stop,
        lambda rule: Stop(rule.id, rule.message),
        verdict="deny",
        effect="blocked",
        keys=("message", "early", "parallel"),
    ),
)
"""All actions of guardproxy. The order is their rank; it follows the order of their decisions."""

Verdict = str
"""One of `VERDICTS`."""

BY_NAME = {action.name: action for action in EVERY}
ACTIONS: tuple[str, ...] = tuple(BY_NAME)
_OF_DECISION: dict[type[Any], str] = {action.decision: action.name for action in reversed(EVERY)}
VERDICTS: tuple[Verdict, ...] = ("pass", *(name for name in ACTIONS if name in _OF_DECISION.values()))
"""The possible verdicts on a text, from the weakest to the strongest: the first action of each kind of decision."""


def verdict_of(decision: Decision) -> Verdict:
    """Returns the verdict that a decision leads to when it is carried out."""
    return next(name for kind, name in _OF_DECISION.items() if isinstance(decision, kind))


def action_of(name: str) -> Action | None:
    """Returns the declaration of an action of guardproxy; `None` for one of another package."""
    return BY_NAME.get(name)


def decides(action: str | None, kind: type[Decision]) -> bool:
    """Whether an action of guardproxy makes decisions of this kind. What an action of another package decides is known only
    when its rule is complete."""
    return action in BY_NAME and BY_NAME[action].decision is kind


def actions_with(key: str) -> tuple[str, ...]:
    """Returns the actions to which a key of a rule belongs; empty if it belongs to all."""
    return tuple(action.name for action in reversed(EVERY) if key in action.keys)
