"""What every store must do with `Take` and `Settle`: cases that the tests of each store run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from guardproxy.gateway.store import Answer, Drop, Renew, Settle, Take, lease_of

Perform = Callable[..., tuple[Answer, ...]]
Wait = Callable[[float], None]
S = 1_000_000  # microseconds of a second


def rate(amount: int, most: int = 10 * S, key: str = "r", *, binding: bool = True) -> Take:
    return Take(key, "x", amount, most, binding=binding)


def held(exchange: str, amount: int, most: int = 10, key: str = "s", hold_s: float = 100, ttl_s: float = 1000) -> Take:
    return Take(key, exchange, amount, most, hold_s, ttl_s)


def settled(exchange: str, reserved: int, used: int, key: str = "s", *, is_sum: bool = True) -> Settle:
    return Settle(key, exchange, reserved, used, is_sum, 1000)


def about(answer: Answer, wanted: int) -> bool:
    """Whether a level of a rate is as wanted, less the time that the calls took."""
    return isinstance(answer, int) and wanted - S // 2 <= answer <= wanted


def a_rate_is_taken_up_to_its_limit(perform: Perform, wait: Wait) -> None:
    assert perform(rate(6 * S)) == (0,)
    (level,) = perform(rate(6 * S))
    assert about(level, 6 * S)
    (level,) = perform(rate(4 * S))
    assert about(level, 6 * S), "what did not fit was not taken"
    (level,) = perform(rate(1 * S))
    assert about(level, 10 * S)


def a_rate_is_settled_once_and_past_its_limit(perform: Perform, wait: Wait) -> None:
    perform(rate(4 * S))
    assert perform(settled("x", 4 * S, 1 * S, "r", is_sum=False)) == (True,)
    assert perform(settled("x", 4 * S, 1 * S, "r", is_sum=False)) == (False,)
    (level,) = perform(rate(0))
    assert about(level, 1 * S)
    assert perform(settled("y", 0, 50 * S, "r", is_sum=False)) == (True,)
    (level,) = perform(rate(1))
    assert about(level, 51 * S)
    assert perform(settled("z", 90 * S, 0, "r", is_sum=False)) == (True,)
    assert perform(rate(1)) == (0,), "a level is never below 0"


def a_sum_is_what_is_settled_and_reserved(perform: Perform, wait: Wait) -> None:
    assert perform(held("a", 6)) == (0,)
    assert perform(held("b", 5)) == (6,)
    assert perform(held("c", 4)) == (6,)
    assert perform(settled("a", 6, 1)) == (True,)
    assert perform(settled("a", 6, 1)) == (False,), "an exchange is counted once"
    assert perform(held("d", 0)) == (5,)
    assert perform(settled("c", 4, 40)) == (True,)
    assert perform(held("e", 1)) == (41,)


def a_take_for_the_same_exchange_counts_once(perform: Perform, wait: Wait) -> None:
    assert perform(held("a", 4)) == (0,)
    assert perform(held("a", 4)) == (4,)
    assert perform(held("b", 1)) == (4,)


def a_list_is_taken_as_a_whole_or_not_at_all(perform: Perform, wait: Wait) -> None:
    perform(held("a", 9))
    assert perform(rate(1 * S), held("b", 2), Take("t", "b", 1, 5, 100, 1000)) == (0, 9, 0)
    assert perform(rate(0), held("c", 0), Take("t", "c", 0, 5, 100, 1000)) == (0, 9, 0)
    loose = Take("s", "b", 2, 10, 100, 1000, binding=False)
    assert perform(Take("t", "b", 1, 5, 100, 1000), loose) == (0, 9), "a limit in shadow mode keeps nothing back"
    assert perform(Take("t", "c", 0, 5, 100, 1000), held("c", 0)) == (1, 9)


def a_reservation_ends_by_itself(perform: Perform, wait: Wait) -> None:
    perform(held("a", 6, hold_s=1), held("b", 0, hold_s=1))
    perform(held("c", 1, key="t", hold_s=1, ttl_s=0.5))
    wait(1.1)
    assert perform(held("d", 10)) == (0,), "a process that died gives back what it held"
    assert perform(held("e", 1, key="t")) == (0,)
    assert perform(settled("a", 6, 2)) == (True,), "what it used still counts, once"
    assert perform(held("f", 0)) == (12,)


def the_end_of_a_window_forgets(perform: Perform, wait: Wait) -> None:
    perform(held("a", 6, hold_s=0.5, ttl_s=1))
    assert perform(Settle("s", "a", 6, 6, True, 1)) == (True,)
    wait(1.1)
    assert perform(held("b", 1)) == (0,)


def a_sum_that_is_0_is_not_kept(perform: Perform, wait: Wait) -> None:
    perform(held("a", 6))
    assert perform(settled("a", 6, 0), Drop("s")) == (True, False)
    perform(held("a", 6), held("b", 1, key="t"))
    assert perform(held("b", 3), settled("c", 6, 0)) == (6, True)
    assert perform(Drop("s")) == (True,)


def many_at_once_take_no_more_than_there_is(perform: Perform, wait: Wait) -> None:
    levels = [perform(held(f"x{number}", 1))[0] for number in range(30)]
    assert levels == [min(number, 10) for number in range(30)]


def a_renewal_gives_back_what_it_does_not_name(perform: Perform, wait: Wait) -> None:
    def of(owner: str, exchange: str, amount: int, turn: int, key: str = "s") -> Take:
        return Take(key, exchange, amount, 100, 100, 1000, owner=owner, turn=turn)

    perform(of("a", "lost", 1, 1), of("a", "lost", 1, 1, "t"), rate(2 * S))
    perform(of("a", "open", 2, 1), of("a", "open", 2, 1, "t"))
    perform(of("a", "late", 4, 2))
    perform(of("b", "other", 8, 0), held("nobody's", 16, 100, "t"))
    named = frozenset({("s", "open"), ("t", "open"), ("s", "gone")})
    assert perform(Renew(lease_of("a"), 2, named)) == (2,)
    assert perform(Take("s", "x", 0, 100, 9, 9), Take("t", "x", 0, 100, 9, 9)) == (14, 18)
    assert perform(settled("open", 2, 3)) == (True,)
    assert perform(Renew(lease_of("a"), 3, frozenset({("s", "late")}))) == (1,), "of another sum"
    assert perform(Renew(lease_of("a"), 4)) == (1,)
    assert perform(Renew(lease_of("a"), 5)) == (0,)
    assert perform(Take("s", "y", 0, 100, 9, 9), Take("t", "y", 0, 100, 9, 9)) == (11, 16)
    assert perform(settled("lost", 1, 5)) == (True,), "what was used still counts"
    assert perform(Take("s", "z", 0, 100, 9, 9)) == (16,)


CASES: Sequence[Callable[[Perform, Wait], None]] = (
    a_rate_is_taken_up_to_its_limit,
    a_rate_is_settled_once_and_past_its_limit,
    a_sum_is_what_is_settled_and_reserved,
    a_take_for_the_same_exchange_counts_once,
    a_list_is_taken_as_a_whole_or_not_at_all,
    a_reservation_ends_by_itself,
    the_end_of_a_window_forgets,
    a_sum_that_is_0_is_not_kept,
    many_at_once_take_no_more_than_there_is,
    a_renewal_gives_back_what_it_does_not_name,
)
