"""Does what the workbench is asked: remarks about policies, what they do with an exchange, their tests, what a change would do.

In: tasks. Out: replies. Checks that ask services or models elsewhere are left out; the other parts are those of the proxy and
of the command line. A task is ended between two scans of checks when it is cancelled.
"""

from __future__ import annotations

import heapq
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import msgspec

from guardproxy.audit import Closing, Record, read_entry, read_record
from guardproxy.console.pages.policies.replies import (
    coverage_cells,
    diff_reply,
    field_cells,
    play_reply,
    policy_words,
    stream_reply,
    tried_test,
)
from guardproxy.console.pages.policies.tasks import (
    BenchTask,
    DiffChange,
    DiffReply,
    DiffTask,
    FileMark,
    LintReply,
    LintTask,
    PlayedStream,
    PlayReply,
    PlayTask,
    PolicySource,
    TryReply,
    TryTask,
)
from guardproxy.errors import GuardproxyError, PolicyError, RecordError
from guardproxy.exchange.gate import Job
from guardproxy.findings import Kind, Scan
from guardproxy.inference import Models
from guardproxy.library import ASKING, DISTANT, JUDGES, TOPICS, all_but, loader, read_policies, using
from guardproxy.policy import PolicySet
from guardproxy.policy.file import Files
from guardproxy.policy.tools import notes
from guardproxy.policy.values import RawExchange, RequestFacts
from guardproxy.policydiff import Traffic, changes
from guardproxy.policytest import (
    CaseResult,
    Explanation,
    StreamPieces,
    codec_of,
    disagreement,
    explain,
    explained,
    kinds_of,
    replay_result,
    run_tests,
    scan_job,
    scene_of,
    simulate,
    untested,
)
from guardproxy.replay import rerun
from guardproxy.wire import Codec, default_route

MODELLED = (*JUDGES, *TOPICS, "grounded")
"""Checks that load a model, by their `use`."""
LIMIT_CHARS = 200_000  # of a request or an answer
LIMIT_PIECES = 4000
LIMIT_MARKS = 500
EXAMPLES = 3
KEPT_SETS = 6


class CancelledError(Exception):
    """The task was cancelled."""


class PlayError(Exception):
    """An exchange cannot be played. The message may be shown."""


