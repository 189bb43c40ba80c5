"""What monitoring measures of a finished exchange: times, tokens, and the strongest decision about it.

In: the record of an exchange. Out: `ExchangeMeasures`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from guardproxy.audit import Record
from guardproxy.audit.record import UPSTREAM_5XX
from guardproxy.telemetry.attributes import model_name
from guardproxy.wire import installed

_COMPLETE = ("answered", UPSTREAM_5XX)
_DECIDED = (*_COMPLETE, "blocked_request", "blocked_response")
MICRO = 1_000_000  # records count costs in millionths
_ERRORS = 400  # the lowest HTTP status of an error


@dataclass(frozen=True, slots=True)
class ExchangeMeasures:
    """The measurements of an exchange. Times are in seconds.

    `model`: the model that was asked for; empty unless an upstream accepted the request, so that a client cannot invent
    models. `tenant`: its name; empty if it has none. `input_tokens`, `output_tokens`: of all attempts, as the upstream counted
    them; `None` if it did not. `cost`: in the unit of prices; `None` without a price. `first_token_s`: from the request to the
    first text of a stream. `per_token_s`: the mean time between two tokens of a stream. `decision`: the strongest decision that
    rules enforced; empty if the rules decided nothing, as for a refused request.
    """

    model: str
    tenant: str
    input_tokens: int | None
    output_tokens: int | None
    cost: float | None
    duration_s: float | None
    first_token_s: float | None
    per_token_s: float | None
    decision: Literal["", "pass", "edit", "retry", "stop"]


def measures_of(record: Record) -> ExchangeMeasures:
    """Returns the measurements of an exchange."""
    status = record.response.status
    is_accepted = record.is_read and status is not None and status < _ERRORS
    asked, answered = _tokens(record)
    duration_ms = record.total_ms
    first_ms = _first_token_ms(record) if is_accepted and not record.is_from_cache else None
    per_token_ms = None
    if first_ms is not None and duration_ms is not None and record.outcome == "answered" and not record.signs:
        _, last = _counted(record, record.usage)
        per_token_ms = (duration_ms - first_ms) / (last - 1) if last is not None and last > 1 else None
    return ExchangeMeasures(
        model=model_name(record.model) if is_accepted else "",
        tenant=record.tenant_name or "",
        input_tokens=asked,
        output_tokens=answered,
        cost=None if record.cost is None else record.cost / MICRO,
        duration_s=_seconds(duration_ms),
        first_token_s=_seconds(first_ms),
        per_token_s=_seconds(per_token_ms),
        decision=_decision(record) if record.is_read and record.outcome in _DECIDED else "",
    )


def _tokens(record: Record) -> tuple[int | None, int | None]:
    """The tokens of requests and of answers, of all attempts together. An answer from the cache used none."""
    usages = [attempt.usage or {} for attempt in record.attempts[:-1]]
    used = (*usages, record.usage)[int(record.is_from_cache) :]
    counts = [_counted(record, usage) for usage in used]
    asked = [prompt for prompt, _ in counts if prompt is not None]
    answered = [answer for _, answer in counts if answer is not None]
    return sum(asked) if asked else None, sum(answered) if answered else None


def _counted(record: Record, usage: object) -> tuple[int | None, int | None]:
    codec = installed().codec_for(record.route)
    return codec.contract.tokens(usage) if codec and isinstance(usage, dict) else (None, None)


def _first_token_ms(record: Record) -> float | None:
    """The time of the first text of a stream. After a keep-alive the whole answer was held back, so its text came at the
    end."""
    if not record.response.streamed:
        return None
    return record.timings.get("finished" if record.signs else "first_byte")


def _decision(record: Record) -> Literal["pass", "edit", "retry", "stop"]:
    if record.outcome not in _COMPLETE:
        return "stop"
    if len(record.attempts) > 1:
        return "retry"
    has_edits = any(text.edits for side in (record.request, record.response) for text in side.texts)
    return "edit" if has_edits else "pass"


def _seconds(time_ms: float | None) -> float | None:
    return None if time_ms is None else time_ms / 1000
