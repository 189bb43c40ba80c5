"""Checks that what limits of `cost` count has a price. Without one, such a limit refuses every request.

In: policies. Out: `PolicyErrors` with the place of the limits of each policy that no price can serve.
"""

from __future__ import annotations

from guardproxy.errors import PolicyError
from guardproxy.policy.deciding.evaluate import PolicySet
from guardproxy.policy.file.conflicts import are_apart
from guardproxy.policy.file.load import PolicyErrors
from guardproxy.policy.sections import LIMITS, PRICES
from guardproxy.policy.values.document import Policy


def refuse_unpriced(policies: PolicySet) -> None:
    """Raises `PolicyErrors` for limits of `cost` of policies to whose requests no policy gives prices. It is for settings
    without prices: those of the operator serve every limit."""
    routes = [route for codec in policies.formats.codecs for route in codec.routes]
    errors: dict[tuple[str, int, int], PolicyError] = {}
    for policy in policies.policies:
        rule = next((rule for rule in LIMITS.of(policy.sections) or () if rule.unit == "cost"), None)
        if rule is None or any(_serves(other, policy, routes) for other in policies.policies):
            continue
        place = policy.places.get(LIMITS.name, policy.place)
        path = place.path or policy.source
        message = (
            f"the limit `{rule.name}` counts costs, and no model has a price: add `prices` to the policy, or use "
            "--prices genai-prices or a file of limits with prices"
        )
        errors[path, place.line, place.column] = PolicyError(message, path, place.line, place.column)
    if errors:
        raise PolicyErrors([errors[place] for place in sorted(errors)])


def _serves(other: Policy, policy: Policy, routes: list[str]) -> bool:
    """Whether the prices of a policy can count for requests to which another policy applies."""
    if PRICES.of(other.sections) is None:
        return False
    return other is policy or (other.mode == "enforce" and not are_apart(other, policy, routes))
