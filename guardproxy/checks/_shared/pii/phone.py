"""Telephone numbers, as `phonenumbers.PhoneNumberMatcher` finds them, for many regions at once.

In: a text. Out: the numbers of all regions. Kept: nothing between texts.

The matcher reads a text once for each region: it takes the next candidate (digits with signs between them), tests
whether the whole candidate is a valid number, then tests parts of it in a fixed order. It continues after the number
that it found, or after the candidate. The candidates and parts do not depend on the region. So this module makes them
once, and tests a region only for those whose digits can be a number of it. For that it has a pattern for each region's
national numbers and their dialling prefixes, made of the metadata that the matcher uses. The test itself is the
matcher's own.

Two things differ from Presidio. The matcher gives up on a text after 65,535 invalid parts; this search continues. And
a region is not tested for parts of a candidate that another region accepted as a whole: Presidio drops such findings,
as they lie in another finding of the same entity.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import re2

from guardproxy.checks._shared.pii.cover import UNBOUNDED, cover

_NO_DIGITS = bytes(set(range(256)) - set(b"0123456789"))
# Letters and signs of extensions: with them, not only digits matter.
_ODD = re.compile(r"[^\W\d_]|[#\uff03~\uff5e\u223c\u2053]")
_PLUS = re.compile(r"[+\uff0b\d]")
_LONG = re.compile(r"\d{20}|(?:\d+\D+){20}")
# More than an international prefix, a country code, a prefix with a carrier, and 17 digits of a number.
_MOST_DIGITS = 48
_DIALLED = 3  # from this number of letters on, the matcher reads letters as digits; fewer are dropped
_ABROAD = 5  # digits: a country code and the shortest number of any country
_TYPES = (
    "fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost", "personal_number", "voip", "pager", "uan", "voicemail",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Number:
    """A number from `start` to `end`, valid in `region`; `parsed` is the number as `phonenumbers` parses it."""

    start: int
    end: int
    region: str
    parsed: Any


class Phones:
    """Finds the numbers of some regions.

    `body`: an RE2 pattern for a text that every candidate with enough digits contains. `begin`: a pattern for the
    beginnings of candidates, over traces (see `cover.py`).
    """

    def __init__(self, regions: Sequence[str], leniency: int, every: bool) -> None:
        """`every`: the numbers of all regions count, even if one region's number lies in another's."""
        import phonenumbers.phonenumbermatcher as matcher  # noqa: PLC0415

        self.regions, self.leniency, self.every = tuple(regions), leniency, every
        self._m: Any = matcher
        self._exact = leniency >= matcher.Leniency.VALID
        self.digits = min([_ABROAD, *(_shortest(region) for region in regions)]) if self._exact else 1
        shape = cover(self._m._PATTERN.pattern, re.IGNORECASE)
        sign = cover(f"[{self._m._VALID_PUNCTUATION}]{{0,4}}", re.IGNORECASE).body
        digit = cover(r"\d", 0).body
        extension = cover(rf"\d(?:{self._m._EXTN_PATTERNS_FOR_MATCHING})", re.IGNORECASE).body
        self.body = f"(?:{digit}(?:{sign}{digit}){{{self.digits - 1}}}|{extension})"
        # A time of day after a date makes the number invalid, so `:` and a digit may still matter.
        self.begin = f"(?:{shape.begin}|{shape.body}:[0-5]?)"
        self._before = 5 * self.digits + 12  # a candidate's characters before `body`: brackets, plus, single digits
        self._sieve = _Sieve(self.regions) if self._exact else None

    def search(
        self, text: str, traced: bytes, at: int, undecided: int, next_body: Callable[[int], int]
    ) -> tuple[list[Number], list[tuple[int, int]]]:
        """Returns the numbers from `at` on, and all candidates with enough digits, that begin before `undecided`.

        `next_body(i)`: returns the next match of `body` from `i` on, or -1.
        """
        numbers_found: list[Number] = []
        spans: list[tuple[int, int]] = []
        # Each region goes on behind the number that it found. Those at the same place share a search.
        waiting = {at: self.regions}
        while waiting:
            index = min(waiting)
            regions = waiting.pop(index)
            enough = next_body(index)
            if enough < 0:
                continue
            candidate = self._m._PATTERN.search(text, max(index, enough - self._before))
            if candidate is None or candidate.start() >= undecided:
                continue
            start = candidate.start()
            inside = candidate[0]
            if second := self._m._SECOND_NUMBER_START_PATTERN.search(inside):
                inside = inside[: second.start()]
            end = start + len(inside)
            if enough >= end:  # too few digits for a number, in the candidate and in its parts
                waiting[end] = (*waiting.get(end, ()), *regions)
                continue
            spans.append((start, end))
            numbers = self._ask(text, traced, inside, start, regions)
            numbers_found += numbers
            if not numbers or (not self.every and numbers[0].end == end and not _LONG.search(inside)):
                waiting[end] = (*waiting.get(end, ()), *regions)
                continue
            there = {number.region: number.end for number in numbers}
            for region in regions:
                behind = there.get(region, end)
                waiting[behind] = (*waiting.get(behind, ()), region)
        return numbers_found, spans

    def _ask(self, text: str, traced: bytes, candidate: str, start: int, regions: Sequence[str]) -> list[Number]:
        numbers: list[Number] = []
        tried = set()
        for part, at in self._parts(text, candidate, start):
            if len(part) < self.digits or (part, at) in tried:
                continue
            tried.add((part, at))
            possible, alike = self._possible(part, traced[at : at + len(part)], regions)
            for region in possible:
                matcher = self._m.PhoneNumberMatcher(text, region, leniency=self.leniency)
                match = matcher._parse_and_verify(part, at)
                if match is None:
                    continue
                taken = regions if alike else [region]
                numbers += [Number(match.start, match.end, owner, match.number) for owner in taken]
                if not self.every and at == start and part == candidate and not _LONG.search(candidate):
                    return numbers
                regions = [region for region in regions if region not in taken]
            if not regions:
                break
        return numbers

    def _parts(self, text: str, candidate: str, start: int) -> Iterator[tuple[str, int]]:
        """Yields the parts that the matcher tests, in its order."""
        rules = self._m
        if rules._SLASH_SEPARATED_DATES.search(candidate):
            return
        if rules._TIME_STAMPS.search(candidate) and rules._TIME_STAMPS_SUFFIX.match(text, start + len(candidate)):
            return
        yield candidate, start
        if candidate.isdigit():
            return  # a sign separates every part
        for inner in rules._INNER_MATCHES:
            group = inner.search(candidate)
            if group:
                yield self._trim(candidate[: group.start()]), start
            while group:
                yield self._trim(group[1]), start + group.start(1)
                group = inner.search(candidate, group.start() + 1)

    def _trim(self, part: str) -> str:
        unwanted = self._m._UNWANTED_END_CHAR_PATTERN.search(part)
        return part[: unwanted.start()] if unwanted else part

    def _possible(self, part: str, traced: bytes, regions: Sequence[str]) -> tuple[Sequence[str], bool]:
        """Returns the regions in which `part` must be tested, never too few, and whether the result of the first holds
        for all."""
        if not self._exact:
            return regions, False
        if _ODD.search(part):
            _, number = _maybe_strip_extension(part)
            if sum(map(str.isalpha, number)) >= _DIALLED:
                return regions, False
            part, traced = number, traced[: len(number)]  # the dialled number ends before the extension
        digits = traced.translate(None, _NO_DIGITS)
        if not self.digits <= len(digits) <= _MOST_DIGITS:
            return (), False
        if not part.isascii():
            digits = self._m.normalize_digits_only(part).encode()
        first = _PLUS.search(part)
        if first and first[0] in "+\uff0b":
            # With the code of a country, a number is the same in every region.
            alike = _has_code(digits)
            return (() if len(digits) < _ABROAD else regions[:1] if alike else regions), alike
        assert self._sieve is not None  # noqa: S101 - there is one where numbers must be valid
        possible = self._sieve.possible(digits)
        return [region for region in regions if region in possible], False


def _maybe_strip_extension(part: str) -> tuple[str | None, str]:
    from phonenumbers.phonenumberutil import _maybe_strip_extension as strip  # noqa: PLC0415

    found: tuple[str | None, str] = strip(part)
    return found


def _has_code(digits: bytes) -> bool:
    from phonenumbers.phonenumberutil import COUNTRY_CODE_TO_REGION_CODE as CODES  # noqa: PLC0415

    return digits[:1] != b"0" and any(int(digits[:size]) in CODES for size in (1, 2, 3))


def _metadata(region: str) -> list[Any]:
    """Returns the metadata of a region and of all regions that share its country code."""
    from phonenumbers.phonemetadata import PhoneMetadata  # noqa: PLC0415
    from phonenumbers.phonenumberutil import COUNTRY_CODE_TO_REGION_CODE as CODES  # noqa: PLC0415

    own: Any = PhoneMetadata.metadata_for_region(region)
    others = [PhoneMetadata.metadata_for_region(code_region) for code_region in CODES[own.country_code]]
    return [own, *(metadata for metadata in others if metadata is not None and metadata is not own)]


def _shortest(region: str) -> int:
    return min(int(length) for metadata in _metadata(region) for length in metadata.general_desc.possible_length)


class _Sieve:
    """Finds the regions in which digits can be a number.

    It holds one set of patterns, two for each region: numbers as they are dialled there with a prefix, and without. A
    number without its prefix is invalid to the matcher if the region always writes the prefix.
    """

    def __init__(self, regions: Sequence[str]) -> None:
        options = re2.Options()
        options.log_errors = False
        options.max_mem = UNBOUNDED >> 4
        self._regions = tuple(regions)
        self._set = re2.Set.FullMatchSet(options)
        for region in regions:
            for pattern in _national(region):
                # RE2 may not know a part of the metadata. Then the region is asked about every number.
                try:
                    self._set.Add(pattern)
                except re2.error:
                    self._set.Add(r"\d+")
        self._set.Compile()
        self._formats = {region: _formats(region) for region in regions}

    def possible(self, digits: bytes) -> set[str]:
        """Returns the regions in which a number with these digits may be valid."""
        hits = self._set.Match(digits)
        if not hits:
            return set()
        found = {self._regions[hit // 2] for hit in hits if not hit % 2}
        bare = [self._regions[hit // 2] for hit in hits if hit % 2]
        number = digits.decode()
        return found | {region for region in bare if region not in found and not self._needs_prefix(region, number)}

    def _needs_prefix(self, region: str, number: str) -> bool:
        """Whether the matcher refuses a number without a prefix because the prefix is missing."""
        prefix, formats = self._formats[region]
        if prefix is None or prefix.match(number):
            return False
        for lead, pattern, needs in formats:
            if (lead is None or lead.match(number)) and pattern.fullmatch(number):
                return needs
        return False


def _national(region: str) -> tuple[str, str]:
    """Returns patterns for the digits of a number as it is dialled in a region, with a prefix and without."""
    own, *_ = known = _metadata(region)
    rule = own.national_prefix_transform_rule
    # Such a rule may make a number of this region of any digits.
    if rule and not re.fullmatch(r"\\\d", rule):
        return r"\d+", r"\d+"
    kinds = [getattr(metadata, kind) for metadata in known for kind in _TYPES]
    patterns = {kind.national_number_pattern for kind in kinds if kind is not None and kind.national_number_pattern}
    valid = "|".join(f"(?:{pattern})" for pattern in sorted(patterns))
    code = str(own.country_code)
    dialled = [f"{code}(?:{valid})"]
    if own.national_prefix_for_parsing:
        # A rule that rewrites the text after the prefix keeps its end.
        rest = r"\d*" if rule else ""
        dialled.append(f"(?:{code})?(?:{own.national_prefix_for_parsing}){{1,2}}{rest}(?:{valid})")
    dialled.append(rf"(?:{own.international_prefix or '00'})\d*")
    return "|".join(dialled), valid


def _formats(region: str) -> tuple[Any, list[tuple[Any, Any, bool]]]:
    """Returns a pattern for a region's prefix and, for each way to write a number, patterns and whether the prefix is
    required."""
    from phonenumbers.phonenumberutil import _formatting_rule_has_first_group_only, region_code_for_country_code  # noqa: PLC0415

    own = _metadata(region)[0]
    main = _metadata(region_code_for_country_code(own.country_code))[0]
    formats = []
    for form in main.number_format:
        rule: Any = form.national_prefix_formatting_rule
        needs = bool(rule) and not form.national_prefix_optional_when_formatting
        lead = re.compile(form.leading_digits_pattern[-1]) if form.leading_digits_pattern else None
        formats.append((lead, re.compile(form.pattern), needs and not _formatting_rule_has_first_group_only(rule)))
    prefix = main.national_prefix_for_parsing
    return re.compile(prefix) if prefix and any(needs for _, _, needs in formats) else None, formats
