"""Writes a comparison as a single HTML page without scripts and external content, for screen and paper.

In: changes of policies and their effects on traffic. Out: the page. All text is escaped, and characters that could
reorder or hide other characters are written as escapes. The content security policy of the page allows only its style
sheet, so a text from a log cannot become markup.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from html import escape

from guardproxy.policydiff.excerpts import ExcerptPart
from guardproxy.policydiff.policies import Change
from guardproxy.policydiff.traffic import COUNTS, Example, ExchangeGroup, Traffic

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --found: #fd06; --loose: #c33; --tight: #283; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2rem; } h3 { font-size: 1rem; margin-bottom: .3rem; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .3rem .6rem; vertical-align: top;
  border-bottom: 1px solid var(--line); } td.number, th.number { text-align: right; }
code, blockquote { font: 13px/1.5 ui-monospace, monospace; overflow-wrap: anywhere; }
blockquote { white-space: pre-wrap; margin: .3rem 0; padding: .5rem .8rem; background: var(--soft); border-radius: .3rem; }
mark { background: var(--found); color: inherit; padding: 0 .1rem; border-bottom: 2px solid; }
mark sub { font-size: .75em; opacity: .8; padding-left: .2em; }
.loosens { color: var(--loose); font-weight: 600; } .tightens { color: var(--tight); } .quiet { opacity: .7; }
article { break-inside: avoid; margin: 1rem 0; }
@media print { body { max-width: none; margin: 0; font-size: 11pt; } h2 { break-after: avoid; }
  mark { background: none; border: 1px solid; } blockquote { border: 1px solid #999; } }
"""
NUMBER = ' class="number"'
_SIGNS = {"loosens": "loosens", "tightens": "tightens", "either": "loosens or tightens", "neutral": ""}


def page(old: str, new: str, changes: Sequence[Change], traffic: Traffic | None) -> str:
    """Returns the page. `old`, `new`: the names of the two sets."""
    sheet = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{sheet}'; base-uri 'none'; form-action 'none'"
    title = f"Policies: {old} and {new}"
    body = [f"<h1>{_text(title)}</h1>", *_changes(changes), *(_traffic(traffic) if traffic else ())]
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{_text(title)}</title>",
            f"<style>{STYLE}</style></head><body>",
            *body,
            "</body></html>",
            "",
        ]
    )


def _changes(changes: Sequence[Change]) -> Iterator[str]:
    yield "<h2>Changes in the files</h2>"
    if not changes:
        yield "<p>The policies are equivalent.</p>"
        return
    rows = (
        (_text(change.policy), _text(change.words), f'<span class="{change.effect}">{_SIGNS[change.effect]}</span>')
        for change in changes
    )
    yield from _table(("policy", "change", "effect"), rows)


def _traffic(traffic: Traffic) -> Iterator[str]:
    counts = traffic.counts
    yield "<h2>Effects on recorded traffic</h2>"
    summary = ", ".join(f"{counts[name]} {name}" for name in COUNTS)
    yield f"<p>{sum(counts.values())} exchanges: {summary}.</p>"
    if traffic.reasons:
        reasons = (f"{count} because {reason}" for reason, count in traffic.reasons.most_common())
        yield f'<p class="quiet">Not replayable: {_text("; ".join(reasons))}.</p>'
    if traffic.rescanned:
        names = ", ".join(name for name, _ in traffic.rescanned.most_common())
        remark = f"New or changed checks scanned recorded texts, in which placeholders replace values: {names}."
        yield f'<p class="quiet">{_text(remark)}</p>'
    groups = traffic.groups
    if not groups:
        return
    rows = ((_text(_name(group)), _text(group.action), _text(group.way), str(group.count)) for group in groups)
    yield from _table(("rule", "action", "it", "exchanges"), rows, numbers=(3,))
    ends = ((_text(before), _text(after), str(count)) for (before, after), count in traffic.outcomes.most_common())
    yield "<h3>Outcomes of the exchanges that differ</h3>"
    yield from _table(("before", "after", "exchanges"), ends, numbers=(2,))
    for group in groups:
        yield from _group(group)


def _name(group: ExchangeGroup) -> str:
    return f"{group.policy}: {group.rule}" if group.policy else group.rule


def _group(group: ExchangeGroup) -> Iterator[str]:
    yield f"<h2>{_text(_name(group))} {_text(group.way)}</h2>"
    count = len(group.examples)
    yield f'<p class="quiet">{count} of {group.count} exchanges.</p>'
    yield from (line for example in group.examples for line in _example(example))


def _example(example: Example) -> Iterator[str]:
    at = datetime.fromtimestamp(example.at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    about = " · ".join(filter(None, (at, example.id, example.route, example.model)))
    yield f"<article><h3><code>{_text(about)}</code></h3>"
    ended = example.before if example.before == example.after else f"{example.before} → {example.after}"
    yield f"<p>{_text(ended)}{_text(f', {example.where}') if example.where else ''}</p>"
    if example.pieces:
        yield f"<blockquote><bdi>{''.join(map(_piece, example.pieces))}</bdi></blockquote>"
    if example.differences:
        yield f"<ul>{''.join(f'<li>{_text(difference)}</li>' for difference in example.differences)}</ul>"
    yield "</article>"


def _piece(piece: ExcerptPart) -> str:
    return f"<mark>{_text(piece.text)}<sub>{_text(piece.mark)}</sub></mark>" if piece.mark else _text(piece.text)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int] = ()) -> Iterator[str]:
    def cell(tag: str, at: int, content: str) -> str:
        return f"<{tag}{NUMBER if at in numbers else ''}>{content}</{tag}>"

    yield f"<table><thead><tr>{''.join(cell('th', at, name) for at, name in enumerate(head))}</tr></thead><tbody>"
    for row in rows:
        yield f"<tr>{''.join(cell('td', at, content) for at, content in enumerate(row))}</tr>"
    yield "</tbody></table>"


def _text(text: str) -> str:
    """Returns `text` as HTML, with invisible characters written as escapes."""
    plain_breaks: Mapping[str, str] = {"\n": "\n", "\t": "\t"}
    plain = "".join(
        char if char.isprintable() else plain_breaks.get(char) or char.encode("unicode_escape").decode()
        for char in text
    )
    return escape(plain)
