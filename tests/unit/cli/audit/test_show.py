"""`guardproxy audit verify` and `show`: what they print, and their exit codes."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from guardproxy.audit.record import RecordedCache, RecordedError, RecordedLikeness
from guardproxy.audit.record.document import Gap, Record
from guardproxy.audit.record.entries import Judged, Reviewed
from guardproxy.audit.record.feedback import RecordedFeedback, RecordedJudge, RecordedOpinion
from guardproxy.audit.record.tasks import RecordedRefusal
from guardproxy.audit.record.versions import entry_of
from guardproxy.audit.shipping.intents import closing
from guardproxy.cli.audit import app
from guardproxy.exchange.inputs.transcript import DataReceived, RequestReceived, ResponseEnded, ResponseStarted
from guardproxy.findings import ModelVerdict
from tests.kit.logs import write_log as write
from tests.kit.play import Play, chat_frames, mint, policy_set
from tests.kit.records import plain_answer, plain_intent, plain_record, plain_text
from tests.kit.tainting import TAINT_SCENES

ROOT = Path(__file__).resolve().parents[4]
SCHEMA = ROOT / "docs" / "reference" / "record.schema.json"
OLD = ROOT / "tests" / "unit" / "audit" / "data" / "v1.jsonl"

RECORD = plain_record()


def run(*arguments: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


def test_verify_says_intact(tmp_path: Path) -> None:
    seq, digest = write(tmp_path, "a", RECORD, {"id": "x1"})
    write(tmp_path, "b")
    code, out, _ = run("verify", tmp_path)
    assert code == 0
    assert out.splitlines()[0] == f"a.jsonl: intact, 2 records, head {seq} {digest}"
    assert out.splitlines()[1].startswith("b.jsonl: intact, 0 records, head -1 ")


def test_verify_says_what_was_changed_and_where(tmp_path: Path) -> None:
    write(tmp_path, "a", RECORD, {"id": "x1"})
    log = tmp_path / "a.jsonl"
    log.write_bytes(log.read_bytes().replace(b"small", b"large"))
    code, out, _ = run("verify", tmp_path)
    assert code == 1
    assert out.startswith("a.jsonl: changed, 2 records")
    assert "\n  line 2: the record was changed: " in out
    assert out.endswith(" (altered)\n")


def test_verify_tells_torn_from_changed(tmp_path: Path) -> None:
    write(tmp_path, "a", RECORD)
    with (tmp_path / "a.jsonl").open("ab") as log:
        log.write(b'{"half')
    code, out, _ = run("verify", tmp_path)
    assert code == 1
    assert out.startswith("a.jsonl: torn, 1 records")
    code, out, _ = run("verify", "--json", tmp_path)
    assert code == 1
    (found,) = json.loads(out)["logs"]
    assert (found["ok"], found["torn"], found["tampered"]) == (False, True, False)
    assert [problem["code"] for problem in found["problems"]] == ["torn"]


def test_verify_as_json(tmp_path: Path) -> None:
    seq, digest = write(tmp_path, "a", RECORD)
    code, out, _ = run("verify", tmp_path, "--json")
    assert code == 0
    assert json.loads(out) == {
        "ok": True,
        "signed": False,
        "open_intents": 0,
        "logs": [
            {
                "file": "a.jsonl",
                "ok": True,
                "torn": False,
                "tampered": False,
                "log": "log-of-a",
                "records": 1,
                "head": {"seq": seq, "hash": digest},
                "problems": [],
                "notes": [],
            }
        ],
    }


def cut(log: Path) -> None:
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:-1]))


def test_verify_finds_a_cut_tail_by_the_head_beside_the_log(tmp_path: Path) -> None:
    write(tmp_path, "a", RECORD, {"id": "x1"})
    cut(tmp_path / "a.jsonl")
    code, out, _ = run("verify", tmp_path)
    assert code == 1
    assert out.endswith("  line 3: expected record 1, found record 0 as the last: the end was cut off (cut)\n")


def test_verify_finds_a_cut_by_a_head_kept_elsewhere(tmp_path: Path) -> None:
    audit, safe = tmp_path / "audit", tmp_path / "safe"
    write(audit, "a", RECORD, {"id": "x1"})
    safe.mkdir()
    shutil.copy(audit / "a.head", safe)
    cut(audit / "a.jsonl")
    (audit / "a.head").unlink()
    assert run("verify", audit)[0] == 0
    assert run("verify", audit, "--heads", safe)[0] == 1
    assert run("verify", audit, "--heads", tmp_path / "none")[0] == 2


def test_verify_finds_a_deleted_log(tmp_path: Path) -> None:
    write(tmp_path, "a", RECORD)
    (tmp_path / "a.jsonl").unlink()
    code, out, _ = run("verify", tmp_path)
    assert code == 1
    assert "a.jsonl: changed, 0 records\n" in out
    assert run("show", tmp_path)[:2] == (0, "")


def test_verify_finds_a_broken_head(tmp_path: Path) -> None:
    write(tmp_path, "a", RECORD)
    (tmp_path / "a.head").write_text("junk")
    code, out, _ = run("verify", tmp_path)
    assert code == 1
    assert "  a.head: not the head of a log (rewritten)\n" in out


@pytest.mark.parametrize("command", ["verify", "show"])
def test_wrong_use(tmp_path: Path, command: str) -> None:
    code, out, err = run(command, tmp_path / "none")
    assert (code, out) == (2, "")
    assert err == f"{tmp_path}/none: no such folder\n"
    assert run(command, tmp_path)[0] == 2
    assert run(command)[0] == 2
    (tmp_path / "a.jsonl").mkdir()
    code, out, err = run(command, tmp_path)
    assert (code, out, err) == (2, "", f"{tmp_path}/a.jsonl: Is a directory\n")


POLICY = r"""
policy: guard
checks:
  mail: {use: pattern, label: MAIL, patterns: ["[a-z]+@[a-z]+\\.io"]}
  word: {use: pattern, label: WORD, words: [plain]}
