"""The pattern check: what it finds, what it holds back, what it refuses."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.checks._shared.declared.contract import Resources, build, check_names
from guardproxy.checks._shared.patterns.reach import CHAIN, Reach, _undecided, rule
from guardproxy.checks._shared.patterns.shape import UnreadableError, shape
from guardproxy.errors import OptionError
from guardproxy.findings import Scan, Traits, Window
from tests.kit.checks import CHANNEL, PROSE, assert_every_split, held_words, scan_in_chunks, whole


def _check(**options: Any) -> Any:
    return build("pattern", "words", {"evasions": "off"} | options, Resources())


def _found(check: Any, text: str) -> list[str]:
    return [text[finding.start : finding.end] for finding in whole(check, text)]


def _settled(check: Any, text: str) -> int:
    (scan,) = check.scan([Window(CHANNEL, text, last=False)])
    settled: int = scan.settled
    return settled


def test_shared_files_are_no_checks() -> None:
    assert {"pattern", "secrets"} <= set(check_names())
    assert not [name for name in check_names() if name.startswith("_")]
    with pytest.raises(OptionError):
        build("_contract", "x", {}, Resources())


@pytest.mark.parametrize(
    ("patterns", "text", "found"),
    [
        (["(?i)project[ -]falcon"], "Project falcon, PROJECT-FALCON", ["Project falcon", "PROJECT-FALCON"]),
        ([r"\b\d{4}\b"], "1234 12345 x1234 1234", ["1234", "1234"]),
        ([r"^a+", r"b+$"], "aab aabb", ["aa", "bb"]),
        ([r"(?m)^a+$"], "aa\nab\na", ["aa", "a"]),
        ([r"\Aab|cd\z"], "abcd abcd", ["ab", "cd"]),
        (["ab", "bcd"], "abcd", ["abcd"]),
        (["ab", "cd"], "abcd", ["ab", "cd"]),
        (["(a)(b)?"], "ab", ["ab"]),
        (["😀+é"], "x😀😀é", ["😀😀é"]),
        (["a|ab"], "ab", ["a"]),
        ([r"\Qa.b\E{2}"], "a.bb", ["a.bb"]),
        (["a{,2}"], "a{,2}", ["a{,2}"]),
    ],
)
def test_patterns(patterns: list[str], text: str, found: list[str]) -> None:
    check = _check(patterns=patterns)
    assert _found(check, text) == found
    assert_every_split(check, text, pairs=True)


@pytest.mark.parametrize(
    ("words", "text", "found"),
    [
        (["umbrella-corp"], "Umbrella-Corp, umbrella-corps umbrella-corp", ["Umbrella-Corp", "umbrella-corp"]),
        (["foo", "foo bar"], "foo bar foo foo barn", ["foo bar", "foo", "foo"]),
        (["überfall"], "ÜBERFALL überfallen (Überfall)", ["ÜBERFALL", "Überfall"]),
        (["c++"], "c++ and c+", ["c++"]),
        (["foo"], "foo foo_ 1foo éfoo foo", ["foo", "foo"]),
    ],
)
def test_words(words: list[str], text: str, found: list[str]) -> None:
    check = _check(words=words)
    assert _found(check, text) == found
    assert_every_split(check, text, pairs=True)


def test_findings_have_the_label_and_the_score() -> None:
    (finding,) = whole(_check(words=["x"], label="CODE", score=0.5), "an x")
    assert (finding.check, finding.label, finding.score, finding.start) == ("words", "CODE", 0.5, 3)


def test_a_match_without_bound_ends_at_the_cap() -> None:
    check = _check(patterns=["a[^b]*b?"], cap=4)
    assert _found(check, "axxxxxxb") == ["axxx"]
    assert _found(_check(patterns=["a[^b]*b"], cap=4), "axxb axxxb axb") == ["axxb", "axb"]
    assert _found(_check(patterns=[r"\w+"], cap=4), "abcdefghij") == ["abcd", "efgh", "ij"]
    for text in ("axxxxxxb", "aaxb axxxb", "xaxxxxxxxxxxxxaxb"):
        assert_every_split(check, text, pairs=True)
    assert _settled(_check(patterns=["a.*"], cap=8), "bbbbbbbbaccc") == 8
    assert _settled(_check(patterns=["a.*b"], cap=8), "a" + "c" * 20) == 21


def test_a_chain_of_matches_is_cut() -> None:
    check = _check(patterns=["abcd", "cdab"])
    text = "abcd" * (CHAIN // 2)
    findings = scan_in_chunks(check, text, range(500, len(text), 500))
    assert findings == whole(check, text)
    assert [finding.end - finding.start for finding in findings] == [CHAIN, CHAIN]


def test_text_longer_than_a_block() -> None:
    check = _check(patterns=["x.*y"], cap=6000)
    text = "x" + "-" * 5000 + "y" + "é" * 9000 + "x" + "-" * 6000 + "y"
    assert [(each.start, each.end) for each in whole(check, text)] == [(0, 5002)]
    assert scan_in_chunks(check, text, range(3000, len(text), 3000)) == whole(check, text)


@pytest.mark.parametrize(
    ("patterns", "text", "settled"),
    [
        (["secret"], "no secre", 3),
        (["secret"], "no secrex", 9),
        (["secret"], "a secret", 2),
        (["secret"], "a secret ", 9),
        ([r"secret\b"], "a secret", 2),
        (["secrets?"], "a secret", 2),
        (["[ab]+c"], "zzabab", 2),
        ([r"\bsk-"], "task", 4),
        ([r"\bsk-"], "a sk", 2),
        (["end$"], "the end", 4),
        (["^start"], "re st", 5),
        (["a.{3}", "xa"], "xab", 0),
    ],
)
def test_what_is_held(patterns: list[str], text: str, settled: int) -> None:
    assert _settled(_check(patterns=patterns), text) == settled


def test_prose_is_held_for_a_word() -> None:
    check = _check(patterns=[r"(?i)\bproject[ -]\w+", r"\b[A-Z]{2}\d{6}\b"], words=["umbrella corporation", "tea cosy"])
    held = held_words(check, PROSE)
    assert statistics.median(held) <= 1
    assert max(held) <= 2


def test_half_of_a_surrogate_pair_does_no_harm() -> None:
    check = _check(patterns=["ab"])
    (finding,) = whole(check, "\ud800 ab")
    assert (finding.start, finding.end) == (2, 4)


def test_a_rule_too_large_for_its_beginnings_is_still_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    from guardproxy.checks._shared.patterns import reach

    check = _check(patterns=["ab+c", "[bc]d"], cap=6)
    real = reach.compile_pattern

    def compiled(pattern: str) -> Any:
        if pattern.endswith("\\z"):
            raise re2.error("too large")
        return real(pattern)

    monkeypatch.setattr(reach, "compile_pattern", compiled)
    slow = Reach([rule("MATCH", each, cap=6) for each in ("ab+c", "[bc]d")])
    text = "abbc bd abbbbbbbbc cd abc"
    scan = slow.scan("words", Window(CHANNEL, text))
    assert list(scan.findings) == whole(check, text)
    scan = slow.scan("words", Window(CHANNEL, "plain text", last=False))
    assert scan.settled == len("plain text") - 6

    class Slow:
        name = digest = "slow"
        traits = Traits()

        def scan(self, windows: Sequence[Window]) -> list[Scan]:
            return [slow.scan("words", window) for window in windows]

    assert_every_split(Slow(), text)


def test_too_large_for_one_sieve(monkeypatch: pytest.MonkeyPatch) -> None:
    from guardproxy.checks._shared.patterns import reach

    real = reach.compile_pattern
    monkeypatch.setattr(reach, "compile_pattern", lambda p: (_ for _ in ()).throw(re2.error()) if "|" in p else real(p))
    scan = Reach([rule("A", "a", cap=1), rule("B", "b", cap=1)]).scan("x", Window(CHANNEL, "ab"))
    assert [finding.label for finding in scan.findings] == ["A", "B"]


def test_digests() -> None:
    assert _check(words=["a"]).digest == _check(words=["a"]).digest
    assert _check(words=["a"]).digest != _check(words=["b"]).digest
    assert _check(words=["a"]).digest != _check(words=["a"], cap=5).digest


@pytest.mark.parametrize("pattern", [r"\C", "(", "[", "\\", "a)", "x\\Ey"])
def test_shapes_that_cannot_be_read(pattern: str) -> None:
    with pytest.raises(UnreadableError):
        shape(pattern)


@pytest.mark.parametrize(
    ("options", "key", "words"),
    [
        ({}, "patterns", "at least one"),
        ({"pattern": ["a"]}, "pattern", "unknown option"),
        ({"patterns": "a"}, "patterns", "list of non-empty strings"),
        ({"words": [" "]}, "words", "list of non-empty strings"),
        ({"words": ["a"], "label": ""}, "label", "non-empty"),
        ({"words": ["a"], "score": 2}, "score", "from 0 to 1"),
        ({"words": ["a"], "score": True}, "score", "from 0 to 1"),
        ({"words": ["a"], "cap": 0}, "cap", "whole number"),
        ({"patterns": ["a", "(?<=a)b"]}, "patterns", "pattern 2.*look-behind"),
        ({"patterns": ["a(?=b)"]}, "patterns", "look-ahead"),
        ({"patterns": ["a(?!b)"]}, "patterns", "look-ahead"),
        ({"patterns": [r"(a)\1"]}, "patterns", "back-references"),
        ({"patterns": [r"a\Z"]}, "patterns", r"write `\\z`"),
        ({"patterns": ["(a"]}, "patterns", "missing"),
        ({"patterns": ["a*"]}, "patterns", "empty text"),
        ({"patterns": ["$"]}, "patterns", "empty text"),
        ({"patterns": ["a{300,}"]}, "patterns", "raise `cap`"),
        ({"patterns": [r"\C"]}, "patterns", "match characters, not bytes"),
        ({"patterns": ["\ud800"]}, "patterns", "surrogate"),
        ({"words": ["\ud800"]}, "words", "too many or too long"),
    ],
)
def test_bad_options_are_explained(options: dict[str, Any], key: str, words: str) -> None:
    with pytest.raises(OptionError, match=words) as caught:
        _check(**options)
    assert caught.value.key == key


def test_a_part_that_cannot_be_there_is_no_part() -> None:
    assert _found(_check(patterns=["a{0}b", r"\Q\Ec"]), "abc") == ["b", "c"]


def test_a_match_whose_reported_part_is_missing_is_passed_over() -> None:
    reach = Reach([rule("A", "(a)|b", cap=1, group=1)])
    scan = reach.scan("x", Window(CHANNEL, "bab"))
    assert [(finding.start, finding.end) for finding in scan.findings] == [(1, 2)]


def test_windows_are_answered_in_order() -> None:
    scans = _check(words=["a"]).scan([Window(CHANNEL, "a"), Window(CHANNEL, "b"), Window(CHANNEL, "b a")])
    assert [len(scan.findings) for scan in scans] == [1, 0, 1]


_OPEN = [rule("A", "x[ab]{3}", cap=9), rule("B", "a{2}b{5}c", cap=9), rule("C", "ba+!", cap=6)]


@given(st.text("abx", max_size=14), st.integers(0, 4))
def test_what_is_open_is_what_the_first_rule_leaves_open(text: str, at: int) -> None:
    settled = Reach(_OPEN)._first_open(text, min(at, len(text)))
    assert settled == min(_undecided(one, text, min(at, len(text)), False) for one in _OPEN)
