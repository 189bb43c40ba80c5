"""The routes of the page Exchanges.

In: visits. Out: pages, parts of pages, downloads. Every record goes through `seen.py` before anything of it is shown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from guardproxy.audit import AnyEntry, Judged, Record, open_line
from guardproxy.audit.proof import compare_receipt, prove_record
from guardproxy.audit.sealing import key_of_text
from guardproxy.console.index import FEEDBACK, OUTCOMES, Cursor, Filter, Index, LoggedLine, Neighbours, Rows
from guardproxy.console.inforce import SERVED
from guardproxy.console.look import is_addressable
from guardproxy.console.pages.exchanges import about, comparing, listing, reasons, scales, stream, texts, unsealing
from guardproxy.console.pages.exchanges.replacing import replacing_of
from guardproxy.console.pages.exchanges.seen import for_viewer, with_values
from guardproxy.errors import AuditError, QueryError, SealError
from guardproxy.findings import Direction
from guardproxy.policy import PolicySet
from guardproxy.replay import LIMIT_CHARS, judged, pace_of, rerun, rules_for

if TYPE_CHECKING:
    from guardproxy.console.contract import Visit

ROWS = 50
ROWS_OF_TABLE = 200
"""The rows of a table of an exchange. A record may have any number of rules, answers and later entries."""
GROUPS = ("outcome", "rule", "label", "model", "tenant", "keep")
LIMIT_RESCANNED_CHARS = 200_000
"""The length of all texts above which an exchange is not played again under other policies."""
TEXTS = 30
"""The number of texts of an exchange that its page shows at once."""


@dataclass(frozen=True, slots=True)
class SeenExchange:
    """An exchange as a person may see it. `record`: `None` if its line cannot be read; `policies`: those that are served, if
    they are loaded; `fault`: why they are not. `values`: placeholder -> value, of an exchange that was
    unsealed. `streams`, `stream_note`: what its stream held back, if that was asked for, or why it is not shown."""

    found: LoggedLine
    record: Record | None
    entries: tuple[AnyEntry, ...]
    beside: Neighbours
    policies: PolicySet | None
    fault: str
    is_loaded: bool
    values: Mapping[str, str] = field(default_factory=dict)
    judge_reasons: Mapping[str, str] = field(default_factory=dict)
    is_unsealed: bool = False
    streams: tuple[stream.HeldStream, ...] = ()
    stream_note: str = ""

    @property
    def own_policies(self) -> PolicySet | None:
        """The policies, if they are those of the exchange."""
        known = self.policies is not None and self.record is not None and self.policies.digest == self.record.policies
        return self.policies if known else None


# The list.


async def show_list(visit: Visit) -> web.StreamResponse:
    """Shows the exchanges of a filter."""
    console, fault = visit.console, ""
    try:
        chosen = Filter.parse(visit.query)
        before, after = (_cursor(visit.query.get(name, "")) for name in ("before", "after"))
    except QueryError as error:
        chosen, before, after, fault = Filter(), None, None, str(error)
    if (
        not fault and "" in visit.query.values()
    ):  # a form sends its empty fields too, and the address should be worth copying
        return visit.see_other("exchanges", "", **{name: text for name, text in visit.query.items() if text})
    index = _index(visit)

    def ask() -> tuple[Rows, int]:
        return index.rows(chosen, ROWS, before, after), index.count(chosen)

    try:
        rows, count = await console.run(ask)
        # Groups read all rows of a filter. The page shows first, and asks for them.
        groups = await _groups(visit, chosen) if visit.query.get("groups") else None
    except QueryError as error:
        return visit.render("exchanges/failed.html", status=503, text=str(error))
    query = chosen.query()
    return visit.render(
        "exchanges/list.html",
        chosen=chosen,
        filter_query=query,
        fault=fault,
        rows=[listing.list_row(row) for row in rows.rows],
        count=count,
        groups=groups,
        groups_url=visit.url("exchanges", "/groups", **query),
        older=visit.url("exchanges", "", **query, before=str(rows.older)) if rows.older else "",
        newer=visit.url("exchanges", "", **query, after=str(rows.newer)) if rows.newer else "",
        outcomes=listing.outcome_options(OUTCOMES, chosen.outcome),
        opinions=[("", "any"), *((word, word) for word in FEEDBACK)],
        progress=index.progress,
        has_log=console.audit is not None,
    )


async def show_groups(visit: Visit) -> web.StreamResponse:
    """Shows how many exchanges of a filter each value of a column has."""
    try:
        groups = await _groups(visit, _chosen(visit))
    except QueryError as error:
        return visit.render("exchanges/failed.html", status=503, text=str(error))
    return visit.render("exchanges/groups.html", groups=groups)


async def _groups(visit: Visit, chosen: Filter) -> tuple[listing.GroupColumn, ...]:
    """Returns the groups beside a list. A column is counted without its own part of the filter, so that another value can be
    chosen."""
    index = _index(visit)

    def ask() -> dict[str, list[tuple[str, int]]]:
        return {
            column: index.groups(replace(chosen, **({column: None} if hasattr(chosen, column) else {})), column, 12)
            for column in GROUPS
        }

    return listing.group_links(await visit.console.run(ask), chosen.query())


def _index(visit: Visit) -> Index:
    """Returns the index; an empty one without a log."""
    index: Index | None = visit.console.index
    return index if index is not None else Index(None)


def _cursor(text: str) -> Cursor | None:
    return Cursor.parse(text) if text else None


# One exchange.


async def _seen(visit: Visit, name: str, *, loads: bool = False) -> SeenExchange | None:
    """Returns an exchange as the person may see it; `None` if the log does not have it."""
    console = visit.console
    index = _index(visit)
    chosen = _chosen(visit)

    def ask() -> tuple[LoggedLine | None, tuple[AnyEntry, ...], Neighbours]:
        return index.find(name), tuple(index.entries(name)), index.neighbours(name, chosen)

    found, entries, beside = await console.run(ask)
    if found is None:
        return None
    code = console.config.policies.allow_code
    if loads:
        policies, fault = await console.run(SERVED.load, console.policies, code)
        is_loaded = True
    else:
        policies, fault, is_loaded = await console.run(SERVED.ready, console.policies, code)
    record = found.record
    if record is not None and visit.login.role == "viewer":
        record = await console.run(for_viewer, record)
    return SeenExchange(found, record, entries, beside, policies, fault, is_loaded)


def _chosen(visit: Visit) -> Filter:
    try:
        return Filter.parse(visit.query)
    except QueryError:
        return Filter()


def _missing(visit: Visit) -> web.Response:
    return visit.render("exchanges/missing.html", status=404, id=visit.part("id"), filter_query=_chosen(visit).query())


async def show_exchange(visit: Visit) -> web.StreamResponse:
    """Shows an exchange."""
    seen = await _seen(visit, visit.part("id"), loads=visit.query.get("policies") == "load")
    if seen is None:
        return _missing(visit)
    return await _page(visit, seen)


async def _page(visit: Visit, seen: SeenExchange, error: str = "", reason: str = "") -> web.Response:
    values = await visit.console.run(_values, visit, seen)
    sealed = seen.record is not None and seen.record.sealed is not None
    return visit.render(
        "exchanges/exchange.html",
        **values,
        is_sealed=sealed or seen.is_unsealed,
        is_unsealed=seen.is_unsealed,
        may_unseal=visit.login.role == "auditor",
        has_key=visit.session.key is not None,
        unseal_fault=error,
        reason=reason or visit.session.reason,
        status=422 if error else 200,
    )


def _values(visit: Visit, seen: SeenExchange) -> dict[str, object]:
    """Returns the values of the template of an exchange."""
    record, query = seen.record, _chosen(visit).query()
    row = seen.found.row
    values: dict[str, object] = {
        "row": row,
        "found": seen.found,
        "record": record,
        "filter_query": query,
        "previous": _beside(visit, seen.beside.previous, query),
        "next": _beside(visit, seen.beside.next, query),
        "back": visit.url("exchanges", "", **query),
        "remarks": about.remarks(seen.entries),
        "loads": ""
        if seen.is_loaded or record is None
        else visit.url("exchanges", f"/{row.id}", **query, policies="load"),
        "fault": seen.fault,
        "policies": seen.policies,
        "is_viewer": visit.login.role == "viewer",
        "most_rows": ROWS_OF_TABLE,
    }
    if record is None:
        return values
    policies = seen.own_policies
    thresholds = scales.thresholds_of(policies, record) if policies else scales.no_thresholds
    known = (
        frozenset(check.name for check in policies.checks.values() if record.checks.get(check.name) == check.digest)
        if policies
        else frozenset[str]()
    )
    every = list(scales.each_text(record))
    replacing = _replacing(seen)
    first = _number(visit.query.get("texts", ""))
    shown = [
        texts.text_part(text, texts.RecordPlace(direction, attempt, number), replacing(direction))
        for direction, attempt, number, text in every[first : first + TEXTS]
    ]
    total = scales.finding_total(record)
    return values | {
        "headline": reasons.headline(record),
        "rule_reasons": (told := reasons.reasons(record, policies)),
        "policy_facts": [
            (each.policy, f"{'applied' if each.applies else 'did not apply'}: {each.why}") for each in told.policies
        ],
        "checks": scales.check_rows(record, thresholds, known.__contains__),
        "findings": scales.finding_rows(record, thresholds),
        "finding_total": total,
        "finding_rows": scales.ROWS,
        "texts": shown,
        "first_text": first,
        "text_total": len(every),
        "more_texts": first + TEXTS if first + TEXTS < len(every) else None,
        "groups": about.groups(record),
        "attempts": about.attempt_rows(record),
        "time_line": (line := stream.time_line(record)),
        "time_words": [f"{bar.at:,.0f} to {bar.until:,.0f} ms" for bar in line.bars],
        "streamed": any(answer.streamed for answer in record.answers),
        "money": about.money,
        "values": seen.values,
        "judge_reasons": seen.judge_reasons,
        "streams": seen.streams,
        "stream_note": seen.stream_note,
    }


def _beside(visit: Visit, name: str | None, query: Mapping[str, str]) -> str:
    """Returns the address of the exchange before or after; empty if there is none, or no address leads to it."""
    return visit.url("exchanges", f"/{name}", **query) if name and is_addressable(name) else ""


def _replacing(seen: SeenExchange) -> Callable[[Any], texts.Replacing]:
    """Returns what tells the replacements in a direction."""
    record, policies = seen.record, seen.own_policies
    bound = rules_for(record, policies) if record is not None and policies is not None else None
    placeholders = {value: placeholder for placeholder, value in seen.values.items()}
    return lambda direction: replacing_of(direction, bound, placeholders, shows_values=seen.is_unsealed)


def _number(text: str) -> int:
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text, re.ASCII) else 0


async def show_text(visit: Visit) -> web.StreamResponse:
    """Shows a part of a text of an exchange."""
    seen = await _seen(visit, visit.part("id"))
    if seen is None or seen.record is None:
        return _missing(visit)
    return await _text(visit, seen, seen.record, visit.query)


async def _text(
    visit: Visit, seen: SeenExchange, record: Record, asked: Mapping[str, str], unsealed: str = ""
) -> web.Response:
    """Shows the part of a text that is asked for. `unsealed`: the reason, if the text was sealed."""
    direction: Direction = "response" if asked.get("side") == "response" else "request"
    place = texts.RecordPlace(direction, _number(asked.get("attempt", "")), _number(asked.get("number", "")))
    text = texts.part_at([side.texts for side in (record.request, *record.answers)], place)
    if text is None:
        return _missing(visit)
    part = await visit.console.run(
        texts.text_part, text, place, _replacing(seen)(direction), _number(asked.get("part", ""))
    )
    return visit.render(
        "exchanges/text.html",
        text=part,
        part_chars=texts.PART_CHARS,
        row=seen.found.row,
        filter_query=_chosen(visit).query(),
        back=visit.url("exchanges", f"/{seen.found.row.id}", **_chosen(visit).query()),
        unsealed=unsealed,
    )


async def show_findings(visit: Visit) -> web.StreamResponse:
    """Shows further findings of an exchange."""
    seen = await _seen(visit, visit.part("id"))
    if seen is None or seen.record is None:
        return _missing(visit)
    policies = seen.own_policies
    thresholds = scales.thresholds_of(policies, seen.record) if policies else scales.no_thresholds
    first = _number(visit.query.get("first", ""))
    return visit.render(
        "exchanges/findings.html",
        findings=scales.finding_rows(seen.record, thresholds, first),
        first=first,
        finding_total=scales.finding_total(seen.record),
        finding_rows=scales.ROWS,
        row=seen.found.row,
        filter_query=_chosen(visit).query(),
        back=visit.url("exchanges", f"/{seen.found.row.id}", **_chosen(visit).query()),
    )


async def show_replay(visit: Visit) -> web.StreamResponse:
    """Plays an exchange again: whether the policies decide the same, and what its stream held back."""
    seen = await _seen(visit, visit.part("id"), loads=True)
    if seen is None or seen.record is None:
        return _missing(visit)
    # Decisions are those of the whole record; a viewer sees the texts without values, and a replay needs them.
    whole = seen.found.record
    assert whole is not None  # noqa: S101 - the record that is seen was made of it
    policies = seen.policies
    values: dict[str, Any] = {
        "row": seen.found.row,
        "back": visit.url("exchanges", f"/{seen.found.row.id}", **_chosen(visit).query()),
        "fault": seen.fault,
        "result": None,
        "streams": (),
        "note": "",
        "is_own": policies is not None and policies.digest == whole.policies,
    }
    if policies is not None:
        values |= await visit.console.run(_played, seen, whole, policies, visit.login.role == "viewer")
    return visit.render("exchanges/replay.html", **values)


def _played(seen: SeenExchange, whole: Record, policies: PolicySet, is_viewer: bool) -> dict[str, object]:
    """Returns the result of a replay, and what the streams held back. A path may hold a key of an object, which may be a text,
    so a viewer gets none."""
    chars = sum(text.chars for _, _, _, text in scales.each_text(whole))
    if policies.digest != whole.policies and chars > LIMIT_RESCANNED_CHARS:
        # Checks that changed would read all of it again, while a person waits.
        note = f"The texts have {chars:,} characters: `guardproxy replay` plays such long texts again under other policies."
        return {"note": note}
    result = judged(whole, rerun(whole, policies), policies, _no_path if is_viewer else str)
    streams, note = held_back(whole, policies)
    if is_viewer:
        streams = tuple(
            replace(each, path="a text", held=tuple(place._replace(text="") for place in each.held)) for each in streams
        )
    return {"result": result, "streams": streams, "note": note}


def _no_path(path: str) -> str:
    return "a text"


def held_back(record: Record, policies: PolicySet) -> tuple[tuple[stream.HeldStream, ...], str]:
    """Returns what the streams of an exchange held back, or why that is not known."""
    chars = sum(len(text.text or "") for answer in record.answers for text in answer.texts)
    if policies.digest != record.policies:
        return (
            (),
            "The policies that are served now are not those of the exchange, so they do not tell what it held back.",
        )
    if not any(answer.streamed for answer in record.answers):
        return (), "The answer came whole, so it was held until all of it was checked."
    if chars > LIMIT_CHARS:
        return (), f"The answer has {chars:,} characters. Only streams of up to {LIMIT_CHARS:,} are played again."
    pace = pace_of(record, policies)
    again = rerun(record, policies, pace)
    return ((), again) if isinstance(again, str) else (stream.held_streams(record, pace.steps, pace.size_chars), "")


# Proof and downloads.


async def download_record(visit: Visit) -> web.StreamResponse:
    """Gives the record of an exchange as JSON: the line of the log, or without values for a viewer."""
    seen = await _seen(visit, visit.part("id"))
    if seen is None or seen.record is None:
        return _missing(visit)
    body: bytes = seen.found.line
    if visit.login.role == "viewer":
        members = await visit.console.run(seen.record.document)
        body = json.dumps(members, ensure_ascii=True, sort_keys=True).encode() + b"\n"
    return _download(body, f"exchange-{_file_name(seen.found.row.id)}.json")


async def download_proof(visit: Visit) -> web.StreamResponse:
    """Gives the proof that the log holds the record, for people who have only a public key."""
    folder, name = visit.console.audit, visit.part("id")
    if folder is None:
        return _missing(visit)
    try:
        proof = await visit.console.run(prove_record, folder, name)
    except (AuditError, OSError) as error:
        return visit.render("exchanges/failed.html", status=409, text=f"There is no proof yet: {error}")
    return _download(msgspec.json.encode(proof), f"proof-{_file_name(name)}.json")


async def show_proof(visit: Visit) -> web.StreamResponse:
    """Shows what is proven about a record, and compares a receipt with it."""
    seen = await _seen(visit, visit.part("id"))
    folder = visit.console.audit
    if seen is None or folder is None:
        return _missing(visit)
    receipt = visit.query.get("receipt", "").strip()
    proof, fault = None, ""
    try:
        proof = (await visit.console.run(prove_record, folder, seen.found.row.id)).statement
    except (AuditError, OSError) as error:
        fault = str(error)
    members = open_line(seen.found.line) or {}
    return visit.render(
        "exchanges/proof.html",
        row=seen.found.row,
        found=seen.found,
        proof=proof,
        fault=fault,
        receipt=receipt,
        receipt_facts=[(fact.name, fact.value) for fact in about.receipt_facts(seen.record)] if seen.record else [],
        receipt_faults=compare_receipt(receipt, members) if receipt else [],
        back=visit.url("exchanges", f"/{seen.found.row.id}", **_chosen(visit).query()),
        may_download=visit.login.role != "viewer",
    )


def _download(body: bytes, name: str) -> web.Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return web.Response(body=body, content_type="application/json", headers=headers)


def _file_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)[:80]


# Two exchanges.


async def show_comparison(visit: Visit) -> web.StreamResponse:
    """Compares two exchanges."""
    names = [visit.query.get(side, "").strip() for side in ("a", "b")]
    if not all(names):
        return visit.render("exchanges/compare.html", names=names, compared=None, missing="", seen=())
    both = [await _seen(visit, name) for name in names]
    missing = next((name for name, seen in zip(names, both, strict=True) if seen is None or seen.record is None), "")
    records = [seen.record for seen in both if seen is not None and seen.record is not None]
    if missing or len(records) != len(names):
        return visit.render("exchanges/compare.html", status=404, names=names, compared=None, missing=missing, seen=())
    compared = await visit.console.run(comparing.compare, *records)
    heads = [reasons.headline(record) for record in records]
    return visit.render(
        "exchanges/compare.html",
        names=names,
        compared=compared,
        missing="",
        seen=list(zip([seen.found.row for seen in both if seen], heads, strict=True)),
    )


# Sealed texts.


async def unlock(visit: Visit) -> web.StreamResponse:
    """Holds the key of the auditor for this session."""
    fields = await visit.form()
    name, reason, folder = visit.part("id"), fields.get("reason", ""), visit.console.audit
    seen = await _seen(visit, name)
    if seen is None or folder is None:
        return _missing(visit)
    fault = unsealing.fault_of_reason(reason)
    if not fault:
        try:
            key = key_of_text(fields.get("key", ""))
            await visit.console.run(unsealing.check_key, visit.console.key_store(folder), key)
            visit.session.hold_key(key, reason)
        except SealError as error:
            fault = str(error)
    if fault:
        return await _page(visit, seen, fault, reason)
    return visit.see_other("exchanges", f"/{name}")


async def show_unsealed(visit: Visit) -> web.StreamResponse:
    """Shows the sealed texts of an exchange, after the log says who sees them and why. Each view needs its reason."""
    fields = await visit.form()
    reason, folder = fields.get("reason", ""), visit.console.audit
    seen = await _seen(visit, visit.part("id"))
    if seen is None or seen.record is None or folder is None:
        return _missing(visit)
    key = visit.session.key
    fault = unsealing.fault_of_reason(reason)
    if key is None:
        fault = "The key of this session is not held any more. Give it again."
    elif seen.record.sealed is None:
        fault = "The texts of this exchange are not sealed."
    if fault or key is None:
        return await _page(visit, seen, fault, reason)
    scores = tuple(entry for entry in seen.entries if isinstance(entry, Judged))
    record, by = seen.record, visit.login.name

    def opened() -> unsealing.UnsealedExchange:
        return unsealing.unseal(folder, visit.console.key_store(folder), key, record, scores, by, reason.strip())

    try:
        unsealed = await visit.console.run(opened)
    except (AuditError, OSError) as error:
        return await _page(visit, seen, str(error), reason)
    shown = await visit.console.run(with_values, unsealed.record, unsealed.values)
    now = replace(seen, record=shown, values=unsealed.values, judge_reasons=unsealed.reasons, is_unsealed=True)
    if "part" in fields:
        return await _text(visit, now, shown, fields, reason)
    if fields.get("replay"):
        code = visit.console.config.policies.allow_code
        policies, fault = await visit.console.run(SERVED.load, visit.console.policies, code)
        if policies is None:
            now = replace(now, stream_note=fault)
        else:
            streams, note = await visit.console.run(held_back, unsealed.record, policies)
            now = replace(now, streams=streams, stream_note=note, policies=policies, is_loaded=True)
    return await _page(visit, now, reason=reason)
