"""A duty for guardproxy: each tenant may send three requests in a minute."""

from guardproxy.errors import DownstreamError
from guardproxy.gateway import Add, Duty

LIMIT = 3
WINDOW_S = 60


class Quota(Duty):
    name = "quota"

    def admit(self, head):
        window = int(head.unix_s // WINDOW_S)
        (count,) = yield (Add(f"quota:{head.tenant}:{window}", 1, ttl_s=WINDOW_S),)
        if count > LIMIT:
            left_s = int((window + 1) * WINDOW_S - head.unix_s) + 1
            message = f"more than {LIMIT} requests in {WINDOW_S} seconds"
            raise DownstreamError(429, "rate_limit_exceeded", message, retry_s=left_s)
        return head

    def settle(self, head, record):
        yield (Add(f"quota:{head.tenant}:{record.outcome}", 1, ttl_s=86_400),)


def build():
    return Quota()
