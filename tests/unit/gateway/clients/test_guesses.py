from __future__ import annotations

from guardproxy.gateway.clients import Guesses


def test_a_count_that_was_no_guess_is_taken_back() -> None:
    guesses = Guesses(2)
    for _ in range(5):
        guesses.add("10.0.0.1", 0.0)
        guesses.forgive("10.0.0.1")
    assert len(guesses) == 0
    guesses.add("10.0.0.1", 0.0)
    guesses.add("10.0.0.1", 0.0)
    assert guesses.wait_s("10.0.0.1", 0.0) == 60
    guesses.forgive("10.0.0.1")
    assert guesses.wait_s("10.0.0.1", 0.0) == 0
    guesses.forgive("10.0.0.2")
    assert len(guesses) == 1
