"""The values that policy files hold, actions included: one frozen type for each, with its order of strictness."""

from __future__ import annotations

from guardproxy.policy.values.actions import ACTIONS, VERDICTS, Effect, Verdict, action_of, decides, verdict_of
from guardproxy.policy.values.cases import (
    ANY_LIMIT,
    NO_LIMIT,
    Expectation,
    ExpectedFinding,
    LogLine,
    PolicyTest,
    RawExchange,
    RequestFacts,
    Texts,
)
from guardproxy.policy.values.document import (
    KINDS_OF,
    SEVERITIES,
    AlertFormat,
    CheckSpec,
    Match,
    Policy,
    Rule,
    header_of,
)
from guardproxy.policy.values.fields import BoundFields, FieldChange
from guardproxy.policy.values.rollout import WHOLE, reach
from guardproxy.policy.values.strictness import (
    SCALES,
    Order,
    canonical,
    compare,
    compare_conditions,
    compare_operators,
    compare_options,
    compare_restorations,
    compare_shares,
    same,
    strongest,
)

__all__ = [
    "ACTIONS",
    "ANY_LIMIT",
    "KINDS_OF",
    "NO_LIMIT",
    "SCALES",
    "SEVERITIES",
    "VERDICTS",
    "WHOLE",
    "AlertFormat",
    "BoundFields",
    "CheckSpec",
    "Effect",
    "Expectation",
    "ExpectedFinding",
    "FieldChange",
    "LogLine",
    "Match",
    "Order",
    "Policy",
    "PolicyTest",
    "RawExchange",
    "RequestFacts",
    "Rule",
    "Texts",
    "Verdict",
    "action_of",
    "canonical",
    "compare",
    "compare_conditions",
    "compare_operators",
    "compare_options",
    "compare_restorations",
    "compare_shares",
    "decides",
    "header_of",
    "reach",
    "same",
    "strongest",
    "verdict_of",
]
