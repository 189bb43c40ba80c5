"""Decides what a rule's action does, for guardproxy's own actions and for actions of other packages.

In: a rule. Out: its decision, or errors at the rule's place if an action of another package makes an invalid decision.
Such an action is an entry point of the group `guardproxy.actions` that names a function like `decide`; `rule.options`
holds the rule's `with`. The function runs when policies are loaded, so its error is an error of the policy, not of an
exchange.

Decision: docs/decisions/0011-and-is-refused-in-redact-rules.md
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import cast, get_args

from guardproxy import plugins
from guardproxy.decisions import Decision, DropChunk, Edit, Retry
from guardproxy.errors import GuardproxyError, OptionError, PolicyError
from guardproxy.findings import Direction, Kind
from guardproxy.policy.document import Policy, Rule
from guardproxy.policy.expression import has_and
from guardproxy.policy.strictness import ACTIONS

NO_AND = (
    "`and` cannot be used in a redact rule: in a stream the first finding has left before the second is known; "
    "write `or`, or use the action block"
)

CHUNKS: frozenset[tuple[Direction, Kind]] = frozenset((("request", "tool_result"), ("request", "document")))
"""The texts of which an action can cut out whole chunks."""
DROPS = "drop_chunk cuts documents and results of tools out of a request, so it inspects only these: `on: request.tool_result`"


def action_names() -> tuple[str, ...]:
    """Returns the names that `action` can take."""
    return (*ACTIONS, *plugins.names(plugins.ACTIONS))


def decide(rule: Rule) -> Decision:
    """Returns the decision of a rule. Raises `PluginError`, and any error of another package's function."""
    if rule.action in ACTIONS:
        decider = import_module(f"guardproxy.policy.actions.{rule.action}").decide
    else:
        decider = plugins.load(plugins.ACTIONS, rule.action, ACTIONS)
    return cast(Callable[[Rule], Decision], decider)(rule)


def faults(policies: Sequence[Policy]) -> Iterator[PolicyError]:
    """Yields the errors of rules whose action comes from another package."""
    for policy in policies:
        for rule in policy.rules:
            if rule.action not in ACTIONS and (fault := _fault(rule)):
                key, message = fault
                place = rule.places.get(key, rule.place)
                yield PolicyError(message, place.path or policy.source, place.line, place.column)


def _fault(rule: Rule) -> tuple[str, str] | None:
    """Returns the key at fault and the reason; `None` if the action is valid."""
    whose = plugins.whose(plugins.ACTIONS, rule.action)
    try:
        decision = decide(rule)
    except OptionError as error:
        return "with", f"{error.key}: {error.message}"
    except GuardproxyError as error:
        return "action", str(error)
    except Exception as error:  # the code belongs to another package
        return "action", f"the plug-in {whose} failed: {type(error).__name__}: {error}"
    if not isinstance(decision, get_args(Decision)) or decision.rule != rule.id:
        return "action", f"the plug-in {whose} must return a decision that names the rule"
    if isinstance(decision, Edit) and has_and(rule.when):
        return "when", NO_AND
    if isinstance(decision, DropChunk) and not rule.on <= CHUNKS:
        return "on", DROPS
    if isinstance(decision, Retry) and any(direction != "response" for direction, _ in rule.on):
        return "on", "a retry requests another answer, so it inspects only answers: `on: response`"
    if isinstance(decision, Retry) and decision.upstream:
        return "action", f"the plug-in {whose} requests another upstream, which only the action retry can do"
    return None
