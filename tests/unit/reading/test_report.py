"""The page for auditors: what it says, that it adds up, and that no name of a client becomes markup."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from guardproxy.audit.proof.checkpoint import RemovedLog
from guardproxy.audit.proof.folder import verify_folder
from guardproxy.audit.proof.verification import CheckpointReport
from guardproxy.audit.record.document import Gap, RecordedError, RecordedFinding, RecordedSealing
from guardproxy.audit.record.entries import AnyEntry, Erased, Reviewed, Rotated, Unsealed
from guardproxy.reading.period import Period, read_period
from guardproxy.reading.plot import plot
from guardproxy.reading.questions import EU_AI_ACT, HIPAA, PROVISIONS, SOC_2, AuditFacts, Provision, answered
from guardproxy.reading.report import Verification, report_page
from guardproxy.reading.summary import CLASSES, TrafficSummary
from tests.kit.logs import write_log
from tests.kit.pages import PageReader
from tests.kit.records import plain_answer, plain_decision, plain_record, plain_text

CHECKED = {"pii": "sha256:1"}
NOTHING = Verification((), False, 0, Counter())


def page(*entries: AnyEntry, verification: Verification = NOTHING, period: Period | None = None) -> str:
    summary = TrafficSummary(period or Period())
    for entry in entries:
        summary.see(entry)
    return report_page("shop", summary, verification, 1_750_000_000.0, "guardproxy 1")


def text_of(html: str) -> str:
    read = PageReader(html)
    assert read.open == []
    return re.sub(r"\s+", " ", read.text)


def test_it_says_what_happened() -> None:
    text = text_of(
        page(
            plain_record(checks=CHECKED),
            plain_record(outcome="blocked_request", checks=CHECKED),
            plain_record(),
            Gap(v=3, at=1_750_000_010.0, since=1_750_000_008.5, why="disk full"),
            period=read_period("2025-06-15", "2025-06-15"),
        )
    )
    for wanted in (
        "Audit report: shop",
        "Period: from 2025-06-15 00:00:00Z until 2025-06-16 00:00:00Z. Made 2025-06-15 15:06:40Z by guardproxy 1.",
        "3 exchanges in the period.",
        "1 exchange was not inspected.",
        "1 exchange was blocked",
        "The log could not be written once, for 1.5 seconds, in which all traffic was refused.",
        "disk full",
        "1 version of the policies was in force",
        "The folder holds records of 0.0 days, from 2025-06-15 15:06:40Z to 2025-06-15 15:06:50Z.",
    ):
        assert wanted in text, wanted


def test_it_says_who_opened_and_erased_texts() -> None:
    sealed = RecordedSealing(v=3, key="k", salt="00", members={})
    made: dict[str, Any] = {"v": 3, "engine": "g", "by": "eve", "why": "<b>request 7</b>"}
    entries = (
        plain_record(sealed=sealed),
        Unsealed(at=1_750_000_001.0, id="x1", key="k", **made),
        Erased(at=1_750_000_002.0, keys=("k", "l"), **made),
        Rotated(at=1_750_000_003.0, count=5, **made),
        Rotated(at=1_760_000_000.0, count=6, **made),
    )
    text = text_of(page(*entries, period=read_period("2025-06-15", "2025-06-15")))
    assert "The texts of 1 exchange are encrypted; operators opened, erased or re-keyed texts 3 times." in text
    rows = (
        "2025-06-15 15:06:41Z opened the texts of the exchange x1 eve <b>request 7</b>",
        "15:06:42Z destroyed 2 data keys: their texts cannot be read any more eve <b>request 7</b>",
        "15:06:43Z changed the operator's key, which wraps 5 data keys eve <b>request 7</b>",
    )
    for row in rows:
        assert row in text
    assert "wraps 6" not in text
    assert "operators opened, erased or re-keyed texts 0 times." in text_of(page(plain_record()))


def test_it_counts_what_reviewers_said() -> None:
    said: dict[str, Any] = {"v": 3, "engine": "g", "by": "eve", "id": "x1"}
    entries = (
        Reviewed(at=1_750_000_001.0, policy="p", rule="<r>", verdict="false_alarm", **said),
        Reviewed(at=1_750_000_002.0, policy="p", rule="<r>", verdict="false_alarm", **said),
        Reviewed(at=1_750_000_002.0, verdict="missed", **said),
        Reviewed(at=1_760_000_000.0, verdict="right", **said),
    )
    text = text_of(page(plain_record(), *entries, period=read_period("2025-06-15", "2025-06-15")))
    assert "Verdicts of reviewers rule verdict times (no rule) missed 1 p: <r> false alarm 2" in text
    assert "Verdicts of reviewers" not in text_of(page(plain_record()))


def test_rules_in_shadow_mode_are_counted_apart() -> None:
    held = (plain_decision(), plain_decision(rule="watch", mode="shadow"))
    text = text_of(page(plain_record(decisions=held, checks=CHECKED)))
    assert "Rules held 2 times in all, 1 of them in shadow mode, in which they do not act" in text


def test_it_lists_rules_findings_and_parts_without_a_check() -> None:
    found = RecordedFinding(check="pii", label="NAME", start=0, end=2, score=1.0)
    answer = plain_answer(uninspected=("a[1]",), uninspected_kinds=("image",))
    text = text_of(
        page(plain_record(answer, plain_text(findings=(found,)), decisions=(plain_decision(),), checks=CHECKED))
    )
    assert "policy rule action mode exchanges p r redact enforce 1" in text
    assert "check label direction findings pii NAME request 1" in text
    assert "kind of part exchanges image 1" in text
    assert "read, such as images: 1." in text
    assert "No rule held in the period." in text_of(page(plain_record(model="")))


def test_it_says_whether_the_log_verifies(tmp_path: Path) -> None:
    write_log(tmp_path, "a", plain_record())
    intact = Verification(verify_folder(tmp_path), False, 0, Counter())
    text = text_of(page(verification=intact))
    assert "Log verified: no problem in 1 record of 1 log." in text
    assert "were not compared with copies" in text
    copied = Verification(verify_folder(tmp_path, tmp_path), True, 3, Counter())
    text = text_of(page(verification=copied))
    assert "of 1 log, and copies from another place agree." in text
    assert "were not compared with copies" not in text
    assert "were cut off: 3." in text
    assert "No signature was checked." in text
    signed = CheckpointReport(number=3, signed_by="shop/1", at=1_750_000_000.0)
    text = text_of(page(verification=replace(intact, checkpoints=signed)))
    assert "Checkpoint 3 is signed by shop/1, made 2025-06-15 15:06:40Z." in text
    assert "written anew" not in text
    assert "because of age" not in text
    old = RemovedLog(file="b.jsonl", log="b", size=3, root="00", hash="00", why="not grown for 60 s")
    signed.states.removed["b"] = old
    text = text_of(page(verification=replace(intact, checkpoints=signed)))
    assert "1 log was removed because of age, as the settings say. Signed checkpoints name each of them." in text
    signed.note("rewritten", "it differs from a copy")
    text = text_of(page(verification=replace(intact, checkpoints=signed)))
    assert "Log not verified: problems were found" in text
    assert "checkpoints: it differs from a copy" in text
    log = tmp_path / "a.jsonl"
    log.write_bytes(log.read_bytes().replace(b"small", b"large") + b"torn")
    changed = Verification(verify_folder(tmp_path), False, 0, Counter({"no line": 2}))
    text = text_of(page(verification=changed))
    assert "Log not verified: problems were found" in text
    assert "a.jsonl: line 2: the record was changed" in text
    assert "2 lines could not be read: no line" in text
    assert "Log verified" not in text


def test_a_torn_log_and_a_missing_log_are_not_intact(tmp_path: Path) -> None:
    write_log(tmp_path, "a", plain_record())
    write_log(tmp_path, "b", plain_record())
    (tmp_path / "b.jsonl").unlink()
    with (tmp_path / "a.jsonl").open("ab") as log:
        log.write(b"{")
    text = text_of(page(verification=Verification(verify_folder(tmp_path), False, 0, Counter())))
    assert "a.jsonl torn 1" in text
    assert "b.jsonl changed 0 none" in text


def test_long_lists_are_cut() -> None:
    text = text_of(page(*(plain_record(policies=f"sha256:{at:03}", route=f"GET /{at}") for at in range(60))))
    assert text.count("10 further rows are left out.") == 2


def test_every_provision_is_answered_with_facts() -> None:
    facts = AuditFacts(*(f"({name})" for name in AuditFacts._fields))
    used = set()
    for standard, provisions in PROVISIONS.items():
        assert standard in (EU_AI_ACT, SOC_2, HIPAA)
        for provision in provisions:
            shown = answered(provision, facts)
            assert not set("{}") & set(shown)
            assert provision.question.endswith("?")
            used |= set(re.findall(r"\((\w+)\)", shown))
    assert used >= set(AuditFacts._fields)
    assert answered(Provision("", "", "{gaps}. {rules}", ""), facts._replace(gaps="none", rules="two")) == "None. Two"


def test_nothing_in_a_log_becomes_a_tag() -> None:
    hostile = "<script>alert(1)</script>\u202e\x1b"
    plain = page(plain_record(checks={"a": "b"}))
    html = page(
        plain_record(
            route=hostile,
            model=hostile,
            tenant_name=hostile,
            checks={hostile: hostile},
            outcome=hostile,
            policies=hostile,
            engine=hostile,
        )
    )
    assert [tag for tag, _ in PageReader(html).tags] == [tag for tag, _ in PageReader(plain).tags]
    assert not set(PageReader(html).text) & set("\u202e\x1b")


HOURS = st.dictionaries(st.integers(0, 200_000), st.sampled_from(CLASSES), max_size=30)


@settings(max_examples=50)
@given(HOURS)
def test_bars_show_every_exchange_inside_the_plot(hours: dict[int, str]) -> None:
    lines = list(plot({hour: Counter({name: 1}) for hour, name in hours.items()}))
    assert bool(lines) == bool(hours)
    bars = re.findall(
        r'<rect class="c(\d)" x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"', "".join(lines)
    )
    bars = [bar for bar in bars if len(bar) == 5]
    assert len({x for _, x, *_ in bars}) <= 62
    heights: defaultdict[str, float] = defaultdict(float)
    for at, x, y, width, height in bars:
        assert 56 <= float(x) <= float(x) + float(width) <= 860.1
        assert 13.9 <= float(y) <= float(y) + float(height) <= 196.2
        heights[CLASSES[int(at)]] += float(height)
    assert set(heights) == set(hours.values())


def test_it_begins_with_what_matters_and_names_rules_and_reasons() -> None:
    refused = plain_record(outcome="refused", error=RecordedError(code="too_deep"))
    held = plain_record(outcome="blocked_request", checks=CHECKED, decisions=(plain_decision(),))
    text = text_of(page(refused, held, held))
    assert text.index("Of 3 exchanges: 2 blocked, 1 refused") < text.index("3 exchanges in the period")
    assert "Refusals by reason reason exchanges too_deep 1" in text
    assert "p: r (2)" in text
    assert "No exchange was blocked, redacted or refused." in text_of(page(plain_record(checks=CHECKED)))
