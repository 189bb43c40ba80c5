"""Counts wrong keys by address, so that an address that guesses is answered without further work.

In: an address and the time of each wrong key. Out: how long the address has to wait. Kept: a count for each of the
addresses seen last, so that memory has a limit.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from ipaddress import IPv6Address, ip_address

WINDOW_S = 60.0
LIMIT_ADDRESSES = 10_000


class Guesses:
    """The wrong keys of each address in the current window. `limit`: the number of wrong keys of an address in `WINDOW_S`
    seconds after which it has to wait; 0: no limit."""

    def __init__(self, limit: int, capacity: int = LIMIT_ADDRESSES) -> None:
        self._limit = limit
        self._capacity = capacity
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()  # the end of a window, the wrong keys in it

    def __len__(self) -> int:
        """Returns the number of addresses that are kept."""
        return len(self._windows)

    def wait_s(self, address: str, unix_s: float) -> int:
        """Returns the seconds until keys of this address are looked at again, rounded up; 0 if they are."""
        end_s, count = self._windows.get(_network(address), (0.0, 0))
        if not self._limit or count < self._limit or end_s <= unix_s:
            return 0
        return min(math.ceil(WINDOW_S), math.ceil(end_s - unix_s))

    def add(self, address: str, unix_s: float) -> None:
        """Counts a wrong key of this address. The address that was counted the longest time ago is forgotten if there are too
        many."""
        network = _network(address)
        end_s, count = self._windows.pop(network, (0.0, 0))
        # A clock that was set back must not make a window longer.
        is_over = end_s <= unix_s or end_s - unix_s > WINDOW_S
        self._windows[network] = (unix_s + WINDOW_S, 1) if is_over else (end_s, count + 1)
        if len(self._windows) > self._capacity:
            self._windows.popitem(last=False)

    def forgive(self, address: str) -> None:
        """Takes back a count of this address, such as one that was added before the key was known to be right."""
        network = _network(address)
        end_s, count = self._windows.get(network, (0.0, 0))
        if count > 1:
            self._windows[network] = end_s, count - 1
        else:
            self._windows.pop(network, None)


def _network(address: str) -> str:
    """Returns what is counted for an address. A client can use every address of an IPv6 network of 64 bits."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    return str(parsed.ipv4_mapped or parsed.packed[:8].hex())
