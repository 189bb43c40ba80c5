from __future__ import annotations

from guardproxy.console.access.attempts import WRONG_OF_ADDRESS, WRONG_OF_NAME, WrongTokens


def test_an_address_and_a_name_have_to_wait() -> None:
    wrong = WrongTokens()
    for number in range(WRONG_OF_ADDRESS):
        assert wrong.wait_s("10.0.0.1", f"p{number}", 0.0) == 0
        wrong.add("10.0.0.1", f"p{number}", 0.0)
    assert wrong.wait_s("10.0.0.1", "other", 0.0) == 60
    assert wrong.wait_s("10.0.0.2", "other", 0.0) == 0
    for number in range(WRONG_OF_NAME):
        wrong.add(f"10.0.1.{number}", "ann", 0.0)
    assert wrong.wait_s("10.0.0.2", "ann", 0.0) == 60
    assert wrong.wait_s("10.0.0.2", "ann", 61.0) == 0


def test_a_right_token_is_taken_back() -> None:
    wrong = WrongTokens()
    for _ in range(3 * WRONG_OF_NAME):
        assert wrong.wait_s("10.0.0.1", "ann", 0.0) == 0
        wrong.add("10.0.0.1", "ann", 0.0)
        wrong.forgive("10.0.0.1", "ann")
