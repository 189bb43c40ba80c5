"""What is wrong right now, with the settings that mend it. Pure.

In: what the workers say of themselves, the errors of the last minutes, counts that have grown, and how far the log was read.
Out: causes, the worst first. Each names the settings that the code declares for it: a trouble, a code of an error and a metric
have them; nothing is listed here.

Decision: docs/decisions/0085-a-fault-names-what-mends-it.md
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from guardproxy.config import SETTINGS, Config, Declaration
from guardproxy.console.proxy_status import ProcessStatus, Statuses, StatusTrouble
from guardproxy.errors import ErrorCode

LIMIT_CAUSES = 30
LIMIT_TEXT = 600
SERVER_ERROR, TOO_MANY = 500, 429


@dataclass(frozen=True, slots=True)
class MendingSetting:
    """A setting that mends a cause. `value`: the one in force, empty if it is secret or not set."""

    name: str
    flag: str
    help: str
    value: str

    @classmethod
    def of(cls, name: str, config: Config) -> MendingSetting:
        """Returns a declared setting with its value in these settings."""
        declared = SETTINGS[name]
        return cls(name, declared.flag, declared.help, _shown(declared, config))


@dataclass(frozen=True, slots=True)
class Cause:
    """Something that is wrong. `kind`: `bad` if requests fail, else `warn`. `places`: the workers that say it. `requests`:
    those that got `code` in the last minutes. `policy_key`: the key of policies that controls it.
    `is_of_proxy`: whether the proxy itself names it."""

    title: str
    detail: str
    settings: tuple[MendingSetting, ...]
    kind: Literal["bad", "warn"] = "warn"
    places: tuple[str, ...] = ()
    code: str = ""
    requests: int = 0
    policy_key: str = ""
    is_of_proxy: bool = False


@dataclass(frozen=True, slots=True)
class LogState:
    """How the log is. `problem`: why the index cannot follow it. `changed`: lines that are not what was written. `behind`: the
    bytes that are not in the index yet."""

    problem: str = ""
    changed: int = 0
    behind: int = 0


def causes_of(
    statuses: Statuses | None,
    errors: Sequence[tuple[str, int]],
    grown: Mapping[tuple[str, str], float],
    log: LogState,
    shifted: Sequence[str],
    config: Config,
) -> tuple[Cause, ...]:
    """Returns what is wrong, the worst first. `statuses`: `None` if the proxy does not answer. `errors`: codes of errors with
    the number of requests that got them lately. `grown`: by worker and metric, how much it has grown lately. `shifted`:
    measures of the traffic that have drifted."""
    requests = dict(errors)
    found = [
        *_silent(statuses, config),
        *_troubles(statuses or {}, requests, config),
        *_errors(requests, config),
        *_counts(statuses or {}, grown, config),
        *_log(log, config),
        *_drift(shifted),
    ]
    found.sort(key=lambda cause: (cause.kind != "bad", -cause.requests))
    return tuple(found[:LIMIT_CAUSES])


def _silent(statuses: Statuses | None, config: Config) -> Iterable[Cause]:
    """Processes that do not answer."""
    if statuses is None:
        yield Cause(
            "The proxy does not answer",
            "Its admin port gave no answer to this page. The numbers below come from the log alone.",
            _mending(("livez_stall_s",), config),
            "bad",
        )
        return
    silent = tuple(title for title, status in statuses.items() if status is None)
    if silent:
        yield Cause(
            "A worker does not answer" if len(silent) == 1 else f"{len(silent)} workers do not answer",
            "It is stuck, or is being started again. The other workers serve meanwhile.",
            _mending(("workers", "livez_stall_s"), config),
            "bad",
            silent,
        )


def _troubles(
    statuses: Mapping[str, ProcessStatus | None], requests: dict[str, int], config: Config
) -> Iterable[Cause]:
    """What `/livez` and `/readyz` name. Takes the requests of each code out of `requests`, so that they count once."""
    places: dict[StatusTrouble, list[str]] = {}
    for title, status in statuses.items():
        for trouble in status.troubles if status else ():
            places.setdefault(trouble, []).append(title)
    for trouble, titles in places.items():
        code = trouble.code or ""
        yield Cause(
            _cut(_sentence(trouble.text)),
            _cut(_sentence(trouble.meaning)),
            _mending(trouble.settings, config),
            "bad" if trouble.is_serious or trouble.code else "warn",
            tuple(titles) if len(statuses) > 1 else (),
            code,
            requests.pop(code, 0) if code else 0,
            is_of_proxy=True,
        )


def _errors(requests: Mapping[str, int], config: Config) -> Iterable[Cause]:
    """Errors that requests got lately. An error of a request itself, which no setting controls, is no cause."""
    for name, count in requests.items():
        try:
            code = ErrorCode(name)
        except ValueError:
            continue
        if code.status < SERVER_ERROR and not code.settings and not code.policy_key:
            continue
        is_bad = code.status >= SERVER_ERROR
        title = f"{_requests(count)} got {code.status} in the last 5 minutes: {code.sentence}"
        settings = _mending(code.settings, config)
        kind: Literal["bad", "warn"] = "bad" if is_bad else "warn"
        yield Cause(title, code.meaning, settings, kind, (), name, count, code.policy_key)


def _counts(
    statuses: Mapping[str, ProcessStatus | None], grown: Mapping[tuple[str, str], float], config: Config
) -> Iterable[Cause]:
    """Metrics that grow only while something is wrong, and have grown."""
    added: dict[str, Cause] = {}
    for title, status in statuses.items():
        for count in status.counts if status else ():
            more = grown.get((title, count.name), 0.0)
            if more <= 0:
                continue
            place = (title,) if len(statuses) > 1 else ()
            known = added.get(count.name)
            if known is None:
                added[count.name] = Cause(
                    count.text, "", _mending(count.settings, config), places=place, requests=int(more)
                )
            else:
                added[count.name] = replace(known, places=(*known.places, *place), requests=known.requests + int(more))
    for cause in added.values():
        yield replace(cause, title=f"{cause.requests:,} more in the last 5 minutes: {cause.title}", requests=0)


def _log(log: LogState, config: Config) -> Iterable[Cause]:
    if log.problem:
        detail = f"The lists of this console show what was read before: {_cut(log.problem)}"
        yield Cause("The console cannot follow the log", detail, _mending(("audit",), config))
    if log.changed:
        yield Cause(
            f"{log.changed:,} {'line' if log.changed == 1 else 'lines'} of the log are not what was written",
            "The hash of such a line does not fit its content, or it does not follow the line before. Audit names each.",
            _mending(("audit", "audit_key"), config),
            "bad",
            code="changed",
        )
    if log.behind:
        yield Cause("The console still reads the log", f"{log.behind:,} bytes are not in its lists yet.", ())


def _drift(shifted: Sequence[str]) -> Iterable[Cause]:
    if shifted:
        few = ", ".join(map(_cut, shifted[:5])) + (", ..." if len(shifted) > 5 else "")
        yield Cause(
            f"The traffic differs from before in {len(shifted)} {'measure' if len(shifted) == 1 else 'measures'}",
            f"{few}. Thresholds that were chosen on other traffic may find too much or too little: see Models.",
            (),
            code="drift",
        )


def _mending(names: Iterable[str], config: Config) -> tuple[MendingSetting, ...]:
    """Returns declared settings; a name that this version does not know is left out."""
    return tuple(MendingSetting.of(name, config) for name in dict.fromkeys(names) if name in SETTINGS)


def _shown(declared: Declaration, config: Config) -> str:
    if declared.is_secret:
        return ""
    value = declared.value_in(config)
    if isinstance(value, tuple):
        return _cut(", ".join(map(str, value)), 120)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"{value:,g}" if abs(value) < 1e6 else f"{value:,}"
    return _cut(str(value or ""), 120)


def _requests(count: int) -> str:
    return f"{count:,} {'request' if count == 1 else 'requests'}"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _cut(text: str, limit: int = LIMIT_TEXT) -> str:
    return text if len(text) <= limit else f"{text[:limit]}..."


class CountHistory:
    """How much counts have grown lately. Kept: the values of the last `window_s` seconds, one set every `every_s`. A count that
    falls was counted anew, by a process that started again."""

    def __init__(self, window_s: float = 300.0, every_s: float = 5.0) -> None:
        self._window_s = window_s
        self._every_s = every_s
        self._sets: list[tuple[float, Mapping[tuple[str, str], float]]] = []

    def add(self, now_s: float, statuses: Statuses) -> None:
        """Adds the counts of all workers at a time of a monotonic clock."""
        if self._sets and now_s - self._sets[-1][0] < self._every_s:
            return
        values = {
            (title, count.name): count.value
            for title, status in statuses.items()
            for count in (status.counts if status else ())
        }
        # The newest set that is too old stays: growth is counted from it.
        while len(self._sets) > 1 and now_s - self._sets[1][0] > self._window_s:
            del self._sets[0]
        self._sets.append((now_s, values))

    def grown(self) -> dict[tuple[str, str], float]:
        """Returns how much each count has grown, by worker and metric."""
        grown: dict[tuple[str, str], float] = {}
        for (_, before), (_, after) in zip(self._sets, self._sets[1:], strict=False):
            for key, value in after.items():
                known = before.get(key)
                if known is not None and value != known:
                    grown[key] = grown.get(key, 0.0) + (value - known if value > known else value)
        return grown
