"""The sections of a policy file that belong to tasks of the gateway, such as `limits`.

A section is a module of this package with a `Section`. It is inherited by `extends`, and may become stricter there if it has an
order. Add a section: write its module and add it to `_ALL`; every part of the proxy then asks its declaration.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from guardproxy.policy.sections.cache import CACHE, CacheSection, merge_caches
from guardproxy.policy.sections.documents import DOCUMENTS, DocumentsSection
from guardproxy.policy.sections.judge import JUDGE, JudgeSection
from guardproxy.policy.sections.limits import LIMITS
from guardproxy.policy.sections.models import ALLOW, DENY
from guardproxy.policy.sections.prices import PRICES
from guardproxy.policy.sections.prompt import PROMPT, Marking, PromptSection
from guardproxy.policy.sections.route import ROUTE, Destination, RouteSection
from guardproxy.policy.sections.section import BoundSection, NeededUpstream, Section
from guardproxy.policy.sections.tools import TOOLS, ToolsSection

_ALL: tuple[Section[Any], ...] = (ALLOW, DENY, CACHE, DOCUMENTS, JUDGE, LIMITS, PRICES, PROMPT, ROUTE, TOOLS)
SECTIONS: Mapping[str, Section[Any]] = {section.name: section for section in _ALL}

__all__ = [
    "CACHE",
    "DOCUMENTS",
    "JUDGE",
    "LIMITS",
    "PRICES",
    "PROMPT",
    "ROUTE",
    "SECTIONS",
    "BoundSection",
    "CacheSection",
]
__all__ += ["Destination", "JudgeSection", "Marking", "NeededUpstream", "PromptSection", "RouteSection"]
__all__ += ["TOOLS", "DocumentsSection", "Section", "ToolsSection", "merge_caches"]
