"""Writes the report for auditors as one HTML page, for screen and paper.

In: the sums of a period, and the result of verifying the log. Out: the page. It holds names, counts and times, and no text of
an exchange. Names that clients choose are escaped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from guardproxy.audit.proof import CheckpointReport, LogReport
from guardproxy.reading.period import FOREVER_S, Period
from guardproxy.reading.plot import PLOT_STYLE, plot
from guardproxy.reading.questions import PROVISIONS, AuditFacts, answered
from guardproxy.reading.summary import (
    BLOCKED,
    CLASSES,
    INSPECTED,
    REDACTED,
    REFUSED,
    UNKNOWN,
    UNREAD,
    InForce,
    TrafficSummary,
)
from guardproxy.webpage import STYLE, html_table, html_text, webpage

_MEANINGS = {
    INSPECTED: "Checks read the exchange, and it went on as it was",
    REDACTED: "Rules replaced parts of the request or of the answer",
    BLOCKED: "A rule stopped the request or the answer",
    UNREAD: "No check read it: a route that passes through, or no policy applied",
    REFUSED: "It was not accepted: a wrong request, an unknown route, or no capacity to judge it",
    UNKNOWN: "The process ended before the exchange did",
}
_PAPER_STYLE = """
.blank td { height: 1.6rem; }
@media print { tr, svg, h3 { break-inside: avoid; } h3 { break-after: avoid; } td, th { padding: .2rem .4rem; } }
@page { margin: 16mm 14mm 20mm; @bottom-right { content: "Page " counter(page) " of " counter(pages); font-size: 9pt; } }
"""
_LIMIT_ROWS = 50
_LIMIT_HELD = 12
_LIMIT_PROBLEMS = 20
_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of verifying the logs. `with_copies`: copies of heads or checkpoints from another place were compared.
    `open_intents`: exchanges without an end. `unread`: lines that could not be read, by reason. `checkpoints`: the result
    of verifying the checkpoints, if there are any."""

    logs: Sequence[LogReport]
    with_copies: bool
    open_intents: int
    unread: Counter[str]
    checkpoints: CheckpointReport | None = None

    @property
    def problems(self) -> list[str]:
        """Returns every problem, with the place where it was found."""
        signed = [problem.message for problem in self.checkpoints.problems] if self.checkpoints else []
        return [
            *(f"checkpoints: {message}" for message in signed),
            *(
                f"{log.file}: {f'line {problem.line}: ' if problem.line else ''}{problem.message}"
                for log in self.logs
                for problem in log.report.problems
            ),
            *(f"{count} lines could not be read: {why}" for why, count in self.unread.items()),
        ]

    @property
    def is_intact(self) -> bool:
        """Whether no log and no checkpoint has a problem, and every line could be read."""
        return not self.problems


def report_page(title: str, summary: TrafficSummary, verification: Verification, made_s: float, program: str) -> str:
    """Returns the page. `title`: the name of the system. `made_s`: the time of the report. `program`: the name and
    version of the program that makes it."""
    facts = _facts(summary, verification)
    heading = f"Audit report: {title}"
    body = [
        f"<h1>{html_text(heading)}</h1>",
        f'<p class="quiet">{html_text(f"Period: {facts.period}. Made {_moment(made_s)} by {program}.")}</p>',
        *_overview(summary, facts),
        *_integrity(verification, facts),
        *_custody(summary, facts),
        *_rules(summary),
        *_scores(summary),
        *_reviews(summary),
        *_unread(summary),
        *_in_force(summary),
        *_names(summary),
        *_questions(facts),
        *_review(),
    ]
    return webpage(heading, body, STYLE + PLOT_STYLE + _PAPER_STYLE)


def _overview(summary: TrafficSummary, facts: AuditFacts) -> Iterator[str]:
    yield "<h2>Exchanges</h2>"
    yield f"<p><strong>{html_text(_headline(summary))}</strong></p>"
    yield f"<p>{html_text(facts.exchanges)} in the period. {html_text(_sentence(facts.verified))}</p>"
    yield from plot(summary.hours)
    rows = [
        (html_text(name), f"{summary.classes[name]:,}", _share(summary.classes[name], summary.total), _MEANINGS[name])
        for name in CLASSES
    ]
    yield from html_table(("class", "exchanges", "share", "meaning"), rows, numbers=(1, 2))
    yield "<h3>Outcomes</h3>"
    yield from _ranked(("outcome",), _single(summary.outcomes))
    if summary.refusals:
        yield "<h3>Refusals by reason</h3>"
        yield from _ranked(("reason",), _single(summary.refusals))
    if summary.gaps:
        yield "<h3>Gaps</h3><p>The log could not be written, and all traffic was refused:</p>"
        gaps = [tuple(map(html_text, (_moment(since), _moment(until), why))) for since, until, why in summary.gaps]
        yield from html_table(("from", "to", "reason"), gaps[:_LIMIT_ROWS])
        yield from _more(len(gaps))


