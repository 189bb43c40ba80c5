"""Writes a comparison as a single HTML page without scripts and external content, for screen and paper.

In: changes of policies and their effects on traffic. Out: the page. All text is escaped, and characters that could
reorder or hide other characters are written as escapes. The content security policy of the page allows only its style
sheet, so a text from a log cannot become markup.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from guardproxy.policydiff.excerpts import ExcerptPart
from guardproxy.policydiff.policies import Change
from guardproxy.policydiff.traffic import COUNTS, Example, ExchangeGroup, Traffic
from guardproxy.webpage import html_table, html_text, webpage

_SIGNS = {"loosens": "loosens", "tightens": "tightens", "either": "loosens or tightens", "neutral": ""}


def page(old: str, new: str, changes: Sequence[Change], traffic: Traffic | None) -> str:
    """Returns the page. `old`, `new`: the names of the two sets."""
    title = f"Policies: {old} and {new}"
    return webpage(title, [f"<h1>{html_text(title)}</h1>", *_changes(changes), *(_traffic(traffic) if traffic else ())])


def replay_page(title: str, remarks: Sequence[str], traffic: Traffic) -> str:
    """Returns the page of a replay. `remarks`: sentences that come first."""
    items = "".join(f"<li>{html_text(remark)}</li>" for remark in remarks)
    return webpage(
        title, [f"<h1>{html_text(title)}</h1>", *([f"<ul>{items}</ul>"] if items else []), *_traffic(traffic)]
    )


def _changes(changes: Sequence[Change]) -> Iterator[str]:
    yield "<h2>Changes in the files</h2>"
    if not changes:
        yield "<p>The policies are equivalent.</p>"
        return
    rows = (
        (
            html_text(change.policy),
            html_text(change.words),
            f'<span class="{change.effect}">{_SIGNS[change.effect]}</span>',
        )
        for change in changes
    )
    yield from html_table(("policy", "change", "effect"), rows)


def _traffic(traffic: Traffic) -> Iterator[str]:
    counts = traffic.counts
    yield "<h2>Effects on recorded traffic</h2>"
    yield f"<p><strong>{html_text(traffic.headline)}.</strong></p>"
    summary = ", ".join(f"{counts[name]} {name}" for name in COUNTS)
    yield f"<p>{sum(counts.values())} exchanges: {summary}.</p>"
    if traffic.reasons:
        reasons = (f"{count} because {reason}" for reason, count in traffic.reasons.most_common())
        yield f'<p class="quiet">Not replayable: {html_text("; ".join(reasons))}.</p>'
    if traffic.rescanned:
        names = ", ".join(name for name, _ in traffic.rescanned.most_common())
        remark = f"New or changed checks scanned recorded texts, in which placeholders replace values: {names}."
        yield f'<p class="quiet">{html_text(remark)}</p>'
    groups = traffic.groups
    if not groups:
        return
    rows = (
        (html_text(_name(group)), html_text(group.action), html_text(group.way), str(group.count)) for group in groups
    )
    yield from html_table(("rule", "action", "it", "exchanges"), rows, numbers=(3,))
    ends = (
        (html_text(before), html_text(after), str(count)) for (before, after), count in traffic.outcomes.most_common()
    )
    yield "<h3>Outcomes of the exchanges that differ</h3>"
    yield from html_table(("before", "after", "exchanges"), ends, numbers=(2,))
    for group in groups:
        yield from _group(group)


def _name(group: ExchangeGroup) -> str:
    return f"{group.policy}: {group.rule}" if group.policy else group.rule


def _group(group: ExchangeGroup) -> Iterator[str]:
    yield f"<h2>{html_text(_name(group))} {html_text(group.way)}</h2>"
    count = len(group.examples)
    yield f'<p class="quiet">{count} of {group.count} exchanges.</p>'
    yield from (line for example in group.examples for line in _example(example))


def _example(example: Example) -> Iterator[str]:
    at = datetime.fromtimestamp(example.at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    about = " · ".join(filter(None, (at, example.id, example.route, example.model)))
    yield f"<article><h3><code>{html_text(about)}</code></h3>"
    ended = f"{example.before} → {example.after}"
    yield f"<p>{html_text(ended)}{html_text(f', {example.where}') if example.where else ''}</p>"
    if example.pieces:
        yield f"<blockquote><bdi>{''.join(map(_piece, example.pieces))}</bdi></blockquote>"
    if example.differences:
        yield f"<ul>{''.join(f'<li>{html_text(difference)}</li>' for difference in example.differences)}</ul>"
    yield "</article>"


def _piece(piece: ExcerptPart) -> str:
    return (
        f"<mark>{html_text(piece.text)}<sub>{html_text(piece.mark)}</sub></mark>"
        if piece.mark
        else html_text(piece.text)
    )