rules:
  - {id: mail, on: request, when: mail, action: redact, restore: true}
  - {id: word, when: word, action: flag}
  - {id: quiet, when: word, action: block, mode: shadow}
"""
MAIL = "jo@ab.io"
WORD = mint("WORD", "plain")


def exchanged(text: str = f"I am {MAIL}, plain", answer: str = "a plain word") -> Record:
    """The record of an exchange that a proxy's own code has played."""
    clock = iter(range(100))
    play = Play(policy_set(POLICY), clock=lambda: next(clock))
    body = {"model": "m", "messages": [{"role": "user", "content": text}], "user": "plain"}
    play.tell(RequestReceived(json.dumps(body).encode(), at_s=1.0, unix_s=1_750_000_000.25))
    play.scan()
    play.tell(ResponseStarted(200, "text/event-stream", at_s=1.1))
    for frame in chat_frames([{"content": answer}]):
        play.tell(DataReceived(frame, at_s=1.2))
        play.scan()
    play.tell(ResponseEnded(at_s=1.25))
    play.scan()
    return play.finish.record


def test_the_list_says_what_the_records_say(tmp_path: Path) -> None:
    record = exchanged()
    write(tmp_path, "a", record)
    code, out, _ = run("show", tmp_path)
    texts = [*record.request.texts, *record.response.texts]
    assert sum(len(text.findings) for text in texts) == 4
    assert record.timings["finished"] == pytest.approx(200, abs=60)
    assert code == 0
    assert [row.split() for row in out.splitlines()] == [
        ["time", "id", "route", "model", "tenant", "outcome", "rules", "findings", "ms"],
        [
            *("2025-06-15", "15:06:40Z", "id", "POST", "/v1/chat/completions", "m", "tenant", "answered"),
            *("mail,word", "4", f"{record.timings['finished']:.1f}"),
        ],
    ]


