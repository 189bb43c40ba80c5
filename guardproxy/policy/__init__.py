"""Reads policy files into rules, and turns findings into a decision."""

from __future__ import annotations

from guardproxy.policy.about import About, first_language
from guardproxy.policy.cases import (
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
from guardproxy.policy.cel import compile_cel
from guardproxy.policy.costs import refuse_unpriced
from guardproxy.policy.coverage_table import CoverageRow, FieldRow, coverage, denied_fields, field_table, table
from guardproxy.policy.document import KINDS_OF, SEVERITIES, AlertFormat, CheckSpec, Match, Policy, Rule, header_of
from guardproxy.policy.document_schema import schema
from guardproxy.policy.evaluate import BoundRule, BoundRules, Outcome, PolicySet
from guardproxy.policy.expression import CHECK_ERROR, RESERVED, And, Expression, Name
from guardproxy.policy.feedback import feedback_policies
from guardproxy.policy.fields import FieldChange, FieldRules
from guardproxy.policy.keeping import Keeping
from guardproxy.policy.limiting import (
    LARGEST,
    MICRO,
    LimitFault,
    LimitRule,
    StoredLimit,
    Unit,
    amount_words,
    limit_rule,
    limit_words,
    number_words,
)
from guardproxy.policy.lint import Note, notes
from guardproxy.policy.load import Files, PolicyErrors, build_checks, load_file, load_folder, parse
from guardproxy.policy.matching import MatchVerdict
from guardproxy.policy.naming import model_key, model_readings
from guardproxy.policy.pricing import MOST_CHARS, MOST_MODELS, Price, PriceList, Rates, TokenUse, keep, whole
from guardproxy.policy.reading import did_you_mean, join
from guardproxy.policy.rollout import WHOLE, place_of, reach
from guardproxy.policy.sections import BoundSection, CacheSection, JudgeSection, merge_caches
from guardproxy.policy.sections.prompt import Marking, PromptSection
from guardproxy.policy.sections.route import Destination, RouteSection
from guardproxy.policy.strictness import (
    ACTIONS,
    SCALES,
    VERDICTS,
    Order,
    Verdict,
    canonical,
    compare,
    compare_conditions,
    compare_operators,
    compare_options,
    compare_restorations,
    compare_sets,
    compare_shares,
    items,
    same,
    strongest,
    verdict_of,
)
from guardproxy.policy.tally import Tally
from guardproxy.policy.tenancy import refuse_strangers
from guardproxy.policy.tree import FilePlace

__all__ = [
    "ACTIONS",
    "ANY_LIMIT",
    "CHECK_ERROR",
    "KINDS_OF",
    "LARGEST",
    "MICRO",
    "MOST_CHARS",
    "MOST_MODELS",
    "NO_LIMIT",
    "RESERVED",
    "SCALES",
    "SEVERITIES",
    "VERDICTS",
    "WHOLE",
    "About",
    "AlertFormat",
    "And",
    "BoundRule",
    "BoundRules",
    "BoundSection",
    "CacheSection",
    "CheckSpec",
    "CoverageRow",
    "Destination",
    "Expectation",
    "ExpectedFinding",
    "Expression",
    "FieldChange",
    "FieldRow",
    "FieldRules",
    "FilePlace",
    "Files",
    "JudgeSection",
    "Keeping",
    "LimitFault",
    "LimitRule",
    "LogLine",
    "Marking",
    "Match",
    "MatchVerdict",
    "Name",
    "Note",
    "Order",
    "Outcome",
    "Policy",
    "PolicyErrors",
    "PolicySet",
    "PolicyTest",
    "Price",
    "PriceList",
    "PromptSection",
    "Rates",
    "RawExchange",
    "RequestFacts",
    "RouteSection",
    "Rule",
    "StoredLimit",
    "Tally",
    "Texts",
    "TokenUse",
    "Unit",
    "Verdict",
    "amount_words",
    "build_checks",
    "canonical",
    "compare",
    "compare_conditions",
    "compare_operators",
    "compare_options",
    "compare_restorations",
    "compare_sets",
    "compare_shares",
    "compile_cel",
    "coverage",
    "denied_fields",
    "did_you_mean",
    "feedback_policies",
    "field_table",
    "first_language",
    "header_of",
    "items",
    "join",
    "keep",
    "limit_rule",
    "limit_words",
    "load_file",
    "load_folder",
    "merge_caches",
    "model_key",
    "model_readings",
    "notes",
    "number_words",
    "parse",
    "place_of",
    "reach",
    "refuse_strangers",
    "refuse_unpriced",
    "same",
    "schema",
    "strongest",
    "table",
    "verdict_of",
    "whole",
]
