"""Allow lists: values that are no finding of a check (`allow: [support@clinic.example]`).

In: a check with its options, and windows. Out: the check's scans without the findings that are allowed; those are in
`Scan.allowed`. Kept: nothing between scans.

A finding is allowed only as a whole: the characters of its span, as they stand in the text, are compared with the
values (`AllowList.has`). A finding that covers more than a value stays, and so does a finding that covers a disguised
value, since the text that hides it has other characters. A place that could not be decoded is never allowed.

Two values are equal if they have the same characters. For some labels, which the check names, more values are equal:

- `any_case`: capitals count as small letters, in texts that are in the normal form NFKC. So a letter that only looks
  like another, such as the sign of Kelvin for `K`, makes another value.
- `numbers`: of texts in ASCII only letters, in any case, and digits count, if nothing else than `SEPARATORS` stands
  between them.

A pattern must match all of the finding, which is in the normal form NFKC and holds nothing that is invisible or folded.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import re2
from msgspec import structs

from guardproxy.checks._shared.declared.options import Option, Options, options_digest
from guardproxy.checks._shared.evasions.folding import has_hidden, table
from guardproxy.checks._shared.evasions.unfolding import UNDECODED
from guardproxy.checks._shared.patterns.reach import compile_pattern, why_refused
from guardproxy.errors import OptionError
from guardproxy.findings import Advice, Check, Finding, Scan, Traits, Window

VERSION = 1
VALUES_LIMIT = 50_000
VALUE_CHARS_LIMIT = 1000
PATTERNS_LIMIT = 100
SEPARATORS = " -./()+"
_TEXTS = {"type": "array", "items": {"type": "string", "pattern": r"\S"}}
ALLOW: Options = {
    "allow": Option("Values that are not findings.", _TEXTS, default=[], tighter="shorter"),
    "allow_patterns": Option(
        "Patterns in RE2 syntax. A value that one of them matches as a whole is not a finding.",
        _TEXTS,
        default=[],
        tighter="shorter",
    ),
}
_UNALIKE = ("anna.meyer@mail.test", "+49 30 901820", "DE89370400440532013000", "Anna Meyer", "sk-proj_7Hq2Lw9")
_SURROGATE = re.compile("[\ud800-\udfff]")
_PACK = str.maketrans("", "", SEPARATORS)


class AllowList:
    """Values and patterns of a policy. `numbers`, `any_case`: the labels whose values are compared so."""

    def __init__(
        self,
        values: Sequence[str],
        patterns: Sequence[Any] = (),
        *,
        numbers: Collection[str] = (),
        any_case: Collection[str] = (),
    ) -> None:
        self._values = frozenset(values)
        self._numbers = frozenset(filter(None, map(_packed, values)))
        self._small = frozenset(filter(None, map(_small, values)))
        self._patterns = tuple(patterns)
        self._number_labels = frozenset(numbers)
        self._any_case_labels = frozenset(any_case)

    @property
    def digest(self) -> str:
        parts = (
            self._values,
            [pattern.pattern for pattern in self._patterns],
            self._number_labels,
            self._any_case_labels,
        )
        return options_digest("allow", VERSION, {}, *(" ".join(map(repr, sorted(part))) for part in parts))

    def has(self, label: str, text: str) -> bool:
        """Whether a finding that covers `text` is allowed."""
        if text in self._values:
            return True
        if label in self._number_labels and _packed(text) in self._numbers:
            return True
        if label in self._any_case_labels and _small(text) in self._small:
            return True
        return bool(self._patterns) and _is_plain(text) and any(pattern.fullmatch(text) for pattern in self._patterns)


def _packed(text: str) -> str:
    """Returns the letters and digits of a number; empty if other characters stand in it."""
    packed = text.translate(_PACK) if text.isascii() else ""
    return packed.lower() if packed.isalnum() else ""


def _small(text: str) -> str:
    """Returns a text in small letters; empty if it is not in the normal form."""
    return text.lower() if unicodedata.is_normalized("NFKC", text) else ""


def _is_plain(text: str) -> bool:
    """Whether patterns may read a text: it is in the normal form, nothing is hidden in it, and RE2 can read it."""
    is_normal = unicodedata.is_normalized("NFKC", text) and not _SURROGATE.search(text)
    return is_normal and not has_hidden(text, table(strict=False))


@dataclass(frozen=True, slots=True)
class Allowing:
    """A `Check` that wraps another check and takes the allowed findings out of its scans."""

    inner: Check
    allow_list: AllowList = field(repr=False)
    digest: str
    traits: Traits

    @property
    def name(self) -> str:
        return self.inner.name

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        """See `Check.scan`."""
        return list(map(self._divide, windows, self.inner.scan(windows)))

    def _divide(self, window: Window, scan: Scan) -> Scan:
        parts: tuple[list[Finding], list[Finding]] = ([], [])
        for finding in scan.findings:
            parts[self._is_allowed(window, finding)].append(finding)
        findings, allowed = map(tuple, parts)
        return structs.replace(scan, findings=findings, allowed=allowed) if allowed else scan

    def _is_allowed(self, window: Window, finding: Finding) -> bool:
        text = window.text[finding.start - window.start : finding.end - window.start]
        return finding.label != UNDECODED and self.allow_list.has(finding.label, text)


def allow_list(
    options: Mapping[str, Any], *, numbers: Collection[str] = (), any_case: Collection[str] = ()
) -> AllowList | None:
    """Reads the options `allow` and `allow_patterns`; `None` without any. Raises `OptionError`.

    `numbers`, `any_case`: the labels of the check whose values are compared so.
    """
    values = [value.strip() for value in _texts(options, "allow", VALUES_LIMIT)]
    patterns = _texts(options, "allow_patterns", PATTERNS_LIMIT)
    if not values and not patterns:
        return None
    compiled = [_pattern(at, pattern) for at, pattern in enumerate(patterns)]
    return AllowList(values, compiled, numbers=numbers, any_case=any_case)


def allowing(check: Check, allowed: AllowList | None, options: Mapping[str, Any]) -> Check:
    """Returns a check with an allow list; the check itself without one."""
    if allowed is None:
        return check
    traits = replace(check.traits, advice=(*check.traits.advice, *_advice(options)))
    return Allowing(check, allowed, options_digest("allowing", VERSION, {}, check.digest, allowed.digest), traits)


def _texts(options: Mapping[str, Any], key: str, limit: int) -> Sequence[str]:
    value = options.get(key, [])
    if not isinstance(value, list):
        raise OptionError(key, f"`{key}` must be a list of texts")
    for at, text in enumerate(value):
        if isinstance(text, int | float) and not isinstance(text, bool):
            raise OptionError(key, f"`{key}` holds a number; quote it, so that all of its characters stay", at)
        if not isinstance(text, str) or not text.strip():
            raise OptionError(key, f"`{key}` must be a list of non-empty texts", at)
        if len(text) > VALUE_CHARS_LIMIT:
            raise OptionError(key, f"an entry of `{key}` has at most {VALUE_CHARS_LIMIT} characters", at)
    if len(value) > limit:
        raise OptionError(key, f"`{key}` has at most {limit} entries", limit)
    return value


def _pattern(at: int, pattern: str) -> Any:
    try:
        return compile_pattern(pattern)
    except UnicodeEncodeError:
        raise OptionError("allow_patterns", f"pattern {at + 1} holds a lone surrogate", at) from None
    except re2.error as error:
        raise OptionError("allow_patterns", f"pattern {at + 1}: {why_refused(error)}", at) from None


def _advice(options: Mapping[str, Any]) -> Iterator[Advice]:
    """Yields advice on patterns that match values of different kinds."""
    for at, pattern in enumerate(options.get("allow_patterns", [])):
        compiled = compile_pattern(pattern)
        matched = [text for text in _UNALIKE if compiled.fullmatch(text)]
        if len(matched) > 1:
            shown = " and ".join(f"`{text}`" for text in matched[:2])
            message = (
                f"pattern {at + 1} matches {shown}, so it may allow everything; write what the values have in common"
            )
            yield Advice("allow_patterns", message, at, serious=True)
