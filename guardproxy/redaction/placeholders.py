"""Placeholders: texts that replace redacted values, and the check that restores the values.

`[EMAIL_ADDRESS_kqvmzrtbnxwp]`: a label and twelve letters of an HMAC over tenant, label and value. No table is needed: the
same value gives the same placeholder on every replica, after every restart and in every turn. A client sends its
conversation again with each request, or refers to turns whose values are kept, so the values to restore are at hand. A
placeholder has letters only, so that no check takes it for a number, and no quote or backslash, so that JSON stays valid. A
placeholder whose value this exchange does not have is not restored.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os.path import commonprefix

from guardproxy.findings import QUICK, Finding, Scan, Traits, Window
from guardproxy.redaction.restoration import EVERYWHERE, Restoration
from guardproxy.urls import Reading, host_follows

__all__ = [
    "IN_FORM",
    "IN_OTHER_TEXT",
    "IN_URL",
    "LABEL_LIMIT",
    "LETTERS",
    "PLACEHOLDER",
    "RESTORE",
    "WITHHELD",
    "Restoring",
    "alternation",
    "keyed_hash",
    "mint",
]

RESTORE = "@restore"  # the name of the check that finds placeholders; `@` keeps it apart from a policy's checks

LETTERS = "bcdfghjkmnpqrtvz"  # sixteen consonants without l and s: no words, no look-alikes
_COUNT = 12
LABEL_LIMIT = 40
_FEW = 6  # up to this number, alternatives are tried in turn
PLACEHOLDER = re.compile(rf"\[[A-Z][A-Z0-9_]{{0,{LABEL_LIMIT}}}_[{LETTERS}]{{{_COUNT}}}\]")
_BEGUN = re.compile(rf"\[(?:[A-Z][A-Z0-9_]{{0,{LABEL_LIMIT}}}(?:_[{LETTERS}]{{0,{_COUNT}}})?)?\Z")
IN_URL = "PLACEHOLDER_IN_URL"
IN_FORM = "PLACEHOLDER_IN_FORM"
IN_OTHER_TEXT = "PLACEHOLDER_IN_OTHER_TEXT"
WITHHELD = frozenset((IN_URL, IN_FORM, IN_OTHER_TEXT))
"""Labels of placeholders that are not restored: inside a URL, inside a form, or in a kind of text that the policy leaves
out."""


def mint(key: bytes, tenant: str, label: str, value: str) -> str:
    """Returns the placeholder of `value`. `key`: at least 16 secret bytes, the same on every replica."""
    plain = f"{len(tenant)}:{tenant}{len(label)}:{label}{value}".encode()
    digest = hmac.digest(key, plain, hashlib.sha256)
    bits = int.from_bytes(digest[:8], "big")
    letters = "".join(LETTERS[(bits >> 4 * at) & 15] for at in range(_COUNT))
    name = re.sub(r"[^A-Z0-9_]", "_", label.upper())[:LABEL_LIMIT].lstrip("_0123456789") or "VALUE"
    return f"[{name}_{letters}]"


def keyed_hash(key: bytes, tenant: str, hash_type: str, value: str) -> str:
    """Returns the keyed hash of `value` in hexadecimal digits. `hash_type`: `sha256` or `sha512`."""
    return hmac.new(key, f"hash {len(tenant)}:{tenant}{value}".encode(), hash_type).hexdigest()


def alternation(texts: Sequence[str], depth: int = 6) -> str:
    """Returns a regular expression that matches any of `texts`, the longest first.

    Texts with a common beginning are grouped, at most `depth` levels deep, so that the cost at each place of a text
    grows with the logarithm of the number of `texts` and not with the number.
    """
    if depth == 0 or len(texts) <= _FEW:
        return "|".join(map(re.escape, sorted(texts, key=len, reverse=True)))
    if shared := commonprefix(texts):  # noqa: RUF071 - the prefix of characters is needed, not of paths
        return f"{re.escape(shared)}(?:{alternation([text[len(shared) :] for text in texts], depth)})"
    by_first: dict[str, list[str]] = {}
    for text in texts:
        by_first.setdefault(text[:1], []).append(text[1:])
    ends = by_first.pop("", None)
    parts = [f"{re.escape(first)}(?:{alternation(rest, depth - 1)})" for first, rest in by_first.items()]
    return "|".join([*parts, *([""] if ends else [])])


@dataclass(slots=True)
class _Reader:
    """The URL reading of a text, which was read up to the index `at`."""

    reading: Reading
    at: int


@dataclass(slots=True)
class Restoring:
    """A check that finds this exchange's own placeholders and stand-ins, so that they are restored like any other edit.

    `values`: maps placeholders and stand-ins to the values behind them. `restorations`: where each may be restored;
    everywhere but in URLs by default. A placeholder that is not restored is a finding too, with a label of `WITHHELD`.
    """

    values: Mapping[str, str]
    restorations: Mapping[str, Restoration] = field(default_factory=dict)
    name: str = RESTORE
    digest: str = ""
    traits: Traits = QUICK
    _known: int = 0  # number of values that `_pattern` and `_begun` were built from
    _pattern: re.Pattern[str] = PLACEHOLDER  # all placeholders, and each stand-in literally, as its shape is arbitrary
    _begun: frozenset[str] = frozenset()  # every proper prefix of a stand-in
    _longest: int = 0

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        if self._known != len(self.values):
            self._known = len(self.values)
            others = [value for value in self.values if not PLACEHOLDER.fullmatch(value)]
            # Placeholders come first, also those of others: a stand-in may not match letters inside a placeholder.
            self._pattern = re.compile("|".join([PLACEHOLDER.pattern, *([alternation(others)] if others else [])]))
            self._begun = frozenset(value[:size] for value in others for size in range(1, len(value)))
            self._longest = max(map(len, self._begun), default=0)
        return [self._scan(window) for window in windows]

    def _scan(self, window: Window) -> Scan:
        text, first = window.text, window.settled - window.start
        matches = [match for match in self._pattern.finditer(text) if match.start() >= first]
        end = len(text) if window.last else self._unfinished(text, [match.span() for match in matches])
        findings: list[Finding] = []
        state = window.state
        if not isinstance(state, _Reader):
            state = _Reader(Reading(leaf=window.channel.kind == "tool_arguments"), first)
        else:
            state.at = first
        leaves = iter(window.leaves)
        leaf = next(leaves, None)
        for match in matches:
            if match.start() >= end:
                break
            begins = None
            while leaf is not None and leaf <= match.start():
                begins, leaf = leaf, next(leaves, None)
            if begins is not None:
                state.reading, state.at = Reading(leaf=True), begins
            label = self._label(window, match, state, leaf - 1 if leaf is not None else len(text))
            if label is None:
                end = match.start()
                break
            value = self.values.get(match[0])
            if value is not None:
                findings.append(
                    Finding(window.start + match.start(), window.start + match.end(), self.name, label, 1.0)
                )
            # The URL reading takes a value as the client will see it. A value may itself be a URL, so inside a URL that
            # may hold values the reading takes the placeholder.
            stays = value is None or label in WITHHELD or state.reading.is_inside()
            state.reading.feed(match[0] if stays or value is None else value)
            state.at = match.end()
        if not window.last:  # the next window starts with the text as the client sees it
            state.reading.feed(text[state.at : end])
            state.at = end
        settled = max(window.start + end, window.settled)
        return Scan(tuple(findings), settled, settled, state=state)

    def _label(self, window: Window, match: re.Match[str], state: _Reader, end: int) -> str | None:
        """Returns the label of a placeholder, which says whether its value is restored; `None` if more text is needed.

        `end`: the end of the JSON string that contains the placeholder.
        """
        state.reading.feed(window.text[state.at : match.start()])
        state.at = match.start()
        if match[0] not in self.values:
            return "PLACEHOLDER"
        where = self.restorations.get(match[0], EVERYWHERE)
        if where.kinds is not None and window.channel.kind not in where.kinds:
            return IN_OTHER_TEXT
        is_in_url = state.reading.is_inside()
        if is_in_url and (not where.hosts or state.reading.is_inside(where.hosts)):
            return IN_URL
        if state.reading.is_in_form:
            return IN_FORM
        if is_in_url:
            return "PLACEHOLDER"
        is_last = window.last or end < len(window.text)
        follows = host_follows(window.text, match.end(), end, self.values, last=is_last)
        return None if follows is None else IN_URL if follows else "PLACEHOLDER"

    def _unfinished(self, text: str, matches: Sequence[tuple[int, int]]) -> int:
        """Returns the offset from which more text could complete or lengthen a placeholder; otherwise the end of the
        text."""
        bracket = text.rfind("[")  # placeholders do not nest, so only the last bracket can be open
        end = bracket if bracket >= 0 and _BEGUN.match(text, bracket) else len(text)
        for at in range(max(0, len(text) - self._longest), end):
            if text[at:] in self._begun and not any(low < at < high for low, high in matches):
                return at
        return end