def _integrity(verification: Verification, facts: AuditFacts) -> Iterator[str]:
    yield "<h2>Integrity of the log</h2>"
    yield f"<p>{html_text(_sentence(facts.verified))}</p>"
    signed = verification.checkpoints
    if signed is not None and signed.signed_by:
        number = f"{signed.number:,}"
        yield f"<p>{html_text(f'Checkpoint {number} is signed by {signed.signed_by}, made {_moment(signed.at)}.')}</p>"
    else:
        yield "<p>No signature was checked.</p>"
    if not verification.with_copies:
        yield (
            "<p>The logs were not compared with copies of heads or checkpoints from another place. Without them, this "
            "result does not show a folder that somebody who can write to it has put back to an older state"
            f"{'' if signed is not None and signed.signed_by else ' or written anew'}.</p>"
        )
    rows = [
        (
            html_text(log.file),
            _state(log),
            f"{log.report.records:,}",
            f"<code>{html_text(f'{log.report.head.seq} {log.report.head.hash}' if log.report.head else 'none')}</code>",
        )
        for log in verification.logs
    ]
    yield from html_table(("log", "state", "records", "head: number and hash of the last record"), rows, numbers=(2,))
    problems = verification.problems
    if problems:
        yield f"<ul>{''.join(f'<li>{html_text(problem)}</li>' for problem in problems[:_LIMIT_PROBLEMS])}</ul>"
        yield from _more(len(problems), _LIMIT_PROBLEMS)
    removed = signed.states.removed if signed is not None else {}
    if removed:
        text = _were(len(removed), "log", "removed because of age")
        yield f"<p>{html_text(f'{text}, as the settings say. Signed checkpoints name each of them.')}</p>"
    yield (
        "<p>To repeat this: <code>guardproxy audit verify FOLDER --key LOG.key.pub --copy COPIES</code> needs the folder, the "
        "public key, and copies of checkpoints. It needs no access to the proxy. This page is a summary and is not signed.</p>"
    )
    if verification.open_intents:
        count = verification.open_intents
        yield f"<p>Exchanges without an end, which are in progress or were cut off: {count:,}.</p>"


def _custody(summary: TrafficSummary, facts: AuditFacts) -> Iterator[str]:
    yield "<h2>Access and erasure</h2>"
    yield f"<p>{html_text(_sentence(facts.custody))} Copies of the key store are not covered.</p>"
    if summary.custody:
        rows = [(html_text(_moment(at)), *map(html_text, (what, by, why))) for at, what, by, why in summary.custody]
        yield from html_table(("time", "what an operator did", "who", "reason"), rows[:_LIMIT_ROWS])
        yield from _more(len(rows))


def _review() -> Iterator[str]:
    """Yields lines to fill in, for a copy on paper."""
    yield "<h2>Review</h2>"
    rows = [(name, "") for name in ("Prepared by", "Reviewed by", "Date of the review", "Result and measures")]
    yield '<div class="blank">'
    yield from html_table(("", "to be filled in"), rows)
    yield "</div>"


def _rules(summary: TrafficSummary) -> Iterator[str]:
    yield "<h2>Rules and findings</h2>"
    if not summary.rules:
        yield "<p>No rule held in the period.</p>"
    else:
        yield from _ranked(("policy", "rule", "action", "mode"), summary.rules.items())
    if summary.findings:
        yield "<h3>Findings</h3>"
        yield from _ranked(("check", "label", "direction"), summary.findings.items(), "findings")


def _unread(summary: TrafficSummary) -> Iterator[str]:
    yield "<h2>Not inspected</h2>"
    count = summary.classes[UNREAD]
    yield (
        f"<p>{_sentence(_were(count, 'exchange', 'not inspected'))} Inspected exchanges with parts that no check can "
        f"read, such as images: {summary.partly_unread:,}.</p>"
    )
    if summary.parts_unread:
        yield from _ranked(("kind of part",), _single(summary.parts_unread))