def test_one_exchange_is_printed_as_a_person_reads_it(tmp_path: Path) -> None:
    record = exchanged()
    write(tmp_path, "a", plain_intent("id", at=record.at), record, plain_record(id="other"))
    code, out, _ = run("show", tmp_path, "id")
    assert (code, out) == run("show", tmp_path, "--id", "id")[:2]
    assert run("show", tmp_path, "id", "--id", "id") == (2, "", "give the id of the exchange once\n")
    token = mint("MAIL", MAIL)
    assert code == 0
    for wanted in (
        "id  2025-06-15 15:06:40.250Z  answered, status 200",
        "  route: POST /v1/chat/completions",
        "  tenant: (tenant)",
        "  policies: sha256:test",
        "  model: m",
        "  rules: mail, word",
        "  shadow rules: quiet",
        "  messages[0].content (user, 20 characters)",
        f"    I am ⟦{token}⟧, ⟦{WORD}⟧",
        f"    mail: MAIL at 5-{5 + len(token)}, score 1",
        "response: status 200, streamed, model m, finish stop",
        f"    a ⟦{WORD}⟧ word",
        f"  guard/word: flag for word WORD at 2-{2 + len(WORD)} of response choices[0].message.content",
        f"  guard/quiet: block (shadow) for word WORD at 2-{2 + len(WORD)} of response choices[0].message.content",
        "  upstream_answered: 100",
        f"  client: {record.sizes['client']}",
        f"  mail: {record.checks['mail']}",
        "  client: seal",
    ):
        assert wanted in out.splitlines(), wanted
    assert "other" not in out
    assert "intent" not in out, "its record says more"
    assert MAIL not in out
    code, out, _ = run("show", tmp_path, "--id", "id", "--json")
    intent, shown = (json.loads(line) for line in out.splitlines())
    assert (intent["kind"], shown["seq"]) == ("intent", 1)
    assert entry_of(shown) == record


def test_an_exchange_is_shown_with_the_feedback_about_it(tmp_path: Path) -> None:
    spans = (RecordedOpinion(start=1, end=4, thumbs="up"), RecordedOpinion(start=5, end=6))
    full = RecordedFeedback(exchange="x0", thumbs="down", score=0.5, spans=spans)
    texts = (plain_text("comment", "too long"),)
    later: dict[str, Any] = {"route": "POST /guard/feedback", "at": RECORD.at + 1}
    write(tmp_path, "a", RECORD, plain_record(None, *texts, id="f1", feedback=full, **later))
    write(tmp_path, "b", plain_record(id="f2", feedback=RecordedFeedback(exchange="other"), **later))
    code, out, _ = run("show", tmp_path, "x0")
    lines = [line.strip() for line in out.splitlines()]
    assert code == 0
    for wanted in ("feedback about: x0", "thumbs: down", "score: 0.5", "span: 1-4 up", "span: 5-6", "too long"):
        assert wanted in lines, wanted
    assert "f2" not in out


LIKE: dict[str, Any] = {"source": "x8", "similarity": 0.93, "point": 0.9}


@pytest.mark.parametrize(
    ("cache", "line"),
    [
        ({"result": "miss", "match": "exact"}, "cache: miss, exact"),
        ({"result": "miss", "match": "exact", "mode": "shadow"}, "cache: miss, exact (shadow)"),
        (
            {"result": "hit", "match": "semantic", "source": "x9", "age_s": 1.5},
            "cache: the answer of x9, 1.5 s old, semantic",
        ),
        (
            {"result": "miss", "match": "semantic", "likeness": RecordedLikeness(result="none", point=0.9)},
            "cache: miss, semantic; compared: none",
        ),
        (
            {"result": "miss", "match": "semantic", "likeness": RecordedLikeness(**LIKE, result="different")},
            "cache: miss, semantic; compared with x8: different, cosine 0.93",
        ),
        (
            {
                "result": "hit",
                "match": "semantic",
                "source": "x8",
                "likeness": RecordedLikeness(**LIKE, result="same", entails=(0.99, 0.97)),
            },
            "cache: the answer of x8, 0 s old, semantic; compared with x8: same, cosine 0.93, follows 0.99, 0.97 (point 0.9)",
        ),
    ],
)
def test_what_the_cache_had_is_shown(tmp_path: Path, cache: dict[str, Any], line: str) -> None:
    told = RecordedCache(**{"mode": "enforce", "policies": ("p",), **cache})
    write(tmp_path, "a", plain_record(id="x0", cache=told))
    assert line in [row.strip() for row in run("show", tmp_path, "x0")[1].splitlines()]


