"""A duty for guardproxy: each tenant may send three requests in a minute."""

from guardproxy.audit import Record
from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.gateway import Duty, Head, Steps
from guardproxy.gateway.store import Add

LIMIT = 3
WINDOW_S = 60


class Quota(Duty):
    name = "quota"

    def admit(self, head: Head) -> Steps[Head]:
        window = int(head.unix_s // WINDOW_S)
        (count,) = yield (Add(f"quota:{head.tenant}:{window}", 1, ttl_s=WINDOW_S),)
        assert isinstance(count, int)  # what the store answers to an `Add`
        if count > LIMIT:
            left_s = int((window + 1) * WINDOW_S - head.unix_s) + 1
            message = f"more than {LIMIT} requests in {WINDOW_S} seconds"
            raise DownstreamError(ErrorCode.RATE_LIMIT_EXCEEDED, message, retry_s=left_s)
        return head

    def settle(self, head: Head, record: Record) -> Steps[None]:
        yield (Add(f"quota:{head.tenant}:{record.outcome}", 1, ttl_s=86_400),)


def build() -> Quota:
    return Quota()
