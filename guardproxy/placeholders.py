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

_LETTERS = "bcdfghjkmnpqrtvz"  # sixteen consonants without l and s: no words, no look-alikes
_COUNT = 12
LABEL_LIMIT = 40
PLACEHOLDER = re.compile(rf"\[[A-Z][A-Z0-9_]{{0,{LABEL_LIMIT}}}_[{_LETTERS}]{{{_COUNT}}}\]")
_BEGUN = re.compile(rf"\[(?:[A-Z][A-Z0-9_]{{0,{LABEL_LIMIT}}}(?:_[{_LETTERS}]{{0,{_COUNT}}})?)?\Z")
RESTORE = "@restore"  # no check of a policy can be called so


def mint(key: bytes, tenant: str, label: str, value: str) -> str:
    """The placeholder of `value`. `key`: at least 16 secret bytes, the same on every replica."""
    plain = f"{len(tenant)}:{tenant}{len(label)}:{label}{value}".encode()
    digest = hmac.digest(key, plain, hashlib.sha256)
    bits = int.from_bytes(digest[:8], "big")
    letters = "".join(_LETTERS[(bits >> 4 * at) & 15] for at in range(_COUNT))
    name = re.sub(r"[^A-Z0-9_]", "_", label.upper())[:LABEL_LIMIT].lstrip("_0123456789") or "VALUE"
    return f"[{name}_{letters}]"


@dataclass(frozen=True, slots=True)
class Restoring:
    """A check that finds this exchange's own placeholders, so that they are put back like any other edit.

    `values`: placeholder -> value.
    """

    values: Mapping[str, str]
    name: str = RESTORE
    digest: str = ""

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        return [self._scan(window) for window in windows]

    def _scan(self, window: Window) -> Scan:
        found = tuple(
            Finding(window.start + match.start(), window.start + match.end(), self.name, "PLACEHOLDER", 1.0)
            for match in PLACEHOLDER.finditer(window.text)
            if match[0] in self.values
        )
        end = len(window.text)
        if not window.last:
            begun = window.text.rfind("[")  # none can lie inside a placeholder, so only the last can still be open
            if begun >= 0 and _BEGUN.match(window.text, begun):
                end = begun
        settled = max(window.start + end, window.settled)
        return Scan(tuple(one for one in found if one.start >= window.settled), settled, settled)
