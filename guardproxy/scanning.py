"""Texts through the policies without a server: what `guardproxy scan` runs.

Each text goes through the same exchange as traffic does, as the only message of a chat request or as the answer to an
empty one, so what is printed here is what the proxy would do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from guardproxy import plugins
from guardproxy.checks._contract import Check, Resources, own_names, with_partner
from guardproxy.config import shipped
from guardproxy.errors import PluginError, PolicyError
from guardproxy.exchange.exchange import Exchange, Setting
from guardproxy.exchange.gate import Job
from guardproxy.exchange.lanes import Lane
from guardproxy.exchange.transcript import (
    Command,
    DataReceived,
    Finish,
    RequestReceived,
    ResponseEnded,
    ResponseStarted,
    Scan,
    Scanned,
    SendUpstream,
)
from guardproxy.findings import Channel, Finding, Window, failed
from guardproxy.findings import Scan as ScanResult
from guardproxy.inference.models import Models
from guardproxy.policy.document import ACTIONS, Policy
from guardproxy.policy.evaluate import PolicySet
from guardproxy.policy.load import Files, PolicyErrors, build_checks, load_file, load_folder
from guardproxy.policy.reading import did_you_mean, join
from guardproxy.redaction import placeholders
from guardproxy.wire.codec import codec_for, codecs
from guardproxy.wire.json.strict import read, write

ROUTE = "POST /v1/chat/completions"
Decided = Literal["pass", "flag", "redact", "retry", "block"]
Remote = Callable[[str, float], Any]
_SCAN_KEY = hashlib.sha256(b"guardproxy scan: placeholders that need not be secret").digest()


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a text. `text`: after edits, empty when nothing goes on; `findings` count in the text given. A text that
    is sent back to the model (`retry`) does not go on."""

    decision: Decided
    rules: tuple[str, ...]
    findings: tuple[Finding, ...]
    text: str


def folder_of(named: Path | None) -> Path:
    """The folder of policies that a user names: a folder, or a shipped policy (`strict`); `None` is the shipped `default`.

    Raises `PolicyError` for a name that is neither.
    """
    if named is None:
        return shipped("policies")
    return named if named.exists() or len(named.parts) != 1 else shipped_folder(str(named))


def shipped_folder(name: str) -> Path:
    """The folder of a shipped policy: each but `default` has one of its own, so that no two apply at once."""
    known = shipped_names()
    if name not in known:
        message = f"there is no folder `{name}`, and no shipped policy of that name"
        raise PolicyError(f"{message}{did_you_mean(name, known)} (shipped: {join(known)})", name, 1, 1)
    return shipped("policies") / ("" if name == "default" else name)


def shipped_names() -> list[str]:
    """The names of the shipped policies."""
    return ["default", *sorted(path.name for path in shipped("policies").iterdir() if path.is_dir())]


def read_policies(named: Path | None) -> tuple[tuple[Policy, ...], str, Files]:
    """The policies of a folder, of one file, or shipped under a name; their digest; the files beside them. No check is built.

    Raises `PolicyError`.
    """
    place = folder_of(named)
    files = Files(place.parent if place.is_file() else place)
    policies, digest = load_file(place, files) if place.is_file() else load_folder(place, files)
    return policies, digest, files


JUDGES = ("supervisor",)  # checks that ask a model for a judgement
DISTANT = ("http",)  # checks that ask a service

Asked = Callable[[Policy], Policy]
"""A policy with those of its checks that are to be built."""


def using(policy: Policy, uses: Sequence[str]) -> frozenset[str]:
    """The names of the policy's checks that use one of `uses`."""
    return frozenset(name for name, spec in policy.checks.items() if spec.use in uses)


def whole(policy: Policy) -> Policy:
    """All of its checks."""
    return policy


def leaving_out(uses: Sequence[str]) -> Asked:
    """All but some."""

    def asked(policy: Policy) -> Policy:
        gone = using(policy, uses)
        return replace(policy, checks={name: spec for name, spec in policy.checks.items() if name not in gone})

    return asked


def judges_alone(policy: Policy) -> Policy:
    """Those that judge, with every score a finding: what a text scores is seen, however low."""
    every = {"threshold": 0.0, "first_stage": False}
    specs = {
        name: replace(policy.checks[name], options={**policy.checks[name].options, **every})
        for name in using(policy, JUDGES)
    }
    return replace(policy, checks=specs)


@dataclass(frozen=True, slots=True)
class Silent:
    """Stands for a check that is left out: it finds nothing."""

    name: str
    digest: str = ""

    def scan(self, windows: Sequence[Window]) -> list[ScanResult]:
        """See `Check.scan`."""
        ends = (window.start + len(window.text) for window in windows)
        return [ScanResult((), end, end) for end in ends]


