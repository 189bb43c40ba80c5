"""Code that was rewritten to be linear gives the same results as its plain, quadratic form."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from guardproxy.exchange.gate.lanes import Lane, Progress
from guardproxy.findings import Channel, Finding, Scan, Window, give_way
from guardproxy.redaction import Restoring
from guardproxy.redaction.masking import Moves, mask, merge
from guardproxy.redaction.placeholders import alternation
from guardproxy.wire.json.replacing import _copy, edited
from guardproxy.wire.json.walk import UNMAPPED, TreeLeaf, reach

KEYS = st.text("abc", max_size=2)
TREES = st.recursive(
    st.text("xy", max_size=2), lambda inner: st.dictionaries(KEYS, inner) | st.lists(inner), max_leaves=12
)


def plainly_edited(tree: Any, texts: list[tuple[TreeLeaf, str]]) -> Any:
    """Builds the parent anew for each key."""
    copy = _copy(tree)
    for found, replacement in texts:
        if not found.key:
            reach(copy, found.path[:-1])[found.path[-1]] = replacement
    for found, replacement in sorted(texts, key=lambda pair: -len(pair[0].path)):
        if found.key:
            parent = reach(copy, found.path[:-1])
            renamed = {(replacement if key == found.path[-1] else key): child for key, child in parent.items()}
            parent.clear()
            parent.update(renamed)
    return copy


def places(node: Any, path: tuple[Any, ...] = ()) -> list[TreeLeaf]:
    """Every key and string of a tree."""
    out: list[TreeLeaf] = []
    if isinstance(node, dict):
        for key, child in node.items():
            out += [TreeLeaf((*path, key), key, UNMAPPED, key=True), *places(child, (*path, key))]
    elif isinstance(node, list):
        for index, child in enumerate(node):
            out += places(child, (*path, index))
    elif path:
        out.append(TreeLeaf(path, node, UNMAPPED))
    return out


@given(TREES, st.data())
def test_keys_are_renamed_as_one_by_one(tree: Any, data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.sampled_from(found), unique_by=id)) if (found := places(tree)) else []
    texts = [(one, data.draw(KEYS)) for one in chosen]
    new, old = edited(tree, texts), plainly_edited(tree, texts)
    assert repr(new) == repr(old), "and in the same order"


@given(st.lists(st.text("ab[", min_size=1, max_size=6), min_size=1, max_size=40), st.text("ab[", max_size=60))
def test_the_longest_of_many_texts_is_found(texts: list[str], text: str) -> None:
    plain = "|".join(map(re.escape, sorted(texts, key=len, reverse=True)))
    assert [match.span() for match in re.finditer(alternation(texts), text)] == [
        match.span() for match in re.finditer(plain, text)
    ]


SPANS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 8)), max_size=12)


def findings(spans: list[tuple[int, int]], check: str = "c") -> list[Finding]:
    return [Finding(start, min(start + size, 40), check, "L", 1.0) for start, size in spans]


def plainly_give_way(
    weak: Sequence[Finding], strong: Sequence[Finding], text_of: Callable[[int, int], str]
) -> list[Finding]:
    """Compares each weak finding with every strong finding."""
    left: list[Finding] = []
    for finding in weak:
        at = finding.start
        over = [
            one for one in strong if one.check == finding.check and one.start < finding.end and finding.start < one.end
        ]
        for start, end in [*sorted((one.start, one.end) for one in over), (finding.end, finding.end)]:
            rest = text_of(at, start) if start > at else ""
            if any(map(str.isalnum, rest)):
                low, high = start - len(rest.lstrip()), at + len(rest.rstrip())
                left.append(replace(finding, start=low, end=high))
            at = max(at, end)
    return left


@given(SPANS, SPANS, SPANS, st.text("a .", min_size=40, max_size=40))
def test_weak_findings_give_way_alike(
    weak: list[tuple[int, int]], strong: list[tuple[int, int]], others: list[tuple[int, int]], text: str
) -> None:
    every = [*findings(strong), *findings(others, "d")]
    weak_findings = [*findings(weak), *findings(weak[:3], "d")]
    given_way = give_way(weak_findings, every, lambda start, end: text[start:end])
    assert given_way == plainly_give_way(weak_findings, every, lambda start, end: text[start:end])


def plainly_settled(settled: int, waiting: Sequence[Finding]) -> int:
    inside = True
    while inside:
        inside = False
        for finding in waiting:
            if finding.start < settled < finding.end:
                settled, inside = finding.start, True
    return settled


@given(SPANS, st.integers(0, 40))
def test_no_finding_is_cut_by_what_is_settled(spans: list[tuple[int, int]], settled: int) -> None:
    lane = Lane(Channel("response", "assistant", "x"), (), encoded=False)
    lane.text.append("x" * 40)
    progress = Progress((Restoring({}),), held=False)
    window = Window(lane.channel, "x" * 40)
    progress.learn([(0, window)], [Scan(tuple(findings(spans)), settled, settled)])
    progress.settle(lane.text)
    assert progress.settled == plainly_settled(settled, findings(spans))


@given(st.lists(st.text("xy", max_size=4), max_size=12), st.integers(0, 50), st.integers(0, 50))
def test_a_part_of_a_text_in_parts(parts: list[str], start: int, end: int) -> None:
    lane = Lane(Channel("response", "assistant", "x"), (), encoded=False)
    for part in parts:
        lane.text.append(part)
    whole = "".join(parts)
    start, end = min(start, len(whole)), min(end, len(whole))
    assert lane.text.part(start, end) == whole[start:end]


@given(SPANS, st.lists(st.integers(0, 12)), st.integers(0, 40), st.integers(0, 10))
def test_offsets_are_the_same_however_edits_become_known(
    spans: list[tuple[int, int]], steps: list[int], start: int, size: int
) -> None:
    edits = [(low, high, "y" * (low % 4)) for low, high, _ in merge((low, low + 1 + wide, "") for low, wide in spans)]
    moves = Moves()
    for number in [*sorted(min(step, len(edits)) for step in steps), len(edits)]:
        moves.take(edits, number)
    text, plain = mask("x" * 60, edits)
    assert moves.there.translate_span(start, start + size) == plain.translate_span(start, start + size)
    assert moves.there.translate(len("x" * 60)) == len(text)
