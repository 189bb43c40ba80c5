"""What happens while the shared store cannot be reached, and what is made up for when it is back.

In: calls. Out: answers of the store. While it is away: none (`closed`), those of an empty store (`open`), or those of a
store in the memory of this process (`local`). After a pause one call asks it again, and the others go on without it.

What exchanges used must be counted, so each settlement is kept until the store has answered to it. Those without an answer are
sent again after the next renewal of the lease, or before the first call after the store was away. The store knows for a time
that an exchange was settled, so that none counts twice. Kept: settlements without an answer, up to a number and for a time;
what was taken from the substitute.

Decision: docs/decisions/0049-a-process-has-a-lease.md
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from guardproxy.errors import StoreBusyError, StoreError
from guardproxy.gateway.store.calls import LEASE_S, SETTLED_S, Answer, Call, Lease, Renew, Settle, Store, Take, lease_of
from guardproxy.gateway.store.memory import MemoryStore

Down = Literal["closed", "open", "local"]
PAUSE_S = 1.0  # no request waits for a store that did not answer a moment ago
REPEAT_S = SETTLED_S * 0.9  # a later settlement might count twice
MOST_KEPT = 100_000
BATCH = 200  # settlements in a list: a script holds the server

_Name = tuple[str, str]  # a key, and an exchange


class Failover:
    """A store with a substitute. `down`: what happens while it is away. `clock`: returns seconds and never goes back.
    `notice(message)`: is called when the store goes away (with the reason) and when it comes back (with an empty text).
    `lease`: of this process, if it reserves. `lost`: the number of settlements that were given up."""

    def __init__(
        self,
        store: Store,
        down: Down,
        clock: Callable[[], float],
        notice: Callable[[str], None],
        lease: Lease | None = None,
    ) -> None:
        self._store = store
        self._down = down
        self._clock = clock
        self._notice = notice
        self._lease = lease
        self._local = MemoryStore(clock)
        self._until_s = float("-inf")
        self._is_away = False
        self._is_asking = False  # whether a call finds out if the store is back
        self._unsettled: dict[_Name, Settle] = {}
        self._sent_s: dict[_Name, float] = {}  # when an unsettled settlement was first sent
        self._elsewhere: dict[_Name, None] = {}  # what was taken from the substitute
        self.lost = 0

    @property
    def renew_in_s(self) -> float:
        """Returns the seconds after which the lease is to be renewed; soon while the store is away."""
        return PAUSE_S if self._is_away else LEASE_S / 3

    @property
    def unsettled(self) -> int:
        """Returns the number of settlements without an answer."""
        return len(self._unsettled)

    async def perform(self, calls: Sequence[Call]) -> tuple[Answer, ...]:
        """See `Store.perform`. A settlement is kept and sent later if the store does not answer; its answer is then `True`."""
        is_shared = [not isinstance(call, Settle) or await self._is_kept(call) for call in calls]
        shared = [call for call, is_sent in zip(calls, is_shared, strict=True) if is_sent]
        answers = iter(await self._perform(shared) if shared else ())
        return tuple([next(answers) if is_sent else True for is_sent in is_shared])

    async def _perform(self, calls: Sequence[Call]) -> tuple[Answer, ...]:
        """Returns the answers of the store or, while it is away, of the substitute."""
        # One call at a time finds out whether the store is back: if all did, all would wait for its time limit.
        if self._is_away and (self._is_asking or self._clock() < self._until_s):
            return await self._substitute(calls)
        is_asking = self._is_away
        # Set before the first wait: every other call sees it and goes on with the substitute.
        self._is_asking |= is_asking
        try:
            if is_asking:
                await self._catch_up()
            answered = await self._ask(calls)
        except StoreError as error:
            self._missed(error)
            return await self._substitute(calls)
        finally:
            if is_asking:
                self._is_asking = False
        if is_asking:
            self._came_back()
        return answered

    async def renew(self) -> int:
        """Renews the lease, gives back what no open exchange reserves, and sends the settlements without an answer. Returns
        how many reservations were given back. A store that is away is noticed, and raises nothing."""
        given_back = 0
        if self._is_asking:
            return given_back
        self._is_asking = True
        try:
            given_back = await self._catch_up()
        except StoreError as error:
            self._missed(error)
        else:
            self._came_back()
        finally:
            self._is_asking = False
        return given_back

    def _missed(self, error: StoreError) -> None:
        """Notes that the store did not answer. A store that is busy is not away."""
        if isinstance(error, StoreBusyError):
            return
        self._until_s = self._clock() + PAUSE_S
        if not self._is_away:
            self._notice(str(error))
        self._is_away = True

    def _came_back(self) -> None:
        if self._is_away:
            self._notice("")
        self._is_away = False

    async def _is_kept(self, call: Settle) -> bool:
        """Whether the shared store has to settle what an exchange took. It counts what was used of a sum, also if the
        substitute held the reservation; a rate of the substitute stays there."""
        name = call.key, call.id
        if name in self._elsewhere:
            del self._elsewhere[name]
            if self._down == "local":
                await self._local.perform((call,))
            if not call.is_sum:
                return False
        # Kept before it is sent: the answer may be lost on the way, or the process of the store may end.
        self._unsettled[name] = call
        if len(self._unsettled) > MOST_KEPT:
            self._forget(next(iter(self._unsettled)))
        return True

    async def _ask(self, calls: Sequence[Call]) -> tuple[Answer, ...]:
        settled = [(call.key, call.id) for call in calls if isinstance(call, Settle)]
        names = [name for name in settled if name in self._unsettled]  # another call may have sent one meanwhile
        for name in names:
            # From before the call on, the store may have settled it, whether its answer arrives or not.
            self._sent_s.setdefault(name, self._clock())
        answers = await self._store.perform(calls)
        for name in names:
            self._unsettled.pop(name, None)
            self._sent_s.pop(name, None)
        return answers

    async def _catch_up(self) -> int:
        """Does what `renew` does. Raises `StoreError`."""
        if (lease := self._lease) is None:
            return 0
        oldest_s = self._clock() - REPEAT_S
        # The store forgets by then what it has settled. Sent once more, these would count twice.
        for name in [name for name, sent_s in self._sent_s.items() if sent_s < oldest_s]:
            self._forget(name)
        lease.turn += 1
        # The renewal gives back all that it does not name, so it names what is still to be settled, too.
        named = frozenset((*lease.named(), *self._unsettled))
        (given_back,) = await self._store.perform((Renew(lease_of(lease.owner), lease.turn, named),))
        waiting = list(self._unsettled)
        for start in range(0, len(waiting), BATCH):
            batch = [self._unsettled[name] for name in waiting[start : start + BATCH] if name in self._unsettled]
            if batch:
                await self._ask(batch)
        assert isinstance(given_back, int)  # noqa: S101 - the answer to `Renew`
        return given_back

    def _forget(self, name: _Name) -> None:
        """Gives up a settlement. What the exchange reserved is given back with the next renewal."""
        self._unsettled.pop(name, None)
        self._sent_s.pop(name, None)
        self.lost += 1

    async def _substitute(self, calls: Sequence[Call]) -> tuple[Answer, ...]:
        others = [call for call in calls if not isinstance(call, Settle)]
        if not others:
            return (True,) * len(calls)
        match self._down:
            case "closed":
                raise StoreError("the state cannot be reached")
            case "open":
                # An empty store each time: nothing is refused for what others have used.
                answers = iter(await MemoryStore(self._clock).perform(others))
            case "local":  # pragma: no branch - it is one of these three
                answers = iter(await self._local.perform(others))
        for call in others:
            if isinstance(call, Take):
                self._elsewhere[call.key, call.id] = None
        while len(self._elsewhere) > MOST_KEPT:
            del self._elsewhere[next(iter(self._elsewhere))]
        return tuple([True if isinstance(call, Settle) else next(answers) for call in calls])