def loader(
    models: Path | None = None,
    runtime: Models | None = None,
    remote: Remote | None = None,
    asked: Asked = whole,
    code: bool = False,
) -> Callable[[Path | None], PolicySet]:
    """What loads policies (`load`), with models that are loaded once for all of them. Checks that `asked` leaves out find
    nothing. `code`: whether policies may name classes to import; else reading one runs nothing."""
    runtime = runtime or Models((models,) if models else ())

    def load_one(named: Path | None) -> PolicySet:
        _refuse_clashes()
        policies, digest, files = read_policies(named)
        resources = Resources(runtime.scorer, runtime.tagger, files.read, remote, code)
        checks = dict(build_checks(tuple(map(asked, policies)), resources))
        for policy in policies:
            for name in policy.checks:
                checks.setdefault((policy.name, name), Silent(name))
        return PolicySet(policies, checks, files.digest(digest))

    return load_one


def load(
    folder: Path | None,
    models: Path | None = None,
    runtime: Models | None = None,
    remote: Remote | None = None,
    *,
    code: bool = False,
) -> PolicySet:
    """The policies of a folder, or those shipped under a name (`None`: `default`), checks built. Raises `PolicyError`.

    `models`: a folder of models that come before the shipped ones. `runtime`: runs them, where a process has one. `remote`: the
    services that checks may ask; without it no check asks anybody, and one that would fails. `code`: whether policies may name
    classes to import.
    """
    return loader(models, runtime, remote, code=code)(folder)


def _refuse_clashes() -> None:
    """Raises `PolicyError` where plug-ins are installed of which nobody could tell what their names stand for."""
    try:
        plugins.refuse_clashes(plugins.CHECKS, own_names())
        plugins.refuse_clashes(plugins.ACTIONS, ACTIONS)
        codecs()
    except PluginError as error:
        raise PolicyErrors([PolicyError(str(error))]) from None


def findings_of(check: Check, text: str, channel: Channel) -> list[Finding]:
    """What a check, and its partner where it has one, finds in a text that is there as a whole. Raises what it raises."""
    lane = Lane(channel, with_partner(check), False)
    lane.append(text)
    lane.ended = True
    windows = lane.windows()
    return lane.learn(windows, [lane.checks[number].scan([window])[0] for number, window in windows])


def scanned(job: Job) -> ScanResult:
    """What a check says of a window; where it fails, that it did: its class of error, as in the proxy."""
    try:
        return job.check.scan([job.window])[0]
    except Exception as error:
        return failed(job.window, error)


def perform(exchange: Exchange, commands: list[Command]) -> Iterator[Command]:
    """Runs scans on the spot; gives all other commands."""
    for command in commands:
        if isinstance(command, Scan):
            yield from perform(exchange, exchange.receive(Scanned(tuple(map(scanned, command.jobs)))))
        else:
            yield command


def scan_text(policies: PolicySet, text: str, direction: Literal["request", "response"]) -> Result:
    """What the policies do with one text."""
    codec = codec_for(ROUTE)
    assert codec is not None  # noqa: S101 - the route is our own
    exchange = Exchange(
        Setting(
            id="scan",
            route=ROUTE,
            tenant="",
            codec=codec,
            policies=policies,
            mint=lambda label, value: placeholders.mint(_SCAN_KEY, "", label, value),
            seal=lambda data: "",
            hashed=lambda kind, value: placeholders.hashed(_SCAN_KEY, "", kind, value),
        )
    )
    asked = text if direction == "request" else ""
    body = write({"model": "", "messages": [{"role": "user", "content": asked}]})
    done = list(perform(exchange, exchange.receive(RequestReceived(body))))
    if direction == "response":
        answer = {"choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]}
        exchange.receive(ResponseStarted(200, "application/json"))
        for happened in (DataReceived(write(answer)), ResponseEnded()):
            done += perform(exchange, exchange.receive(happened))
    shown = ""
    again = any(isinstance(command, SendUpstream) and command.attempt for command in done)
    match done[-1]:
        case SendUpstream() if not again:
            shown = read(done[-1].body)["messages"][0]["content"]
        case Finish(outcome="answered") if not again:
            shown = read(done[-1].data)["choices"][0]["message"]["content"]
    gate = exchange.answers[0].gate if again else exchange.sides[direction].gate
    path = "messages[0].content" if direction == "request" else "choices[0].message.content"
    lane = next((lane for lane in gate.lanes if lane.channel.path == path), None)
    decided: Decided = "pass"
    if again:
        decided = "retry"
    elif any(isinstance(command, Finish) and command.outcome != "answered" for command in done):
        decided = "block"
    elif lane and lane.edits:
        decided = "redact"
    elif any(one.enforced for one in exchange.outcomes):
        decided = "flag"
    rules = tuple(sorted({one.rule for one in exchange.outcomes if one.enforced}))
    return Result(decided, rules, tuple(lane.findings) if lane else (), shown)