def _in_force(summary: TrafficSummary) -> Iterator[str]:
    yield "<h2>In force</h2>"
    yield (
        "<p>The versions that exchanges of the period name, by their digests. The same digest means the same content.</p>"
    )
    for group, head in (
        ("policies", "digest of the policies"),
        ("checks", "check and its digest, which covers its options and its model"),
        ("models", "model that answered"),
        ("programs", "program"),
    ):
        versions = summary.in_force.get(group, {})
        if versions:
            ordered = sorted(versions.items(), key=lambda item: (item[1].first_s, item[0]))
            yield f"<h3>{group.capitalize()}</h3>"
            rows: list[tuple[str, ...]] = [_version(name, found) for name, found in ordered[:_LIMIT_ROWS]]
            heads: tuple[str, ...] = (head, "first exchange", "last exchange", "exchanges")
            if group == "policies":
                heads = (*heads, "policies and their rules that held")
                shown = [html_text(_held(summary, name)) for name, _ in ordered]
                rows = [(*row, held) for row, held in zip(rows, shown, strict=False)]
            yield from html_table(heads, rows, numbers=(3,))
            yield from _more(len(ordered))


def _headline(summary: TrafficSummary) -> str:
    """Returns what matters most, in a sentence."""
    counts = summary.classes
    said = [f"{counts[name]:,} {name}" for name in (BLOCKED, REDACTED, REFUSED, UNREAD, UNKNOWN) if counts[name]]
    return (
        f"Of {summary.total:,} exchanges: {', '.join(said)}."
        if said
        else "No exchange was blocked, redacted or refused."
    )


def _held(summary: TrafficSummary, digest: str) -> str:
    """Returns the rules of a set of policies that held, the most frequent first."""
    held = summary.held.get(digest, Counter())
    return ", ".join(f"{name} ({count:,})" for name, count in held.most_common(_LIMIT_HELD)) or "none"


def _version(name: str, found: InForce) -> tuple[str, ...]:
    times = (html_text(_moment(found.first_s)), html_text(_moment(found.last_s)))
    return f"<code>{html_text(name)}</code>", *times, f"{found.count:,}"


def _names(summary: TrafficSummary) -> Iterator[str]:
    yield "<h2>Traffic</h2>"
    for group, counts in sorted(summary.names.items()):
        yield f"<h3>{group.capitalize()}</h3>"
        yield from _ranked((group,), _single(counts))


def _questions(facts: AuditFacts) -> Iterator[str]:
    yield "<h2>Questions of auditors</h2>"
    yield (
        "<p>What this report and the log behind it show for provisions on records, and what has to be shown "
        "elsewhere. It is evidence for an assessment, not the assessment, and no legal advice.</p>"
    )
    for standard, provisions in PROVISIONS.items():
        rows = [
            (
                html_text(provision.place),
                html_text(provision.question),
                html_text(answered(provision, facts)),
                html_text(provision.open_points),
            )
            for provision in provisions
        ]
        yield f"<h3>{html_text(standard)}</h3>"
        yield from html_table(("provision", "question", "what is shown here", "to be shown elsewhere"), rows)


def _facts(summary: TrafficSummary, verification: Verification) -> AuditFacts:
    classes, total = summary.classes, summary.total
    lost_s = sum(
        min(until, summary.period.end_s) - max(since, summary.period.start_s) for since, until, _ in summary.gaps
    )
    gaps = (
        f"the log could not be written {_times(len(summary.gaps))}, for {lost_s:,.1f} seconds, in which all traffic was "
        "refused"
        if summary.gaps
        else "the log has no gap in the period"
    )
    reach = "the folder holds no records"
    if summary.oldest_s is not None and summary.newest_s is not None:
        days = (summary.newest_s - summary.oldest_s) / _DAY_S
        reach = f"the folder holds records of {days:,.1f} days, from {_moment(summary.oldest_s)} to {_moment(summary.newest_s)}"
    held = sum(summary.rules.values())
    shadow = sum(count for (_, _, _, mode), count in summary.rules.items() if mode == "shadow")
    return AuditFacts(
        exchanges=_many(total, "exchange") + _feedback(summary),
        period=_period(summary.period),
        blocked=_were(classes[BLOCKED], "exchange", "blocked"),
        redacted=_were(classes[REDACTED], "exchange", "redacted"),
        unread=f"{_many(classes[UNREAD], 'exchange')}, and parts of {summary.partly_unread:,} inspected exchanges",
        unknown=f"the end of {_many(classes[UNKNOWN], 'exchange')} is unknown",
        gaps=gaps,
        verified=_verified(verification),
        reach=reach,
        policies=_were(len(summary.in_force.get("policies", {})), "version", "in force", "of the policies"),
        checks=_were(len(summary.in_force.get("checks", {})), "version", "in force", "of checks"),
        rules=f"rules held {_times(held)} in all, {shadow:,} of them in shadow mode, in which they do not act",
        custody=(
            f"the texts of {_many(summary.sealed, 'exchange')} are encrypted; operators opened, erased or re-keyed texts "
            f"{_times(len(summary.custody))}"
        ),
    )


