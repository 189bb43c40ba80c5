"""Finds policies whose rules about fields contradict each other: two values for one field, or a value for a field that is
removed. The order of policies does not matter, so neither policy could win.

In: all policies of a folder. Out: an error for each contradiction. Policies that never apply to the same request do not
contradict each other; that must follow from their routes or their tenants alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations_with_replacement, product
from pathlib import PurePath

from guardproxy.errors import PolicyError
from guardproxy.policy.conditions.matching import Match, is_route, may_share_a_name
from guardproxy.policy.values.document import Policy
from guardproxy.policy.values.strictness import same
from guardproxy.wire import FieldPath, codecs


def conflicts(policies: Sequence[Policy]) -> Iterator[PolicyError]:
    """Yields an error for each contradiction, at the place of the second policy."""
    declared = (route for policy in policies for format_ in policy.formats for route in format_.routes)
    routes = [*(route for codec in codecs() for route in codec.routes), *declared]
    changing = [policy for policy in policies if policy.fields.values or policy.fields.strip]
    for first, second in combinations_with_replacement(changing, 2):
        if are_apart(first, second, routes):
            continue
        for text, other in product(_changed(first), _changed(second)):
            if _contradict(first, text, second, other):
                place = second.fields.places[other]
                there = first.fields.places[text]
                message = (
                    f"`{other[0]}` of `{other[1]}` contradicts `{text[0]}` of `{text[1]}` "
                    f"({PurePath(there.path or first.source).name}:{there.line}:{there.column}): both can apply to a "
                    "request, and the order of policies does not matter"
                )
                yield PolicyError(message, place.path or second.source, place.line, place.column)


def are_apart(first: Policy, second: Policy, routes: Sequence[str]) -> bool:
    """Whether two policies never apply to the same request, whatever its model, headers and conditions are. `routes`: those of
    all formats."""
    return (
        first.name in second.stands_for
        or second.name in first.stands_for
        or _never_together(first.match, second.match, routes)
    )


def _changed(policy: Policy) -> list[tuple[str, str]]:
    return [(action, text) for action, text in policy.fields.paths() if action != "refuse"]


def _contradict(first: Policy, own: tuple[str, str], second: Policy, other: tuple[str, str]) -> bool:
    if first is second and own >= other:
        return False
    path, another = FieldPath(own[1]), FieldPath(other[1])
    if own[0] == other[0] == "strip" or not (path.is_part_of(another) or another.is_part_of(path)):
        return False
    is_same = path.is_part_of(another) and another.is_part_of(path)
    is_same_value = same(first.fields.values.get(own[1]), second.fields.values.get(other[1]))
    return not (own[0] == other[0] and is_same and is_same_value)


def _never_together(first: Match, second: Match, routes: Sequence[str]) -> bool:
    """Whether no request matches both, whatever its model, headers and conditions are. `routes`: those of all formats."""
    if not any(is_route(first.routes, route) and is_route(second.routes, route) for route in routes):
        return True
    return not may_share_a_name(first.tenants, second.tenants)
