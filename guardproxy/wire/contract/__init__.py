"""What a wire format must declare: its routes, its facts about requests, its headers, and how it writes turns and
answers."""

from __future__ import annotations

from guardproxy.wire.contract.calls import NO_CALLS, CallMap
from guardproxy.wire.contract.contract import (
    NO_DEMAND,
    Demand,
    KeyHeader,
    MediaTypes,
    QuerySyntax,
    Signs,
    TelemetryNames,
    UsageFields,
    demand_of,
    name_beside,
    unchanged,
)
from guardproxy.wire.contract.fields import denied_field, is_on
from guardproxy.wire.contract.headers import (
    AMOUNT,
    IDENTIFIER,
    NO_LIMIT_HEADERS,
    PRODUCTS,
    SWITCH,
    VERSION,
    FormatHeaders,
    HeaderFamily,
    HeaderForm,
    LimitHeaders,
    Remaining,
    header_form,
    limits_family,
)
from guardproxy.wire.contract.request_facts import EVERY_SERVER, LARGEST, USER_FIELDS, answers_of, brief_statement_of
from guardproxy.wire.contract.side_effects import never_acts
from guardproxy.wire.contract.stored import StoredIds
from guardproxy.wire.contract.turns import ModelTurn
from guardproxy.wire.contract.writing import CutText, word_parts
from guardproxy.wire.json.vocabulary import SHARED, Vocabulary

__all__ = [
    "AMOUNT",
    "EVERY_SERVER",
    "IDENTIFIER",
    "LARGEST",
    "NO_CALLS",
    "NO_DEMAND",
    "NO_LIMIT_HEADERS",
    "PRODUCTS",
    "SHARED",
    "SWITCH",
    "USER_FIELDS",
    "VERSION",
    "CallMap",
    "CutText",
    "Demand",
    "FormatHeaders",
    "HeaderFamily",
    "HeaderForm",
    "KeyHeader",
    "LimitHeaders",
    "MediaTypes",
    "ModelTurn",
    "QuerySyntax",
    "Remaining",
    "Signs",
    "StoredIds",
    "TelemetryNames",
    "UsageFields",
    "Vocabulary",
    "answers_of",
    "brief_statement_of",
    "demand_of",
    "denied_field",
    "header_form",
    "is_on",
    "limits_family",
    "name_beside",
    "never_acts",
    "unchanged",
    "word_parts",
]
