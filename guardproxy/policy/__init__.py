"""Reads policy files into rules, and turns findings into a decision.

Sets of policies, and what they decide, are offered here; the values that a policy file holds in `values`, limits and prices in
`usage`, its sections in `sections`, the reading of files in `file`, and the examination of a set in `tools`.
"""

from __future__ import annotations

from guardproxy.policy.conditions.cel import compile_cel
from guardproxy.policy.conditions.expression import CHECK_ERROR, RESERVED, And, Expression, Name
from guardproxy.policy.conditions.matching import MatchVerdict
from guardproxy.policy.conditions.request_context import About, first_language
from guardproxy.policy.deciding.evaluate import BoundRule, BoundRules, Keeping, Outcome, PolicySet
from guardproxy.policy.deciding.tally import Tally
from guardproxy.policy.yaml.tree import FilePlace

__all__ = [
    "CHECK_ERROR",
    "RESERVED",
    "About",
    "And",
    "BoundRule",
    "BoundRules",
    "Expression",
    "FilePlace",
    "Keeping",
    "MatchVerdict",
    "Name",
    "Outcome",
    "PolicySet",
    "Tally",
    "compile_cel",
    "first_language",
]
