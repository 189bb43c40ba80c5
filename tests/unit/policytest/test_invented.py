"""Made-up values are found by the check that they are made for."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from guardproxy.checks import Resources, build
from guardproxy.policytest.invented import EXAMPLES, completions, invented
from guardproxy.testing import whole

PATTERNS = [
    r"(?i)\b(?:claim|member)\s{1,2}(?:id|no\.?)\W{0,4}[A-Z]{0,4}-?\d{2,15}\b",
    r"\x{41}[[:digit:]]{3}\pL+",
    r"[^a-z]{2}x?y*?",
    r"(?:a|b(?:c|d)){2,}",
    r"secret=(?P<value>[A-Za-z0-9]{20,})\z",
    "[\u00e9-\u00eb]{2}",
    r"[^\s]{3}.",
    r"[^x]yz\b",
]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_gives_what_it_matches(pattern: str) -> None:
    options = {"patterns": [pattern], "label": "MINE", "evasions": "off"}
    check = build("pattern", "c", options, Resources())
    values = list(invented(check, options, "MINE"))
    assert values == list(invented(check, options, "MINE")), "the same values each time"
    assert values
    assert all(whole(check, value) for value in values)
    assert list(invented(check, options, "OTHER")) == []


def test_a_pattern_that_only_re2_reads_gives_nothing() -> None:
    options = {"patterns": ["(?U)ab+"], "label": "MINE", "evasions": "off"}
    assert list(invented(build("pattern", "c", options, Resources()), options, "MINE")) == []


def test_words_and_topics_are_their_own_examples() -> None:
    options = {"words": ["Globex", "Initech"]}
    assert list(invented(build("words", "c", options, Resources()), options, "NAME")) == ["Globex", "Initech"]
    topics = {"deny": [{"name": "tax", "about": "x", "examples": ["How do I pay less tax?"]}, "other"]}
    assert list(invented(build("words", "c", options, Resources()), topics, "tax")) == ["How do I pay less tax?"]


@cache
def secrets() -> Any:
    return build("secrets", "secrets", {"evasions": "off"}, Resources())


# What the check finds only beside a word or a sign.
AROUND = {
    "AWS_SECRET_ACCESS_KEY": "aws_secret={}",
    "AZURE_STORAGE_KEY": "AccountKey={}",
    "BASIC_AUTH": "Authorization: Basic {}",
    "BEARER_TOKEN": "Authorization: Bearer {}",
    "SECRET": "password={}",
    "URL_PASSWORD": "https://ann:{}@db.example/x",
}


@pytest.mark.parametrize("label", sorted(secrets().traits.labels - {"UNDECODED"}))
def test_every_kind_of_secret_has_a_made_up_one(label: str) -> None:
    form = AROUND.get(label, "Use {} now.")
    assert any(
        finding.label == label
        for value in invented(secrets(), {}, label)
        for finding in whole(secrets(), form.format(value))
    )


def test_digits_and_letters_are_filled_in() -> None:
    assert list(completions("a?"))[:3] == ["a0", "a1", "a2"]
    assert len(list(completions("!"))) == 36
    assert len(list(completions("plain"))) == 1


def test_no_file_of_the_package_holds_a_secret_of_the_examples() -> None:
    text = (Path(__file__).parents[3] / "guardproxy/policytest/invented.py").read_text("utf-8")
    assert not re.search(r"sk-[A-Za-z0-9]{20}|AKIA[A-Z2-7]{16}", text)
    assert all(value.strip() for value in EXAMPLES.values())
