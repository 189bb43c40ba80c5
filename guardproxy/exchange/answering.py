"""The second half of an exchange: the answers of the model, and what follows from what is found in them.

An answer flows through a gate and leaves frame by frame. Where a rule may ask for another one (`action: retry`), or judges
the shape of the whole, all of it is held until its end, so that nothing of a wrong answer was sent; the first finding that
such a rule names ends it, the upstream is told to stop, and the next attempt carries what was wrong. Everything is decided
in the order of the frames, so the attempts are a function of the bytes, not of their chunks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from guardproxy import wire
from guardproxy.checks import Check
from guardproxy.decisions import Retry, Stop
from guardproxy.events import Event, Fault, Frame, Opaque, Text
from guardproxy.exchange.gate import Entry, Lane, Piece
from guardproxy.exchange.machine import Machine, because
from guardproxy.exchange.offsets import moved
from guardproxy.exchange.transcript import Command, ResponseStarted, SendUpstream, UpstreamFailed
from guardproxy.findings import Finding
from guardproxy.wire import Bounded, uninspected, unmapped


@dataclass(slots=True)
class Answering(Machine):
    """The answers."""

    _sign_s: float = 0.0  # when the client heard something last

    # The flow of an answer.

    def _response_started(self, happened: ResponseStarted) -> list[Command]:
        self._time("upstream_answered", happened.at_s)
        self._notes.upstream_status = happened.status
        failed, streamed = happened.status >= 400, happened.media_type == "text/event-stream"
        answer, bound = self._answer, self._bound
        answer.status, answer.streamed = happened.status, streamed
        self.phase = "answer"
        if failed and (commands := self._fall_back("failed", happened.at_s)):
            return commands
        if not self._head_sent:
            self._notes.status, self._notes.streamed = happened.status, streamed
        if not streamed and (self._head_sent or happened.media_type != "application/json"):
            if not failed:
                message = "the upstream answered with another content type than JSON or an event stream"
                return self._fail(Fault("upstream_content_type", message), happened.at_s)
            message = f"the upstream answered with status {happened.status} and no readable error"
            return self._fail(Fault("upstream_error", message), happened.at_s, happened.status)
        answer.side.read = bool(bound and bound.reads("response")) or bool(self._editor.values)
        answer.side.gate.quotes = self.setting.history.quotable(bool(bound and bound.retries))
        if bound and not failed:
            if bound.holds_back(self._forms.judges) or (bound.retries and not streamed):
                answer.hold = "all"
            elif bound.retries:
                answer.hold = "start"
        self._forms.facts = replace(self._forms.facts, streamed=streamed)
        answer.decoder = self.setting.codec.decoder(
            streamed=streamed,
            failed=failed,
            limit_bytes=self.setting.limits.answer_bytes,
            read=answer.side.read,
            guarded=bool(bound and bound.guards),
            shapes=self._shapes,
        )
        if isinstance(answer.decoder, Bounded):
            answer.decoder.bounds = self.setting.limits.bounds
        return []

    def _upstream_failed(self, happened: UpstreamFailed) -> list[Command]:
        if commands := self._fall_back(happened.code, happened.at_s):
            return commands
        self._fault_status = happened.status
        fault = Fault(happened.code, happened.message)
        if self.phase != "answer":
            return self._fail(fault, happened.at_s, happened.status)
        return self._events([fault], happened.at_s)

    def _events(self, events: Sequence[Event], at_s: float) -> list[Command]:
        answer, bound = self._answer, self._bound
        if bound and bound.refuses_unmapped and unmapped(events):
            events = [Fault("unmapped_field", "the answer has a field that this proxy does not know")]
        elif bound and bound.refuses_opaque and (refused := uninspected(events, bound.refuses_opaque, False)):
            events = [Fault(refused[0], "the answer has content that no check can read, and the policy refuses it")]
        if bound and bound.judging and answer.status == 200:
            events = self._judged(events, bound.judging)
        if bound and bound.mends and not answer.mended:
            answer.events += self.setting.history.repairable(events)
        answer.side.gate.push(events)
        return self._advance_answer(at_s)

    def _judged(self, events: Sequence[Event], judging: Sequence[Check]) -> list[Event]:
        """The events, with what only checks of a form see."""
        answer = self._answer
        out = self._forms.judged(events)
        last = next((one.frame for one in events if isinstance(one, (Text, Opaque)) and one.frame.terminal), None)
        if (last or answer.ended) and not answer.over and self._forms.expects(judging):
            answer.over = True
            out += self._forms.missing(answer.side.gate.lanes, out, last or Frame(b"", streamed=True))
        return out

    def _advance_answer(self, at_s: float) -> list[Command]:
        if self._pending:
            return []
        answer, gate = self._answer, self._answer.side.gate
        scan = self._pump(gate, all_text=gate.held > self.setting.limits.held_chars)
        commands = self._release(at_s)
        if self.phase == "over" or answer is not self._answer:
            return commands
        if scan:
            return [*commands, scan]
        if gate.fault:
            return commands + (
                self._fall_back(gate.fault.code, at_s) or self._fail(gate.fault, at_s, self._fault_status)
            )
        if gate.held > self.setting.limits.held_chars:
            return commands + self._holds_too_much(at_s)
        if answer.ended and gate.empty:
            return commands + self._answered(b"".join([*answer.held_data, self._trailer("answered")]), at_s)
        return commands

    def _holds_too_much(self, at_s: float) -> list[Command]:
        return self._fail(Fault("hold_limit", "more text had to be held back than the limit allows"), at_s)

    def _release(self, at_s: float) -> list[Command]:
        """Sends what may leave, in order, up to the first finding that ends the answer."""
        out: list[bytes] = []
        answer = self._answer
        for entry in answer.side.gate.release():
            answer.side.note(entry)
            found = ((entry, piece, at, one) for piece in entry.pieces for at, one in piece.findings())
            if (ending := self._first_end(found, out, at_s)) is not None:
                return ending
            texts, changed = entry.texts()
            places = moved(entry.frame, answer.side.gate, self._request.gate)
            data = entry.frame.data
            if changed or places:
                data = self.setting.codec.edited(entry.frame, [*texts, *places])
            if answer.hold == "start" and any(not text.fixed for text, _ in texts):
                self._let_go(out)
            if entry.frame.terminal:
                parts = [*answer.held_data, *out, self._trailer("answered"), data]
                return [*self._cancel(), *self._answered(b"".join(parts), at_s)]
            if answer.hold == "none":
                out.append(data)
                answer.decoder.sent(entry.frame)
                self._shown = True
            else:
                answer.held.append((entry.frame, data))
                answer.held_chars += sum(len(text) for _, text in texts)
                if answer.held_chars > self.setting.limits.held_chars:
                    return self._holds_too_much(at_s)
        ending = self._first_end(self._ahead(), out, at_s)
        return self._leave(out, at_s) if ending is None else ending

    def _ahead(self) -> Iterator[tuple[Entry, Piece, int, Finding]]:
        """What is known of the frame that comes next; one that ends the answer is its last."""
        side = self._answer.side
        for entry, piece, at, finding in side.gate.ahead():
            side.note(entry)
            yield entry, piece, at, finding

    def _leave(self, out: list[bytes], at_s: float) -> list[Command]:
        return [*self._begin(at_s), *self._send(b"".join(out))] if out else []

    def _answered(self, data: bytes, at_s: float) -> list[Command]:
        self._sent.update(data)
        return [*self._begin(at_s), self._finish("answered", data, at_s)]

    def _first_end(
        self, found: Iterable[tuple[Entry, Piece, int, Finding]], out: list[bytes], at_s: float
    ) -> list[Command] | None:
        """What the first finding leads to that ends the answer. `out`: what may leave before it."""
        for entry, piece, at, finding in found:
            stop = piece.lane.stops.get(finding)
            decision = self._tally.see(piece.lane.channel, finding) or stop
            mends = finding.repair is not None and not self._answer.mended
            if isinstance(decision, Retry) and not mends and self._passes(decision, piece.lane, finding, at_s):
                decision = stop
            if decision is None:
                continue
            # What stands before the fault counts as seen, however it was cut into frames.
            texts, _ = entry.texts(until=(piece, at))
            if self._answer.hold == "start" and any(new for text, new in texts if not text.fixed):
                self._let_go(out)
            if self._shown:
                return self._stop(entry, texts, decision, out, at_s)
            if mends:
                return self._mend(decision.rule, piece.lane, finding, at_s)
            if isinstance(decision, Stop):
                return self._blocked(decision, at_s)
            return self._retry(decision, piece.lane, finding, at_s)
        return None

    def _let_go(self, out: list[bytes]) -> None:
        """What was held at the beginning of an answer may leave."""
        answer = self._answer
        for frame, data in answer.held:
            out.append(data)
            answer.decoder.sent(frame)
        answer.held.clear()
        answer.hold, self._shown = "none", True

    def _stop(
        self, entry: Entry, texts: Sequence[tuple[Text, str]], stop: Stop | Retry, out: list[bytes], at_s: float
    ) -> list[Command]:
        """Ends an answer of which the client has seen something. `texts`: what of the last frame may leave."""
        codec, decoder = self.setting.codec, self._answer.decoder
        if any(new for _, new in texts) and (last := codec.cut(entry.frame, texts)):
            out.append(last)
            decoder.sent(replace(entry.frame, data=last))
        out.append(self._trailer("blocked_response"))
        if isinstance(stop, Retry):
            message = stop.message or f"the rest of the answer is not what the policy rule `{stop.rule}` asks for"
            out.append(codec.error_event("invalid_answer", message))
        else:
            out.append(codec.filtered(decoder, stop.message or because(stop)))
        return [*self._begin(at_s), *self._last("blocked_response", b"".join(out), at_s)]

    # Further attempts.

    def _left(self, retry: Retry, lane: Lane, finding: Finding, at_s: float) -> str:
        """Why there may be no further attempt; empty when there may be one."""
        answer = self._answer
        spent_s = at_s - self._notes.times.get("received", at_s)
        return self._attempts.left(retry, answer, answer.chars(finding, lane), spent_s)

    def _passes(self, retry: Retry, lane: Lane, finding: Finding, at_s: float) -> bool:
        """Whether the answer goes on as it is, since nothing else is left."""
        return retry.then == "pass_flagged" and bool(self._left(retry, lane, finding, at_s))

    def _retry(self, retry: Retry, lane: Lane, finding: Finding, at_s: float) -> list[Command]:
        """Another attempt, or what comes instead."""
        answer, attempts = self._answer, self._attempts
        if not self._left(retry, lane, finding, at_s):
            body = attempts.again(retry, answer, lane, finding)
            return self._next_attempt("retry", retry, body, at_s, lane, finding)
        if retry.then == "fallback" and not attempts.fell_back and answer.status == 200:
            return self._next_attempt("fallback", retry, attempts.elsewhere(retry), at_s, lane, finding)
        return self._blocked(retry, at_s)

    def _next_attempt(
        self,
        decision: str,
        retry: Retry,
        body: bytes,
        at_s: float,
        lane: Lane | None = None,
        finding: Finding | None = None,
    ) -> list[Command]:
        """Discards the answer and asks again."""
        answer, attempts = self._answer, self._attempts
        commands = self._cancel()
        attempts.over(
            attempts.note(answer, decision, at_s, rule=retry.rule, found=finding, lane=lane, cut=bool(commands))
        )
        self._answer = self._next_answer(at_s)
        self._pending, self._pending_gate = [], None
        self._tally.next_attempt()
        self.phase = "waiting"
        target = retry.upstream if attempts.fell_back else ""
        return [*commands, SendUpstream(body, attempt=self._tally.attempt, target=target)]

    def _fall_back(self, why: str, at_s: float) -> list[Command]:
        """The other model, where a further attempt has failed and the rule names one; else nothing."""
        attempts = self._attempts
        retry = attempts.retry
        if retry is None or retry.then != "fallback" or attempts.fell_back or self._shown:
            return []
        return self._next_attempt(why, retry, attempts.elsewhere(retry), at_s)

    def _mend(self, rule: str, lane: Lane, finding: Finding, at_s: float) -> list[Command]:
        """Puts a repaired text in place of the model's own, and checks all of the answer anew."""
        old, attempts = self._answer, self._attempts
        attempts.over(attempts.note(old, "repair", at_s, rule=rule, found=finding, lane=lane))
        answer = self._next_answer(old.began_s)
        answer.decoder, answer.status, answer.streamed = old.decoder, old.status, old.streamed
        answer.ended, answer.over, answer.hold, answer.mended = old.ended, old.over, old.hold, True
        answer.side.read, answer.side.gate.quotes = old.side.read, old.side.gate.quotes
        self._answer = answer
        self._pending, self._pending_gate = [], None
        self._tally.next_attempt()
        put = finding.repair or ""
        for event in old.events:
            again = event
            if isinstance(event, Text) and event.channel == lane.channel and not event.judged:
                again, put = replace(event, text=put, altered=True), ""
            answer.side.gate.push([again])
        return self._advance_answer(at_s)

    # Waiting.

    def patience_s(self, at_s: float) -> float | None:
        """How long the driver may wait before it tells `Waited`; `None`: as long as it likes."""
        waits = []
        if self._is_quiet:
            waits.append(max(0.0, self._next_sign_s - at_s))
        if (deadline_s := self._deadline_s) is not None:
            waits.append(max(0.0, deadline_s - at_s))
        return min(waits, default=None)

    @property
    def _is_quiet(self) -> bool:
        """Whether the client waits for a stream that is held back."""
        begun = self.phase == "answer" and self._answer.streamed and self._answer.hold == "all"
        again = self.phase == "waiting" and bool(self._attempts.earlier) and self._notes.streamed
        return (begun or again) and self._notes.stream

    @property
    def _next_sign_s(self) -> float:
        """When the client is to hear something again."""
        return max(self._sign_s, self._notes.times["upstream_answered"]) + self.setting.limits.quiet_s

    @property
    def _deadline_s(self) -> float | None:
        """When the time for further attempts is over."""
        retry = self._attempts.retry
        return (
            None
            if retry is None or self._shown or self._attempts.fell_back
            else self._notes.times["received"] + retry.total_s
        )

    def _waited(self, at_s: float) -> list[Command]:
        retry, deadline_s = self._attempts.retry, self._deadline_s
        if retry is not None and deadline_s is not None and at_s >= deadline_s:
            self._answer.late = True
            return self._fall_back("late", at_s) or self._blocked(retry, at_s)
        if self._is_quiet and at_s >= self._next_sign_s:
            self._sign_s = at_s
            self._notes.signs += 1
            return [*self._begin(at_s), *self._send(wire.keep_alive(self.setting.codec.name))]
        return []
