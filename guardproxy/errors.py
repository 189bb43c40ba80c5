"""The few exceptions that cross a folder, each with the HTTP status a client gets for it.

Messages are lower case, without a full stop, and never hold text of a request or an answer: they name the field.
"""

from __future__ import annotations

from enum import StrEnum

NO_CAPACITY = "no_capacity"
"""The code and the outcome of an exchange that was refused because a check could not be asked, or not in time."""


class GuardproxyError(Exception):
    """Any error that guardproxy raises on purpose. `status` is the HTTP status that it maps to."""

    status = 500


class DownstreamError(GuardproxyError):
    """The client's fault: nothing is sent upstream.

    `status`: the HTTP status of the refusal (4xx). `code`: a stable word for programs. `field`: what is wrong, as a
    JSON path or a header name, or `None`. `retry_s`: after how many seconds the client may ask again, where that is known.
    """

    def __init__(
        self, status: int, code: str, message: str, field: str | None = None, *, retry_s: int | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.field = field
        self.retry_s = retry_s


class UpstreamError(GuardproxyError):
    """The model's fault: a typed error in the client's dialect, 502 or 504 when nothing was sent yet.

    `retry_s`: after how many seconds the client may ask again, where that is known (503).
    """

    def __init__(self, code: str, message: str, status: int = 502, retry_s: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_s = retry_s


class PolicyError(GuardproxyError):
    """A policy file that cannot be used. `str()` gives `file:line:column: message`; lines and columns start at 1."""

    def __init__(self, message: str, path: str = "", line: int = 0, column: int = 0) -> None:
        super().__init__(f"{path}:{line}:{column}: {message}" if path else message)
        self.message = message
        self.path = path
        self.line = line
        self.column = column


class OptionError(GuardproxyError):
    """An option that a check or an action cannot take. `key` is the option's name, for the loader to find its line, `item`
    the number of the entry that is wrong where it is a list, from 0."""

    def __init__(self, key: str, message: str, item: int | None = None) -> None:
        super().__init__(message)
        self.key = key
        self.message = message
        self.item = item


class ConfigError(GuardproxyError):
    """Process settings that cannot be used (exit code 2)."""


class PluginError(ConfigError):
    """A part that another package brings and that cannot be used; the message names the package."""


class Shortage(StrEnum):
    """Why a check gave no verdict although nothing is wrong with it."""

    FULL = "queue_full"  # so much work waits that more would only be late
    SHARE = "tenant_share"  # the same, and most of what waits is this tenant's
    LATE = "late"  # no verdict within the time allowed
    GONE = "unreachable"  # the process or the service that gives verdicts cannot be reached


class NoCapacityError(GuardproxyError):
    """A check could not be asked, or did not answer in time. That is no verdict and no fault of the check: the request is
    refused so that the client sends it again, whatever `on_error` says."""

    status = 503

    def __init__(self, shortage: Shortage, message: str) -> None:
        super().__init__(message)
        self.shortage = shortage


class RemoteError(GuardproxyError):
    """A service that a check asks, and that gave a wrong answer. The check has failed; `on_error` decides."""


class RemoteCapacityError(NoCapacityError, RemoteError):
    """A service that a check asks, and that gave no answer: it is overloaded, late or cannot be reached."""


class StoreError(GuardproxyError):
    """A store of the gateway that cannot be reached."""

    status = 503


class AuditError(GuardproxyError):
    """A record that could not be kept, or a log that cannot be read. Traffic is refused while it lasts."""

    status = 503


class RecordError(AuditError):
    """An entry of the audit log that this version cannot read."""
