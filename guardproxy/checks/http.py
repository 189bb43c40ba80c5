"""A check that runs in another service: sends texts over HTTP and returns the service's findings (`use: http`).

In: windows. Out: the findings of the service in each whole text. Kept: nothing; the connections belong to the process.
It is unknown how far a service reads, so a text is sent once, when it is complete, and an answer is held to its end.
Only hosts that the operator allows are called (`--remote-check-host`), because a policy file must not decide where
texts go. The request is

    POST url
    {"version": 1, "check": "dlp", "texts": [
        {"text": "...", "direction": "request", "kind": "user", "route": "POST /v1/messages", "model": "m",
         "language": ""}]}

and the answer has one result for each text, in their order:

    {"results": [{"findings": [{"start": 3, "end": 9, "label": "CUSTOMER", "score": 0.9}]}]}

Offsets count code points, `end` exclusive; `score` (0 to 1) may be left out. Any other answer fails the check:
`on_error` of the check or of the policy decides. A missing answer is not a verdict: if a service is overloaded (status
429 or 503), late (`timeout_s`, status 504) or not reachable (status 502), the request is refused with 503, whatever
`on_error` says. The record holds the findings, so a replay calls no service.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

from guardproxy.checks._shared.declared.contract import Resources
from guardproxy.checks._shared.declared.options import Option, Options, options_digest, with_defaults
from guardproxy.errors import OptionError, RemoteError
from guardproxy.findings import Check, Finding, Scan, Traits, Window, failed_scan

VERSION = 1
TIMEOUT_S = 2.0
MOST_FINDINGS = 1000
"""The limit of findings in a text."""
_LABEL = re.compile(r"[A-Z][A-Z0-9_]{0,63}", re.ASCII)

OPTIONS: Options = {
    "url": Option(
        "The URL to which texts are sent. The operator must allow its host with `--remote-check-host`.",
        {"type": "string", "pattern": "^https?://[^/]+"},
    ),
    "timeout_s": Option(
        "Seconds to wait for the service.",
        {"type": "number", "exclusiveMinimum": 0, "maximum": 60},
        default=TIMEOUT_S,
    ),
    "sensitive": Option(
        "Whether the findings are values that records must not show.",
        {"type": "boolean"},
        default=True,
        tighter=(False, True),
    ),
    "revision": Option(
        "The version of the service; findings of another version are not taken from records.",
        {"type": "string", "pattern": r"\S"},
        default_words="none",
    ),
}


class Service(Protocol):
    """A client of the service, usable from any thread."""

    def submit(self, queries: Sequence[Mapping[str, Any]]) -> Any:
        """Sends queries. Returns a future (`concurrent.futures.Future`) of the results; it fails with `RemoteError`."""
        ...


@dataclass(frozen=True, slots=True)
class OutgoingTexts:
    """The texts to send. `numbers`: the numbers of their windows."""

    queries: tuple[Mapping[str, Any], ...]
    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Http:
    """The check `http`. `scorer`: the service, or `None` if no service may be called (`policy test`, a replay)."""

    name: str
    digest: str
    scorer: Service | None
    traits: Traits

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        """Calls the service and waits. A text that the service does not answer for gets a `Scan` with an error."""
        outgoing = self.ask(windows)
        try:
            if outgoing.queries and self.scorer is None:
                raise RemoteError("no service may be called here")
            results = self.scorer.submit(outgoing.queries).result() if outgoing.queries and self.scorer else []
            return self.answer(windows, outgoing, results)
        except RemoteError as error:
            unanswered = set(outgoing.numbers)
            return [
                failed_scan(window, error) if number in unanswered else Scan((), window.settled, window.start)
                for number, window in enumerate(windows)
            ]

    def ask(self, windows: Sequence[Window]) -> OutgoingTexts:
        """Returns the texts to send: those that are complete and not blank."""
        # Only whole texts: nobody knows how far the service reads, so a part of a text has no final answer.
        numbers = tuple(number for number, window in enumerate(windows) if window.last and window.text.strip())
        return OutgoingTexts(tuple(_query(self.name, windows[number]) for number in numbers), numbers)

    def answer(self, windows: Sequence[Window], outgoing: OutgoingTexts, results: Any) -> list[Scan]:
        """Converts the service's answer to scans. Raises `RemoteError` for an invalid answer."""
        if not isinstance(results, list) or len(results) != len(outgoing.numbers):
            raise RemoteError("the service did not return one result for each text")
        by_number = {
            number: self._findings(windows[number], result)
            for number, result in zip(outgoing.numbers, results, strict=True)
        }
        return [
            Scan(
                by_number.get(number, ()),
                window.start + len(window.text) if window.last else window.settled,
                window.start,
            )
            for number, window in enumerate(windows)
        ]

    def _findings(self, window: Window, result: Any) -> tuple[Finding, ...]:
        entries = result.get("findings") if isinstance(result, dict) else None
        if not isinstance(entries, list) or len(entries) > MOST_FINDINGS:
            raise RemoteError(f"a result must have at most {MOST_FINDINGS} `findings`")
        return tuple(sorted(self._finding(window, entry) for entry in entries))

    def _finding(self, window: Window, entry: Any) -> Finding:
        if not isinstance(entry, dict):
            raise RemoteError("a finding must be an object")
        start, end, label, score = entry.get("start"), entry.get("end"), entry.get("label"), entry.get("score", 1.0)
        # `type` and not `isinstance`: `true` is an integer for Python, and here it is a fault of the service.
        if type(start) is not int or type(end) is not int or not 0 <= start < end <= len(window.text):
            raise RemoteError("a finding must have a span in its text")
        if not isinstance(label, str) or not _LABEL.fullmatch(label):
            raise RemoteError("the label of a finding must be like `CUSTOMER_NUMBER`")
        if type(score) not in (int, float) or not 0 <= score <= 1:
            raise RemoteError("the score of a finding must be a number from 0 to 1")
        return Finding(window.start + start, window.start + end, self.name, label, float(score))


def _query(check: str, window: Window) -> Mapping[str, Any]:
    channel, facts = window.channel, window.facts
    return {
        "check": check,
        "text": window.text,
        "direction": channel.direction,
        "kind": channel.kind,
        "route": facts.route,
        "model": facts.model,
        "language": facts.language,
    }


def build(name: str, options: Mapping[str, Any], resources: Resources) -> Check:
    """Builds the check for one policy entry; see `OPTIONS`. Raises `OptionError`, also for a host that is not
    allowed."""
    values = with_defaults(options, OPTIONS)
    url, timeout_s, sensitive = values["url"], values["timeout_s"], values["sensitive"]
    if not isinstance(url, str) or not _is_url(url):
        raise OptionError("url", "must be like `https://dlp.example/check`, without a user")
    if not isinstance(options.get("revision", ""), str):
        raise OptionError("revision", "must be a text, like `2026-11`")
    service = resources.remote(url, float(timeout_s)) if resources.remote else None
    # How long to wait does not change what is found, so findings in records stay valid.
    lasting = {key: value for key, value in options.items() if key != "timeout_s"}
    return Http(name, options_digest("http", VERSION, lasting), service, Traits(is_sensitive=sensitive))


def _is_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc and not parts.fragment
