"""The sections of a policy file that belong to tasks of the gateway, such as `limits`.

A section is a module of this package with a `Section`. It is inherited by `extends` and may not change there. Add a section:
write its module and add it to `_ALL`; the reader, the JSON Schema and `BoundRules.sections` then know it.
"""

from __future__ import annotations

from collections.abc import Mapping

from guardproxy.policy.sections import cache, judge, limits, prices, prompt, route
from guardproxy.policy.sections.cache import CacheSection, merge_caches
from guardproxy.policy.sections.judge import JudgeSection
from guardproxy.policy.sections.section import BoundSection, Section

_ALL: tuple[Section, ...] = (
    *(cache.SECTION, judge.SECTION, limits.SECTION, prices.SECTION, prompt.SECTION, route.SECTION),
)
SECTIONS: Mapping[str, Section] = {section.name: section for section in _ALL}

__all__ = ["SECTIONS", "BoundSection", "CacheSection", "JudgeSection", "Section", "merge_caches"]
