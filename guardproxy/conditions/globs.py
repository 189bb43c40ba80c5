"""Globs of names, compared without regard to case. Kept: a cache of compiled globs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import translate
from functools import lru_cache

from guardproxy.conditions.canonical_names import lower_case


def fits(globs: tuple[str, ...], spellings: Iterable[str]) -> bool:
    """Whether a glob matches a spelling, ignoring case."""
    patterns = (pattern_of(globs), pattern_of(in_lower_case(globs)))
    return any(pattern.match(text) for text in spellings for pattern in patterns)


@lru_cache(maxsize=4096)
def in_lower_case(globs: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the globs in lower case and compatibility form."""
    return tuple(map(lower_case, globs))


@lru_cache(maxsize=4096)
def pattern_of(globs: tuple[str, ...]) -> re.Pattern[str]:
    """Returns a pattern that matches the names of one of the globs, as they are spelled."""
    return re.compile("|".join(map(translate, globs)) or r"(?!)")
