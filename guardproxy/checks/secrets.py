"""The check `secrets`: keys, tokens, private keys, passwords in URLs and in assignments.

In: windows of text. Out: findings, with a label for each kind of secret. Kept: nothing between scans. The rules are
data (`secrets_rules.yaml`). `_patterns/reach.py` describes the search in growing text, and matches that overlap or
have no end.

Options: `rules` (only these ids), `skip` (all except these), and those of `_allowing.py`. `_evasions/unfolding.py` has
`evasions`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache, partial
from importlib.resources import files
from typing import Any

import yaml

from guardproxy.checks._allowing import ALLOW, allow_list, allowing
from guardproxy.checks._contract import Resources
from guardproxy.checks._evasions.unfolding import EVASIONS, unfolding
from guardproxy.checks._foreign import hint
from guardproxy.checks._options import Option, Options, options_digest, with_defaults
from guardproxy.checks._patterns.reach import Reach, ReachCheck, SearchRule, rule
from guardproxy.errors import OptionError
from guardproxy.findings import Check, Traits

VERSION = 2
CAP = 512
# `password=x`, `"api_key": "x"`, `secret => 'x'`, `\"token\":\"x\"` inside a JSON string, `the password is x`.
_ASSIGN = r"""(?:\\?["']?\s{0,4}(?:=|:|=>|:=)\s{0,4}|\s{1,4}(?i:is)\s{1,4})(?:\\?["'`])?"""
_END = r"(?:[^A-Za-z0-9]|\z)"
_BEGIN = r"(?:\b|_)"  # to RE2 an underscore belongs to the word behind it, so `\b` alone misses `_AKIA...`
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
    return Reach([_rule(row) for row in _rows() if row["id"] in chosen])


def _rule(row: Mapping[str, Any]) -> SearchRule:
    pattern = row["pattern"].replace("{assign}", _ASSIGN).replace("{end}", _END)
    accept: Callable[[str], bool] | None = partial(_random, row["entropy"]) if "entropy" in row else None
    if pattern.startswith(r"\b"):
        rest = pattern[2:]
        pattern = _BEGIN + (rest if _has_group(pattern) else f"({rest})")
    group = 1 if _has_group(pattern) else 0
    return rule(row["label"], pattern, cap=row.get("cap", CAP), group=group, accept=accept)


def _has_group(pattern: str) -> bool:
    return any(
        pattern[at] == "(" and pattern[at + 1] != "?" and pattern[at - 1] != "\\" for at in range(1, len(pattern) - 1)
    )


def _random(bits: float, value: str) -> bool:
    """Whether a value looks random: it has letters and digits, and an entropy of at least `bits` per character."""
    letters = sum(map(str.isalpha, value))
    digits = sum(map(str.isdigit, value))
    return bool(letters and digits) and entropy(value) >= bits
