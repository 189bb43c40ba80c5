"""Recognizers with an `analyze` of their own see the whole text."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.checks._shared.declared.contract import Resources, build
from guardproxy.checks._shared.pii.whole import whole as make
from guardproxy.findings import Window
from tests.kit.checks import CHANNEL, assert_every_split, whole

OWN = "tests.kit.own_recognizers"


def _check(*names: str, **options: Any) -> Any:
    return build("pii", "pii", {"recognizers": [f"{OWN}:{name}" for name in names], **options}, Resources(code=True))


def _found(check: Any, text: str) -> list[tuple[str, str, float]]:
    return [(one.label, text[one.start : one.end], one.score) for one in whole(check, text)]


def test_such_a_class_holds_a_text_to_its_end() -> None:
    check = _check("ShoutRecognizer", "BadgeRecognizer")
    text = "my badge B-1230 is LOST"
    assert _found(check, text) == [("BADGE", "B-1230", 0.85), ("SHOUT", "LOST", 0.6)]
    assert_every_split(check, text)
    (scan,) = check.scan([Window(CHANNEL, text, last=False)])
    assert (scan.settled, scan.keep, scan.findings) == (0, 0, ())


def test_thresholds_and_alone() -> None:
    assert _found(_check("ShoutRecognizer"), "NO NO") == [("SHOUT", "NO", 0.6)]
    assert _found(_check("ShoutRecognizer", threshold=0.7), "NO NO") == []
    assert _found(_check("EnhancingRecognizer"), "B-1230") == [("BADGE", "B-1230", 0.9)]


def test_what_it_raises_is_raised() -> None:
    with pytest.raises(RuntimeError):
        _check("RaisingRecognizer").scan([Window(CHANNEL, "a")])


def test_none_where_there_is_none() -> None:
    assert make([("en", [])], None, 0.4) is None
