"""Decides what a rule's action does, for guardproxy's own actions (`actions.py`) and for actions of other packages.

In: a rule. Out: its decision, or errors at the rule's place if an action of another package makes an invalid decision.
Such an action is an entry point of the group `guardproxy.actions` that names a function like `decide`; `rule.options`
holds the rule's `with`. The function runs when policies are loaded, so its error is an error of the policy, not of an
exchange.

Decision: docs/decisions/0011-and-is-refused-in-redact-rules.md
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import cast, get_args

from guardproxy import plugins
from guardproxy.checks import Check
from guardproxy.decisions import Decision, Edit, Retry
from guardproxy.errors import GuardproxyError, OptionError, PolicyError
from guardproxy.findings import ALL_PLACES
from guardproxy.policy.conditions.expression import CHECK_ERROR, has_and
from guardproxy.policy.values.actions import ACTIONS, BY_NAME, Places, verdict_of
from guardproxy.policy.values.document import Policy, Rule, words_for
from guardproxy.policy.yaml.reading import join

NO_AND = (
    "`and` cannot be used in a redact rule: in a stream the first finding has left before the second is known; "
    "write `or`, or use the action block"
)


def action_names() -> tuple[str, ...]:
    """Returns the names that `action` can take."""
    return (*ACTIONS, *plugins.names(plugins.ACTIONS))


def reach(action: str) -> Places:
    """Returns the texts in which an action can act. Those of another package's action follow from its decision."""
    return BY_NAME[action].reach if action in BY_NAME else ALL_PLACES


def only(action: str) -> str:
    """Says why an action of guardproxy acts in some texts only."""
    return BY_NAME[action].only


def decide(rule: Rule) -> Decision:
    """Returns the decision of a rule. Raises `PluginError`, and any error of another package's function."""
    if rule.action in BY_NAME:
        return BY_NAME[rule.action].decide(rule)
    return cast(Callable[[Rule], Decision], plugins.load(plugins.ACTIONS, rule.action, ACTIONS))(rule)


def faults(policies: Sequence[Policy], built: Mapping[tuple[str, str], Check]) -> Iterator[PolicyError]:
    """Yields the errors of actions: of rules that would not inspect a text that they name, and of actions of other packages.
    `built`: the checks, by policy and name."""
    for policy in policies:
        for rule in policy.rules:
            if fault := _lost(policy, rule, built) or (None if rule.action in ACTIONS else _fault(rule)):
                key, message = fault
                place = rule.places.get(key, rule.place)
                yield PolicyError(message, place.path or policy.source, place.line, place.column)


def _lost(policy: Policy, rule: Rule, built: Mapping[tuple[str, str], Check]) -> tuple[str, str] | None:
    """Returns the error of a rule whose action cannot act in a text that the rule names and in which a check of the rule can
    find something. Another action inspects that text, so a changed `action` would let it pass."""
    used = (built.get((policy.name, name)) for name in checks_used(policy, rule))
    able = frozenset(place for check in used if check for place in check.traits.looks_at)
    if not (lost := rule.out_of_reach & able):
        return None
    named = "`on` names" if "on" in rule.places else "a rule without `on` inspects"
    key = "on" if "on" in rule.places else "action"
    return key, f"{only(rule.action)}; it would not inspect {join(words_for(lost))}, which {named}"


def checks_used(policy: Policy, rule: Rule) -> frozenset[str]:
    """Returns the checks that a rule uses; `check_error` alone uses every check of the file."""
    names = rule.when.names() - {CHECK_ERROR}
    return names or frozenset(policy.checks)


def _fault(rule: Rule) -> tuple[str, str] | None:
    """Returns the key at fault and the reason; `None` if the action of another package is valid."""
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
    own = verdict_of(decision)
    if own != "pass" and not rule.on <= reach(own):
        return "on", only(own)
    if isinstance(decision, Retry) and decision.upstream:
        return "action", f"the plug-in {whose} requests another upstream, which only the action retry can do"
    return None
