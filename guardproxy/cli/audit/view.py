"""Prints an entry of the audit log for people: texts with marked findings, decisions, attempts, timings, digests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from guardproxy.cli.printing import say, styled
from guardproxy.findings import origin_words
from guardproxy.wire.json import view

if TYPE_CHECKING:
    from rich.text import Text

    from guardproxy.audit import AnyEntry, Closing, Intent, OperatorEntry, Record
    from guardproxy.audit.record import (
        RecordedAnswer,
        RecordedAttempt,
        RecordedCache,
        RecordedDecision,
        RecordedFeedback,
        RecordedLikeness,
        RecordedSide,
        RecordedText,
    )
    from guardproxy.findings import ModelVerdict

# The number of characters printed around findings, and of a text without findings.
AROUND_CHARS = 200
LIMIT_CHARS = 2000
_FOUND = "bold yellow"
_EDITED = "bold green"


def print_entry(entry: AnyEntry) -> None:
    """Prints an entry on standard output."""
    say(*lines_of(entry))


def lines_of(entry: AnyEntry) -> Iterator[Text]:
    """Returns the entry as lines. Control characters are escaped for the terminal."""
    from guardproxy.audit import Closing, Gap, Intent, Judged, OperatorEntry, Record  # noqa: PLC0415

    match entry:
        case Record():
            yield from _record(entry)
        case Closing():
            yield _title(entry, entry.id, "closing: the outcome is unknown")
            yield _row("because", entry.why)
            yield from _origin(entry)
        case Intent():
            yield _title(entry, entry.id, "intent: about to go upstream")
            yield from _origin(entry)
        case OperatorEntry():
            yield _title(entry, getattr(entry, "id", ""), f"{entry.__struct_config__.tag}: {entry.done}")
            yield from _command(entry)
        case Judged():
            said = f"no score, {entry.failure}" if entry.score is None else f"score {entry.score}"
            yield _title(entry, entry.id, f"judged: {said}, on a scale from {entry.scale[0]} to {entry.scale[1]}")
            yield _row("policy", entry.policy)
            yield _row("judge", f"{entry.model} at {entry.upstream}, {entry.ms:g} ms")
            yield _row("rubric", entry.rubric)
        case Gap():
            yield _title(entry, "", "gap: the log could not be written")
            yield _row("since", _clock(entry.since))
            yield _row("because", entry.why)
    yield styled("")


def _record(record: Record) -> Iterator[Text]:
    yield _title(record, record.id, f"{record.outcome}, status {record.status or 'none'}")
    yield from _origin(record)
    yield _row("model", record.model + (" (stream)" if record.stream else ""))
    yield _row("format", record.codec or "none: the route was passed through unread")
    if record.language:
        yield _row("language", record.language)
    if record.conversation:
        yield _row("conversation", record.conversation)
    if record.feedback:
        yield _row("feedback about", record.feedback.exchange)
        yield from _opinion(record.feedback)
    if record.sealed:
        yield _row("texts", f"sealed with the data key {record.sealed.key}: `guardproxy audit unseal` opens them")
    for judge in record.judges:
        yield _row("judge", f"of policy {judge.policy}{'' if judge.mode == 'enforce' else ' (shadow)'}")
    if record.error:
        where = f" at {record.error.field}" if record.error.field else ""
        yield _row("error", f"{record.error.code}{where} {record.error.message}".rstrip())
    for refusal in record.refusals:
        quiet = "" if refusal.mode == "enforce" else " (shadow)"
        where = f" of policy {refusal.policy}" if refusal.policy else ""
        yield _row("refused by", f"{refusal.duty} {refusal.name}".rstrip() + f"{where}: {refusal.code}{quiet}")
    if record.no_capacity:
        yield _row("no capacity", f"{record.no_capacity.check}: {record.no_capacity.reason}")
    yield _row("rules", ", ".join(record.rules) or "none held")
    if record.shadow:
        yield _row("shadow rules", ", ".join(record.shadow))
    for change in record.fields:
        quiet = "" if change.mode == "enforce" else " (shadow)"
        yield _row("field", f"{change.action} {change.field} by policy {change.policy}{quiet}")
    for prompt in record.prompts:
        quiet = "" if prompt.mode == "enforce" else " (shadow)"
        marked = f", {prompt.texts} texts marked" if "wrap" in prompt.parts else ""
        yield _row("prompt", f"{', '.join(prompt.parts) or 'not possible'} by policy {prompt.policy}{marked}{quiet}")
    if record.cache:
        yield _row("cache", _cache(record.cache))
    for verdict in record.verdicts:
        yield _row("asked", _verdict(verdict))
    yield from _side("request", record.request)
    for number, attempt in enumerate(record.attempts):
        yield from _attempt(number, attempt)
    yield from _answer("response", record.response)
    yield from _decisions(record.decisions)
    yield from _members("timings (ms)", {name: f"{value:g}" for name, value in record.timings.items()})
    yield from _members("sizes (bytes)", record.sizes)
    yield from _members("usage", record.usage)
    yield from _members("checks", record.checks)
    yield from _members("conditions", record.matched)
    yield from _members("seals", record.seals)


def _verdict(verdict: ModelVerdict) -> str:
    """What a model at an upstream said about a text."""
    said = verdict.answer or f"no verdict, {verdict.failure}"
    tokens = f", {verdict.tokens[0]} + {verdict.tokens[1]} tokens" if verdict.tokens else ""
    took = ", known before" if verdict.known else f", {verdict.ms:g} ms" if verdict.ms else ""
    attempt = f" of answer {verdict.attempt}" if verdict.attempt else ""
    where = f"{verdict.direction} {verdict.path}{attempt}"
    return f"{verdict.check} about {where}: {said} ({verdict.model} at {verdict.upstream}{tokens}{took})"


def _opinion(feedback: RecordedFeedback) -> Iterator[Text]:
    if feedback.thumbs:
        yield _row("thumbs", feedback.thumbs)
    if feedback.score is not None:
        yield _row("score", f"{feedback.score:g}")
    for span in feedback.spans:
        yield _row("span", f"{span.start}-{span.end} {span.thumbs or ''}".rstrip())


def _command(entry: OperatorEntry) -> Iterator[Text]:
    yield _row("by", entry.by)
    if entry.reason:
        yield _row("because", entry.reason)
    yield _row("engine", entry.engine)
    for name, value in entry.details.items():
        for item in (value,) if isinstance(value, str) else value:
            yield _row(name, item)


def _title(entry: AnyEntry, name: str, what: str) -> Text:
    return styled((f"{name}  ".lstrip(), "bold"), f"{_clock(entry.at)}  {what}")


def _origin(entry: Record | Closing | Intent) -> Iterator[Text]:
    from guardproxy.audit import Record  # noqa: PLC0415

    yield _row("route", entry.route)
    name = f"{entry.tenant_name} " if isinstance(entry, Record) and entry.tenant_name else ""
    yield _row("tenant", f"{name}({entry.tenant or 'no credential'})")
    if isinstance(entry, Record) and entry.client:
        yield _row("client", entry.client)
    yield _row("engine", entry.engine)
    yield _row("policies", entry.policies)


def _cache(cache: RecordedCache) -> str:
    quiet = "" if cache.mode == "enforce" else " (shadow)"
    compared = f"; {_likeness(cache.likeness)}" if cache.likeness else ""
    if cache.result != "hit":
        return f"{cache.result}, {cache.match}{quiet}{compared}"
    return f"the answer of {cache.source}, {cache.age_s:g} s old, {cache.match}{quiet}{compared}"


def _likeness(likeness: RecordedLikeness) -> str:
    """How the question was compared with a stored one."""
    if not likeness.source:
        return f"compared: {likeness.result}"
    scores = ", ".join(f"{score:g}" for score in likeness.entails)
    judged = f", follows {scores} (point {likeness.point:g})" if scores else ""
    return f"compared with {likeness.source}: {likeness.result}, cosine {likeness.similarity:g}{judged}"


def _side(name: str, side: RecordedSide) -> Iterator[Text]:
    yield styled((name, "bold"))
    for text in side.texts:
        yield from _text(text)
    if side.uninspected:
        yield _row("not inspected", "everything" if side.uninspected == ("*",) else ", ".join(side.uninspected))
    if side.unmapped:
        yield _row("unmapped", ", ".join(side.unmapped))


def _answer(name: str, answer: RecordedAnswer) -> Iterator[Text]:
    if answer.status is not None:
        how = "streamed" if answer.streamed else "whole"
        finish = f", finish {', '.join(answer.finish)}" if answer.finish else ""
        name = f"{name}: status {answer.status}, {how}, model {answer.model or '?'}{finish}"
    yield from _side(name, answer)
    if answer.withheld:
        yield _row("withheld", ", ".join(answer.withheld))


def _attempt(number: int, attempt: RecordedAttempt) -> Iterator[Text]:
    rule = f" by rule {attempt.rule}" if attempt.rule else ""
    tokens = f"{attempt.tokens} tokens{'' if attempt.counted else ' (estimate)'}"
    yield styled((f"attempt {number}", "bold"), f": {attempt.decision}{rule}, {tokens}")
    yield _row("ms", f"{attempt.began:g} to {attempt.ended:g}{', ended early' if attempt.cut else ''}")
    for fault in attempt.errors:
        yield _row("fault", f"{fault.place or 'the answer'}: expected {fault.expected}, found {fault.found}")
    if attempt.response is not None:
        yield from _answer(f"response of attempt {number}", attempt.response)


def _text(text: RecordedText) -> Iterator[Text]:
    flags = [name for name in ("open", "encoded", "number", "unmapped", "judged") if getattr(text, name)]
    about = ", ".join([text.kind, f"{text.chars} characters", *flags])
    yield styled("  ", (text.path, "cyan"), f" ({about})")
    if text.text is None:
        yield styled("    ", ("(not kept)", "dim"))
    else:
        yield styled("    ", *_with_marks(view(text.text).text if text.encoded else text.text, text))
    for finding in text.findings:
        where = f"{finding.start}-{finding.end}"
        yield styled(f"    {finding.check}: {finding.label} at {where}, score {finding.score:g}")
        for origin in finding.origins:
            words = origin_words(origin.argument, origin.path, origin.start, origin.end, is_earlier=origin.earlier)
            yield styled(f"      {words}")
    for ground in text.grounds:
        places = " and ".join(f"{passage.path} {passage.start}..{passage.end}" for passage in ground.origins)
        yield styled(f"    {ground.check}: {ground.label} at {ground.start}-{ground.end} by {places}")


def _with_marks(shown: str, text: RecordedText) -> Iterator[tuple[str, str] | str]:
    """Yields a text with its findings in brackets; text far from findings is omitted. `shown`: the text that checks
    read."""
    if not text.findings:
        yield shown[:LIMIT_CHARS] + (" ..." if len(shown) > LIMIT_CHARS else "")
        return
    edits = set(text.edits)
    end_before = 0
    for finding in sorted(text.findings, key=lambda finding: (finding.start, -finding.end)):
        if finding.start < end_before:
            continue
        yield _between(shown[end_before : finding.start], is_first=end_before == 0)
        style = _EDITED if (finding.start, finding.end) in edits else _FOUND
        yield f"\u27e6{shown[finding.start : finding.end]}\u27e7", style
        end_before = finding.end
    rest = shown[end_before:]
    yield rest[:AROUND_CHARS] + (" ..." if len(rest) > AROUND_CHARS else "")


def _between(text: str, *, is_first: bool) -> str:
    head = 0 if is_first else AROUND_CHARS
    if len(text) <= head + AROUND_CHARS:
        return text
    return f"{text[:head]} ... {text[-AROUND_CHARS:]}"


def _decisions(decisions: Sequence[RecordedDecision]) -> Iterator[Text]:
    if decisions:
        yield styled(("decisions", "bold"))
    for decision in decisions:
        shadow = " (shadow)" if decision.mode == "shadow" else ""
        attempt = f", attempt {decision.attempt}" if decision.attempt else ""
        yield styled(
            f"  {decision.policy}/{decision.rule}: {decision.action}{shadow}",
            f" for {decision.check} {decision.label} at {decision.start}-{decision.end}",
            f" of {decision.direction} {decision.path}{attempt}",
        )


def _members(name: str, members: Mapping[str, object]) -> Iterator[Text]:
    if members:
        yield styled((name, "bold"))
    for key, value in members.items():
        yield _row(key, str(value))


def _row(name: str, value: str) -> Text:
    return styled("  ", (name, "dim"), f": {value}")


def _clock(at: float) -> str:
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + "Z"
    except (ValueError, OverflowError, OSError):
        return str(at)
