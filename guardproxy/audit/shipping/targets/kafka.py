"""Sends copies of lines to a Kafka topic, one message a line."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from guardproxy.audit.shipping.shipping import Batch
from guardproxy.errors import AuditError, ConfigError

TIMEOUT_S = 30.0
LIMIT_MESSAGE_BYTES = 1_000_000_000  # the most that librdkafka allows; the topic has a limit of its own


class KafkaTarget:
    """Sends to `kafka://HOST:PORT[,HOST:PORT]/TOPIC`. Each message has the log's id as its key, so that the lines of a log
    stay in order, and is accepted when all in-sync replicas have it. `settings`: further settings of librdkafka. Raises
    `ConfigError` without the package or for a wrong URL."""

    def __init__(self, url: str, settings: dict[str, Any] | None = None, timeout_s: float = TIMEOUT_S) -> None:
        try:
            from confluent_kafka import KafkaException, Producer  # noqa: PLC0415
        except ImportError:
            raise ConfigError('Kafka needs confluent-kafka: pip install "guardproxy[kafka]"') from None
        parts = urlsplit(url)
        self._topic = parts.path.strip("/")
        self._timeout_s = timeout_s
        if not parts.netloc or not self._topic:
            raise ConfigError("expected kafka://HOST:PORT/TOPIC")
        own = {"bootstrap.servers": parts.netloc, "acks": "all", "enable.idempotence": True}
        own |= {"message.timeout.ms": int(timeout_s * 1000), "message.max.bytes": LIMIT_MESSAGE_BYTES}
        try:
            self._producer = Producer({**own, **(settings or {})})
        except KafkaException as error:
            raise ConfigError(f"Kafka: {error}") from None

    def send(self, batch: Batch) -> None:
        failures: list[str] = []

        def settled(error: Any, message: Any) -> None:
            if error is not None:
                failures.append(str(error))

        try:
            for line in batch.data.splitlines(keepends=True):
                self._producer.produce(self._topic, line.removesuffix(b"\n"), batch.log.encode(), on_delivery=settled)
                # Takes the results of earlier messages, which would otherwise fill the queue of the library.
                self._producer.poll(0)
            unsent = self._producer.flush(self._timeout_s)
        except Exception as error:
            raise AuditError(f"Kafka refuses: {type(error).__name__}") from None
        if failures or unsent:
            # Messages that still wait must not arrive behind the next attempt to send this batch.
            self._producer.purge()
            raise AuditError(f"Kafka refuses: {failures[0] if failures else 'no answer in time'}")

    def close(self) -> None:
        """Does nothing: every batch is settled when it was sent."""