def _scores(summary: TrafficSummary) -> Iterator[str]:
    """Yields the scores of judges: by policy and question, their number, mean and scale."""
    if not summary.scores:
        return
    sums: dict[tuple[str, str, tuple[int, int]], list[int]] = {}
    for (policy, rubric, scale, score), count in sorted(summary.scores.items()):
        of = sums.setdefault((policy, rubric, scale), [0, 0])
        of[0] += count
        of[1] += count * score
    rows = [
        (html_text(policy), html_text(rubric), f"{count:,}", f"{total / count:.2f}", f"{low} to {high}")
        for (policy, rubric, (low, high)), (count, total) in sums.items()
    ]
    yield "<h2>Scores of judges</h2>"
    yield from html_table(("policy", "question", "answers", "mean score", "scale"), rows, numbers=(2, 3))


def _reviews(summary: TrafficSummary) -> Iterator[str]:
    """Yields what people said of decisions: the number of their verdicts by rule."""
    if not summary.reviews:
        return
    rows = [
        (
            html_text(": ".join(filter(None, (policy, rule))) or "(no rule)"),
            html_text(verdict.replace("_", " ")),
            f"{count:,}",
        )
        for (policy, rule, verdict), count in sorted(summary.reviews.items())
    ]
    yield "<h2>Verdicts of reviewers</h2>"
    yield from html_table(("rule", "verdict", "times"), rows[:_LIMIT_ROWS], numbers=(2,))
    yield from _more(len(rows))


def _feedback(summary: TrafficSummary) -> str:
    """Returns what clients said of exchanges; empty without feedback."""
    said = summary.feedback
    if not said:
        return ""
    names = (("up", "thumbs up"), ("down", "thumbs down"), ("none", "without thumbs"), ("blocked", "blocked by rules"))
    counts = ", ".join(f"{said[key]:,} {name}" for key, name in names if said[key])
    return f", with feedback {_times(said.total())} ({counts})"


def _verified(verification: Verification) -> str:
    records = sum(log.report.records for log in verification.logs)
    if verification.is_intact:
        compared = ", and copies from another place agree" if verification.with_copies else ""
        return f"log verified: no problem in {_many(records, 'record')} of {_many(len(verification.logs), 'log')}{compared}"
    return "log not verified: problems were found, see the integrity of the log"


def _state(log: LogReport) -> str:
    state = "changed" if log.report.tampered else "torn" if log.report.torn else "intact"
    return state if state == "intact" else f'<span class="loosens">{state}</span>'


def _ranked(
    head: tuple[str, ...], counts: Iterable[tuple[tuple[str, ...], int]], what: str = "exchanges"
) -> Iterator[str]:
    """Yields a table of the largest counts."""
    ordered = sorted(counts, key=lambda item: (-item[1], item[0]))
    rows = [(*map(html_text, names), f"{count:,}") for names, count in ordered[:_LIMIT_ROWS]]
    yield from html_table((*head, what), rows, numbers=(len(head),))
    yield from _more(len(ordered))


def _single(counts: Mapping[str, int]) -> Iterator[tuple[tuple[str], int]]:
    return (((name,), count) for name, count in counts.items())


def _more(count: int, limit: int = _LIMIT_ROWS) -> Iterator[str]:
    if count > limit:
        yield f'<p class="quiet">{count - limit:,} further rows are left out.</p>'


def _share(count: int, total: int) -> str:
    return f"{100 * count / total:.1f} %" if total else ""


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _were(count: int, noun: str, what: str, of: str = "") -> str:
    return f"{_many(count, noun)}{of and ' ' + of} {'was' if count == 1 else 'were'} {what}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _period(period: Period) -> str:
    start = _moment(period.start_s) if period.start_s else ""
    end = _moment(period.end_s) if period.end_s < FOREVER_S else ""
    if not start and not end:
        return "all records"
    return " ".join(part for part in (f"from {start}" if start else "", f"until {end}" if end else "") if part)


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
