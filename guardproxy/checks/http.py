"""A check that runs elsewhere: texts go to a service over HTTP, its findings come back (`use: http`).

In: windows. Out: what the service found in each whole text. Kept: nothing; the connections are the process's. How far a
service looks cannot be told, so a text is sent once, when it is complete, and an answer is held to its end. Only hosts that the
operator allows are asked (`--remote-check-host`), for a policy file is no place to say where texts may go. The service is asked

    POST url
    {"version": 1, "check": "dlp", "texts": [
        {"text": "...", "direction": "request", "kind": "user", "route": "POST /v1/messages", "model": "m", "language": ""}]}

and answers, with one result for each text in their order,

    {"results": [{"findings": [{"start": 3, "end": 9, "label": "CUSTOMER", "score": 0.9}]}]}

Offsets count code points, `end` exclusive; `score` (0 to 1) may be left out. Any other answer is a check that failed:
`on_error` of the check or of the policy decides. No answer is no verdict: a service that is overloaded (status 429 or 503),
late (`timeout_s`, status 504) or not reachable (status 502) has the request refused with 503, whatever `on_error` says.
Findings are in the record, so a replay asks nobody.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

from guardproxy.checks._contract import Resources
from guardproxy.checks._options import Option, Options, options_digest, with_defaults
from guardproxy.errors import OptionError, RemoteError
from guardproxy.findings import Check, Finding, Scan, Traits, Window, failed

VERSION = 1
TIMEOUT_S = 2.0
MOST_FINDINGS = 1000
"""In one text."""
_LABEL = re.compile(r"[A-Z][A-Z0-9_]{0,63}", re.ASCII)

OPTIONS: Options = {
    "url": Option(
        "Where texts are sent. The operator must allow the host with `--remote-check-host`.",
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
    """The other side, asked from any thread."""

    def submit(self, queries: Sequence[Mapping[str, Any]]) -> Any:
        """A future (`concurrent.futures.Future`) of what it says; it fails with `RemoteError`."""
        ...


@dataclass(frozen=True, slots=True)
class OutgoingTexts:
    """The texts of some windows that go out; `numbers`: those of their windows."""

    queries: tuple[Mapping[str, Any], ...]
    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Http:
    """The check. `scorer`: the service, or `None` where nobody may be asked (`policy test`, a replay)."""

    name: str
    digest: str
    scorer: Service | None
    traits: Traits

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        """Asks and waits. Texts that the service does not judge get a `Scan` with an error."""
        asked = self.ask(windows)
        try:
            if asked.queries and self.scorer is None:
                raise RemoteError("nobody may be asked here")
            judged = self.scorer.submit(asked.queries).result() if asked.queries and self.scorer else []
            return self.answer(windows, asked, judged)
        except RemoteError as error:
            unanswered = set(asked.numbers)
            return [
                failed(window, error) if number in unanswered else Scan((), window.settled, window.start)
                for number, window in enumerate(windows)
            ]

    def ask(self, windows: Sequence[Window]) -> OutgoingTexts:
        """What of the windows is sent: texts that are complete and not blank."""
        numbers = tuple(number for number, window in enumerate(windows) if window.last and window.text.strip())
        return OutgoingTexts(tuple(_query(self.name, windows[number]) for number in numbers), numbers)

    def answer(self, windows: Sequence[Window], asked: OutgoingTexts, judged: Any) -> list[Scan]:
        """The scans, from what the service answered. Raises `RemoteError` for an answer that cannot be one."""
        if not isinstance(judged, list) or len(judged) != len(asked.numbers):
            raise RemoteError("the service did not give one result for each text")
        found = {
            number: self._findings(windows[number], result)
            for number, result in zip(asked.numbers, judged, strict=True)
        }
        return [
            Scan(
                found.get(number, ()), window.start + len(window.text) if window.last else window.settled, window.start
            )
            for number, window in enumerate(windows)
        ]

    def _findings(self, window: Window, result: Any) -> tuple[Finding, ...]:
        listed = result.get("findings") if isinstance(result, dict) else None
        if not isinstance(listed, list) or len(listed) > MOST_FINDINGS:
            raise RemoteError(f"a result must have at most {MOST_FINDINGS} `findings`")
        return tuple(sorted(self._finding(window, entry) for entry in listed))

    def _finding(self, window: Window, entry: Any) -> Finding:
        if not isinstance(entry, dict):
            raise RemoteError("a finding must be an object")
        start, end, label, score = entry.get("start"), entry.get("end"), entry.get("label"), entry.get("score", 1.0)
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
    """The check for one policy entry; see `OPTIONS`. Raises `OptionError`, for a host that is not allowed too."""
    given = with_defaults(options, OPTIONS)
    url, timeout_s, sensitive = given["url"], given["timeout_s"], given["sensitive"]
    if not isinstance(url, str) or not _is_url(url):
        raise OptionError("url", "must be like `https://dlp.example/check`, without a user")
    if isinstance(timeout_s, bool) or not isinstance(timeout_s, (int, float)) or not 0 < timeout_s <= 60:
        raise OptionError("timeout_s", "must be a number above 0, and at most 60")
    if not isinstance(sensitive, bool):
        raise OptionError("sensitive", "must be true or false")
    if not isinstance(options.get("revision", ""), str):
        raise OptionError("revision", "must be a text, like `2026-11`")
    service = resources.remote(url, float(timeout_s)) if resources.remote else None
    told = {key: value for key, value in options.items() if key != "timeout_s"}
    return Http(name, options_digest("http", VERSION, told), service, Traits(is_sensitive=sensitive))


def _is_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc and not parts.fragment
