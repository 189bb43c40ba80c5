"""What the workbench does: remarks, exchanges of every form, streams whose pieces do not matter, tests, comparisons."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from guardproxy.console.pages.policies import work as module
from guardproxy.console.pages.policies.tasks import (
    DiffReply,
    DiffTask,
    LintTask,
    PlayReply,
    PlayTask,
    PolicySource,
    ReturnedReply,
    SentTask,
    TryTask,
    decode_returned,
    decode_sent,
    encode,
)
from guardproxy.console.pages.policies.work import CancelledError, PolicyWork, newest_lines, without_texts
from guardproxy.errors import PolicyError
from guardproxy.policydiff import Traffic
from guardproxy.policytest import Mismatch
from guardproxy.wire import codecs
from tests.kit.logs import write_log
from tests.kit.shop_policy import POLICY, recorded

ROUTES = [codec.author.ROUTE for codec in codecs()]
STREAMING = [codec.author.ROUTE for codec in codecs() if codec.author.frames_with("assistant", [""]) is not None]


def told(done: int, total: int) -> None:
    """Takes the progress of a task."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "policies"
    made.mkdir()
    (made / "shop.yaml").write_text(POLICY)
    return made


@pytest.fixture(name="played")
def playing(folder: Path) -> Callable[..., PlayReply]:
    work = PolicyWork()

    def played(**fields: Any) -> PlayReply:
        return work.play(PlayTask(PolicySource(str(folder)), **fields))

    return played


def test_remarks_and_words(folder: Path) -> None:
    reply = PolicyWork().lint(LintTask(PolicySource(str(folder)), covered=True))
    assert not reply.errors
    (policy,) = reply.policies
    assert (policy.name, policy.file, policy.matches) == ("shop", "shop.yaml", "every request")
    assert [rule.words for rule in policy.rules][1] == "block when bad, on request, response"
    assert policy.tests == (("a mail is redacted", 12),)
    assert reply.digest.startswith("sha256:")
    assert {cell.direction for cell in reply.coverage} == {"request", "response"}
    assert all(field.state == "refused" for field in reply.fields)
    assert not PolicyWork().lint(LintTask(PolicySource(str(folder)))).coverage


def test_a_policy_with_conditions_and_sections_in_words(folder: Path) -> None:
    text = POLICY.replace(
        "checks:",
        'match: {models: ["m*"], headers: {x-a: [b]}, when: tenant.name == "t"}\ncache: {mode: exact, ttl_s: 60}\nchecks:',
        1,
    )
    reply = PolicyWork().lint(LintTask(PolicySource(str(folder), {"shop.yaml": text.encode()})))
    assert not reply.errors, reply.errors
    assert reply.policies[0].matches == 'models m*; header x-a b; when tenant.name == "t"'


@pytest.mark.parametrize(
    "content",
    [
        b"policy: x\nrules: []\n",
        b"a: &a [1]\nb: *a\n",  # aliases, of which bombs are made
        b"[" * 5000,
        b"\xff\xfe",
        b"",
        b"x" * (1 << 20),
        b"policy: x\n" + b"# \n" * 300_000,
        b'policy: x\nchecks: {a: {use: pattern, patterns: ["(a+)+$("]}}\nrules: [{id: r, when: a, action: block}]\n',
        "policy: \u202ex\n".encode(),
    ],
    ids=["empty rules", "aliases", "nested", "not utf-8", "empty", "1 MB", "long", "pattern", "bidi"],
)
def test_hostile_files_are_errors_at_their_lines(folder: Path, content: bytes) -> None:
    reply = PolicyWork().lint(LintTask(PolicySource(str(folder), {"shop.yaml": content})))
    assert reply.errors
    assert all(mark.file == "shop.yaml" and mark.line >= 1 for mark in reply.errors)
    assert PolicyWork().play(PlayTask(PolicySource(str(folder), {"shop.yaml": content}), request="x")).problem
    assert PolicyWork().test(TryTask(PolicySource(str(folder), {"shop.yaml": content})), told).problem
    sources = PolicySource(str(folder)), PolicySource(str(folder), {"shop.yaml": content})
    assert PolicyWork().diff(DiffTask(*sources, "", 0.0, 1.0, 1), told).problem


def test_a_pattern_that_would_be_slow_elsewhere_is_not(folder: Path) -> None:
    text = POLICY.replace("patterns: [", r'patterns: ["^(a+)+$", ')
    source = PolicySource(str(folder), {"shop.yaml": text.encode()})
    assert PolicyWork().play(PlayTask(source, request="a" * 5000 + "!")).decision == "pass"


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("size", [0, 1, 7, 200])
def test_every_format_and_size_gives_the_result_of_the_whole(
    played: Callable[..., PlayReply], route: str, size: int
) -> None:
    for answer in ("write to jo@ab.io.", "all forbidden here", "😀 plain"):
        reply = played(request="I am al@ab.io", answer=answer, route=route, size=size)
        assert not reply.problem, reply.problem
        if size and route in STREAMING:
            assert reply.stream is not None
            assert reply.stream.differences == ()
        else:
            assert reply.stream is None
        assert reply.sent is not None
        assert "al@ab.io" not in json.dumps(reply.sent)


