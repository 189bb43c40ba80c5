"""The check `canary`: the secret word that a policy puts into the system prompt, in any text.

In: windows of text, with the word in their facts. Out: findings with the label `CANARY`. Kept: the patterns of the last words.
`_shared/patterns/reach.py` describes the search in growing text; `_shared/evasions/unfolding.py` the disguises that are undone
first.

A word (`exchange/inputs/prompts.py`) has 24 letters that depend on the proxy's key and on the tenant. Each half of it is found:
as it is, in any case, with up to three signs or spaces between letters, backwards, in Base64 at any offset, and in hexadecimal
digits. A half has 48 bits, so no text holds it by chance. A model that translates the word letter by letter is not found.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import re2

from guardproxy.checks._shared.declared.contract import Resources
from guardproxy.checks._shared.declared.options import Options, options_digest, with_defaults
from guardproxy.checks._shared.evasions.unfolding import EVASIONS, unfolding
from guardproxy.checks._shared.patterns.reach import Reach, rule
from guardproxy.findings import Check, Scan, Traits, Window

VERSION = 1
LABEL = "CANARY"
OPTIONS: Options = {"evasions": EVASIONS}
_GAP = "[^A-Za-z0-9]{0,3}"
_WORDS = 64  # tenants whose patterns are kept


def build(name: str, options: Mapping[str, Any], resources: Resources) -> Check:
    """Builds the check `name`. Raises `OptionError` for an unknown option or profile."""
    with_defaults(options, OPTIONS)
    traits = Traits(needs_canary=True, labels=frozenset((LABEL,)))
    return unfolding(_CanaryCheck(name, options_digest("canary", VERSION, {}), traits), options)


@dataclass(frozen=True, slots=True)
class _CanaryCheck:
    name: str
    digest: str
    traits: Traits

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        """See `Check.scan`. Without a word there is nothing to find."""
        return [self._scan(window) for window in windows]

    def _scan(self, window: Window) -> Scan:
        if not window.facts.canary:
            end = window.start + len(window.text)
            return Scan((), end, end)
        return _reach(window.facts.canary).scan(self.name, window)


@lru_cache(_WORDS)
def _reach(canary: str) -> Reach:
    return Reach([rule(LABEL, "|".join(patterns(canary)), cap=256)])


def patterns(canary: str) -> Iterator[str]:
    """Yields the patterns of a word."""
    half = len(canary) // 2
    for word in (canary, canary[::-1]):
        first, second = (_GAP.join(part) for part in (word[:half], word[half:]))
        yield f"(?i:{first}(?:{_GAP}{second})?|{second})"
    for part in (canary[:half], canary[half:]):
        yield f"(?i:{'[^A-Za-z0-9]{0,2}'.join(f'{ord(letter):02x}' for letter in part)})"
        yield from map(_base64_pattern, _in_base64(part))
        yield from map(_base64_pattern, _in_base64(part.upper()))


def _in_base64(text: str) -> Iterator[str]:
    """Yields the signs of Base64 that depend on the text alone, for each of the three offsets at which it may begin."""
    data = text.encode()
    for offset in range(3):
        encoded = base64.b64encode(bytes(offset) + data + bytes(3)).decode()
        yield encoded[-(-offset * 8 // 6) : (offset + len(data)) * 8 // 6]


def _base64_pattern(signs: str) -> str:
    return "".join({"+": "[+-]", "/": "[/_]"}.get(sign) or re2.escape(sign) for sign in signs)
