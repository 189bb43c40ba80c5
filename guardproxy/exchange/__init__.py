"""The exchange: a request and all its answers, as a pure object. Inputs go in, commands come out."""

from __future__ import annotations

from guardproxy.exchange.bypass import PassThrough
from guardproxy.exchange.caching import CacheQuery, StoredAnswer
from guardproxy.exchange.earlier import GivenValues, StoredTurn, merged, values_of
from guardproxy.exchange.exchange import Exchange
from guardproxy.exchange.failover import TROUBLES
from guardproxy.exchange.gate import Job
from guardproxy.exchange.grading import JUDGE_ROUTE, judge_request, judges_of, read_score, texts_of
from guardproxy.exchange.history import History, Live
from guardproxy.exchange.ids import SealedIds
from guardproxy.exchange.lanes import Lane
from guardproxy.exchange.ledger import Size
from guardproxy.exchange.notes import Side
from guardproxy.exchange.player import each, play
from guardproxy.exchange.prompts import PromptChange
from guardproxy.exchange.receipt import HEADER
from guardproxy.exchange.reforming import reformed
from guardproxy.exchange.routing import has_code
from guardproxy.exchange.setting import Address, Keys, Limits, Setting, unsealed
from guardproxy.exchange.states import State
from guardproxy.exchange.transcript import (
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

__all__ = [
    "HEADER",
    "JUDGE_ROUTE",
    "TROUBLES",
    "Aborted",
    "Address",
    "CacheQuery",
    "CancelUpstream",
    "Command",
    "DataReceived",
    "DownstreamGone",
    "Exchange",
    "Finish",
    "GivenValues",
    "History",
    "Input",
    "Job",
    "Keys",
    "Lane",
    "Limits",
    "Live",
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
    "Side",
    "Size",
    "State",
    "StoredAnswer",
    "StoredTurn",
    "UpstreamFailed",
    "ValuesFound",
    "Waited",
    "each",
    "has_code",
    "judge_request",
    "judges_of",
    "line",
    "merged",
    "play",
    "read_score",
    "reformed",
    "texts_of",
    "unsealed",
    "values_of",
]