@dataclass(slots=True)
class PolicyWork:
    """Does tasks. `is_cancelled`: asked before each scan and each record. Sets of policies are kept for the next tasks."""

    is_cancelled: Callable[[], bool] = lambda: False
    models: Models = field(default_factory=Models)
    clock: Callable[[], float] = time.perf_counter
    _sets: dict[Any, PolicySet] = field(default_factory=dict)

    def do(
        self, task: BenchTask, progress: Callable[[int, int], object]
    ) -> LintReply | PlayReply | TryReply | DiffReply:
        """Does a task. `progress`: is told how much of a long task is done. Raises `CancelledError`."""
        match task:
            case LintTask():
                return self.lint(task)
            case PlayTask():
                return self.play(task)
            case TryTask():
                return self.test(task, progress)
            case DiffTask():
                return self.diff(task, progress)

    # Remarks.

    def lint(self, task: LintTask) -> LintReply:
        """Returns remarks about policies, and what they say in words."""
        try:
            read, _, _ = read_policies(Path(task.source.path), task.source.instead)
            loaded = self._load(task.source, ())  # also their options are checked; nothing is asked
        except PolicyError as error:
            found = getattr(error, "errors", (error,))
            marks = (FileMark(Path(e.path).name, e.line, e.column, "error", e.message) for e in found[:LIMIT_MARKS])
            return LintReply(tuple(marks))
        remarks = (
            FileMark(Path(note.path).name, note.line, note.column, note.weight, note.message, note.code)
            for note in notes(loaded)[:LIMIT_MARKS]
        )
        return LintReply(
            tuple(remarks),
            tuple(policy_words(policy) for policy in read if not policy.tenant),
            tuple(coverage_cells(loaded)) if task.covered else (),
            tuple(field_cells(loaded)) if task.covered else (),
            loaded.digest,
        )

    # The playground.

    def play(self, task: PlayTask) -> PlayReply:
        """Returns what policies do with an exchange."""
        began = self.clock()
        try:
            reply = self._played(task)
        except (PolicyError, RecordError, PlayError) as error:
            return PlayReply(problem=str(error))
        took = (self.clock() - began) * 1000
        return _with(reply, ms=round(took, 1))

    def _played(self, task: PlayTask) -> PlayReply:
        if max(len(task.request), len(task.answer)) > LIMIT_CHARS:
            raise PlayError(f"a text has at most {LIMIT_CHARS:,} characters here")
        policies = self._load(task.source, DISTANT if task.with_models else (*DISTANT, *MODELLED))
        distant = sorted({name for policy in policies.policies for name in using(policy, DISTANT)})
        modelled = {name for policy in policies.policies for name in using(policy, MODELLED)}
        waiting = () if task.with_models else tuple(sorted(modelled))
        if task.record:
            return self._recorded(task, policies, tuple(distant), waiting)
        facts = RequestFacts(task.route or default_route(), task.model, task.tenant, formats=policies.formats)
        if facts.formats.codec_for(facts.route) is None:
            raise PlayError(f"no wire format reads the route `{facts.route}`")
        codec = codec_of(facts)
        request = _request_of(task.request, task.kind, task.model, codec)
        answer, stream = _answer_of(task.answer, codec)
        scene = RawExchange(request, () if answer is None else (answer,))
        explanation = explain(policies, scene, facts, self.clock, runs=0, scanning=self._scan)
        streamed, no_stream = None, ""
        if stream or (task.size and answer is not None):
            streamed, no_stream = self._streamed(task, policies, facts, scene, explanation, stream)
        return play_reply(explanation, tuple(distant), waiting, streamed, no_stream)

    def _streamed(
        self,
        task: PlayTask,
        policies: PolicySet,
        facts: RequestFacts,
        scene: RawExchange,
        explanation: Explanation,
        stream: bytes,
    ) -> tuple[PlayedStream | None, str]:
        """Returns a stream of the answer, or why there is none. `stream`: an answer that is a stream."""
        codec, size = codec_of(facts), max(1, task.size)
        body = codec.write_body(scene.request)
        if stream:
            pieces: StreamPieces | None = StreamPieces.of_bytes(stream, max(size, len(stream) // LIMIT_PIECES + 1))
            simulation = simulate(policies, body, facts, cast("StreamPieces", pieces), self._scan)
            whole = simulate(policies, body, facts, StreamPieces.of_bytes(stream, len(stream)), self._scan).result
            differs = disagreement(whole, simulation.result, "in these pieces", alike=True)
            return stream_reply(
                simulation, [item.message for item in differs], f"the recorded stream, cut every {size} bytes"
            ), ""
        kind, text = _text_of(explanation)
        if explanation.result.upstream is None:
            return None, "the request does not leave, so no answer comes"
        if not text:
            return None, "the answer has no text to stream"
        pieces = StreamPieces.of_text(codec, text, max(size, len(text) // LIMIT_PIECES + 1), kind)
        if pieces is None:
            return None, f"this format does not stream a text of the kind {kind}"
        simulation = simulate(policies, body, facts, pieces, self._scan)
        alone = codec.author.answer_with(kind, text)
        whole = explain(
            policies, RawExchange(scene.request, (alone,)), facts, self.clock, runs=0, scanning=self._scan
        ).result
        differs = disagreement(whole, simulation.result, "in these pieces", alike=False)
        return stream_reply(
            simulation,
            [item.message for item in differs],
            f"the text ({kind}), {max(size, len(text) // LIMIT_PIECES + 1)} characters in each piece",
        ), ""

    def _recorded(
        self, task: PlayTask, policies: PolicySet, distant: tuple[str, ...], waiting: tuple[str, ...]
    ) -> PlayReply:
        again = rerun(read_record(task.record), policies)
        if isinstance(again, str):
            raise PlayError(f"the exchange cannot be played again: {again}")
        explanation = explained(policies, replay_result(again))
        return _with(play_reply(explanation, distant, waiting, None, ""), is_recorded=True)

    def _scan(self, job: Job) -> Scan:
        self._go_on()
        return scan_job(job)

    def _go_on(self) -> None:
        if self.is_cancelled():
            raise CancelledError

    # Tests.

    def test(self, task: TryTask, progress: Callable[[int, int], object]) -> TryReply:
        """Returns the results of the tests of policies."""
        unbuilt = [use for use in DISTANT if use not in ASKING]  # a test may say what a model elsewhere answers
        try:
            policies = self._load(task.source, unbuilt)
        except PolicyError as error:
            return TryReply(problem=str(error))
        path = Path(task.source.path)
        files = Files(path if path.is_dir() else path.parent, task.source.instead)
        wanted = [policy for policy in policies.policies if task.file in ("", Path(policy.source).name)]
        total = sum(len(policy.tests) for policy in wanted)
        results: list[CaseResult] = []
        for policy in wanted:
            for test in policy.tests:
                self._go_on()
                results += (
                    result
                    for result in run_tests(policies, files.read, only=f"{policy.name}: {test.name}", left_out=DISTANT)
                    if result not in results
                )
                progress(len(results), total)
        rules = ((policy.name, rule) for policy, rule in untested(wanted, results))
        return TryReply(tuple(map(tried_test, results)), tuple(f"{policy}: {rule}" for policy, rule in rules))

    # What a change would do.

    def diff(self, task: DiffTask, progress: Callable[[int, int], object]) -> DiffReply:
        """Returns how two sets of policies differ, and what that would change on recorded traffic."""
        try:
            old, new = (read_policies(Path(source.path), source.instead)[0] for source in (task.old, task.new))
            listed = tuple(DiffChange(change.policy, change.words, change.effect) for change in changes(old, new))
            traffic = Traffic(self._load(task.old, DISTANT), self._load(task.new, DISTANT), EXAMPLES)
        except PolicyError as error:
            return DiffReply(problem=str(error))
        lines = newest_lines(Path(task.log), task.since_s, task.until_s, task.most, self._go_on) if task.log else []
        for number, line in enumerate(lines):
            self._go_on()
            progress(number, len(lines))
            try:
                entry = read_entry(line)
            except RecordError as error:
                traffic.skip(str(error))
                continue
            if isinstance(entry, (Record, Closing)):
                try:
                    traffic.see(entry)
                except Exception as error:
                    traffic.skip(without_texts(error))
        progress(len(lines), len(lines))
        return diff_reply(listed, traffic)

    def _load(self, source: PolicySource, left_out: Sequence[str]) -> PolicySet:
        """Returns a set of policies, built once for each state of its files. Raises `PolicyError`."""
        path = Path(source.path)
        key = (source.path, tuple(sorted(source.instead.items())), tuple(left_out), _stamp(path))
        # Taken out and put back, so that the set used longest ago is the first to go.
        found = self._sets.pop(key, None)
        if found is None:
            found = loader(runtime=self.models, selection=all_but(left_out), instead=source.instead)(path)
        self._sets[key] = found
        while len(self._sets) > KEPT_SETS:
            del self._sets[next(iter(self._sets))]
        return found


def newest_lines(
    folder: Path, since_s: float, until_s: float, most: int, go_on: Callable[[], object] = lambda: None
) -> list[bytes]:
    """Returns the lines of the newest exchanges in a period, oldest first. No more than `most` lines are in memory. `go_on`: is
    called for each line, and may raise."""
    found: list[tuple[float, int, bytes]] = []
    number = 0
    for path in sorted(folder.glob("*.jsonl")):
        with path.open("rb") as lines:
            for line in lines:
                go_on()
                at = _time_of(line)
                if at is None or not since_s <= at <= until_s:
                    continue
                number += 1
                if len(found) < most:
                    heapq.heappush(found, (at, number, line))
                else:
                    # The number decides between equal times, so that two lines are never compared.
                    heapq.heappushpop(found, (at, number, line))
    return [line for _, _, line in sorted(found)]


def _time_of(line: bytes) -> float | None:
    """Returns the time of the line of an exchange; `None` for other lines."""
    if b'"kind":"exchange"' not in line and b'"kind":"closing"' not in line:
        return None
    try:
        at = json.loads(line).get("at")
    except ValueError:
        return None
    return at if isinstance(at, (int, float)) else None


def _stamp(path: Path) -> Any:
    """Returns what changes when a file of policies changes, also one in a folder below."""
    if path.is_file():
        about = path.stat()
        return about.st_mtime_ns, about.st_size, about.st_ino
    found = []
    for each in sorted(path.rglob("*")):
        try:
            about = each.stat()
        except OSError:
            continue
        found.append((str(each), about.st_mtime_ns, about.st_size, about.st_ino))
    return tuple(found[:5000])


def _with(reply: PlayReply, **values: Any) -> PlayReply:
    return msgspec.structs.replace(reply, **values)


# Exchanges of the playground.


def _request_of(text: str, kind: str, model: str, codec: Codec) -> Any:
    """Returns the JSON of a request. Raises `PlayError`."""
    tree = _json_of(text)
    if isinstance(tree, dict) and codec.author.is_request(tree):
        return tree
    if isinstance(tree, dict) and tree.keys() == {"request", "response"}:
        raise PlayError("put the request and the answer into their own fields")
    kinds = kinds_of(codec, "request")
    if kind and kind not in kinds:
        raise PlayError(f"a request of this format has no text of the kind `{kind}`")
    request: Any = scene_of(
        text, "request", next(known for known in kinds if known == (kind or kinds[0])), codec.author
    ).request
    if model and isinstance(request, dict) and "model" in request:
        request = {**request, "model": model}
    return request


def _answer_of(text: str, codec: Codec) -> tuple[Any, bytes]:
    """Returns an answer: the JSON of a plain one, or the bytes of a stream."""
    if not text:
        return None, b""
    if text.lstrip().startswith(("data:", "event:", ":")) and "\n" in text.strip():
        return None, text.replace("\r\n", "\n").encode("utf-8", "replace")
    tree = _json_of(text)
    if isinstance(tree, dict) and _reads(codec, tree):
        return tree, b""
    plain = codec.author.answer_with("assistant", text)
    if plain is None:
        raise PlayError("this format has no plain answer with a text")
    return plain, b""


def _reads(codec: Codec, tree: dict[str, Any]) -> bool:
    """Whether a JSON object looks like an answer of the format: it has a member that its answers have."""
    like = codec.author.answer_with("assistant", "x") or {}
    telling = set(like) - {"id", "model", "object", "created"}
    return bool(telling & set(tree))


def _json_of(text: str) -> Any:
    if not text.lstrip().startswith("{"):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _text_of(explanation: Explanation) -> tuple[Kind, str]:
    """Returns the text of the answer that is streamed: the first of the assistant, or else the first of all."""
    texts = [
        text for text in explanation.result.texts if text.direction == "response" and text.text and not text.attempt
    ]
    chosen = next((text for text in texts if text.kind == "assistant"), None)
    chosen = chosen or next((text for text in texts if text.kind != "metadata"), None)
    return (chosen.kind, chosen.text) if chosen else ("assistant", "")


def without_texts(error: BaseException) -> str:
    """Returns what is said of an unexpected error. Its message may quote a text, so it is left out."""
    words = "a policy error" if isinstance(error, GuardproxyError) else type(error).__name__
    return f"unexpected: {words}"
