"""Placeholders: what stands for a redacted value, and how the value comes back.

`[EMAIL_ADDRESS_kqvmzrtbnxwp]`: a label and twelve letters of an HMAC over tenant, label and value. Nothing is stored: the
same value gives the same placeholder on every replica, after every restart, in every turn, and since a client sends its
conversation again with each request, the values to restore are always at hand. Letters only, so that no check takes
it for a number; no quote or backslash, so that JSON stays JSON; what is not in this exchange's own list stays text.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from guardproxy.findings import Finding, Scan, Window

LETTERS = "bcdfghjkmnpqrtvz"  # sixteen consonants without l and s: no words, no look-alikes
_COUNT = 12
LABEL_LIMIT = 40
PLACEHOLDER = re.compile(rf"\[[A-Z][A-Z0-9_]{{0,{LABEL_LIMIT}}}_[{LETTERS}]{{{_COUNT}}}\]")
_BEGUN = re.compile(rf"\[(?:[A-Z][A-Z0-9_]{{0,{LABEL_LIMIT}}}(?:_[{LETTERS}]{{0,{_COUNT}}})?)?\Z")
RESTORE = "@restore"  # no check of a policy can be called so


def mint(key: bytes, tenant: str, label: str, value: str) -> str:
    """The placeholder of `value`. `key`: at least 16 secret bytes, the same on every replica."""
    plain = f"{len(tenant)}:{tenant}{len(label)}:{label}{value}".encode()
    digest = hmac.digest(key, plain, hashlib.sha256)
    bits = int.from_bytes(digest[:8], "big")
    letters = "".join(LETTERS[(bits >> 4 * at) & 15] for at in range(_COUNT))
    name = re.sub(r"[^A-Z0-9_]", "_", label.upper())[:LABEL_LIMIT].lstrip("_0123456789") or "VALUE"
    return f"[{name}_{letters}]"


def hashed(key: bytes, tenant: str, hash_type: str, value: str) -> str:
    """The keyed hash of `value` in hexadecimal digits: `hash_type` is `sha256` or `sha512`."""
    return hmac.new(key, f"hash {len(tenant)}:{tenant}{value}".encode(), hash_type).hexdigest()


@dataclass(slots=True)
class Restoring:
    """A check that finds this exchange's own placeholders and stand-ins, so that they are put back like any other edit.

    `values`: what stands for a value -> the value.
    """

    values: Mapping[str, str]
    name: str = RESTORE
    digest: str = ""
    _known: int = 0  # how many values the two below were made of
    _pattern: re.Pattern[str] = PLACEHOLDER  # and the stand-ins: they have any shape, so each is looked for as it is
    _begun: frozenset[str] = frozenset()  # every text that one of them begins with
    _longest: int = 0

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        if self._known != len(self.values):
            self._known = len(self.values)
            others = sorted((one for one in self.values if not PLACEHOLDER.fullmatch(one)), key=len, reverse=True)
            # A placeholder first, whosever it is: the letters inside of it are not the stand-in that they may also be.
            self._pattern = re.compile("|".join([PLACEHOLDER.pattern, *map(re.escape, others)]))
            self._begun = frozenset(one[:size] for one in others for size in range(1, len(one)))
            self._longest = max(map(len, self._begun), default=0)
        return [self._scan(window) for window in windows]

    def _scan(self, window: Window) -> Scan:
        text = window.text
        matches = list(self._pattern.finditer(text))
        end = len(text) if window.last else self._unfinished(text, [match.span() for match in matches])
        settled = max(window.start + end, window.settled)
        spans = (
            (window.start + match.start(), window.start + match.end())
            for match in matches
            if match.end() <= end and match[0] in self.values
        )
        own = (Finding(low, high, self.name, "PLACEHOLDER", 1.0) for low, high in spans if low >= window.settled)
        return Scan(tuple(own), settled, settled)

    def _unfinished(self, text: str, found: Sequence[tuple[int, int]]) -> int:
        """Where something begins that more text could make one of ours, or a longer one; else the end."""
        begun = text.rfind("[")  # none can lie inside a placeholder, so only the last can still be open
        end = begun if begun >= 0 and _BEGUN.match(text, begun) else len(text)
        for at in range(max(0, len(text) - self._longest), end):
            if text[at:] in self._begun and not any(low < at < high for low, high in found):
                return at
        return end
