"""The routes of the page Review.

In: visits of reviewers, operators and auditors. Out: the desk, items, tests, reports about rules in shadow mode, rows to learn
from. A verdict is in the log before the person sees the next item.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from aiohttp import web

from guardproxy.audit import Record
from guardproxy.audit.sealing import KeyAccess, KeyStore, OperatorKey
from guardproxy.console.index import LIMIT_NOTE_CHARS, Filter, Index, ReviewNote, Row
from guardproxy.console.inforce import SERVED
from guardproxy.console.pages.review import tallies
from guardproxy.console.pages.review.allowing import allowed_value
from guardproxy.console.pages.review.desk import QueueProgress, ReviewDesk
from guardproxy.console.pages.review.edits import EditedFile, edited
from guardproxy.console.pages.review.items import VERDICTS, ReviewItem, review_item
from guardproxy.console.pages.review.queues import KINDS, TITLES, ItemKey, ReviewQueue
from guardproxy.console.pages.review.shadow import ShadowReport, shadow_report
from guardproxy.errors import AuditError, GuardproxyError, QueryError, RecordError
from guardproxy.findings import KINDS as TEXT_KINDS
from guardproxy.policy import PolicySet
from guardproxy.policy.values import Policy
from guardproxy.policytest import EditError, PolicyText, WrittenTest, written_test
from guardproxy.reading import ReviewedTexts, read_period, reviewed_rows

if TYPE_CHECKING:
    from guardproxy.console.contract import Visit

WEEK_S = 7 * 86_400.0
LIMIT_SHADOW = 2000
"""Records that a report about a rule in shadow mode reads; the newest of a week."""
LIMIT_EXPORT_BYTES = 256 * 1024 * 1024
_SAFE = re.compile(r"[^A-Za-z0-9._-]+")
_SHARED = "review: desk"


def desk_of(visit: Visit) -> ReviewDesk:
    """Returns the desk of the console."""
    console = visit.console
    if _SHARED not in console.shared:
        console.shared[_SHARED] = ReviewDesk(console.audit, console.index)
    return cast(ReviewDesk, console.shared[_SHARED])


def _queue(visit: Visit, query: Mapping[str, str]) -> ReviewQueue:
    """Reads the queue of a URL or of a form. Raises `HTTPBadRequest`."""
    try:
        return ReviewQueue.parse(query, time.time())
    except QueryError as error:
        raise web.HTTPBadRequest(text=str(error)) from None


async def _policies(visit: Visit) -> tuple[PolicySet | None, str]:
    """Returns the policies that are served, with their checks, or why they cannot be loaded."""
    return await visit.console.run(SERVED.load, visit.console.policies, visit.console.config.policies.allow_code)


async def _ready(visit: Visit) -> tuple[PolicySet | None, bool]:
    """Returns the policies if they are loaded, and whether it is known if they can be. Looks at every file of the folder."""
    policies, _, is_known = await visit.console.run(
        SERVED.ready, visit.console.policies, visit.console.config.policies.allow_code
    )
    return policies, is_known


# The desk.


async def show_desk(visit: Visit) -> web.StreamResponse:
    """Shows the queues, and what reviewers said so far."""
    desk = desk_of(visit)
    if visit.console.audit is None:
        return visit.render("review/none.html")
    now_s = time.time()
    # Loading policies takes seconds, and nobody waits for a number: the queue of scores near thresholds has none until then.
    _, is_known = await _ready(visit)

    def ask() -> dict[str, Any]:
        desk.ledger.follow()
        since = {"since": f"{datetime.fromtimestamp(now_s - WEEK_S, UTC):%Y-%m-%d}"}  # so that a day has one sample
        queues = [ReviewQueue.parse({"queue": kind, **since}, now_s) for kind in KINDS if kind != "rule"]
        verdicts = desk.ledger.verdicts()
        return {
            "queues": [
                (queue, TITLES[queue.kind][1], desk.progress(queue) if is_known or queue.kind != "near" else None)
                for queue in queues
            ],
            "rules": desk.rules(now_s - WEEK_S),
            "shadow_rules": _shadow_rules(desk, now_s),
            "tallies": tallies.rule_tallies(verdicts),
            "agreements": tallies.agreements(verdicts),
            "people": tallies.people(verdicts),
            "held": desk.claims.held(now_s),
            "total": desk.index.count(Filter()),
        }

    try:
        values = await visit.console.run(ask)
    except QueryError as error:
        return visit.render("review/failed.html", status=503, text=str(error))
    return visit.render("review/desk.html", kinds=TEXT_KINDS, progress=desk.index.progress, **values)


def _shadow_rules(desk: ReviewDesk, now_s: float) -> list[tuple[str, int]]:
    """Returns the rules that held in shadow mode in the last week, with the number of exchanges."""
    chosen = Filter(since=now_s - WEEK_S, outcome="shadow")
    counts: Counter[str] = Counter()
    for rule, _ in desk.index.groups(chosen, "rule"):
        rows = desk.index.rows(replace(chosen, rule=rule), 1).rows
        if rows and rule in rows[0].shadow:
            counts[rule] = desk.index.count(replace(chosen, rule=rule))
    return counts.most_common()


# One item.


async def show_next(visit: Visit) -> web.StreamResponse:
    """Goes to the next item of a queue, or says that nothing is left."""
    desk, queue = desk_of(visit), _queue(visit, visit.query)
    try:
        item = await visit.console.run(desk.next_item, queue, visit.login.name)
        progress = await visit.console.run(desk.progress, queue)
    except QueryError as error:
        return visit.render("review/failed.html", status=503, text=str(error))
    last: dict[str, Any] = {name: visit.query.get(name, "") for name in ("last", "last_rule", "said")}
    if item is None:
        return visit.render("review/done.html", queue=queue, query=queue.query(), progress=progress, **last)
    return visit.see_other("review", f"/item/{item.exchange}", **{**queue.query(), "of": item.rule, **last})


async def show_item(visit: Visit) -> web.StreamResponse:
    """Shows an item with its texts."""
    item = await _item(visit, visit.query.get("of", ""))
    if item is None:
        return visit.render("review/gone.html", status=404, query=_queue(visit, visit.query).query())
    return await _render(visit, item)


async def _item(visit: Visit, rule: str) -> ReviewItem | None:
    """Returns the item of the path; `None` if the log does not have the exchange."""
    desk, name = desk_of(visit), visit.part("id")

    def ask() -> ReviewItem | None:
        desk.ledger.follow()
        found = desk.index.find(name)
        if found is None:
            return None
        key = ItemKey(name, rule)
        return review_item(found, key, desk.ledger.given(key.exchange, key.rule), visit.login.name)

    return await visit.console.run(ask)


async def _render(visit: Visit, item: ReviewItem, error: str = "", status: int = 200) -> web.Response:
    desk, queue = desk_of(visit), _queue(visit, visit.query)

    def ask() -> tuple[QueueProgress, tuple[ReviewNote, ...]]:
        notes = desk.index.notes.of([item.key.exchange])
        return desk.progress(queue), notes.get(item.key.exchange, ())

    progress, notes = await visit.console.run(ask)
    own = tuple(note for note in notes if note.by == visit.login.name)
    shown = notes if item.own else own
    served, _ = await _ready(visit)
    return visit.render(
        "review/item.html",
        status=status,
        item=item,
        queue=queue,
        query=queue.query(),
        progress=progress,
        verdicts=VERDICTS,
        notes=shown,
        own_note=own[0].text if own else "",
        last=visit.query.get("last", ""),
        last_rule=visit.query.get("last_rule", ""),
        said=VERDICTS.get(visit.query.get("said", ""), ("",))[0],
        rules=_rules(served),
        is_rule_gone=served is not None
        and bool(item.key.rule)
        and item.key.rule not in {rule for _, rule in _rules(served)},
        error=error,
    )


def _rules(policies: PolicySet | None) -> list[tuple[str, str]]:
    """Returns policy and rule of all rules that are served."""
    return [(policy.name, rule.id) for policy in policies.policies for rule in policy.rules] if policies else []


async def judge(visit: Visit) -> web.StreamResponse:
    """Writes a verdict to the log, keeps the note, and goes to the next item."""
    form = await visit.form()
    rule, verdict = form.get("of", ""), form.get("verdict", "")
    item = await _item(visit, rule)
    if item is None:
        return visit.render("review/gone.html", status=404, query=_queue(visit, visit.query).query())
    if verdict not in VERDICTS:
        return await _render(visit, item, "Choose right, false alarm or missed.", 400)
    if item.state != "open":
        return await _render(visit, item, "There is nothing to judge here.", 409)
    if rule and not item.policies:
        return await _render(visit, item, "This rule did not hold in this exchange.", 400)
    number = form.get("text", "")
    numbers = {str(text.number) for text in item.texts}
    if number and number not in numbers:
        return await _render(visit, item, "The exchange has no such text.", 400)
    note = form.get("note", "")
    if len(note.strip()) > LIMIT_NOTE_CHARS:
        return await _render(visit, item, f"A note has at most {LIMIT_NOTE_CHARS:,} characters.", 400)
    missed, policy = form.get("missed_rule", ""), item.policies[0] if item.policies else ""
    key = item.key
    if verdict == "missed" and missed:
        policies, _ = await _policies(visit)
        found = next((pair for pair in _rules(policies) if f"{pair[0]}: {pair[1]}" == missed), None)
        if found is None:
            return await _render(visit, item, "The policies have no such rule.", 400)
        policy, key = found[0], ItemKey(item.key.exchange, found[1])
    text = int(number) if number and verdict == "missed" else None
    desk, login = desk_of(visit), visit.login

    def write() -> None:
        desk.judge(key, policy, verdict, login.name, text)
        desk.claims.release(item.key, login.name)
        desk.index.notes.put(ReviewNote(item.key.exchange, login.name, time.time(), note))

    try:
        await visit.console.run(write)
    except (AuditError, QueryError, OSError) as error:
        return await _render(visit, item, f"The verdict could not be written to the log: {error}", 503)
    query = _queue(visit, visit.query).query()
    return visit.see_other("review", "/next", **query, last=key.exchange, last_rule=key.rule, said=verdict)


async def undo(visit: Visit) -> web.StreamResponse:
    """Takes a verdict back, and goes to its item."""
    form = await visit.form()
    key = ItemKey(form.get("last", ""), form.get("last_rule", ""))
    desk, login = desk_of(visit), visit.login
    await visit.console.run(desk.ledger.follow)
    if login.name not in desk.ledger.given(key.exchange, key.rule):
        raise web.HTTPConflict(text="You have said nothing about this that could be taken back.")

    def write() -> None:
        row = desk.index.find(key.exchange)
        held = row.record.decisions if row and row.record else ()
        policy = next((found.policy for found in held if found.rule == key.rule), None)
        desk.judge(key, policy, "withdrawn", login.name)

    try:
        await visit.console.run(write)
    except AuditError as error:
        raise web.HTTPServiceUnavailable(text=f"The log cannot be written: {error}") from None
    query = _queue(visit, visit.query).query()
    return visit.see_other("review", f"/item/{key.exchange}", **query, of=key.rule)


async def skip(visit: Visit) -> web.StreamResponse:
    """Passes over an item."""
    form = await visit.form()
    desk_of(visit).claims.skip(ItemKey(visit.part("id"), form.get("of", "")), visit.login.name)
    return visit.see_other("review", "/next", **_queue(visit, visit.query).query())


# What becomes of a verdict: a test, an allowed value, an enforced rule.


@dataclass(frozen=True, slots=True)
class Remedy:
    """What a person can take away: lines, and the file with them. `fault`: why there is none."""

    fault: str = ""
    test: WrittenTest | None = None
    file: EditedFile | None = None


async def show_test(visit: Visit) -> web.StreamResponse:
    """Writes a test of the policy from an item."""
    rule, verdict = visit.query.get("of", ""), visit.query.get("verdict", "right")
    number = visit.query.get("text", "")
    policy = visit.query.get("policy", "")
    item = await _item(visit, rule)
    if item is None or item.state != "open":
        return visit.render("review/gone.html", status=404, query=_queue(visit, visit.query).query())
    policies, fault = await _policies(visit)
    policy = policy or next(iter(item.policies), "")
    if verdict not in VERDICTS:
        raise web.HTTPBadRequest(text="verdict: expected right, false_alarm or missed")

    def make() -> Remedy:
        if policies is None:
            return Remedy(fault=f"The policies cannot be loaded: {fault}")
        record = desk_of(visit).index.record(item.key.exchange)
        chosen = int(number) if number.isascii() and number.isdigit() and len(number) < 7 else None
        test = written_test(record, policies, policy, rule, verdict, chosen)
        return Remedy(
            test=test, file=edited(visit.console.policies, policies, policy, lambda text: text.with_test(test.lines))
        )

    remedy = await _made(visit, make)
    return visit.render(
        "review/test.html",
        item=item,
        remedy=remedy,
        verdict=VERDICTS[verdict][0],
        query=_queue(visit, visit.query).query(),
    )


async def _made(visit: Visit, make: Callable[[], Remedy]) -> Remedy:
    try:
        return await visit.console.run(make)
    except (RecordError, QueryError, EditError, GuardproxyError) as error:
        return Remedy(fault=f"{error}")
    except OSError as error:
        return Remedy(fault=f"A file of the policies cannot be read: {error.strerror}")


async def show_allow(visit: Visit) -> web.StreamResponse:
    """Writes the line that allows a value. The value comes in a form, so that it is in no address."""
    form = await visit.form() if visit.request.method == "POST" else {}
    rule, value = visit.query.get("of", ""), form.get("value", "").strip()
    item = await _item(visit, rule)
    if item is None or item.state != "open":
        return visit.render("review/gone.html", status=404, query=_queue(visit, visit.query).query())
    policies, fault = await _policies(visit)
    policy = next((known for known in policies.policies if known.name in item.policies), None) if policies else None
    uses = _own_checks(policies, policy, item) if policies and policy else {}
    check = form.get("check", next(iter(uses), ""))
    remedy, allowed = Remedy(), None
    if policies is None:
        remedy = Remedy(fault=f"The policies cannot be loaded: {fault}")
    elif policy is None or check not in uses:
        remedy = Remedy(fault="The rule or its check is no longer in the policies that are served.")
    elif value:
        allowed = allowed_value(check, uses[check], value)
        if allowed.is_possible:
            remedy = await _made(
                visit,
                lambda: Remedy(
                    file=edited(
                        visit.console.policies,
                        policies,
                        policy.name,
                        lambda text: text.with_allowed(check, allowed.value, allowed.option),
                    )
                ),
            )
    return visit.render(
        "review/allow.html",
        line=f"{allowed.option}: [{PolicyText.quoted(allowed.value)}]" if allowed else "",
        item=item,
        remedy=remedy,
        allowed=allowed,
        value=value,
        check=check,
        checks=sorted(uses),
        query=_queue(visit, visit.query).query(),
    )


def _own_checks(policies: PolicySet, policy: Policy, item: ReviewItem) -> dict[str, str]:
    """Returns the checks that found something, by the names that they have in the policy, and what they use. The log may have
    another name: that of another policy for an equal check, or one that says of which policy the check is."""
    known = ((name, policies.checks.get((policy.name, name))) for name in policy.checks)
    own = {check.name: name for name, check in known if check is not None}
    return {own[check]: policy.checks[own[check]].use for check, _, _ in item.found if check in own}


async def show_shadow(visit: Visit) -> web.StreamResponse:
    """Shows what enforcing a rule in shadow mode would have done in the last week, and the edit that enforces it."""
    rule, desk = visit.part("rule"), desk_of(visit)
    chosen = Filter(since=time.time() - WEEK_S, rule=rule, outcome="shadow")

    def ask() -> tuple[ShadowReport, int, int]:
        rows = _newest(desk.index, chosen)
        records = (found.record for row in rows if (found := desk.index.find(row.id)) and found.state == "intact")
        report = shadow_report((record for record in records if record is not None), rule)
        return report, desk.index.count(chosen), len(rows)

    try:
        report, total, read = await visit.console.run(ask)
    except QueryError as error:
        return visit.render("review/failed.html", status=503, text=str(error))
    policies, fault = await _policies(visit)
    remedy = await _made(visit, lambda: _enforced(visit, policies, fault, report, rule))
    return visit.render(
        "review/shadow.html",
        rule=rule,
        report=report,
        total=total,
        read=read,
        remedy=remedy,
        tallies=[row for row in tallies.rule_tallies(desk.ledger.verdicts()) if row.rule == rule],
    )


def _newest(index: Index, chosen: Filter) -> list[Row]:
    rows: list[Row] = []
    before = None
    while len(rows) < LIMIT_SHADOW:
        page = index.rows(chosen, 500, before)
        rows += page.rows
        before = page.older
        if before is None:
            break
    return rows[:LIMIT_SHADOW]


def _enforced(visit: Visit, policies: PolicySet | None, fault: str, report: ShadowReport, rule: str) -> Remedy:
    """Returns the edit that enforces a rule: without its `mode: shadow`, or without that of its policy."""
    if policies is None:
        return Remedy(fault=f"The policies cannot be loaded: {fault}")
    names = report.policies or tuple(policy.name for policy in policies.policies)
    policy = next(
        (known for known in policies.policies if known.name in names and rule in {its.id for its in known.rules}), None
    )
    if policy is None:
        return Remedy(fault="The policies that are served have no such rule: it was renamed or removed.")
    if policy.mode == "shadow":
        return Remedy(file=edited(visit.console.policies, policies, policy.name, PolicyText.enforced), fault="")
    if next(its for its in policy.rules if its.id == rule).mode == "enforce":
        return Remedy(fault="This rule is enforced by now.")
    return Remedy(file=edited(visit.console.policies, policies, policy.name, lambda text: text.enforced(rule)))


# Rows to learn from.


async def export(visit: Visit) -> web.StreamResponse:
    """Sends labelled texts for `guardproxy model`. Sealed texts are opened for an auditor with the key of the session alone,
    and the log says so for each."""
    form = await visit.form()
    console = visit.console
    if console.audit is None:
        raise web.HTTPConflict(text="There is no log.")
    kind = form.get("channel", "")
    if kind and kind not in TEXT_KINDS:
        raise web.HTTPBadRequest(text=f"channel: expected one of {', '.join(TEXT_KINDS)}")
    try:
        period = read_period(form.get("from") or None, form.get("to") or None)
    except QueryError as error:
        raise web.HTTPBadRequest(text=str(error)) from None
    chosen = ReviewedTexts(form.get("rule", ""), form.get("check", ""), kind, period)
    opens = form.get("sealed", "") == "yes"
    key, reason = visit.session.key, visit.session.reason
    if opens and (visit.login.role != "auditor" or key is None):
        raise web.HTTPForbidden(
            text="Sealed texts are opened for an auditor who has given the operator's key in this session."
        )
    unread: Counter[str] = Counter()
    without: Counter[str] = Counter()
    folder, by = console.audit, visit.login.name

    def rows() -> bytes:
        # In memory alone: a temporary file would leave opened texts on a disk, where no erasure reaches them.
        lines = bytearray()
        opener = _Opener(folder, console.key_store(folder), key if opens else None, by, reason)
        try:
            for line in reviewed_rows(folder, chosen, unread, without, opener.open):
                lines += line.encode()
                if len(lines) > LIMIT_EXPORT_BYTES:
                    raise QueryError(f"more than {LIMIT_EXPORT_BYTES >> 20} MiB: choose a shorter period")
        finally:
            opener.close()
        return bytes(lines)

    try:
        body = await console.run(rows)
    except QueryError as error:
        raise web.HTTPBadRequest(text=str(error)) from None
    except (OSError, AuditError) as error:
        raise web.HTTPServiceUnavailable(text=f"The log cannot be read: {error}") from None
    if not body:
        reasons = ", ".join(f"{count} because {reason}" for reason, count in without.items()) or "there are no verdicts"
        return visit.render("review/nothing.html", reasons=reasons)
    name = _SAFE.sub("-", "-".join(filter(None, ("reviewed", chosen.rule, chosen.check, kind)))) + ".jsonl"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return web.Response(body=body, content_type="application/jsonl", charset="utf-8", headers=headers)


class _Opener:
    """Opens sealed records with the key of a session; each leaves an entry in the log."""

    def __init__(self, folder: Path, store: Path, key: OperatorKey | None, by: str, why: str) -> None:
        self._access: KeyAccess | None = None
        self._store: KeyStore | None = None
        if key is not None:
            self._store = KeyStore(store, (key,))
            engine = f"guardproxy {version('guardproxy')}"
            self._access = KeyAccess(folder, self._store, engine, by, f"export of reviewed texts: {why}")

    def open(self, record: Record) -> Record | None:
        if self._access is None:
            return None
        try:
            return self._access.unseal(record).record
        except AuditError:
            return None

    def close(self) -> None:
        if self._store is not None:
            self._store.close()
