"""The metrics of a process: a row declares each one.

Durations have a histogram of their own, which costs little to observe: the histograms of the client library lock twice for each
observation. One thread observes, any thread reads.
"""

# ruff: noqa: RUF009 - `metric` returns a dataclass field

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from guardproxy.errors import ErrorCode
from guardproxy.server.scanning.scanner import Meters

BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_LABELS = (*(str(float(bound_s)) for bound_s in BOUNDS_S), "+Inf")


class DurationBuckets:
    """The observations of one combination of labels."""

    __slots__ = ("counts", "sum_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_S) + 1)
        self.sum_s = 0.0

    def observe(self, duration_s: float) -> None:
        """Counts one duration."""
        self.counts[bisect_left(BOUNDS_S, duration_s)] += 1
        self.sum_s += duration_s

    def cumulative(self) -> list[tuple[str, float]]:
        """The upper bound of each bucket, and the number of observations up to it."""
        total, buckets = 0, []
        for bound, count in zip(_LABELS, self.counts, strict=True):
            total += count
            buckets.append((bound, float(total)))
        return buckets


class Durations(Collector):
    """A histogram with labels. `name`: its name in the registry; `text`: its description. Only one thread may observe."""

    observe: Callable[[float], None]
    """Counts one duration of a histogram without labels."""

    def __init__(self, name: str, text: str, labels: Sequence[str], registry: CollectorRegistry) -> None:
        self._name = name
        self._text = text
        self._labels = tuple(labels)
        self._by_label: dict[tuple[str, ...], DurationBuckets] = {}
        if not labels:
            self.observe = self.labels().observe  # bound once: a request observes several durations
        registry.register(self)

    def labels(self, *values: str) -> DurationBuckets:
        """The observations with these values of the labels."""
        buckets = self._by_label.get(values)
        if buckets is None:
            buckets = self._by_label[values] = DurationBuckets()
        return buckets

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Yields the samples."""
        family = HistogramMetricFamily(self._name, self._text, labels=self._labels)
        for values, buckets in list(self._by_label.items()):
            family.add_metric(values, buckets.cumulative(), buckets.sum_s)
        yield family


_KINDS = {kind.__name__: kind for kind in (Counter, Gauge, Durations)}


def metric(name: str, text: str, *labels: str, mends: tuple[str, ...] = (), where: tuple[str, str] = ("", "")) -> Any:
    """Declares a metric; its kind is the type of the field. `name`: without the prefix, and without the suffixes that the
    client library adds. `text`: its description in `/metrics`. `mends`: if the metric grows only while something is wrong, the
    settings that mend it. `where`: the label and its value for which that holds; otherwise it holds for all."""
    made = {"name": f"guardproxy_{name}", "text": text, "labels": labels, "mends": mends, "where": where}
    return field(init=False, metadata=made)


@dataclass(frozen=True, slots=True)
class TroubleCount:
    """A metric that grows only while something is wrong. `name`: without the prefix; `text`: its description; `value`: its sum;
    `settings`: those that mend it."""

    name: str
    text: str
    value: float
    settings: tuple[str, ...]


@dataclass(eq=False)
class Metrics:
    """All metrics. Labels are bounded: routes come from the configuration, rules from the policies."""

    registry: CollectorRegistry = field(init=False, default_factory=CollectorRegistry)

    exchanges: Counter = metric("exchanges", "Exchanges by how they ended.", "route", "outcome")
    rules: Counter = metric("rule_hits", "Rules that held.", "policy", "rule", "action", "mode")
    spans: Counter = metric("redacted_spans", "Spans replaced by placeholders.", "direction")
    attempts: Counter = metric("discarded_answers", "Discarded answers, by what followed.", "route", "decision")
    saved_tokens: Counter = metric("saved_tokens", "Tokens of answers ended early (estimate).")
    saved_seconds: Counter = metric("saved_seconds", "Time of answers ended early (estimate).")
    routes: Counter = metric("routes", "Requests by where policies routed them.", "policy", "upstream", "mode")
    saved_money: Counter = metric(
        "saved_money", "Money saved by cheaper models for simple requests (estimate).", "policy", "mode"
    )
    limit_refusals: Counter = metric("limit_refusals", "Requests past a limit, also in shadow mode.", "limit", "mode")
    key_refusals: Counter = metric(
        "key_refusals", "Requests whose key is refused, also in shadow mode.", "code", "mode"
    )
    cache_lookups: Counter = metric("cache_lookups", "Lookups in the cache, by result.", "match", "mode", "result")
    cache_stored: Counter = metric("cache_stored", "Answers that were stored.")
    cache_answers: Gauge = metric("cache_answers", "Answers in memory.")
    cache_bytes: Gauge = metric("cache_bytes", "Memory that stored answers take.")
    cache_evicted: Gauge = metric("cache_evicted", "Answers evicted because memory was full.")
    cache_compared: Counter = metric("cache_compared", "Questions that models compared with stored ones.", "result")
    cache_questions: Gauge = metric("cache_questions", "Questions in memory whose answers are stored.")
    turn_lookups: Counter = metric(
        "turn_lookups", "Requests that refer to a stored turn, by whether values of it were kept.", "result"
    )
    turn_bytes: Gauge = metric("turn_bytes", "Memory that values of stored turns take.")
    turns_evicted: Gauge = metric(
        "turns_evicted", "Turns evicted because memory was full.", mends=("limit_turns_bytes",)
    )
    confirmations: Counter = metric("confirmations", "Calls of tools that a person has approved or denied.", "result")
    memory_lookups: Counter = metric(
        "memory_lookups", "Requests that read what earlier exchanges left, by whether the store answered.", "result"
    )
    memory_unwritten: Gauge = metric(
        "memory_unwritten", "Changes of entries for later exchanges that wait for the store."
    )
    memory_lost: Counter = metric(
        "memory_lost", "Changes of entries for later exchanges that were given up.", mends=("state", "state_down")
    )
    memory_bytes: Gauge = metric("memory_bytes", "Memory that entries of earlier exchanges take in this process.")
    memory_evicted: Gauge = metric(
        "memory_evicted",
        "Entries of earlier exchanges evicted because memory was full.",
        mends=("limit_memory_bytes",),
    )
    altered: Counter = metric(
        "altered_placeholders", "Placeholders that a model changed, so they were not restored.", "label"
    )
    judged: Counter = metric("judged_answers", "Answers that a judge was to score.", "policy", "result")
    scores: Counter = metric("judge_scores", "Scores of judges.", "policy", "score")
    llm_questions: Counter = metric(
        "llm_questions", "Questions of checks to models at upstreams, by what became of them.", "check", "result"
    )
    llm_cost: Counter = metric("llm_cost", "The cost of questions of checks to models that have a price.", "check")
    llm_seconds: Durations = metric("llm_seconds", "Time until a model at an upstream had judged a text.", "check")
    duration: Durations = metric(
        "exchange_duration_seconds", "Time from the request to the end of an exchange.", "route"
    )
    first_token: Durations = metric(
        "time_to_first_token_seconds", "Time from the request to the first text of a stream.", "model"
    )
    per_token: Durations = metric(
        "time_per_output_token_seconds", "The mean time between two tokens of a stream.", "model"
    )
    between_pieces: Durations = metric(
        "time_between_pieces_seconds", "Time between two pieces of a stream that are sent to the client."
    )
    tokens: Counter = metric("tokens", "Tokens that upstreams counted.", "direction", "model", "tenant")
    cost: Counter = metric("cost", "The cost of exchanges whose model has a price.", "model", "tenant")
    decisions: Counter = metric("decisions", "Exchanges by the strongest decision about them.", "decision")
    scan: Durations = metric("scan_seconds", "Time that an exchange waited for its scans.")
    scan_cache: Counter = metric("scan_cache", "Scans of whole texts, by whether the result was cached.", "result")
    scan_refused: Counter = metric(
        "scan_no_capacity",
        "Scans without a verdict because of missing capacity, by reason.",
        "reason",
        mends=ErrorCode.NO_CAPACITY.settings,
    )
    scans_waiting: Gauge = metric("scans_waiting", "Scans that wait for a thread or are under way.")
    commit: Durations = metric("audit_commit_seconds", "Time until a record was durable.")
    intent: Durations = metric("audit_intent_seconds", "Time until an intent was durable: what it adds to an exchange.")
    unknown: Counter = metric("unknown_exchanges", "Exchanges that an earlier process left unfinished.")
    audit_writable: Gauge = metric("audit_writable", "1, or 0 while the audit log cannot be written.")
    audit_checkpoint: Gauge = metric(
        "audit_checkpoint_time", "The time of the newest checkpoint of the audit log, as Unix time; 0 without a key."
    )
    audit_recoveries: Gauge = metric("audit_recoveries", "How often the audit log became writable again.")
    observer_dropped: Counter = metric(
        "observer_dropped",
        "Records, lines and spans that an observer was too slow for.",
        "observer",
        mends=("audit_sink", "alert_webhook", "confirm_webhook", "otel_endpoint"),
    )
    observer_failed: Counter = metric(
        "observer_failed",
        "Records and lines that an observer failed on.",
        "observer",
        mends=("audit_sink", "alert_webhook", "confirm_webhook", "otel_endpoint"),
    )
    alerts: Counter = metric(
        "alerts",
        "Alerts by result: sent, failed, repeated, limited.",
        "result",
        mends=("alert_webhook",),
        where=("result", "failed"),
    )
    open: Gauge = metric("open_exchanges", "Exchanges under way.")
    connections: Gauge = metric("open_connections", "Client connections.")
    refused_connections: Gauge = metric(
        "refused_connections", "Client connections refused for lack of room.", mends=("limit_connections",)
    )
    refused_requests: Gauge = metric(
        "refused_requests",
        "Requests refused unread because of overload.",
        mends=("workers", "scan_threads", "limit_scan_wait_s"),
    )
    body_bytes: Gauge = metric("held_body_bytes", "Memory that request bodies take.")
    breakers: Gauge = metric(
        "upstream_breaker", "1 for the state of an upstream's circuit breaker.", "upstream", "state"
    )
    upstream_failures: Counter = metric(
        "upstream_failures", "Failed requests to an upstream, by cause.", "upstream", "cause"
    )
    handshakes_failed: Counter = metric(
        "tls_handshakes_failed", "Failed TLS handshakes, by port and reason.", "port", "reason"
    )
    certificates_end: Gauge = metric(
        "certificate_expiry_timestamp_seconds", "When certificates of a file expire, as Unix time.", "setting", "name"
    )
    certificates_failing: Gauge = metric(
        "certificates_reload_failing", "1 while a file of certificates or its key cannot be used, or 0."
    )
    lag: Durations = metric("event_loop_lag_seconds", "How late the event loop runs what is due.")
    policies: Gauge = metric("policy_info", "The policies in force.", "digest")
    reloads: Counter = metric("policy_reloads", "Successful policy reloads.")
    reload_failures: Counter = metric("policy_reload_failures", "Reloads that failed; the old policies stayed.")
    reload_fine: Gauge = metric("policy_last_reload_successful", "1, or 0 if the last reload failed.")
    reloaded_at: Gauge = metric("policy_last_reload_success_timestamp_seconds", "When policies were loaded last.")

    def __post_init__(self) -> None:
        for declared in fields(self):
            if row := declared.metadata:
                made = _KINDS[str(declared.type)](row["name"], row["text"], row["labels"], registry=self.registry)
                setattr(self, declared.name, made)
        self.scanner = Meters(self.scan_cache, self.scan_refused, self.scans_waiting)

    def handshake_failed(self, port: str, why: str) -> None:
        """Counts a TLS handshake that failed. Any thread may call it."""
        self.handshakes_failed.labels(port, why).inc()

    def troubles(self) -> tuple[TroubleCount, ...]:
        """Returns the metrics that grow only while something is wrong."""
        return tuple(
            TroubleCount(declared.name, row["text"], _sum_of(getattr(self, declared.name), row["where"]), row["mends"])
            for declared in fields(self)
            if (row := declared.metadata) and row["mends"]
        )


def _sum_of(counted: Counter | Gauge, where: tuple[str, str]) -> float:
    """Returns the sum of a metric over its labels. `where`: the label that must have a value, or empty."""
    label, value = where
    return sum(
        sample.value
        for family in counted.collect()
        for sample in family.samples
        if not sample.name.endswith("_created") and (not label or sample.labels[label] == value)
    )