def test_what_models_elsewhere_said_is_shown(tmp_path: Path) -> None:
    about: dict[str, Any] = {"check": "polite", "upstream": "judge", "model": "m", "question": "q"}
    about["path"] = "messages[0].content"
    verdicts = (
        ModelVerdict(**about, answer="yes", tokens=(30, 5), ms=812.5),
        ModelVerdict(**about, answer="no", known=True, direction="response", attempt=1),
        ModelVerdict(**about, failure="budget"),
    )
    write(tmp_path, "a", plain_record(id="x0", verdicts=verdicts))
    lines = [row.strip() for row in run("show", tmp_path, "x0")[1].splitlines()]
    for line in (
        "asked: polite about request messages[0].content: yes (m at judge, 30 + 5 tokens, 812.5 ms)",
        "asked: polite about response messages[0].content of answer 1: no (m at judge, known before)",
        "asked: polite about request messages[0].content: no verdict, budget (m at judge)",
    ):
        assert line in lines


def test_an_exchange_is_shown_with_its_scores(tmp_path: Path) -> None:
    judges = (RecordedJudge(policy="p", mode="enforce"), RecordedJudge(policy="q", mode="shadow"))
    about: dict[str, Any] = {
        "v": 3,
        "id": "x0",
        "engine": "e",
        "policy": "p",
        "upstream": "u",
        "model": "m",
        "rubric": "r",
    }
    scored = Judged(**about, at=RECORD.at + 1, scale=(1, 5), ms=12.5, score=4)
    failed = Judged(**about, at=RECORD.at + 2, scale=(1, 5), ms=1.0, failure="timeout")
    write(tmp_path, "a", plain_record(judges=judges), scored, failed)
    lines = [line.strip() for line in run("show", tmp_path, "x0")[1].splitlines()]
    for wanted in (
        *("judge: of policy p", "judge: of policy q (shadow)", "judge: m at u, 12.5 ms", "rubric: r", "policy: p"),
        "x0  2025-06-15 15:06:41.250Z  judged: score 4, on a scale from 1 to 5",
        "x0  2025-06-15 15:06:42.250Z  judged: no score, timeout, on a scale from 1 to 5",
    ):
        assert wanted in lines, wanted
    out = run("show", tmp_path)[1]
    assert "(judge of p: score 4 of 5)" in out
    assert "(judge of p: no score: timeout)" in out


def test_what_a_reviewer_said_is_shown_with_the_exchange(tmp_path: Path) -> None:
    said = Reviewed(
        v=3, at=RECORD.at + 1, id=RECORD.id, engine="g", by="eve", policy="p", rule="r", verdict="false_alarm"
    )
    write(tmp_path, "audit-0", RECORD)
    write(tmp_path, "operator", said)
    row = run("show", tmp_path)[1].splitlines()[-1]
    assert row.endswith("(reviewed p: r as false alarm, by eve)")
    shown = run("show", tmp_path, RECORD.id)[1]
    assert f"reviewed: judged the rule p: r in the exchange {RECORD.id}: false alarm" in shown
    for line in ("by: eve", "policy: p", "rule: r", "verdict: false_alarm"):
        assert f"  {line}\n" in shown
    assert "because" not in shown.partition("reviewed: ")[2]


def test_marks_of_text_in_json_stand_where_it_was_found(tmp_path: Path) -> None:
    arguments = json.dumps({"note": "a\n plain one"})
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    play = Play(policy_set(POLICY)).ask({"model": "m", "messages": [{"role": "assistant", "tool_calls": [call]}]})
    record = play.stream(chat_frames([{"content": "hi"}])).finish.record
    write(tmp_path, "a", record)
    assert f"⟦{WORD}⟧ one" in run("show", tmp_path, "--id", "id")[1]


