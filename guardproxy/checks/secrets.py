"""The check `secrets`: keys, tokens, private keys, passwords in URLs and in assignments.

In: windows of text. Out: findings, with a label for each kind of secret. Kept: nothing between scans. The rules are
data (`secrets_rules.yaml`). `_shared/patterns/reach.py` describes the search in growing text, and matches that overlap or
have no end.

Options: `rules` (only these ids), `skip` (all except these), and those of `_shared/declared/allowing.py`.
`_shared/evasions/unfolding.py` has `evasions`.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from importlib.resources import files
from typing import Any

import yaml

from guardproxy.checks._shared.declared.allowing import ALLOW, allow_list, allowing
from guardproxy.checks._shared.declared.contract import Resources
from guardproxy.checks._shared.declared.foreign import hint
from guardproxy.checks._shared.declared.options import Option, Options, options_digest, with_defaults
from guardproxy.checks._shared.evasions.unfolding import EVASIONS, unfolding
from guardproxy.checks._shared.patterns.reach import Reach, ReachCheck, SearchRule, rule
from guardproxy.errors import OptionError
from guardproxy.findings import Check, Traits

VERSION = 3
CAP = 512
# `password=x`, `"api_key": "x"`, `secret => 'x'`, `\"token\":\"x\"` inside a JSON string, `the password is x`.
_ASSIGN = r"""(?:\\?["']?\s{0,4}(?:=|:|=>|:=)\s{0,4}|\s{1,4}(?i:is)\s{1,4})(?:\\?["'`])?"""
_END = r"(?:[^A-Za-z0-9]|\z)"
_BEGIN = r"(?:\b|_)"  # to RE2 an underscore belongs to the word behind it, so `\b` alone misses `_AKIA...`
_BREAK = r"(?:\r?\n|(?:\\r)?\\n)[ \t>|]{0,4}"
_JOINS = re.compile(r"(?:\\r)?\\n[ \t>|]*|[\s>|]+")
_CLASS_AT_END = re.compile(r"(\[[^\]]+\])\{(\d+)(,?)\}\)?(?:\(\?:\[\^[^\]]+\]\|\\z\))?\Z")
_STRETCH = re.compile("[A-Za-z0-9]{12,}")
_ONE_CASE = re.compile("[0-9a-f]{24,}|[A-Z0-9]{16,}")
_HEXADECIMAL = re.compile("[0-9a-f]{12,}")
_IDS = {"type": "array", "items": {"type": "string"}}
OPTIONS: Options = {
    "rules": Option("Only these rules, by id.", _IDS, default_words="all", tighter="longer"),
    "skip": Option("All rules but these.", _IDS, default=[], tighter="shorter"),
    "evasions": EVASIONS,
    **ALLOW,
}


def build(name: str, options: Mapping[str, Any], resources: Resources) -> Check:
    """Builds the check `name`. Raises `OptionError` for an unknown option or rule, or if no rule is left."""
    with_defaults(options, OPTIONS)
    chosen = set(_ids(options, "rules") or rule_ids()) - set(_ids(options, "skip"))
    if not chosen:
        raise OptionError("skip", "no rule is left")
    rows = [row for row in _rows() if row["id"] in chosen]
    digest = options_digest("secrets", VERSION, {}, *map(str, rows))
    traits = Traits(is_slow=False, labels=frozenset(row["label"] for row in rows))
    check = unfolding(ReachCheck(name, digest, _reach(frozenset(chosen)), traits), options)
    return allowing(check, allow_list(options), options)


def rule_ids() -> list[str]:
    """Returns the ids of all rules, in the order in which they take precedence."""
    return [row["id"] for row in _rows()]


def entropy(text: str) -> float:
    """Returns Shannon's entropy of the characters of a non-empty text, in bits per character."""
    return -sum(count / len(text) * math.log2(count / len(text)) for count in Counter(text).values())


def _ids(options: Mapping[str, Any], key: str) -> list[str]:
    value = options.get(key, [])
    if not isinstance(value, list) or not all(isinstance(rule_id, str) for rule_id in value):
        raise OptionError(key, f"`{key}` must be a list of rule ids")
    for rule_id in value:
        if rule_id not in rule_ids():
            near = hint(rule_id, rule_ids()) or f"; known rules: {', '.join(rule_ids())}"
            raise OptionError(key, f"unknown rule `{rule_id}`{near}")
    return value


@cache
def _rows() -> list[dict[str, Any]]:
    text = files("guardproxy.checks").joinpath("secrets_rules.yaml").read_text("utf-8")
    rows: list[dict[str, Any]] = yaml.safe_load(text)
    return rows


@cache
def _reach(chosen: frozenset[str]) -> Reach:
    rows = [row for row in _rows() if row["id"] in chosen]
    return Reach([*map(_rule, rows), *(found for row in rows for found in _touched(row))])


def _rule(row: Mapping[str, Any]) -> SearchRule:
    pattern = _pattern(row)
    accept: Callable[[str], bool] | None = partial(_random, row["entropy"]) if "entropy" in row else None
    if pattern.startswith(r"\b"):
        pattern = _BEGIN + _grouped(pattern)
    group = 1 if _has_group(pattern) else 0
    return rule(row["label"], pattern, cap=row.get("cap", CAP), group=group, accept=accept)


def _pattern(row: Mapping[str, Any]) -> str:
    return str(row["pattern"]).replace("{assign}", _ASSIGN).replace("{end}", _END)


def _grouped(pattern: str) -> str:
    """Returns a pattern without its `\\b`, with a group around the secret."""
    return pattern[2:] if _has_group(pattern) else f"({pattern[2:]})"


def _touched(row: Mapping[str, Any]) -> Iterator[SearchRule]:
    """Returns the rules for a key that a letter or digit touches, and for one that goes on in the next line.

    What is found that way must look random: `task-` also ends with `sk-`, and the next line is often another text.
    """
    pattern, cap = _pattern(row), row.get("cap", CAP)
    if not pattern.startswith(r"\b") or "://" in pattern:
        return
    yield rule(row["label"], f"[A-Za-z0-9]{_grouped(pattern)}", cap=cap, group=1, accept=_is_mixed)
    end = _CLASS_AT_END.search(pattern)
    head = pattern[2 : end.start()] if end else ""
    head = head[1:] if head.startswith("(") and not head.startswith("(?") else head
    if end and head.count("(") == head.count(")"):
        letters = end[1]
        whole = re.compile(f"{head}{letters}{{{end[2]},}}")
        joined = f"{_BEGIN}({head}{letters}+(?:{_BREAK}{letters.replace('=', '')}{{4,}}){{1,4}})(?:[\\s\"'`,;)]|\\z)"
        yield rule(row["label"], joined, cap=cap, group=1, accept=partial(_is_wrapped, whole))


def _has_group(pattern: str) -> bool:
    return any(
        pattern[at] == "(" and pattern[at + 1] != "?" and pattern[at - 1] != "\\" for at in range(1, len(pattern) - 1)
    )


def _is_mixed(value: str) -> bool:
    """Whether a value has a stretch of small letters, capital letters and digits, or a longer one of capital letters and
    digits or of hexadecimal digits."""
    runs = _ONE_CASE.findall(value)
    return any(any(map(str.isdigit, run)) for run in runs) or any(map(_has_all_kinds, _STRETCH.findall(value)))


def _has_all_kinds(text: str) -> bool:
    return any(map(str.isdigit, text)) and text.lower() != text != text.upper()


def _is_wrapped(whole: re.Pattern[str], value: str) -> bool:
    """Whether the lines of a value are one key. The first line may be a whole key by itself."""
    first, *others = _JOINS.split(value)
    if not whole.fullmatch("".join((first, *others))):
        return False
    is_whole = whole.fullmatch(first) is not None
    is_random = all(_has_all_kinds(line) or _HEXADECIMAL.fullmatch(line) for line in others)
    return is_random or (not is_whole and any(map(str.isdigit, "".join(others))))


def _random(bits: float, value: str) -> bool:
    """Whether a value looks random: it has letters and digits, and an entropy of at least `bits` per character."""
    letters = sum(map(str.isalpha, value))
    digits = sum(map(str.isdigit, value))
    return bool(letters and digits) and entropy(value) >= bits