def test_requests_and_answers_in_json_and_streams(played: Callable[..., PlayReply]) -> None:
    for codec in codecs():
        author = codec.author
        request = json.dumps(author.request_with("user", "I am al@ab.io"))
        plain = author.answer_with("assistant", "write to jo@ab.io.")
        answer = json.dumps(plain) if plain else "write to jo@ab.io."
        reply = played(request=request, answer=answer, route=author.ROUTE, size=3)
        assert not reply.problem, (codec.name, reply.problem)
        assert any("jo@ab.io" in finding.text for finding in reply.findings), codec.name
        frames = author.frames_with("assistant", ["write to jo", "@ab.io."])
        text = b"".join(frames or []).decode()
        if text.startswith(("data:", "event:")):
            for size in (1, 5, 200):
                streamed = played(request=request, answer=text, route=author.ROUTE, size=size)
                assert streamed.stream is not None
                assert streamed.stream.differences == ()


def test_what_cannot_be_played_says_why(played: Callable[..., PlayReply]) -> None:
    assert played(request="x", route="GET /none").problem == "no wire format reads the route `GET /none`"
    assert "kind `nope`" in played(request="x", kind="nope").problem
    assert "own fields" in played(request='{"request": 1, "response": 2}').problem
    assert "at most" in played(request="x" * 200_001).problem
    assert "no record" in played(record=b"{}").problem.replace("not a record", "no record")
    assert (
        played(request="a forbidden word", answer="x", size=1).no_stream
        == "the request does not leave, so no answer comes"
    )
    assert played(request='{"broken', answer="{[").decision == "pass"
    assert played(request="[" * 100_000).decision == "pass"
    embeddings = next(codec.author.ROUTE for codec in codecs() if codec.author.ROUTE not in STREAMING)
    assert played(request="x", answer="y", route=embeddings, size=1).no_stream


def test_the_model_of_a_text_and_its_kind(played: Callable[..., PlayReply]) -> None:
    reply = played(request="mail jo@ab.io", kind="system", model="gpt-x")
    assert reply.texts[0].kind == "system"
    assert reply.policies == ("shop",)


def test_marked_parts_of_a_text(played: Callable[..., PlayReply]) -> None:
    reply = played(request="mail jo@ab.io or forbidden jo@ab.io")
    assert [(part.text, part.kind) for part in reply.texts[0].parts] == [
        ("mail ", ""),
        ("jo@ab.io", "warn"),
        (" or ", ""),
        ("forbidden", "bad"),
        (" ", ""),
        ("jo@ab.io", "warn"),
    ]
    assert reply.distant == ("far",)
    assert reply.waiting == ()


def test_long_streams_are_shown_in_part(played: Callable[..., PlayReply], monkeypatch: pytest.MonkeyPatch) -> None:
    reply = played(request="x", answer="a@b " * 500, size=1)
    assert reply.stream is not None
    assert len(reply.stream.steps) == 400
    assert reply.stream.more > 1000


def test_a_stream_whose_result_depends_on_its_pieces_is_told(
    played: Callable[..., PlayReply], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "disagreement", lambda *_, **__: [Mismatch("the decision differs")])
    reply = played(request="x", answer="y", size=1)
    assert reply.stream is not None
    assert reply.stream.differences == ("the decision differs",)


def test_tests_run_one_after_the_other(folder: Path) -> None:
    steps: list[tuple[int, int]] = []
    reply = PolicyWork().test(TryTask(PolicySource(str(folder)), "shop.yaml"), lambda *step: steps.append(step))
    assert [(test.state, test.line) for test in reply.tests] == [("passed", 12)]
    assert steps == [(1, 1)]
    assert "shop: no-bad" in reply.untested
    assert PolicyWork().test(TryTask(PolicySource(str(folder)), "other.yaml"), told).tests == ()
    skipped = POLICY.replace("expect: {rule: no-mail}", "expect: {shadow: [far-away]}")
    source = PolicySource(str(folder), {"shop.yaml": skipped.encode()})
    (test,) = PolicyWork().test(TryTask(source), told).tests
    assert (test.state, test.faults) == ("skipped", ("it needs `far`",))