def test_it_is_shown_where_an_argument_came_from(tmp_path: Path) -> None:
    policy = """
policy: taint
checks: {stranger: {use: tool_call, when: 'came_from(call.arguments, "tool_result")'}}
rules: [{id: stop, on: tool_arguments, when: stranger, action: block}]
"""
    scene = TAINT_SCENES[0]
    play = Play(policy_set(policy)).ask(scene.request("Answer it.", "From mallory.quist@drop-zone.example"))
    answer = json.dumps(scene.answer({"to": "mallory.quist@drop-zone.example"})).encode()
    write(tmp_path, "a", play.stream([answer], media="application/json").finish.record)
    out = run("show", tmp_path, "--id", "id")[1]
    assert "stranger: TAINTED at 3-34" in out
    assert "arguments.to came from messages[3].content 5..36" in out


def test_long_texts_are_cut_far_from_findings(tmp_path: Path) -> None:
    write(tmp_path, "a", exchanged("x" * 900 + " plain " + "y" * 900 + " plain " + "z" * 900, "w" * 5000))
    _, out, _ = run("show", tmp_path, "--id", "id")
    assert max(map(len, out.splitlines())) < 2100
    assert out.count(f"⟦{WORD}⟧") == 3, "two in the message, one in `user`"
    assert "x" * 201 not in out
    assert "y" * 201 not in out


def test_entries_that_are_no_records_are_shown(tmp_path: Path) -> None:
    intents = plain_intent("gone"), plain_intent("open", at=2.0)
    gap = Gap(v=3, at=4.0, since=3.5, why="disk full")
    write(tmp_path, "a", *intents, closing(intents[0], 3.0, "e", "the process ended before"), gap)
    _, out, _ = run("show", tmp_path)
    assert [row.split()[2:] for row in out.splitlines()[1:]] == [
        ["open", "POST", "/v1/messages", "t1", "(no", "end", "yet)"],
        ["gone", "POST", "/v1/messages", "t1", "unknown"],
        ["(gap:", "disk", "full)"],
    ]
    assert "closing: the outcome is unknown" in run("show", tmp_path, "--id", "gone")[1]
    assert "intent: about to go upstream" in run("show", tmp_path, "--id", "open")[1]


def test_show_gives_the_newest_of_all_logs_in_the_order_of_time(tmp_path: Path) -> None:
    write(tmp_path, "a", plain_record(id="1", at=1.0), plain_record(id="4", at=4.0))
    write(tmp_path, "b", plain_record(id="2", at=2.0), plain_record(id="3", at=3.5))
    for last, wanted in ((1, "4"), (3, "234"), (9, "1234")):
        _, out, _ = run("show", tmp_path, "--json", "--last", str(last))
        assert "".join(json.loads(line)["id"] for line in out.splitlines()) == wanted
    _, out, _ = run("show", tmp_path, "--json", "--id", "2")
    assert [json.loads(line)["seq"] for line in out.splitlines()] == [0]
    assert run("show", tmp_path, "--id", "none") == (1, "", f"no exchange `none` in {tmp_path}\n")


def test_nothing_in_a_record_reaches_the_terminal_as_a_control_character(tmp_path: Path) -> None:
    evil = "a\x1b[31m\n\u202eb"
    text = plain_text(evil, evil)
    record = plain_record(plain_answer(text, model=evil), text, id="i", model=evil, route=evil, tenant_name=evil)
    write(tmp_path, "a", record)
    for shown in (run("show", tmp_path)[1], run("show", tmp_path, "--id", "i")[1]):
        assert "a\\x1b[31m\\n\\u202eb" in shown
        assert not {"\x1b", "\u202e"} & set(shown)


def test_a_log_of_version_1_is_verified_and_shown(tmp_path: Path) -> None:
    shutil.copy(OLD, tmp_path)
    assert run("verify", tmp_path)[0] == 0
    _, out, err = run("show", tmp_path)
    assert err == ""
    rows = [row.split() for row in out.splitlines()[1:]]
    assert rows[0][2:] == [
        *("ex-01", "POST", "/v1/chat/completions", "m", "team-a", "answered", "card,mail,seen", "7", "162.5"),
    ]
    assert len(rows) == 16, "13 records, one intent without an end, one closing, one gap"
    for number in range(1, 16):
        code, out, _ = run("show", tmp_path, "--id", f"ex-{number:02}")
        assert (code, out.startswith(f"ex-{number:02}  2026-11-18 ")) == (0, True)


