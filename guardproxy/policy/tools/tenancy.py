"""Checks the names of tenants in policies: the settings must give each name to a credential.

In: policies and the names of tenants. Out: `PolicyErrors` with the place of each name without a credential. A policy for such a
name would pass its tests and never apply.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from guardproxy.conditions.canonical_names import lower_case
from guardproxy.errors import PolicyError
from guardproxy.policy.conditions.cel import Token, literal, tokens_of
from guardproxy.policy.conditions.matching import is_any
from guardproxy.policy.deciding.evaluate import PolicySet
from guardproxy.policy.file.load import PolicyErrors
from guardproxy.policy.values.document import Policy
from guardproxy.policy.yaml.reading import did_you_mean, join
from guardproxy.policy.yaml.tree import FilePlace

_METHODS: dict[str, Callable[[str, str], bool]] = {
    "startsWith": str.startswith,
    "endsWith": str.endswith,
    "contains": str.__contains__,
}


def refuse_strangers(policies: PolicySet, names: Sequence[str]) -> None:
    """Raises `PolicyErrors` for names of tenants in policies that are not among `names`. A glob must match a name, or
    the empty name of a client without a name."""
    errors: dict[tuple[FilePlace, str], PolicyError] = {}
    for policy in policies.policies:
        for place, text, fits in _tenant_names(policy):
            if not any(fits(lower_case(name)) for name in (*names, "")):
                path = place.path or policy.source
                error = PolicyError(_message(text, names), path, place.line, place.column)
                errors.setdefault((FilePlace(place.line, place.column, path), text), error)
    if errors:
        raise PolicyErrors(sorted(errors.values(), key=lambda error: (error.path, error.line, error.column)))


def _message(text: str, names: Sequence[str]) -> str:
    if not names:
        return f"no credential belongs to the tenant `{text}`: no tenant is configured; add --tenant {text}=sha256:HEX"
    near = did_you_mean(text, names)
    return f"no credential belongs to the tenant `{text}`{near or f' (tenants: {join(sorted(names))})'}"


NameUse = tuple[FilePlace, str, Callable[[str], bool]]


def _tenant_names(policy: Policy) -> Iterator[NameUse]:
    """Yields each name in a policy with its place, and a test whether a tenant's lower-case name fits it."""
    match = policy.match
    for number, glob in enumerate(match.tenants or ()):
        place = match.places.get(f"tenants[{number}]", match.places.get("tenants[0]", policy.place))
        name = policy.tenant or glob
        yield place, name, partial(is_any, (lower_case(glob),))
    if match.when is None:
        return
    place = match.places.get("when", policy.place)
    tokens = list(tokens_of(match.when.text))
    for at in range(len(tokens) - 2):
        if [token.text for token in tokens[at : at + 3]] == ["tenant", ".", "name"]:
            for token, fits in _compared_texts(tokens, at):
                yield place, literal(token), fits


def _compared_texts(tokens: Sequence[Token], at: int) -> Iterator[tuple[Token, Callable[[str], bool]]]:
    """Yields the texts that an expression compares with the `tenant.name` at token `at`, each with its test."""
    before, after = tokens[max(0, at - 2) : at], tokens[at + 3 :]
    words = [token.text for token in after[:3]]
    if len(before) == 2 and before[1].text in ("==", "!=") and before[0].kind == "text":
        yield before[0], _equal(before[0])
    if words[:1] in (["=="], ["!="]) and len(after) > 1 and after[1].kind == "text":
        yield after[1], _equal(after[1])
    elif words[:2] == ["in", "["]:
        for token in after[2:]:  # pragma: no branch - an expression that was compiled has the bracket
            if token.text == "]":
                break
            if token.kind == "text":
                yield token, _equal(token)
    elif len(after) > 3 and words[:1] == ["."] and words[2:] == ["("] and after[3].kind == "text":
        text = literal(after[3])
        if words[1] == "matches":
            # The pattern is in the syntax of RE2, which `re` may not accept.
            yield after[3], lambda name: _matches(text, name)
        elif words[1] in _METHODS:  # pragma: no branch - no other function takes a text
            yield after[3], lambda name: _METHODS[words[1]](name, lower_case(text))


def _equal(token: Token) -> Callable[[str], bool]:
    return lambda name: name == lower_case(literal(token))


def _matches(pattern: str, name: str) -> bool:
    try:
        return re.search(pattern, name, re.IGNORECASE) is not None
    except re.error:
        return True