def test_a_comparison_on_recorded_traffic(folder: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.mkdir()
    records = recorded(folder, ["I am al@ab.io", "a secret thing", "plain"])
    write_log(log, "audit-0", *records)
    (log / "audit-1.jsonl").write_bytes(b'{"kind":"exchange", not JSON\n{"at":1.5,"kind":"exchange","v":99}\n')
    new = POLICY.replace("[forbidden]", "[forbidden, secret]").replace(
        "{id: no-mail, when: mail, action: redact}", "{id: no-mail, when: mail, action: flag}"
    )
    steps: list[tuple[int, int]] = []
    task = DiffTask(
        PolicySource(str(folder)), PolicySource(str(folder), {"shop.yaml": new.encode()}), str(log), 0.0, 1e12, 100
    )
    reply = PolicyWork().diff(task, lambda *step: steps.append(step))
    assert isinstance(reply, DiffReply)
    assert reply.problem == ""
    assert reply.headline == "1 redaction would be lost, 1 answered request would be blocked"
    assert {change.effect for change in reply.changes} >= {"loosens", "tightens"}
    assert reply.counts["different"] == 2
    assert reply.counts["not replayable"] == 1
    assert len(reply.reasons) == 1
    assert steps[0] == (0, 4)
    assert steps[-1] == (4, 4)
    assert any(example.parts for group in reply.groups for example in group.examples)
    assert "al@ab.io" not in str(reply.groups)  # the log has a placeholder
    few = PolicyWork().diff(DiffTask(task.old, task.new, str(log), 0.0, 1e12, 1), told)
    assert sum(few.counts.values()) == 1
    assert PolicyWork().diff(DiffTask(task.old, task.new, "", 0.0, 1e12, 1), told).counts == {}
    assert newest_lines(log, 2e11, 1e12, 5) == []
    newest = newest_lines(log, 0.0, 1e12, 2)
    assert [json.loads(line)["at"] for line in newest] == [1001.0, 1002.0]


def test_a_recorded_exchange_is_played_again(folder: Path) -> None:
    (line,) = (each.to_json() for each in recorded(folder, ["I am al@ab.io"]))
    work = PolicyWork()
    reply = work.play(PlayTask(PolicySource(str(folder)), record=line))
    assert (reply.problem, reply.decision, reply.is_recorded) == ("", "redact", True)
    assert "al@ab.io" not in str(reply)
    new = POLICY.replace("[forbidden]", "[forbidden, am]").encode()
    assert work.play(PlayTask(PolicySource(str(folder), {"shop.yaml": new}), record=line)).decision == "block"


def test_a_task_is_cancelled_between_two_scans(folder: Path, tmp_path: Path) -> None:
    cancelled = tmp_path / "log"
    cancelled.mkdir()
    (cancelled / "audit-0.jsonl").write_bytes(b"a line\n")
    for task in (
        PlayTask(PolicySource(str(folder)), request="x"),
        TryTask(PolicySource(str(folder))),
        DiffTask(PolicySource(str(folder)), PolicySource(str(folder)), str(cancelled), 0.0, 1.0, 1),
    ):
        with pytest.raises(CancelledError):
            PolicyWork(is_cancelled=lambda: True).do(task, told)


def test_sets_are_kept_until_a_file_changes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = PolicyWork()
    source = PolicySource(str(folder))
    first = work._load(source, ())
    assert work._load(source, ()) is first
    (folder / "shop.yaml").write_text(POLICY + "# more\n")
    assert work._load(source, ()) is not first
    monkeypatch.setattr(module, "KEPT_SETS", 1)
    work._load(PolicySource(str(folder / "shop.yaml")), ())
    assert len(work._sets) == 1


def test_messages_go_there_and_back(folder: Path) -> None:
    sent = SentTask(1, PlayTask(PolicySource("x", {"a": b"\xff"}), request="é"))
    assert decode_sent(encode(sent)[4:]) == sent
    returned = ReturnedReply(1, PolicyWork().lint(LintTask(PolicySource(str(folder)), covered=True)))
    assert decode_returned(encode(returned)[4:]) == returned


def test_an_unexpected_error_is_told_without_its_message() -> None:
    assert without_texts(ValueError("a secret")) == "unexpected: ValueError"
    assert "secret" not in without_texts(PolicyError("a secret"))


def test_a_strange_record_does_not_end_a_comparison(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(traffic: object, record: object) -> None:
        raise ValueError("a secret text")

    log = tmp_path / "log"
    log.mkdir()
    write_log(log, "audit-0", *recorded(folder, ["one"]))
    monkeypatch.setattr(Traffic, "see", fails)
    source = PolicySource(str(folder))
    reply = PolicyWork().do(DiffTask(source, source, str(log), 0.0, 1e12, 10), told)
    assert isinstance(reply, DiffReply)
    assert reply.reasons == {"unexpected: ValueError": 1}


SECTIONS = """policy: all
match: {routes: ["POST /v1/chat/completions"]}
cache: {mode: exact, ttl_s: 60}
prompt: {prepend: "Be brief."}
allow_fields: [lora]
limits:
  - {name: calls, unit: requests, rate: 60/1m, per: [client]}
checks:
  word: {use: pattern, label: WORD, words: [falcon], allow: [falcons]}
rules:
  - {id: word, on: request, when: word, action: flag}
"""


def test_what_else_policies_do_is_said_in_words(folder: Path) -> None:
    source = PolicySource(str(folder), {"all.yaml": SECTIONS.encode()})
    linted = PolicyWork().lint(LintTask(source, covered=True))
    assert not linted.errors, linted.errors
    words = next(policy for policy in linted.policies if policy.name == "all")
    assert words.matches == "routes POST /v1/chat/completions"
    reply = PolicyWork().play(PlayTask(source, request="a falcon", route=ROUTES[0]))
    assert reply.problem == ""
    assert any("the cache may answer" in line for line in reply.more), reply.more
    assert any("limit" in line for line in reply.more)
    assert all(line.startswith("all: ") for line in reply.more)
    assert any(field.state != "refused" for field in linted.fields)