def test_a_newer_version_is_refused_by_name(tmp_path: Path) -> None:
    write(tmp_path, "a", RECORD, {**RECORD.document(), "v": 99})
    code, out, err = run("show", tmp_path)
    assert (code, len(out.splitlines())) == (0, 2)
    assert err == (
        "1 lines could not be read: the entry has version 99, and this guardproxy reads versions up to 3: "
        "use a newer release\n"
    )


def test_the_schema_is_that_of_the_documentation() -> None:
    code, out, _ = run("schema")
    assert code == 0
    assert json.loads(out) == json.loads(SCHEMA.read_text("utf-8")), "run `make pages`"


def test_show_says_what_it_could_not_read(tmp_path: Path) -> None:
    write(tmp_path, "a", RECORD)
    with (tmp_path / "a.jsonl").open("ab") as log:
        log.write(b'junk\n{"half')
    code, out, err = run("show", tmp_path)
    assert code == 0
    assert len(out.splitlines()) == 2
    assert err == "2 lines could not be read: not a line of a log; see `guardproxy audit verify`\n"


REFUSED = plain_record(
    id="refused",
    outcome="refused",
    tenant_name="acme",
    client="web",
    error=RecordedError(code="budget_exceeded", field="model"),
    refusals=(
        RecordedRefusal(duty="limits", name="daily", code="budget_exceeded", mode="enforce"),
        RecordedRefusal(duty="limits", name="other", policy="p", code="budget_exceeded", mode="shadow"),
    ),
)


def test_a_refusal_says_who_and_why(tmp_path: Path) -> None:
    write(tmp_path, "a", REFUSED, plain_record(outcome="late", error=RecordedError(code="late")))
    _, out, _ = run("show", tmp_path)
    assert re.split("  +", out.splitlines()[1])[4:6] == ["acme/web", "refused: budget_exceeded daily"]
    assert re.split("  +", out.splitlines()[2])[5] == "late"
    _, out, _ = run("show", tmp_path, "refused")
    lines = [line.strip() for line in out.splitlines()]
    assert {"client: web", "error: budget_exceeded at model", "refused by: limits daily: budget_exceeded"} <= {*lines}
    assert "refused by: limits other of policy p: budget_exceeded (shadow)" in lines


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        (("--rule", "r"), ["ruled"]),
        (("--rule", "s"), ["ruled"]),
        (("--tenant", "acme"), ["refused"]),
        (("--tenant", "web"), ["refused"]),
        (("--tenant", "t1", "--outcome", "answered"), ["old", "ruled"]),
        (("--outcome", "budget_exceeded"), ["refused"]),
        (("--outcome", "unknown"), ["lost"]),
        (("--since", "2025-06-15"), ["ruled", "refused"]),
        (("--since", "1s"), []),
        (("--since", "1970-01-01T00:00", "--last", "1"), ["refused"]),
    ],
)
def test_the_list_can_be_narrowed(options: tuple[str, ...], ids: list[str], tmp_path: Path) -> None:
    lost = closing(plain_intent("lost"), 3.0, "e", "the process ended before")
    ruled = plain_record(id="ruled", rules=("r",), shadow=("s",))
    write(tmp_path, "a", plain_intent("lost"), lost, plain_record(id="old", at=5.0), ruled, REFUSED)
    code, out, _ = run("show", tmp_path, "--json", *options)
    assert (code, [json.loads(line)["id"] for line in out.splitlines()]) == (0, ids)


def test_a_time_that_cannot_be_read_is_wrong_use(tmp_path: Path) -> None:
    write(tmp_path, "a", REFUSED)
    code, _, err = run("show", tmp_path, "--since", "yesterday")
    assert code == 2
    assert err == "--since: expected a day like 2026-01-31, a time like 2026-01-31T12:00 or a period like 2h\n"
