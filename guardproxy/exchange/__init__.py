"""The exchange: a request and all its answers, as a pure object. Inputs go in, commands come out."""

from __future__ import annotations

from guardproxy.exchange.bypass import PassThrough
from guardproxy.exchange.exchange import Exchange
from guardproxy.exchange.inputs import caching, recollection
from guardproxy.exchange.inputs.prompts import PromptChange
from guardproxy.exchange.inputs.sealed_ids import SealedIds
from guardproxy.exchange.inputs.setting import Address, ExchangeLimits, Keys, Setting, unsealed
from guardproxy.exchange.inputs.transcript import (
    Aborted,
    CancelUpstream,
    Command,
    DataReceived,
    DownstreamGone,
    Finish,
    Input,
    Refused,
    ReleaseUpstream,
    RequestReceived,
    ResponseEnded,
    ResponseStarted,
    RunScans,
    Scanned,
    SendData,
    SendHead,
    SendUpstream,
    UpstreamFailed,
    ValuesFound,
    Waited,
    line,
)
from guardproxy.exchange.memory import approvals
from guardproxy.exchange.phases.ledger import Size
from guardproxy.exchange.phases.states import State
from guardproxy.exchange.player import each, play
from guardproxy.exchange.record import llm_judge
from guardproxy.exchange.record.receipt import HEADER
from guardproxy.exchange.routes.failover import TROUBLES
from guardproxy.exchange.routes.routing import has_code
from guardproxy.exchange.stream_conversion import reformed

__all__ = [
    "HEADER",
    "TROUBLES",
    "Aborted",
    "Address",
    "CancelUpstream",
    "Command",
    "DataReceived",
    "DownstreamGone",
    "Exchange",
    "ExchangeLimits",
    "Finish",
    "Input",
    "Keys",
    "PassThrough",
    "PromptChange",
    "Refused",
    "ReleaseUpstream",
    "RequestReceived",
    "ResponseEnded",
    "ResponseStarted",
    "RunScans",
    "Scanned",
    "SealedIds",
    "SendData",
    "SendHead",
    "SendUpstream",
    "Setting",
    "Size",
    "State",
    "UpstreamFailed",
    "ValuesFound",
    "Waited",
    "approvals",
    "caching",
    "each",
    "has_code",
    "line",
    "llm_judge",
    "play",
    "recollection",
    "reformed",
    "unsealed",
]
